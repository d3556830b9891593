"""API, scheduler and worker as real processes on one SQLite file, without a broker."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from imagemill.jobs.capacity import NO_SCHEDULER, NO_WORKER
from tests.cli.programs import Program, image_job, run, running
from tests.service.build import wait_until

JOBS = 8


class Machine:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.parts: dict[str, Program] = {}
        for role in ("api", "scheduler", "worker"):
            self.start(role)

    def start(self, role: str) -> None:
        settings = {
            "IMAGEMILL_DATA_DIR": str(self._folder / "data"),
            "IMAGEMILL_PORT": "0",
            "IMAGEMILL_SWEEP_S": "0.5",
            # So rare that what comes sooner came over the sockets.
            "IMAGEMILL_SCHEDULER_POLL_MS": "60000",
            "IMAGEMILL_JOB__HEARTBEAT_S": "10",
            "IMAGEMILL_JOB__LEASE_S": "60",
            "IMAGEMILL_SHUTDOWN_GRACE_S": "1",
        }
        part = self._stack.enter_context(running(role, cwd=self._folder, **settings))
        part.line("listening on" if role == "api" else f"{role} started")
        self.parts[role] = part

    def kill(self, role: str) -> None:
        self.parts[role].signal(signal.SIGKILL)
        self.parts[role].ended()

    def client(self) -> httpx2.Client:
        return self.parts["api"].client()

    def submit(self, step_ms: float, steps: int = 4, query: str = "") -> dict[str, Any]:
        with self.client() as client:
            job = image_job(steps, properties={"simulate": {"step_ms": step_ms}})
            return client.post(f"/v1/consumer/jobs{query}", json=job).raise_for_status().json()["jobs"][0]

    def read(self, path: str) -> dict[str, Any]:
        with self.client() as client:
            return client.get(path).raise_for_status().json()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with ExitStack() as stack:
        yield Machine(tmp_path, stack)


def test_wake_ups_events_progress_and_cancellations_pass_between_processes(machine: Machine):
    assert machine.submit(0, query="?wait=true")["result"]["available"]

    job_id = machine.submit(1000, steps=100)["jobId"]
    previews: list[dict[str, Any]] = []
    with machine.client() as client, client.stream("GET", f"/api/v1/jobs/{job_id}/events") as events:
        for line in events.iter_lines():
            if line.startswith("data:") and "step" in (told := json.loads(line[5:])):
                previews.append(told)
            if len(previews) == 2:
                break
    assert previews[-1]["total"] == 100
    assert previews[-1]["step"] > previews[0]["step"]

    # Without a message the worker would learn of it after ten seconds, and the render lasts a hundred.
    with machine.client() as client:
        client.post(f"/api/v1/jobs/{job_id}/cancel").raise_for_status()
    wait_until(lambda: machine.read(f"/api/v1/jobs/{job_id}")["status"] == "canceled")


@pytest.mark.parametrize("role", ["worker", "api", "scheduler"])
def test_a_killed_process_loses_nothing(machine: Machine, role: str):
    accepted = [machine.submit(50)["jobId"] for _ in range(JOBS)]
    wait_until(lambda: any(machine.read(f"/api/v1/jobs/{each}")["status"] == "running" for each in accepted))
    machine.kill(role)
    machine.start(role)
    accepted.append(machine.submit(0, query="?wait=true")["jobId"])
    wait_until(
        lambda: all(machine.read(f"/api/v1/jobs/{each}")["status"] == "succeeded" for each in accepted)
    )
    for job_id in accepted:
        told = machine.read(f"/api/v1/jobs/{job_id}/events?stream=false")["items"]
        assert [event["type"] for event in told].count("Succeeded") == 1
        assert len(machine.read(f"/api/v1/jobs/{job_id}")["artifacts"]) == 1


def test_what_does_not_run_is_said_with_the_remedy(machine: Machine, tmp_path: Path):
    data = {"IMAGEMILL_DATA_DIR": str(tmp_path / "data")}
    assert machine.read("/health")["problems"] == []
    machine.submit(0, query="?wait=true")
    for role in ("worker", "scheduler"):
        machine.kill(role)
    wait_until(lambda: machine.read("/health")["problems"] == [NO_WORKER, NO_SCHEDULER])
    job_id = machine.submit(0)["jobId"]
    assert machine.read(f"/api/v1/jobs/{job_id}")["waits"] == NO_WORKER
    found = run("doctor", "--only", "processes", cwd=tmp_path, **data).stdout
    assert NO_WORKER in " ".join(found.split())
    assert NO_SCHEDULER in " ".join(found.split())
    for role in ("worker", "scheduler"):
        machine.start(role)
    wait_until(lambda: machine.read(f"/api/v1/jobs/{job_id}")["status"] == "succeeded")
    wait_until(lambda: machine.read("/health")["problems"] == [])
