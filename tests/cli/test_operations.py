"""``imagemill pauses``, ``jobs bulk``, ``jobs priority`` and ``operations`` against a real server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from imagemill.config import Settings
from tests.conftest import Server, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("operations"))) as server:
        yield server


def ask(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", server.url])


def answer(server: Server, *arguments: str) -> Any:
    result = ask(server, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_paused_queue_is_worked_on_in_bulk_and_continues(server: Server) -> None:
    paused = ask(server, "pauses", "add", "all", "--reason", "a new fan")
    assert "everything is paused; continue with: imagemill pauses remove all" in paused.stdout
    assert "a new fan" in ask(server, "pauses", "list").stdout
    body = {"recipe": "textToImage", "input": {"prompt": "a fox", "width": 64, "height": 64, "steps": 1}}
    ids = [server.client.post("/api/v1/jobs", json=body).json()["id"] for _ in range(2)]

    assert answer(server, "jobs", "priority", ids[0], "7")["priority"] == 7
    counted = ask(server, "jobs", "bulk", "priority", "--priority", "3", "--text", "fox", "--dry-run")
    assert "priority: 2 jobs" in counted.stdout
    unasked = ask(server, "jobs", "bulk", "cancel")
    assert unasked.exit_code == 2
    assert "--yes" in unasked.output
    bulk = ("jobs", "bulk", "priority", "--priority", "3", "--yes", "--wait")
    done = answer(server, *bulk)
    assert (done["state"], done["done"]) == ("done", 2)
    shown = ask(server, "operations", "show", done["id"]).stdout
    assert "(priority) is done: 2 of 2 done" in shown
    assert done["id"] in ask(server, "operations", "list").stdout

    begun = answer(server, "jobs", "bulk", "cancel", "--yes")
    assert answer(server, "operations", "cancel", begun["id"])["state"] == "canceled"
    assert "everything is no longer paused" in ask(server, "pauses", "remove", "all").stdout
    assert {server.wait(id_)["status"] for id_ in ids} == {"succeeded"}


def test_a_replay_takes_other_values(server: Server) -> None:
    arguments = ("jobs", "bulk", "replay", "--status", "succeeded", "--set", "width=128", "--yes", "--wait")
    assert answer(server, *arguments)["done"] == 2
    newest = server.client.get("/api/v1/jobs", params={"limit": 1}).json()["items"][0]
    assert newest["input"]["width"] == 128
    assert "NAME=VALUE" in ask(server, "jobs", "bulk", "replay", "--set", "width", "--yes").output
