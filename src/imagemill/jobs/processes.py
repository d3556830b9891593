"""The processes of an installation, as each of them reports itself to the database."""

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from imagemill.backends.base import Node
from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import StorageError
from imagemill.domain.jobs import JobStatus

log = logging.getLogger(__name__)

REPORT_S = 5.0
"""Seconds between two reports of a process: one small write, also on an idle server."""
LOST_S = 20.0
"""Seconds without a report after which a process counts as lost."""
_FORGOTTEN_S = 86_400.0
"""Seconds after which a lost process is no longer listed."""
_NODE_FIELDS = frozenset(field.name for field in fields(Node))
"""Others are of a process of a later version."""
_MOST_NODES = 200
"""Nodes of a process that are reported; a worker of tests may simulate thousands."""
_processes, _jobs, _leaders = tables.processes.c, tables.jobs.c, tables.leaders.c
_WITHOUT_NODES = [column for column in tables.processes.c if column.name != "nodes"]


@dataclass(frozen=True, slots=True)
class Process:
    name: str
    """The name by which jobs name their worker."""
    roles: tuple[str, ...]
    queues: tuple[str, ...] | None
    """The queues a worker serves; None means all."""
    host: str
    pid: int
    version: str
    started_at: int
    seen_at: int


@dataclass(frozen=True, slots=True)
class ProcessView:
    """A process with what it does now."""

    process: Process
    is_leader: bool
    jobs: tuple[str, ...]
    """The jobs that it runs."""


class ProcessStore:
    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def report(self, process: Process, nodes: Sequence[Node] = ()) -> None:
        """Record that a process lives. ``nodes``: those that it has of its own."""
        self._write(_report, (process, nodes))

    def remove(self, name: str) -> None:
        """Remove a process that stops."""
        self._write(_remove, name)

    def living(self) -> list[Process]:
        """Return the processes that are not lost. One of this machine may have ended since its report."""
        return self._read(_living, now_us() - round(LOST_S * SECOND))

    def nodes(self, names: Sequence[str]) -> list[Node]:
        """Return the nodes that the processes of these names have of their own, as last reported."""
        return self._read(_own_nodes, tuple(names))

    def all(self) -> list[ProcessView]:
        """Return the processes, the oldest first, with those that were lost within a day."""
        return self._read(_all)


def _report(tx: Tx, reports: Sequence[tuple[Process, Sequence[Node]]]) -> list[None]:
    for each, nodes in reports:
        row = {
            "name": each.name,
            "roles": ",".join(each.roles),
            "queues": ",".join(each.queues) if each.queues is not None else None,
            "host": each.host,
            "pid": each.pid,
            "version": each.version,
            "started_at": each.started_at,
            "seen_at": each.seen_at,
            "nodes": json.dumps([_node_row(node) for node in nodes[:_MOST_NODES]]) if nodes else None,
        }
        insert = tx.insert(tables.processes).values(row)
        changes = {name: row[name] for name in ("seen_at", "nodes")}
        tx.conn.execute(insert.on_conflict_do_update(index_elements=["name"], set_=changes))
        before = each.seen_at - round(_FORGOTTEN_S * SECOND)
        tx.conn.execute(sa.delete(tables.processes).where(_processes.seen_at < before))
    return [None] * len(reports)


def _remove(tx: Tx, names: Sequence[str]) -> list[None]:
    tx.conn.execute(sa.delete(tables.processes).where(_processes.name.in_(names)))
    return [None] * len(names)


def _node_row(node: Node) -> dict[str, object]:
    return {
        "name": node.name,
        "backend": node.backend,
        "queues": sorted(node.queues),
        "slots": node.slots,
        "loaded_models": sorted(node.loaded_models),
        "healthy": node.healthy,
        "draining": node.draining,
        "problem": node.problem,
    }


def _own_nodes(conn: sa.Connection, names: Sequence[str]) -> list[Node]:
    statement = sa.select(_processes.nodes).where(_processes.name.in_(names), _processes.nodes.is_not(None))
    rows = [
        row
        for text in conn.execute(statement.order_by(_processes.name)).scalars()
        for row in json.loads(text)
    ]
    return [_node_from(row) for row in rows]


def _node_from(row: dict[str, Any]) -> Node:
    known: dict[str, Any] = {name: value for name, value in row.items() if name in _NODE_FIELDS}
    sets: dict[str, Any] = {name: frozenset(row[name]) for name in ("queues", "loaded_models")}
    return Node(**(known | sets))


def _living(conn: sa.Connection, since: int) -> list[Process]:
    rows = conn.execute(sa.select(*_WITHOUT_NODES).where(_processes.seen_at >= since)).all()
    return [_process(row) for row in rows]


def _all(conn: sa.Connection) -> list[ProcessView]:
    rows = conn.execute(sa.select(*_WITHOUT_NODES).order_by(_processes.started_at, _processes.name)).all()
    leaders = set(conn.execute(sa.select(_leaders.holder)).scalars())
    running: dict[str, list[str]] = {}
    statement = sa.select(_jobs.worker, _jobs.id).where(_jobs.status == JobStatus.RUNNING.value)
    for worker, job_id in conn.execute(statement.order_by(_jobs.id)):
        running.setdefault(worker, []).append(job_id)
    return [ProcessView(_process(row), row.name in leaders, tuple(running.get(row.name, ()))) for row in rows]


def _process(row: sa.Row[tuple[object, ...]]) -> Process:
    return Process(
        row.name,
        tuple(row.roles.split(",")),
        tuple(row.queues.split(",")) if row.queues is not None else None,
        row.host,
        row.pid,
        row.version,
        row.started_at,
        row.seen_at,
    )


class ProcessReporter:
    """Reports this process until it is closed. A database that does not answer is tried again."""

    def __init__(
        self,
        store: ProcessStore,
        name: str,
        roles: Sequence[str],
        queues: frozenset[str] | None,
        version: str,
        nodes: Callable[[], Sequence[Node]] = tuple,
    ) -> None:
        self._store = store
        self._name = name
        self._roles = tuple(roles)
        self._queues = tuple(sorted(queues)) if queues is not None else None
        self._version = version
        self._nodes = nodes
        self._started_at = now_us()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="imagemill-processes", daemon=True)

    def start(self) -> None:
        self._report()
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        if not self._thread.is_alive():
            return
        self._thread.join()
        try:
            self._store.remove(self._name)
        except StorageError as error:
            log.debug("this process could not be removed from the list: %s", error)

    def _run(self) -> None:
        while not self._stopped.wait(REPORT_S):
            self._report()

    def _report(self) -> None:
        host, pid, now = socket.gethostname()[:255], os.getpid(), now_us()
        process = Process(
            self._name, self._roles, self._queues, host, pid, self._version, self._started_at, now
        )
        try:
            self._store.report(process, self._nodes())
        except StorageError as error:
            log.debug("this process could not be reported: %s", error)
