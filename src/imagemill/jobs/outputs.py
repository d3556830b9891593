"""Store the outputs of a render: pictures are checked and labelled, other files stored as they are."""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Protocol

from imagemill.backends.base import Output, RenderCanceled, RenderControl
from imagemill.blobs.base import BlobStore, NewBlob
from imagemill.domain.blob_keys import artifact_id, blob_key, owner_folder, owner_hash
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError, Conflict, StorageError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import ImageSpec
from imagemill.domain.jobs import Artifact, Claim, Job
from imagemill.media import pictures
from imagemill.media.layout import InvalidImage
from imagemill.media.pictures import PictureInfo, extension_of
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext
from imagemill.recipes.base import Plan

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class OutputLimits:
    pixels: int
    bytes: int
    patience_s: float = 60.0
    """Seconds for which storing a finished render is retried while the blob store is unavailable."""
    files: int = 256
    """Most files of one render: ten seconds of a film, frame by frame. All are in memory at once."""
    all_pixels: int = 512 * 2**20
    """Most pixels of all its pictures together."""


def _nothing(job: Job, data: bytes, info: PictureInfo) -> Sequence[str]:
    del job, data, info
    return ()


def _transform_here(
    transform: ImageTransform, data: bytes, context: TransformContext
) -> Sequence[OutputFile]:
    return transform(data, context)


class Inspect(Protocol):
    def __call__(self, data: bytes, *, max_pixels: int) -> PictureInfo:
        """Decode a picture whole. Raises `imagemill.media.layout.InvalidImage`."""
        ...


@dataclass(frozen=True, slots=True)
class OutputChecks:
    """The checks of finished pictures before they are stored."""

    inspect: Inspect = pictures.inspect
    judge: Callable[[Job, bytes, PictureInfo], Sequence[str]] = _nothing
    """See `imagemill.safety.gates.PictureGate.judge`."""
    transform: Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]] = _transform_here
    """Applies a transform to a picture. Raises `imagemill.media.layout.InvalidImage`."""
    own: frozenset[str] = frozenset()
    """Backends that make pictures in this process; those are decoded in it, too, not in the sandbox."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """An output as it is stored."""

    data: bytes
    media_type: str
    width: int = 0
    height: int = 0
    """In pixels; 0 for a file that is not a picture."""
    key: str = ""
    """The key of its blob; empty for a file in the job's own folder."""
    seed: int | None = None

    @property
    def info(self) -> PictureInfo:
        return PictureInfo(self.media_type, self.width, self.height)


@dataclass(frozen=True, slots=True)
class CheckedOutputs:
    """The outputs of an attempt, checked and ready to be stored."""

    blobs: tuple[NewBlob, ...]
    artifacts: tuple[Artifact, ...]
    """Their rows, in the same order."""
    convert_ms: float
    """Milliseconds spent on checking the outputs and writing their metadata."""
    flags: tuple[str, ...]
    """The categories that classifiers flagged the pictures with."""
    flagged: tuple[int, ...]
    """The positions of the flagged pictures."""


def check(
    claim: Claim,
    plan: Plan,
    outputs: tuple[Output, ...],
    limits: OutputLimits,
    examination: "OutputChecks | None" = None,
) -> CheckedOutputs:
    """Check all outputs of a render. Raises `BackendError` for outputs that do not match the plan."""
    if len(outputs) > limits.files:
        raise BackendError(
            FailureCode.OUTPUT_LIMIT, f"{len(outputs)} files were delivered; at most {limits.files} are kept"
        )
    if len(outputs) < plan.outputs:
        raise BackendError(
            FailureCode.BAD_OUTPUT, f"{len(outputs)} pictures were delivered instead of {plan.outputs}"
        )
    seen = examination or OutputChecks()
    inspect = pictures.inspect if claim.job.backend in seen.own else seen.inspect
    begin = time.perf_counter()
    parameters = plan.parameters
    if claim.job.simulated and parameters:
        parameters = f"{parameters}, Simulated: yes"
    with pictures.PIXEL_WORK:
        ready = _all_prepared(plan, parameters, outputs, limits, inspect)
        flags = [seen.judge(claim.job, each.data, each.info) if each.width else () for each in ready]
    if plan.transform is not None:
        ready = [made for each in ready for made in _transformed(plan.transform, plan, claim.job, each, seen)]
    if plan.file_keys:
        ready = _with_keys(ready, plan, claim.job)
    artifacts = tuple(_artifact(claim, position, each) for position, each in enumerate(ready))
    return CheckedOutputs(
        tuple(
            NewBlob(artifact.blob_key, each.data, each.media_type)
            for artifact, each in zip(artifacts, ready, strict=True)
        ),
        artifacts,
        convert_ms=(time.perf_counter() - begin) * 1000,
        flags=tuple(sorted({flag for of_one in flags for flag in of_one})),
        flagged=tuple(position for position, of_one in enumerate(flags) if of_one),
    )


