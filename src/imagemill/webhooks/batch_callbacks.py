"""Callbacks of batches: the events of all jobs of a batch, in order and one at a time for each URL.

What was delivered is kept as a cursor over the event log, so no second log is written: a callback that is
behind reads the events after its cursor. A crash repeats at most the messages of one event.
"""

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.statements import Statement, dump, load
from imagemill.domain.clock import SECOND, now_us, random_fraction
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import Event
from imagemill.domain.jobs import Job
from imagemill.jobs.store.batches import BatchCallback, BatchRecord, read_records
from imagemill.jobs.store.lanes import EVENT_COLUMNS, event_from
from imagemill.jobs.store.store import JobStore
from imagemill.net.url_guard import UrlGuard
from imagemill.observability.metrics import Metrics
from imagemill.settings import WebhookSettings
from imagemill.webhooks.delivery import BlockedTarget, DeliveryWorker, HttpPoster, PendingDelivery, target_of

log = logging.getLogger(__name__)

_callbacks, _batches = tables.batch_callbacks.c, tables.batches.c
_jobs, _events, _dependencies = tables.jobs.c, tables.events.c, tables.dependencies.c
_AT_ONCE = 200
"""Events that are read, and delivered before another callback may use the sender."""


@dataclass(frozen=True, slots=True)
class BatchEvent:
    """An event of a job of a batch, with what was reported before it."""

    record: BatchRecord
    callback: BatchCallback
    jobs: Sequence[Job]
    """All jobs of the batch, in their present state."""
    before: Mapping[str, Event]
    """The last event of each job that came before this one, by job."""
    event: Event


BatchFormat = Callable[[BatchEvent], Iterable[Mapping[str, Any]]]
"""Returns the bodies of the messages of an event, in their order; none where the callback wants none."""


@dataclass(frozen=True, slots=True)
class DueCallback:
    """A callback with undelivered events."""

    batch: str
    number: int
    owner: str
    dialect: str
    callback: BatchCallback
    cursor: Mapping[str, int]
    """The sequence number of the last event that was delivered, by job."""
    tries: int

    def after(
        self, cursor: Mapping[str, int], *, due_at: int | None, tries: int = 0, error: str | None = None
    ) -> "CallbackProgress":
        """Return its state after some messages were sent. ``due_at`` None closes it."""
        return CallbackProgress(self.batch, self.number, cursor, due_at, tries, error)


@dataclass(frozen=True, slots=True)
class CallbackProgress:
    batch: str
    number: int
    cursor: Mapping[str, int]
    due_at: int | None
    tries: int
    error: str | None


class BatchOutbox:
    def __init__(self, database: Database) -> None:
        self._write, self._read = database.write, database.read

    def due(self, now: int, limit: int) -> list[DueCallback]:
        """Return the callbacks with undelivered events; no others are read."""
        return self._read(_due, now, limit)

    def has_open(self) -> bool:
        """Whether some batch with callbacks has not ended, or has undelivered events."""
        return self._read(_has_open)

    def events(self, jobs: Sequence[str], cursor: Mapping[str, int]) -> tuple[dict[str, Event], list[Event]]:
        """Return the last delivered event of each job, and those after the cursor in the order of time."""
        return self._read(_events_around, jobs, cursor)

    def record(self, batch: str) -> BatchRecord | None:
        found = self._read(read_records, _batches.id == batch)
        return found[0] if found else None

    def save(self, progress: CallbackProgress) -> None:
        self._write(_save, progress)


@cache  # making the statement takes longer than running it
def _due_callbacks() -> sa.Select[Any]:
    # A batch whose jobs are deleted has no sum, and is closed like one that is delivered.
    newest = (
        sa.select(sa.func.coalesce(sa.func.sum(_jobs.last_seq), 0))
        .where(_jobs.owner == _batches.owner, _jobs.batch == _batches.id)
        .scalar_subquery()
    )
    is_due = sa.and_(_callbacks.due_at.is_not(None), _callbacks.due_at <= sa.bindparam("now"))
    return (
        sa.select(*tables.batch_callbacks.c, _batches.owner, _batches.dialect)
        .join_from(tables.batch_callbacks, tables.batches, _batches.id == _callbacks.batch)
        .where(is_due, newest > _callbacks.seen)
        .order_by(_callbacks.due_at)
        .limit(sa.bindparam("limit"))
    )


