"""The writes that erase jobs at their owner's wish: open ones are cancelled first, in a transaction before.

In two transactions, as the last event of a cancelled job is written at the end of the first.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store.transitions import apply, close, lock

_jobs, _artifacts, _messages = tables.jobs.c, tables.artifacts.c, tables.messages.c
_REASON = "erased by its owner"


@dataclass(frozen=True, slots=True)
class Erasure:
    owner: str
    ids: tuple[str, ...]
    now: int


def stop(tx: Tx, requests: Sequence[Erasure]) -> list[tuple[str, ...]]:
    """Cancel open jobs, also running ones, whose claims are void then; return the ids that are the owner's.

    Jobs that wait for one of them are cancelled, too.
    """
    return [_stop_one(tx, request) for request in requests]


def _stop_one(tx: Tx, request: Erasure) -> tuple[str, ...]:
    mine = sa.and_(_jobs.owner == request.owner, _jobs.id.in_(request.ids))
    ids = tuple(tx.conn.execute(sa.select(_jobs.id).where(mine).order_by(_jobs.id)).scalars())
    for id_ in ids:
        # Locked one by one: cancelling the first may have cancelled the next, which depends on it.
        row = lock(tx, [id_]).get(id_)
        if row is None or row.status.is_terminal:
            continue
        if row.status is JobStatus.RUNNING:
            tx.cancelled_jobs.append(id_)
        apply(tx, [close(row, JobStatus.CANCELED, request.now, data={"reason": _REASON})])
    return ids


def delete_traces(tx: Tx, request: Erasure) -> list[str]:
    """Delete the webhook messages of the jobs, which outlive other jobs; return the keys of their files."""
    endpoints = sa.select(tables.endpoints.c.id).where(tables.endpoints.c.owner == request.owner)
    about = sa.and_(_messages.endpoint_id.in_(endpoints), _messages.job_id.in_(request.ids))
    tx.conn.execute(sa.delete(tables.messages).where(about))
    keys = sa.select(_artifacts.blob_key).where(_artifacts.job_id.in_(request.ids))
    return list(tx.conn.execute(keys.order_by(_artifacts.blob_key)).scalars())
