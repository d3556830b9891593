"""Nothing lost, and nothing rendered twice that need not be, when servers and nodes die in mid-render."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.comfyui.node import TestNode
from tests.comfyui.processes import Served, blank, image

KILLS = 4
JOBS = 40


@pytest.fixture
def nodes() -> Iterator[list[TestNode]]:
    with TestNode(work_s=0.08, step_s=0.01) as first, TestNode("0.3.64", work_s=0.05, step_s=0.02) as second:
        yield [first, second]


@pytest.fixture
def served(tmp_path: Path, nodes: list[TestNode], database_url: str) -> Iterator[Served]:
    served = Served(tmp_path / "data", [node.url for node in nodes], database_url, JOB__RETRY_BASE_S="0.02")
    served.start()
    served.register()
    yield served
    served.stop()


def submit(served: Served, accepted: list[str], count: int, seed: int) -> None:
    """Jobs with pauses; only what was answered counts as accepted."""
    rng = random.Random(seed)
    for number in range(count):
        job = image() if rng.random() < 0.5 else blank(seed * 1000 + number)
        while True:
            try:
                accepted.append(served.post("/v1/consumer/jobs", job)["jobs"][0]["jobId"])
                break
            except (httpx2.HTTPError, AssertionError):
                time.sleep(0.1)
        time.sleep(rng.random() * 0.2)


def exactly_once(served: Served, accepted: list[str]) -> None:
    for job in served.finished(accepted, 90):
        assert job["status"] == "succeeded", job["error"]
        assert len(job["artifacts"]) == 1
        ends = [event for event in served.events(job["id"]) if event["type"] in ("Succeeded", "Failed")]
        assert len(ends) == 1


@pytest.mark.timeout(240)
def test_a_server_killed_again_and_again_finds_its_prompts_again(
    served: Served, nodes: list[TestNode]
) -> None:
    rng, accepted = random.Random(3), list[str]()
    clients = [threading.Thread(target=submit, args=(served, accepted, JOBS // 2, n)) for n in range(2)]
    for client in clients:
        client.start()
    for _ in range(KILLS):
        time.sleep(0.5 + rng.random())
        served.kill()
        served.start(nodes=False)
    for client in clients:
        client.join()
    exactly_once(served, accepted)
    rendered = Counter(prompt for node in nodes for prompt in node.executed)
    assert max(rendered.values()) == 1, "no prompt is rendered twice"
    # A submission whose answer was lost with the server is a job too, though its client asks again.
    assert len(rendered) >= len(accepted)


@pytest.mark.timeout(240)
def test_nodes_that_die_in_mid_render_cost_a_try_and_no_job(served: Served, nodes: list[TestNode]) -> None:
    rng, accepted = random.Random(4), list[str]()
    client = threading.Thread(target=submit, args=(served, accepted, JOBS // 2, 9))
    client.start()
    for number in range(4):
        time.sleep(0.4 + rng.random())
        nodes[number % 2].restart()
    client.join()
    exactly_once(served, accepted)
