"""A server of the demo's own: a process on a free port with a fresh data folder, gone when the demo is."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagemill.cli.client import Client
from imagemill.cli.output import CliError
from imagemill.config import ALIASES, PREFIX

_START_S = 60.0
"""A slow machine takes a few seconds."""
_STOP_S = 20.0
_TAIL = 20

_PACE = {
    "IMAGEMILL_SIMULATOR__STEP_MS": "40",
    "IMAGEMILL_SIMULATOR__LOAD_MS": "400",
    "IMAGEMILL_SHUTDOWN_GRACE_S": "5",
    "IMAGEMILL_LOG_FORMAT": "json",
    "IMAGEMILL_LOG_LEVEL": "info",
}
"""Slow enough to be watched."""


@dataclass(frozen=True, slots=True)
class DemoServer:
    client: Client
    ready_s: float


@contextmanager
def demo_server(folder: Path, *, keep: bool) -> Iterator[DemoServer]:
    """Raises `CliError`, with the end of the server's log, for whatever goes wrong while it runs."""
    data = Path(tempfile.mkdtemp(prefix="data-", dir=folder))
    log_path = folder / "server.log"
    began = time.perf_counter()
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "imagemill", "serve", "--port", "0", "--data-dir", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=data,  # no .env and no imagemill.toml are there
            env=_environment(),
            start_new_session=True,  # Ctrl+C is for the demo, which then stops the server
        )
    try:
        url = _url(process, log_path)
        with Client(url, "demo") as client:
            client.get("/health")
            yield DemoServer(client, time.perf_counter() - began)
        _stop(process)
    except CliError as error:
        details = (*error.details, f"the server's log, {log_path}, ends so:", *_tail(log_path))
        raise CliError(error.sentence, details=details) from error
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if not keep:
            shutil.rmtree(data, ignore_errors=True)


def _environment() -> dict[str, str]:
    """This one without any setting of ours: a demo is the same everywhere."""
    foreign = set(ALIASES)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(PREFIX) and name.upper() not in foreign
    }
    return {**kept, **_PACE}


def _url(process: "subprocess.Popen[bytes]", log_path: Path) -> str:
    """Where the server says it listens."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        for line in _lines(log_path):
            if "url" in line:
                return str(line["url"])
        if process.poll() is not None:
            raise CliError(f"the server ended at its start, with status {process.returncode}")
        time.sleep(0.02)
    raise CliError(f"the server was not ready within {_START_S:.0f} s")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        raise CliError(f"the server did not stop within {_STOP_S:.0f} s") from None
    if status != 0:
        raise CliError(f"the server ended with status {status}")


def _lines(log_path: Path) -> Iterator[dict[str, Any]]:
    for text in log_path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # half a line, or a message from before logging began
        if isinstance(line, dict):
            yield line


def _tail(log_path: Path) -> list[str]:
    """The last lines for people: of a traceback its last line, of what is no log line all."""
    try:
        texts = log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
    except OSError as error:
        return [f"({error.strerror})"]
    return [_readable(text) for text in texts] or ["(empty)"]


def _readable(text: str) -> str:
    try:
        line = json.loads(text)
        why = line.get("exception") or line.get("why") or ""
        return f"{line['level']}: {line['event']}" + (f": {why.splitlines()[-1]}" if why else "")
    except (ValueError, KeyError, AttributeError):
        return text
