"""The records of batches: what an API keeps of jobs that were submitted together, besides the jobs.

A record has the id of its batch (`Job.batch`) and is deleted with the last job of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.statements import Statement, dump, load
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError, NotFound
from imagemill.domain.jobs import JobStatus

_batches, _tags, _jobs = tables.batches.c, tables.batch_tags.c, tables.jobs.c
_UNSUCCESSFUL = [status.value for status in (JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED)]


@dataclass(frozen=True, slots=True)
class BatchCallback:
    """A URL that gets the events of all jobs of a batch."""

    url: str
    options: Mapping[str, Any]
    """Read by the dialect that writes the bodies."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    id: str
    owner: str
    dialect: str
    created_at: int
    document: Mapping[str, Any]
    """Never changed."""
    notes: Mapping[str, Any]
    """May be changed by its owner."""
    tags: tuple[str, ...] = ()
    callbacks: tuple[BatchCallback, ...] = ()
    """Only written, not read."""


@dataclass(frozen=True, slots=True)
class BatchFilter:
    owner: str
    dialect: str
    tags: tuple[str, ...] = ()
    """All of them must be there."""
    text: str = ""
    """A part of the notes, in any case."""
    created_from: int | None = None
    created_to: int | None = None
    successful: bool = False
    """Leave out those with a job that failed, expired or was canceled."""
    ascending: bool = False
    after: str | None = None
    """Continue after this id (the cursor)."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class BatchChange:
    id: str
    owner: str
    dialect: str
    change: Callable[[BatchRecord], BatchRecord]
    """Returns the record with other notes or tags. It runs inside the transaction, so it must be quick."""


@dataclass(frozen=True, slots=True)
class _Deletion:
    id: str
    owner: str
    dialect: str
    now: int


_NAMES = ("id", "owner", "dialect", "document", "notes", "created_at")
_INSERT = Statement(sa.insert(tables.batches).values({name: sa.bindparam(name) for name in _NAMES}))
_INSERT_TAG = Statement(
    sa.insert(tables.batch_tags).values({name: sa.bindparam(name) for name in ("batch", "tag")})
)
_CALLBACK_NAMES = ("batch", "number", "url", "options", "cursor", "seen", "due_at", "tries")
_INSERT_CALLBACK = Statement(
    sa.insert(tables.batch_callbacks).values({name: sa.bindparam(name) for name in _CALLBACK_NAMES})
)


def insert(tx: Tx, records: Sequence[BatchRecord]) -> None:
    """Write new records, in the transaction that writes their jobs."""
    if not records:
        return
    rows = [
        {
            "id": record.id,
            "owner": record.owner,
            "dialect": record.dialect,
            "document": dump(record.document),
            "notes": dump(record.notes),
            "created_at": record.created_at,
        }
        for record in records
    ]
    tx.insert_late(_INSERT, rows)
    tags = [{"batch": record.id, "tag": tag} for record in records for tag in record.tags]
    if tags:
        tx.insert_late(_INSERT_TAG, tags)
    callbacks = [
        {
            "batch": record.id,
            "number": number,
            "url": callback.url,
            "options": dump(callback.options),
            "cursor": "{}",
            "seen": 0,
            "due_at": record.created_at,
            "tries": 0,
        }
        for record in records
        for number, callback in enumerate(record.callbacks)
    ]
    if callbacks:
        tx.insert_late(_INSERT_CALLBACK, callbacks)
        tx.has_deliveries = True


def delete_without_jobs(tx: Tx, ids: Sequence[str]) -> None:
    """Delete those of the records whose last job is deleted."""
    left = sa.exists().where(_jobs.owner == _batches.owner, _jobs.batch == _batches.id)
    tx.conn.execute(sa.delete(tables.batches).where(_batches.id.in_(ids), ~left))


class BatchStore:
    def __init__(self, database: Database) -> None:
        self._write, self._read = database.write, database.read

    def record(self, id_: str, owner: str, dialect: str) -> BatchRecord:
        """Return a record. Raises `NotFound`, for another owner's or another dialect's too."""
        found = self._read(read_records, _is(id_, owner, dialect))
        if not found:
            raise NotFound(f"there is no {id_[:60]!r} here")
        return found[0]

    def list(self, wanted: BatchFilter) -> list[BatchRecord]:
        """Return records, the newest first unless ``ascending``."""
        return self._read(_list, wanted)

    def change(self, change: BatchChange) -> BatchRecord:
        """Change a record and return it. Raises `NotFound`, and what the change raises."""
        return self._write(_change, change)

    def delete(self, id_: str, owner: str, dialect: str, now: int) -> None:
        """Hide a record for good and free its idempotency key; its jobs stay. Raises `NotFound`."""
        self._write(_delete, _Deletion(id_, owner, dialect, now))


def read_records(
    conn: sa.Connection, condition: sa.ColumnElement[bool], *, lock: bool = False
) -> "list[BatchRecord]":
    """Return the records that match, without deleted ones."""
    statement = sa.select(*(_batches[name] for name in _NAMES)).where(
        condition, _batches.deleted_at.is_(None)
    )
    if lock:
        statement = statement.with_for_update()
    return _with_tags(conn, conn.execute(statement).all())


def _is(id_: str, owner: str, dialect: str) -> sa.ColumnElement[bool]:
    return sa.and_(_batches.id == id_, _batches.owner == owner, _batches.dialect == dialect)


def _with_tags(conn: sa.Connection, rows: Sequence[Any]) -> "list[BatchRecord]":
    tags: dict[str, list[str]] = {}
    if rows:
        query = sa.select(_tags.batch, _tags.tag).where(_tags.batch.in_([row.id for row in rows]))
        for batch, tag in conn.execute(query.order_by(_tags.tag)):
            tags.setdefault(batch, []).append(tag)
    return [
        BatchRecord(
            row.id,
            row.owner,
            row.dialect,
            row.created_at,
            load(row.document),
            load(row.notes),
            tuple(tags.get(row.id, ())),
        )
        for row in rows
    ]


def _list(conn: sa.Connection, wanted: BatchFilter) -> "list[BatchRecord]":
    statement = sa.select(*(_batches[name] for name in _NAMES)).where(
        _batches.owner == wanted.owner, _batches.dialect == wanted.dialect, _batches.deleted_at.is_(None)
    )
    for tag in wanted.tags:
        has_tag = sa.exists().where(_tags.batch == _batches.id, _tags.tag == tag)
        statement = statement.where(has_tag)
    if wanted.text:
        # As JSON writes it, so that quotes and backslashes are found.
        text = dump(wanted.text)[1:-1]
        statement = statement.where(_batches.notes.icontains(text, autoescape=True))
    if wanted.created_from is not None:
        statement = statement.where(_batches.created_at >= wanted.created_from)
    if wanted.created_to is not None:
        statement = statement.where(_batches.created_at <= wanted.created_to)
    if wanted.successful:
        lost = sa.exists().where(
            _jobs.owner == _batches.owner, _jobs.batch == _batches.id, _jobs.status.in_(_UNSUCCESSFUL)
        )
        statement = statement.where(~lost)
    if wanted.after:
        beyond = _batches.id > wanted.after if wanted.ascending else _batches.id < wanted.after
        statement = statement.where(beyond)
    order = _batches.id.asc() if wanted.ascending else _batches.id.desc()
    return _with_tags(conn, conn.execute(statement.order_by(order).limit(wanted.limit)).all())


def _change(tx: Tx, requests: Sequence[BatchChange]) -> "list[BatchRecord | ImagemillError]":
    answers: list[BatchRecord | ImagemillError] = []
    for request in requests:
        found = read_records(tx.conn, _is(request.id, request.owner, request.dialect), lock=True)
        if not found:
            answers.append(NotFound(f"there is no {request.id[:60]!r} here"))
            continue
        try:
            changed = request.change(found[0])
        except ImagemillError as error:
            answers.append(error)
            continue
        _write_change(tx, found[0], changed)
        answers.append(replace(changed, tags=tuple(sorted(changed.tags))))
    return answers


def _write_change(tx: Tx, before: BatchRecord, after: BatchRecord) -> None:
    if after.notes != before.notes:
        tx.conn.execute(
            sa.update(tables.batches).where(_batches.id == after.id).values(notes=dump(after.notes))
        )
    if after.tags != before.tags:
        tx.conn.execute(sa.delete(tables.batch_tags).where(_tags.batch == after.id))
        rows = [{"batch": after.id, "tag": tag} for tag in after.tags]
        if rows:
            tx.conn.execute(sa.insert(tables.batch_tags), rows)


def _delete(tx: Tx, requests: Sequence[_Deletion]) -> list[NotFound | None]:
    answers: list[NotFound | None] = []
    keys = tables.submissions.c
    for request in requests:
        gone = tx.conn.execute(
            sa.update(tables.batches)
            .where(_is(request.id, request.owner, request.dialect), _batches.deleted_at.is_(None))
            .values(deleted_at=request.now)
            .returning(_batches.id)
        ).first()
        answers.append(None if gone else NotFound(f"there is no {request.id[:60]!r} here"))
        if gone:
            # A key has the time of its jobs, by which it is found among all keys of its owner.
            times = sa.select(_jobs.created_at).where(_jobs.owner == request.owner, _jobs.batch == request.id)
            its = sa.and_(keys.created_at.in_(times), keys.batch == request.id)
            tx.conn.execute(sa.delete(tables.submissions).where(its))
    return answers
