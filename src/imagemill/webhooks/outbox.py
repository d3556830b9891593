"""The outboxes: due callbacks, one at a time and in order for each job, and messages to webhook endpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.statements import Statement
from imagemill.domain.clock import uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import Event
from imagemill.domain.jobs import Job
from imagemill.domain.signing import TYPES
from imagemill.jobs.store.lanes import EVENT_COLUMNS, event_from
from imagemill.jobs.store.queries import jobs_by_id

if TYPE_CHECKING:
    from imagemill.jobs.store.event_log import EventEntry

_deliveries = tables.deliveries.c


@dataclass(frozen=True, slots=True)
class Delivery:
    job: Job
    event: Event
    url: str
    tries: int


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Deliveries to leave out: of an account and its end users, to URLs with a prefix. None means any."""

    account: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The result of an attempt to deliver."""

    delivery: Delivery
    now: int
    error: str | None = None
    """None means success."""
    again_at: int | None = None
    """The time of the next attempt; None after an error means that the delivery is given up."""


class CallbackOutbox:
    """The callbacks of jobs that wait to be delivered."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def due(self, now: int, limit: int, without: Sequence[Exclusion] = ()) -> list[Delivery]:
        return self._read(due, now, limit, without)

    def next_due(self) -> int | None:
        """Return the time at which the next delivery is due; None without one."""
        return self._read(next_due)

    def record(self, result: Delivered) -> None:
        self._write(record, result)


def _is_first() -> sa.ColumnElement[bool]:
    """Return the condition that no earlier event of the job is undelivered."""
    earlier = tables.deliveries.alias("earlier")
    return ~sa.exists().where(
        earlier.c.job_id == _deliveries.job_id,
        earlier.c.seq < _deliveries.seq,
        earlier.c.due_at.is_not(None),
    )


def _is_kept(without: Exclusion) -> sa.ColumnElement[bool]:
    owner, conditions = tables.jobs.c.owner, list[sa.ColumnElement[bool]]()
    if without.account is not None:
        of_end_user = owner.startswith(f"{without.account}:", autoescape=True)
        conditions.append(sa.or_(owner == without.account, of_end_user))
    if without.url is not None:
        conditions.append(_deliveries.url.startswith(without.url, autoescape=True))
    return ~sa.and_(*conditions)


@cache  # an idle server asks each second, and making the statement takes longer than running it
def _due_events() -> sa.Select[Any]:
    event_of = sa.and_(tables.events.c.job_id == _deliveries.job_id, tables.events.c.seq == _deliveries.seq)
    return (
        sa.select(_deliveries.url, _deliveries.tries, *EVENT_COLUMNS)
        .join_from(tables.deliveries, tables.events, event_of)
        .where(_deliveries.due_at.is_not(None), _deliveries.due_at <= sa.bindparam("now"), _is_first())
        .order_by(_deliveries.due_at)
        .limit(sa.bindparam("limit"))
    )


def due(conn: sa.Connection, now: int, limit: int, without: Sequence[Exclusion] = ()) -> list[Delivery]:
    """Return the first undelivered event of each job, where it is due."""
    statement = _due_events()
    if without:
        statement = statement.join(tables.jobs, tables.jobs.c.id == _deliveries.job_id)
        statement = statement.where(*map(_is_kept, without))
    rows = conn.execute(statement, {"now": now, "limit": limit}).all()
    events = [event_from(row[2:]) for row in rows]
    jobs = jobs_by_id(conn, {event.job_id for event in events}) if events else {}
    return [
        Delivery(jobs[event.job_id], event, row.url, row.tries)
        for row, event in zip(rows, events, strict=True)
        if event.job_id in jobs
    ]


def next_due(conn: sa.Connection) -> int | None:
    return conn.execute(_next_due()).scalar_one()


@cache
def _next_due() -> sa.Select[int | None]:
    return sa.select(sa.func.min(_deliveries.due_at)).where(_deliveries.due_at.is_not(None), _is_first())


def record(tx: Tx, results: Sequence[Delivered]) -> list[None]:
    for result in results:
        event = result.delivery.event
        tx.conn.execute(
            sa.update(tables.deliveries)
            .where(_deliveries.job_id == event.job_id, _deliveries.seq == event.seq)
            .values(
                due_at=result.again_at,
                tries=_deliveries.tries + 1,
                delivered_at=result.now if result.error is None else None,
                last_error=result.error,
            )
        )
    return [None] * len(results)


# Messages to webhook endpoints
#
# They are written in the transaction of their event. The subscriptions are cached with the connection that
# writes, under a mark that each change of an endpoint replaces, so a transaction reads only the mark. It does
# so under a shared lock that a change takes exclusively (SQLite has one writer anyway). A change is therefore
# answered only when each transaction that did not see it has ended: every later event gets its message.