def _due(conn: sa.Connection, now: int, limit: int) -> list[DueCallback]:
    return [
        DueCallback(
            row.batch,
            row.number,
            row.owner,
            row.dialect,
            BatchCallback(row.url, load(row.options)),
            load(row.cursor),
            row.tries,
        )
        for row in conn.execute(_due_callbacks(), {"now": now, "limit": limit})
    ]


_OPEN = Statement(sa.select(_callbacks.batch).where(_callbacks.due_at.is_not(None)).limit(1))


def _has_open(conn: sa.Connection) -> bool:
    return bool(_OPEN.run(conn))


def _events_around(
    conn: sa.Connection, jobs: Sequence[str], cursor: Mapping[str, int]
) -> tuple[dict[str, Event], list[Event]]:
    before: dict[str, Event] = {}
    after: list[Event] = []
    of_jobs = sa.select(*EVENT_COLUMNS).where(_events.job_id.in_(jobs)).order_by(_events.job_id, _events.seq)
    rows: sa.Result[Any] = conn.execute(of_jobs)
    for event in map(event_from, rows):
        if event.seq <= cursor.get(event.job_id, 0):
            before[event.job_id] = event
        else:
            after.append(event)
    times = _causal_times(conn, jobs, [*before.values(), *after])
    return before, sorted(after, key=lambda event: (times(event), event.job_id, event.seq))


def _causal_times(
    conn: sa.Connection, jobs: Sequence[str], events: Sequence[Event]
) -> Callable[[Event], int]:
    """Return a function that gives the time of an event, not before the end of the jobs that its job needs.

    The time of a claim is when a worker asked for it, and the job may have become claimable while it waited.
    """
    pairs = conn.execute(
        sa.select(_dependencies.job_id, _dependencies.needs).where(_dependencies.job_id.in_(jobs))
    )
    needs: dict[str, list[str]] = {}
    for job_id, needed in pairs:
        needs.setdefault(job_id, []).append(needed)
    if not needs:
        return lambda event: event.at
    ends = {event.job_id: event.at for event in events if event.type.is_terminal}
    begins: dict[str, int] = {}
    # Ids rise from the jobs that are needed to those that need them.
    for job_id in sorted(needs):
        before = [max(ends.get(need, 0), begins.get(need, 0)) for need in needs[job_id]]
        begins[job_id] = max(before)
        if job_id in ends:
            ends[job_id] = max(ends[job_id], begins[job_id])
    return lambda event: event.at if event.seq == 1 else max(event.at, begins.get(event.job_id, 0))


def _save(tx: Tx, requests: Sequence[CallbackProgress]) -> list[None]:
    for request in requests:
        tx.conn.execute(
            sa.update(tables.batch_callbacks)
            .where(_callbacks.batch == request.batch, _callbacks.number == request.number)
            .values(
                cursor=dump(request.cursor),
                seen=sum(request.cursor.values()),
                due_at=request.due_at,
                tries=request.tries,
                last_error=request.error,
            )
        )
    return [None] * len(requests)


