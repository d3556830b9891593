"""The change of a waiting job's priority, which moves it within its lane."""

from collections.abc import Sequence

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.jobs import IDLE, JobStatus
from imagemill.domain.scheduling import priority_offset_s

_jobs = tables.jobs.c


@dataclass(frozen=True, slots=True)
class Reprioritize:
    id: str
    owner: str
    priority: int


def reprioritize(tx: Tx, requests: Sequence[Reprioritize]) -> list[NotFound | Conflict | None]:
    """Move waiting jobs by the difference of the two priorities, as if they had been submitted with it."""
    return [_reprioritize_one(tx, request) for request in requests]


def _reprioritize_one(tx: Tx, request: Reprioritize) -> NotFound | Conflict | None:
    mine = sa.and_(_jobs.id == request.id, _jobs.owner == request.owner)
    row = tx.conn.execute(sa.select(_jobs.status, _jobs.priority).where(mine).with_for_update()).first()
    if row is None:
        return NotFound(f"there is no job {request.id}")
    if JobStatus(row.status) not in IDLE:
        return Conflict(f"job {request.id} is {row.status}; only a waiting or queued job has a priority")
    move_s = priority_offset_s(request.priority) - priority_offset_s(row.priority)
    tx.conn.execute(
        sa.update(tables.jobs).where(mine).values(priority=request.priority, tag=_jobs.tag + move_s)
    )
    return None
