"""The audit log: who changed what of the installation. Only ever added to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imagemill.store import owning
from imagemill.store.commits import Tx

_audit = owning.audit.c


@dataclass(frozen=True, slots=True)
class Entry:
    id: str
    """A UUID of version 7: sorts by time."""
    at: int
    actor: str
    """The account that acted."""
    credential: str
    """The key or session it acted by."""
    action: str
    target: str
    detail: str
    address: str
    """Of the client."""


class AuditLog:
    """What `imagemill.store.store.Store` offers about it."""

    def __init__(self, write: Callable[..., Any], read: Callable[..., Any]) -> None:
        self._write = write
        self._read = read

    def add(self, entry: Entry) -> None:
        self._write(_add, entry)

    def page(self, before: str | None, limit: int, actor: str | None = None) -> list[Entry]:
        """The newest first."""
        return self._read(_page, before, limit, actor)


def _add(tx: Tx, requests: Sequence[Entry]) -> list[None]:
    rows = [{name: getattr(entry, name) for name in _NAMES} for entry in requests]
    tx.conn.execute(sa.insert(owning.audit), rows)
    return [None] * len(requests)


def _page(conn: sa.Connection, before: str | None, limit: int, actor: str | None) -> list[Entry]:
    older = _audit.id < before if before is not None else sa.true()
    of_actor = _audit.actor == actor if actor is not None else sa.true()
    statement = sa.select(owning.audit).where(older, of_actor).order_by(_audit.id.desc()).limit(limit)
    return [Entry(*row) for row in conn.execute(statement)]


_NAMES = tuple(column.name for column in owning.audit.columns)
