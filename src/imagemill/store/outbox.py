"""The outbox of callbacks: due deliveries, one at a time and in order for each job."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from imagemill.domain.events import Event
from imagemill.domain.jobs import Job
from imagemill.store import schema
from imagemill.store.commits import Tx
from imagemill.store.reading import jobs_by_id
from imagemill.store.rows import EVENT_COLUMNS, event_from

_deliveries = schema.deliveries.c


@dataclass(frozen=True, slots=True)
class Delivery:
    job: Job
    event: Event
    url: str
    tries: int


@dataclass(frozen=True, slots=True)
class Without:
    """Deliveries to leave out: of an account and its end users, to URLs that begin so; None: any."""

    account: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """How an attempt to deliver ended."""

    delivery: Delivery
    now: int
    error: str | None = None
    """None: the receiver took it."""
    again_at: int | None = None
    """When to try again; None after an error: given up."""


def _is_first() -> sa.ColumnElement[bool]:
    """Nothing that comes before it in its job is still to be delivered."""
    earlier = schema.deliveries.alias("earlier")
    return ~sa.exists().where(
        earlier.c.job_id == _deliveries.job_id,
        earlier.c.seq < _deliveries.seq,
        earlier.c.due_at.is_not(None),
    )


def _is_kept(without: Without) -> sa.ColumnElement[bool]:
    owner, conditions = schema.jobs.c.owner, list[sa.ColumnElement[bool]]()
    if without.account is not None:
        of_end_user = owner.startswith(f"{without.account}:", autoescape=True)
        conditions.append(sa.or_(owner == without.account, of_end_user))
    if without.url is not None:
        conditions.append(_deliveries.url.startswith(without.url, autoescape=True))
    return ~sa.and_(*conditions)


def due(conn: sa.Connection, now: int, limit: int, without: Sequence[Without] = ()) -> list[Delivery]:
    """The first undelivered event of each job, where due."""
    event_of = sa.and_(schema.events.c.job_id == _deliveries.job_id, schema.events.c.seq == _deliveries.seq)
    statement = (
        sa.select(_deliveries.url, _deliveries.tries, *EVENT_COLUMNS)
        .join_from(schema.deliveries, schema.events, event_of)
        .where(_deliveries.due_at.is_not(None), _deliveries.due_at <= now, _is_first())
        .order_by(_deliveries.due_at)
        .limit(limit)
    )
    if without:
        statement = statement.join(schema.jobs, schema.jobs.c.id == _deliveries.job_id)
        statement = statement.where(*map(_is_kept, without))
    rows = conn.execute(statement).all()
    events = [event_from(row[2:]) for row in rows]
    jobs = jobs_by_id(conn, {event.job_id for event in events}) if events else {}
    return [
        Delivery(jobs[event.job_id], event, row.url, row.tries)
        for row, event in zip(rows, events, strict=True)
        if event.job_id in jobs
    ]


def next_due(conn: sa.Connection) -> int | None:
    return conn.execute(
        sa.select(sa.func.min(_deliveries.due_at)).where(_deliveries.due_at.is_not(None), _is_first())
    ).scalar_one()


def record(tx: Tx, results: Sequence[Delivered]) -> list[None]:
    for result in results:
        event = result.delivery.event
        tx.conn.execute(
            sa.update(schema.deliveries)
            .where(_deliveries.job_id == event.job_id, _deliveries.seq == event.seq)
            .values(
                due_at=result.again_at,
                tries=_deliveries.tries + 1,
                delivered_at=result.now if result.error is None else None,
                last_error=result.error,
            )
        )
    return [None] * len(results)
