"""ComfyUI behind us beside ComfyUI fed directly; the node is the tests' own, in a process of its own."""

import re
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from benchmarks import comfyui_clients
from benchmarks.comfyui_clients import await_node, test_node
from benchmarks.processes import Row, imagemill
from tests.comfyui.node import TestNode

WORK_MS = 50
PROMPTS = 200
LONE_JOBS = 60
STEPS, STEP_S = 150, 0.02
HEADERS = {"Authorization": "Bearer bench", "Content-Type": "application/json"}


def measure(root: Path) -> list[Row]:
    with test_node("--work-ms", str(WORK_MS)) as node:
        direct = _direct(node)
        with imagemill(
            root / "comfyui", COMFYUI__URLS=node, COMFYUI__PREVIEWS="off", LIMIT__STREAMS="2000"
        ) as server:
            await_node(server.url)
            rate, cpu_ms = _through(server)
            to_post_ms = sorted(_submit_to_post_ms(server.url) for _ in range(LONE_JOBS))
    late_ms = sorted(_event_to_client_ms(root))
    return [
        (f"node fed directly, {WORK_MS} ms a prompt", f"{direct:.2f}/s", ""),
        ("the same through us", f"{rate:.2f}/s", ""),
        ("ratio", f"{rate / direct:.1%}", "at least 97 %"),
        ("submit to POST, p50", f"{to_post_ms[len(to_post_ms) // 2]:.1f} ms", "below 10 ms"),
        ("CPU a job, previews off", f"{cpu_ms:.1f} ms", "below 8 ms"),
        ("node's event to client, p95", f"{late_ms[int(len(late_ms) * 0.95)]:.1f} ms", "below 50 ms"),
        *comfyui_clients.measure(root / "comfyui-clients"),
    ]


def _graph(number: int) -> dict[str, Any]:
    blank = {"width": 64, "height": 64, "batch_size": 1, "color": number}
    return {
        "1": {"class_type": "EmptyImage", "inputs": blank},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "bench"}},
    }


def _direct(node: str) -> float:
    """Prompts a second when all are queued on the node at once, by the node's own time stamps."""
    with httpx2.Client(base_url=node) as client:
        ids = [str(uuid4()) for _ in range(PROMPTS)]
        for number, id_ in enumerate(ids):
            client.post("/prompt", json={"prompt": _graph(number), "prompt_id": id_}).raise_for_status()
        return _rate(client, ids)


def _rate(client: httpx2.Client, ids: list[str]) -> float:
    while client.get("/prompt").json()["exec_info"]["queue_remaining"]:
        time.sleep(0.05)
    spans = [
        [
            message["timestamp"]
            for _, message in client.get(f"/history/{id_}").json()[id_]["status"]["messages"]
        ]
        for id_ in ids
    ]
    first, last = min(span[0] for span in spans), max(span[-1] for span in spans)
    return len(ids) / (last - first) * 1000


def _through(server: Any) -> tuple[float, float]:
    """Jobs a second and CPU milliseconds a job, all submitted at once, each waited for by its own client."""
    with httpx2.Client(base_url=server.url, headers=HEADERS, timeout=120) as client:
        for number in range(4):
            _submit(client, PROMPTS + number, wait=True)
        before = server.process.cpu_times()
        jobs = [_submit(client, 1000 + number) for number in range(PROMPTS)]
        _span(client, jobs[-1])
        # Before the others are asked for: reading how it went is no part of a job.
        after = server.process.cpu_times()
        spans = [_span(client, job) for job in jobs]
    cpu_s = after.user + after.system - before.user - before.system
    seconds = max(end for _, end in spans) - min(start for start, _ in spans)
    return len(jobs) / seconds, cpu_s * 1000 / len(jobs)


def _submit(client: httpx2.Client, number: int, *, wait: bool = False) -> str:
    body = {"$type": "comfy", "params": {"workflow": _graph(number)}}
    answer = client.post("/v1/consumer/jobs", params={"wait": str(wait).lower()}, json=body)
    answer.raise_for_status()
    return answer.json()["jobs"][0]["jobId"]


def _span(client: httpx2.Client, job: str) -> tuple[float, float]:
    """When it was claimed and when it was recorded as done; seconds since the epoch."""
    while True:
        events = client.get(f"/api/v1/jobs/{job}/events?stream=false").json()["items"]
        at = {event["type"]: datetime.fromisoformat(event["at"]).timestamp() for event in events}
        if "Succeeded" in at:
            return at["Claimed"], at["Succeeded"]
        # Seldom, so that asking is no part of what is measured.
        time.sleep(1.0)


def _submit_to_post_ms(url: str) -> float:
    """From the request's first byte until the node has answered the prompt."""
    with httpx2.Client(base_url=url, headers=HEADERS, timeout=30) as client:
        sent = time.time()
        job = _submit(client, int(sent * 1000) % 2**24, wait=True)
        events = client.get(f"/api/v1/jobs/{job}/events?stream=false").json()["items"]
    claimed = next(event for event in events if event["type"] == "Claimed")
    stages = events[-1]["data"]["stages"]
    posted_ms = next(stage["atMs"] for stage in stages if stage["stage"] == "SENT_TO_COMFY")
    return (datetime.fromisoformat(claimed["at"]).timestamp() - sent) * 1000 + posted_ms


def _event_to_client_ms(root: Path) -> list[float]:
    """From each step the node tells until a client reads it from the event stream."""
    told: dict[int, float] = {}
    with TestNode(step_s=STEP_S) as node:

        def tell(data: Mapping[str, Any]) -> None:
            told.setdefault(data["value"], time.perf_counter())

        node.listen(tell, "progress")
        settings = {"COMFYUI__URLS": node.url, "COMFYUI__ASK_PREVIEWS": "false"}
        with imagemill(root / "comfyui-events", **settings) as server:
            await_node(server.url)
            read: dict[int, float] = {}
            with httpx2.Client(base_url=server.url, headers=HEADERS, timeout=60) as client:
                thread = threading.Thread(target=_read_steps, args=(server.url, _sampled(client), read))
                thread.start()
                thread.join()
    return [(read[step] - at) * 1000 for step, at in told.items() if step in read]


def _sampled(client: httpx2.Client) -> str:
    air = "urn:air:sd1:checkpoint:civitai:1@1"
    client.post("/v2/resources", json={"air": air, "fileName": "sd1.safetensors"}).raise_for_status()
    params = {"prompt": "a fox", "width": 64, "height": 64, "steps": STEPS}
    body = {"$type": "textToImage", "model": air, "params": params}
    answer = client.post("/v1/consumer/jobs", json=body)
    answer.raise_for_status()
    return answer.json()["jobs"][0]["jobId"]


def _read_steps(url: str, job: str, read: dict[int, float]) -> None:
    with httpx2.stream("GET", f"{url}/api/v1/jobs/{job}/events", headers=HEADERS, timeout=60) as stream:
        for line in stream.iter_lines():
            if match := re.match(r'data: .*"step":(\d+)', line):
                read.setdefault(int(match[1]), time.perf_counter())
