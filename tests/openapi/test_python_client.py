"""The client that openapi-python-client makes of our document, and a program that uses it."""

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Server

PROGRAM = Path(__file__).with_name("python_client.py")
PACKAGE = "imagemill_client"
CONFIG = {
    "post_hooks": [],
    "content_type_overrides": dict.fromkeys(
        ("image/png", "image/jpeg", "image/webp", "application/pdf", "application/zip"),
        "application/octet-stream",
    ),
}
"""The generator knows bytes by this media type alone."""


def execute(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def client(server: Server, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the generated package; the generator has nothing to warn of."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "document.json").write_bytes(server.client.get("/openapi.json").content)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    generate = (python, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning")
    given = ("--path", "document.json", "--config", "config.json", "--output-path", PACKAGE)
    execute(*generate, *given, folder=folder)
    return folder / PACKAGE


def untyped_bodies(package: Path) -> Iterator[str]:
    """The bodies of requests and answers that are `Any`, or an object of which no field is known."""
    shapeless = {name for file in (package / "models").glob("*.py") for name in _shapeless(file)}
    for file in sorted((package / "api").rglob("*.py")):
        module = ast.parse(file.read_text())
        functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
        if "_get_kwargs" not in functions:
            continue
        where = file.relative_to(package / "api").with_suffix("")
        for argument in functions["_get_kwargs"].args.kwonlyargs:
            if argument.arg == "body" and (found := _names(argument.annotation) & {"Any", *shapeless}):
                yield f"{where}: the request is {found}"
        parse = functions["_parse_response"]
        if found := _names(parse.returns) & shapeless:
            yield f"{where}: an answer is {found}"
        if any(ast.unparse(node).endswith("= response.json()") for node in ast.walk(parse)):
            yield f"{where}: an answer is Any"


def _names(annotation: ast.expr | None) -> set[str]:
    return {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} if annotation else set()


def _shapeless(file: Path) -> Iterator[str]:
    """The classes of a module that hold keys of any name with values of any type, and no field besides."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef):
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            if [ast.unparse(each.annotation) for each in fields] == ["dict[str, Any]"]:
                yield node.name


def test_every_body_has_a_type(client: Path) -> None:
    found = list(untyped_bodies(client))

    assert not found, "\n".join(found)


def test_a_program_submits_a_job_and_reads_the_answers(client: Path, python: Path, server: Server) -> None:
    told = json.loads(execute(python, "-c", PROGRAM.read_text(), server.url, folder=client.parent))

    assert told["status"] == "succeeded"
    assert told["width"] == 64
    assert told["seconds"] > 0
    assert server.client.get(told["url"]).headers["content-type"] == "image/png"
