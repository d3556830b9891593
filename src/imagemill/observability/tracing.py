"""The tracer: spans of requests, attempts, blob operations, deliveries and jobs."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar, Token
from typing import Any, Protocol

from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.events import EventType
from imagemill.domain.jobs import Canceled, Failed, Job, JobStatus, Outcome, Retried, Succeeded
from imagemill.observability import spans
from imagemill.observability.spans import Kind, Span, Value
from imagemill.observability.trace_history import EventReader, History

_STEPS = ("prepare", "send", "follow", "store")
"""Names of the work between a stage and the next."""
_ENDS: Mapping[type[Outcome], str] = {
    Succeeded: "succeeded",
    Failed: "failed",
    Retried: "retried",
    Canceled: "canceled",
}
_SAMPLING_BITS = 64
"""Number of a trace id's last bits that decide on its sampling, as in OpenTelemetry's own sampler."""


class ActiveSpan(Protocol):
    """The span of the work that a thread or a request is doing."""

    @property
    def trace(self) -> str: ...

    @property
    def span(self) -> str:
        """Id of the parent for spans that start now."""
        ...


class SpanSink(Protocol):
    """A destination of spans; it must neither block nor raise."""

    def emit(self, span: Span) -> None: ...

    def close(self) -> None: ...


_active: ContextVar[ActiveSpan | None] = ContextVar("imagemill_place", default=None)


class AttemptTrace:
    """The spans of one attempt, from its claim until `close`; for the thread that runs it.

    ``stages`` grows as the attempt proceeds; ``atMs`` of each is the time since ``started_at`` in
    milliseconds. ``started_at``: microseconds since the epoch.
    """

    def __init__(
        self, tracer: "Tracer", job: Job, stages: Sequence[Mapping[str, Any]], started_at: int
    ) -> None:
        self._tracer = tracer
        self._job = job
        self._stages = stages
        self._started_at = started_at
        self._ended_at = 0
        self._outcome: Outcome | None = None
        self._status: JobStatus | None = None
        self._trace = spans.trace_of(job.trace)
        self._id = spans.of_attempt(job.id, job.attempt)
        self._token: Token[ActiveSpan | None] = tracer.enter(self)
        self._emit_step("claim", job.started_at or self._started_at, self._started_at)

    @property
    def trace(self) -> str:
        return self._trace

    @property
    def span(self) -> str:
        """Id of the current step's span."""
        return self._of_step(_STEPS[min(max(len(self._stages) - 1, 0), len(_STEPS) - 1)])

    def ended(self, outcome: Outcome) -> None:
        """Note the end of the work; its outcome is not stored yet."""
        self._ended_at, self._outcome = now_us(), outcome
        if isinstance(outcome, Retried) and not outcome.counts:
            self._tracer.hand_back(self._job.id)

    def recorded(self, status: JobStatus) -> None:
        self._status = status

    def close(self) -> None:
        """Emit the spans. If the job was taken back, the process that did so emits the attempt's span."""
        self._tracer.leave(self._token, self._job.id)
        marks = [self._started_at + round(stage["atMs"] * 1000) for stage in self._stages]
        # The stages' times come from another clock, which may be slightly ahead.
        over = max([self._ended_at or now_us(), *marks])
        now = max(now_us(), over)
        error = self._error()
        for step, start, end in zip(_STEPS, marks, [*marks[1:], over], strict=False):
            whole = len(marks) > _STEPS.index(step) + 1
            self._emit_step(step, start, end if whole else over, "" if whole else error)
        self._emit_step("finish", over, now, "" if self._status else "unrecorded")
        if self._status is not None:
            self._emit_attempt(now, error, self._status)

    def _error(self) -> str:
        outcome = self._outcome
        if outcome is None:
            return "bug"
        return outcome.failure.code.value if isinstance(outcome, (Failed, Retried)) else ""

    def _emit_attempt(self, now: int, error: str, status: JobStatus) -> None:
        job = self._job
        attributes: dict[str, Value] = {
            **spans.job_attributes(job),
            **spans.placement_attributes(job.worker, job.node, job.backend, job.reason),
            "imagemill.attempt": job.attempt,
            "imagemill.end": _ENDS[type(self._outcome)] if self._outcome else "",
            "imagemill.job.status": status.value,
        }
        start = job.started_at or self._started_at
        self._tracer.emit(
            Span(
                "attempt",
                self._trace,
                self._id,
                spans.of_job(job.id),
                start,
                now,
                Kind.CONSUMER,
                attributes,
                error,
            )
        )

    def _of_step(self, step: str) -> str:
        return spans.derive_id(self._job.id, self._job.attempt, step)

    def _emit_step(self, step: str, start: int, end: int, error: str = "") -> None:
        kind = Kind.CLIENT if step in ("send", "follow") else Kind.INTERNAL
        attributes = spans.job_attributes(self._job)
        if kind is Kind.CLIENT:
            attributes |= {
                "imagemill.node": self._job.node or "",
                "imagemill.backend": self._job.backend or "",
            }
        self._tracer.emit(
            Span(step, self._trace, self._of_step(step), self._id, start, end, kind, attributes, error)
        )


