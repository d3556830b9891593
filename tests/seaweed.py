"""A real SeaweedFS for tests and benchmarks, from a wheel; nothing needs to be installed on the machine."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagemill.blobs.s3 import S3Blobs
from imagemill.blobs.settings import S3Settings
from imagemill.domain.errors import StorageError
from tests.tuning import tuned

_PORTS = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc")
_START_S = 60
"""Three seconds on an idle machine."""


@dataclass(frozen=True)
class Seaweed:
    port: int
    bucket: str = "mill"
    key: str = "test-key"
    secret: str = "test-secret"

    def settings(self, **changes: object) -> S3Settings:
        given = {
            "bucket": self.bucket,
            "endpoint": f"http://127.0.0.1:{self.port}",
            "access_key_id": self.key,
            "secret_access_key": self.secret,
        }
        return tuned(S3Settings, **{**given, **changes})


class SeaweedServer:
    """One that can be killed and started again on its ports, with its files."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True)
        self._data = data
        self._ports = _free_ports()
        self.seaweed = Seaweed(self._ports["s3"])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._remove_sockets()
        command = _command(self._data, self._ports, self.seaweed)
        self._process = subprocess.Popen(command, cwd=self._data, stderr=subprocess.DEVNULL)

    def answers(self) -> bool:
        """Wait until its bucket takes files; False when it ended instead."""
        return self._process is not None and _answers(self.seaweed, self._process)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        for role in ("master", "volume", "filer", "s3"):  # it has no option for where these lie
            Path(f"/tmp/seaweedfs-{role}-grpc-{self._ports[f'{role}.grpc']}.sock").unlink(missing_ok=True)


@contextmanager
def running_server(folder: Path) -> Generator[SeaweedServer]:
    """A server whose bucket takes files; another try when somebody was faster at one of its ports."""
    for attempt in range(3):
        server = SeaweedServer(folder / str(attempt))
        server.start()
        try:
            if server.answers():
                yield server
                return
        finally:
            server.close()
    raise RuntimeError("SeaweedFS did not start")


@contextmanager
def running(folder: Path) -> Generator[Seaweed]:
    """See `running_server`."""
    with running_server(folder) as server:
        yield server.seaweed


def _free_ports() -> dict[str, int]:
    with ExitStack() as held:
        ports: dict[str, int] = {}
        for name in _PORTS:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports[name] = probe.getsockname()[1]
        return ports


def _command(data: Path, ports: dict[str, int], seaweed: Seaweed) -> list[str]:
    rights = ["Admin", "Read", "Write", "List", "Tagging"]
    keys = [{"accessKey": seaweed.key, "secretKey": seaweed.secret}]
    config = data / "s3.json"
    config.write_text(json.dumps({"identities": [{"name": "test", "credentials": keys, "actions": rights}]}))
    options = {
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "dir": str(data),
        "s3.config": str(config),
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "s3.localSocket": "s3.sock",  # below the folder it runs in: paths of sockets are short
        "filer.localSocket": "filer.sock",
        "master.telemetry": "false",
        "master.electionTimeout": "1s",
        "master.volumeSizeLimitMB": "128",
        "volume.max": "8",
    }
    for name, port in ports.items():
        role, _, kind = name.partition(".")
        options[f"{role}.port{'.' + kind if kind else ''}"] = str(port)
    weed = Path(sys.executable).parent / "weed"
    return [str(weed), "server", "-s3", *(f"-{name}={value}" for name, value in options.items())]


def _answers(seaweed: Seaweed, process: subprocess.Popen[bytes]) -> bool:
    """Its parts find each other one by one; when a file was taken they have."""
    end = time.monotonic() + _START_S
    blobs = S3Blobs(seaweed.settings(timeout_s=5, retries=0))
    while process.poll() is None and time.monotonic() < end:
        try:
            blobs.put("start", b"x", "text/plain")
        except StorageError:
            time.sleep(0.05)
        else:
            return True
    return False
