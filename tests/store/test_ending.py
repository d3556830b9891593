"""What follows from the end of a job: dependents, expiry, lost workers, the log as a whole."""

from typing import Any

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.domain.clock import SECOND
from imagemill.domain.failures import WORKER_LOST_TRIES, FailureCode
from imagemill.domain.jobs import JobStatus
from imagemill.domain.jobs import JobStatus as S
from imagemill.jobs.store.due import Due
from imagemill.jobs.store.finish import ReleaseRetries
from imagemill.jobs.store.heartbeat import Heartbeat
from tests.store.build import (
    LEASE,
    LIFE,
    MINUTE,
    T0,
    add,
    cancel,
    claim,
    claim_all,
    draft,
    event_types,
    expire,
    fail,
    fresh_id,
    in_threads,
    opened,
    reclaim,
    retry,
    running,
    status,
    submit,
    succeed,
)


def diamond(store: Stores) -> list[Any]:
    top = draft(name="top")
    left, right = draft(depends_on=(top.id,)), draft(depends_on=(top.id,))
    bottom = draft(depends_on=(left.id, right.id))
    submit(store, top, left, right, bottom)
    return [top, left, right, bottom]


def statuses(store: Stores, drafts: list[Any]) -> list[JobStatus]:
    return [status(store, each) for each in drafts]


def test_a_job_is_released_when_all_it_needs_succeeded(store: Stores):
    drafts = diamond(store)
    succeed(store, claim(store))
    assert statuses(store, drafts) == [S.SUCCEEDED, S.QUEUED, S.QUEUED, S.WAITING]
    left, right = claim_all(store)
    succeed(store, left)
    assert statuses(store, drafts) == [S.SUCCEEDED, S.SUCCEEDED, S.RUNNING, S.WAITING]
    succeed(store, right)
    assert statuses(store, drafts)[3] is S.QUEUED
    succeed(store, claim(store))
    assert statuses(store, drafts) == [S.SUCCEEDED] * 4


def test_two_needs_that_end_at_the_same_moment_release_the_job_once(store: Stores, database_url: str):
    other = build_stores(opened(database_url))
    try:
        for _ in range(5):
            drafts = diamond(store)
            succeed(store, claim(store))
            left, right = claim_all(store)
            in_threads([lambda c=left: succeed(store, c), lambda c=right: succeed(other, c)])
            bottom = claim(store)
            assert bottom.id == drafts[3].id
            succeed(store, bottom)
    finally:
        other.close()


def test_a_failed_need_cancels_all_that_follows(store: Stores):
    drafts = diamond(store)
    fail(store, claim(store))
    assert statuses(store, drafts) == [S.FAILED, S.CANCELED, S.CANCELED, S.CANCELED]
    assert all(event_types(store, each) == ["Initialized", "Canceled"] for each in drafts[1:])
    reason = store.jobs.view(drafts[1].id).last_event.data["reason"]
    assert reason == f"depends on job {drafts[0].id}, which is failed"


def test_one_failed_side_of_a_diamond_cancels_its_end_only(store: Stores):
    drafts = diamond(store)
    succeed(store, claim(store))
    left, right = claim_all(store)
    fail(store, left)
    assert statuses(store, drafts) == [S.SUCCEEDED, S.FAILED, S.RUNNING, S.CANCELED]
    assert succeed(store, right) is S.SUCCEEDED
    assert statuses(store, drafts)[3] is S.CANCELED


def test_a_cancelled_need_cancels_all_that_follows(store: Stores):
    drafts = diamond(store)
    cancel(store, store.jobs.job(drafts[0].id))
    assert statuses(store, drafts) == [S.CANCELED] * 4


def test_an_expired_need_cancels_all_that_follows(store: Stores):
    top = draft(expires_at=T0 + SECOND)
    below = draft(depends_on=(top.id,))
    submit(store, top, below)
    expire(store, T0 + SECOND)
    assert statuses(store, [top, below]) == [S.EXPIRED, S.CANCELED]


def test_a_need_that_is_tried_again_keeps_what_follows_waiting(store: Stores):
    drafts = diamond(store)
    retry(store, claim(store))
    assert statuses(store, drafts)[1:] == [S.WAITING] * 3


def test_a_chain_of_hundreds_is_cancelled_whole(store: Stores):
    chain = [draft()]
    for _ in range(499):
        chain.append(draft(depends_on=(chain[-1].id,)))
    submit(store, *chain)
    fail(store, claim(store))
    assert set(statuses(store, chain[1:])) == {S.CANCELED}


# Expiry


def test_only_jobs_that_nobody_started_expire(store: Stores):
    taken = running(store, expires_at=T0 + SECOND)
    queued = draft(expires_at=T0 + SECOND)
    fresh = draft(expires_at=T0 + MINUTE)
    waiting = draft(expires_at=T0 + SECOND, depends_on=(fresh.id,))
    submit(store, queued, fresh, waiting)
    assert expire(store, T0 + SECOND - 1) == 0
    assert expire(store, T0 + SECOND) == 2
    assert statuses(store, [taken, queued, fresh, waiting]) == [S.RUNNING, S.EXPIRED, S.QUEUED, S.EXPIRED]
    assert event_types(store, queued) == ["Initialized", "Expired"]
    assert expire(store, T0 + SECOND) == 0


