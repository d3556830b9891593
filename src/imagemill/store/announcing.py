"""Messages to endpoints of webhooks, written in the transaction of the event they tell of.

Who listens is remembered with the connection that writes, under a mark that each change of an endpoint
replaces: a transaction reads the mark alone. It reads it under a shared lock that a change takes for itself
(SQLite has one writer anyway), so a change is answered only when each transaction that did not see it is
over: what happens after the answer is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from imagemill.domain.clock import uuid7
from imagemill.domain.webhooks import TYPES
from imagemill.store import owning, schema
from imagemill.store.commits import Tx
from imagemill.store.statements import Statement

if TYPE_CHECKING:
    from imagemill.store.log import Entry

_ENDPOINTS = "endpoints"
_LOCK = 0x696D_6D69_6C6C_0001
"""Key of an advisory lock: any number that nobody else of the database uses."""
_REMEMBERED = "imagemill.audience"


@dataclass(frozen=True, slots=True)
class Audience:
    mark: str | None = None
    by_owner: Mapping[str, tuple[tuple[str, frozenset[str]], ...]] = field(
        default_factory=dict[str, tuple[tuple[str, frozenset[str]], ...]]
    )
    """Endpoints of an owner, each with the types it wants."""
    types: frozenset[str] = frozenset()
    """What anybody wants."""


_NOBODY = Audience()
_READ_MARK = Statement(
    sa.select(owning.marks.c.mark).where(owning.marks.c.name == sa.bindparam("name", _ENDPOINTS))
)
_LOCK_SHARED = Statement(sa.text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})"))
_OWNERS = Statement(
    sa.select(schema.jobs.c.id, schema.jobs.c.owner, schema.owners.c.parent)
    .join_from(
        schema.jobs, schema.owners, schema.owners.c.id == schema.jobs.c.owner, isouter=True
    )
    .where(schema.jobs.c.id.in_(sa.bindparam("ids", expanding=True)))
)  # fmt: skip
_MESSAGE_NAMES = ("id", "endpoint_id", "job_id", "seq", "type", "created_at", "due_at", "tries")
_INSERT = Statement(
    sa.insert(owning.messages).values({name: sa.bindparam(name) for name in _MESSAGE_NAMES})
)  # fmt: skip


def announce(tx: Tx) -> None:
    """Write a message for each endpoint that wants to know of an event of this transaction, at its end."""
    if not tx.logged:
        return
    audience = _audience(tx)
    wanted: list[Entry] = [entry for entry in tx.logged if TYPES[entry.type] in audience.types]
    if not wanted:
        return
    owners = {
        job_id: (owner, parent)
        for job_id, owner, parent in _OWNERS.run(
            tx.conn, {"ids": sorted({entry.job_id for entry in wanted})}
        )
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    for entry in wanted:
        type_ = TYPES[entry.type]
        for owner in owners[entry.job_id]:
            endpoints = audience.by_owner.get(owner, ())
            rows += [_row(entry, type_, endpoint) for endpoint, types in endpoints if type_ in types]
    tx.insert_late(_INSERT, rows)
    tx.called_back = tx.called_back or bool(rows)


def change_audience(tx: Tx) -> None:
    """An endpoint comes, goes or wants something else: to be called before the change is written."""
    if tx.conn.dialect.name == "postgresql":
        tx.conn.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    # Drawn, not counted: a mark of a transaction that was undone never comes again.
    row = {"name": _ENDPOINTS, "mark": uuid7()}
    statement = tx.insert(owning.marks).values(row)
    tx.conn.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"mark": row["mark"]})
    )  # fmt: skip


def _row(entry: "Entry", type_: str, endpoint: str) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid7(entry.at)}",
        "endpoint_id": endpoint,
        "job_id": entry.job_id,
        "seq": entry.seq,
        "type": type_,
        "created_at": entry.at,
        "due_at": entry.at,
        "tries": 0,
    }


def _audience(tx: Tx) -> Audience:
    mark, info = _mark(tx), tx.conn.info
    if mark is None:
        return _NOBODY
    known: Audience | None = info.get(_REMEMBERED)
    if known is None or known.mark != mark:
        known = info[_REMEMBERED] = _read(tx.conn, mark)
    return known


def _mark(tx: Tx) -> str | None:
    """Read with what is inserted anyway, and after the lock: in a statement that sees what its holder did."""
    locks = [_LOCK_SHARED.call()] if tx.conn.dialect.name == "postgresql" else []
    rows = tx.insert_now(*locks, _READ_MARK.call())[-1].rows()
    return rows[0][0] if rows else None


def _read(conn: sa.Connection, mark: str) -> Audience:
    by_owner: dict[str, tuple[tuple[str, frozenset[str]], ...]] = {}
    every: set[str] = set()
    endpoints = owning.endpoints.c
    for id_, owner, events in conn.execute(sa.select(endpoints.id, endpoints.owner, endpoints.events)):
        types = frozenset(events.split())
        by_owner[owner] = (*by_owner.get(owner, ()), (id_, types))
        every |= types
    return Audience(mark, by_owner, frozenset(every))
