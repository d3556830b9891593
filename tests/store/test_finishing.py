"""The ends of attempts and jobs: fenced, numbered, and told to what depends on them."""

from dataclasses import replace
from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.domain.clock import SECOND
from imagemill.domain.errors import NotFound, Superseded
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import Canceled, Claim, JobStatus, Succeeded
from imagemill.jobs.store.finish import Finish, ReleaseRetries
from imagemill.jobs.store.heartbeat import Heartbeat, HeartbeatReply
from tests.store.build import (
    LEASE,
    LIFE,
    MINUTE,
    T0,
    add,
    artifact,
    ask,
    cancel,
    claim,
    claim_all,
    draft,
    event_types,
    fail,
    failure,
    in_threads,
    opened,
    reclaim,
    retry,
    running,
    status,
    submit,
    succeed,
)

S = JobStatus


def snapshot(store: Stores, job: Claim) -> tuple[Any, ...]:
    return store.jobs.view(job.id), store.jobs.events_after(job.id, 0)


def lost(store: Stores) -> tuple[Claim, Claim]:
    """A job whose first claim is void and whose second holds."""
    first = running(store)
    reclaim(store, T0 + LEASE + 1)
    return first, claim(store, T0 + MINUTE, node="node-2")


def test_a_success_delivers_its_pictures(store: Stores):
    taken = running(store)
    assert succeed(store, taken, T0 + 9, pictures=2, graph={"1": {}}) is S.SUCCEEDED
    view = store.jobs.view(taken.id)
    assert view.artifacts == (artifact(taken, 0, T0 + 9), artifact(taken, 1, T0 + 9))
    assert (view.job.status, view.job.finished_at, view.job.lease_until) == (S.SUCCEEDED, T0 + 9, None)
    assert (view.last_event.type.value, view.last_event.data) == ("Succeeded", {"graph": {"1": {}}})
    assert event_types(store, taken) == ["Initialized", "Claimed", "Succeeded"]


def test_a_failure_keeps_its_cause_and_tells_what_to_do(store: Stores):
    taken = running(store)
    assert fail(store, taken, code=FailureCode.INVALID_GRAPH) is S.FAILED
    job = store.jobs.job(taken.id)
    assert job.error == failure(FailureCode.INVALID_GRAPH)
    assert job.failures == 1
    data = store.jobs.view(taken.id).last_event.data
    assert data["error"] == {"code": "invalid_graph", "message": "it broke"}
    assert data["advice"].endswith(".")


def test_a_render_that_was_stopped_is_cancelled(store: Stores):
    taken = running(store)
    assert store.jobs.finish(Finish(taken, Canceled(), T0)) is S.CANCELED
    assert event_types(store, taken)[-1] == "Canceled"


def test_a_retry_goes_back_to_the_queue_at_once(store: Stores):
    taken = running(store)
    assert retry(store, taken) is S.QUEUED
    again = claim(store)
    assert (again.id, again.attempt, again.job.failures) == (taken.id, 2, 1)
    assert event_types(store, taken) == ["Initialized", "Claimed", "Rejected", "Claimed"]


def test_a_retry_waits_for_its_time(store: Stores):
    taken = running(store)
    retry(store, taken, run_after=T0 + MINUTE)
    assert store.jobs.view(taken.id).last_event.data["retryAt"] == T0 + MINUTE
    assert store.jobs.release_retries(ReleaseRetries(T0 + MINUTE - 1)) == T0 + MINUTE
    assert store.jobs.claim_next(ask(T0)) is None
    assert store.jobs.release_retries(ReleaseRetries(T0 + MINUTE)) is None
    assert claim(store, T0 + MINUTE).id == taken.id


def test_unparking_tells_when_the_next_is_due(store: Stores):
    for delay in (3, 1, 2):
        taken = running(store)
        retry(store, taken, run_after=T0 + delay * MINUTE)
    assert store.jobs.release_retries(ReleaseRetries(T0 + MINUTE)) == T0 + 2 * MINUTE


def test_a_shutdown_uses_up_no_try(store: Stores):
    taken = running(store)
    retry(store, taken, counts=False, failure=failure(FailureCode.WORKER_LOST))
    assert store.jobs.job(taken.id).failures == 0
    assert event_types(store, taken)[-1] == "ClaimExpired"


@pytest.mark.parametrize("end", ["succeed", "fail", "retry", "cancel"])
def test_a_void_claim_ends_nothing(store: Stores, end: str):
    first, second = lost(store)
    before = snapshot(store, second)
    ends = {
        "succeed": lambda: succeed(store, first),
        "fail": lambda: fail(store, first),
        "retry": lambda: retry(store, first),
        "cancel": lambda: store.jobs.finish(Finish(first, Canceled(), T0)),
    }
    with pytest.raises(Superseded):
        ends[end]()
    assert snapshot(store, second) == before
    assert succeed(store, second) is S.SUCCEEDED