def test_a_family_that_expires_together_is_ended_once_each(store: Stores):
    top = draft(expires_at=T0 + SECOND)
    below = draft(expires_at=T0 + SECOND, depends_on=(top.id,))
    submit(store, top, below)
    expire(store, T0 + MINUTE)
    assert [event_types(store, each)[0] for each in (top, below)] == ["Initialized"] * 2
    assert [len(event_types(store, each)) for each in (top, below)] == [2, 2]


# Lost workers


def test_a_lease_that_ran_out_is_taken_back(store: Stores):
    taken = running(store)
    assert reclaim(store, T0 + LEASE) == 0
    assert reclaim(store, T0 + LEASE + 1) == 1
    job = store.jobs.job(taken.id)
    assert (job.status, job.failures, job.lease_until) == (S.QUEUED, 0, None)
    assert event_types(store, taken)[-1] == "ClaimExpired"


def test_a_dead_worker_s_jobs_are_taken_back_at_once(store: Stores):
    submit(store, draft(), draft())
    dead = claim(store, worker="dead")
    alive = claim(store, worker="alive")
    assert sorted(store.jobs.due(T0).workers) == ["alive", "dead"]
    assert reclaim(store, T0, "dead") == 1
    assert statuses(store, [dead, alive]) == [S.QUEUED, S.RUNNING]


def test_a_sweep_is_told_what_is_due(store: Stores):
    assert store.jobs.due(T0) == Due((), None, None, None, False, False)
    waiting = add(store)
    assert store.jobs.due(T0) == Due((), None, waiting.expires_at, None, False, False)
    taken = claim(store)
    assert store.jobs.due(T0) == Due(("worker-1",), T0 + LEASE, None, None, False, False)
    retry(store, taken, run_after=T0 + SECOND)
    assert store.jobs.due(T0).run_after == T0 + SECOND
    store.jobs.release_retries(ReleaseRetries(T0 + SECOND))
    succeed(store, claim(store, T0 + SECOND), T0 + 2 * SECOND)
    minute_later = T0 + 62 * SECOND
    assert not store.jobs.due(minute_later - 1).has_uncounted
    assert store.jobs.due(minute_later).has_uncounted
    assert store.jobs.count_ended(minute_later) == 1
    assert store.jobs.due(minute_later) == Due((), None, None, None, False, False)


def test_no_more_are_taken_back_at_once_than_asked_for(store: Stores):
    submit(store, *(draft() for _ in range(5)))
    claim_all(store)
    assert [reclaim(store, T0 + LIFE, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_job_that_kills_every_worker_fails_in_the_end(store: Stores):
    job = add(store, max_failures=1)
    for attempt in range(1, WORKER_LOST_TRIES + 1):
        assert claim(store).attempt == attempt
        assert reclaim(store, T0, "worker-1") == 1
    done = store.jobs.job(job.id)
    assert done.status is S.FAILED
    assert done.error is not None
    assert done.error.code is FailureCode.WORKER_LOST


def test_two_sweeps_at_once_take_a_job_back_once(store: Stores, database_url: str):
    other = build_stores(opened(database_url))
    submit(store, *(draft() for _ in range(10)))
    claims = claim_all(store)
    try:
        taken = in_threads([lambda each=each: reclaim(each, T0 + LIFE) for each in (store, other) * 2])
    finally:
        other.close()
    assert sum(taken) == 10
    assert all(event_types(store, each).count("ClaimExpired") == 1 for each in claims)


# The log as a whole


def test_events_are_numbered_without_a_gap_and_the_last_is_terminal(store: Stores):
    taken = running(store)
    store.jobs.record_heartbeats([Heartbeat(taken, T0, T0 + MINUTE, {"step": 1})])
    retry(store, taken, run_after=T0 + SECOND)
    store.jobs.release_retries(ReleaseRetries(T0 + SECOND))
    again = claim(store, T0 + SECOND)
    store.jobs.record_heartbeats([Heartbeat(again, T0, T0 + MINUTE, {"step": 1})])
    succeed(store, again)
    events = store.jobs.events_after(taken.id, 0)
    assert [event.seq for event in events] == list(range(1, 8))
    assert [event.type.is_terminal for event in events] == [False] * 6 + [True]
    assert [event.attempt for event in events] == [0, 1, 1, 1, 2, 2, 2]
    assert store.jobs.job(taken.id).last_seq == 7
    assert store.jobs.progress_of([taken.id, fresh_id()]) == {taken.id: (7, True)}


def test_the_log_is_read_from_any_place(store: Stores):
    taken = running(store)
    succeed(store, taken)
    assert [event.seq for event in store.jobs.events_after(taken.id, 1)] == [2, 3]
    assert [event.seq for event in store.jobs.events_after(taken.id, 0, limit=2)] == [1, 2]
    assert [event.seq for event in store.jobs.last_events(taken.id, 2)] == [3, 2]
    assert store.jobs.events_after(fresh_id(), 0) == []
