"""From an event to a client at another process: WebSocket beside server-sent events, in one run.

API and worker are processes of their own, over Redis. Both clients follow the same job at the same API.
The time is from when the worker dates the event, so its commit is part of it.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from websockets.sync.client import connect

from benchmarks.processes import Row, free_port, redis
from benchmarks.throughput import BODY as QUICK

JOBS = 150
BODY = json.dumps({**json.loads(QUICK), "properties": {"simulate": {"step_ms": 40}}})
"""Slow enough for both clients to be there before it ends."""
HEADERS = {"Authorization": "Bearer bench", "Content-Type": "application/json"}


def measure(root: Path) -> list[Row]:
    with ExitStack() as stack:
        broker = stack.enter_context(redis(root / "redis"))
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment = {**os.environ, "IMAGEMILL_DATA_DIR": str(root / "data"), "IMAGEMILL_BROKER_URL": broker}
        environment |= {"IMAGEMILL_LOG_LEVEL": "warning"}
        client = stack.enter_context(httpx2.Client(base_url=url, headers=HEADERS, timeout=30))
        stack.enter_context(_process(environment, "api", "--port", str(port)))
        _until_ready(client)
        stack.enter_context(_process(environment, "worker", "--queues", "gpu"))
        told: dict[str, list[float]] = {"sse": [], "ws": []}
        for _ in range(JOBS):
            _one(client, url, told)
    return [
        (
            f"event to client, {name}, p50 and p95 of {len(delays)}",
            f"{_share(delays, 0.5)}, {_share(delays, 0.95)} ms",
            "",
        )
        for name, delays in told.items()
    ]


def _one(client: httpx2.Client, url: str, told: dict[str, list[float]]) -> None:
    job_id = client.post("/v1/consumer/jobs", content=BODY).json()["jobs"][0]["jobId"]
    both = [
        threading.Thread(target=_by_sse, args=(url, job_id, told["sse"])),
        threading.Thread(target=_by_socket, args=(url, job_id, told["ws"])),
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()


def _by_sse(url: str, job_id: str, delays: list[float]) -> None:
    with (
        httpx2.Client(timeout=30) as client,
        client.stream("GET", f"{url}/api/v1/jobs/{job_id}/events") as stream,
    ):
        opened = time.time()
        for line in stream.iter_lines():
            if line.startswith("data: "):
                _note(json.loads(line[6:]), opened, delays)


def _by_socket(url: str, job_id: str, delays: list[float]) -> None:
    with connect(f"{url.replace('http', 'ws', 1)}/api/v1/jobs/{job_id}/ws", proxy=None) as socket:
        opened = time.time()
        for message in socket:
            _note(json.loads(message), opened, delays)


def _note(event: dict[str, str], opened: float, delays: list[float]) -> None:
    """Of what happened while the client was there."""
    if "at" in event and (at := datetime.fromisoformat(event["at"]).timestamp()) > opened:
        delays.append((time.time() - at) * 1000)


def _share(delays: list[float], share: float) -> str:
    ordered = sorted(delays)
    return f"{ordered[int(len(ordered) * share)]:.1f}" if ordered else "none"


def _until_ready(client: httpx2.Client) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if client.get("/health/live").status_code == 200:
                return
        except httpx2.HTTPError:
            time.sleep(0.05)
    raise RuntimeError("the API did not start")


@contextmanager
def _process(environment: dict[str, str], *arguments: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "imagemill", *arguments], env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        for row in measure(Path(folder)):
            print(row[0], row[1], sep="  ")
