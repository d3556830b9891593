"""Running attempts to exactly one end."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from imagemill.backends.base import Output, Progress, RenderControl, RenderRequest
from imagemill.bootstrap.stores import Stores
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import BackendError, StorageError
from imagemill.domain.failures import POLICIES, FailureCode, RetryTarget
from imagemill.domain.jobs import JobStatus, LaneKey
from imagemill.jobs.store.finish import Cancel, ReclaimLeases
from tests.service.build import Held, add, offer, output, png, types, wait_until

S = JobStatus


def test_without_work_there_is_nothing_to_run(make: Any):
    assert make().run() is False


def test_a_job_is_run_and_delivered(store: Stores, make: Any):
    it, job = make(), add(store)
    assert it.run() is True
    view = store.jobs.view(job.id)
    (picture,) = view.artifacts
    assert (view.job.status, view.job.attempt) == (S.SUCCEEDED, 1)
    assert (picture.blob_key, picture.width, picture.height, picture.seed) == (
        f"jobs/{job.id}/1/0.png",
        8,
        8,
        7,
    )
    assert it.blobs.get(picture.blob_key) == png()
    assert picture.size == len(png())
    stages = [stage["stage"] for stage in view.last_event.data["stages"]]
    assert stages == ["CLAIMED", "PROMPT_PREPARED", "SENT_TO_BACKEND", "BACKEND_RESULT", "STORED"]


def test_converting_and_storing_are_timed_each_on_its_own(store: Stores, make: Any):
    it, job = make(), add(store)
    it.run()
    data = store.jobs.view(job.id).last_event.data
    stored = next(stage for stage in data["stages"] if stage["stage"] == "STORED")
    assert data["convertMs"] > 0
    assert data["uploadMs"] > 0
    assert data["convertMs"] + data["uploadMs"] <= stored["ms"] + 0.01


def test_a_slot_runs_all_there_is(store: Stores, make: Any):
    it = make()
    jobs = [add(store) for _ in range(3)]
    assert it.runner.run_all(offer) is True
    assert [store.jobs.job(job.id).status for job in jobs] == [S.SUCCEEDED] * 3
    assert it.runner.run_all(offer) is False


def test_a_slot_that_offers_no_more_finishes_what_it_has(store: Stores, make: Any):
    offers = [offer(), None]
    it, first, second = make(), add(store), add(store)
    it.runner.run_all(lambda: offers.pop(0))
    assert [store.jobs.job(job.id).status for job in (first, second)] == [S.SUCCEEDED, S.QUEUED]


def test_the_backend_s_reference_is_kept_as_soon_as_it_is_known(store: Stores, make: Any):
    held = Held()
    it, job = make(held), add(store)
    it.backend.reference = "request-7"
    thread = it.start()
    held.begun.wait(30)
    assert store.jobs.job(job.id).backend_ref == "request-7"
    held.go.set()
    thread.join()


def breaking(code: FailureCode) -> Any:
    def follow(request: RenderRequest, watch: RenderControl) -> Sequence[Output]:
        raise BackendError(code, "it broke")

    return follow


@pytest.mark.parametrize("code", [code for code in FailureCode if code is not FailureCode.WORKER_LOST])
def test_a_failure_is_tried_as_often_as_its_policy_says(store: Stores, make: Any, code: FailureCode):
    policy = POLICIES[code]
    tries = 1 if policy.where is RetryTarget.NEVER else min(policy.tries or 3, 3)
    it, job = make(breaking(code), avoid_node_s=0.0), add(store, max_failures=3)
    for number in range(tries):
        assert it.run(f"node-{number}")
    assert not it.run("node-9")
    done = store.jobs.job(job.id)
    assert (done.status, done.attempt, done.failures) == (S.FAILED, tries, tries)
    assert done.error is not None
    assert (done.error.code, done.error.message) == (code, "it broke")
    assert types(store, job) == ["Initialized", *["Claimed", "Rejected"] * (tries - 1), "Claimed", "Failed"]


def test_a_node_that_failed_is_left_alone_for_a_while(store: Stores, make: Any):
    it, job = make(breaking(FailureCode.NODE_LOST)), add(store)
    it.run("node-1")
    assert not it.run("node-1")
    assert it.run("node-2")
    assert store.jobs.job(job.id).attempt == 2


def test_the_only_node_there_is_is_tried_again(store: Stores, make: Any):
    it, job = make(breaking(FailureCode.NODE_LOST)), add(store)
    it.backend.names = ("node-1",)
    it.run("node-1")
    assert it.run("node-1")
    assert store.jobs.job(job.id).attempt == 2


@pytest.mark.parametrize(
    "other",
    [
        {"draining": True},
        {"healthy": False},
        {"remote": True},
        {"backend": "another"},
        {"queues": frozenset({"video"})},
        {"labels": frozenset()},
        {"memory_mb": 8},
        {"available": frozenset({"model-b", "LoRA x"})},
        {"available": frozenset({"model-a"})},
    ],
)
def test_a_node_that_could_not_take_the_job_does_not_make_it_wait(
    store: Stores, make: Any, other: dict[str, Any]
):
    lane = LaneKey(
        "gpu", "model-a", backends=("fake",), labels=("eu",), memory_mb=16, requirements=("LoRA x",)
    )
    it, job = make(breaking(FailureCode.NODE_LOST)), add(store, lane=lane)
    able = {"labels": frozenset({"eu"}), "memory_mb": 16}
    it.backend.nodes_with = {"node-1": able, "node-2": able | other}
    it.run("node-1", labels=frozenset({"eu"}))
    assert it.run("node-1", labels=frozenset({"eu"}))
    assert store.jobs.job(job.id).attempt == 2


def test_a_node_that_could_take_the_job_makes_it_leave_the_one_that_failed(store: Stores, make: Any):
    lane = LaneKey("gpu", "model-a", labels=("eu",))
    it, _ = make(breaking(FailureCode.NODE_LOST)), add(store, lane=lane)
    it.backend.nodes_with = {"node-2": {"labels": frozenset({"eu"}), "available": frozenset({"model-a"})}}
    it.run("node-1", labels=frozenset({"eu"}))
    assert not it.run("node-1", labels=frozenset({"eu"}))
    assert it.run("node-2", labels=frozenset({"eu"}))


def test_a_lost_node_is_asked_first_for_the_render_it_may_have_finished(store: Stores, make: Any):
    it = make(breaking(FailureCode.NODE_LOST))
    add(store)
    it.backend.names, it.backend.survives_worker = ("node-1",), True
    it.run("node-1")
    it.run("node-1")
    first, second = it.backend.orders
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.reference == second.reference


def test_a_backend_is_told_whether_somebody_watches_the_job(store: Stores, make: Any):
    it = make(previews=True)
    watched, other = add(store), add(store)

    async def watch() -> None:
        with it.hub.watch([watched.id], watched.owner):
            await asyncio.to_thread(it.runner.run_all, offer)

    asyncio.run(watch())
    seen = {request.job_id: request.watched for request in it.backend.orders}
    assert seen == {watched.id: True, other.id: False}


def test_a_retry_waits_as_long_as_the_back_off_says(store: Stores, make: Any):
    it, job = make(breaking(FailureCode.STORAGE), retry_base_s=60.0), add(store)
    before = now_us()
    it.run()
    run_after = store.jobs.job(job.id).run_after
    assert run_after is not None
    assert before + 30 * SECOND <= run_after <= now_us() + 60 * SECOND
    assert not it.run("node-2")


def test_a_failure_may_pass(store: Stores, make: Any):
    def once(request: RenderRequest, watch: RenderControl) -> Sequence[Output]:
        if request.attempt == 1:
            raise BackendError(FailureCode.STORAGE, "it broke")
        return [output()]

    it, job = make(once), add(store)
    it.run()
    it.run()
    assert types(store, job) == ["Initialized", "Claimed", "Rejected", "Claimed", "Succeeded"]
    assert store.jobs.view(job.id).artifacts[0].attempt == 2


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ([], "0 pictures were delivered instead of 1"),
        ([output(png(9, 8))], "picture 0 is 9 x 8, not 8 x 8"),
        ([output(png()[:40])], "picture 0: the picture cannot be decoded"),
        ([output(b"")], "picture 0: the picture cannot be decoded"),
        ([output(b"GIF89a" + b"\0" * 50)], "picture 0: the picture cannot be decoded"),
        ([output(png(200, 200))], "picture 0: 200 x 200 is more than 10000 pixels"),
    ],
    ids=["missing", "wrong size", "cut off", "empty", "no picture", "too large"],
)
def test_an_output_that_is_of_no_use_is_a_failure_of_the_node(
    store: Stores, make: Any, outputs: list[Output], why: str
):
    it, job = make(lambda request, watch: outputs), add(store)
    it.run()
    after = store.jobs.job(job.id)
    assert after.status is S.QUEUED
    assert after.error is not None
    assert after.error.code is FailureCode.BAD_OUTPUT
    assert why in after.error.message
    assert store.jobs.view(job.id).artifacts == ()


def test_one_damaged_picture_of_several_delivers_none(store: Stores, make: Any):
    it = make(lambda request, watch: [output(), output(b"x")])
    job = add(store, input={"pictures": 2}, max_failures=1)
    it.run()
    assert store.jobs.view(job.id).artifacts == ()
    assert store.jobs.job(job.id).status is S.FAILED


def test_a_bug_is_told_without_its_details(store: Stores, make: Any):
    def bug(request: RenderRequest, watch: RenderControl) -> Sequence[Output]:
        raise ZeroDivisionError("secret detail")

    it, job = make(bug), add(store)
    it.run()
    error = store.jobs.job(job.id).error
    assert error is not None
    assert error.code is FailureCode.BUG
    assert "secret" not in error.message


def test_a_blob_store_that_is_away_is_tried_again(store: Stores, make: Any):
    it, job = make(), add(store)

    def away(key: str, data: bytes, media_type: str) -> None:
        raise StorageError("no space left")

    it.blobs.create = away
    it.run()
    error = store.jobs.job(job.id).error
    assert error is not None
    assert (error.code, error.message) == (FailureCode.STORAGE, "no space left")
    assert store.jobs.job(job.id).status is S.QUEUED


def test_a_recipe_this_worker_does_not_have_is_a_failure(store: Stores, make: Any):
    job = add(store, recipe="circle")
    make().run()
    error = store.jobs.job(job.id).error
    assert error is not None
    assert "recipe 'circle'" in error.message


def test_a_superseded_attempt_changes_nothing_and_is_stopped(store: Stores, make: Any):
    held = Held()
    it, job = make(held, lease_s=0.2), add(store)
    thread = it.start()
    held.begun.wait(30)
    store.jobs.reclaim_leases(ReclaimLeases(now_us(), ("worker-1",)))
    other = make()
    assert other.runner.run_next(offer("node-2", "worker-2"))
    thread.join(30)
    assert held.stopped.is_set()
    assert store.jobs.view(job.id).artifacts[0].attempt == 2
    assert types(store, job) == ["Initialized", "Claimed", "ClaimExpired", "Claimed", "Succeeded"]


def test_a_superseded_attempt_leaves_its_render_to_the_next_one_on_its_node(store: Stores, make: Any):
    watches: list[RenderControl] = []
    held = Held()

    def follow(request: RenderRequest, watch: RenderControl) -> Sequence[Output]:
        watches.append(watch)
        return held(request, watch)

    it = make(follow)
    add(store)
    thread = it.start()
    held.begun.wait(30)
    store.jobs.reclaim_leases(ReclaimLeases(now_us(), ("worker-1",)))
    thread.join(30)
    assert held.stopped.is_set()
    assert watches[0].detached


def test_a_render_that_ends_after_it_was_superseded_delivers_nothing(store: Stores, make: Any):
    held = Held()
    it, job = make(held, heartbeat_s=60.0), add(store)
    thread = it.start()
    held.begun.wait(30)
    store.jobs.reclaim_leases(ReclaimLeases(now_us(), ("worker-1",)))
    held.go.set()
    thread.join(30)
    assert store.jobs.job(job.id).status is S.QUEUED
    assert store.jobs.view(job.id).artifacts == ()
    assert types(store, job)[-1] == "ClaimExpired"


def test_a_cancelled_job_is_stopped_by_its_next_heartbeat(store: Stores, make: Any):
    held = Held()
    it, job = make(held, lease_s=0.1), add(store)
    thread = it.start()
    held.begun.wait(30)
    store.jobs.cancel(Cancel(job.id, "ann", now_us()))
    thread.join(30)
    assert held.stopped.is_set()
    assert store.jobs.job(job.id).status is S.CANCELED


def test_a_cancelled_job_is_stopped_by_its_next_heartbeat_whatever_its_lease(store: Stores, make: Any):
    held = Held()
    it, job = make(held, lease_s=300.0), add(store)
    thread = it.start()
    held.begun.wait(30)
    store.jobs.cancel(Cancel(job.id, "ann", now_us()))
    assert held.stopped.wait(30)
    thread.join(30)
    assert store.jobs.job(job.id).status is S.CANCELED


def test_a_job_cancelled_in_this_process_is_stopped_at_once(store: Stores, make: Any):
    held = Held()
    it, job = make(held, heartbeat_s=60.0), add(store)
    store.database.listen(lambda committed: [it.runner.stop_job(id_) for id_ in committed.cancelled_jobs])
    thread = it.start()
    held.begun.wait(30)
    store.jobs.cancel(Cancel(job.id, "ann", now_us()))
    thread.join(30)
    assert store.jobs.job(job.id).status is S.CANCELED


def test_heartbeats_keep_a_long_render_its_job(store: Stores, make: Any):
    held = Held()
    it, job = make(held, lease_s=0.3), add(store)
    thread = it.start()
    held.begun.wait(30)
    first = store.jobs.job(job.id).lease_until
    assert first is not None
    wait_until(lambda: (store.jobs.job(job.id).lease_until or 0) > first + SECOND // 5)
    assert store.jobs.reclaim_leases(ReclaimLeases(now_us())) == 0
    held.go.set()
    thread.join(30)
    assert store.jobs.job(job.id).status is S.SUCCEEDED


def test_progress_is_shown_live_and_noted_by_heartbeats(store: Stores, make: Any):
    held = Held()

    def follow(request: RenderRequest, watch: RenderControl) -> Sequence[Output]:
        watch.progress(Progress(5, 20))
        return held(request, watch)

    it, job = make(follow), add(store)
    thread = it.start()
    wait_until(lambda: types(store, job)[-1] == "Updated")
    assert it.hub.progress(job.id) == Progress(5, 20)
    data = store.jobs.view(job.id).last_event.data
    assert (data["step"], data["total"], data["progress"]) == (5, 20, 0.25)
    held.go.set()
    thread.join(30)
    assert it.hub.progress(job.id) is None