def test_a_void_claim_keeps_no_reference(store: Stores):
    first, second = lost(store)
    before = snapshot(store, second)
    with pytest.raises(Superseded):
        store.jobs.sent(first, "other")
    assert snapshot(store, second) == before


def test_a_void_claim_extends_no_lease(store: Stores):
    first, second = lost(store)
    before = snapshot(store, second)
    assert store.jobs.record_heartbeats([Heartbeat(first, T0, T0 + LIFE, {"step": 1})]) == [
        HeartbeatReply.SUPERSEDED
    ]
    assert snapshot(store, second) == before


def test_a_void_claim_learns_whether_its_render_is_followed_on_its_node(store: Stores):
    first = running(store)
    reclaim(store, T0 + LEASE + 1)
    assert store.jobs.record_heartbeats([Heartbeat(first, T0, T0 + LIFE)]) == [HeartbeatReply.TAKEN_OVER]
    second = claim(store, T0 + MINUTE)
    assert store.jobs.record_heartbeats([Heartbeat(first, T0, T0 + LIFE)]) == [HeartbeatReply.TAKEN_OVER]
    succeed(store, second)
    assert store.jobs.record_heartbeats([Heartbeat(first, T0, T0 + LIFE)]) == [HeartbeatReply.SUPERSEDED]


@pytest.mark.parametrize("end", [succeed, fail])
def test_an_end_happens_once(store: Stores, end: Any):
    taken = running(store)
    end(store, taken)
    before = snapshot(store, taken)
    with pytest.raises(Superseded):
        succeed(store, taken)
    with pytest.raises(Superseded):
        store.jobs.sent(taken, "late")
    assert store.jobs.record_heartbeats([Heartbeat(taken, T0, T0 + LIFE)]) == [HeartbeatReply.SUPERSEDED]
    assert snapshot(store, taken) == before


def test_of_many_ends_at_once_one_counts(store: Stores, database_url: str):
    other = build_stores(opened(database_url))
    taken = running(store)
    try:
        answers = in_threads([lambda each=each: succeed(each, taken) for each in (store, other) * 4])
    finally:
        other.close()
    assert answers.count(S.SUCCEEDED) == 1
    assert sum(isinstance(answer, Superseded) for answer in answers) == 7
    assert event_types(store, taken) == ["Initialized", "Claimed", "Succeeded"]


def test_a_deleted_job_cannot_be_ended(store: Stores):
    taken = running(store)
    store.jobs.delete_jobs([taken.id])
    with pytest.raises(Superseded):
        succeed(store, taken)


def test_a_sent_reference_is_kept(store: Stores):
    taken = running(store)
    store.jobs.sent(taken, "request-7")
    assert store.jobs.job(taken.id).backend_ref == "request-7"


def test_the_end_of_one_attempt_makes_room_for_the_claim_of_the_next(store: Stores):
    submit(store, draft(), draft())
    first = claim(store, capacity=1)
    ended, claimed = store.jobs.finish_and_claim(Finish(first, Canceled(), T0), ask(capacity=1))
    assert ended.result() is S.CANCELED
    next_ = claimed.result()
    assert next_ is not None
    assert (next_.id != first.id, status(store, next_)) == (True, S.RUNNING)


def test_a_void_end_takes_no_claim_away(store: Stores):
    first, second = lost(store)
    job = add(store)
    ended, claimed = store.jobs.finish_and_claim(Finish(first, Canceled(), T0), ask())
    with pytest.raises(Superseded):
        ended.result()
    assert claimed.result().id == job.id
    assert status(store, second) is S.RUNNING


# Heartbeats


def test_a_beat_extends_the_lease(store: Stores):
    taken = running(store)
    assert store.jobs.record_heartbeats([Heartbeat(taken, T0 + SECOND, T0 + MINUTE)]) == [
        HeartbeatReply.GO_ON
    ]
    assert store.jobs.job(taken.id).lease_until == T0 + MINUTE
    assert reclaim(store, T0 + MINUTE) == 0
    assert reclaim(store, T0 + MINUTE + 1) == 1


def test_a_beat_without_news_writes_no_event(store: Stores):
    taken = running(store)
    store.jobs.record_heartbeats([Heartbeat(taken, T0, T0 + MINUTE)])
    assert event_types(store, taken) == ["Initialized", "Claimed"]


def test_a_beat_with_progress_is_in_the_log(store: Stores):
    taken = running(store)
    store.jobs.record_heartbeats([Heartbeat(taken, T0 + SECOND, T0 + MINUTE, {"step": 3, "total": 20})])
    (event,) = store.jobs.events_after(taken.id, 2)
    assert (event.seq, event.type.value, event.at, event.data) == (
        3, "Updated", T0 + SECOND, {"step": 3, "total": 20},
    )  # fmt: skip
    assert store.jobs.job(taken.id).last_seq == 3


def test_a_beat_brings_the_wish_to_cancel(store: Stores):
    taken = running(store)
    cancel(store, taken)
    assert store.jobs.record_heartbeats([Heartbeat(taken, T0, T0 + MINUTE)]) == [HeartbeatReply.CANCEL]


