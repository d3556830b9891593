"""A worker that is told to stop while it renders: nothing is lost, and nothing is made twice."""

import os
import time

import pytest

from tests.dispatch.fleet import Fleet

SLOW = {"properties": {"simulate": {"step_ms": 150}}, "params": {"steps": 10}}
SECONDS = 1.5
"""What that takes."""
KINDS = [pytest.param(("worker", "--queues", "gpu"), id="imagemill"), pytest.param((), id="celery")]


@pytest.fixture
def fleet(celery_fleet: Fleet) -> Fleet:
    return celery_fleet


@pytest.mark.parametrize("command", KINDS)
def test_a_job_that_ends_within_the_grace_is_finished_by_the_worker_that_stops(
    fleet: Fleet, command: tuple[str, ...]
):
    with fleet.only_worker(*command) as worker:
        job_id = fleet.submit(**SLOW)
        fleet.wait_for(job_id, "running")
        worker.signal()
        later = fleet.submit()
        assert worker.ended() == os.EX_OK
        assert fleet.server.app.stores.jobs.job(job_id).status.value == "succeeded"
    fleet.ensure(1)
    assert fleet.server.wait(later)["status"] == "succeeded"
    assert (fleet.claims(job_id), fleet.claims(later)) == (1, 1)


@pytest.mark.parametrize("command", KINDS)
def test_a_job_that_outlasts_the_grace_is_handed_back_and_finished_once_elsewhere(
    fleet: Fleet, command: tuple[str, ...]
):
    with fleet.only_worker(*command, IMAGEMILL_SHUTDOWN_GRACE_S="0.2") as worker:
        job_id = fleet.submit(**SLOW)
        fleet.wait_for(job_id, "running")
        start = time.monotonic()
        worker.signal()
        fleet.wait_for(job_id, "queued")
        assert time.monotonic() - start < SECONDS
        assert worker.ended() == os.EX_OK
    fleet.ensure(1)
    assert fleet.server.wait(job_id)["status"] == "succeeded"
    events = [e for e in fleet.server.app.stores.jobs.events_after(job_id, 0) if e.type.value != "Updated"]
    kinds = [event.type.value for event in events]
    assert kinds == ["Initialized", "Claimed", "ClaimExpired", "Claimed", "Succeeded"]
    assert "handed the job back" in str(events[2].data)
