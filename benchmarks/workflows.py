"""Civitai v2: 1,000 workflows of four steps, of which three refer to the picture of the one before, all open
at the same time; and a workflow of 100 steps."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.processes import Row, imagemill

WORKFLOWS = 1_000
CLIENTS = 4
"""Clients that submit at the same time, as fast as they are answered."""
LONG = 100
_PATH = "/v2/consumer/workflows"
_HEADERS = {"Authorization": "Bearer bench"}


def measure(root: Path) -> list[Row]:
    with imagemill(root / "workflows", SIMULATOR__NODES="4", LIMIT__STREAMS="10000") as server:
        latencies, seconds, statuses = asyncio.run(_many(server.url))
        long_submit_ms, long_s = _long(server.url)
    latencies.sort()
    done = statuses.count("succeeded")
    return [
        (f"submit of {WORKFLOWS} workflows of 4 steps, p50", f"{latencies[len(latencies) // 2]:.1f} ms", ""),
        ("  p99", f"{latencies[int(len(latencies) * 0.99)]:.1f} ms", "below 50 ms"),
        ("  workflows that succeeded", f"{done}", f"{WORKFLOWS}"),
        ("  steps a second until all had ended", f"{4 * WORKFLOWS / seconds:.0f}", ""),
        (f"submit of a workflow of {LONG} steps", f"{long_submit_ms:.0f} ms", ""),
        ("  seconds until it had ended, one step after the other", f"{long_s:.1f}", ""),
    ]


def chain(steps: int) -> list[dict[str, Any]]:
    """Steps that each start from the picture of the one before."""
    given: dict[str, Any] = {"prompt": "a fox", "width": 64, "height": 64, "steps": 4}
    first = {"$type": "textToImage", "input": given}
    return [
        first if not number else {
            "$type": "textToImage",
            "input": {**given, "sourceImage": {"$ref": f"${number - 1}", "path": "output.images[0].url"}},
        }
        for number in range(steps)
    ]  # fmt: skip


async def _many(url: str) -> tuple[list[float], float, list[str]]:
    """Return the times of the submissions in ms, the seconds until all had ended, and their statuses."""
    body = {"steps": chain(4)}
    latencies: list[float] = []
    ids: list[str] = []
    limits = httpx2.Limits(max_connections=CLIENTS)
    async with httpx2.AsyncClient(base_url=url, headers=_HEADERS, timeout=120, limits=limits) as client:
        start = time.perf_counter()

        async def submit() -> None:
            for _ in range(WORKFLOWS // CLIENTS):
                sent = time.perf_counter()
                answer = await client.post(_PATH, json=body)
                latencies.append((time.perf_counter() - sent) * 1000)
                ids.append(answer.json()["id"])

        await asyncio.gather(*(submit() for _ in range(CLIENTS)))
        statuses = [await _ended(client, id_) for id_ in ids]
        return latencies, time.perf_counter() - start, statuses


async def _ended(client: httpx2.AsyncClient, id_: str) -> str:
    while True:
        answer = await client.get(f"{_PATH}/{id_}", params={"wait": "90"})
        if answer.status_code == 200:
            return str(answer.json()["status"])


def _long(url: str) -> tuple[float, float]:
    with httpx2.Client(base_url=url, headers=_HEADERS, timeout=120) as client:
        start = time.perf_counter()
        id_ = client.post(_PATH, json={"steps": chain(LONG)}).json()["id"]
        submitted = time.perf_counter()
        while client.get(f"{_PATH}/{id_}", params={"wait": "90"}).status_code != 200:
            pass
        return (submitted - start) * 1000, time.perf_counter() - start
