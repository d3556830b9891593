"""Reads: single statements without locks."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The rows of a statement built from a tuple of columns have no static type.

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field
from functools import cache
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.db.statements import Statement, dump, load, run_together
from imagemill.domain.blob_keys import attempt_of
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import NotFound
from imagemill.domain.events import Event, EventType
from imagemill.domain.jobs import Artifact, Job, JobStatus
from imagemill.jobs.store.lanes import (
    ARTIFACT_COLUMNS,
    EVENT_COLUMNS,
    JOB_COLUMNS,
    artifact_from,
    event_from,
    job_from,
)
from imagemill.jobs.store.submit import index_value

_jobs = tables.jobs.c
_events = tables.events.c
_artifacts = tables.artifacts.c

POSITION_BOUND = 1000
"""The largest position in a lane that is counted."""
WORK_BOUND = 200
"""The number of jobs whose work is added up. It is small: rows are read, not only the index, for each
queued job of a page."""


@dataclass(frozen=True, slots=True)
class View:
    """A job with the artifacts and the event that its responses show."""

    job: Job
    artifacts: tuple[Artifact, ...]
    last_event: Event


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs, newest first; see `imagemill.jobs.store.listing`.

    Of a field with several values one must match, and all fields that are given must.
    """

    owner: str | None
    """None means all owners."""
    statuses: frozenset[JobStatus] = frozenset()
    ids: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    """Nodes of the latest attempt."""
    models: tuple[str, ...] = ()
    """AIRs or names of files of checkpoints; ``*`` stands for any characters."""
    labels: tuple[str, ...] = ()
    """Labels that a node must carry."""
    errors: tuple[str, ...] = ()
    """Codes of `FailureCode`. Without statuses they mean failed jobs."""
    replayed: bool | None = None
    """Whether the jobs were submitted again."""
    text: str = ""
    """Text anywhere in the input, such as the prompt; upper and lower case are the same."""
    inputs: tuple[tuple[str, str], ...] = ()
    """Fields of the input, at any depth, with their values."""
    properties: tuple[tuple[str, Any], ...] = ()
    """Keys and values that must all match."""
    created_from: int | None = None
    created_to: int | None = None
    before: str | None = None
    """Continue after this id (the cursor)."""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Consumption:
    images: int
    cost: float


_ids = sa.bindparam("ids", expanding=True)
_BY_ID = Statement(sa.select(*JOB_COLUMNS).where(_jobs.id.in_(_ids)))
_ARTIFACTS_OF = Statement(
    sa.select(*ARTIFACT_COLUMNS)
    .where(_artifacts.job_id.in_(_ids))
    .order_by(_artifacts.job_id, _artifacts.position)
)
_LAST_EVENTS = Statement(
    sa.select(*EVENT_COLUMNS)
    .join_from(
        tables.jobs,
        tables.events,
        sa.and_(_events.job_id == _jobs.id, _events.seq == _jobs.last_seq),
    )
    .where(_jobs.id.in_(_ids))
)
_EVENTS_AFTER = (
    sa.select(*EVENT_COLUMNS)
    .where(_events.job_id == sa.bindparam("id"), _events.seq > sa.bindparam("seq"))
    .order_by(_events.seq)
    .limit(sa.bindparam("limit"))
)

_ARTIFACT = Statement(
    sa.select(*ARTIFACT_COLUMNS, _jobs.owner)
    .join_from(tables.artifacts, tables.jobs, _jobs.id == _artifacts.job_id)
    .where(_artifacts.id == sa.bindparam("id"))
)

_COUNTED_AT_ONCE = 16
"""Places whose jobs ahead are counted by one statement: requests that are answered together."""


@cache
def _counting(places: int) -> Statement:
    """Return the statement that counts the claimable jobs between two tags of a lane, for so many places."""

    def ahead(number: int) -> sa.ScalarSelect[int]:
        between = (
            sa.select(_jobs.id)
            .where(
                sa.text(tables.CLAIMABLE),
                _jobs.lane == sa.bindparam(f"lane_{number}"),
                _jobs.tag >= sa.bindparam(f"start_{number}"),
                _jobs.tag < sa.bindparam(f"stop_{number}"),
            )
            .limit(sa.literal_column(str(POSITION_BOUND)))
            .subquery()
        )
        return sa.select(sa.func.count()).select_from(between).scalar_subquery()

    return Statement(sa.select(*map(ahead, range(places))))


def jobs_by_id(conn: sa.Connection, ids: Iterable[str]) -> dict[str, Job]:
    rows = _BY_ID.run(conn, _among(list(ids)))
    return {job.id: job for job in map(job_from, rows)}


