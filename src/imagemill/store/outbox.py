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


def due(conn: sa.Connection, now: int, limit: int, without: Sequence[str] = ()) -> list[Delivery]:
    """The first undelivered event of each job, where due; to no URL that begins as one of ``without``."""
    statement = (
        sa.select(_deliveries.url, _deliveries.tries, *EVENT_COLUMNS)
        .join(
            schema.events,
            sa.and_(
                schema.events.c.job_id == _deliveries.job_id, schema.events.c.seq == _deliveries.seq
            ),
        )
        .where(
            _deliveries.due_at.is_not(None),
            _deliveries.due_at <= now,
            *(~_deliveries.url.startswith(prefix, autoescape=True) for prefix in without),
            _is_first(),
        )
        .order_by(_deliveries.due_at)
        .limit(limit)
    )  # fmt: skip
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
