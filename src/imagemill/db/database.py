"""The database of a process: reads, and writes that share transactions. Every store works on one."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from enum import StrEnum
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from imagemill.db import tables
from imagemill.db.engine import Engines, explain, is_lost
from imagemill.db.group_commit import CommitSummary, GroupCommit, Listener, Tx, Write, WriteResult
from imagemill.db.statements import driver
from imagemill.domain.clock import now_us
from imagemill.domain.errors import StorageError

_P = ParamSpec("_P")
_R = TypeVar("_R")


_RECENT_S = 5.0
"""Seconds for which a commit shows that the database can be written to."""
_PROBE_S = 3.0
"""Seconds within which the write of a check must be committed."""


class _ConnectionBroke(Exception):
    def __init__(self, reason: Exception) -> None:
        self.reason = reason


class WriteMode(StrEnum):
    """How a row is put into a table that people edit."""

    CREATE = "create"
    """Refuse one that is there."""
    REPLACE = "replace"
    """Refuse one that is not there."""
    DELETE = "delete"


class Database:
    """Writes go through the group commit, reads do not. The listener is called after every commit."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self._listener: Listener = _ignore
        self._commits = GroupCommit(engines.writer, self._notify)
        self._probe: Future[Any] | None = None
        self._probe_lock = threading.Lock()

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` after each commit of this process; see `CommitSummary`."""
        self._listener = listener

    def order(
        self,
        *,
        last_writes: Sequence[Write],
        settle: Callable[[Tx], None],
        enqueue_webhooks: Callable[[Tx], None],
        unflushed: Collection[Write] = (),
    ) -> None:
        """Say what a transaction does last; see `GroupCommit.order`. Call it before the first write."""
        last_writes = (_touch, *last_writes)
        self._commits.order(
            last_writes=last_writes, settle=settle, enqueue_webhooks=enqueue_webhooks, unflushed=unflushed
        )

    def write(self, write: Callable[[Tx, Sequence[Any]], Sequence[Any]], request: Any) -> Any:
        """Commit one write and return its answer; raises what the write answers with."""
        return self._commits.run((write, request))[0].result()

    def run(self, *writes: tuple[Write, Any], gathers: bool = True) -> list[WriteResult]:
        """Commit several writes, in one transaction where possible; ``gathers``: see `GroupCommit.run`."""
        return self._commits.run(*writes, gathers=gathers)

    def begin(self, write: Write, request: Any) -> "Future[Any]":
        """Queue a write without blocking; the future is done once the write is committed."""
        return self._commits.begin(write, request)

    def read(
        self, query: Callable[Concatenate[sa.Connection, _P], _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Run a query on a connection of its own. Raises `StorageError` when the database refuses it.

        It is run once more where the connection broke: the server may have been restarted.
        """

        def read(conn: sa.Connection) -> _R:
            return query(conn, *args, **kwargs)

        dbapi: Any = self.engines.reader.dialect.dbapi
        try:
            try:
                return self._read(read)
            except _ConnectionBroke:
                return self._read(read)
        except _ConnectionBroke as error:
            raise StorageError(f"the database refused a read: {explain(error.reason)}") from error
        except (exc.DBAPIError, exc.TimeoutError, dbapi.Error) as error:  # hot statements raise the driver's
            raise StorageError(f"the database refused a read: {explain(error)}") from error

    def _read(self, query: Callable[[sa.Connection], _R]) -> _R:
        dbapi: Any = self.engines.reader.dialect.dbapi
        with self.engines.reader.connect() as conn:
            raw = driver(conn)
            try:
                return query(conn)
            except (exc.DBAPIError, dbapi.Error) as error:
                if is_lost(conn, raw, error):
                    raise _ConnectionBroke(error) from error
                raise

    def ping(self) -> None:
        """Raise `StorageError` when the database does not answer."""
        self.read(lambda conn: conn.execute(sa.select(1)).scalar_one())

    def check(self) -> None:
        """Raise `StorageError` when the database does not answer, or commits no write within 3 s.

        Where a write was committed in the last seconds, none is made for the check.
        """
        self.ping()
        if time.monotonic() - self._commits.committed_at < _RECENT_S:
            return
        with self._probe_lock:
            # A database that hangs gets one write, not one for each check.
            if self._probe is None or self._probe.done():
                self._probe = self._commits.begin(_touch, None)
            probe = self._probe
        try:
            probe.result(_PROBE_S)
        except TimeoutError as error:
            raise StorageError(f"no write was committed within {_PROBE_S:g} s") from error

    def close(self) -> None:
        self._commits.close()
        self.engines.close()

    def _notify(self, committed: CommitSummary) -> None:
        self._listener(committed)


def _touch(tx: Tx, requests: Sequence[None]) -> list[None]:
    """Write a row that nobody reads, to find out whether the database can be written to."""
    row = {"name": "health", "mark": str(now_us())}
    tx.conn.execute(
        tx.insert(tables.marks)
        .values(row)
        .on_conflict_do_update(index_elements=["name"], set_={"mark": row["mark"]})
    )
    return [None] * len(requests)


def _ignore(_: CommitSummary) -> None:
    return None
