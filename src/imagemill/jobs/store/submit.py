"""Writing new jobs with their fair-queueing tags, dependencies, properties and first events."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.db.locks import lock_names
from imagemill.db.statements import Statement, dump, run_together
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, ImagemillError
from imagemill.domain.events import EventType
from imagemill.domain.jobs import OPEN, Draft, Job, JobStatus
from imagemill.domain.scheduling import priority_offset_s
from imagemill.jobs.store import batches, event_log, parking
from imagemill.jobs.store.admission import Submission, admit
from imagemill.jobs.store.lanes import JOB_COLUMNS, Lanes, job_from, job_row

MAX_KEY = 200
"""Characters of the key of a property."""
_MAX_VALUE = 200
"""Characters of an indexed value; a longer one is indexed by its digest."""
_reservations = tables.reservations.c
_CHUNK = 500
"""Keys of one statement; SQLite accepts 32,766 parameters."""
_HOLDING = sorted(status.value for status in OPEN | {JobStatus.SUCCEEDED})


# Duplicates


class _DuplicateInBatch(Exception):
    """Two requests of one transaction have the same unique key.

    Each is run again alone, so that the second sees the job of the first.
    """


def drop_duplicates(
    tx: Tx, submissions: Sequence[Submission]
) -> tuple[list[Submission], Mapping[str, Mapping[str, str]]]:
    """Return the submissions without duplicates, and by batch the existing jobs by unique key.

    Of several drafts of one submission with the same key the first stays. A submission that becomes empty is
    left out.
    """
    asking = [each for each in submissions if any(draft.unique_key for draft in each.drafts)]
    if not asking:
        return list(submissions), {}
    lock_names(tx, [f"reservations/{each.owner}" for each in asking])
    wanted = [
        (each.owner, key) for each in asking for key in {draft.unique_key for draft in each.drafts} if key
    ]
    if len(set(wanted)) < len(wanted):
        raise _DuplicateInBatch
    taken: dict[str, Mapping[str, str]] = {}
    kept: list[Submission] = []
    for submission in submissions:
        if submission in asking:
            drafts, holders = _divided(submission.drafts, _held(tx, submission))
            taken[submission.batch] = holders
            if drafts:
                kept.append(replace(submission, drafts=drafts))
        else:
            kept.append(submission)
    return kept, taken


def _divided(drafts: Sequence[Draft], held: Mapping[str, str]) -> tuple[tuple[Draft, ...], Mapping[str, str]]:
    """Return the drafts that stay, and the existing jobs by unique key for the others."""
    holders = dict(held)
    taken: dict[str, str] = {}
    kept: list[Draft] = []
    for draft in drafts:
        if draft.unique_key in holders:
            taken[draft.unique_key] = holders[draft.unique_key]
            continue
        if draft.unique_key:
            holders[draft.unique_key] = draft.id
        kept.append(draft)
    return tuple(kept), taken


def _held(tx: Tx, submission: Submission) -> dict[str, str]:
    """Return the existing jobs by unique key, for keys of the submission."""
    keys = sorted({draft.unique_key for draft in submission.drafts if draft.unique_key})
    held: dict[str, str] = {}
    for start in range(0, len(keys), _CHUNK):
        statement = (
            sa.select(_reservations.key, _reservations.job_id)
            .join(tables.jobs, tables.jobs.c.id == _reservations.job_id)
            .where(
                _reservations.owner == submission.owner,
                _reservations.key.in_(keys[start : start + _CHUNK]),
                tables.jobs.c.status.in_(_HOLDING),
            )
        )
        held.update((key, job_id) for key, job_id in tx.conn.execute(statement))
    return held


def insert_reservations(tx: Tx, submissions: Sequence[Submission]) -> None:
    """Reserve the unique keys for the new jobs, also those of failed jobs. The jobs are written before."""
    rows = [
        {"owner": submission.owner, "key": draft.unique_key, "job_id": draft.id}
        for submission in submissions
        for draft in submission.drafts
        if draft.unique_key
    ]
    if not rows:
        return
    insert = tx.insert(tables.reservations)
    statement = insert.on_conflict_do_update(
        index_elements=["owner", "key"], set_={"job_id": insert.excluded.job_id}
    )
    tx.conn.execute(statement, rows)


# Properties


def property_rows(draft: Draft) -> Iterator[Mapping[str, str]]:
    for key, value in draft.properties.items():
        yield {"job_id": draft.id, "key": key, "value": index_value(value)}


def index_value(value: Any) -> str:
    """Return the text of a JSON value: equal values have equal texts, and a long value gives its digest."""
    text = dump(_sorted(value))
    return text if len(text) <= _MAX_VALUE else "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    if isinstance(value, list):
        return [_sorted(item) for item in value]  # pyright: ignore[reportUnknownVariableType] - any JSON
    return value


# Submission


@dataclass(frozen=True, slots=True)
class Accepted:
    batch: str
    jobs: tuple[Job, ...]
    repeated: bool = False
    """Whether these jobs were accepted by an earlier request with the same key."""
    duplicates: Mapping[str, str] = field(default_factory=dict[str, str])
    """`Draft.unique_key` to the id of the existing job, for drafts skipped as duplicates."""


_INSERTED = (*JOB_COLUMNS, tables.jobs.c.held)
_INSERT_JOB = Statement(sa.insert(tables.jobs).values({c.name: sa.bindparam(c.name) for c in _INSERTED}))
_insert_dependencies = sa.insert(tables.dependencies)
_insert_properties = sa.insert(tables.properties)
_QUEUES = Statement(sa.select(tables.queues.c.name, tables.queues.c.virtual_time))
_WEIGHTS = Statement(
    sa.select(tables.owners.c.id, tables.owners.c.weight).where(
        tables.owners.c.id.in_(sa.bindparam("ids", expanding=True))
    )
)
_TAKE_KEY = Statement(
    # The row itself is returned, since PostgreSQL's driver counts an insert as -1 rows.
    sa.text(
        "INSERT INTO submissions (owner, key, digest, batch, created_at) "
        "VALUES (:owner, :key, :digest, :batch, :created_at) ON CONFLICT DO NOTHING RETURNING key"
    )
)
_COUNT_REPLAY = Statement(sa.text("UPDATE jobs SET replays = replays + 1 WHERE id = :id"))
_ADVANCE_SHARE = Statement(
    sa.text(
        "INSERT INTO shares (queue, owner, finish) VALUES (:queue, :owner, :first) "
        "ON CONFLICT (queue, owner) DO UPDATE SET finish = :stretch + "
        "CASE WHEN shares.finish > :virtual_time THEN shares.finish ELSE :virtual_time END "
        "RETURNING finish"
    )
)


class SubmitStore:
    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def submit(self, tx: Tx, submissions: Sequence[Submission]) -> list[Accepted | ImagemillError]:
        earlier = [_earlier(tx, submission) for submission in submissions]
        fresh, taken = drop_duplicates(
            tx, [s for s, batch in zip(submissions, earlier, strict=True) if batch is None]
        )
        admission = admit(tx, fresh)
        admitted = [s for s in fresh if s.batch not in admission.refused]
        jobs = self._insert(tx, admitted, admission.held) if admitted else {}
        answers: list[Accepted | ImagemillError] = []
        for submission, batch in zip(submissions, earlier, strict=True):
            if isinstance(batch, Conflict):
                answers.append(batch)
            elif (refusal := admission.refused.get(batch or submission.batch)) is not None:
                answers.append(refusal)
            elif batch is None:
                left_out = taken.get(submission.batch, {})
                answers.append(
                    Accepted(submission.batch, tuple(jobs.get(submission.batch, ())), duplicates=left_out)
                )
            else:
                # Read after the insert: the earlier request may be in the same transaction.
                answers.append(Accepted(batch, _jobs_of(tx, submission.owner, batch), repeated=True))
        return answers

    def _insert(
        self, tx: Tx, submissions: Sequence[Submission], held: Mapping[str, int]
    ) -> dict[str, list[Job]]:
        tags, paused = _take_tags(tx, submissions)
        jobs: dict[str, list[Job]] = {}
        entries: list[event_log.EventEntry] = []
        for submission in submissions:
            batch = jobs.setdefault(submission.batch, [])
            for draft in submission.drafts:
                job = self._job(tx, submission, draft, tags, paused)
                batch.append(job)
                entries.append(_first_event(job))
                if job.status is JobStatus.QUEUED and job.run_after is None:
                    tx.queues_with_work.add(job.queue)
        everything = [job for batch in jobs.values() for job in batch]
        rows = [{**job_row(job), "held": held.get(job.id)} for job in everything]
        # Another write of the transaction may have postponed events already; those of these jobs join them.
        tx.insert_late(_INSERT_JOB, rows, first=True)
        event_log.append(tx, entries)
        # The rest of the transaction may read these jobs, for example a claim.
        tx.insert_now()
        drafts = [draft for submission in submissions for draft in submission.drafts]
        insert_reservations(tx, submissions)
        needs = [{"job_id": draft.id, "needs": need} for draft in drafts for need in draft.depends_on]
        if needs:
            tx.conn.execute(_insert_dependencies, needs)
        index = [row for draft in drafts if draft.properties for row in property_rows(draft)]
        if index:
            tx.conn.execute(_insert_properties, index)
        batches.insert(tx, [each.record for each in submissions if each.record is not None])
        _count_replays(tx, [draft.replay_of for draft in drafts if draft.replay_of])
        return jobs

    def _job(
        self, tx: Tx, submission: Submission, draft: Draft, tags: "_Tags", paused: parking.PausedNames
    ) -> Job:
        start = tags.take(draft.queue, submission.owner, draft.estimate_s)
        waits = bool(draft.depends_on)
        return Job(
            id=draft.id,
            batch=submission.batch,
            owner=submission.owner,
            recipe=draft.recipe,
            queue=draft.queue,
            lane=self._lanes.id_of(tx, draft.lane),
            status=JobStatus.WAITING if waits else JobStatus.QUEUED,
            priority=draft.priority,
            tag=start + priority_offset_s(draft.priority),
            estimate_s=draft.estimate_s,
            cost=draft.cost,
            attempt=0,
            failures=0,
            max_failures=draft.max_failures,
            timeout_s=draft.timeout_s,
            name=draft.name,
            dialect=draft.dialect,
            input=draft.input,
            client=draft.client,
            properties=draft.properties,
            callback_url=draft.callback_url,
            trace=draft.trace,
            worker=None,
            node=None,
            backend=None,
            backend_ref=None,
            reason=None,
            error=None,
            lease_until=None,
            run_after=None if waits else paused.park(submission.owner, draft.recipe, None),
            cancel_requested_at=None,
            created_at=submission.now,
            started_at=None,
            finished_at=None,
            expires_at=draft.expires_at,
            last_seq=1,
            replays=0,
        )


def _count_replays(tx: Tx, ids: Sequence[str]) -> None:
    """Count at each job that it was submitted again."""
    if ids:
        # In one order, so that no two transactions wait for each other.
        _COUNT_REPLAY.run_many(tx.conn, [{"id": id_} for id_ in sorted(ids)])


def _first_event(job: Job) -> event_log.EventEntry:
    return event_log.EventEntry(
        job.id,
        1,
        EventType.INITIALIZED,
        job.created_at,
        0,
        job.owner,
        job.recipe,
        job.status,
        callback_url=job.callback_url,
    )


def _earlier(tx: Tx, submission: Submission) -> str | Conflict | None:
    """Return the batch of an earlier request with this key, or store the key and return None."""
    if submission.idempotency_key is None:
        return None
    row = {
        "owner": submission.owner,
        "key": submission.idempotency_key,
        "digest": submission.digest,
        "batch": submission.batch,
        "created_at": submission.now,
    }
    # On PostgreSQL the insert waits for a concurrent one with the same key, so only one succeeds.
    if _TAKE_KEY.run(tx.conn, row):
        return None
    table = tables.submissions
    digest, batch = tx.conn.execute(
        sa.select(table.c.digest, table.c.batch).where(
            table.c.owner == submission.owner, table.c.key == submission.idempotency_key
        )
    ).one()
    if digest != submission.digest:
        return Conflict(f"the idempotency key {submission.idempotency_key!r} was used with another body")
    return str(batch)


def _jobs_of(tx: Tx, owner: str, batch: str) -> tuple[Job, ...]:
    # Both columns of their index, and sorted here: for the order of their ids SQLite would read all jobs.
    mine = sa.and_(tables.jobs.c.owner == owner, tables.jobs.c.batch == batch)
    found = [job_from(row) for row in tx.conn.execute(sa.select(*JOB_COLUMNS).where(mine))]
    return tuple(sorted(found, key=lambda job: job.id))


class _Tags:
    """The start tags of new jobs: successive virtual seconds of the share of an owner in a queue."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, str], float] = {}
        self._weight: dict[str, float] = {}

    def open(self, queue: str, owner: str, start: float, weight: float) -> None:
        self._next[queue, owner] = start
        self._weight[owner] = weight

    def take(self, queue: str, owner: str, estimate_s: float) -> float:
        start = self._next[queue, owner]
        self._next[queue, owner] = start + estimate_s / self._weight[owner]
        return start