class RequestTrace:
    """The span of one HTTP request, from its creation to `close`."""

    def __init__(self, emit: Callable[[Span], None], traceparent: str, parent: str | None) -> None:
        self._emit = emit
        self._parent = parent
        self._start = now_us()
        self.trace = spans.trace_of(traceparent)
        self.span = spans.span_of(traceparent)
        self._token = _active.set(self)

    def close(self, method: str, route: str, status: int | None) -> None:
        """Emit the span. ``status`` is None when there was no response."""
        _active.reset(self._token)
        attributes: dict[str, Value] = {"http.request.method": method}
        if route:
            attributes["http.route"] = route
        if status is not None:
            attributes["http.response.status_code"] = status
        error = "" if status is not None and status < 500 else str(status or "unanswered")
        name = f"{method} {route}".rstrip()
        end, kind = now_us(), Kind.SERVER
        self._emit(Span(name, self.trace, self.span, self._parent, self._start, end, kind, attributes, error))


class DeliveryTrace:
    """The span of one attempt to deliver a callback or a webhook, from its creation to `close`."""

    def __init__(self, emit: Callable[[Span], None], name: str, job: Job, event: EventType) -> None:
        self._emit = emit
        self._name = name
        self._job = job
        self._event = event
        self._start = now_us()
        self._span = secrets.token_hex(8)

    @property
    def header(self) -> str:
        """The traceparent to send."""
        return f"00-{spans.trace_of(self._job.trace)}-{self._span}-01"

    def close(self, number: int, error: str | None) -> None:
        """Emit the span. ``number`` is the attempt's number; ``error`` is a message, or None on success."""
        job, wrong = self._job, "undelivered" if error else ""
        event = self._event.value
        attributes: dict[str, Value] = {
            **spans.job_attributes(job),
            "imagemill.event": event,
            "imagemill.try": number,
        }
        trace, parent, end = spans.trace_of(job.trace), spans.of_job(job.id), now_us()
        start, kind = self._start, Kind.CLIENT
        self._emit(Span(self._name, trace, self._span, parent, start, end, kind, attributes, wrong))


class Tracer:
    """The spans of one process. ``ratio`` is the share of traces that are exported, each as a whole."""

    def __init__(self, sink: SpanSink, ratio: float, log: EventReader) -> None:
        self._sink = sink
        self._bound = round(ratio * (1 << _SAMPLING_BITS))
        self._history = History(log, self.emit, self.samples)
        self._handed_back: set[str] = set()

    def samples(self, traceparent: str) -> bool:
        """Whether the trace is exported; decided by its id alone, so that all processes decide alike."""
        return int(traceparent[19:35], 16) < self._bound

    def emit(self, span: Span) -> None:
        self._sink.emit(span)

    def request(self, traceparent: str, parent: str | None) -> RequestTrace | None:
        """Start a request's span; ``parent`` is the caller's span. Returns None for an unsampled trace."""
        return RequestTrace(self.emit, traceparent, parent) if self.samples(traceparent) else None

    def attempt(self, job: Job, stages: Sequence[Mapping[str, Any]], started_at: int) -> AttemptTrace | None:
        """Start the spans of a claimed attempt. Returns None for an unsampled trace.

        ``started_at`` is the instant that the times of ``stages`` count from.
        """
        if not self.samples(job.trace):
            return None
        self._history.emit_queue(job)
        return AttemptTrace(self, job, stages, started_at)

    def blob(self, operation: str, result: str, seconds: float) -> None:
        """Emit the span of a finished blob store operation, when it is part of another span."""
        place = _active.get()
        if place is None:
            return
        end = now_us()
        name, error = f"blob {operation}", result if result == "error" else ""
        start, attributes = end - round(seconds * SECOND), {"imagemill.result": result}
        id_ = secrets.token_hex(8)
        self.emit(Span(name, place.trace, id_, place.span, start, end, Kind.CLIENT, attributes, error))

    def delivery(self, name: str, job: Job, event: EventType) -> DeliveryTrace | None:
        """Start the span of a callback or webhook of the job. Returns None for an unsampled trace."""
        return DeliveryTrace(self.emit, name, job, event) if self.samples(job.trace) else None

    def changed(self, ended: Iterable[Job], others: Iterable[str], lost: Iterable[str]) -> None:
        """Emit the spans of jobs changed by a commit. Does not block.

        ``ended``: finished jobs; ``others``: ids of further finished jobs; ``lost``: ids of jobs that were
        taken back from their workers.
        """
        for job in ended:
            self._history.emit_job(job)
        for job_id in lost:
            if job_id not in self._handed_back:
                self._history.emit_lost_attempt(job_id)
        for job_id in others:
            self._history.emit_ended_job(job_id)

    def enter(self, place: ActiveSpan) -> "Token[ActiveSpan | None]":
        return _active.set(place)

    def leave(self, token: "Token[ActiveSpan | None]", job_id: str) -> None:
        _active.reset(token)
        self._handed_back.discard(job_id)

    def hand_back(self, job_id: str) -> None:
        """Note that the job's own worker hands it back, and emits the attempt's span itself."""
        self._handed_back.add(job_id)

    def close(self) -> None:
        """Export the remaining spans, within a bounded time."""
        self._history.close()
        self._sink.close()
