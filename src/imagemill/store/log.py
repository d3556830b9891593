"""Appending to the event log, and to the outbox of those who asked for a callback."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from imagemill.domain.events import EventType, Notice
from imagemill.store import schema
from imagemill.store.commits import Tx
from imagemill.store.rows import dump


@dataclass(frozen=True, slots=True)
class Entry:
    """One event to write; ``seq`` follows the job's ``last_seq``, which the caller moves on."""

    job_id: str
    seq: int
    type: EventType
    at: int
    attempt: int
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    callback_url: str | None = None


_insert_event = sa.insert(schema.events)
_insert_delivery = sa.insert(schema.deliveries)


def append(tx: Tx, entries: Iterable[Entry]) -> None:
    rows: list[dict[str, Any]] = []
    outgoing: list[dict[str, Any]] = []
    for entry in entries:
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
        tx.notices.append(Notice(entry.job_id, entry.seq, entry.type.is_terminal))
    if rows:
        tx.conn.execute(_insert_event, rows)
    if outgoing:
        tx.conn.execute(_insert_delivery, outgoing)
        tx.called_back = True
