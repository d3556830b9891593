"""The facts that a forecast needs, in a few bounded reads: waiting jobs, running jobs and speeds."""

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.statements import driver
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.forecast import MOST_JOBS, FinishedWork, WaitingJob
from imagemill.domain.jobs import Job, JobStatus, LaneKey
from imagemill.domain.placement import MOST_PEEKED, Fleet, Peek, loads_model
from imagemill.domain.scheduling import LaneHead, QueuedJob
from imagemill.jobs.store.claim import ClaimStore

_MOST_READ = 10_000
"""Most waiting jobs that are read, from which the first `MOST_JOBS` in fair order are taken."""
_LANES_AT_ONCE = 100
_LATELY_US = 3600 * SECOND
"""The time whose finished jobs give the speeds: one hour."""
_PARKED_US = 86_400 * SECOND
"""A job that cannot start within a day, such as one that is paused, is not forecast."""
_MOST_FINISHED = 400
_MOST_RUNNING = 2000

_jobs = tables.jobs.c
_WAITING = f"""
    SELECT {{lane}} AS lane, id, owner, tag, created_at, estimate_s, priority FROM (
        SELECT id, owner, tag, created_at, estimate_s, priority FROM jobs
        WHERE {tables.CLAIMABLE} AND lane = {{lane}} ORDER BY tag, id LIMIT {{count}}) AS lane_{{lane}}
    """  # noqa: S608 - the condition is a constant of ours, the rest are numbers


@dataclass(frozen=True, slots=True)
class RunningWork:
    job_id: str
    node: str
    started_at: int
    estimate_s: float


@dataclass(frozen=True, slots=True)
class QueueOutlook:
    waiting: tuple[WaitingJob, ...]
    """The first `MOST_JOBS` waiting jobs in fair order."""
    owners: Mapping[str, str]
    """Waiting job -> its owner."""
    keys: Mapping[int, LaneKey]
    running: tuple[RunningWork, ...]
    finished: tuple[FinishedWork, ...]
    more: bool
    """Whether more jobs wait."""


@dataclass(frozen=True, slots=True)
class PlacementOutlook:
    """The queue as a free slot would see it if the job were next in its lane."""

    lane: int
    heads: tuple[LaneHead, ...]
    fleet: Fleet
    peek: Peek


KeyOf = Callable[[sa.Connection, int], LaneKey]


def queue_outlook(conn: sa.Connection, claiming: ClaimStore, key_of: KeyOf, now: int) -> QueueOutlook:
    heads = claiming.heads(conn)
    count = min(MOST_JOBS + 1, max(20, _MOST_READ // max(1, len(heads))))
    rows = [*_claimable(conn, [head.lane for head in heads], count), *_parked(conn, now)]
    rows.sort(key=lambda row: (row[0].job.tag, row[0].job.since, row[0].id))
    kept = rows[:MOST_JOBS]
    lanes = {each.lane for each, _ in kept}
    return QueueOutlook(
        tuple(each for each, _ in kept),
        {each.id: owner for each, owner in kept},
        {lane: key_of(conn, lane) for lane in lanes},
        tuple(_running(conn)),
        tuple(_finished(conn, key_of, now)),
        len(rows) > len(kept),
    )


def placement_outlook(
    conn: sa.Connection, claiming: ClaimStore, key_of: KeyOf, job: Job, now: int
) -> PlacementOutlook:
    """Return the outlook for a queued job: it is put at the head of its lane."""
    own = QueuedJob(job.tag, job.created_at, job.estimate_s, job.priority)
    heads = [head for head in claiming.heads(conn) if head.lane != job.lane]
    heads.append(LaneHead(job.lane, key_of(conn, job.lane), own))
    found: dict[int, list[QueuedJob]] = {}
    for each, _ in _claimable(conn, [head.lane for head in heads], MOST_PEEKED):
        if each.lane != job.lane or each.job.tag > job.tag:
            found.setdefault(each.lane, []).append(each.job)
    found[job.lane] = [own, *found.get(job.lane, ())]

    def peek(lanes: Sequence[int], count: int) -> dict[int, list[QueuedJob]]:
        return {lane: found.get(lane, [])[:count] for lane in lanes}

    return PlacementOutlook(job.lane, tuple(heads), claiming.fleet(conn, now), peek)


def _claimable(conn: sa.Connection, lanes: Sequence[int], count: int) -> list[tuple[WaitingJob, str]]:
    found: list[tuple[WaitingJob, str]] = []
    for start in range(0, len(lanes), _LANES_AT_ONCE):
        parts = [_WAITING.format(lane=lane, count=count) for lane in lanes[start : start + _LANES_AT_ONCE]]
        for lane, id_, owner, *job in driver(conn).execute(" UNION ALL ".join(parts)).fetchall():
            found.append((WaitingJob(id_, lane, QueuedJob(*job)), owner))
    return found


def _parked(conn: sa.Connection, now: int) -> list[tuple[WaitingJob, str]]:
    """Return the jobs that wait for a retry."""
    statement = (
        sa.select(
            _jobs.lane,
            _jobs.id,
            _jobs.owner,
            _jobs.run_after,
            _jobs.tag,
            _jobs.created_at,
            _jobs.estimate_s,
            _jobs.priority,
        )
        .where(
            _jobs.run_after.is_not(None),
            _jobs.run_after <= now + _PARKED_US,
            _jobs.status == JobStatus.QUEUED.value,
        )
        .order_by(_jobs.run_after)
        .limit(MOST_JOBS)
    )
    return [
        (WaitingJob(id_, lane, QueuedJob(*job), ready_at), owner)
        for lane, id_, owner, ready_at, *job in conn.execute(statement)
    ]


def _running(conn: sa.Connection) -> list[RunningWork]:
    statement = (
        sa.select(_jobs.id, _jobs.node, _jobs.started_at, _jobs.estimate_s)
        .where(sa.text("status = 'running'"))
        .order_by(_jobs.started_at)
        .limit(_MOST_RUNNING)
    )
    return [RunningWork(*row) for row in conn.execute(statement) if row.node]


def _finished(conn: sa.Connection, key_of: KeyOf, now: int) -> list[FinishedWork]:
    statement = (
        sa.select(_jobs.node, _jobs.started_at, _jobs.finished_at, _jobs.estimate_s, _jobs.reason, _jobs.lane)
        .where(
            _jobs.finished_at.is_not(None),
            _jobs.finished_at > now - _LATELY_US,
            _jobs.status == JobStatus.SUCCEEDED.value,
        )
        .order_by(_jobs.finished_at.desc())
        .limit(_MOST_FINISHED)
    )
    return [
        FinishedWork(
            row.node,
            row.started_at,
            row.finished_at,
            row.estimate_s,
            loads_model(row.reason or "", key_of(conn, row.lane).model or "\0"),
        )
        for row in conn.execute(statement)
        if row.node
    ]
