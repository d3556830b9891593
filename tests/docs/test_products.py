"""Install the package of the page about products as it is printed, and run it on a real server."""

import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from typer.testing import CliRunner

from imagemill.bootstrap import plugins
from imagemill.config import Settings
from imagemill.products.base import Product, ProductContext, ProductParts
from tests.conftest import SD1, Server, running_server
from tests.docs.test_docs import ROOT

PAGE = (ROOT / "docs/products.md").read_text(encoding="utf-8")
FILES = dict(
    re.findall(r"^`(postcards/[\w/]+\.py)`:\n\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
)
ENTRY_POINTS = re.findall(r'^\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "(.+)"$', PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
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
    sys.path.insert(0, str(folder))
    _read_entry_points_again()
    yield next(product for product in plugins.products() if product.name == name)
    sys.path.remove(str(folder))
    for module in [name for name in sys.modules if name.partition(".")[0] == "postcards"]:
        del sys.modules[module]
    _read_entry_points_again()


def _read_entry_points_again() -> None:
    plugins.products.cache_clear()
    plugins._all.cache_clear()  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(scope="module")
def server(package: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    group: Any = package.settings["postcards"]
    settings_with_group: Any = type(
        "SettingsWithPostcards", (Settings,), {"__annotations__": {"postcards": group}, "postcards": group()}
    )
    settings = settings_with_group(
        _env_file=None, data_dir=tmp_path_factory.mktemp("data"), postcards={"steps": 3}
    )
    with running_server(settings) as server:
        _migrate(settings.database)
        yield server


def _migrate(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as conn, Operations.context(MigrationContext.configure(conn)):
        importlib.import_module("postcards.migrations.versions.0001_postcards").upgrade()
    engine.dispose()


def test_a_job_of_the_product_leaves_a_row_and_a_file_that_the_route_and_the_command_show(
    server: Server, package: Product
):
    body = {"recipe": "postcard", "input": {"town": "Lucca", "model": SD1}}
    posted = server.client.post("/api/v1/jobs", json=body)
    assert posted.status_code == 201, posted.text
    job = server.wait(posted.json()["id"])
    assert job["status"] == "succeeded", job
    (postcard,) = server.client.get("/api/v1/postcards").json()["items"]
    assert postcard["town"] == "Lucca"
    image = server.client.get(postcard["imageUrl"])
    assert (image.status_code, image.headers["content-type"]) == (200, "image/webp")
    assert server.client.get("/api/v1/postcards/none/image").status_code == 404
    shown = CliRunner().invoke(package.commands()["postcards"], ["list", "--url", server.url])
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("Lucca  http://")


def test_the_migration_makes_the_table_of_the_code(server: Server):
    tables = importlib.import_module("postcards.store")
    engine = sa.create_engine(server.app.settings.database)
    found = sa.inspect(engine)
    for table in tables.metadata.sorted_tables:
        assert {column["name"] for column in found.get_columns(table.name)} == set(table.columns.keys())
        assert {index["name"] for index in found.get_indexes(table.name)} == {
            index.name for index in table.indexes
        }
    engine.dispose()


def test_files_that_rows_refer_to_are_no_orphans(server: Server):
    posted = server.client.post(
        "/api/v1/jobs", json={"recipe": "postcard", "input": {"town": "Siena", "model": SD1}}
    )
    server.wait(posted.json()["id"])
    keys = [blob.key for blob in server.app.blobs.list("postcards/")]
    assert keys
    assert server.app.stores.jobs.referenced_files([*keys, "postcards/unknown.webp"]) == set(keys)


def test_the_page_names_every_member_of_the_hook():
    for kind in (Product, ProductParts, ProductContext):
        members = {name for name in vars(kind) if not name.startswith("_")}
        assert not [name for name in members if not re.search(rf"^\| `{name}\b", PAGE, re.MULTILINE)]
