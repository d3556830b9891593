"""``imagemill models`` and ``imagemill resources`` with a node."""

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from typer.testing import CliRunner

from imagemill.cli.app import app
from tests.comfyui.node import TestNode
from tests.conftest import Server
from tests.http.support import until

DREAM = "dreamshaper_8.safetensors"
AIR = f"urn:air:sd1:checkpoint:file:{DREAM}"


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Iterator[Server]:
    with TestNode(models={"checkpoints": [DREAM, "mymix.safetensors"]}) as node:
        server = make_server()
        added = run(server, "nodes", "add", "attic", node.url)
        assert "imagemill models list --node attic" in added.output
        until(lambda: DREAM in run(server, "models", "list", "--node", "attic").output)
        yield server


def run(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", server.url])


def test_the_files_of_a_node_are_listed_with_the_next_step(server: Server):
    text = run(server, "models", "list", "--node", "attic").output
    assert "mymix.safetensors" in text
    assert "unknown" in text
    assert "imagemill models import attic" in text
    assert run(server, "models", "list", "no-such-model").output.strip() == "no such models"


def test_a_node_is_imported_in_one_command(server: Server):
    planned = run(server, "models", "import", "attic", "--dry-run")
    assert "nothing was written" in planned.output
    assert "1 added, 1 linked" in run(server, "models", "import", "attic").output
    listed = json.loads(run(server, "models", "list", "--json").stdout)["items"]
    assert all(item["registered"] for item in listed)


def test_a_resource_is_changed(server: Server):
    assert run(server, "resources", "add", AIR, "--file", DREAM).exit_code == 0
    changed = run(
        server, "resources", "set", DREAM, "--name", "Dream", "--tag", "default", "--base-model", "SD 1.5"
    )
    assert changed.exit_code == 0, changed.output
    shown = json.loads(run(server, "resources", "show", AIR, "--json").stdout)
    assert (shown["modelName"], shown["tags"], shown["fileName"]) == ("Dream", ["default"], DREAM)
    assert shown["baseModel"] == "SD 1.5"
    assert "status: available, workers: 1" in run(server, "resources", "show", AIR).output
    assert run(server, "resources", "set", AIR, "--name", "", "--tag", "").exit_code == 0
    shown = json.loads(run(server, "resources", "show", AIR, "--json").stdout)
    assert (shown["modelName"], shown["tags"]) == (None, [])
    assert run(server, "resources", "set", AIR).exit_code == 2


def test_the_librarys_former_command_still_works(server: Server):
    former = run(server, "models", "batch", "--grid", "gender=female,style=casual", "--dry-run")
    assert former.exit_code == 0, former.output
    assert (
        former.output
        == run(server, "library", "batch", "--grid", "gender=female,style=casual", "--dry-run").output
    )
