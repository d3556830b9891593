"""What only Redis brings: few messages, and news between processes at once."""

import json
import time
from datetime import datetime
from typing import Any

import pytest

from tests.conftest import image_job
from tests.dispatch.fleet import HEARTBEAT_S, Fleet
from tests.redis import RedisServer

STEPS = {"properties": {"simulate": {"step_ms": 100}}, "params": {"steps": 10}}


@pytest.fixture
def fleet(celery_fleet: Fleet) -> Fleet:
    celery_fleet.ensure(1)
    return celery_fleet


def test_an_answer_held_for_a_job_of_another_process_comes_at_once(fleet: Fleet):
    late_ms = [held_too_long_ms(fleet) for _ in range(6)]
    assert min(late_ms) < 50, late_ms


def test_steps_and_previews_of_another_process_are_streamed(fleet: Fleet):
    job_id = fleet.submit(**STEPS)
    frames = streamed(fleet, job_id)
    steps = [body["step"] for name, body in frames if name == "progress"]
    assert steps == sorted(steps)
    assert len(steps) >= 3
    assert any("preview" in body for name, body in frames if name == "progress")
    assert frames[-1][0] == "Succeeded"


def test_a_wish_to_cancel_reaches_the_worker_before_its_heartbeat(fleet: Fleet):
    job_id = fleet.submit(properties={"simulate": "hang"})
    fleet.worker_of(job_id)
    start = time.monotonic()
    assert fleet.server.client.delete(f"/v1/consumer/jobs/{job_id}").is_success
    assert fleet.server.wait(job_id)["status"] == "canceled"
    assert time.monotonic() - start < HEARTBEAT_S / 2


def test_a_job_costs_at_most_one_message_and_a_fifth(fleet: Fleet, redis: RedisServer):
    before = redis.pushes()
    for _ in range(10):
        assert held(fleet).status_code == 200
    assert (redis.pushes() - before) / 10 <= 1.2
    # While jobs come faster than they are awaited, a worker that claims one also wakes a slot for the next.
    before = redis.pushes()
    ids = [fleet.submit() for _ in range(40)]
    assert {fleet.server.wait(job_id)["status"] for job_id in ids} == {"succeeded"}
    assert (redis.pushes() - before) / 40 <= 1.6
    before = redis.pushes()
    together = fleet.server.client.post("/v1/consumer/jobs", json={"jobs": [image_job()] * 40})
    jobs = [job["jobId"] for job in together.json()["jobs"]]
    assert {fleet.server.wait(job_id)["status"] for job_id in jobs} == {"succeeded"}
    assert (redis.pushes() - before) / 40 <= 0.8


def held(fleet: Fleet) -> Any:
    return fleet.server.client.post("/v1/consumer/jobs", params={"wait": "true"}, json=image_job())


def held_too_long_ms(fleet: Fleet) -> float:
    """From the end of the job to its answer."""
    answer = held(fleet)
    answered = time.time()
    job_id = answer.json()["jobs"][0]["jobId"]
    finished = fleet.server.client.get(f"/api/v1/jobs/{job_id}").json()["finishedAt"]
    return (answered - datetime.fromisoformat(finished).timestamp()) * 1000


def streamed(fleet: Fleet, job_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and bodies of all frames of a job's stream."""
    frames: list[tuple[str, dict[str, Any]]] = []
    name = ""
    with fleet.server.client.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ").strip()
            elif line.startswith("data: "):
                frames.append((name, json.loads(line.removeprefix("data: "))))
    return frames
