"""Group commit: concurrent writes share one transaction.

The cost of a database write is the commit, not the row: SQLite takes its write lock and syncs, PostgreSQL
flushes its log and responds over a socket. The first thread that writes becomes the leader: it takes all
waiting requests, runs them kind by kind in one transaction, commits, and only then delivers the results to
the other threads. A thread that must not block leaves its write to a background thread. When a transaction
fails, each of its writes is run again alone, so only the faulty one fails.

Work is handed over between threads as rarely as possible: each hand-over costs a wake-up and a wait for
Python's interpreter lock, which limits a busy process (see ``docs/performance.md``).
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import field
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import sqlite

from imagemill.db.engine import explain, is_lost
from imagemill.db.statements import (
    BoundStatement,
    Parameters,
    PendingResult,
    Statement,
    driver,
    run_together,
)
from imagemill.domain.credits import Settlement
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import StorageError
from imagemill.domain.events import ChangedList, Notice
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import JobStatus

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 128
"""Maximum number of writes in a transaction; bounds how long the first one waits for the last."""
_CROWD = 3
"""Number of writes that did something in a transaction, from which the database counts as busy."""
_GATHER_S = 0.0005
"""Seconds for which the next transaction of a busy database waits for more writes to join it."""
_TRANSIENT_TRIES = 4
"""Retries of a transaction that met a lock, a deadlock, a serialisation failure or a lost connection."""
_CAN_FLUSH, _FLUSHES = "imagemill-can-flush", "imagemill-flushes"
"""Whether a connection to SQLite was opened to flush its commits, and whether it does so now."""
_FULL = 2
"""SQLite's number of synchronous=FULL."""
_IDLE_S = 5.0
"""Seconds after which the kept connection is checked before it is used again: a firewall, or a fail-over, may
have dropped it without a word."""
_RESTART_S = 0.1
"""Pause before a commit thread that failed is replaced."""
_SQLITE_FAILURES = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    )
)
"""Errors of the database as a whole, which every other write would meet as well."""
_TRANSIENT_STATES = frozenset(("40001", "40P01", "55P03"))
"""PostgreSQL's serialisation failure, deadlock and lock timeout."""


class ConnectionLost(StorageError):
    """The connection to the database broke before the commit; nothing was written."""


class OutcomeUnknown(StorageError):
    """The connection to the database broke during the commit: the write may be stored or not."""


class StatusChange(NamedTuple):
    """A job that ended, or returned to its queue because of a failure."""

    recipe: str
    to: JobStatus
    failure: FailureCode | None
    job: str


@dataclass(slots=True)
class CommitSummary:
    """The effects of a committed transaction that are published at once in this process."""

    events: list[Notice] = field(default_factory=list[Notice])
    queues_with_work: set[str] = field(default_factory=set[str])
    """Queues that got claimable jobs."""
    cancelled_jobs: list[str] = field(default_factory=list[str])
    """Running jobs for which cancellation was requested."""
    has_deliveries: bool = False
    """Whether the outbox has new messages to deliver."""
    views: dict[str, Any] = field(default_factory=dict[str, Any])
    """Job id -> finished job, where the transaction had all its fields, so that it need not be read again."""
    status_changes: list[StatusChange] = field(default_factory=list[StatusChange])
    model_loads: list[str] = field(default_factory=list[str])
    """Nodes that have to load a model for a job they were given."""
    changed_lists: set[ChangedList] = field(default_factory=set[ChangedList])
    """Lists that other processes keep in memory or consoles show."""
    writes: int = 0
    """Number of writes that shared the transaction."""