class BatchCallbackDispatcher:
    """Delivers in the process where ``leads`` returns True; two processes would deliver twice."""

    def __init__(
        self,
        outbox: BatchOutbox,
        jobs: JobStore,
        formats: Callable[[str], BatchFormat | None],
        guard: UrlGuard,
        settings: WebhookSettings,
        *,
        poll_s: float,
        idle_s: Callable[[], float] | None = None,
        leads: Callable[[], bool] = lambda: True,
        meters: Metrics | None = None,
    ) -> None:
        """``formats``: returns the format of a dialect; None for one without callbacks of batches."""
        self._outbox = outbox
        self._jobs = jobs
        self._formats = formats
        self._settings = settings
        self._meters = meters or Metrics()
        self._poster = HttpPoster(guard, settings.timeout_s)
        self._is_open = True
        """Whether there may be callbacks to deliver; after a restart there may be."""
        self._worker = DeliveryWorker(
            self,
            name="batch callback",
            poll_s=poll_s,
            rest_s=settings.retry_base_s,
            idle_s=idle_s,
            leads=leads,
        )

    def start(self) -> None:
        self._worker.start()

    def wake(self, *, added: bool = False) -> None:
        """Look for events of batches; costs nothing while no batch with callbacks is open.

        ``added``: a callback may have been added.
        """
        if added:
            self._is_open = True
        if self._is_open:
            self._worker.wake()

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to deliver, now or later, when it was last looked."""
        return not self._is_open

    def close(self) -> None:
        self._worker.close()
        self._poster.close()

    # The source of the delivery worker

    def due(self, limit: int, held: Sequence[BlockedTarget]) -> Sequence[PendingDelivery[DueCallback]]:
        # Asked first, as an idle server asks each second: it takes a tenth of the other query.
        self._is_open = self._outbox.has_open()
        found = self._outbox.due(now_us(), limit + 64 * len(held)) if self._is_open else []
        pending = [
            PendingDelivery((each.batch, each.number), target_of(each.owner, each.callback.url), each)
            for each in found
        ]
        return [each for each in pending if not any(hold.covers(each.target) for hold in held)][:limit]

    def pause_s(self) -> float | None:
        return math.inf if self.is_idle else None

    def deliver(self, content: DueCallback) -> bool:
        record, format_ = self._outbox.record(content.batch), self._formats(content.dialect)
        if record is None or format_ is None:
            self._outbox.save(content.after(content.cursor, due_at=None, error="the batch was deleted"))
            return True
        jobs = self._jobs.batch(content.owner, content.batch)
        before, found = self._outbox.events([job.id for job in jobs], content.cursor)
        # Those since the jobs were read wait for the next round: a message has the state of its event.
        read_until = {job.id: job.last_seq for job in jobs}
        events = [event for event in found if event.seq <= read_until[event.job_id]]
        cursor = dict(content.cursor)
        for event in events[:_AT_ONCE]:
            told = BatchEvent(record, content.callback, jobs, dict(before), event)
            error = self._send(content, format_, told)
            if error is not None and (again := self._failed(content, cursor, error)) is not None:
                self._outbox.save(again)
                return False
            cursor[event.job_id] = event.seq
            before[event.job_id] = event
            content = replace(content, tries=0) if content.tries else content
        ended = all(job.status.is_terminal and cursor.get(job.id) == job.last_seq for job in jobs)
        self._outbox.save(content.after(cursor, due_at=None if ended else now_us()))
        return True

    def _send(self, due: DueCallback, format_: BatchFormat, told: BatchEvent) -> str | None:
        """Send the messages of an event; return the first error."""
        for body in format_(told):
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            error = self._poster.post(due.callback.url, text.encode()).error
            if error is not None:
                log.warning("callback of batch %s failed (%d): %s", due.batch, due.tries + 1, error)
                return error
            self._meters.callback_sent("delivered")
        return None

    def _failed(self, due: DueCallback, cursor: Mapping[str, int], error: str) -> CallbackProgress | None:
        """Return when to send the event again; None when it is given up, so that the next one is sent."""
        tries = due.tries + 1
        gives_up = tries >= self._settings.tries
        self._meters.callback_sent("given_up" if gives_up else "failed")
        if gives_up:
            return None
        delay_s = self._settings.backoff.delay_s(tries, random_fraction())
        again_at = now_us() + round(delay_s * SECOND)
        return due.after(cursor, due_at=again_at, tries=tries, error=error)
