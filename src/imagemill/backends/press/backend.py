"""The backend of page work: each worker process runs it in child processes, one a core."""

import logging
import os
import pickle
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagemill.backends.base import (
    BackendContext,
    Node,
    Output,
    Progress,
    RenderCanceled,
    RenderControl,
    RenderRequest,
    RenderResult,
    output_details,
)
from imagemill.backends.press.pool import Answer, Order, PressPool
from imagemill.domain.errors import BackendError
from imagemill.domain.events import Stage
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import PageSpec, RenderSpec, TaskSpec
from imagemill.domain.scheduling import RENDER

if TYPE_CHECKING:
    from imagemill.config import Settings

log = logging.getLogger(__name__)

NAME = "press"


def build(settings: "Settings", context: BackendContext) -> "Press":
    """The factory of this backend."""
    return Press(settings.press.slots or os.cpu_count() or 1, suffix=context.suffix)


class Press:
    """An `imagemill.backends.base.Backend` of page work."""

    def __init__(self, slots: int, *, suffix: str = "") -> None:
        self.pool = PressPool(slots)
        self._node = Node(
            name=f"{NAME}.{suffix}" if suffix else NAME,
            backend=NAME,
            queues=frozenset({RENDER}),
            slots=slots,
            available=frozenset[str](),
            load_s=0.0,
            runs="pages",
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
        match work:
            case PageSpec():
                return None
            case TaskSpec():
                return f"the press does not run {work.title}"
            case _:
                return "the press renders no pictures and no graphs"

    def requirements(self, work: RenderSpec) -> tuple[str, ...]:
        """Always empty, as all workers do the same page work."""
        del work
        return ()

    def validate_hints(self, properties: Mapping[str, Any]) -> str | None:
        """Always None, as this backend has no hints."""
        del properties
        return None

    def send(self, request: RenderRequest) -> str:
        """Check the request; the work is done by `follow`."""
        self._spec_of(request)
        return request.reference

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        """Have a child process do the work. The process is killed when the work is stopped or late."""
        del reference
        spec = self._spec_of(request)
        end = time.monotonic() + request.timeout_s

        def check() -> None:
            if control.stopped:
                raise RenderCanceled
            if time.monotonic() >= end:
                raise BackendError(
                    FailureCode.TIMEOUT, f"{spec.title} took longer than {request.timeout_s:g} s"
                )

        check()
        progress = _PageProgress(spec, control)
        order = Order(
            spec.title, pickle.dumps(spec.work), request.inputs, request.timeout_s, request.leaves_nothing
        )
        answer = self.pool.run(order, check, progress.report)
        result = _result(spec, answer)
        progress.complete()
        return result

    def close(self) -> None:
        self.pool.close()

    def _spec_of(self, request: RenderRequest) -> PageSpec:
        work = request.work
        if request.node != self._node.name:
            raise BackendError(FailureCode.NODE_LOST, f"{request.node} is not this process")
        if not isinstance(work, PageSpec):
            raise BackendError(FailureCode.INVALID_GRAPH, str(self.unsupported_reason(work)))
        return work


class _PageProgress:
    """The progress of work by its pages; it never falls, whatever the work reports."""

    def __init__(self, spec: PageSpec, control: RenderControl) -> None:
        self._control = control
        self._last = Progress(0, max(1, spec.pages), note=spec.name)
        control.progress(self._last)

    def report(self, done: int, total: int, note: str) -> None:
        reported = Progress(max(0, done), max(1, total), note=note or self._last.note)
        if reported.fraction >= self._last.fraction:
            self._last = reported
            self._control.progress(reported)

    def complete(self) -> None:
        total = self._last.total
        self._control.progress(Progress(total, total, note=self._last.note))


def _result(spec: PageSpec, answer: Answer) -> RenderResult:
    """Return what the process made. Raises `BackendError` for a failure of the work."""
    match answer.head:
        case {"failed": [code, message, after_s, counts]}:
            raise BackendError(FailureCode(code), message, after_s=after_s, counts=counts)
        case {"bug": trace}:
            log.error("a bug in %s:\n%s", spec.title, trace)
            raise BackendError(
                FailureCode.BUG, f"a bug in {spec.title} ended the attempt; the server's log has more"
            )
        case _:
            pass
    values: Mapping[str, Any] = answer.head["values"]
    files = zip(answer.head["types"], answer.files, strict=True)
    details = {"work": spec.name, **output_details(spec.name, values)}
    return RenderResult(tuple(Output(data, media_type) for media_type, data in files), details)
