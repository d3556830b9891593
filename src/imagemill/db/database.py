"""The database of a process: reads, and writes that share transactions. Every store works on one."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import StrEnum
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from imagemill.db.engine import Engines
from imagemill.db.group_commit import CommitSummary, GroupCommit, Listener, Tx, Write, WriteResult
from imagemill.domain.errors import StorageError

_P = ParamSpec("_P")
_R = TypeVar("_R")


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

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` after each commit of this process; see `CommitSummary`."""
        self._listener = listener

    def order(
        self,
        *,
        last_writes: Sequence[Write],
        settle: Callable[[Tx], None],
        enqueue_webhooks: Callable[[Tx], None],
    ) -> None:
        """Say what a transaction does last; see `GroupCommit.order`. Call it before the first write."""
        self._commits.order(last_writes=last_writes, settle=settle, enqueue_webhooks=enqueue_webhooks)

    def write(self, write: Callable[[Tx, Sequence[Any]], Sequence[Any]], request: Any) -> Any:
        """Commit one write and return its answer; raises what the write answers with."""
        return self._commits.run((write, request))[0].result()

    def run(self, *writes: tuple[Write, Any]) -> list[WriteResult]:
        """Commit several writes, in one transaction where possible."""
        return self._commits.run(*writes)

    def begin(self, write: Write, request: Any) -> "Future[Any]":
        """Queue a write without blocking; the future is done once the write is committed."""
        return self._commits.begin(write, request)

    def read(
        self, query: Callable[Concatenate[sa.Connection, _P], _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Run a query on a connection of its own. Raises `StorageError` when the database refuses it."""
        driver: Any = self.engines.reader.dialect.dbapi
        try:
            with self.engines.reader.connect() as conn:
                return query(conn, *args, **kwargs)
        except (exc.DBAPIError, driver.Error) as error:  # hot statements raise the driver's own
            raise StorageError(f"the database refused a read: {getattr(error, 'orig', error)}") from error

    def ping(self) -> None:
        """Raise `StorageError` when the database does not answer."""
        self.read(lambda conn: conn.execute(sa.select(1)).scalar_one())

    def close(self) -> None:
        self._commits.close()
        self.engines.close()

    def _notify(self, committed: CommitSummary) -> None:
        self._listener(committed)


def _ignore(_: CommitSummary) -> None:
    return None
