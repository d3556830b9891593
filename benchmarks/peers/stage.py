"""Contents common to all peers: what a running peer is, its processes, and where its packages are kept."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from benchmarks.peers.client import Load
from tests.npm import execute, wheel_programs
from tests.redis import RedisServer

CLIENTS = 16
HERE = Path(__file__).parent
FSYNC = {
    "everysec": "Redis AOF, everysec: survives a kill of Redis, a power loss takes the last second",
    "always": "Redis AOF, always: flushed before the answer, survives a power loss",
}
"""What a job in Redis survives, by how its append-only file is flushed."""
START_S = 60
STOP_S = 30


class UnavailableError(Exception):
    """A peer that cannot run here; the text is the reason."""


@dataclass(frozen=True)
class Running:
    """A peer that is ready.

    ``roots``: the processes whose trees are the peer, its database included. ``load``: clients that send work
    for so many seconds. ``pictures``: the folder with the files it writes; None for tasks that do nothing.
    """

    roots: Sequence[int]
    load: Callable[[float], Load]
    pictures: Path | None = None


@dataclass(frozen=True)
class Peer:
    """What is measured; its ``layouts`` are ways to run it, the best of which counts.

    ``durable`` is what an accepted job survives.
    """

    title: str
    durable: str
    layouts: Mapping[str, Callable[["Stage"], AbstractContextManager[Running]]]
    does_work: bool = True
    """Whether it makes a picture; tasks that do nothing are only an upper bound."""
    group: str = "pictures"
    """Peers of one group do the same work and are compared with each other."""


@dataclass(frozen=True)
class Stage:
    """Where peers run: fresh folders below ``root``, and a ``cache`` of packages that later runs reuse."""

    root: Path
    cache: Path = field(
        default_factory=lambda: (
            Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagemill-peers"
        )
    )

    def folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.root))

    @contextmanager
    def process(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> Iterator[int]:
        """Run a program and return its id; its output is shown if it ends early."""
        with (self.folder() / "output.log").open("w+") as output:
            process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
            )
            with _running(process, output):
                yield process.pid

    @contextmanager
    def client(
        self, command: Sequence[str | Path], environment: Mapping[str, str]
    ) -> Iterator[tuple[int, Callable[[float], Load]]]:
        """Run a client that obeys commands as `benchmarks.peers.work.obey` says.

        Returns its id and what commands it.
        """
        with (self.folder() / "output.log").open("w+") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                bufsize=1,
            )
            stdin, stdout = process.stdin, process.stdout
            assert stdin is not None
            assert stdout is not None

            def load(seconds: float) -> Load:
                stdin.write(f"{seconds}\n")
                return Load(**json.loads(stdout.readline() or "{}"))

            with _running(process, output):
                stdout.readline()
                yield process.pid, load

    @contextmanager
    def redis(self, fsync: str) -> Iterator[RedisServer]:
        """A Redis with an append-only file that is flushed as ``fsync`` says: ``everysec`` or ``always``."""
        server = RedisServer(self.folder(), "--appendonly", "yes", "--appendfsync", fsync)
        server.start()
        try:
            yield server
        finally:
            server.stop()

    def node_packages(self) -> tuple[Path, list[str]]:
        """Return a folder with the Node.js programs and their packages, and the command of Node.js."""
        node, npm = wheel_programs()
        folder = self.cache / f"node-{_digest(HERE / 'node' / 'package-lock.json')}"
        with _installed(folder) as fresh:
            if fresh is not None:
                for name in ("package.json", "package-lock.json"):
                    shutil.copy(HERE / "node" / name, fresh)
                command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
                execute(command, fresh, {**os.environ, "npm_config_cache": str(self.cache / "npm")}, 600)
        for program in (HERE / "node").glob("*.mjs"):
            shutil.copy(program, folder)
        return folder, node

    def python(self, name: str) -> Path:
        """Return the interpreter of a virtual environment with the packages of ``requirements/NAME.txt``."""
        requirements = HERE / "requirements" / f"{name}.txt"
        folder = self.cache / f"{name}-3.{sys.version_info.minor}-{_digest(requirements)}"
        with _installed(folder) as fresh:
            if fresh is not None:
                execute([sys.executable, "-m", "venv", str(fresh)], self.root)
                pip = [str(fresh / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
                execute([*pip, "-r", str(requirements)], self.root, seconds=600)
        return folder / "bin" / "python"


@contextmanager
def _running(process: subprocess.Popen[Any], output: TextIO) -> Iterator[None]:
    """Stop the process in the end. Raises `RuntimeError` with its output if it ended before."""
    try:
        yield
    except Exception as error:
        error.add_note(_tail(output))
        raise
    else:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended:\n{_tail(output)}")
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(output: TextIO) -> str:
    output.flush()
    output.seek(0)
    return output.read()[-4000:]


@contextmanager
def _installed(folder: Path) -> Iterator[Path | None]:
    """A fresh folder to fill that becomes ``folder``, or None if that is there.

    Raises `UnavailableError` if the installation fails, which leaves no folder.
    """
    if folder.exists():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        fresh = Path(name) / folder.name
        fresh.mkdir()
        try:
            yield fresh
        except (AssertionError, subprocess.TimeoutExpired) as error:
            lines = str(error).strip().splitlines() or [""]
            raise UnavailableError(f"its packages cannot be installed: {lines[-1]}") from error
        fresh.rename(folder)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def await_port(port: int) -> None:
    """Return once a server accepts connections."""
    end = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise RuntimeError(f"nothing listens on port {port}") from None
            time.sleep(0.05)
        else:
            return
