"""The data that the ways of putting a face onto a page have in common, and their interface."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from imagemill.media.transforms import ImageTransform
from imagemill.products.books.book_manifest import Box, TransferMode

Size = tuple[int, int]
"""Width and height in pixels."""

FACE_INPUT = "face."
"""Prefix of the inputs with crops of faces: ``face.`` and the character's id."""


@dataclass(frozen=True, slots=True)
class FaceTarget:
    """A place in an illustration where a character's face belongs.

    A reference sheet has several of one character.
    """

    character: str
    mask: bytes | None = None
    """A picture of any size, white where the face may change; None means that it is made from the box."""
    box: Box | None = None
    """The face from hair line to chin, and from ear to ear; None means that it is found."""
    tilt: float = 0.0
    """Degrees by which the head leans to the right."""


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """Everything that a picture with faces is made of."""

    base: bytes
    """The illustration."""
    targets: tuple[FaceTarget, ...]
    faces: Mapping[str, bytes]
    """Character id -> the crop of the face that the analysis of the photo made."""
    size: Size
    """Size of the picture at print resolution."""
    seed: int
    reference: bytes | None = None
    """The approved reference sheet; None while the sheet itself is made."""
    prompt: str = ""
    negative_prompt: str = ""


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """The work that makes a picture."""

    work: Any
    """An `ImageSpec`, a `GraphSpec`, or the `PageWork` of a `PageSpec`."""
    data: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """The pictures that the work reads, by the name of the input."""
    transform: ImageTransform | None = None
    """Works on the picture that a node has made."""


class IdentityMode(Protocol):
    """A way of putting faces onto a page."""

    @property
    def name(self) -> TransferMode: ...

    def plan(self, request: PictureRequest) -> PicturePlan:
        """Return the work that makes the picture at print size. The seed changes the picture visibly."""
        ...
