"""The interface of image transforms, which work on a render's picture before it is stored.

A transform decodes untrusted files from a node or a provider, so it runs in a confined process like every
decoder; see `imagemill.media.sandbox_child`. The server sends it there as a pickle; only data comes back.
"""

import base64
import pickle
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import MissingExtra
from imagemill.media.layout import InvalidImage

Role = Literal["picture", "thumbnail", "original"]


@dataclass(frozen=True, slots=True)
class TransformContext:
    """The facts about a finished render that a transform may use."""

    job_id: str
    attempt: int
    made_at: int
    """Start of the attempt, in microseconds since the epoch."""
    seed: int | None
    model: str
    """The checkpoint's AIR; empty if there is none."""
    owner_hash: str
    """Identifies the owner in keys of files."""
    simulated: bool = False
    """Whether the picture was drawn without a model, which its metadata must not claim."""

    @property
    def ms(self) -> int:
        """The start of the attempt, in milliseconds since the epoch."""
        return self.made_at // 1000


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file made of a render's picture."""

    data: bytes
    media_type: str
    width: int
    height: int
    role: Role = "picture"


class ImageTransform(Protocol):
    """Works on a picture. Picklable by name: a function or a frozen dataclass at module level."""

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        """At least one file, the picture first. Raises `InvalidImage`."""
        ...


def check_pixels(feature: str) -> None:
    """Raise `MissingExtra` without NumPy, which removing a background and measuring colours need."""
    MissingExtra.check("numpy", "pixels", feature)


def pack(transform: ImageTransform, context: TransformContext) -> str:
    return base64.b64encode(pickle.dumps((transform, context))).decode()


def run_packed(package: str, data: bytes) -> tuple[dict[str, Any], bytes]:
    """Run a transform in the confined process; return a head and the files, one after the other."""
    transform, context = pickle.loads(base64.b64decode(package))  # noqa: S301 - packed by our own server
    try:
        made: Sequence[OutputFile] = transform(data, context)
    except (InvalidImage, MissingExtra) as error:
        return {"refused": str(error)[:400]}, b""
    files = [
        {
            "type": each.media_type,
            "width": each.width,
            "height": each.height,
            "role": each.role,
            "size": len(each.data),
        }
        for each in made
    ]
    return {"files": files}, b"".join(each.data for each in made)


def unpack_files(head: dict[str, Any], body: bytes) -> tuple[OutputFile, ...]:
    """Read an answer of `run_packed`. Raises `InvalidImage`."""
    files: list[OutputFile] = []
    start = 0
    try:
        for each in head["files"]:
            end = start + int(each["size"])
            size = (int(each["width"]), int(each["height"]))
            files.append(OutputFile(body[start:end], str(each["type"]), *size, role=each["role"]))
            start = end
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidImage("could not be processed: the answer is malformed") from error
    if start != len(body) or not files:
        raise InvalidImage("could not be processed: the answer is incomplete")
    return tuple(files)
