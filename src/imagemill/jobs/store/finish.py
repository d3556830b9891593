"""The writes that end an attempt or a job, each for all requests of one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.db.statements import Statement
from imagemill.domain.clock import random_fraction
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import NotFound, Superseded
from imagemill.domain.events import Event, EventType
from imagemill.domain.failures import Backoff, Failure, FailureCode, next_try
from imagemill.domain.jobs import (
    IDLE,
    Artifact,
    Canceled,
    Claim,
    Failed,
    Job,
    JobStatus,
    Outcome,
    Retried,
    Succeeded,
)
from imagemill.jobs.store.lanes import Lanes
from imagemill.jobs.store.queries import View
from imagemill.jobs.store.transitions import (
    Change,
    Locked,
    apply,
    close,
    lock,
    lock_found,
    lock_where,
    locking,
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A success with a record. ``artifacts``: the picture, then its thumbnail; ``details``: of the last
    event."""

    job: Job
    record: Any
    artifacts: tuple[Artifact, ...]
    details: Mapping[str, Any]
    at: int


RecordWriters = Mapping[type[Any], Callable[[Tx, Sequence[Recorded]], None]]
"""Writers of a success's additional rows, by the type of the record; products define them."""


def record(writers: RecordWriters, tx: Tx, ended: Sequence[Recorded]) -> None:
    """Write the rows of ``ended``, in the transaction of their success; the rows of their jobs are locked."""
    for kind, write in writers.items():
        if of_kind := [each for each in ended if isinstance(each.record, kind)]:
            write(tx, of_kind)


_jobs = tables.jobs.c


@dataclass(frozen=True, slots=True)
class Finish:
    claim: Claim
    outcome: Outcome
    now: int


def finish(
    lanes: Lanes, writers: RecordWriters, tx: Tx, requests: Sequence[Finish]
) -> list[JobStatus | Superseded]:
    """End attempts; return each job's new status. A void claim changes nothing."""
    rows = lock(tx, [request.claim.id for request in requests])
    answers: list[JobStatus | Superseded] = []
    changes: dict[str, Change] = {}
    records: list[Recorded] = []
    for request in requests:
        row = rows.get(request.claim.id)
        if row is None or row.id in changes or not _holds(request.claim, row):
            answers.append(Superseded(f"attempt {request.claim.attempt} of job {request.claim.id} is void"))
            continue
        change = _change(row, request.outcome, request.now)
        changes[row.id] = change
        answers.append(change.to)
        if change.to.is_terminal:
            tx.views[row.id] = _view(request.claim.job, change)
        elif isinstance(request.outcome, Retried) and request.outcome.memory_mb is not None:
            _ask_for_memory(lanes, tx, request.claim.job, request.outcome.memory_mb)
        records.extend(_recorded(request))
    apply(tx, list(changes.values()))
    record(writers, tx, records)
    return answers


def _recorded(request: Finish) -> list[Recorded]:
    outcome = request.outcome
    if not isinstance(outcome, Succeeded) or outcome.record is None:
        return []
    return [Recorded(request.claim.job, outcome.record, outcome.artifacts, outcome.details, request.now)]


_MOVE = Statement(sa.text("UPDATE jobs SET lane = :lane WHERE id = :id"))


def _ask_for_memory(lanes: Lanes, tx: Tx, job: Job, memory_mb: int) -> None:
    """Move the job to the lane of jobs that need a node with ``memory_mb`` MB."""
    key = replace(lanes.key_of(tx.conn, job.lane), memory_mb=memory_mb)
    _MOVE.run(tx.conn, {"lane": lanes.id_of(tx, key), "id": job.id})


