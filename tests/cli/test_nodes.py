"""``imagemill nodes`` against a real server with fake nodes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from imagemill.cli.app import app
from imagemill.config import Settings
from tests.cli.programs import environment
from tests.conftest import Server, running_server
from tests.nodes import STATIC, with_nodes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("nodes"))
    with running_server(settings, prepare=lambda app: with_nodes(app, STATIC) and None) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_nodes(server: Server) -> None:
    for view in server.app.nodes.views():
        if not view.is_static:
            server.app.nodes.remove(view.config.name)


def ask(server: Server, *arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(app, ["nodes", *arguments, "--url", server.url], **options)


def answer(server: Server, *arguments: str) -> Any:
    result = ask(server, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def headers(server: Server, name: str = "attic") -> dict[str, str]:
    return dict(server.app.nodes.get(name).config.headers)


def add(server: Server, *options: str, **more: Any) -> Result:
    result = ask(server, "add", "attic", "http://attic:8188", *options, **more)
    assert result.exit_code == 0, result.output
    return result


def test_a_node_is_added_listed_and_removed(server: Server) -> None:
    result = add(server, "--label", "big", "--label", "flux", "--slots", "3", "--memory-mb", "8000")
    assert "imagemill nodes doctor attic" in result.stdout
    row = next(line for line in ask(server, "list").stdout.splitlines() if line.startswith("attic"))
    for part in ("healthy", "0.33.0", "10.0 of 24.0 GB", "12", "1/3", "sdxl/base.safetensors", "big, flux"):
        assert part in row
    assert answer(server, "remove", "attic") == {"removed": "attic"}
    assert [node["name"] for node in answer(server, "list")["items"]] == ["fixed"]


def test_an_unhealthy_node_is_listed_with_its_problem(server: Server) -> None:
    ask(server, "add", "sick", "http://sick")
    row = next(line for line in ask(server, "list").stdout.splitlines() if line.startswith("sick"))
    assert "troubled" in row
    assert "nobody answers" in row
    ask(server, "drain", "sick")
    assert "troubled, draining" in ask(server, "list").stdout


def test_a_node_is_drained_and_undrained(server: Server) -> None:
    assert "it finishes 1 in flight" in ask(server, "drain", "fixed").stdout
    assert answer(server, "list")["items"][0]["state"] == "draining"
    assert answer(server, "undrain", "fixed")["state"] == "healthy"
    assert "gets jobs again" in ask(server, "undrain", "fixed").stdout


def test_secrets_come_from_the_environment_a_file_or_the_input(server: Server, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of-file\n")
    result = add(
        server,
        "--header", f"X-File=file:{tmp_path / 'secret'}",
        "--header", "X-Env=env:NODE_SECRET",
        "--header", "X-Plain=a=b",
        "--node-token", "-",
        input="of-input\n",
        env={"NODE_SECRET": "of-env"},
    )  # fmt: skip
    assert headers(server) == {
        "X-File": "of-file",
        "X-Env": "of-env",
        "X-Plain": "a=b",
        "Authorization": "Bearer of-input",
    }
    assert "of-" not in result.output
    assert "of-" not in ask(server, "list", "--json").output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--node-token", "env:NOT_SET_ANYWHERE"], "--node-token: the variable NOT_SET_ANYWHERE is not set"),
        (["--node-token", "file:/nowhere"], "--node-token: /nowhere cannot be read"),
        (["--node-token", "-"], "--node-token: the secret is empty"),
        (["--header", "nothing"], "--header: write NAME=VALUE"),
        (["--header", "X-A=env:NOT_SET_ANYWHERE"], "--header X-A: the variable"),
    ],
)
def test_a_secret_that_does_not_exist_is_an_error(server: Server, options: list[str], message: str) -> None:
    result = ask(server, "add", "attic", "http://attic", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(answer(server, "list")["items"]) == 1


def test_tls_may_be_unverified_or_use_a_ca_file(server: Server) -> None:
    add(server, "--insecure-tls")
    assert server.app.nodes.get("attic").config.verify_tls is False
    ask(server, "remove", "attic")
    add(server, "--ca-file", "/etc/ssl/attic.pem")
    assert server.app.nodes.get("attic").config.ca_file == "/etc/ssl/attic.pem"


def test_the_doctor_ends_with_one_for_an_error(server: Server) -> None:
    healthy = ask(server, "doctor", "fixed")
    assert healthy.exit_code == 0
    assert "! warning  models" in healthy.stdout
    ask(server, "add", "sick", "http://sick")
    sick = ask(server, "doctor")
    assert sick.exit_code == 1
    assert "✗ error    socket" in sick.stdout
    assert "node fixed" in sick.stdout
    result = ask(server, "doctor", "--json")
    assert result.exit_code == 1
    assert [report["name"] for report in json.loads(result.stdout)["items"]] == ["fixed", "sick"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["add", "a b", "http://a"], "error: name: should be 1 to 64"),
        (
            ["add", "a", "attic"],
            "error: url: is 'attic', which is not the address of a node; one looks like http://",
        ),
        (["add", "fixed", "http://a"], "error: a node named fixed is in the settings"),
        (["drain", "nobody"], "error: there is no node 'nobody'; `imagemill nodes list` lists all"),
        (["doctor", "nobody"], "error: there is no node 'nobody'"),
        (["remove", "fixed"], "error: fixed is from the settings"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(server: Server, command: list[str], message: str) -> None:
    result = ask(server, *command)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1


def completed(words: str, cwd: Path, url: str) -> list[str]:
    """Return the completions a shell offers for the last word of ``words``."""
    program = Path(sys.executable).parent / "imagemill"
    settings = {
        "_IMAGEMILL_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "IMAGEMILL_URL": url,
    }
    done = subprocess.run(
        [program], cwd=cwd, env=environment(**settings), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_names_of_nodes_are_completed(server: Server, tmp_path: Path) -> None:
    add(server)
    assert completed("imagemill nodes drain at", tmp_path, server.url) == ["attic"]
    assert completed("imagemill nodes doctor f", tmp_path, server.url) == ["fixed"]


def test_a_completion_without_a_server_is_silent(tmp_path: Path) -> None:
    assert completed("imagemill nodes drain at", tmp_path, "http://127.0.0.1:1") == []
