"""Jobs whose renders take no time, many slots on one thread."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from imagemill.backends.base import Output, RenderControl, RenderRequest, RenderResult
from imagemill.blobs.base import NewBlob
from imagemill.bootstrap.stores import Stores
from imagemill.db.group_commit import WriteResult
from imagemill.domain.clock import now_us
from imagemill.domain.errors import BackendError, StorageError
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import JobStatus
from imagemill.domain.scheduling import Offer
from imagemill.jobs import instant
from imagemill.jobs.attempt import Attempt
from imagemill.jobs.instant import InstantRunner
from imagemill.jobs.runner import Runner
from imagemill.jobs.store.finish import Cancel
from tests.service.build import (
    FakeBackend,
    MemoryBlobs,
    add,
    hub,
    offer,
    output,
    png,
    recipe,
    run_settings,
    types,
    wait_until,
)

S = JobStatus


class InstantBackend(FakeBackend):
    """Renders at once, but for the jobs in ``slow``."""

    def __init__(self, follow: Callable[[RenderRequest, RenderControl], Sequence[Output]] | None) -> None:
        super().__init__(follow)
        self.slow: set[str] = set()
        self.followed: list[str] = []

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        self.followed.append(request.job_id)
        return super().follow(request, reference, control)

    def follow_at_once(
        self, request: RenderRequest, reference: str, control: RenderControl
    ) -> RenderResult | None:
        return None if request.job_id in self.slow else super().follow(request, reference, control)


class QuickNodes(FakeBackend):
    """Nodes whose renders end soon, but for the jobs in ``slow``."""

    def __init__(self, follow: Callable[[RenderRequest, RenderControl], Sequence[Output]] | None) -> None:
        super().__init__(follow)
        self.slow: set[str] = set()
        self.steps: list[tuple[str, str]] = []
        self.send_s = 0.0

    def send(self, request: RenderRequest) -> str:
        self.steps.append(("sent", request.job_id))
        time.sleep(self.send_s)
        return super().send(request)

    def follow_briefly(
        self, request: RenderRequest, reference: str, control: RenderControl
    ) -> RenderResult | None:
        self.steps.append(("followed", request.job_id))
        return None if request.job_id in self.slow else super().follow(request, reference, control)


class CountingBlobs(MemoryBlobs):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []
        self.failures = 0

    def create_all(self, blobs: Sequence[NewBlob]) -> None:
        self.calls.append(len(blobs))
        if self.failures:
            self.failures -= 1
            raise StorageError("the disk is full")
        super().create_all(blobs)


@dataclass
class Shop:
    store: Stores
    backend: Any
    blobs: CountingBlobs
    runner: Runner
    instant: InstantRunner
    handed_over: list[Attempt] = field(default_factory=list[Attempt])
    claims: int = 0

    def run(self, *offers: Offer) -> int:
        """Run all there is on these slots; return how many jobs were claimed."""

        def free(waiting: Iterable[Attempt]) -> Sequence[Offer]:
            return offers[len([*waiting]) + len(self.handed_over) :]

        def claimed() -> None:
            self.claims += 1

        return self.instant.run_all(free, claimed, self.handed_over.append)


@pytest.fixture
def shop(store: Stores) -> Any:
    made: list[Shop] = []

    def make(follow: Any = None, *, at_once: int = 4, kind: Any = InstantBackend, **changes: Any) -> Shop:
        backend, blobs = kind(follow), CountingBlobs()
        backends, hub_ = {"fake": backend}, hub(store)
        settings = run_settings(**changes)
        runner = Runner(store.jobs, {"square": recipe()}, backends, blobs, blobs.get, hub_, *settings)
        made.append(
            Shop(store, backend, blobs, runner, InstantRunner(runner, backends, blobs, at_once=at_once))
        )
        return made[-1]

    yield make
    for each in made:
        each.runner.close(0)


def statuses(store: Stores, *ids: str) -> list[JobStatus]:
    return [store.jobs.job(id_).status for id_ in ids]


def test_all_jobs_are_run_on_one_thread_and_their_files_stored_together(store: Stores, shop: Any):
    it, jobs = shop(), [add(store) for _ in range(10)]
    assert it.run(*[offer()] * 8) == 10
    assert statuses(store, *(job.id for job in jobs)) == [S.SUCCEEDED] * 10
    assert it.blobs.calls == [4, 4, 2]
    assert it.claims == 1
    for job in jobs:
        (picture,) = store.jobs.view(job.id).artifacts
        assert it.blobs.get(picture.blob_key) == png()
        assert types(store, job) == ["Initialized", "Claimed", "Succeeded"]
    assert it.runner.active == 0


def test_without_work_there_is_nothing_to_run(shop: Any):
    it = shop()
    assert it.run(offer(), offer()) == 0
    assert it.claims == 0


def test_a_stage_is_timed_for_each_job(store: Stores, shop: Any):
    it, job = shop(), add(store)
    it.run(offer())
    stages = [stage["stage"] for stage in store.jobs.view(job.id).last_event.data["stages"]]
    assert stages == ["CLAIMED", "PROMPT_PREPARED", "SENT_TO_BACKEND", "BACKEND_RESULT", "STORED"]


def test_a_render_that_takes_time_gets_a_thread_that_then_goes_on_with_its_slot(store: Stores, shop: Any):
    it, slow, others = shop(), add(store), [add(store) for _ in range(3)]
    it.backend.slow.add(slow.id)
    assert it.run(offer(), offer()) == 4
    assert statuses(store, slow.id, *(job.id for job in others)) == [S.RUNNING] + [S.SUCCEEDED] * 3
    (attempt,) = it.handed_over
    last = add(store)
    it.instant.run_on(attempt, offer)
    assert statuses(store, slow.id, last.id) == [S.SUCCEEDED] * 2
    # It was not sent twice.
    assert [request.job_id for request in it.backend.orders].count(slow.id) == 1
    assert it.backend.followed == [slow.id, last.id]
    stages = [stage["stage"] for stage in store.jobs.view(slow.id).last_event.data["stages"]]
    assert stages == ["CLAIMED", "PROMPT_PREPARED", "SENT_TO_BACKEND", "BACKEND_RESULT", "STORED"]


def test_closing_waits_for_a_job_that_was_handed_over_but_not_begun(store: Stores, shop: Any):
    it, slow = shop(), add(store)
    it.backend.slow.add(slow.id)
    it.run(offer())
    closing = threading.Thread(target=it.runner.close, args=(30,))
    closing.start()
    wait_until(lambda: it.runner.is_closing)
    it.instant.run_on(it.handed_over[0], lambda: None)
    closing.join(30)
    assert not closing.is_alive()
    assert statuses(store, slow.id) == [S.SUCCEEDED]


def test_a_failure_concerns_its_own_job_alone(store: Stores, shop: Any):
    bad: set[str] = set()

    def follow(request: RenderRequest, control: RenderControl) -> Sequence[Output]:
        if request.job_id in bad:
            raise BackendError(FailureCode.INVALID_GRAPH, "the graph has a circle")
        return [output()]

    it, jobs = shop(follow), [add(store) for _ in range(3)]
    bad.add(jobs[1].id)
    it.run(*[offer()] * 3)
    assert statuses(store, *(job.id for job in jobs)) == [S.SUCCEEDED, S.FAILED, S.SUCCEEDED]
    assert "circle" in store.jobs.job(jobs[1].id).error.message


def test_a_bug_in_a_render_ends_its_attempt_and_nothing_else(store: Stores, shop: Any):
    def follow(request: RenderRequest, control: RenderControl) -> Sequence[Output]:
        if request.job_id == jobs[0].id:
            raise ZeroDivisionError
        return [output()]

    jobs = [add(store, max_failures=1) for _ in range(2)]
    shop(follow).run(offer(), offer())
    assert statuses(store, *(job.id for job in jobs)) == [S.FAILED, S.SUCCEEDED]


def test_outputs_that_do_not_match_are_refused_before_any_is_stored(store: Stores, shop: Any):
    it, job = shop(lambda request, control: []), add(store, max_failures=1)
    it.run(offer())
    assert statuses(store, job.id) == [S.FAILED]
    assert it.blobs.files == {}


def test_where_storing_together_fails_each_is_stored_by_itself(store: Stores, shop: Any):
    it, jobs = shop(), [add(store) for _ in range(3)]
    it.blobs.failures = 1
    it.run(*[offer()] * 3)
    assert statuses(store, *(job.id for job in jobs)) == [S.SUCCEEDED] * 3
    assert it.blobs.calls == [3, 1, 1, 1]


def test_where_a_file_cannot_be_stored_its_job_is_tried_again(store: Stores, shop: Any):
    it, jobs = shop(), [add(store) for _ in range(2)]
    it.blobs.failures = 2
    it.run(offer(), offer())
    # The second try has another attempt's name.
    assert statuses(store, *(job.id for job in jobs)) == [S.SUCCEEDED] * 2
    assert sorted(store.jobs.job(job.id).attempt for job in jobs) == [1, 2]


def test_a_job_canceled_while_it_waits_is_not_rendered(store: Stores, shop: Any):
    jobs = [add(store) for _ in range(2)]

    def follow(request: RenderRequest, control: RenderControl) -> Sequence[Output]:
        if request.job_id == jobs[0].id:
            store.jobs.cancel(Cancel(jobs[1].id, "ann", now_us()))
            it.runner.stop_job(jobs[1].id)
        return [output()]

    it = shop(follow, at_once=1)
    it.run(offer(), offer())
    assert statuses(store, *(job.id for job in jobs)) == [S.SUCCEEDED, S.CANCELED]
    assert len(it.blobs.files) == 1


def test_a_job_erased_while_it_runs_leaves_no_file(store: Stores, shop: Any):
    job = add(store)

    def follow(request: RenderRequest, control: RenderControl) -> Sequence[Output]:
        store.jobs.erase("ann", [job.id])
        return [output()]

    it = shop(follow)
    it.run(offer())
    assert it.blobs.files == {}
    assert it.runner.active == 0


def test_a_closing_runner_ends_what_it_has_and_claims_no_more(store: Stores, shop: Any):
    jobs = [add(store) for _ in range(4)]

    def follow(request: RenderRequest, control: RenderControl) -> Sequence[Output]:
        if not closing.is_alive():
            closing.start()
            wait_until(lambda: it.runner.is_closing)
        return [output()]

    it = shop(follow)
    closing = threading.Thread(target=it.runner.close, args=(30,))
    it.run(offer(), offer())
    closing.join(30)
    assert statuses(store, *(job.id for job in jobs)).count(S.SUCCEEDED) == 2
    assert statuses(store, *(job.id for job in jobs)).count(S.QUEUED) == 2
    assert it.run(offer()) == 0


def test_jobs_that_wait_are_run_though_no_more_can_be_claimed(
    store: Stores, shop: Any, monkeypatch: pytest.MonkeyPatch
):
    it, jobs = shop(at_once=1), [add(store) for _ in range(5)]
    real = store.jobs.finish_and_claim_all

    def failing(finishes: Any, asks: Any) -> Any:
        if not finishes:
            return real(finishes, asks)
        failed = WriteResult()
        failed.set_exception(StorageError("the database is locked"))
        return real(finishes, ())[0], [failed for _ in asks]

    monkeypatch.setattr(store.jobs, "finish_and_claim_all", failing)
    assert it.run(*[offer()] * 3) == 3
    assert statuses(store, *(job.id for job in jobs)) == [S.SUCCEEDED] * 3 + [S.QUEUED] * 2
    assert it.runner.active == 0


def test_a_bug_leaves_no_attempt_that_has_heartbeats_and_does_not_run(store: Stores, shop: Any):
    it = shop(at_once=1)
    for _ in range(4):
        add(store)
    calls = 0

    def free(waiting: Iterable[Attempt]) -> Sequence[Offer]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ZeroDivisionError
        return [offer()] * 3

    with pytest.raises(ZeroDivisionError):
        it.instant.run_all(free, lambda: None, it.handed_over.append)
    # The first had run, and its end was not recorded either.
    assert it.runner.active == 0


# Renders on quick nodes


def test_all_are_sent_to_a_quick_node_before_the_first_is_followed(store: Stores, shop: Any):
    it, jobs = shop(kind=QuickNodes), [add(store) for _ in range(3)]
    assert it.run(*[offer()] * 3) == 3
    assert [step for step, _ in it.backend.steps] == ["sent"] * 3 + ["followed"] * 3
    assert [job for _, job in it.backend.steps] == [job.id for job in jobs] * 2
    assert it.blobs.calls == [3]
    assert statuses(store, *(job.id for job in jobs)) == [S.SUCCEEDED] * 3
    assert (it.instant.backends, it.instant.quick_backends) == (frozenset(), {"fake"})


def test_a_render_on_a_quick_node_that_takes_time_after_all_is_followed_by_another_thread(
    store: Stores, shop: Any
):
    it, slow, other = shop(kind=QuickNodes), add(store), add(store)
    it.backend.slow.add(slow.id)
    assert it.run(offer(), offer()) == 2
    assert statuses(store, slow.id, other.id) == [S.RUNNING, S.SUCCEEDED]
    it.instant.run_on(it.handed_over[0], lambda: None)
    assert statuses(store, slow.id) == [S.SUCCEEDED]
    assert it.backend.steps.count(("sent", slow.id)) == 1


def test_a_node_that_takes_long_to_answer_does_not_hold_up_the_other_jobs(
    store: Stores, shop: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(instant, "_LATE_S", 0.01)
    it, first, others = shop(kind=QuickNodes), add(store), [add(store) for _ in range(2)]
    it.backend.send_s = 0.02
    it.run(*[offer()] * 3)
    assert statuses(store, first.id, *(job.id for job in others)) == [S.SUCCEEDED, S.RUNNING, S.RUNNING]
    for attempt in it.handed_over:
        it.instant.run_on(attempt, lambda: None)
    assert statuses(store, *(job.id for job in others)) == [S.SUCCEEDED] * 2


def test_a_prompt_that_a_quick_node_refuses_fails_alone(store: Stores, shop: Any):
    it, bad, good = shop(kind=QuickNodes), add(store), add(store)
    send = it.backend.send

    def refuse(request: RenderRequest) -> str:
        if request.job_id == bad.id:
            raise BackendError(FailureCode.INVALID_GRAPH, "the graph has a circle")
        return send(request)

    it.backend.send = refuse
    it.run(offer(), offer())
    assert statuses(store, bad.id, good.id) == [S.FAILED, S.SUCCEEDED]