def store(blobs: BlobStore, checked: CheckedOutputs, patience_s: float, control: RenderControl) -> float:
    """Store the outputs; return the milliseconds that it took.

    While the blob store is unavailable writing is retried for ``patience_s`` seconds, since the render is
    made already; then `StorageError` is raised, or `RenderCanceled` when the job is stopped meanwhile.
    `BackendError` is raised for names that other outputs have.
    """
    begin, pause_s = time.perf_counter(), _FIRST_PAUSE_S
    patient_until = time.monotonic() + patience_s
    while True:
        try:
            blobs.create_all(checked.blobs)
        except Conflict as error:
            # An attempt of this number was undone, by a power loss or when the database was restored from a
            # backup. That is no failure of the job; the next attempt has other names.
            message = f"{error}: an attempt of this number was made before"
            raise BackendError(FailureCode.STORAGE, message, after_s=0.0, counts=False) from error
        except StorageError as error:
            if time.monotonic() + pause_s > patient_until:
                raise
            log.warning("writing to the blob store failed and is retried: %s", error)
        else:
            return (time.perf_counter() - begin) * 1000
        if control.wait(pause_s):
            raise RenderCanceled
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _transformed(
    transform: ImageTransform, plan: Plan, job: Job, ready: _Ready, seen: OutputChecks
) -> list[_Ready]:
    if not ready.width:
        return [ready]
    started_at = job.started_at or now_us()
    model = plan.work.model if isinstance(plan.work, ImageSpec) else ""
    context = TransformContext(
        job.id, job.attempt, started_at, ready.seed, model, owner_hash(job.owner), job.simulated
    )
    try:
        made = seen.transform(transform, ready.data, context)
    except InvalidImage as error:
        raise BackendError(FailureCode.BAD_OUTPUT, f"the picture {error}") from error
    keys = {role: _filled(template, job, started_at) for role, template in plan.keys.items()}
    return [
        _Ready(each.data, each.media_type, each.width, each.height, keys.get(each.role, ""), ready.seed)
        for each in made
    ]


def _with_keys(ready: list[_Ready], plan: Plan, job: Job) -> list[_Ready]:
    """Return the files with the keys that the plan gives to their positions."""
    started_at = job.started_at or now_us()
    keys = [_filled(template, job, started_at) for template in plan.file_keys]
    return [replace(each, key=key) if key else each for each, key in zip_longest(ready, keys[: len(ready)])]


def _filled(template: str, job: Job, started_at: int) -> str:
    """Return the blob key that a key of a plan stands for."""
    return template.format(ms=started_at // 1000, owner=owner_folder(job.owner))


def _all_prepared(
    plan: Plan, parameters: str, outputs: Sequence[Output], limits: OutputLimits, inspect: Inspect
) -> list[_Ready]:
    ready: list[_Ready] = []
    pixels = 0
    for position, output in enumerate(outputs):
        ready.append(_prepared(plan, parameters, position, output, limits, inspect))
        pixels += ready[-1].width * ready[-1].height
        if pixels > limits.all_pixels:
            raise BackendError(
                FailureCode.OUTPUT_LIMIT,
                f"{len(outputs)} pictures were delivered, and {position + 1} of them have {pixels} pixels; "
                f"at most {limits.all_pixels} are kept",
            )
    return ready


def _prepared(
    plan: Plan, parameters: str, position: int, output: Output, limits: OutputLimits, inspect: Inspect
) -> _Ready:
    if len(output.data) > limits.bytes:
        raise BackendError(
            FailureCode.OUTPUT_LIMIT,
            f"file {position} has {len(output.data)} bytes; at most {limits.bytes} are kept",
        )
    if output.media_type not in pictures.EXTENSIONS:
        return _Ready(output.data, output.media_type, seed=output.seed)
    try:
        info = inspect(output.data, max_pixels=limits.pixels)
    except InvalidImage as error:
        raise BackendError(FailureCode.BAD_OUTPUT, f"picture {position}: {error}") from error
    if plan.size and (info.width, info.height) != plan.size:
        raise BackendError(
            FailureCode.BAD_OUTPUT,
            f"picture {position} is {info.width} x {info.height}, not {plan.size[0]} x {plan.size[1]}",
        )
    data = output.data
    if parameters and info.media_type == "image/png":
        data = pictures.with_png_text(data, "parameters", parameters)
    return _Ready(data, info.media_type, info.width, info.height, seed=output.seed)


def _artifact(claim: Claim, position: int, ready: _Ready) -> Artifact:
    return Artifact(
        id=artifact_id(claim.id, position),
        job_id=claim.id,
        position=position,
        attempt=claim.attempt,
        blob_key=ready.key or blob_key(claim.id, claim.attempt, position, extension_of(ready.media_type)),
        media_type=ready.media_type,
        size=len(ready.data),
        width=ready.width,
        height=ready.height,
        sha256=hashlib.sha256(ready.data).hexdigest(),
        seed=ready.seed,
        created_at=now_us(),
    )
