"""What is made of a render's picture before it is kept: a craft, run in a confined process of its own.

A craft decodes what a node or a provider sent, so it is as dangerous as any decoder; see
`imagemill.media.sandbox_child`. It is sent there as a pickle, by us; what comes back is data only.
"""

import base64
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from imagemill.domain.errors import MissingExtra
from imagemill.media.layout import InvalidImage

Role = Literal["picture", "thumbnail", "original"]


@dataclass(frozen=True, slots=True)
class TransformContext:
    """What is known when a render is finished."""

    job_id: str
    attempt: int
    made_at: int
    """Start of the attempt: microseconds since the epoch."""
    seed: int | None
    model: str
    """The checkpoint's AIR; empty: none."""
    owner_hash: str
    """Stands for the owner in keys of files."""

    @property
    def ms(self) -> int:
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
    """Picklable by name: a function of a module, or a frozen dataclass of one."""

    def __call__(self, data: bytes, facts: TransformContext) -> Sequence[OutputFile]:
        """At least one file, the picture first. Raises `InvalidImage`."""
        ...


def check_pixels(feature: str) -> None:
    """Raise `MissingExtra` without NumPy, which removing a background and measuring colours need."""
    MissingExtra.check("numpy", "pixels", feature)


def packed(transform: ImageTransform, facts: TransformContext) -> str:
    return base64.b64encode(pickle.dumps((transform, facts))).decode()


def run_packed(package: str, data: bytes) -> tuple[dict[str, Any], bytes]:
    """In the confined process: what the craft makes, as a head and the files one after the other."""
    transform, facts = pickle.loads(base64.b64decode(package))  # noqa: S301 - packed by our own server
    try:
        made: Sequence[OutputFile] = transform(data, facts)
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


def unpacked(head: dict[str, Any], body: bytes) -> tuple[OutputFile, ...]:
    """Raises `InvalidImage` for what is no answer of `perform`."""
    files: list[OutputFile] = []
    start = 0
    try:
        for each in head["files"]:
            end = start + int(each["size"])
            size = (int(each["width"]), int(each["height"]))
            files.append(OutputFile(body[start:end], str(each["type"]), *size, role=each["role"]))
            start = end
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidImage("could not be worked on: the answer makes no sense") from error
    if start != len(body) or not files:
        raise InvalidImage("could not be worked on: the answer is incomplete")
    return tuple(files)
