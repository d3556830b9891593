"""Appending to the event log and, for jobs with a callback, to its outbox."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.db.statements import Statement, dump
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import EventType, Notice
from imagemill.domain.jobs import JobStatus


@dataclass(frozen=True, slots=True)
class EventEntry:
    """One event to write; ``seq`` is the job's ``last_seq`` plus one, which the caller updates."""

    job_id: str
    seq: int
    type: EventType
    at: int
    attempt: int
    owner: str
    recipe: str
    status: JobStatus
    """The job's status after the event."""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    callback_url: str | None = None


_INSERT_EVENT = Statement(sa.insert(tables.events))
_INSERT_DELIVERY = Statement(
    sa.insert(tables.deliveries).values(
        {name: sa.bindparam(name) for name in ("job_id", "seq", "url", "due_at", "tries")}
    )
)


def append(tx: Tx, entries: Iterable[EventEntry]) -> None:
    rows: list[dict[str, Any]] = []
    outgoing: list[dict[str, Any]] = []
    for entry in entries:
        tx.logged.append(entry)
        rows.append(
            {
                "job_id": entry.job_id,
                "seq": entry.seq,
                "type": entry.type.value,
                "at": entry.at,
                "attempt": entry.attempt,
                "data": dump(entry.data),
            }
        )
        if entry.callback_url:
            outgoing.append(
                {
                    "job_id": entry.job_id,
                    "seq": entry.seq,
                    "url": entry.callback_url,
                    "due_at": entry.at,
                    "tries": 0,
                }
            )
        tx.events.append(_notice(entry))
    tx.insert_late(_INSERT_EVENT, rows)
    if outgoing:
        tx.insert_late(_INSERT_DELIVERY, outgoing)
        tx.has_deliveries = True


def _notice(entry: EventEntry) -> Notice:
    progress = None
    if entry.type is EventType.UPDATED and "step" in entry.data and "total" in entry.data:
        progress = (entry.data["step"], entry.data["total"])
    return Notice(
        entry.job_id,
        entry.seq,
        entry.status.is_terminal,
        entry.owner,
        entry.recipe,
        entry.type,
        entry.status,
        entry.at,
        progress,
    )
