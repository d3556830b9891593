"""The stored decisions of checks and classifiers: owner, time, rule and a digest of the content, never the
text."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.domain.dataclass import dataclass
from imagemill.domain.moderation import ModerationRecord, Verdict

log = logging.getLogger(__name__)

_decisions = tables.decisions.c


@dataclass(frozen=True, slots=True)
class Decision:
    id: str
    owner: str
    at: int
    job_id: str | None
    """None for a blocked prompt, which never became a job."""
    record: ModerationRecord


class Decisions:
    """Reads and writes of decisions."""

    def __init__(self, database: Database) -> None:
        self._begin = database.begin
        self._write = database.write
        self._read = database.read

    def begin(self, decisions: Sequence[Decision]) -> None:
        """Write decisions in the background, no later than any later write. Never blocks; a failure is
        logged."""
        self._begin(_record, tuple(decisions)).add_done_callback(_log_failure)

    def record(self, decisions: Sequence[Decision]) -> None:
        self._write(_record, tuple(decisions))

    def page(
        self, *, owner: str | None = None, before: str | None = None, limit: int = 100
    ) -> list[Decision]:
        """Return decisions of one owner or of all, the newest first."""
        return self._read(_page, owner, before, limit)

    def prune(self, before: int) -> int:
        """Delete decisions older than an instant; return their number."""
        return self._write(_prune, before)


def _log_failure(written: "Future[None]") -> None:
    if (error := written.exception()) is not None:
        log.error("a decision about a text could not be recorded: %s", error)


def _record(tx: Tx, requests: Sequence[tuple[Decision, ...]]) -> list[None]:
    rows = [
        {
            "id": decision.id,
            "owner": decision.owner,
            "at": decision.at,
            "job_id": decision.job_id,
            "digest": decision.record.digest,
            "verdict": decision.record.verdict.value,
            "rule": decision.record.rule,
            "category": decision.record.category,
        }
        for decisions in requests
        for decision in decisions
    ]
    if rows:
        tx.conn.execute(sa.insert(tables.decisions), rows)
    return [None] * len(requests)


def _page(conn: sa.Connection, owner: str | None, before: str | None, limit: int) -> list[Decision]:
    query = sa.select(tables.decisions).order_by(_decisions.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(_decisions.owner == owner)
    if before is not None:
        query = query.where(_decisions.id < before)
    return [
        Decision(
            row.id,
            row.owner,
            row.at,
            row.job_id,
            ModerationRecord(row.rule, Verdict(row.verdict), row.category, row.digest),
        )
        for row in conn.execute(query)
    ]


def _prune(tx: Tx, instants: Sequence[int]) -> list[int]:
    return [
        tx.conn.execute(sa.delete(tables.decisions).where(_decisions.at < instant)).rowcount
        for instant in instants
    ]
