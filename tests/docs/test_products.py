"""Install the package of the page about products as it is printed, and run it by its entry point only."""

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imagemill.products.base import Product, ProductContext, ProductParts
from tests.cli.programs import Program, run, running
from tests.conftest import SD1
from tests.docs.test_docs import ROOT

PAGE = (ROOT / "docs/products.md").read_text(encoding="utf-8")
FILES = dict(
    re.findall(r"^`(postcards/[\w/]+\.py)`:\n\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
)
ENTRY_POINTS = re.findall(r'^\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "(.+)"$', PAGE, re.MULTILINE)
AT_ONCE = {"IMAGEMILL_SIMULATOR__STEP_MS": "0", "IMAGEMILL_SIMULATOR__LOAD_MS": "0"}


@dataclass
class Installed:
    """A server with the package beside it, and the environment in which both are found."""

    cwd: Path
    environment: dict[str, str]
    program: Program

    @property
    def database(self) -> Path:
        return self.cwd / "imagemill-data" / "imagemill.db"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Put the package where Python finds it, with the metadata that an installation writes."""
    folder = tmp_path_factory.mktemp("installed")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    metadata = folder / "postcards-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: postcards\nVersion: 1\n")
    ((group, name, value),) = ENTRY_POINTS
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    cwd = tmp_path_factory.mktemp("work")
    environment = {"PYTHONPATH": str(folder), "IMAGEMILL_POSTCARDS__STEPS": "3", **AT_ONCE}
    with running("serve", "--port", "0", cwd=cwd, fresh=True, **environment) as program:
        yield Installed(cwd, environment, program)


def _make(installed: Installed, town: str) -> dict[str, Any]:
    with installed.program.client() as client:
        body = {"recipe": "postcard", "input": {"town": town, "model": SD1}}
        posted = client.post("/api/v1/jobs", json=body)
        assert posted.status_code == 201, posted.text
        end = time.monotonic() + 30
        while True:
            job = client.get(f"/api/v1/jobs/{posted.json()['id']}").json()
            if job["status"] == "succeeded":
                return job
            assert time.monotonic() < end, job
            assert job["status"] in ("queued", "running"), job
            time.sleep(0.05)


def test_a_job_of_the_product_leaves_a_row_and_a_file_that_the_route_and_the_command_show(
    installed: Installed,
):
    job = _make(installed, "Lucca")
    assert job["progress"]["total"] == 3 if job.get("progress") else True
    with installed.program.client() as client:
        answer = client.get("/api/v1/postcards")
        assert answer.headers["cache-control"] == "no-store"
        (postcard,) = answer.json()["items"]
        assert postcard["town"] == "Lucca"
        image = client.get(postcard["imageUrl"])
        assert (image.status_code, image.headers["content-type"]) == (200, "image/webp")
        assert client.get("/api/v1/postcards/none/image").status_code == 404
        assert "/api/v1/postcards" in client.get("/openapi.json").json()["paths"]
    command = ("postcards", "list", "--url", installed.program.url, "--token", "test")
    shown = run(*command, cwd=installed.cwd, **installed.environment)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Lucca  http://")


def test_the_setting_is_one_of_the_settings(installed: Installed):
    shown = run("settings", "--json", cwd=installed.cwd, **installed.environment)
    assert '"steps": 3' in json.dumps(json.loads(shown.stdout)), shown.stdout
    wrong = run("settings", cwd=installed.cwd, **installed.environment | {"IMAGEMILL_POSTCARDS__STEPS": "0"})
    assert wrong.returncode != 0
    assert "POSTCARDS__STEPS" in wrong.stderr


def test_the_table_has_a_line_of_versions_of_its_own(installed: Installed):
    with sqlite3.connect(installed.database) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        version = connection.execute("SELECT version_num FROM alembic_version_postcards").fetchall()
        core = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert {"postcards", "ix_postcards_owner", "ix_postcards_image"} <= tables
    assert version == [("0001",)]
    assert core != version


def test_an_installation_without_the_package_goes_on(installed: Installed):
    """Its rows and tables stay, and everything else works."""
    without = {name: value for name, value in installed.environment.items() if name in AT_ONCE}
    installed.program.signal()
    installed.program.ended(30)
    with running("serve", "--port", "0", cwd=installed.cwd, fresh=True, **without) as program:
        with program.client() as client:
            assert client.get("/api/v1/jobs").json()["items"]
            assert client.get("/api/v1/postcards").status_code == 404
        program.signal()
        program.ended(30)


def test_nothing_in_the_source_names_the_package():
    assert not [path for path in (ROOT / "src").rglob("*.py") if "postcard" in path.read_text().lower()]


def test_the_page_names_every_member_of_the_hook():
    for kind in (Product, ProductParts, ProductContext):
        members = {name for name in vars(kind) if not name.startswith("_")}
        assert not [name for name in members if not re.search(rf"^\| `{name}\b", PAGE, re.MULTILINE)]