def _take_tags(tx: Tx, submissions: Sequence[Submission]) -> tuple[_Tags, parking.PausedNames]:
    """Return the tags of the new jobs, and what is paused."""
    totals: dict[tuple[str, str], float] = {}
    for submission in submissions:
        for draft in submission.drafts:
            place = (draft.queue, submission.owner)
            totals[place] = totals.get(place, 0.0) + draft.estimate_s
    owners = sorted({owner for _, owner in totals})
    queues, known, paused = run_together(
        tx.conn, _QUEUES.call(), _WEIGHTS.call({"ids": owners}), parking.reading_names()
    )
    virtual, weights = dict[str, float](queues.rows()), dict[str, float](known.rows())
    tags = _Tags()
    # Sorted, so that two processes lock the rows in the same order.
    for (queue, owner), total in sorted(totals.items()):
        if queue not in virtual:
            tx.conn.execute(
                tx.insert(tables.queues).values(name=queue, virtual_time=0.0).on_conflict_do_nothing()
            )
        weight = weights.get(owner, 1.0)
        finish = _advance_share(tx, queue, owner, virtual.get(queue, 0.0), total / weight)
        tags.open(queue, owner, finish - total / weight, weight)
    return tags, parking.names_from(paused.rows())


def _advance_share(tx: Tx, queue: str, owner: str, virtual_time: float, stretch: float) -> float:
    """Advance and return the owner's last virtual finish. One statement, so concurrent submissions add up."""
    parameters = {
        "queue": queue,
        "owner": owner,
        "first": virtual_time + stretch,
        "virtual_time": virtual_time,
        "stretch": stretch,
    }
    return _ADVANCE_SHARE.run(tx.conn, parameters)[0][0]
