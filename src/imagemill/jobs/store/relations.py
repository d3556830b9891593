"""The relations of a job: jobs that it needs or that need it, its deliveries and its ledger entries."""

from collections.abc import Sequence

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import Job, JobStatus

_MOST = 100
"""Most jobs, deliveries or messages that are read."""
_jobs, _needs = tables.jobs.c, tables.dependencies.c


@dataclass(frozen=True, slots=True)
class RelatedJob:
    id: str
    recipe: str
    status: JobStatus


@dataclass(frozen=True, slots=True)
class SentNotice:
    """A callback (``endpoint`` is None) or a message to a webhook endpoint."""

    event: int
    """Number of the event that it is about."""
    url: str
    endpoint: str | None
    message: str | None
    tries: int
    delivered_at: int | None
    due_at: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class BookedAmount:
    """A ledger entry of the job; amounts in thousandths of a credit."""

    number: int
    at: int
    kind: str
    available: int
    held: int


@dataclass(frozen=True, slots=True)
class JobRelations:
    needs: tuple[RelatedJob, ...]
    needed_by: tuple[RelatedJob, ...]
    siblings: tuple[RelatedJob, ...]
    """The other jobs of its submission."""
    notices: tuple[SentNotice, ...]
    ledger: tuple[BookedAmount, ...]


def job_relations(conn: sa.Connection, job: Job, endpoint_owners: Sequence[str]) -> JobRelations:
    """Return the relations of a job; of webhooks only those to endpoints of these owners."""
    same_owner = _jobs.owner == job.owner
    return JobRelations(
        _related(conn, same_owner, _jobs.id.in_(sa.select(_needs.needs).where(_needs.job_id == job.id))),
        _related(conn, same_owner, _jobs.id.in_(sa.select(_needs.job_id).where(_needs.needs == job.id))),
        _related(conn, same_owner, _jobs.batch == job.batch, _jobs.id != job.id),
        (*_callbacks(conn, job.id), *_messages(conn, job.id, endpoint_owners)),
        _ledger(conn, job.id),
    )


def _related(conn: sa.Connection, *where: sa.ColumnElement[bool]) -> tuple[RelatedJob, ...]:
    # As an expression, since for the order of the ids themselves SQLite would read all jobs of the owner.
    in_order = sa.select(_jobs.id, _jobs.recipe, _jobs.status).where(*where).order_by(_jobs.id.concat(""))
    statement = in_order.limit(_MOST)
    return tuple(RelatedJob(row.id, row.recipe, JobStatus(row.status)) for row in conn.execute(statement))


def _callbacks(conn: sa.Connection, job_id: str) -> list[SentNotice]:
    rows = tables.deliveries.c
    statement = (
        sa.select(rows.seq, rows.url, rows.tries, rows.delivered_at, rows.due_at, rows.last_error)
        .where(rows.job_id == job_id)
        .order_by(rows.seq)
        .limit(_MOST)
    )
    return [
        SentNotice(seq, url, None, None, tries, delivered_at, due_at, last_error)
        for seq, url, tries, delivered_at, due_at, last_error in conn.execute(statement)
    ]


def _messages(conn: sa.Connection, job_id: str, owners: Sequence[str]) -> list[SentNotice]:
    rows, endpoints, attempts = tables.messages.c, tables.endpoints.c, tables.attempts.c
    owned = sa.select(endpoints.id).where(endpoints.owner.in_(owners))
    failed = (
        sa.select(attempts.error)
        .where(attempts.message_id == rows.id)
        .order_by(attempts.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        sa.select(
            rows.seq, endpoints.url, endpoints.id, rows.id, rows.tries, rows.delivered_at, rows.due_at, failed
        )
        .join_from(tables.messages, tables.endpoints, endpoints.id == rows.endpoint_id)
        .where(rows.endpoint_id.in_(owned), rows.job_id == job_id)
        .order_by(rows.seq)
        .limit(_MOST)
    )
    return [SentNotice(seq or 0, *rest) for seq, *rest in conn.execute(statement)]


def _ledger(conn: sa.Connection, job_id: str) -> tuple[BookedAmount, ...]:
    rows = tables.ledger.c
    statement = (
        sa.select(rows.number, rows.at, rows.kind, rows.available, rows.held)
        .where(rows.job_id == job_id, rows.job_id.is_not(None))
        .order_by(rows.number)
        .limit(_MOST)
    )
    return tuple(BookedAmount(*row) for row in conn.execute(statement))
