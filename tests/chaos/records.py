"""What the database says of the jobs after the storm."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tests.chaos.rig import Rig

LOST = "ClaimExpired"


@dataclass(frozen=True, slots=True)
class Entry:
    seq: int
    type: str
    at: int
    attempt: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """Everything the database says of the jobs."""

    statuses: dict[str, str]
    attempts: dict[str, int]
    events: dict[str, list[Entry]]
    artifacts: list[tuple[str, int, str, int]]
    """Job, attempt, key, size."""

    @property
    def retries(self) -> int:
        return sum(attempt - 1 for attempt in self.attempts.values() if attempt)

    def lost(self) -> list[tuple[str, str, int]]:
        """Job, worker and instant of each claim that was taken back."""
        found: list[tuple[str, str, int]] = []
        for job_id, entries in self.events.items():
            worker = ""
            for entry in entries:
                worker = entry.data.get("worker", worker) if entry.type == "Claimed" else worker
                if entry.type == LOST:
                    found.append((job_id, worker, entry.at))
        return found


def read(rig: Rig) -> Found:
    with rig.engine.connect() as conn:
        jobs = conn.execute(sa.text("SELECT id, status, attempt FROM jobs")).all()
        log = conn.execute(
            sa.text("SELECT job_id, seq, type, at, attempt, data FROM events ORDER BY job_id, seq")
        ).all()
        artifacts = conn.execute(sa.text("SELECT job_id, attempt, blob_key, size FROM artifacts")).all()
    events: dict[str, list[Entry]] = {}
    for job_id, seq, kind, at, attempt, data in log:
        events.setdefault(job_id, []).append(Entry(seq, kind, at, attempt, json.loads(data)))
    return Found(
        {row.id: row.status for row in jobs},
        {row.id: row.attempt for row in jobs},
        events,
        [tuple(row) for row in artifacts],
    )
