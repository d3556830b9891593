"""The depth and workload of queues, read from the indexes of open jobs only."""

from collections.abc import Callable

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.domain.clock import SECOND, uuid7_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import LaneKey
from imagemill.domain.quotas import Workload

LATELY_US = 300 * SECOND
"""The recent time whose finished work gives the speed of a queue: 300 s."""
_jobs = tables.jobs.c
_CLAIMABLE = (
    sa.select(_jobs.lane, sa.func.count(), sa.func.min(_jobs.id))
    .where(sa.text(tables.CLAIMABLE))
    .group_by(_jobs.lane)
)
_PARKED = sa.text("SELECT queue, count(*) FROM jobs WHERE run_after IS NOT NULL GROUP BY queue")
_RUNNING = sa.text("SELECT queue, count(*) FROM jobs WHERE status = 'running' GROUP BY queue")


@dataclass(slots=True)
class Depth:
    """The jobs of a queue. ``oldest_s``: age of the oldest claimable job in seconds; 0 without one."""

    queued: int = 0
    retrying: int = 0
    running: int = 0
    oldest_s: float = 0.0


def measure(
    conn: sa.Connection, key_of: Callable[[sa.Connection, int], LaneKey], now: int
) -> dict[str, Depth]:
    """Return the depth of each queue that ever had a job; jobs that wait for others are not counted."""
    depths = {queue: Depth() for queue in conn.execute(sa.select(tables.queues.c.name)).scalars()}
    for lane, count, first in conn.execute(_CLAIMABLE):
        depth = depths.setdefault(key_of(conn, lane).queue, Depth())
        depth.queued += count
        # Ids begin with the time of submission, so the index gives the oldest job of a lane.
        depth.oldest_s = max(depth.oldest_s, (now - uuid7_us(first)) / SECOND)
    for queue, count in conn.execute(_PARKED):
        depths.setdefault(queue, Depth()).retrying = count
    for queue, count in conn.execute(_RUNNING):
        depths.setdefault(queue, Depth()).running = count
    return depths


_MEASURED_JOBS = 1000
"""The first jobs of a lane whose mean estimate counts for all of it: an estimate is not in the index."""
_MEAN_S = sa.text(
    "SELECT avg(estimate_s) FROM (SELECT estimate_s FROM jobs "  # noqa: S608 - our own text
    f"WHERE {tables.CLAIMABLE} AND lane = :lane ORDER BY tag, id LIMIT {_MEASURED_JOBS}) AS measured"
)
_DONE = sa.text(
    "SELECT queue, sum(estimate_s), min(finished_at) FROM jobs WHERE finished_at > :since "
    "AND finished_at IS NOT NULL AND status = 'succeeded' GROUP BY queue"
)


def workload(
    conn: sa.Connection, key_of: Callable[[sa.Connection, int], LaneKey], now: int
) -> tuple[dict[str, Workload], int]:
    """Return the workload of each queue, and the number of jobs that wait."""
    waiting: dict[str, float] = {}
    total = 0
    for lane, count, _ in conn.execute(_CLAIMABLE).all():
        queue = key_of(conn, lane).queue
        mean_s = conn.execute(_MEAN_S, {"lane": lane}).scalar_one() or 0.0
        waiting[queue] = waiting.get(queue, 0.0) + count * mean_s
        total += count
    rates = {
        queue: seconds * SECOND / max(SECOND, now - first)
        for queue, seconds, first in conn.execute(_DONE, {"since": now - LATELY_US})
    }
    found = {queue: Workload(waiting.get(queue, 0.0), rates.get(queue, 0.0)) for queue in {*waiting, *rates}}
    return found, total
