"""The modules that each kind of process loads until it is ready: more would cost start-up time and memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_START = """
import sys
from imagemill.bootstrap.application import Application, Roles, application
from imagemill.config import Settings
mill = Application(Settings(_env_file=None, data_dir={folder!r}), {roles})
mill.start()
mill.close()
"""
_FRAMEWORK = """
from imagemill.web.framework import load_framework
load_framework()
"""
_SERVE = """
from imagemill.cli import app, server
application(mill)
"""
_HELP = """
import os, sys
from imagemill.__main__ import main
sys.argv = ["imagemill", "--help"]
sys.stdout = open(os.devnull, "w", encoding="utf-8")
main()
sys.stdout = sys.__stdout__
"""
_REPORT = "print(*sys.modules)"
_UNUSED = (
    "httpx2",
    "alembic",
    "mako",
    "pygments",
    "numpy",
    "pydantic.v1",
    "celery",
    "redis",
    "psycopg",
    "obstore",
)
_UNUSED += (
    "sqlalchemy.dialects.postgresql",
    "onnxruntime",
    "typst",
    "pikepdf",
    "cv2",
    "cryptography",
    "argon2",
    "opentelemetry.sdk",
)
_HTTP = ("fastapi", "starlette", "uvicorn", "imagemill.api.jobs")


def _loaded(code: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEMILL_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def _named(modules: list[str], names: tuple[str, ...]) -> set[str]:
    return {name for name in names for each in modules if each == name or each.startswith(f"{name}.")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose database is up to date."""
    path = tmp_path_factory.mktemp("imports")
    _loaded(_START.format(roles="Roles(api=False, worker=False)", folder=str(path)))
    return path


@pytest.mark.parametrize(
    ("roles", "most", "most_own"),
    [
        ("Roles()", 1260, 524),
        ("Roles(api=False, scheduler=False)", 960, 403),
        ("Roles(api=False, worker=False)", 960, 403),
    ],
    ids=["serve", "worker", "scheduler"],
)
def test_a_process_loads_only_what_its_role_needs(folder: Path, roles: str, most: int, most_own: int):
    serves = roles == "Roles()"
    code = _FRAMEWORK + _START + _SERVE if serves else _START
    modules = _loaded((code + _REPORT).format(roles=roles, folder=str(folder)))
    assert _named(modules, _UNUSED + (() if serves else _HTTP)) == set()
    own = [each for each in modules if each.split(".")[0] == "imagemill"]
    assert (len(modules) <= most, len(own) <= most_own) == (True, True), (len(modules), len(own))


def test_help_loads_neither_the_server_nor_its_libraries():
    modules = _loaded(_HELP + _REPORT)
    unused = ("sqlalchemy", "pydantic", "httpx2", "PIL", "typer", "rich", "imagemill.products")
    assert _named(modules, (*_UNUSED, *_HTTP, *unused)) == set()
    assert len(modules) <= 150, len(modules)


@pytest.mark.parametrize(
    ("command", "most"), [("jobs", 185), ("serve", 185)], ids=["a client's command", "serve"]
)
def test_a_command_loads_no_other(command: str, most: int):
    modules = _loaded(
        f"import sys\nfrom imagemill.cli.app import load_command\nload_command({command!r})\n" + _REPORT
    )
    assert _named(modules, (*_UNUSED, *_HTTP, "sqlalchemy", "httpx2", "PIL", "imagemill.products")) == set()
    assert len(modules) <= most, len(modules)


_DOCUMENT = """
import json
from fastapi import FastAPI
from fastapi.openapi.models import Operation
from pydantic import BaseModel
application = FastAPI()

@application.get("/pictures", responses={404: {"description": "There is none."}})
def pictures(number: int = 1) -> dict[str, int]: ...

class Later(BaseModel):
    next: "Later | None" = None

built = Operation.__pydantic_complete__
print(json.dumps([built, Later.__pydantic_complete__, application.openapi()]))
"""


def test_the_models_of_openapi_are_built_when_a_document_is_made():
    (is_built, is_own_built, document), (was_built, _, expected) = (
        json.loads(" ".join(_loaded(code))) for code in (_FRAMEWORK + _DOCUMENT, _DOCUMENT)
    )
    assert (is_built, was_built, is_own_built) == (False, True, True)
    assert document == expected
