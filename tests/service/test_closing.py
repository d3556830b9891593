"""Closing a runner: what it runs has a grace, and is handed back after it."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from imagemill.backends.base import Output, Progress, RenderControl, RenderRequest
from imagemill.bootstrap.stores import Stores
from imagemill.domain.jobs import JobStatus
from tests.service.build import Held, add, offer, output, types

S = JobStatus


def test_closing_hands_a_running_job_back_without_using_up_a_try(store: Stores, make: Any):
    held = Held()
    it, job = make(held), add(store)
    thread = it.start()
    held.begun.wait(30)
    it.runner.close(0.05)
    thread.join(30)
    after = store.jobs.job(job.id)
    assert (after.status, after.failures, after.run_after) == (S.QUEUED, 0, None)
    assert types(store, job)[-1] == "ClaimExpired"
    assert it.runner.active == 0


def test_closing_lets_a_render_finish_in_its_grace(store: Stores, make: Any):
    held = Held()
    it, job = make(held), add(store)
    thread = it.start()
    held.begun.wait(30)
    threading.Timer(0.1, held.go.set).start()
    it.runner.close(5)
    thread.join(30)
    assert store.jobs.job(job.id).status is S.SUCCEEDED


@pytest.fixture
def claimed(store: Stores, make: Any) -> Iterator[Any]:
    """A runner that has just claimed a job, and has not begun it yet when its closing begins."""
    just_claimed, go = threading.Event(), threading.Event()

    def hold() -> None:
        just_claimed.set()
        go.wait(30)

    def claim(follow: Any = None) -> Any:
        it = make(follow)
        threads.append(threading.Thread(target=it.runner.run_all, args=(offer, hold)))
        threads[0].start()
        assert just_claimed.wait(30)
        threading.Timer(0.1, go.set).start()
        return it

    threads: list[threading.Thread] = []
    yield claim
    threads[0].join(30)


def test_closing_lets_a_job_that_was_just_claimed_finish_in_its_grace(store: Stores, claimed: Any):
    job = add(store)
    claimed().runner.close(5)
    assert store.jobs.job(job.id).status is S.SUCCEEDED


def test_closing_hands_a_job_back_that_was_just_claimed(store: Stores, claimed: Any):
    job = add(store)
    claimed(Held()).runner.close(0)
    after = store.jobs.job(job.id)
    assert (after.status, after.failures) == (S.QUEUED, 0)
    assert types(store, job) == ["Initialized", "Claimed", "ClaimExpired"]


def test_a_closed_runner_claims_nothing(store: Stores, make: Any):
    it = make()
    it.runner.close(0)
    job = add(store)
    assert it.run() is False
    assert store.jobs.job(job.id).status is S.QUEUED


def test_the_log_is_not_flooded_while_a_render_finishes_at_closing(store: Stores, make: Any):
    over = threading.Event()

    def steps(request: RenderRequest, watch: RenderControl) -> Sequence[Output]:
        for step in range(1, 101):
            watch.progress(Progress(step, 100))
            if step == 2:
                over.set()
            watch.wait(0.005)
        return [output()]

    it, job = make(steps, heartbeat_s=0.2), add(store)
    began = time.monotonic()
    thread = it.start()
    over.wait(30)
    it.runner.close(20)
    thread.join(30)
    took_s = time.monotonic() - began
    assert types(store, job)[-1] == "Succeeded"
    # Ten a second; the render takes half a second, and several on a busy machine.
    assert types(store, job).count("Updated") <= took_s * 10 + 2
