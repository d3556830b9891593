"""Real processes of the command line, with an environment free of settings."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from imagemill.setting_names import ALIASES
from tests.databases import sqlite_database
from tests.forking import Process, commands, start

PROGRAM = (sys.executable, "-m", "imagemill")
START_S = 60
_SERVERS = ("serve", "api", "scheduler", "worker")


def environment(**settings: str) -> dict[str, str]:
    foreign = {*ALIASES, "NO_COLOR", "FORCE_COLOR"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("IMAGEMILL_") and name not in foreign
    }
    return kept | settings


def search_path() -> str:
    """The PATH of shell scripts: a forked ``imagemill``, and the programs installed beside Python."""
    return os.pathsep.join([str(commands()), str(Path(sys.executable).parent), os.environ["PATH"]])


def run(*arguments: str, cwd: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command until it ends."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = start(
            *arguments, cwd=cwd, environment=environment(**settings), stdout=stdout, stderr=stderr
        )
        try:
            code = process.wait(250)
        finally:
            process.kill()
        for file in (stdout, stderr):
            file.seek(0)
        return subprocess.CompletedProcess(process.args, code, stdout.read().decode(), stderr.read().decode())


@dataclass
class Program:
    """A running process that logs JSON to a file."""

    process: Process
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def line(self, part: str) -> dict[str, Any]:
        """Wait for a line whose event contains ``part``; return the first."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            for line in self.lines():
                if part in line["event"]:
                    return line
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.01)
        raise AssertionError(f"no line with {part!r}: {self.log.read_text()}")

    @property
    def url(self) -> str:
        return self.line("listening on")["url"]

    def client(self) -> httpx2.Client:
        return httpx2.Client(
            base_url=self.url,
            headers={"Authorization": "Bearer test"},
            timeout=100,
            trust_env=False,
            verify=False,
        )

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def ended(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)


def _data_folder(arguments: Sequence[str], cwd: Path, settings: Mapping[str, str]) -> Path:
    if "--data-dir" in arguments:
        return cwd / arguments[arguments.index("--data-dir") + 1]
    return cwd / settings.get("IMAGEMILL_DATA_DIR", "imagemill-data")


@contextmanager
def running(
    *arguments: str,
    cwd: Path,
    fresh: bool = False,
    constants: Mapping[str, float] | None = None,
    **settings: str,
) -> Iterator[Program]:
    """Start a process and kill it at the end if it still runs.

    With ``fresh`` it creates its own database; ``constants``: see `tests.tuning.program`.
    """
    elsewhere = {"DATABASE_URL", "IMAGEMILL_DATABASE_URL"} & settings.keys()
    if arguments[0] in _SERVERS and not fresh and not elsewhere:
        sqlite_database(_data_folder(arguments, cwd, settings) / "imagemill.db")
    log = cwd / f"{arguments[0]}-{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = start(
            *arguments,
            cwd=cwd,
            environment=environment(IMAGEMILL_LOG_FORMAT="json", **settings),
            stdout=file,
            stderr=file,
            constants=constants,
        )
    try:
        yield Program(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def image_job(steps: int = 4, **changes: Any) -> dict[str, Any]:
    return {
        "$type": "textToImage",
        "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
        "params": {"prompt": "a very private prompt", "width": 64, "height": 64, "steps": steps},
        **changes,
    }
