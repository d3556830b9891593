"""A temporary server in a process of its own, for the tests of an application that uses Imagemill."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from imagemill.domain.dataclass import dataclass

_STOP_TIMEOUT_S = 20.0
_LOG_TAIL = 4000
"""Characters of the server's log in an error."""


class ServerNotReady(RuntimeError):
    """The server did not start in time, or not at all. The message ends with the end of its log."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server on a free port of this machine, with an empty data folder."""

    url: str
    """The address without a slash at the end, such as ``http://127.0.0.1:40123``."""
    data_dir: Path
    log_file: Path
    process: "subprocess.Popen[bytes]"

    def read_log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")


@contextmanager
def running_server(
    folder: Path | None = None,
    *,
    profile: str = "ci",
    settings: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> Iterator[RunningServer]:
    """Start ``imagemill serve`` and stop it at the end of the block.

    ``folder`` is an empty folder for its data and its log; None means a temporary one that is deleted.
    ``settings`` are environment variables such as ``IMAGEMILL_SIMULATOR__STEP_MS``; those of this process
    that begin with ``IMAGEMILL_`` are not passed on, nor are ``.env`` and ``imagemill.toml`` read.
    Raises `ServerNotReady`.
    """
    if folder is None:
        with (
            tempfile.TemporaryDirectory(prefix="imagemill-") as temporary,
            running_server(
                Path(temporary), profile=profile, settings=settings, timeout_s=timeout_s
            ) as server,
        ):
            yield server
        return
    folder.mkdir(parents=True, exist_ok=True)
    ready, log_file = folder / "ready.json", folder / "server.log"
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("IMAGEMILL_")}
    command = ["serve", "--port", "0", "--profile", profile, "--data-dir", "data", "--ready-file", ready.name]
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "imagemill", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**kept, **(settings or {})},
            start_new_session=True,  # Ctrl+C interrupts the tests only, which then stop the server
        )
    try:
        url = _wait_until_ready(process, ready, log_file, timeout_s)
        yield RunningServer(url, folder / "data", log_file, process)
    finally:
        _stop(process)


def _wait_until_ready(
    process: "subprocess.Popen[bytes]", ready: Path, log_file: Path, timeout_s: float
) -> str:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if ready.exists():
            return str(json.loads(ready.read_text(encoding="utf-8"))["url"])
        if process.poll() is not None:
            raise ServerNotReady(
                f"the server ended with exit status {process.returncode}: {_end_of(log_file)}"
            )
        time.sleep(0.02)
    raise ServerNotReady(f"the server was not ready within {timeout_s:g} s: {_end_of(log_file)}")


def _end_of(log_file: Path) -> str:
    return log_file.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:].strip()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