_ENDPOINTS = "endpoints"
_LOCK = 0x696D_6D69_6C6C_0001
"""The key of an advisory lock: an arbitrary number that nothing else in the database uses."""
_CACHE_KEY = "imagemill.audience"


@dataclass(frozen=True, slots=True)
class Subscriptions:
    mark: str | None = None
    by_owner: Mapping[str, tuple[tuple[str, frozenset[str]], ...]] = field(
        default_factory=dict[str, tuple[tuple[str, frozenset[str]], ...]]
    )
    """The endpoints of each owner with the event types they subscribe to."""
    types: frozenset[str] = frozenset()
    """All event types with a subscription."""


_NO_SUBSCRIPTIONS = Subscriptions()
_READ_MARK = Statement(
    sa.select(tables.marks.c.mark).where(tables.marks.c.name == sa.bindparam("name", _ENDPOINTS))
)
_LOCK_SHARED = Statement(sa.text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})"))
_OWNERS = Statement(
    sa.select(tables.jobs.c.id, tables.jobs.c.owner, tables.owners.c.parent)
    .join_from(
        tables.jobs, tables.owners, tables.owners.c.id == tables.jobs.c.owner, isouter=True
    )
    .where(tables.jobs.c.id.in_(sa.bindparam("ids", expanding=True)))
)  # fmt: skip
_MESSAGE_NAMES = ("id", "endpoint_id", "job_id", "seq", "type", "created_at", "due_at", "tries")
_INSERT = Statement(
    sa.insert(tables.messages).values({name: sa.bindparam(name) for name in _MESSAGE_NAMES})
)  # fmt: skip


def enqueue_messages(tx: Tx) -> None:
    """At the end of a transaction, write the messages of its events, one for each subscribed endpoint."""
    if not tx.logged:
        return
    subscriptions = _subscriptions(tx)
    wanted: list[EventEntry] = [entry for entry in tx.logged if TYPES[entry.type] in subscriptions.types]
    if not wanted:
        return
    owners = {
        job_id: (owner, parent)
        for job_id, owner, parent in _OWNERS.run(
            tx.conn, {"ids": sorted({entry.job_id for entry in wanted})}
        )
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    for entry in wanted:
        type_ = TYPES[entry.type]
        for owner in owners[entry.job_id]:
            endpoints = subscriptions.by_owner.get(owner, ())
            rows += [_row(entry, type_, endpoint) for endpoint, types in endpoints if type_ in types]
    tx.insert_late(_INSERT, rows)
    tx.has_deliveries = tx.has_deliveries or bool(rows)


def invalidate_subscriptions(tx: Tx) -> None:
    """Replace the mark; to be called before an endpoint is added, changed or deleted."""
    if tx.conn.dialect.name == "postgresql":
        tx.conn.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    # Random, not counted: a mark of a transaction that was rolled back never comes again.
    row = {"name": _ENDPOINTS, "mark": uuid7()}
    statement = tx.insert(tables.marks).values(row)
    tx.conn.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"mark": row["mark"]})
    )  # fmt: skip


def _row(entry: "EventEntry", type_: str, endpoint: str) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid7(entry.at)}",
        "endpoint_id": endpoint,
        "job_id": entry.job_id,
        "seq": entry.seq,
        "type": type_,
        "created_at": entry.at,
        "due_at": entry.at,
        "tries": 0,
    }


def _subscriptions(tx: Tx) -> Subscriptions:
    mark, info = _mark(tx), tx.conn.info
    if mark is None:
        return _NO_SUBSCRIPTIONS
    known: Subscriptions | None = info.get(_CACHE_KEY)
    if known is None or known.mark != mark:
        known = info[_CACHE_KEY] = _read(tx.conn, mark)
    return known


def _mark(tx: Tx) -> str | None:
    """Read the mark, with the pending inserts and after the lock, so that it includes committed changes."""
    locks = [_LOCK_SHARED.call()] if tx.conn.dialect.name == "postgresql" else []
    rows = tx.insert_now(*locks, _READ_MARK.call())[-1].rows()
    return rows[0][0] if rows else None


def _read(conn: sa.Connection, mark: str) -> Subscriptions:
    by_owner: dict[str, tuple[tuple[str, frozenset[str]], ...]] = {}
    every: set[str] = set()
    endpoints = tables.endpoints.c
    for id_, owner, events in conn.execute(sa.select(endpoints.id, endpoints.owner, endpoints.events)):
        types = frozenset(events.split())
        by_owner[owner] = (*by_owner.get(owner, ()), (id_, types))
        every |= types
    return Subscriptions(mark, by_owner, frozenset(every))
