"""Programs of the command line, forked from a process that has imported the package already.

To import it takes more than a second of each start, and tests start hundreds. Each program is a process of
its own, with signals, files, locks and an environment as any other has. Only its imports come sooner: tests
of these, and of the installed command, start Python anew. The commands are built once as well.
"""

import atexit
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, reduce
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from typing import IO, Any, TypeAlias

import typer.main

from imagemill.setting_names import ALIASES
from tests.tuning import program

_PACKAGES = ("api", "backends", "cli", "dialects", "products", "recipes")
_MODULES = (
    "alembic.command",
    "fastapi.telemetry",
    "imagemill.dispatch.celery_broker",
    "imagemill.pubsub.redis",
    "psycopg",
    "rich.console",
    "rich.syntax",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
"""What programs import that these packages import late, if at all."""
_ROOT = Path(__file__).parents[1]


class Forked:
    """A running program, with what tests use of `subprocess.Popen`."""

    def __init__(
        self,
        arguments: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        files: tuple[int, int],
        constants: Mapping[str, Any],
    ) -> None:
        self.args = ["imagemill", *arguments]
        self.returncode: int | None = None
        self._link = _connected()
        self._reports = select.poll()
        self._reports.register(self._link, select.POLLIN)
        request = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environment": dict(environment),
            "constants": dict(constants),
        }
        message = json.dumps(request).encode()
        self._link.sendall(len(message).to_bytes(4))
        with open(os.devnull, "rb") as nothing:
            socket.send_fds(self._link, [b"f"], [nothing.fileno(), *files])
        self._link.sendall(message)
        self.pid = int.from_bytes(_read(self._link, 4))

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float | None) -> int | None:
        if self.returncode is None and self._reports.poll(None if seconds is None else seconds * 1000):
            self.returncode = os.waitstatus_to_exitcode(int.from_bytes(_read(self._link, 4)))
            self._link.close()
        return self.returncode


Process: TypeAlias = "subprocess.Popen[bytes] | Forked"


def start(
    *arguments: str,
    cwd: Path,
    environment: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    constants: Mapping[str, Any] | None = None,
) -> Process:
    """Start ``imagemill``. ``constants``: see `tests.tuning.program`.

    Python starts anew where the environment differs in more than settings, as imports may read it.
    """
    files, constants = (stdout.fileno(), stderr.fileno()), constants or {}
    if _without_settings(environment) == _server_environment():
        return Forked(arguments, cwd, environment, files, constants)
    command = program(constants) if constants else (sys.executable, "-m", "imagemill")
    return subprocess.Popen([*command, *arguments], cwd=cwd, env=environment, stdout=stdout, stderr=stderr)


@cache
def commands() -> Path:
    """The folder of an ``imagemill`` for shell scripts, to come first in their PATH."""
    script = Path(_server()).with_name("imagemill")
    script.write_text(_SCRIPT.format(python=sys.executable, path=_server()))
    script.chmod(0o700)
    return script.parent


_SCRIPT = """#!{python} -IS
import json, os, socket, sys
request = dict(arguments=sys.argv[1:], cwd=os.getcwd(), environment=dict(os.environ), constants=dict())
message = json.dumps(request).encode()
link = socket.socket(socket.AF_UNIX)
link.connect("{path}")
link.sendall(len(message).to_bytes(4))
socket.send_fds(link, [b"f"], [0, 1, 2])
link.sendall(message)
pid, status = link.recv(4, socket.MSG_WAITALL), link.recv(4, socket.MSG_WAITALL)
sys.exit(os.waitstatus_to_exitcode(int.from_bytes(status)) % 256)
"""


def _server_environment() -> dict[str, str]:
    colours = ("NO_COLOR", "FORCE_COLOR")
    return {name: value for name, value in _without_settings(os.environ).items() if name not in colours}


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("IMAGEMILL_") and name not in {*ALIASES, "PYTEST_CURRENT_TEST"}
    }


def _read(link: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = link.recv(size - len(found))
        assert part, "the process that starts programs has ended"
        found += part
    return found


def _connected() -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.connect(_server())
    return link


@cache
def _server() -> str:
    """The address of the process that forks, started when the first program is; it ends with this one."""
    folder = tempfile.mkdtemp(prefix="forking-")
    path = f"{folder}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forking", path],
        cwd=_ROOT,
        env=_server_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline(), "the process that starts programs does not start"

    def end() -> None:
        process.communicate()
        shutil.rmtree(folder)

    atexit.register(end)
    return path


class _Forker:
    """What the process does: it forks, reaps, and reports how each program ended."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._wake, self._woken = socket.socketpair()
        self._links: dict[int, socket.socket] = {}

    def run(self) -> list[str]:
        """Return in a program that was forked, with its arguments."""
        for side in (self._wake, self._woken):
            side.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno())
        # A program of the terminal's group ends by Ctrl+C; this one ends with the tests.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([self._listener, self._woken, 0], [], [])
            if 0 in ready:
                sys.exit()
            if self._woken in ready:
                self._woken.recv(4096)
                self._reap()
            if self._listener in ready and (arguments := self._fork(self._listener.accept()[0])) is not None:
                return arguments

    def _fork(self, link: socket.socket) -> list[str] | None:
        size = int.from_bytes(_read(link, 4))
        _, files, _, _ = socket.recv_fds(link, 1, 3)
        request = json.loads(_read(link, size))
        pid = os.fork()
        if pid == 0:
            self._become(link, request, files)
            return request["arguments"]
        self._links[pid] = link
        for file in files:
            os.close(file)
        link.sendall(pid.to_bytes(4))
        return None

    def _become(self, link: socket.socket, request: dict[str, Any], files: list[int]) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for each in (self._listener, self._wake, self._woken, link, *self._links.values()):
            each.close()
        for target, file in enumerate(files):
            os.dup2(file, target)
        for file in files:
            os.close(file)
        # Made anew, as the former ones know whether they can be sought.
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        sys.path[0] = request["cwd"]
        for place, value in request["constants"].items():
            module, _, name = place.partition(":")
            *owner, constant = name.split(".")
            setattr(reduce(getattr, owner, importlib.import_module(module)), constant, value)

    def _reap(self) -> None:
        while self._links:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            link = self._links.pop(pid)
            with suppress(BrokenPipeError):  # nobody waits for it
                link.sendall(status.to_bytes(4))
            link.close()


def _main() -> None:
    packages = (importlib.import_module(f"imagemill.{name}") for name in _PACKAGES)
    found = (
        each.name for package in packages for each in walk_packages(package.__path__, f"{package.__name__}.")
    )
    for name in (*_MODULES, *(name for name in found if ".migrations" not in name)):
        importlib.import_module(name)
    from imagemill.__main__ import main
    from imagemill.cli import startup
    from imagemill.cli.app import app

    typer.main.get_command = cache(typer.main.get_command)
    list(typer.main.get_command(app).commands.values())  # type: ignore[attr-defined]
    gc.freeze()  # a collection in a program would copy these pages
    arguments = _Forker(sys.argv[1]).run()
    startup.STARTED_AT = time.perf_counter()
    # As `python -m imagemill`, for the help and for processes that multiprocessing spawns.
    spec = find_spec("imagemill.__main__")
    assert spec is not None
    here = sys.modules["__main__"]
    here.__spec__, here.__package__, here.__file__ = spec, spec.parent, spec.origin
    sys.argv = [str(spec.origin), *arguments]
    main()


if __name__ == "__main__":
    _main()
