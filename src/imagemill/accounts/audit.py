"""The audit log: every change of the installation and its actor. Entries are only added."""

import logging
from collections.abc import Sequence

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import StorageError

log = logging.getLogger(__name__)

_audit = tables.audit.c
_NAMES = tuple(column.name for column in tables.audit.columns)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    id: str
    """A UUID of version 7, so entries sort by time."""
    at: int
    actor: str
    """The account that acted."""
    credential: str
    """The key or session it used."""
    action: str
    target: str
    detail: str
    address: str
    """The network address of the client."""


class AuditLog:
    """The audit log in the database."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def add(self, entry: AuditEntry) -> None:
        self._write(_add, entry)

    def page(self, before: str | None, limit: int, actor: str | None = None) -> list[AuditEntry]:
        """Return the newest entries first."""
        return self._read(_page, before, limit, actor)


def _add(tx: Tx, requests: Sequence[AuditEntry]) -> list[None]:
    rows = [{name: getattr(entry, name) for name in _NAMES} for entry in requests]
    tx.conn.execute(sa.insert(tables.audit), rows)
    return [None] * len(requests)


def _page(conn: sa.Connection, before: str | None, limit: int, actor: str | None) -> list[AuditEntry]:
    older = _audit.id < before if before is not None else sa.true()
    of_actor = _audit.actor == actor if actor is not None else sa.true()
    statement = sa.select(tables.audit).where(older, of_actor).order_by(_audit.id.desc()).limit(limit)
    return [AuditEntry(*row) for row in conn.execute(statement)]


class Audit:
    def __init__(self, entries: AuditLog) -> None:
        self._entries = entries

    def note(
        self, actor: str, credential: str, action: str, target: str = "", detail: str = "", address: str = ""
    ) -> None:
        """Add an entry. One that cannot be written goes to the process's log: the change is made already."""
        now = now_us()
        entry = AuditEntry(
            uuid7(now), now, actor, credential[:64], action[:64], target[:200], detail[:2000], address[:64]
        )  # fmt: skip
        try:
            self._entries.add(entry)
        except StorageError:
            log.exception("an entry of the audit log could not be written: %s", entry)

    def page(self, before: str | None, limit: int, actor: str | None = None) -> list[AuditEntry]:
        """Return the newest entries first."""
        return self._entries.page(before, limit, actor)
