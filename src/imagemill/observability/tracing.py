"""Where spans begin: requests, attempts, operations on blobs, deliveries, and what becomes of jobs."""

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
"""What is done between a stage and the next."""
_ENDS: Mapping[type[Outcome], str] = {
    Succeeded: "succeeded",
    Failed: "failed",
    Retried: "retried",
    Canceled: "canceled",
}


class AttemptTrace:
    """Of one attempt, used by the thread that runs it, from its claim until `close`.

    ``stages`` grows as the attempt goes on: ``atMs`` of each counts from when the claim was there.
    """

    def __init__(self, tracer: "Tracer", job: Job, stages: Sequence[Mapping[str, Any]]) -> None:
        self._tracer = tracer
        self._job = job
        self._stages = stages
        self._started_at = now_us()
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
        """The id of the step that is under way."""
        return self._of_step(_STEPS[min(max(len(self._stages) - 1, 0), len(_STEPS) - 1)])

    def ended(self, outcome: Outcome) -> None:
        """The work is over; how it ended is still to be recorded."""
        self._ended_at, self._outcome = now_us(), outcome
        if isinstance(outcome, Retried) and not outcome.counts:
            self._tracer.hand_back(self._job.id)

    def recorded(self, status: JobStatus) -> None:
        self._status = status

    def close(self) -> None:
        """Tell the spans. Of an attempt whose end is not its own any more, who took the job back tells."""
        self._tracer.leave(self._token, self._job.id)
        marks = [self._started_at + round(stage["atMs"] * 1000) for stage in self._stages]
        # The marks are of another clock, which may be a little ahead.
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


_BITS = 64
"""Of a trace id that decide on its sampling: the last ones, as in OpenTelemetry's own sampler."""


class ActiveSpan(Protocol):
    """What is being done by a thread or a request."""

    @property
    def trace(self) -> str: ...

    @property
    def span(self) -> str:
        """The parent of what begins now."""
        ...


class SpanSink(Protocol):
    """Where spans go: must not block, nor fail."""

    def emit(self, span: Span) -> None: ...

    def close(self) -> None: ...


_active: ContextVar[ActiveSpan | None] = ContextVar("imagemill_place", default=None)


class RequestTrace:
    """The span of one HTTP request, from its making to `close`."""

    def __init__(self, emit: Callable[[Span], None], traceparent: str, parent: str | None) -> None:
        self._emit = emit
        self._parent = parent
        self._start = now_us()
        self.trace = spans.trace_of(traceparent)
        self.span = spans.span_of(traceparent)
        self._token = _active.set(self)

    def close(self, method: str, route: str, status: int | None) -> None:
        """``status``: None when there was no answer."""
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
    """The span of one try to deliver a callback or a webhook, from its making to `close`."""

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
        """``number``: of the try. ``error``: what went wrong, or None."""
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
    """The spans of one process. ``ratio``: of all traces, those that are told; each whole or not at all."""

    def __init__(self, sink: SpanSink, ratio: float, log: EventReader) -> None:
        self._sink = sink
        self._bound = round(ratio * (1 << _BITS))
        self._history = History(log, self.emit, self.samples)
        self._handed_back: set[str] = set()

    def samples(self, traceparent: str) -> bool:
        """By the trace's id alone, so that all processes decide alike."""
        return int(traceparent[19:35], 16) < self._bound

    def emit(self, span: Span) -> None:
        self._sink.emit(span)

    def request(self, traceparent: str, parent: str | None) -> RequestTrace | None:
        """``parent``: the caller's span. None: this trace is not told."""
        return RequestTrace(self.emit, traceparent, parent) if self.samples(traceparent) else None

    def attempt(self, job: Job, stages: Sequence[Mapping[str, Any]]) -> AttemptTrace | None:
        """An attempt was claimed. None: its trace is not told."""
        if not self.samples(job.trace):
            return None
        self._history.emit_queue(job)
        return AttemptTrace(self, job, stages)

    def blob(self, operation: str, result: str, seconds: float) -> None:
        """An operation of the blob store is over: a span, where it is part of one."""
        place = _active.get()
        if place is None:
            return
        end = now_us()
        name, error = f"blob {operation}", result if result == "error" else ""
        start, attributes = end - round(seconds * SECOND), {"imagemill.result": result}
        id_ = secrets.token_hex(8)
        self.emit(Span(name, place.trace, id_, place.span, start, end, Kind.CLIENT, attributes, error))

    def delivery(self, name: str, job: Job, event: EventType) -> DeliveryTrace | None:
        """A callback or webhook of the job is about to be sent. None: its trace is not told."""
        return DeliveryTrace(self.emit, name, job, event) if self.samples(job.trace) else None

    def changed(self, ended: Iterable[Job], others: Iterable[str], lost: Iterable[str]) -> None:
        """Of a commit: jobs as they are at their end, ids of further ones that ended, and ids of jobs that
        were taken back from their workers. Does not block."""
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
        """Its own worker gives it back, and tells of the attempt itself."""
        self._handed_back.add(job_id)

    def close(self) -> None:
        """Deliver what is there, within a bounded time."""
        self._history.close()
        self._sink.close()