@dataclass(slots=True)
class Tx(CommitSummary):
    """An open transaction."""

    conn: sa.Connection = field(kw_only=True)
    on_commit: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """Callbacks that the committing thread runs after the commit."""
    settlements: list[Settlement] = field(default_factory=list[Settlement])
    """Credits of ended jobs that are still to be booked in this transaction."""
    logged: list[Any] = field(default_factory=list[Any])
    """New entries of the event log, from which webhook messages are made."""
    _late: dict[Statement, list[Parameters]] = field(default_factory=dict[Statement, list[Parameters]])

    def insert_late(self, statement: Statement, rows: Sequence[Parameters], *, first: bool = False) -> None:
        """Insert rows at the end of the transaction, together with all others of the statement.

        Nothing in the transaction may read them. ``first``: insert them before the rows of other statements,
        which may refer to these.
        """
        if first:
            self._late = {statement: self._late.pop(statement, []), **self._late}
        if rows:
            self._late.setdefault(statement, []).extend(rows)

    def insert_now(self, *then: BoundStatement) -> list[PendingResult]:
        """Insert all postponed rows, in the order in which their statements were first used; ``then`` run
        these.

        Returns the results of ``then``.
        """
        late, self._late = self._late, {}
        calls = [statement.call_many(rows) for statement, rows in late.items()]
        return run_together(self.conn, *calls, *then)[len(calls) :] if calls or then else []

    def insert(self, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
        """Return an INSERT that supports ON CONFLICT, which both databases spell alike."""
        if self.conn.dialect.name == "sqlite":
            return sqlite.insert(table)
        from sqlalchemy.dialects.postgresql import insert

        return insert(table)


Write = Callable[[Tx, Sequence[Any]], Sequence[Any]]
"""A kind of write: processes all its waiting requests and returns one result for each, in their order.

A result that is an exception is raised for that request alone; an exception that is raised rolls the whole
transaction back.
"""

Listener = Callable[[CommitSummary], None]
"""Called by the committing thread after a commit; it must not block."""


class WriteResult:
    """The result of a write, for a thread that waits. It is far cheaper than a `Future`, and has no
    callbacks."""

    __slots__ = ("_error", "_pending", "_value", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self._value: Any = None
        self._error: Exception | None = None
        self._pending = threading.Lock()
        self._pending.acquire()

    def set_result(self, value: Any) -> None:
        self._value = value
        self.is_done = True
        self._pending.release()

    def set_exception(self, error: Exception) -> None:
        self._error = error
        self.is_done = True
        self._pending.release()

    def result(self) -> Any:
        """Wait for the commit and return the result, or raise the error; may be called again."""
        with self._pending:
            if self._error is not None:
                raise self._error
            return self._value


@dataclass(slots=True)
class _Request:
    write: Write
    payload: Any
    future: "Future[Any] | WriteResult"

    def start(self) -> bool:
        """Mark the request as started; it can no longer be cancelled. Returns False when it was cancelled."""
        return isinstance(self.future, WriteResult) or self.future.set_running_or_notify_cancel()

    def fail(self, error: Exception) -> None:
        """Raise the error where the write was requested, unless it has its result."""
        future = self.future
        if not (future.is_done if isinstance(future, WriteResult) else future.done()):
            future.set_exception(error)


class GroupCommit:
    """Commits the writes of all threads together, in as few transactions as possible."""

    def __init__(
        self,
        engine: sa.Engine,
        listener: Listener,
        *,
        last_writes: Sequence[Write] = (),
        settle: Callable[[Tx], None] = lambda _: None,
        enqueue_webhooks: Callable[[Tx], None] = lambda _: None,
        unflushed: Collection[Write] = (),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._listener = listener
        self._pause = pause
        self.committed_at = time.monotonic()
        """When the last transaction was committed, on the monotonic clock."""
        self.order(
            last_writes=last_writes, settle=settle, enqueue_webhooks=enqueue_webhooks, unflushed=unflushed
        )
        self._waiting: deque[_Request] = deque()
        self._commit_lock = threading.Lock()
        self._connection: sa.Connection | None = None
        """Connection kept between transactions; using the pool each time would cost as much as a write."""
        self._wakeups = threading.Semaphore(0)
        self._closed = False
        self._queue_lock = threading.Lock()
        """Guards the queue: no request is added once ``_closed`` is set."""
        self._is_crowded = False
        """Whether so many writes shared the last transaction that waiting for more is worth it."""
        self._thread = self._start_thread()

    def order(
        self,
        *,
        last_writes: Sequence[Write],
        settle: Callable[[Tx], None],
        enqueue_webhooks: Callable[[Tx], None],
        unflushed: Collection[Write] = (),
    ) -> None:
        """Say what runs at the end of each transaction.

        ``last_writes`` are kinds of write that run after all others of their transaction, in this order, and
        see what those did. ``settle`` runs before the last of them, or at the transaction's end;
        ``enqueue_webhooks`` runs after everything else. A transaction of ``unflushed`` kinds alone is not
        flushed to the disk by itself on SQLite, but with the next one: a power loss may undo it.
        """
        self._unflushed = frozenset(unflushed)
        self._order = {write: number for number, write in enumerate(last_writes, start=1)}
        self._settle = settle
        self._enqueue_webhooks = enqueue_webhooks

    def begin(self, write: Write, payload: Any) -> Future[Any]:
        """Queue a write and return at once; the future has its result after the commit."""
        future: Future[Any] = Future()
        # A thread that is committing checks the queue again before it stops, so only an idle one needs a
        # wake-up, and only one: who queued the write before this one has woken it.
        if self._queue(_Request(write, payload, future)) and not self._commit_lock.locked():
            self._wakeups.release()
        return future

    def run(self, *writes: tuple[Write, Any], gathers: bool = True) -> list[WriteResult]:
        """Commit these writes, in this thread unless another one is committing; the results may still be
        pending.

        ``gathers``: on a busy database the writes wait for more to join them. Writes that are many by
        themselves need not wait: this thread commits them at once, with those that wait.
        """
        results = [WriteResult() for _ in writes]
        is_first = False
        for (write, payload), result in zip(writes, results, strict=True):
            is_first |= self._queue(_Request(write, payload, result))
        if not gathers:
            with self._commit_lock:
                while not all(result.is_done for result in results):
                    self._take_and_commit()
            if self._waiting:
                self._wakeups.release()
        elif self._is_crowded:
            if is_first:
                self._wakeups.release()
        elif self._commit_lock.acquire(blocking=False):
            try:
                self._take_and_commit()
            finally:
                self._commit_lock.release()
            if self._waiting:
                self._wakeups.release()
        return results

    def close(self) -> None:
        """Commit the waiting writes and stop."""
        with self._queue_lock:
            first, self._closed = not self._closed, True
        if first:
            self._wakeups.release()
            while (thread := self._thread).is_alive():
                thread.join()
            if self._connection is not None:
                self._connection.close()

    def _queue(self, request: _Request) -> bool:
        """Queue a request; return whether it is the first."""
        with self._queue_lock:
            if not self._closed:
                self._waiting.append(request)
                return len(self._waiting) == 1
        request.future.set_exception(StorageError("the store is closed"))
        return False

    def _start_thread(self) -> threading.Thread:
        thread = threading.Thread(target=self._serve, name="imagemill-commits", daemon=True)
        thread.start()
        return thread

    def _serve(self) -> None:
        """Commit until the store is closed. A thread that fails is replaced: without one, writes would wait
        forever."""
        try:
            self._commit_until_closed()
        except BaseException:
            log.exception("the commit thread failed and is replaced")
            self._is_crowded = False
            # The writes that wait had woken the thread that failed.
            self._wakeups.acquire(timeout=_RESTART_S)
            self._wakeups.release()
            self._thread = self._start_thread()

    def _commit_until_closed(self) -> None:
        while not (self._closed and not self._waiting):
            self._wakeups.acquire()
            # Go on until the queue is empty: requests added meanwhile did not release the semaphore.
            while self._waiting:
                if self._is_crowded:
                    self._pause(_GATHER_S)
                with self._commit_lock:
                    self._take_and_commit()

    def _take_and_commit(self) -> None:
        batch: list[_Request] = []
        while self._waiting and len(batch) < _MOST_AT_ONCE:
            request = self._waiting.popleft()
            if request.start():
                batch.append(request)
        try:
            if batch:
                self._commit(batch)
        finally:
            for request in batch:
                request.fail(StorageError("the write was interrupted; it may be stored or not"))

    def _commit(self, batch: list[_Request]) -> None:
        error = self._attempt(batch)
        for _ in range(_TRANSIENT_TRIES):
            if error is None or not _is_transient(error):
                break
            error = self._attempt(batch)
        if error is None:
            return
        if len(batch) == 1 or self._concerns_all(error):
            for request in batch:
                request.fail(self._translate(error))
            return
        for request in batch:
            self._commit([request])

    def _attempt(self, batch: list[_Request]) -> Exception | None:
        """Run the batch; return the error that it failed with."""
        try:
            self._run(batch)
        except Exception as error:  # noqa: BLE001 - raised in the requesting threads
            return error
        return None

    def _concerns_all(self, error: Exception) -> bool:
        """Whether every other write would fail alike, such as on a full disk."""
        if isinstance(error, (ConnectionLost, OutcomeUnknown, exc.TimeoutError)):
            return True
        cause: Any = error.orig if isinstance(error, exc.DBAPIError) else error
        dbapi: Any = self._engine.dialect.dbapi
        if not isinstance(cause, (dbapi.OperationalError, dbapi.InterfaceError)):
            return False
        if self._engine.dialect.name == "sqlite":
            code = getattr(cause, "sqlite_errorcode", None)
            return code is None or code & 0xFF in _SQLITE_FAILURES
        return getattr(cause, "sqlstate", None) not in _TRANSIENT_STATES

    def _translate(self, error: Exception) -> Exception:
        """Turn a database error into a `StorageError`; compiled statements raise the driver's, others
        SQLAlchemy's."""
        dbapi: Any = self._engine.dialect.dbapi
        if not isinstance(error, (exc.DBAPIError, exc.TimeoutError, dbapi.Error)):
            return error
        translated = StorageError(f"the database refused a write: {explain(error)}")
        translated.__cause__ = error
        return translated

    def _run(self, batch: list[_Request]) -> None:
        """Run the batch in one transaction and deliver the results after the commit."""
        kinds: dict[Write, list[_Request]] = {}
        for request in batch:
            kinds.setdefault(request.write, []).append(request)
        finished: list[tuple[_Request, Any]] = []
        conn = self._connect()
        raw = driver(conn)
        is_ending = False
        try:
            _flush_next(conn, not kinds.keys() <= self._unflushed)
            with conn.begin():
                tx = Tx(conn=conn, writes=len(batch))
                for write in sorted(kinds, key=self._order_of):
                    if self._order_of(write) == len(self._order):
                        self._settle(tx)
                    results = write(tx, [request.payload for request in kinds[write]])
                    finished.extend(zip(kinds[write], results, strict=True))
                self._settle(tx)
                self._enqueue_webhooks(tx)
                tx.insert_now()
                is_ending = True
        except Exception as error:
            broke = is_lost(conn, raw, error)
            # The connection may be broken; the next transaction opens another one.
            conn.close()
            if broke:
                raise _lost(error, is_ending) from error
            raise
        self._connection = conn
        self.committed_at = time.monotonic()
        # A claim that found no job, of which an idle worker asks many at once, is no sign of a crowd.
        self._is_crowded = sum(result is not None for _, result in finished) >= _CROWD
        self._deliver(tx, finished)

    def _connect(self) -> sa.Connection:
        """Return the kept connection, or a new one where that was idle for long and no longer answers."""
        conn, self._connection = self._connection, None
        idle_s = time.monotonic() - self.committed_at
        if conn is not None and idle_s > _IDLE_S and not _answers(conn):
            conn.invalidate()
            conn.close()
            # The pool's connections are as old, and each would cost a time limit to find out.
            self._engine.dispose()
            conn = None
        return conn or self._engine.connect()

    def _deliver(self, tx: Tx, finished: list[tuple[_Request, Any]]) -> None:
        """Deliver the results of a committed transaction. An error here must not look like a failed write."""
        for callback in tx.on_commit:
            try:
                callback()
            except Exception:
                log.exception("a callback after a commit failed")
        for request, result in finished:
            if isinstance(result, Exception):
                request.future.set_exception(result)
            else:
                request.future.set_result(result)
        self._notify_listener(tx)

    def _order_of(self, write: Write) -> int:
        return self._order.get(write, 0)

    def _notify_listener(self, tx: Tx) -> None:
        """Call the listener. Its errors are only logged, as the write is already committed."""
        if not (
            tx.events or tx.queues_with_work or tx.cancelled_jobs or tx.has_deliveries or tx.changed_lists
        ):
            return
        try:
            self._listener(tx)
        except Exception:
            log.exception("the commit listener failed; polling will pick the changes up")


def _flush_next(conn: sa.Connection, wanted: bool) -> None:
    """Have SQLite flush the next commit, or not; nothing changes where it flushes none."""
    if conn.dialect.name != "sqlite":
        return
    raw, info = driver(conn), conn.info
    if _FLUSHES not in info:
        info[_FLUSHES] = info[_CAN_FLUSH] = raw.execute("PRAGMA synchronous").fetchone()[0] >= _FULL
    if info[_CAN_FLUSH] and info[_FLUSHES] != wanted:
        raw.execute(f"PRAGMA synchronous={'FULL' if wanted else 'NORMAL'}")
        info[_FLUSHES] = wanted


def _is_transient(error: Exception) -> bool:
    if isinstance(error, ConnectionLost):
        return True
    cause: Any = error.orig if isinstance(error, exc.DBAPIError) else error
    return getattr(cause, "sqlstate", None) in _TRANSIENT_STATES or "locked" in str(cause)


def _answers(conn: sa.Connection) -> bool:
    if conn.dialect.name == "sqlite":
        return True
    try:
        return bool(conn.dialect.do_ping(driver(conn)))
    except conn.dialect.loaded_dbapi.Error:
        return False


def _lost(error: Exception, is_ending: bool) -> StorageError:
    if is_ending:
        return OutcomeUnknown(
            "the connection to the database broke during the commit; look whether it is stored before you "
            "repeat it, or repeat it with the same Idempotency-Key"
        )
    return ConnectionLost(f"the connection to the database broke: {explain(error)}")
