"""Two hundred open consoles at one server: its processor time, what submits wait, and event to client.

Jobs are submitted at 20 a second, first with no console and then with 200 feeds open, in one run. The feeds
are read by a process of their own, so that only the time of the server is counted.
"""

import asyncio
import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.processes import Row, Running, imagemill
from benchmarks.throughput import BODY

CONSOLES = 200
RATE = 20
"""Jobs a second."""
SECONDS = 20
HEADERS = {"Authorization": "Bearer bench", "Content-Type": "application/json"}


def measure(root: Path) -> list[Row]:
    with imagemill(root / "feed", LIMIT__STREAMS="1000") as server:
        _submit(server, 3)
        alone_s, alone = _submit(server, SECONDS)
        reader, told = _readers(server.url)
        shared_s, shared = _submit(server, SECONDS)
        reader.join(30)
    delays = sorted(told)
    extra = (shared_s - alone_s) / SECONDS
    return [
        (f"{CONSOLES} consoles, processor time of their feeds", f"{extra:.2f} cores", "below 0.5"),
        ("submit, p99 without a console", f"{_share(alone, 0.99):.1f} ms", ""),
        (f"submit, p99 with {CONSOLES} consoles", f"{_share(shared, 0.99):.1f} ms", "unchanged"),
        (f"event to client, p95 of {len(delays)}", f"{_share(delays, 0.95):.0f} ms", "below 100 ms"),
    ]


def _submit(server: Running, seconds: float) -> tuple[float, list[float]]:
    """Submit jobs at the rate; return the processor time of the server and the sorted milliseconds."""
    before = sum(server.process.cpu_times()[:2])
    took: list[float] = []
    with httpx2.Client(base_url=server.url, headers=HEADERS, timeout=30) as client:
        start = time.perf_counter()
        for number in range(int(seconds * RATE)):
            time.sleep(max(0.0, start + number / RATE - time.perf_counter()))
            sent = time.perf_counter()
            client.post("/v1/consumer/jobs", content=BODY).raise_for_status()
            took.append((time.perf_counter() - sent) * 1000)
    return sum(server.process.cpu_times()[:2]) - before, sorted(took)


def _readers(url: str) -> tuple[threading.Thread, list[float]]:
    """Open the feeds in another process, and return once all of them are open."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.feed", url, str(SECONDS)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != "open":
        raise RuntimeError("the feeds did not open")
    told: list[float] = []

    def collect() -> None:
        out, _ = process.communicate(timeout=120)
        told.extend(json.loads(out))

    thread = threading.Thread(target=collect)
    thread.start()
    return thread, told


async def _read_all(url: str, seconds: float) -> list[float]:
    delays: list[float] = []
    opened = [asyncio.Event() for _ in range(CONSOLES)]
    limits = httpx2.Limits(max_connections=CONSOLES)
    async with httpx2.AsyncClient(base_url=url, headers=HEADERS, timeout=None, limits=limits) as client:
        tasks = [asyncio.create_task(_read(client, event, delays)) for event in opened]
        for event in opened:
            await event.wait()
        print("open", flush=True)
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return delays


async def _read(client: httpx2.AsyncClient, opened: asyncio.Event, delays: list[float]) -> None:
    async with client.stream("GET", "/api/v1/events", params={"stream": "true"}) as answer:
        answer.raise_for_status()
        opened.set()
        async for line in answer.aiter_lines():
            if line.startswith("data:") and '"jobs"' in line:
                now = datetime.now(UTC)
                body: dict[str, Any] = json.loads(line[5:])
                delays.extend(
                    (now - datetime.fromisoformat(job["at"])).total_seconds() * 1000 for job in body["jobs"]
                )


def _share(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_read_all(sys.argv[1], float(sys.argv[2])))))
