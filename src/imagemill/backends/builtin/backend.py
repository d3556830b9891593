"""The built-in backend: each worker process runs tasks, on the CPU or with a language model."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagemill.backends.base import (
    BackendContext,
    Node,
    Progress,
    RenderCanceled,
    RenderControl,
    RenderRequest,
    RenderResult,
    output_details,
)
from imagemill.backends.builtin.calls import Task, TaskCall, TaskResult, TaskServices
from imagemill.backends.builtin.handlers import TASKS
from imagemill.backends.checked_call import CheckedCall
from imagemill.domain import scheduling
from imagemill.domain.errors import BackendError
from imagemill.domain.events import Stage
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import PageSpec, RenderSpec, TaskSpec
from imagemill.language.chat import LlmFailed, LlmRefused, open_client
from imagemill.media.sandbox import DecodersBusy

if TYPE_CHECKING:
    from imagemill.config import Settings

NAME = "builtin"
MOST_SLOTS = 8
"""Most tasks of a process at once: those that wait for a language model use no CPU."""


def build(settings: "Settings", context: BackendContext) -> "Builtin":
    """The factory of this backend."""
    language = settings.language_model
    services = TaskServices(
        context.run_transform,
        context.load_input,
        open_client(language.base_url, language.model, language.limits),
        open_client(language.base_url, language.vision_model, language.limits),
        # A product of its own may be absent.
        getattr(getattr(settings, "characters", None), "cutout_model", None),
    )
    return Builtin(services, suffix=context.suffix)


class Builtin:
    """An `imagemill.backends.base.Backend` of the tasks that ``tasks`` has by name."""

    def __init__(
        self, services: TaskServices, *, suffix: str = "", tasks: Mapping[str, Task] = TASKS
    ) -> None:
        self._services = services
        self._tasks = tasks
        self._node = Node(
            name=f"{NAME}.{suffix}" if suffix else NAME,
            backend=NAME,
            queues=frozenset({scheduling.TASKS}),
            slots=min(MOST_SLOTS, 2 * (os.cpu_count() or 1)),
            available=frozenset[str](),
            load_s=0.0,
            runs="tasks",
        )

    @property
    def name(self) -> str:
        return NAME

    @property
    def survives_worker(self) -> bool:
        return False

    @property
    def stage_names(self) -> tuple[Stage, Stage]:
        return Stage.SENT_TO_BACKEND, Stage.BACKEND_RESULT

    @property
    def renders_in_process(self) -> bool:
        """False, as its pictures are made of files of clients: they are inspected like foreign ones."""
        return False

    def nodes(self) -> Sequence[Node]:
        return (self._node,)

    def unsupported_reason(self, work: RenderSpec) -> str | None:
        if isinstance(work, PageSpec):
            return f"the runner of tasks does not run {work.title}"
        if not isinstance(work, TaskSpec):
            return "the server itself renders no pictures and no graphs"
        task = self._tasks.get(work.task)
        if task is None:
            return f"there is no task {work.task}; there are {', '.join(sorted(self._tasks))}"
        return task.missing(self._services, work.arguments)

    def requirements(self, work: RenderSpec) -> tuple[str, ...]:
        """Always empty, as all workers run the same tasks."""
        del work
        return ()

    def validate_hints(self, properties: Mapping[str, Any]) -> str | None:
        """Always None, as this backend has no hints."""
        del properties
        return None

    def send(self, request: RenderRequest) -> str:
        """Check the request; the task is run by `follow`."""
        self._task_of(request)
        return request.reference

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        """Run the task in a thread of its own, which is left to its end when the task is stopped or late."""
        del reference
        task, work = self._task_of(request)
        end = time.monotonic() + request.timeout_s

        def check() -> None:
            if control.stopped:
                raise RenderCanceled
            if time.monotonic() >= end:
                raise BackendError(
                    FailureCode.TIMEOUT, f"the task {work.task} took longer than {request.timeout_s:g} s"
                )

        check()
        control.progress(Progress(0, 1, note=work.task))
        call = TaskCall(request, work.arguments, self._services, check)
        try:
            result = CheckedCall(lambda: task.run(call), name="imagemill-task").wait(check)
        except (LlmFailed, DecodersBusy) as error:
            raise _translated(error) from error
        details = _details(work, result)
        control.progress(Progress(1, 1, note=work.task))
        return RenderResult(result.outputs, details)

    def close(self) -> None:
        """Close the connections to language models; a running task ends by its own limits."""
        for model in (self._services.text_model, self._services.vision_model):
            if model is not None:
                model.close()

    def _task_of(self, request: RenderRequest) -> tuple[Task, TaskSpec]:
        work = request.work
        if request.node != self._node.name:
            raise BackendError(FailureCode.NODE_LOST, f"{request.node} is not this process")
        if not isinstance(work, TaskSpec) or (task := self._tasks.get(work.task)) is None:
            raise BackendError(FailureCode.INVALID_GRAPH, str(self.unsupported_reason(work)))
        return task, work


def _translated(error: LlmFailed | DecodersBusy) -> BackendError:
    match error:
        case LlmRefused():
            return BackendError(FailureCode.BACKEND_REJECTED, str(error))
        case LlmFailed():
            return BackendError(FailureCode.BACKEND_UNAVAILABLE, str(error), after_s=error.after_s)
        case DecodersBusy():
            return BackendError(FailureCode.BACKEND_UNAVAILABLE, str(error))


def _details(work: TaskSpec, result: TaskResult) -> Mapping[str, Any]:
    return {"task": work.task, **output_details(work.task, result.values)}
