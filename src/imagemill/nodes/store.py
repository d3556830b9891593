"""Nodes that operators added, and the drain marks of all nodes, in the database."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database, WriteMode
from imagemill.db.group_commit import Tx
from imagemill.db.statements import dump, load
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.events import ChangedList, ListName
from imagemill.domain.nodes import NodeConfig

_nodes = tables.nodes.c
_NODES = sa.select(tables.nodes).order_by(_nodes.name)
_DRAINS = sa.select(tables.drains)


@dataclass(frozen=True, slots=True)
class StoredNode:
    config: NodeConfig
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class PutNode:
    """A node with its drain mark; for a deletion only its name is used."""

    config: NodeConfig
    mode: WriteMode
    now: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Set or delete the drain mark of a node. The node need not be in the table."""

    node: str
    draining: bool
    now: int


class NodeStore:
    """The nodes that an operator added, and the drain marks of all nodes."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def put(self, request: PutNode) -> None:
        """Add, change or delete a node. Raises `Conflict` for a name that is taken, `NotFound` for an unknown
        one."""
        self._write(put, request)

    def drain(self, request: Drain) -> None:
        self._write(drain, request)

    def all(self) -> tuple[list[StoredNode], Mapping[str, int]]:
        """Return the nodes and the times since which nodes are drained; see `read`."""
        return self._read(read)


def put(tx: Tx, requests: Sequence[PutNode]) -> list[Conflict | NotFound | None]:
    return [_put_one(tx, request) for request in requests]


def _put_one(tx: Tx, request: PutNode) -> Conflict | NotFound | None:
    config = request.config
    there = _nodes.name == config.name
    if request.mode is WriteMode.CREATE:
        row = {**_row(config), "name": config.name, "created_at": request.now, "updated_at": request.now}
        statement = tx.insert(tables.nodes).values(row).on_conflict_do_nothing()
        # The row itself is returned, since PostgreSQL's driver counts an insert as -1 rows.
        done = tx.conn.execute(statement.returning(_nodes.name)).first() is not None
    elif request.mode is WriteMode.REPLACE:
        values = {**_row(config), "updated_at": request.now}
        done = tx.conn.execute(sa.update(tables.nodes).where(there).values(values)).rowcount > 0
    else:
        done = tx.conn.execute(sa.delete(tables.nodes).where(there)).rowcount > 0
    if not done:
        if request.mode is WriteMode.CREATE:
            return Conflict(f"a node named {config.name} exists already; choose another name")
        return NotFound(f"there is no node {config.name}")
    tx.changed_lists.add(ChangedList(ListName.NODES))
    _drain_one(tx, Drain(config.name, config.draining and request.mode is not WriteMode.DELETE, request.now))
    return None


def drain(tx: Tx, requests: Sequence[Drain]) -> list[None]:
    tx.changed_lists.add(ChangedList(ListName.NODES))
    for request in requests:
        _drain_one(tx, request)
    return [None] * len(requests)


def _drain_one(tx: Tx, request: Drain) -> None:
    if request.draining:
        row = {"node": request.node, "since": request.now}
        tx.conn.execute(tx.insert(tables.drains).values(row).on_conflict_do_nothing())
    else:
        tx.conn.execute(sa.delete(tables.drains).where(tables.drains.c.node == request.node))


def read(conn: sa.Connection) -> tuple[list[StoredNode], Mapping[str, int]]:
    """Return all nodes by name, and the drain times of nodes, those of the settings included."""
    drained = {row.node: row.since for row in conn.execute(_DRAINS)}
    return [_stored(row, row.name in drained) for row in conn.execute(_NODES)], drained


def _row(config: NodeConfig) -> dict[str, Any]:
    return {
        "url": config.url,
        "labels": dump(sorted(config.labels)),
        "queues": dump(sorted(config.queues)),
        "slots": config.slots,
        "memory_mb": config.memory_mb,
        "headers": dump(config.headers),
        "verify_tls": config.verify_tls,
        "ca_file": config.ca_file,
    }


def _stored(row: sa.Row[Any], draining: bool) -> StoredNode:
    config = NodeConfig(
        name=row.name,
        url=row.url,
        labels=frozenset(load(row.labels)),
        memory_mb=row.memory_mb,
        slots=row.slots,
        queues=frozenset(load(row.queues)),
        headers=load(row.headers),
        verify_tls=row.verify_tls,
        ca_file=row.ca_file,
        draining=draining,
    )
    return StoredNode(config, row.created_at, row.updated_at)
