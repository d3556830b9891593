"""Group commit: writes that wait at the same moment share one transaction.

A database pays for a commit, not for a row: SQLite takes its write lock and syncs, PostgreSQL flushes and
answers over a socket. One thread takes everything that waits, runs it kind by kind in one transaction,
commits and only then answers. An idle store adds one thread hop; a busy one does the work of many commits
in one. A write that fails is run again alone, so it fails alone.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from imagemill.domain.errors import StorageError
from imagemill.domain.events import Notice

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 128
"""Bounds how long the first of a batch waits for the last."""
_TRANSIENT_TRIES = 4
"""A deadlock or serialisation failure on PostgreSQL is tried again this often."""


@dataclass(slots=True)
class Committed:
    """What a transaction made true, for those in this process who should hear of it at once."""

    notices: list[Notice] = field(default_factory=list[Notice])
    woken: set[str] = field(default_factory=set[str])
    """Queues that got claimable jobs."""
    stopped: list[str] = field(default_factory=list[str])
    """Running jobs that somebody wants cancelled."""
    called_back: bool = False
    """Whether the outbox has something new to deliver."""


@dataclass(slots=True)
class Tx(Committed):
    """A transaction on its way."""

    conn: sa.Connection = field(kw_only=True)
    on_commit: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """Run by the committing thread once the rows are there for everybody."""

    def insert(self, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
        """An INSERT that knows ON CONFLICT, which both databases spell alike."""
        return sqlite.insert(table) if self.conn.dialect.name == "sqlite" else postgresql.insert(table)


Write = Callable[[Tx, Sequence[Any]], Sequence[Any]]
"""A kind of write: all its waiting requests at once, one answer for each, in their order.

An answer that is an exception is raised for that request alone; an exception raised undoes the transaction.
"""

Listener = Callable[[Committed], None]
"""Told after a commit, by the committing thread: must not block."""


@dataclass(slots=True)
class _Request:
    write: Write
    payload: Any
    future: Future[Any]


class Commits:
    def __init__(self, engine: sa.Engine, listener: Listener) -> None:
        self._engine = engine
        self._listener = listener
        self._waiting: SimpleQueue[_Request | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="imagemill-commits", daemon=True)
        self._thread.start()

    def begin(self, write: Write, payload: Any) -> Future[Any]:
        """The answer, once the write is committed."""
        future: Future[Any] = Future()
        if self._closed:
            future.set_exception(StorageError("the store is closed"))
        else:
            self._waiting.put(_Request(write, payload, future))
        return future

    def close(self) -> None:
        """Finish what waits and stop."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
            self._thread.join()

    def _serve(self) -> None:
        open_ = True
        while open_:
            first = self._waiting.get()
            batch = [first] if first is not None else []
            open_ = first is not None
            while len(batch) < _MOST_AT_ONCE:
                try:
                    more = self._waiting.get_nowait()
                except Empty:
                    break
                if more is None:
                    open_ = False
                else:
                    batch.append(more)
            if batch:
                self._commit(batch)

    def _commit(self, batch: list[_Request]) -> None:
        try:
            self._run(batch)
        except Exception as error:
            if len(batch) == 1:
                self._retry_alone(batch[0], error)
                return
            for request in batch:
                try:
                    self._run([request])
                except Exception as own_error:
                    self._retry_alone(request, own_error)

    def _retry_alone(self, request: _Request, error: Exception) -> None:
        for _ in range(_TRANSIENT_TRIES):
            if not _is_transient(error):
                break
            try:
                self._run([request])
            except Exception as next_error:
                error = next_error
            else:
                return
        request.future.set_exception(_translate(error))

    def _run(self, batch: list[_Request]) -> None:
        """One transaction for the batch; answers only after the commit."""
        kinds: dict[Write, list[_Request]] = {}
        for request in batch:
            kinds.setdefault(request.write, []).append(request)
        answers: list[tuple[_Request, Any]] = []
        with self._engine.begin() as conn:
            tx = Tx(conn=conn)
            for write, requests in kinds.items():
                results = write(tx, [request.payload for request in requests])
                answers.extend(zip(requests, results, strict=True))
        for callback in tx.on_commit:
            callback()
        for request, answer in answers:
            if isinstance(answer, Exception):
                request.future.set_exception(answer)
            else:
                request.future.set_result(answer)
        self._tell(tx)

    def _tell(self, tx: Tx) -> None:
        """The write is committed: a listener that fails must not make it look undone."""
        if not (tx.notices or tx.woken or tx.stopped):
            return
        try:
            self._listener(tx)
        except Exception:
            log.exception("a listener to commits failed; pollers will catch up")


def _is_transient(error: Exception) -> bool:
    if not isinstance(error, sa.exc.OperationalError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state in {"40001", "40P01"} or "locked" in str(error.orig)


def _translate(error: Exception) -> Exception:
    if isinstance(error, sa.exc.DBAPIError):
        translated = StorageError(f"the database refused a write: {error.orig}")
        translated.__cause__ = error
        return translated
    return error
