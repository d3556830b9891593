"""Help, version and completion, which need no server, and their speed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer import rich_utils
from typer.testing import CliRunner

from imagemill.cli import root_help
from imagemill.cli.app import app
from imagemill.cli.command_table import COMMANDS as TABLE
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


def _characters(text: str) -> list[list[tuple[str, frozenset[str]]]]:
    """Return the visible characters of each line with their styles."""
    lines: list[list[tuple[str, frozenset[str]]]] = [[]]
    codes: frozenset[str] = frozenset()
    for part in re.split(r"(\x1b\[[\d;]*m|\n)", text):
        if part == "\n":
            lines.append([])
        elif part.startswith("\x1b"):
            codes = frozenset(part[2:-1].split(";")) - {"0", ""}
        else:
            lines[-1] += [(each, frozenset() if each == " " else codes) for each in part]
    for line in lines:
        while line and line[-1][0] == " ":
            line.pop()
    while not lines[-1]:
        lines.pop()
    return lines


@pytest.mark.parametrize("width", [80, 81, 97, 120, 200])
@pytest.mark.parametrize("is_coloured", [False, True], ids=["plain", "coloured"])
def test_the_list_of_commands_looks_as_typers(
    width: int, is_coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", width)
    monkeypatch.setattr(rich_utils, "FORCE_TERMINAL", is_coloured)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    theirs = CliRunner().invoke(app, ["--help"], color=True).output
    ours = "\n".join(root_help.help_lines("imagemill", width, is_coloured))
    assert _characters(ours) == _characters(theirs)


@pytest.mark.parametrize(
    "setting",
    [{"COLUMNS": "60"}, {"FORCE_COLOR": "1"}, {"PYTHONIOENCODING": "ascii"}],
    ids=["narrow", "coloured by force", "without box characters"],
)
def test_where_the_output_is_unusual_the_list_is_typers(setting: dict[str, str]) -> None:
    done = subprocess.run(
        [*PROGRAM, "--help"], env=environment(**setting), capture_output=True, check=True, text=True
    )
    assert all(f" {name} " in re.sub(r"\x1b\[[\d;]*m", " ", done.stdout) for name in TABLE)
    assert "\u256d" in done.stdout or "ascii" in setting.values()


def test_help_is_fast() -> None:
    """0.06 s on an idle machine. Counted in processor time, which others on the machine change little."""
    took = []
    for _ in range(5):
        process = subprocess.Popen([*PROGRAM, "--help"], env=environment(), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        took.append(usage.ru_utime + usage.ru_stime)
    assert min(took) < 0.25, took


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


def test_a_mistyped_command_is_corrected(tmp_path: Path) -> None:
    done = run("srve", cwd=tmp_path)
    assert done.returncode == 2
    assert "No such command 'srve'. Did you mean 'serve'?" in done.stderr


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
