"""What needs no server: help, version, completion, and how quick they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imagemill.cli.app import app
from tests.cli.programs import PROGRAM, environment, run

ALONE = ["serve", "api", "scheduler", "worker", "migrate", "health", "demo", "settings", "doctor"]
ALONE += ["jobs", "keys", "nodes", "resources", "users", "workflows"]
COMMANDS = [
    [],
    *([name] for name in ALONE),
    *(["jobs", name] for name in ["list", "show", "watch", "cancel", "replay"]),
    *(["nodes", name] for name in ["add", "list", "drain", "undrain", "remove", "doctor"]),
    *(["keys", name] for name in ["create", "list", "revoke"]),
    *(
        ["users", name]
        for name in ["create", "password", "list", "disable", "enable", "role", "weight", "audit"]
    ),
    *(["resources", name] for name in ["add", "list", "show", "remove"]),
]
COMMANDS += [["webhooks"], ["credits"], ["limits"], ["price"]]
COMMANDS += [
    ["webhooks", name] for name in ["list", "create", "delete", "resume", "messages", "resend", "test"]
]
COMMANDS += [["credits", name] for name in ["balance", "statement", "grant", "transfer", "account"]]
COMMANDS += [["workflows", name] for name in ["add", "list", "show", "edit", "versions", "remove", "run"]]
HEAVY = ["fastapi", "starlette", "sqlalchemy", "uvicorn", "httpx2", "PIL", "pydantic", "rich.console"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_help_is_quick() -> None:
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
