"""Spans that need data from the database, which a thread of its own reads."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from imagemill.domain.errors import NotFound, StorageError
from imagemill.domain.events import Event, EventType
from imagemill.domain.jobs import Job
from imagemill.observability import spans
from imagemill.observability.spans import Kind, Span, Value

log = logging.getLogger(__name__)

_About = TypeVar("_About", Job, str)

_MOST_WAITING = 10_000
"""Maximum number of pending reads, which is the most that a sweep causes. Further spans are dropped."""
_CLOSE_TIMEOUT_S = 5.0
"""Seconds for which `close` waits for these reads."""
_MOST_EVENTS = 5000
"""Maximum number of events read for a job: an hour of progress, one a second, over several attempts."""
_REQUEUED = frozenset({EventType.REJECTED, EventType.CLAIM_EXPIRED})


class EventReader(Protocol):
    """The queries of the job store that are used here."""

    def job(self, job_id: str) -> Job: ...

    def events_after(self, job_id: str, seq: int, limit: int) -> list[Event]: ...


class History:
    """Emits the spans of queue time, lost attempts and whole jobs."""

    def __init__(
        self, store: EventReader, emit: Callable[[Span], None], samples: Callable[[str], bool]
    ) -> None:
        self._store = store
        self._emit = emit
        self._samples = samples
        self._pending = threading.BoundedSemaphore(_MOST_WAITING)
        self._closed = False
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="imagemill-tracing")

    def close(self) -> None:
        """Emit the pending spans, within a bounded time."""
        self._closed = True
        try:
            self._reader.submit(int).result(timeout=_CLOSE_TIMEOUT_S)
        except TimeoutError:
            log.warning("spans are dropped, as the database does not respond in time")
        self._reader.shutdown(wait=False, cancel_futures=True)

    def emit_queue(self, job: Job) -> None:
        """Emit the span of a just claimed job's time in the queue."""
        if job.attempt == 1:
            self._emit_queue(job, job.created_at)
        else:
            self._read(self._queued_again, job)

    def emit_job(self, job: Job) -> None:
        """Emit the span of a finished job's whole life."""
        if not self._samples(job.trace):
            return
        attributes: dict[str, Value] = {
            **spans.job_attributes(job),
            "imagemill.job.status": job.status.value,
            "imagemill.attempts": job.attempt,
            "imagemill.dialect": job.dialect,
        }
        parent = spans.span_of(job.trace)
        error = job.error.code.value if job.error is not None and job.status.value == "failed" else ""
        self._emit_span(
            job, "job", spans.of_job(job.id), parent, (job.created_at, job.finished_at), attributes, error
        )

    def emit_ended_job(self, job_id: str) -> None:
        self._read(self._ended, job_id)

    def emit_lost_attempt(self, job_id: str) -> None:
        """Emit the span of an attempt whose worker is gone and cannot emit it itself."""
        self._read(self._lost, job_id)

    def _queued_again(self, job: Job) -> None:
        before = self._store.events_after(job.id, max(0, job.last_seq - 2), 2)
        since = next((event.at for event in before if event.type in _REQUEUED), None)
        if since is not None:
            self._emit_queue(job, since)

    def _emit_queue(self, job: Job, since: int) -> None:
        attributes: dict[str, Value] = {**spans.job_attributes(job), "imagemill.attempt": job.attempt}
        id_ = spans.derive_id(job.id, job.attempt, "queue")
        self._emit_span(job, "queue", id_, spans.of_job(job.id), (since, job.started_at), attributes)

    def _ended(self, job_id: str) -> None:
        job = self._store.job(job_id)
        if job.status.is_terminal:
            self.emit_job(job)

    def _lost(self, job_id: str) -> None:
        job = self._store.job(job_id)
        if not self._samples(job.trace):
            return
        events = self._store.events_after(job_id, 0, _MOST_EVENTS)
        number, at = _last_loss(events)
        claimed = next((e for e in events if e.type is EventType.CLAIMED and e.attempt == number), None)
        if claimed is None:
            return
        attributes: dict[str, Value] = {
            **spans.job_attributes(job),
            **spans.placement_attributes(
                *(claimed.data.get(name) for name in ("worker", "node", "backend", "reason"))
            ),
            "imagemill.attempt": number,
            "imagemill.end": "lost",
        }
        id_, parent = spans.of_attempt(job_id, number), spans.of_job(job_id)
        self._emit_span(
            job, "attempt", id_, parent, (claimed.at, at), attributes, "worker_lost", Kind.CONSUMER
        )

    def _emit_span(
        self,
        job: Job,
        name: str,
        id_: str,
        parent: str,
        times: tuple[int, int | None],
        attributes: dict[str, Value],
        error: str = "",
        kind: Kind = Kind.INTERNAL,
    ) -> None:
        start, end = times
        trace = spans.trace_of(job.trace)
        self._emit(Span(name, trace, id_, parent, start, max(start, end or start), kind, attributes, error))

    def _read(self, tell: Callable[[_About], None], about: _About) -> None:
        if not self._closed and self._pending.acquire(blocking=False):
            self._reader.submit(self._do, tell, about)

    def _do(self, tell: Callable[[_About], None], about: _About) -> None:
        self._pending.release()
        try:
            tell(about)
        except NotFound:
            log.debug("a job was deleted before its spans were emitted")
        except StorageError as error:
            log.warning("spans are dropped, as the database cannot be read: %s", error)
        except Exception:
            log.exception("spans could not be emitted")


def _last_loss(events: Sequence[Event]) -> tuple[int, int]:
    """Return the number of the last lost attempt, and the instant at which the loss was noticed."""
    lost = [e for e in events if e.type in (EventType.CLAIM_EXPIRED, EventType.FAILED)]
    return (lost[-1].attempt, lost[-1].at) if lost else (0, 0)
