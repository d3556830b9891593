"""Reads at once what a sweep would do; most find nothing."""

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.statements import Statement
from imagemill.domain.dataclass import dataclass
from imagemill.jobs.store.artifacts import OWNERLESS
from imagemill.jobs.store.counts import COUNTED_UNTIL, countable_until

_jobs = tables.jobs.c


@dataclass(frozen=True, slots=True)
class Due:
    """Times are in microseconds, None without such a job."""

    workers: tuple[str, ...]
    """The workers of running jobs."""
    lease_until: int | None
    """When the first lease of a running job ends."""
    expires_at: int | None
    """When the first job expires that was not started."""
    run_after: int | None
    """When the first retry is due."""
    has_uncounted: bool
    """Whether jobs that ended are not in the counts and may be."""
    has_ownerless: bool
    """Whether older code has written artifacts without an owner."""


# The least and the greatest value are read from an index; a search for any row that is due could read all
# rows if the planner expects many.
_DUE = Statement(
    sa.select(
        sa.select(sa.func.min(_jobs.lease_until)).where(sa.text(tables.RUNNING)).scalar_subquery(),
        sa.select(sa.func.min(_jobs.expires_at)).where(sa.text(tables.IDLE)).scalar_subquery(),
        sa.select(sa.func.min(_jobs.run_after)).where(_jobs.run_after.is_not(None)).scalar_subquery(),
        sa.select(sa.func.max(_jobs.finished_at))
        .where(_jobs.finished_at.is_not(None), _jobs.finished_at <= sa.bindparam("countable"))
        .scalar_subquery(),
        COUNTED_UNTIL.scalar_subquery(),
        OWNERLESS.scalar_subquery(),
    )
)
_WORKERS = Statement(sa.select(_jobs.worker).where(sa.text(tables.RUNNING)).distinct())


def due(conn: sa.Connection, now: int) -> Due:
    row = _DUE.run(conn, {"countable": countable_until(now)})[0]
    lease_until, expires_at, run_after, ended_at, counted_until, ownerless = row
    workers = tuple(worker for (worker,) in _WORKERS.run(conn) if worker)
    has_uncounted = ended_at is not None and ended_at > int(counted_until or 0)
    return Due(workers, lease_until, expires_at, run_after, has_uncounted, ownerless is not None)
