"""Group commit: writes that wait at the same moment share one transaction.

A database pays for a commit, not for a row: SQLite takes its write lock and syncs, PostgreSQL flushes and
answers over a socket. Whoever writes first takes everything that waits, runs it kind by kind in one
transaction, commits and only then answers; the others find their work done. A thread that must not block
leaves its write to a thread of ours. A write that fails is run again alone, so it fails alone.

Threads hand work over as seldom as possible: each hand-over costs a wake-up and a fight for Python's
interpreter lock, which is what limits a busy process (see ``docs/performance.md``).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite

from imagemill.db.statements import BoundStatement, Parameters, PendingResult, Statement, run_together
from imagemill.domain.credits import Settlement
from imagemill.domain.errors import StorageError
from imagemill.domain.events import Notice
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import JobStatus

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 128
"""Bounds how long the first of a batch waits for the last."""
_CROWD = 3
_GATHER_S = 0.003
"""On a busy store the next transaction waits this long for more to join it."""
_TRANSIENT_TRIES = 4
"""A deadlock or serialisation failure on PostgreSQL is tried again this often."""


class StatusChange(NamedTuple):
    """A job that ended, or went back to its queue because of a failure."""

    recipe: str
    to: JobStatus
    failure: FailureCode | None
    job: str


@dataclass(slots=True)
class CommitSummary:
    """What a transaction made true, for those in this process who should hear of it at once."""

    events: list[Notice] = field(default_factory=list[Notice])
    queues_with_work: set[str] = field(default_factory=set[str])
    """Queues that got claimable jobs."""
    cancelled_jobs: list[str] = field(default_factory=list[str])
    """Running jobs that somebody wants cancelled."""
    has_deliveries: bool = False
    """Whether the outbox has something new to deliver."""
    views: dict[str, Any] = field(default_factory=dict[str, Any])
    """Finished jobs as they are now, where the transaction knew them whole: they need not be read again."""
    status_changes: list[StatusChange] = field(default_factory=list[StatusChange])
    model_loads: list[str] = field(default_factory=list[str])
    """Nodes that have to load a model for a job they were given."""
    writes: int = 0
    """How many shared the transaction."""


@dataclass(slots=True)
class Tx(CommitSummary):
    """A transaction on its way."""

    conn: sa.Connection = field(kw_only=True)
    on_commit: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """Run by the committing thread once the rows are there for everybody."""
    settlements: list[Settlement] = field(default_factory=list[Settlement])
    """Money of jobs that have ended, still to be booked in this transaction."""
    logged: list[Any] = field(default_factory=list[Any])
    """Entries of the event log, for those who announce them."""
    _late: dict[Statement, list[Parameters]] = field(default_factory=dict[Statement, list[Parameters]])

    def insert_late(self, statement: Statement, rows: Sequence[Parameters], *, first: bool = False) -> None:
        """Insert what nothing in this transaction reads: with all else of the kind, before the commit.

        ``first``: before all other kinds, whose rows may refer to these.
        """
        if first:
            self._late = {statement: self._late.pop(statement, []), **self._late}
        if rows:
            self._late.setdefault(statement, []).extend(rows)

    def insert_now(self, *then: BoundStatement) -> list[PendingResult]:
        """What was left for later, in the order in which the tables were first named; ``then`` these."""
        late, self._late = self._late, {}
        calls = [statement.call_many(rows) for statement, rows in late.items()]
        return run_together(self.conn, *calls, *then)[len(calls) :] if calls or then else []

    def insert(self, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
        """An INSERT that knows ON CONFLICT, which both databases spell alike."""
        return sqlite.insert(table) if self.conn.dialect.name == "sqlite" else postgresql.insert(table)


Write = Callable[[Tx, Sequence[Any]], Sequence[Any]]
"""A kind of write: all its waiting requests at once, one answer for each, in their order.

