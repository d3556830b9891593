"""Attempts at jobs in this process: how fast they start, their preparation, their stages and their ends."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, TypeVar

from pydantic import ValidationError

from imagemill.backends.base import Backend, Progress, RenderControl, RenderRequest
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.events import Stage
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.field_messages import field_message, field_path
from imagemill.domain.jobs import Claim, Failed, Job, JobStatus, Outcome, Retried
from imagemill.jobs import references
from imagemill.jobs.outputs import OutputChecks, OutputLimits
from imagemill.jobs.store.queries import View
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext
from imagemill.observability.tracing import AttemptTrace
from imagemill.recipes.base import Plan, PrepareContext, Prepared, Recipe
from imagemill.safety.gates import PromptGate

log = logging.getLogger(__name__)

MINUTE_S = 60.0
_T = TypeVar("_T")


class StartRateLimit:
    """A limit on the jobs that start within any minute. ``most`` None means no limit. Thread-safe."""

    def __init__(self, most: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._begun: deque[float] = deque()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Count a start and return True, or False when the limit is reached. Call `kept` afterwards."""
        if self._most is None:
            return True
        with self._lock:
            now = self._clock()
            while self._begun and self._begun[0] <= now - MINUTE_S:
                self._begun.popleft()
            if len(self._begun) >= self._most:
                return False
            self._begun.append(now)
            return True

    def kept(self, claim: _T | None) -> _T | None:
        """Return the claim unchanged; without one, take the counted start back."""
        if claim is None and self._most is not None:
            with self._lock:
                if self._begun:
                    self._begun.pop()
        return claim


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a runner besides the settings of jobs."""

    timeout_s: float
    """The longest time of an attempt in seconds."""
    limits: OutputLimits
    start_rate: StartRateLimit = field(default_factory=StartRateLimit)
    output_checks: OutputChecks | None = None
    previews: bool = False
    """Whether nodes are asked for preview frames."""


@dataclass(frozen=True, slots=True)
class SentRender:
    """The render of an attempt, which its backend has."""

    recipe: Recipe
    plan: Plan
    backend: Backend
    request: RenderRequest
    reference: str
    """The backend's own reference of the render."""


@dataclass(slots=True)
class Attempt:
    """An attempt while it runs in this process."""

    claim: Claim
    control: RenderControl
    started: float = field(default_factory=time.perf_counter)
    started_at: int = field(default_factory=now_us)
    """The same instant by the clock of spans: microseconds since the epoch."""
    stages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    progress: Progress | None = None
    details: Progress | None = None
    """The progress that was last written to the event log."""
    superseded: bool = False
    handed_back: bool = False
    trace: AttemptTrace | None = None
    sent: SentRender | None = None
    is_over: bool = False
    """Whether `imagemill.jobs.runner.Runner.end` was called for it."""
    prepared: dict[str, Any] = field(default_factory=dict[str, Any])
    """Details of how its input was prepared, for its events."""

    def hand_back(self, *, leave: bool) -> None:
        """Stop the render, or leave it running for the next attempt (``leave``).

        The job is queued again without counting a failure.
        """
        self.handed_back = True
        self.control.stop(detach=leave)

    def pass_stage(self, stage: Stage, number: int) -> None:
        elapsed_ms = (time.perf_counter() - self.started) * 1000
        since_ms = elapsed_ms - (self.stages[-1]["atMs"] if self.stages else 0.0)
        self.stages.append({"stage": stage.value, "atMs": round(elapsed_ms, 3), "ms": round(since_ms, 3)})
        if log.isEnabledFor(logging.DEBUG):
            log.debug("step %d/5 %s", number, stage.value, extra={"ms": round(since_ms, 1)})


def progress_update(attempt: Attempt) -> dict[str, Any] | None:
    progress = attempt.progress
    if progress is None or progress is attempt.details:
        return None
    done = {"step": progress.step, "total": progress.total, "progress": round(progress.fraction, 4)}
    return {"stage": attempt.stages[-1]["stage"], **done}


def retry_later(job: Job, failure: Failure, after_s: float, *, counts: bool = False) -> Retried:
    """Queue the job again at once for other nodes; its own node may claim it after ``after_s`` seconds."""
    until = now_us() + round(after_s * SECOND)
    return Retried(failure, run_after=None, avoid_node=job.node, avoid_until=until, counts=counts)


def handed_back(attempt: Attempt, reattach_s: float) -> Retried:
    """Queue the job again. For ``reattach_s`` seconds a render left running is reserved for its node."""
    failure = Failure(FailureCode.WORKER_LOST, "the worker was stopped and handed the job back")
    until = now_us() + round(reattach_s * SECOND) if attempt.control.detached else None
    return Retried(failure, run_after=None, avoid_until=until, counts=False)


def log_end(attempt: Attempt, outcome: Outcome, status: JobStatus) -> None:
    job = attempt.claim.job
    facts: dict[str, Any] = {
        "recipe": job.recipe,
        "node": job.node,
        "attempt": job.attempt,
        "ms": round((time.perf_counter() - attempt.started) * 1000, 1),
    }
    if isinstance(outcome, (Failed, Retried)):
        facts |= {"failure": outcome.failure.code.value, "why": outcome.failure.message}
        log.warning("attempt ended, job %s", status.value, extra=facts)
    else:
        log.info("job %s", status.value, extra=facts)


@dataclass(frozen=True, slots=True)
class Preparation:
    load_picture: Callable[[str], bytes]
    run_transform: Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]]
    gate: PromptGate
    views: Callable[[Iterable[str]], Mapping[str, View]]
    """Returns jobs with their outputs, by id."""

    def filled(self, job: Job, recipe: Recipe) -> Any:
        """Return the input with the outputs of other jobs that it refers to. Raises `BackendError`.

        Its texts are checked again, as they are only known now.
        """
        try:
            input_ = recipe.input.model_validate(references.fill(job, self.views))
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            message = f"{field_path(fault['loc'])}: {field_message(fault)}, in the output of another job"
            raise BackendError(FailureCode.BAD_INPUT, message) from error
        return self.gate.admit_again(recipe, input_, job)

    def of(self, job: Job, recipe: Recipe, input_: Any) -> Prepared:
        """Return the input as the recipe prepares it. Raises `BackendError`, also when a text is blocked."""
        if recipe.prepare is None:
            return Prepared(input_)
        is_bad = job.error is not None and job.error.code is FailureCode.BAD_OUTPUT
        bad_outputs = job.failures if is_bad else 0
        context = PrepareContext(job.owner, self.load_picture, self.run_transform, bad_outputs)
        ready = recipe.prepare(input_, context)
        return Prepared(self.gate.admit_again(recipe, ready.input, job), ready.details)


def prepared(preparation: Preparation | None, attempt: Attempt, recipe: Recipe) -> Any:
    """Return the prepared input of the attempt's job and add its details to the attempt.

    Raises `BackendError`.
    """
    job = attempt.claim.job
    if preparation is not None and references.KEY in job.client:
        input_ = preparation.filled(job, recipe)
    else:
        input_ = recipe.input.model_validate(job.input)
    if preparation is None or recipe.prepare is None:
        return input_
    ready = preparation.of(job, recipe, input_)
    attempt.prepared.update(ready.details)
    return ready.input