def _view(job: Job, change: Change) -> View:
    """Return the finished job as a read would, except for annotations made since it was claimed."""
    seq = change.row.last_seq + 1
    finished = replace(
        job,
        status=change.to,
        failures=job.failures if change.failures is None else change.failures,
        error=change.error,
        backend_ref=None,
        lease_until=None,
        cancel_requested_at=change.row.cancel_requested_at,
        finished_at=change.at,
        last_seq=seq,
    )
    event = Event(job.id, seq, change.event, change.at, job.attempt, change.data)
    return View(finished, change.artifacts, event)


def _holds(claim: Claim, row: Locked) -> bool:
    return row.status is JobStatus.RUNNING and row.attempt == claim.attempt


def _change(row: Locked, outcome: Outcome, now: int) -> Change:
    match outcome:
        case Succeeded(artifacts, details, _):
            return close(row, JobStatus.SUCCEEDED, now, data=dict(details), artifacts=artifacts)
        case Failed(failure, details):
            return _fail(row, failure, now, details=dict(details))
        case Canceled(reason):
            return close(row, JobStatus.CANCELED, now, data={"reason": reason})
        case Retried():
            return _retry(row, outcome, now)


def _fail(row: Locked, failure: Failure, now: int, details: dict[str, Any]) -> Change:
    data = {**details, **_failure_data(failure)}
    return close(row, JobStatus.FAILED, now, data=data, error=failure, failures=row.failures + 1)


def _retry(row: Locked, outcome: Retried, now: int) -> Change:
    if row.cancel_requested_at is not None:
        return close(row, JobStatus.CANCELED, now, data={"reason": "canceled by its owner"})
    lost = outcome.failure.code is FailureCode.WORKER_LOST
    data = _failure_data(outcome.failure)
    if outcome.run_after is not None:
        data["retryAt"] = outcome.run_after
    return Change(
        row,
        JobStatus.QUEUED,
        now,
        EventType.CLAIM_EXPIRED if lost else EventType.REJECTED,
        data=data,
        error=outcome.failure,
        failures=row.failures + 1 if outcome.counts else row.failures,
        run_after=outcome.run_after,
        avoid_node=outcome.avoid_node,
        avoid_until=outcome.avoid_until,
        keep_reference=not outcome.counts or outcome.may_be_found,
    )


def _failure_data(failure: Failure) -> dict[str, Any]:
    return {
        "error": {"code": failure.code.value, "message": failure.message},
        "advice": failure.policy.advice,
    }


@dataclass(frozen=True, slots=True)
class Cancel:
    id: str
    owner: str
    now: int
    reason: str = "canceled by its owner"


def cancel(tx: Tx, requests: Sequence[Cancel]) -> list[JobStatus | NotFound]:
    """Cancel jobs: idle ones at once, running ones when their worker has stopped them."""
    owners = dict(
        tx.conn.execute(
            sa.select(_jobs.id, _jobs.owner).where(_jobs.id.in_([request.id for request in requests]))
        ).all()
    )
    answers: list[JobStatus | NotFound] = []
    for request in requests:
        if owners.get(request.id) != request.owner:
            answers.append(NotFound(f"there is no job {request.id}"))
            continue
        # Locked one by one: cancelling the first may have cancelled the next, which depends on it.
        row = lock(tx, [request.id])[request.id]
        if row.status in IDLE:
            apply(tx, [close(row, JobStatus.CANCELED, request.now, data={"reason": request.reason})])
            answers.append(JobStatus.CANCELED)
            continue
        if row.status is JobStatus.RUNNING and row.cancel_requested_at is None:
            tx.conn.execute(_REQUEST_CANCEL, {"id": row.id, "now": request.now})
            tx.cancelled_jobs.append(row.id)
        answers.append(row.status)
    return answers


_REQUEST_CANCEL = sa.text("UPDATE jobs SET cancel_requested_at = :now WHERE id = :id AND status = 'running'")


