"""The spans of one attempt, made of the stages it passed."""

from collections.abc import Mapping, Sequence
from contextvars import Token
from typing import TYPE_CHECKING, Any

from imagemill.domain.clock import now_us
from imagemill.domain.jobs import Canceled, Failed, Job, JobStatus, Outcome, Retried, Succeeded
from imagemill.tracing import spans
from imagemill.tracing.spans import Kind, Span, Value

if TYPE_CHECKING:
    from imagemill.tracing.tracer import Place, Tracer

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
        self._began = now_us()
        self._over = 0
        self._outcome: Outcome | None = None
        self._status: JobStatus | None = None
        self._trace = spans.trace_of(job.trace)
        self._id = spans.of_attempt(job.id, job.attempt)
        self._token: Token[Place | None] = tracer.enter(self)
        self._emit("claim", job.started_at or self._began, self._began)

    @property
    def trace(self) -> str:
        return self._trace

    @property
    def span(self) -> str:
        """The id of the step that is under way."""
        return self._of_step(_STEPS[min(max(len(self._stages) - 1, 0), len(_STEPS) - 1)])

    def ended(self, outcome: Outcome) -> None:
        """The work is over; how it ended is still to be recorded."""
        self._over, self._outcome = now_us(), outcome
        if isinstance(outcome, Retried) and not outcome.counts:
            self._tracer.hand_back(self._job.id)

    def recorded(self, status: JobStatus) -> None:
        self._status = status

    def close(self) -> None:
        """Tell the spans. Of an attempt whose end is not its own any more, who took the job back tells."""
        self._tracer.leave(self._token, self._job.id)
        marks = [self._began + round(stage["atMs"] * 1000) for stage in self._stages]
        # The marks are of another clock, which may be a little ahead.
        over = max([self._over or now_us(), *marks])
        now = max(now_us(), over)
        error = self._error()
        for step, start, end in zip(_STEPS, marks, [*marks[1:], over], strict=False):
            whole = len(marks) > _STEPS.index(step) + 1
            self._emit(step, start, end if whole else over, "" if whole else error)
        self._emit("finish", over, now, "" if self._status else "unrecorded")
        if self._status is not None:
            self._tell(now, error, self._status)

    def _error(self) -> str:
        outcome = self._outcome
        if outcome is None:
            return "bug"
        return outcome.failure.code.value if isinstance(outcome, (Failed, Retried)) else ""

    def _tell(self, now: int, error: str, status: JobStatus) -> None:
        job = self._job
        attributes: dict[str, Value] = {
            **spans.facts(job),
            **spans.places(job.worker, job.node, job.backend, job.reason),
            "imagemill.attempt": job.attempt,
            "imagemill.end": _ENDS[type(self._outcome)] if self._outcome else "",
            "imagemill.job.status": status.value,
        }
        start = job.started_at or self._began
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
        return spans.derived(self._job.id, self._job.attempt, step)

    def _emit(self, step: str, start: int, end: int, error: str = "") -> None:
        kind = Kind.CLIENT if step in ("send", "follow") else Kind.INTERNAL
        attributes = spans.facts(self._job)
        if kind is Kind.CLIENT:
            attributes |= {
                "imagemill.node": self._job.node or "",
                "imagemill.backend": self._job.backend or "",
            }
        self._tracer.emit(
            Span(step, self._trace, self._of_step(step), self._id, start, end, kind, attributes, error)
        )
