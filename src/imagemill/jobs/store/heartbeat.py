"""Heartbeats: they extend leases, log coarse progress and return cancellation requests."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Superseded
from imagemill.domain.events import EventType
from imagemill.domain.jobs import Claim, JobStatus
from imagemill.jobs.store import event_log
from imagemill.jobs.store.transitions import Locked, lock


@dataclass(frozen=True, slots=True)
class Heartbeat:
    claim: Claim
    now: int
    lease_until: int
    progress: Mapping[str, Any] | None = None
    """Progress since the last heartbeat, written as an ``Updated`` event; None means no progress."""


class HeartbeatReply(StrEnum):
    """The answer to a worker's heartbeat."""

    GO_ON = "go_on"
    CANCEL = "cancel"
    SUPERSEDED = "superseded"
    """The claim is void and its render is no longer needed."""
    TAKEN_OVER = "taken_over"
    """The claim is void, but the next attempt reattaches to its render on the same node."""


_EXTEND = sa.text(
    "UPDATE jobs SET lease_until = :lease_until, last_seq = :last_seq WHERE id = :id AND attempt = :attempt"
)


def record_heartbeats(tx: Tx, beats: Sequence[Heartbeat]) -> list[HeartbeatReply]:
    rows = lock(tx, [beat.claim.id for beat in beats])
    replies: list[HeartbeatReply] = []
    updates: dict[str, dict[str, Any]] = {}
    entries: list[event_log.EventEntry] = []
    for one in beats:
        row = rows.get(one.claim.id)
        held = row is not None and row.status is JobStatus.RUNNING and row.attempt == one.claim.attempt
        if row is None or not held or row.id in updates:
            replies.append(HeartbeatReply.GO_ON if held else _void(one.claim, row))
            continue
        replies.append(HeartbeatReply.GO_ON if row.cancel_requested_at is None else HeartbeatReply.CANCEL)
        seq = row.last_seq + (one.progress is not None)
        updates[row.id] = {
            "id": row.id,
            "attempt": row.attempt,
            "lease_until": one.lease_until,
            "last_seq": seq,
        }
        if one.progress is not None:
            entries.append(
                event_log.EventEntry(
                    row.id,
                    seq,
                    EventType.UPDATED,
                    one.now,
                    row.attempt,
                    row.owner,
                    row.recipe,
                    row.status,
                    one.progress,
                    row.callback_url,
                )
            )
    if updates:
        tx.conn.execute(_EXTEND, list(updates.values()))
    event_log.append(tx, entries)
    return replies


def _void(claim: Claim, row: Locked | None) -> HeartbeatReply:
    """Return the answer to a void claim: the lease ended, perhaps only since the database was unavailable."""
    goes_on = row is not None and not row.status.is_terminal and row.node == claim.job.node
    return HeartbeatReply.TAKEN_OVER if goes_on else HeartbeatReply.SUPERSEDED


@dataclass(frozen=True, slots=True)
class RenderSent:
    """The backend's own reference of a render, stored as soon as it is known."""

    claim: Claim
    reference: str


def sent(tx: Tx, requests: Sequence[RenderSent]) -> list[Superseded | None]:
    answers: list[Superseded | None] = []
    jobs = tables.jobs.c
    for request in requests:
        changed = tx.conn.execute(
            sa.update(tables.jobs)
            .where(
                jobs.id == request.claim.id,
                jobs.attempt == request.claim.attempt,
                jobs.status == JobStatus.RUNNING.value,
            )
            .values(backend_ref=request.reference)
        )
        void = Superseded(f"attempt {request.claim.attempt} of job {request.claim.id} is void")
        answers.append(None if changed.rowcount else void)
    return answers
