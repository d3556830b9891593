"""The tasks of the built-in backend, by name, and what they get and return."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagemill.backends.base import Output, RenderRequest
from imagemill.domain.clock import now_us
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.media.conversion import Conversion
from imagemill.media.layout import InvalidImage
from imagemill.media.pictures import EXTENSIONS, UNKNOWN
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext

_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
"""First bytes of the pictures that are accepted."""


@dataclass(frozen=True, slots=True)
class TaskServices:
    """The services of the process that tasks use."""

    run_transform: Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]]
    load_input: Callable[[str], bytes]


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


Task = Callable[[TaskCall], TaskResult]


def _echo(call: TaskCall) -> TaskResult:
    return TaskResult(values={"message": call.arguments["message"]})


def _upload(call: TaskCall) -> TaskResult:
    """Deliver the picture as it is: it was checked when it was loaded."""
    media_type = next(
        (name for first, name in _SIGNATURES.items() if call.picture.startswith(first)), UNKNOWN
    )
    if media_type not in EXTENSIONS:
        raise BackendError(FailureCode.BACKEND_REJECTED, "the file is not a PNG, JPEG or WebP")
    return TaskResult((Output(call.picture, media_type),))


def _pixels(build: Callable[[Mapping[str, Any]], ImageTransform]) -> Task:
    """Return the task of a transform that makes a picture of the picture."""

    def run(call: TaskCall) -> TaskResult:
        made = call.transform(build(call.arguments), call.picture)
        return TaskResult(tuple(Output(each.data, each.media_type) for each in made))

    return run


TASKS: Mapping[str, Task] = {
    "convertImage": _pixels(Conversion.from_arguments),
    "echo": _echo,
    "imageUpload": _upload,
}