An answer that is an exception is raised for that request alone; an exception raised undoes the transaction.
"""

Listener = Callable[[CommitSummary], None]
"""Told after a commit, by the committing thread: must not block."""


class WriteResult:
    """What became of a write, for a thread that waits. Far cheaper than a `Future`, and has no callbacks."""

    __slots__ = ("_error", "_pending", "_value")

    def __init__(self) -> None:
        self._value: Any = None
        self._error: Exception | None = None
        self._pending = threading.Lock()
        self._pending.acquire()

    def set_result(self, value: Any) -> None:
        self._value = value
        self._pending.release()

    def set_exception(self, error: Exception) -> None:
        self._error = error
        self._pending.release()

    def result(self) -> Any:
        """Block until the write is committed; raises what went wrong. As often as one likes."""
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
        """False when whoever asked has given up; from here on that is not possible."""
        return isinstance(self.future, WriteResult) or self.future.set_running_or_notify_cancel()


class GroupCommit:
    """Commits the writes of all threads together, as few transactions as possible."""

    def __init__(
        self,
        engine: sa.Engine,
        listener: Listener,
        *,
        last_writes: Sequence[Write] = (),
        settle: Callable[[Tx], None] = lambda _: None,
        enqueue_webhooks: Callable[[Tx], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._listener = listener
        self.order(last_writes=last_writes, settle=settle, enqueue_webhooks=enqueue_webhooks)
        self._waiting: deque[_Request] = deque()
        self._leading = threading.Lock()
        self._connection: sa.Connection | None = None
        """Kept between transactions: taking one from the pool and giving it back costs as much as a write."""
        self._news = threading.Semaphore(0)
        self._closed = False
        self._door = threading.Lock()
        """Nothing comes in once closed is set."""
        self._crowded = False
        """Whether the last transaction was shared by so many that gathering more of them pays."""
        self._thread = threading.Thread(target=self._serve, name="imagemill-commits", daemon=True)
        self._thread.start()

    def order(
        self,
        *,
        last_writes: Sequence[Write],
        settle: Callable[[Tx], None],
        enqueue_webhooks: Callable[[Tx], None],
    ) -> None:
        """Say what runs at the end of each transaction.

        ``last_writes`` are kinds of write that run after all others of their transaction, in this order, and
        see what those did. ``settle`` runs before the last of them, or at the transaction's end;
        ``enqueue_webhooks`` runs after everything else.
        """
        self._order = {write: number for number, write in enumerate(last_writes, start=1)}
        self._settle = settle
        self._enqueue_webhooks = enqueue_webhooks

    def begin(self, write: Write, payload: Any) -> Future[Any]:
        """Never blocks: the answer comes once the write is committed."""
        future: Future[Any] = Future()
        self._queue(_Request(write, payload, future))
        # Whoever commits now looks again before it stops, so only an idle store needs to be woken.
        if not self._leading.locked():
            self._news.release()
        return future

    def run(self, *writes: tuple[Write, Any]) -> list[WriteResult]:
        """Commit these, in this thread if no other is at it; each answer is there or about to be."""
        answers = [WriteResult() for _ in writes]
        for (write, payload), answer in zip(writes, answers, strict=True):
            self._queue(_Request(write, payload, answer))
        if self._crowded:
            self._news.release()
        elif self._leading.acquire(blocking=False):
            try:
                self._take_and_commit()
            finally:
                self._leading.release()
            if self._waiting:
                self._news.release()
        return answers

    def close(self) -> None:
        """Finish what waits and stop."""
        with self._door:
            first, self._closed = not self._closed, True
        if first:
            self._news.release()
            self._thread.join()
            if self._connection is not None:
                self._connection.close()

    def _queue(self, request: _Request) -> None:
        with self._door:
            if not self._closed:
                self._waiting.append(request)
                return
        request.future.set_exception(StorageError("the store is closed"))

    def _serve(self) -> None:
        while not (self._closed and not self._waiting):
            self._news.acquire()
            # One round a wake-up would starve those who found us at work: go on until nothing waits.
            while self._waiting:
                if self._crowded:
                    time.sleep(_GATHER_S)
                with self._leading:
                    self._take_and_commit()

    def _take_and_commit(self) -> None:
        batch: list[_Request] = []
        while self._waiting and len(batch) < _MOST_AT_ONCE:
            request = self._waiting.popleft()
            if request.start():
                batch.append(request)
        self._crowded = len(batch) >= _CROWD
        if batch:
            self._commit(batch)

    def _commit(self, batch: list[_Request]) -> None:
        try:
            self._run(batch)
        except Exception as error:  # noqa: BLE001 - handed on to whoever asked
            if len(batch) == 1:
                self._retry_alone(batch[0], error)
                return
            for request in batch:
                try:
                    self._run([request])
                except Exception as own_error:  # noqa: BLE001 - handed on to whoever asked
                    self._retry_alone(request, own_error)

    def _retry_alone(self, request: _Request, error: Exception) -> None:
        for _ in range(_TRANSIENT_TRIES):
            if not _is_transient(error):
                break
            try:
                self._run([request])
            except Exception as next_error:  # noqa: BLE001 - handed on to whoever asked
                error = next_error
            else:
                return
        request.future.set_exception(self._translate(error))

    def _translate(self, error: Exception) -> Exception:
        """A database's own error in our words; hot statements raise the driver's, the others SQLAlchemy's."""
        driver: Any = self._engine.dialect.dbapi
        if not isinstance(error, (exc.DBAPIError, driver.Error)):
            return error
        translated = StorageError(f"the database refused a write: {getattr(error, 'orig', error)}")
        translated.__cause__ = error
        return translated

    def _run(self, batch: list[_Request]) -> None:
        """One transaction for the batch; answers only after the commit."""
        kinds: dict[Write, list[_Request]] = {}
        for request in batch:
            kinds.setdefault(request.write, []).append(request)
        answers: list[tuple[_Request, Any]] = []
        conn = self._connection or self._engine.connect()
        self._connection = None
        try:
            with conn.begin():
                tx = Tx(conn=conn, writes=len(batch))
                for write in sorted(kinds, key=self._place):
                    if self._place(write) == len(self._order):
                        self._settle(tx)
                    results = write(tx, [request.payload for request in kinds[write]])
                    answers.extend(zip(kinds[write], results, strict=True))
                self._settle(tx)
                self._enqueue_webhooks(tx)
                tx.insert_now()
        except Exception:
            # It may be broken: the next transaction gets another one.
            conn.close()
            raise
        self._connection = conn
        for callback in tx.on_commit:
            callback()
        for request, answer in answers:
            if isinstance(answer, Exception):
                request.future.set_exception(answer)
            else:
                request.future.set_result(answer)
        self._tell(tx)

    def _place(self, write: Write) -> int:
        return self._order.get(write, 0)

    def _tell(self, tx: Tx) -> None:
        """The write is committed: a listener that fails must not make it look undone."""
        if not (tx.events or tx.queues_with_work or tx.cancelled_jobs or tx.has_deliveries):
            return
        try:
            self._listener(tx)
        except Exception:
            log.exception("a listener to commits failed; pollers will catch up")


def _is_transient(error: Exception) -> bool:
    cause: Any = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    return getattr(cause, "sqlstate", None) in {"40001", "40P01"} or "locked" in str(cause)
