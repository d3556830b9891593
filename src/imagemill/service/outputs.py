"""Keep what a render delivered: pictures are checked and labelled, other files passed through."""

import hashlib
import time
from dataclasses import dataclass

from imagemill.backends.base import Output
from imagemill.blobs.base import BlobStore
from imagemill.domain.blobs import artifact_id, blob_key
from imagemill.domain.clock import now_us
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import Artifact, Claim
from imagemill.media import pictures
from imagemill.media.files import extension_of
from imagemill.recipes.base import Plan


@dataclass(frozen=True, slots=True)
class OutputLimits:
    pixels: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Kept:
    artifacts: tuple[Artifact, ...]
    convert_ms: float
    """Spent on checking the outputs and writing their metadata."""
    upload_ms: float
    """Spent on handing them to the blob store."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """An output as it is stored."""

    data: bytes
    media_type: str
    width: int = 0
    height: int = 0
    """Pixels; 0 for what is no picture."""


def keep(
    blobs: BlobStore, claim: Claim, plan: Plan, outputs: tuple[Output, ...], limits: OutputLimits
) -> Kept:
    """Raises `BackendError` for what is not as it was ordered, before anything is stored."""
    if len(outputs) < plan.outputs:
        raise BackendError(
            FailureCode.BAD_OUTPUT, f"{len(outputs)} pictures were delivered, {plan.outputs} were due"
        )
    begin = time.perf_counter()
    with pictures.CRAFT:
        ready = [_prepared(plan, position, output, limits) for position, output in enumerate(outputs)]
    converted = time.perf_counter()
    artifacts = tuple(
        _stored(blobs, claim, position, output, each)
        for position, (output, each) in enumerate(zip(outputs, ready, strict=True))
    )
    stored = time.perf_counter()
    return Kept(artifacts, (converted - begin) * 1000, (stored - converted) * 1000)


def _prepared(plan: Plan, position: int, output: Output, limits: OutputLimits) -> _Ready:
    if len(output.data) > limits.bytes:
        raise BackendError(
            FailureCode.BAD_OUTPUT,
            f"file {position} has {len(output.data)} bytes; at most {limits.bytes} are kept",
        )
    if output.media_type not in pictures.EXTENSIONS:
        return _Ready(output.data, output.media_type)
    try:
        info = pictures.inspect(output.data, max_pixels=limits.pixels)
    except pictures.BadPicture as error:
        raise BackendError(FailureCode.BAD_OUTPUT, f"picture {position}: {error}") from error
    if plan.size and (info.width, info.height) != plan.size:
        raise BackendError(
            FailureCode.BAD_OUTPUT,
            f"picture {position} is {info.width} x {info.height}, not {plan.size[0]} x {plan.size[1]}",
        )
    data = output.data
    if plan.parameters and info.media_type == "image/png":
        data = pictures.with_png_text(data, "parameters", plan.parameters)
    return _Ready(data, info.media_type, info.width, info.height)


def _stored(blobs: BlobStore, claim: Claim, position: int, output: Output, ready: _Ready) -> Artifact:
    key = blob_key(claim.id, claim.attempt, position, extension_of(ready.media_type))
    blobs.put(key, ready.data, ready.media_type)
    return Artifact(
        id=artifact_id(claim.id, position),
        job_id=claim.id,
        position=position,
        attempt=claim.attempt,
        blob_key=key,
        media_type=ready.media_type,
        size=len(ready.data),
        width=ready.width,
        height=ready.height,
        sha256=hashlib.sha256(ready.data).hexdigest(),
        seed=output.seed,
        created_at=now_us(),
    )
