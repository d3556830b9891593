"""From the submission of a job to the start of its render, on an idle server."""

import time
from datetime import datetime
from pathlib import Path

import httpx2

from benchmarks.processes import Row, imagemill
from benchmarks.throughput import BODY

JOBS = 400


def measure(root: Path) -> list[Row]:
    with imagemill(root / "latency") as server, httpx2.Client(base_url=server.url) as client:
        delays_ms = sorted(one(client) for _ in range(JOBS))
    p50, p99 = delays_ms[JOBS // 2], delays_ms[int(JOBS * 0.99)]
    return [
        ("submit to start, p50", f"{p50:.1f} ms", "below 5 ms"),
        ("submit to start, p99", f"{p99:.1f} ms", "below 25 ms"),
    ]


def one(client: httpx2.Client) -> float:
    """From the moment the request leaves the client until the claim is committed; milliseconds."""
    sent = time.time()
    headers = {"Authorization": "Bearer bench", "Content-Type": "application/json"}
    answer = client.post("/v1/consumer/jobs?wait=true", content=BODY, headers=headers)
    job_id = answer.json()["jobs"][0]["jobId"]
    events = client.get(f"/api/v1/jobs/{job_id}/events?stream=false").json()["items"]
    claimed = next(event for event in events if event["type"] == "Claimed")
    time.sleep(0.005)
    return (datetime.fromisoformat(claimed["at"]).timestamp() - sent) * 1000
