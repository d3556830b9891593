"""The types that openapi-typescript makes of our document, and a program that is compiled against them."""

import json
import tarfile
from pathlib import Path

import pytest

from tests import npm
from tests.conftest import Server
from tools.build_clients import OPTIONAL, build_types

SOURCE = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> npm.Installed:
    """The programs and the types of this server's document, not yet compiled."""
    installed = npm.install(SOURCE, tmp_path_factory.mktemp("typescript") / "node")
    document = installed.folder / "document.json"
    document.write_bytes(server.client.get("/openapi.json").content)
    installed.run("node_modules/openapi-typescript/bin/cli.js", document.name, "-o", "schema.d.ts", OPTIONAL)
    return installed


def test_the_lock_file_pins_everything_and_names_no_source() -> None:
    lock = json.loads((SOURCE / "package-lock.json").read_text())
    wanted = json.loads((SOURCE / "package.json").read_text())["dependencies"]
    packages = {name: package for name, package in lock["packages"].items() if name}

    assert lock["packages"][""]["dependencies"] == wanted
    assert all(version[0].isdigit() for version in wanted.values())
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert all("resolved" not in package for package in packages.values())


def test_the_types_are_packed(client: npm.Installed, tmp_path: Path) -> None:
    archive = build_types(client, (client.folder / "document.json").read_bytes(), tmp_path)

    with tarfile.open(archive) as packed:
        assert {name.removeprefix("package/") for name in packed.getnames()} == {
            "README.md",
            "index.d.ts",
            "package.json",
        }
        types = packed.extractfile("package/index.d.ts")
        assert types is not None
        assert b'"/api/v1/jobs": {' in types.read()


def test_a_program_compiles_only_if_every_body_is_typed_and_then_runs(
    client: npm.Installed, server: Server
) -> None:
    client.run("node_modules/typescript/bin/tsc")

    told = json.loads(client.run("out/program.js", server.url))

    assert told["status"] == "succeeded"
    assert told["type"] == "image/png"
    assert server.client.get(f"/api/v1/jobs/{told['id']}").is_success
