"""Every change of a job's status except the claim: finish, retry, cancel, expire, reclaim.

All go through `apply`: the rows are locked, the change is checked against the transition table, the UPDATE
names its precondition, and the event and the changes of dependent jobs follow in the same transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import StatusChange, Tx
from imagemill.db.statements import Parameters, Statement, run_together
from imagemill.domain.credits import Settlement
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import IllegalTransition
from imagemill.domain.events import EventType, Notice, terminal_event
from imagemill.domain.failures import Failure
from imagemill.domain.jobs import Artifact, JobStatus
from imagemill.domain.pauses import PARKED
from imagemill.jobs.store import event_log, parking
from imagemill.jobs.store.lanes import artifact_row, failure_to

_jobs = tables.jobs.c


@dataclass(frozen=True, slots=True)
class Locked:
    """The columns of a locked job that a change needs."""

    id: str
    queue: str
    status: JobStatus
    attempt: int
    failures: int
    max_failures: int
    node: str | None
    backend: str | None
    last_seq: int
    cancel_requested_at: int | None
    callback_url: str | None
    recipe: str
    owner: str
    held: int | None


@dataclass(frozen=True, slots=True)
class Change:
    row: Locked
    to: JobStatus
    at: int
    event: EventType
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    error: Failure | None = None
    failures: int | None = None
    run_after: int | None = None
    avoid_node: str | None = None
    avoid_until: int | None = None
    """Without ``avoid_node``: the time until which the job is reserved for its node."""
    keep_reference: bool = False
    """Whether the render may still run at the backend, so that its reference must be kept."""
    artifacts: tuple[Artifact, ...] = ()


_LOCKED = sa.select(
    _jobs.id,
    _jobs.queue,
    _jobs.status,
    _jobs.attempt,
    _jobs.failures,
    _jobs.max_failures,
    _jobs.node,
    _jobs.backend,
    _jobs.last_seq,
    _jobs.cancel_requested_at,
    _jobs.callback_url,
    _jobs.recipe,
    _jobs.owner,
    _jobs.held,
)
_LOCK_BY_ID = Statement(
    _LOCKED.where(_jobs.id.in_(sa.bindparam("ids", expanding=True))).order_by(_jobs.id).with_for_update()
)

_APPLY = Statement(
    sa.update(tables.jobs)
    .where(
        _jobs.id == sa.bindparam("of_id"),
        _jobs.status == sa.bindparam("of_status"),
        _jobs.attempt == sa.bindparam("of_attempt"),
    )
    .values(
        status=sa.bindparam("to_status"),
        last_seq=sa.bindparam("to_seq"),
        finished_at=sa.bindparam("to_finished"),
        run_after=sa.bindparam("to_run_after"),
        error=sa.bindparam("to_error"),
        error_code=sa.bindparam("to_error_code"),
        failures=sa.bindparam("to_failures"),
        avoid_node=sa.bindparam("to_avoid"),
        avoid_until=sa.bindparam("to_avoid_until"),
        backend_ref=sa.case((sa.bindparam("to_keep") == 1, _jobs.backend_ref), else_=sa.null()),
        lease_until=sa.null(),
        held=sa.case((sa.bindparam("to_open") == 1, _jobs.held), else_=sa.null()),
    )
)
_INSERT_ARTIFACT = Statement(sa.insert(tables.artifacts))


def lock(tx: Tx, ids: Iterable[str]) -> dict[str, Locked]:
    rows = _LOCK_BY_ID.run(tx.conn, {"ids": sorted(set(ids))})
    return {row[0]: locked_from(row) for row in rows}


def lock_where(tx: Tx, condition: sa.ColumnElement[bool], limit: int) -> list[Locked]:
    """Lock and return rows, without those another process has locked.

    They are in no order: sorted by their ids, SQLite would read all jobs. No lock is waited for.
    """
    return lock_found(tx, locking(condition), {"limit": limit})


def locking(condition: sa.ColumnElement[bool]) -> sa.Executable:
    """Return the statement of `lock_where`, to be made once where it runs often; it needs a ``limit``."""
    return _LOCKED.where(condition).limit(sa.bindparam("limit")).with_for_update(skip_locked=True)


def lock_found(tx: Tx, statement: sa.Executable, parameters: Parameters) -> list[Locked]:
    return [locked_from(row) for row in tx.conn.execute(statement, parameters)]


def locked_from(row: Sequence[Any]) -> Locked:
    values = list(row)
    values[2] = JobStatus(values[2])
    return Locked(*values)


def apply(tx: Tx, changes: Sequence[Change]) -> None:
    """Apply changes of locked rows, one each, and then those of all jobs that depend on them."""
    while changes:
        changes = _apply(tx, changes)


def _apply(tx: Tx, changes: Sequence[Change]) -> Sequence[Change]:
    """Apply the changes and return those that follow for dependent jobs."""
    changes = _parked(tx, changes)
    ended = {change.row.id: change for change in changes if change.to.is_terminal}
    depending = [_DEPENDENTS.call({"ids": sorted(ended)})] if ended else []
    applied, *dependents = run_together(
        tx.conn, _APPLY.call_many([_parameters(change) for change in changes]), *depending
    )
    if applied.changed != len(changes):
        raise IllegalTransition(f"{len(changes)} jobs should have changed, but {applied.changed} did")
    tx.insert_late(
        _INSERT_ARTIFACT,
        [artifact_row(each, change.row.owner) for change in changes for each in change.artifacts],
    )
    event_log.append(tx, [_entry(change) for change in changes])
    for change in changes:
        if change.to.is_terminal and change.row.held is not None:
            tx.settlements.append(_due(change, change.row.held))
        if change.to.is_terminal or change.error is not None:
            failure = change.error.code if change.error is not None else None
            tx.status_changes.append(StatusChange(change.row.recipe, change.to, failure, change.row.id))
        if change.to is JobStatus.QUEUED and change.run_after is None:
            tx.queues_with_work.add(change.row.queue)
    return _follow_up(tx, ended, [pair for found in dependents for pair in found.rows()])


def _parked(tx: Tx, changes: Sequence[Change]) -> Sequence[Change]:
    """Return the changes, where jobs of paused owners and recipes return to their queue parked."""
    if all(change.to is not JobStatus.QUEUED for change in changes):
        return changes
    paused = parking.read_names(tx.conn)
    if not paused:
        return changes
    return [
        replace(change, run_after=paused.park(change.row.owner, change.row.recipe, change.run_after))
        if change.to is JobStatus.QUEUED
        else change
        for change in changes
    ]


def close(row: Locked, to: JobStatus, at: int, **more: Any) -> Change:
    """Return a change into a terminal status, with its event."""
    return Change(row, to, at, terminal_event(to), **more)


def _parameters(change: Change) -> dict[str, Any]:
    row = change.row
    if not row.status.may_become(change.to):
        raise IllegalTransition(f"job {row.id} is {row.status}, it cannot become {change.to}")
    return {
        "of_id": row.id,
        "of_status": row.status.value,
        "of_attempt": row.attempt,
        "to_status": change.to.value,
        "to_seq": row.last_seq + 1,
        "to_finished": change.at if change.to.is_terminal else None,
        "to_run_after": change.run_after,
        "to_error": failure_to(change.error) if change.error else None,
        "to_error_code": change.error.code.value if change.error else None,
        "to_failures": row.failures if change.failures is None else change.failures,
        "to_avoid": change.avoid_node,
        "to_avoid_until": change.avoid_until,
        "to_keep": int(change.keep_reference),
        "to_open": int(not change.to.is_terminal),
    }


def _due(change: Change, held: int) -> Settlement:
    """Return the settlement of the held credits: only delivered results are charged."""
    is_paid = change.to is JobStatus.SUCCEEDED and bool(change.artifacts)
    return Settlement(change.row.id, change.row.owner, held, is_paid, change.at)


def _entry(change: Change) -> event_log.EventEntry:
    row = change.row
    return event_log.EventEntry(
        row.id,
        row.last_seq + 1,
        change.event,
        change.at,
        row.attempt,
        row.owner,
        row.recipe,
        change.to,
        change.data,
        row.callback_url,
    )


_needed = tables.dependencies.c
_DEPENDENTS = Statement(
    sa.select(_needed.needs, _needed.job_id)
    .where(_needed.needs.in_(sa.bindparam("ids", expanding=True)))
    .order_by(_needed.job_id)
)
_UNMET = sa.text(
    "SELECT 1 FROM dependencies JOIN jobs ON jobs.id = dependencies.needs "
    "WHERE dependencies.job_id = :id AND jobs.status <> 'succeeded' LIMIT 1"
)
_RELEASE = sa.text(
    f"UPDATE jobs SET status = 'queued', run_after = CASE WHEN {parking.IS_PAUSED} THEN {PARKED} END "  # noqa: S608
    "WHERE id = :id AND status = 'waiting'"
)


def _release(row: Locked, at: int) -> Notice:
    """Return the notice that a waiting job is queued now; the event log has no event for it."""
    status = JobStatus.QUEUED
    return Notice(row.id, row.last_seq, False, row.owner, row.recipe, EventType.INITIALIZED, status, at)


def _follow_up(tx: Tx, ended: Mapping[str, Change], pairs: Sequence[Sequence[str]]) -> Sequence[Change]:
    """Release the jobs that depend on finished ones, or return the changes that cancel them.

    ``pairs``: ended jobs with those that need them.
    """
    if not pairs:
        return ()
    waiting = {
        id_: row for id_, row in lock(tx, [job for _, job in pairs]).items()
        if row.status is JobStatus.WAITING
    }  # fmt: skip
    lost: dict[str, Change] = {}
    for needs, job in pairs:
        if job not in waiting or job in lost:
            continue
        cause = ended[needs]
        if cause.to is not JobStatus.SUCCEEDED:
            reason = f"depends on job {needs}, which is {cause.to}"
            lost[job] = close(waiting[job], JobStatus.CANCELED, cause.at, data={"reason": reason})
        elif tx.conn.execute(_UNMET, {"id": job}).first() is None:
            tx.conn.execute(_RELEASE, {"id": job})
            tx.queues_with_work.add(waiting[job].queue)
            tx.events.append(_release(waiting[job], cause.at))
    return list(lost.values())
