"""Help, version and completion, which need no server, and their speed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from imagemill.cli.app import app
from tests.cli.programs import PROGRAM, environment, run


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))


def _options(path: tuple[str, ...]) -> dict[str, set[str]]:
    """Return the names of a command's parameters with their options."""
    command = APP
    for name in path:
        command = command.commands[name]
    return {parameter.name: set(parameter.opts) for parameter in command.params}


APP: Any = typer.main.get_command(app)
COMMANDS = [*_commands(APP)]
CLIENTS = ("jobs", "characters", "nodes", "resources", "workflows", "models", "webhooks", "limits", "credits")
CLIENT_COMMANDS = [path for path in COMMANDS if len(path) == 2 and path[0] in CLIENTS]
HEAVY = ["fastapi", "starlette", "sqlalchemy", "uvicorn", "httpx2", "PIL", "pydantic", "rich.console"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize("command", [*CLIENT_COMMANDS, ("price",), ("health",)], ids=" ".join)
def test_every_client_command_has_the_options_of_a_client(command: tuple[str, ...]) -> None:
    options = _options(command)
    assert (options["as_json"], options["url"], options["token"]) == ({"--json"}, {"--url"}, {"--token"})
    assert not {"client", "out"} & options.keys()


def test_help_is_fast() -> None:
    """0.15 s on an idle machine. Counted in processor time, which others on the machine change little."""
    took = []
    for _ in range(5):
        process = subprocess.Popen([*PROGRAM, "--help"], env=environment(), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        took.append(usage.ru_utime + usage.ru_stime)
    assert min(took) < 0.5, took


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    code = f"import sys, imagemill.cli.app; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_arguments_it_shows_its_help(tmp_path: Path) -> None:
    done = run(cwd=tmp_path)
    assert "demo" in done.stdout
    assert "serve" in done.stdout


def test_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout.startswith("imagemill 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "imagemill"],
        env=environment(_IMAGEMILL_COMPLETE=f"source_{shell}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "_IMAGEMILL_COMPLETE" in done.stdout


def test_a_completion_is_found(tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "imagemill"],
        env=environment(_IMAGEMILL_COMPLETE="complete_bash", COMP_WORDS="imagemill re", COMP_CWORD="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["resources"]
