"""``imagemill simulator`` and the other commands of the console's routes, against a real server."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from imagemill.recipes.comfy import EXAMPLE_GRAPH
from tests.conftest import Server


def ask(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", server.url])


def told(server: Server, *arguments: str) -> str:
    result = ask(server, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_speed_and_faults_are_set_recorded_and_loaded(server: Server, tmp_path: Path) -> None:
    assert "consumer: 150 ms a step" in told(server, "simulator", "speed", "consumer")
    assert "instant" in told(server, "simulator", "speed")
    told(server, "simulator", "faults", "add", "hang", "--model", "flux", "--probability", "0.5")
    file = str(tmp_path / "scenario.json")
    assert "wrote 1 faults of the worker and 0 of the API" in told(
        server, "simulator", "faults", "record", file
    )
    told(server, "simulator", "faults", "remove")
    assert "no fault is set" in told(server, "simulator", "faults", "list")
    told(server, "simulator", "faults", "load", file)
    assert '"fault": "hang"' in told(server, "simulator", "faults", "list")
    assert ask(server, "simulator", "faults", "load", str(tmp_path / "absent")).exit_code == 2
    told(server, "simulator", "faults", "remove")
    assert "it makes the pictures" in told(server, "simulator", "show")


def test_a_graph_is_proposed_and_versions_are_compared(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(EXAMPLE_GRAPH))
    assert "prompt" in told(server, "workflows", "propose", str(file))
    told(server, "workflows", "add", "cli-diff", str(file))
    assert "the versions are equal" in told(server, "workflows", "diff", "cli-diff", "1", "1")


def test_a_default_is_chosen_and_this_machine_is_searched(server: Server) -> None:
    air = "urn:air:sd1:checkpoint:civitai:4384@128713"
    assert f"{air} is the default of sd1" in told(server, "models", "default", air)
    assert "8188" in told(server, "nodes", "scan", "--json")