def views_of(conn: sa.Connection, jobs: Sequence[Job]) -> list[View]:
    """Return the views in the order of ``jobs``, each job unchanged and with its newest event."""
    if not jobs:
        return []
    wanted = _among([job.id for job in jobs])
    calls = [_LAST_EVENTS.call(wanted)]
    if any(job.status is JobStatus.SUCCEEDED for job in jobs):
        calls.append(_ARTIFACTS_OF.call(wanted))
    events, *others = run_together(conn, *calls)
    last = {event.job_id: event for event in map(event_from, events.rows())}
    artifacts: dict[str, list[Artifact]] = {}
    for artifact in (artifact_from(row) for result in others for row in result.rows()):
        artifacts.setdefault(artifact.job_id, []).append(artifact)
    return [View(job, tuple(artifacts.get(job.id, ())), last[job.id]) for job in jobs if job.id in last]


def _among(ids: list[str]) -> Mapping[str, list[str]]:
    """Return the parameters of a statement for these ids.

    The last id is repeated up to the next power of two, so that a statement has few texts to compile.
    """
    missing = (1 << (len(ids) - 1).bit_length()) - len(ids) if ids else 0
    return {"ids": ids + ids[-1:] * missing}


def views_by_id(conn: sa.Connection, ids: Iterable[str]) -> dict[str, View]:
    return {view.job.id: view for view in views_of(conn, list(jobs_by_id(conn, ids).values()))}


def events_after(conn: sa.Connection, job_id: str, seq: int, limit: int) -> list[Event]:
    rows = conn.execute(_EVENTS_AFTER, {"id": job_id, "seq": seq, "limit": limit})
    return [event_from(row) for row in rows]


def last_events(conn: sa.Connection, job_id: str, limit: int) -> list[Event]:
    """Return the newest events first."""
    statement = (
        sa.select(*EVENT_COLUMNS)
        .where(_events.job_id == job_id)
        .order_by(_events.seq.desc())
        .limit(limit)
    )  # fmt: skip
    return [event_from(row) for row in conn.execute(statement)]


def claims(conn: sa.Connection, job_id: str) -> list[Event]:
    """Return the events that begin a claim of the job or end one before the job's end, in order."""
    types = (EventType.CLAIMED, EventType.REJECTED, EventType.CLAIM_EXPIRED)
    statement = (
        sa.select(*EVENT_COLUMNS)
        .where(_events.job_id == job_id, _events.type.in_([each.value for each in types]))
        .order_by(_events.seq)
    )
    return [event_from(row) for row in conn.execute(statement)]


def batch_jobs(conn: sa.Connection, owner: str, batch: str) -> list[Job]:
    return in_batches(conn, owner, [batch])


def in_batches(conn: sa.Connection, owner: str, batches_: Sequence[str]) -> list[Job]:
    """Return the jobs of several batches in the order of submission."""
    mine = sa.and_(_jobs.owner == owner, _jobs.batch.in_(batches_))
    found = [job_from(row) for row in conn.execute(sa.select(*JOB_COLUMNS).where(mine))]
    # Sorted here: for the order of their ids SQLite would read all jobs of the owner.
    return sorted(found, key=lambda job: job.id)


def batches(conn: sa.Connection, owner: str, before: str | None, limit: int) -> list[str]:
    statement = sa.select(_jobs.batch).where(_jobs.owner == owner)
    if before:
        statement = statement.where(_jobs.batch < before)
    statement = statement.distinct().order_by(_jobs.batch.desc()).limit(limit)
    return list(conn.execute(statement).scalars())


