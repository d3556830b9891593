"""The interface of a task of the built-in backend: what it gets and what it returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from imagemill.backends.base import Output, RenderRequest
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.language.chat import LlmClient
from imagemill.media.layout import InvalidImage
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext


@dataclass(frozen=True, slots=True)
class TaskServices:
    """The services of the process that tasks use."""

    run_transform: Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]]
    load_input: Callable[[str], bytes]
    text_model: LlmClient | None = None
    vision_model: LlmClient | None = None
    cutout_model: Path | None = None
    """ONNX file of a model that removes backgrounds."""


@dataclass(frozen=True, slots=True)
class TaskCall:
    """One run of a task."""

    request: RenderRequest
    arguments: Mapping[str, Any]
    services: TaskServices
    check: Callable[[], None]
    """Raises `imagemill.backends.base.RenderCanceled` once the task should stop."""

    @property
    def picture(self) -> bytes:
        return self.request.inputs["image"]

    def transform(self, transform: ImageTransform, data: bytes) -> Sequence[OutputFile]:
        """Run a transform in a confined process. Raises `BackendError` for a picture that it refuses."""
        request = self.request
        context = TransformContext(request.job_id, request.attempt, now_us(), None, "", "")
        try:
            return self.services.run_transform(transform, data, context)
        except InvalidImage as error:
            raise BackendError(FailureCode.BACKEND_REJECTED, f"the picture {error}") from error


@dataclass(frozen=True, slots=True)
class TaskResult:
    outputs: tuple[Output, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The JSON output; empty if the task only delivers files."""


def _nothing(services: TaskServices, arguments: Mapping[str, Any]) -> str | None:
    del services, arguments
    return None


@dataclass(frozen=True, slots=True)
class Task:
    run: Callable[[TaskCall], TaskResult]
    """Raises `BackendError`, `imagemill.language.chat.LlmFailed` and `imagemill.media.sandbox.DecodersBusy`.
    """
    missing: Callable[[TaskServices, Mapping[str, Any]], str | None] = _nothing
    """Returns what this installation lacks for a task with these arguments, in a sentence; None if nothing.
    """
