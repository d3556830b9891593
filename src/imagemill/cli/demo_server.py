"""Temporary servers of commands: a process on a free port, for the demo with a new data folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from imagemill.cli.client import Client
from imagemill.cli.output import CliError
from imagemill.domain.dataclass import dataclass
from imagemill.setting_names import ALIASES, PREFIX

_START_TIMEOUT_S = 60.0
"""A slow machine takes a few seconds."""
_STOP_TIMEOUT_S = 20.0
_TAIL_LINES = 20

_SETTINGS = {
    "IMAGEMILL_SIMULATOR__STEP_MS": "40",
    "IMAGEMILL_SIMULATOR__LOAD_MS": "400",
    "IMAGEMILL_SHUTDOWN_GRACE_S": "5",
    "IMAGEMILL_LOG_FORMAT": "json",
    "IMAGEMILL_LOG_LEVEL": "info",
}
"""Rendering takes long enough to watch its progress."""


@dataclass(frozen=True, slots=True)
class DemoServer:
    client: Client
    ready_s: float


@contextmanager
def demo_server(folder: Path, *, keep: bool) -> Iterator[DemoServer]:
    """Start a server and stop it at the end; its data folder is deleted unless ``keep`` is set.

    Raises `CliError`, with the end of the server's log, if the server or the ``with`` block fails.
    """
    data = Path(tempfile.mkdtemp(prefix="data-", dir=folder))
    log_path = folder / "server.log"
    started_at = time.perf_counter()
    try:
        # The data folder is also the working one: it has no .env and no imagemill.toml.
        with (
            _serving(("--data-dir", str(data)), log_path, _environment(), data) as url,
            Client(url, "demo") as client,
        ):
            client.get("/health")
            yield DemoServer(client, time.perf_counter() - started_at)
    except CliError as error:
        raise _with_log(error, log_path) from error
    finally:
        if not keep:
            shutil.rmtree(data, ignore_errors=True)


@contextmanager
def own_server(token: str) -> Iterator[Client]:
    """Start a server with the settings of this process and stop it at the end.

    Raises `CliError`, with the end of the server's log if it does not start.
    """
    environment = {**os.environ, "IMAGEMILL_LOG_FORMAT": "json", "IMAGEMILL_LOG_LEVEL": "info"}
    with tempfile.TemporaryDirectory(prefix="imagemill-") as folder:
        log_path = Path(folder) / "server.log"
        with ExitStack() as stack:
            try:
                url = stack.enter_context(_serving((), log_path, environment, Path.cwd()))
            except CliError as error:
                raise _with_log(error, log_path) from error
            yield stack.enter_context(Client(url, token))


@contextmanager
def _serving(
    options: Sequence[str], log_path: Path, environment: Mapping[str, str], folder: Path
) -> Iterator[str]:
    """Run ``imagemill serve`` on a free port and yield its URL."""
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "imagemill", "serve", "--port", "0", *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=environment,
            start_new_session=True,  # Ctrl+C interrupts the command only, which then stops the server
        )
    try:
        yield _wait_for_url(process, log_path)
        _stop(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _with_log(error: CliError, log_path: Path) -> CliError:
    details = (*error.details, f"the last lines of the server's log, {log_path}:", *_tail(log_path))
    return CliError(error.message, error.status, details=details)


def _environment() -> dict[str, str]:
    """Return this process's environment without settings, so that a demo is the same everywhere."""
    aliases = set(ALIASES)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(PREFIX) and name.upper() not in aliases
    }
    return {**kept, **_SETTINGS}


def _wait_for_url(process: "subprocess.Popen[bytes]", log_path: Path) -> str:
    """Return the URL that the server logs once it listens."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        for line in _read_log(log_path):
            if "url" in line:
                return str(line["url"])
        if process.poll() is not None:
            raise CliError(f"the server did not start; its exit status is {process.returncode}")
        time.sleep(0.02)
    raise CliError(f"the server was not ready within {_START_TIMEOUT_S:.0f} s")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise CliError(f"the server did not stop within {_STOP_TIMEOUT_S:.0f} s") from None
    if status != 0:
        raise CliError(f"the server's exit status is {status}")


def _read_log(log_path: Path) -> Iterator[dict[str, Any]]:
    for text in log_path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # half a line, or a message from before logging began
        if isinstance(line, dict):
            yield line


def _tail(log_path: Path) -> list[str]:
    """Return the last lines of the log; an exception is shortened to its last line."""
    try:
        texts = log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError as error:
        return [f"({error.strerror})"]
    return [_format_log_line(text) for text in texts] or ["(empty)"]


def _format_log_line(text: str) -> str:
    try:
        line = json.loads(text)
        reason = line.get("exception") or line.get("why") or ""
        return f"{line['level']}: {line['event']}" + (f": {reason.splitlines()[-1]}" if reason else "")
    except (ValueError, KeyError, AttributeError):
        return text