def test_beats_of_many_jobs_are_answered_in_their_order(store: Stores):
    claims = [running(store) for _ in range(4)]
    cancel(store, claims[1])
    succeed(store, claims[2])
    beats = [Heartbeat(each, T0, T0 + MINUTE, {"step": n}) for n, each in enumerate(claims)]
    assert store.jobs.record_heartbeats(beats) == [
        HeartbeatReply.GO_ON,
        HeartbeatReply.CANCEL,
        HeartbeatReply.SUPERSEDED,
        HeartbeatReply.GO_ON,
    ]
    assert [event_types(store, each)[-1] for each in claims] == ["Updated", "Updated", "Succeeded", "Updated"]


def test_no_beats_are_no_pulses(store: Stores):
    assert store.jobs.record_heartbeats([]) == []


# Cancelling


def test_a_queued_job_is_cancelled_at_once(store: Stores):
    job = add(store)
    assert cancel(store, job, T0 + 1) is S.CANCELED
    assert store.jobs.job(job.id).finished_at == T0 + 1
    assert event_types(store, job) == ["Initialized", "Canceled"]
    assert claim_all(store) == []


def test_a_waiting_job_is_cancelled_at_once_and_what_it_needs_goes_on(store: Stores):
    first = draft()
    second = draft(depends_on=(first.id,))
    _, waiting = submit(store, first, second).jobs
    assert cancel(store, waiting) is S.CANCELED
    succeed(store, claim(store))
    assert (status(store, first), status(store, second)) == (S.SUCCEEDED, S.CANCELED)


def test_a_parked_retry_is_cancelled_at_once(store: Stores):
    taken = running(store)
    retry(store, taken, run_after=T0 + MINUTE)
    assert cancel(store, taken) is S.CANCELED
    assert store.jobs.release_retries(ReleaseRetries(T0)) is None


def test_a_running_job_is_told_and_runs_on_until_its_worker_stops_it(store: Stores):
    taken = running(store)
    assert cancel(store, taken, T0 + 1) is S.RUNNING
    assert store.jobs.job(taken.id).cancel_requested_at == T0 + 1
    assert cancel(store, taken, T0 + 2) is S.RUNNING
    assert store.jobs.job(taken.id).cancel_requested_at == T0 + 1
    assert store.jobs.finish(Finish(taken, Canceled(), T0 + 3)) is S.CANCELED


def test_a_picture_that_was_finished_before_the_wish_came_is_kept(store: Stores):
    taken = running(store)
    cancel(store, taken)
    assert succeed(store, taken) is S.SUCCEEDED


def test_a_cancelled_job_is_not_tried_again(store: Stores):
    taken = running(store)
    cancel(store, taken)
    assert retry(store, taken) is S.CANCELED
    assert event_types(store, taken)[-1] == "Canceled"


def test_a_cancelled_job_whose_worker_is_lost_is_cancelled(store: Stores):
    taken = running(store)
    cancel(store, taken)
    assert reclaim(store, T0 + LEASE + 1) == 1
    assert status(store, taken) is S.CANCELED


@pytest.mark.parametrize("end", [succeed, fail])
def test_a_finished_job_stays_what_it_is(store: Stores, end: Any):
    taken = running(store)
    ended = end(store, taken)
    before = snapshot(store, taken)
    assert cancel(store, taken) is ended
    assert snapshot(store, taken) == before


def test_a_cancelled_job_may_be_cancelled_again(store: Stores):
    job = add(store)
    cancel(store, job)
    assert cancel(store, job) is S.CANCELED
    assert event_types(store, job) == ["Initialized", "Canceled"]


def test_nobody_cancels_the_job_of_another(store: Stores):
    job = add(store)
    with pytest.raises(NotFound):
        cancel(store, job, owner="bob")
    assert status(store, job) is S.QUEUED


def test_an_unknown_job_cannot_be_cancelled(store: Stores):
    job = add(store)
    store.jobs.delete_jobs([job.id])
    with pytest.raises(NotFound):
        cancel(store, job)


def test_many_cancels_of_one_batch_at_once_end_each_job_once(store: Stores):
    first = draft()
    chain = [first]
    for _ in range(7):
        chain.append(draft(depends_on=(chain[-1].id,)))
    jobs = submit(store, *chain).jobs
    answers = in_threads([lambda job=job: cancel(store, job) for job in jobs])
    assert answers == [S.CANCELED] * 8
    assert all(event_types(store, job) == ["Initialized", "Canceled"] for job in jobs)


@pytest.mark.parametrize("seed", [None, 0, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_seed_of_64_bits_is_kept_exactly(store: Stores, seed: int | None) -> None:
    taken = running(store)
    made = replace(artifact(taken), seed=seed)
    store.jobs.finish(Finish(taken, Succeeded((made,), {}), T0))
    assert store.jobs.view(taken.id).artifacts == (made,)
    assert store.jobs.artifact(made.id) == (made, "ann")
