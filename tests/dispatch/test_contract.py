"""What every way of dispatch promises, on real processes: inline on one database, Celery on Redis and
on RabbitMQ."""

import time

import pytest

from imagemill.bootstrap.stores import build_stores
from imagemill.db.engine import open_engines
from imagemill.domain.clock import now_us, uuid7
from imagemill.jobs.store.submit import Submission
from imagemill.jobs.submit import JobRequest
from tests.conftest import SD1
from tests.dispatch.fleet import SWEEP_S, Fleet

SLOW = {"properties": {"simulate": {"step_ms": 100}}, "params": {"steps": 10}}


@pytest.fixture(params=["inline", "celery", "rabbit"])
def fleet(request: pytest.FixtureRequest) -> Fleet:
    fleet: Fleet = request.getfixturevalue(f"{request.param}_fleet")
    fleet.ensure(1)
    return fleet


def test_a_wake_up_leads_to_a_run_long_before_a_sweep(fleet: Fleet):
    taken: list[float] = []
    for _ in range(5):
        start = time.monotonic()
        job = fleet.server.wait(fleet.submit())
        taken.append(time.monotonic() - start)
        assert job["status"] == "succeeded"
    assert min(taken) < SWEEP_S / 2


def test_a_job_whose_wake_up_is_lost_is_only_late(fleet: Fleet):
    job_id = submit_silently(fleet)
    assert fleet.server.wait(job_id)["status"] == "succeeded"


def test_a_burst_is_shared_by_all_workers(fleet: Fleet):
    fleet.ensure(2)
    ids = [fleet.submit(**SLOW) for _ in range(8)]
    assert len({fleet.worker_of(job_id).process.pid for job_id in ids}) == 2
    assert {fleet.server.wait(job_id)["status"] for job_id in ids} == {"succeeded"}


def test_a_killed_workers_job_is_finished_by_another_one_exactly_once(fleet: Fleet):
    fleet.ensure(2)
    job_id = fleet.submit(**SLOW)
    fleet.worker_of(job_id).process.kill()
    assert fleet.server.wait(job_id)["status"] == "succeeded"
    kinds = [kind for kind in fleet.kinds(job_id) if kind != "Updated"]
    assert kinds == ["Initialized", "Claimed", "ClaimExpired", "Claimed", "Succeeded"]


def test_a_worker_that_stops_finishes_what_it_runs_and_begins_nothing(fleet: Fleet):
    job_id = fleet.submit(**SLOW)
    worker = fleet.worker_of(job_id)
    worker.signal()
    worker.line("stopping")
    later = fleet.submit()
    assert worker.ended() == 0
    assert fleet.server.app.stores.jobs.job(job_id).status.value == "succeeded"
    assert fleet.server.app.stores.jobs.job(job_id).attempt == 1
    assert not any(line.get("job") == later for line in worker.lines())
    fleet.ensure(1)
    assert fleet.server.wait(later)["status"] == "succeeded"


def test_an_unknown_queue_wakes_nobody_in_vain_and_breaks_nothing(fleet: Fleet):
    fleet.server.app.dispatcher.wake("video")
    assert fleet.server.wait(fleet.submit())["status"] == "succeeded"


def submit_silently(fleet: Fleet) -> str:
    """As a process does that dies between its commit and its wake-up."""
    app = fleet.server.app
    job_request = JobRequest(
        "textToImage", {"model": SD1, "prompt": "a lighthouse", "width": 64, "height": 64}
    )
    drafts = app.services.submitter.prepare("local", [job_request], dialect="native")
    silent = build_stores(open_engines(app.settings.database))
    job = silent.jobs.submit(Submission(uuid7(), "local", drafts, now_us())).jobs[0]
    silent.close()
    return job.id
