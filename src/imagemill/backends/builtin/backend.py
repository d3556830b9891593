"""The built-in backend: each worker process runs tasks, on the CPU or with a language model."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagemill.backends.base import (
    OUTPUT,
    BackendContext,
    Node,
    Progress,
    RenderCanceled,
    RenderControl,
    RenderRequest,
    RenderResult,
)
from imagemill.backends.builtin.calls import Task, TaskCall, TaskResult, TaskServices
from imagemill.backends.builtin.handlers import TASKS
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
MOST_VALUES = 64 * 1024
"""Largest JSON output of a task in bytes, as it is kept in the job's event log."""
_POLL_S = 0.05
"""Seconds between two checks of whether a running task should stop."""


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
        result = _Run(lambda: task.run(call)).wait(check)
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


class _Run:
    """A task in a thread, whose end can be awaited together with something else."""

    def __init__(self, run: Callable[[], TaskResult]) -> None:
        self._run = run
        self._done = threading.Event()
        self._result: TaskResult | BaseException = TaskResult()
        threading.Thread(target=self._work, name="imagemill-task", daemon=True).start()

    def wait(self, check: Callable[[], None]) -> TaskResult:
        """Return the result once there is one; ``check`` is called meanwhile and may raise."""
        while not self._done.wait(_POLL_S):
            check()
        match self._result:
            case DecodersBusy() as error:
                raise BackendError(FailureCode.BACKEND_UNAVAILABLE, str(error)) from error
            case LlmRefused() as error:
                raise BackendError(FailureCode.BACKEND_REJECTED, str(error)) from error
            case LlmFailed() as error:
                code = FailureCode.BACKEND_UNAVAILABLE
                raise BackendError(code, str(error), after_s=error.after_s) from error
            case BaseException() as error:
                raise error
            case TaskResult() as result:
                return result

    def _work(self) -> None:
        try:
            self._result = self._run()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._result = error
        self._done.set()


def _details(work: TaskSpec, result: TaskResult) -> Mapping[str, Any]:
    """Return the details of a result. Raises `BackendError` for values that are too large to be kept."""
    if not result.values:
        return {"task": work.task}
    size = len(json.dumps(result.values, ensure_ascii=False).encode("utf-8", "replace"))
    if size > MOST_VALUES:
        raise BackendError(
            FailureCode.OUTPUT_LIMIT,
            f"the output of {work.task} has {size} bytes; at most {MOST_VALUES} are kept",
        )
    return {"task": work.task, OUTPUT: dict(result.values)}