def progress_of(conn: sa.Connection, ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """Return the newest sequence number of each job and whether it is finished."""
    rows = conn.execute(sa.select(_jobs.id, _jobs.last_seq, _jobs.finished_at).where(_jobs.id.in_(ids)))
    return {id_: (seq, finished is not None) for id_, seq, finished in rows}


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """The state of a job, as the feed of all jobs shows it."""

    id: str
    owner: str
    recipe: str
    status: JobStatus
    attempt: int
    seq: int


_STATES = sa.select(_jobs.id, _jobs.owner, _jobs.recipe, _jobs.status, _jobs.attempt, _jobs.last_seq)
_NEWEST_STATES = 200
_MOST_RUNNING_STATES = 500


def states(conn: sa.Connection, ids: Sequence[str]) -> list[JobSnapshot]:
    return [_state(row) for row in conn.execute(_STATES.where(_jobs.id.in_(ids)))]


def recent_states(conn: sa.Connection, ids: Sequence[str]) -> list[JobSnapshot]:
    """Return the states of these jobs, of up to 500 running ones and of the 200 newest, a job once."""
    running = _STATES.where(sa.text("status = 'running'")).limit(_MOST_RUNNING_STATES)
    newest = _STATES.order_by(_jobs.id.desc()).limit(_NEWEST_STATES)
    found = [_state(row) for statement in (running, newest) for row in conn.execute(statement)]
    return list({state.id: state for state in [*states(conn, ids), *found]}.values())


def _state(row: Sequence[Any]) -> JobSnapshot:
    id_, owner, recipe, status, attempt, seq = row
    return JobSnapshot(id_, owner, recipe, JobStatus(status), attempt, seq)


Place = tuple[int, float]
"""The lane and the tag of a job."""


def preceding(conn: sa.Connection, places: Collection[Place]) -> dict[Place, int]:
    """Return the number of claimable jobs ahead in the same lane, at most `POSITION_BOUND`, by place.

    Each job ahead is counted once, however many of the places are behind it.
    """
    if not places:
        return {}
    ordered = sorted(set(places))
    before = {place: other for other, place in pairwise(ordered) if other[0] == place[0]}
    ahead: dict[Place, int] = {}
    for first in range(0, len(ordered), _COUNTED_AT_ONCE):
        chunk = ordered[first : first + _COUNTED_AT_ONCE]
        bounds: dict[str, float] = {}
        for number, place in enumerate(chunk):
            start = before[place][1] if place in before else -math.inf
            bounds |= {f"lane_{number}": place[0], f"start_{number}": start, f"stop_{number}": place[1]}
        (counts,) = _counting(len(chunk)).run(conn, bounds)
        for place, count in zip(chunk, counts, strict=True):
            ahead[place] = min(count + (ahead[before[place]] if place in before else 0), POSITION_BOUND)
    return ahead


def work_ahead(conn: sa.Connection, job: Job) -> tuple[int, float, bool]:
    """Return the number of claimable jobs ahead in the same lane and their estimated seconds.

    The third value is whether there are more than the `WORK_BOUND` that are counted.
    """
    ahead = (
        sa.select(_jobs.estimate_s)
        .where(sa.text(tables.CLAIMABLE), _jobs.lane == job.lane, _jobs.tag < job.tag)
        .limit(WORK_BOUND + 1)
    )
    estimates = conn.execute(ahead).scalars().all()
    counted = estimates[:WORK_BOUND]
    return len(counted), sum(counted), len(estimates) > WORK_BOUND


def avoidance(conn: sa.Connection, job: Job, now: int) -> tuple[str, float]:
    """Return the node that a queued job avoids and the seconds for which it still does; "" and 0 if none."""
    until = sa.and_(_jobs.id == job.id, _jobs.avoid_node.is_not(None), _jobs.avoid_until > now)
    row = conn.execute(sa.select(_jobs.avoid_node, _jobs.avoid_until).where(until)).first()
    return (row[0], (row[1] - now) / SECOND) if row else ("", 0.0)


def artifact(conn: sa.Connection, artifact_id: str) -> tuple[Artifact, str] | None:
    """Return an artifact and its owner."""
    rows = _ARTIFACT.run(conn, {"id": artifact_id})
    return (artifact_from(rows[0][:-1]), rows[0][-1]) if rows else None


def consumption(conn: sa.Connection, owner: str, start: int, end: int) -> Consumption:
    """Return the pictures of the jobs that succeeded in [start, end), and their price."""
    done = sa.and_(
        _jobs.owner == owner,
        _jobs.status == JobStatus.SUCCEEDED.value,
        _jobs.finished_at >= start,
        _jobs.finished_at < end,
    )
    cost = conn.execute(sa.select(sa.func.coalesce(sa.func.sum(_jobs.cost), 0.0)).where(done)).scalar_one()
    images = conn.execute(
        sa.select(sa.func.count())
        .select_from(tables.artifacts)
        .join(tables.jobs, _jobs.id == _artifacts.job_id)
        .where(done)
    ).scalar_one()
    return Consumption(images, float(cost))


def depths(conn: sa.Connection) -> dict[str, int]:
    """Return the number of open jobs by status. One statement, so that all counts are of the same instant."""
    waits = (
        sa.select(_jobs.status, sa.func.count())
        .where(sa.text("status IN ('waiting', 'queued')"))
        .group_by(_jobs.status)
    )
    # Counted apart, since each has an index of its own.
    runs = sa.select(sa.literal("running"), sa.func.count()).select_from(tables.jobs)
    both = sa.union_all(waits, runs.where(sa.text("status = 'running'")))
    counts = dict(conn.execute(both).all())
    return {status: counts.get(status, 0) for status in ("waiting", "queued", "running")}


def referenced_attempts(conn: sa.Connection, pairs: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return the attempts that may still need their files: delivered and running ones."""
    ids = sorted({job_id for job_id, _ in pairs})
    kept = conn.execute(
        sa.select(_artifacts.job_id, _artifacts.attempt)
        .where(_artifacts.job_id.in_(ids), _artifacts.blob_key != "")
        .distinct()
    )
    running = conn.execute(
        sa.select(_jobs.id, _jobs.attempt).where(_jobs.id.in_(ids), sa.text("status = 'running'"))
    )
    return {(id_, attempt) for rows in (kept, running) for id_, attempt in rows} & set(pairs)


def finished_before(conn: sa.Connection, instant: int, limit: int) -> list[str]:
    """Return jobs that ended before the instant and have no renewed artifact, those that ended first."""
    renewed = sa.exists().where(_artifacts.job_id == _jobs.id, _artifacts.kept_from >= instant)
    # Without an order PostgreSQL merges all jobs with all artifacts: 1.3 s with 5 million, at each call.
    statement = (
        sa.select(_jobs.id)
        .where(_jobs.finished_at.is_not(None), _jobs.finished_at < instant, ~renewed)
        .order_by(_jobs.finished_at)
        .limit(limit)
    )
    return list(conn.execute(statement).scalars())


def delivered_files(conn: sa.Connection, job_ids: Sequence[str]) -> list[tuple[str, int, int, str]]:
    """Return job, attempt, position and key of the files of these jobs that are still there."""
    there = sa.and_(_artifacts.job_id.in_(job_ids), _artifacts.blob_key != "")
    columns = (_artifacts.job_id, _artifacts.attempt, _artifacts.position, _artifacts.blob_key)
    return [(*row,) for row in conn.execute(sa.select(*columns).where(there))]


@dataclass(frozen=True, slots=True)
class Annotate:
    """Merge into the dialect's notes (``client``) and into the client's index (``properties``)."""

    id: str
    owner: str
    client: Mapping[str, Any] = field(default_factory=dict[str, Any])
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])


def annotate(tx: Tx, requests: Sequence[Annotate]) -> list[NotFound | None]:
    return [_annotate_one(tx, request) for request in requests]


def _annotate_one(tx: Tx, request: Annotate) -> NotFound | None:
    row = tx.conn.execute(
        sa.select(_jobs.client, _jobs.properties)
        .where(_jobs.id == request.id, _jobs.owner == request.owner)
        .with_for_update()
    ).first()
    if row is None:
        return NotFound(f"there is no job {request.id}")
    tx.conn.execute(
        sa.update(tables.jobs)
        .where(_jobs.id == request.id)
        .values(
            client=dump({**load(row.client), **request.client}),
            properties=dump({**load(row.properties), **request.properties}),
        )
    )
    index = tables.properties
    for key, value in request.properties.items():
        statement = tx.insert(index).values(job_id=request.id, key=key, value=index_value(value))
        tx.conn.execute(
            statement.on_conflict_do_update(
                index_elements=[index.c.job_id, index.c.key], set_={"value": index_value(value)}
            )
        )
    return None


def kept_from(conn: sa.Connection, keys: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Return the owner and the start of the retention of files of ended jobs; ``keys``: key -> job."""
    statement = (
        sa.select(_artifacts.blob_key, _jobs.owner, _jobs.finished_at, _artifacts.kept_from)
        .join_from(tables.artifacts, tables.jobs, _jobs.id == _artifacts.job_id)
        .where(_jobs.id.in_(sorted(set(keys.values()))), _jobs.finished_at.is_not(None))
    )
    return {
        key: (owner, max(finished_at, renewed_at or 0))
        for key, owner, finished_at, renewed_at in conn.execute(statement)
        if key in keys
    }


@dataclass(frozen=True, slots=True)
class RenewArtifact:
    """Restart the retention of an artifact at ``at``."""

    id: str
    owner: str
    at: int


def renew_artifacts(tx: Tx, requests: Sequence[RenewArtifact]) -> list[Artifact | None]:
    """Return the artifacts; None for one that is deleted, absent or of another owner."""
    return [_renew_artifact(tx, request) for request in requests]


def _renew_artifact(tx: Tx, request: RenewArtifact) -> Artifact | None:
    found = artifact(tx.conn, request.id)
    if found is None or found[1] != request.owner:
        return None
    renewed = tx.conn.execute(
        sa.update(tables.artifacts)
        .where(_artifacts.id == request.id, _artifacts.blob_key != "")
        .values(kept_from=request.at)
    )
    return found[0] if renewed.rowcount else None


def mark_files_deleted(tx: Tx, requests: Sequence[tuple[str, ...]]) -> list[None]:
    for keys in requests:
        attempts = [attempt for key in keys if (attempt := attempt_of(key)) is not None]
        tx.conn.execute(
            sa.update(tables.artifacts)
            .where(
                _artifacts.job_id.in_(sorted({job_id for job_id, _ in attempts})),
                _artifacts.blob_key.in_(keys),
            )
            .values(blob_key="")
        )
    return [None] * len(requests)