@dataclass(frozen=True, slots=True)
class ReclaimLeases:
    """Queue jobs again whose lease has ended or whose worker is known to be dead."""

    now: int
    dead_workers: tuple[str, ...] = ()
    limit: int = 500
    outliving: frozenset[str] = frozenset()
    """The backends whose renders continue without the worker that sent them."""
    reattach_us: int = 0
    """Microseconds for which such a job is reserved for its node, where its render may be found again."""
    leases: bool = True
    """Whether jobs with an ended lease are included, besides those of dead workers."""


def reclaim_leases(tx: Tx, requests: Sequence[ReclaimLeases]) -> list[int]:
    """Return the number of jobs each request queued again."""
    return [_reclaim_one(tx, request) for request in requests]


_LAPSED = locking(sa.and_(sa.text("status = 'running'"), _jobs.lease_until < sa.bindparam("now")))


def _gone(tx: Tx, request: ReclaimLeases) -> list[Locked]:
    """Lock and return the running jobs whose lease is over or whose worker is dead."""
    if not request.dead_workers:
        bounds = {"now": request.now, "limit": request.limit}
        return lock_found(tx, _LAPSED, bounds) if request.leases else []
    gone = _jobs.worker.in_(request.dead_workers)
    if request.leases:
        gone = sa.or_(_jobs.lease_until < request.now, gone)
    return lock_where(tx, sa.and_(sa.text("status = 'running'"), gone), request.limit)


def _reclaim_one(tx: Tx, request: ReclaimLeases) -> int:
    rows = _gone(tx, request)
    failure = Failure(FailureCode.WORKER_LOST, "the worker that ran the job stopped before it was finished")
    changes: list[Change] = []
    for row in rows:
        retry = next_try(
            failure,
            failures=row.failures,
            attempt=row.attempt,
            max_failures=row.max_failures,
            node=row.node,
            backoff=Backoff(),
            jitter=random_fraction(),
        )
        if retry is None:
            changes.append(_fail(row, failure, request.now, details={}))
        else:
            held = row.backend in request.outliving and request.reattach_us > 0
            until = request.now + request.reattach_us if held else None
            outcome = Retried(failure, run_after=None, avoid_until=until, counts=False)
            changes.append(_retry(row, outcome, request.now))
    apply(tx, changes)
    return len(changes)


@dataclass(frozen=True, slots=True)
class Expire:
    now: int
    limit: int = 500


_EXPIRED = locking(
    sa.and_(sa.text("status IN ('waiting', 'queued')"), _jobs.expires_at <= sa.bindparam("now"))
)


def expire(tx: Tx, requests: Sequence[Expire]) -> list[int]:
    """Expire jobs that were not started in time; return how many for each request."""
    counts: list[int] = []
    for request in requests:
        expired = 0
        # Locked again one by one, since one may be cancelled as the dependent of another of this round.
        for candidate in lock_found(tx, _EXPIRED, {"now": request.now, "limit": request.limit}):
            row = lock(tx, [candidate.id])[candidate.id]
            if not row.status.is_terminal:
                apply(tx, [close(row, JobStatus.EXPIRED, request.now)])
                expired += 1
        counts.append(expired)
    return counts


@dataclass(frozen=True, slots=True)
class ReleaseRetries:
    """Make the retries that are due claimable."""

    now: int


_RELEASE = Statement(
    sa.update(tables.jobs)
    .where(_jobs.run_after.is_not(None), _jobs.run_after <= sa.bindparam("now"))
    .values(run_after=sa.null())
    .returning(_jobs.queue)
)
_NEXT_RETRY = Statement(sa.select(sa.func.min(_jobs.run_after)).where(_jobs.run_after.is_not(None)))


def release_retries(tx: Tx, requests: Sequence[ReleaseRetries]) -> list[int | None]:
    """Return the time at which the next parked job is due, in microseconds, or None."""
    now = max(request.now for request in requests)
    tx.queues_with_work.update(queue for (queue,) in _RELEASE.run(tx.conn, {"now": now}))
    ((due,),) = _NEXT_RETRY.run(tx.conn)
    return [due] * len(requests)
