"""What checks and classifiers decided: whose, when, by which rule, on the digest of what. Never the text."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.domain.moderation import ModerationRecord, Verdict

log = logging.getLogger(__name__)

_decisions = tables.decisions.c


@dataclass(frozen=True, slots=True)
class Decision:
    id: str
    owner: str
    at: int
    job_id: str | None
    """None for a prompt that never became a job."""
    judgement: ModerationRecord


class Decisions:
    """What `imagemill.jobs.store.store.Store` offers about decisions."""

    def __init__(self, database: Database) -> None:
        self._begin = database.begin
        self._write = database.write
        self._read = database.read

    def begin(self, decisions: Sequence[Decision]) -> None:
        """Never blocks; kept no later than whatever is written after it. A failure is logged."""
        self._begin(_record, tuple(decisions)).add_done_callback(_tell)

    def record(self, decisions: Sequence[Decision]) -> None:
        self._write(_record, tuple(decisions))

    def page(
        self, *, owner: str | None = None, before: str | None = None, limit: int = 100
    ) -> list[Decision]:
        """The newest first; of one owner, or of all."""
        return self._read(_page, owner, before, limit)

    def prune(self, before: int) -> int:
        """Delete what is older than an instant; how many."""
        return self._write(_prune, before)


def _tell(written: "Future[None]") -> None:
    if (error := written.exception()) is not None:
        log.error("a decision about a text could not be recorded: %s", error)


def _record(tx: Tx, requests: Sequence[tuple[Decision, ...]]) -> list[None]:
    rows = [
        {
            "id": decision.id,
            "owner": decision.owner,
            "at": decision.at,
            "job_id": decision.job_id,
            "digest": decision.judgement.digest,
            "verdict": decision.judgement.verdict.value,
            "rule": decision.judgement.rule,
            "category": decision.judgement.category,
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
