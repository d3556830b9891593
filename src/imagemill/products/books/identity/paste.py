"""Crop the part of an illustration around a face for a node, and put the node's picture back."""

from collections.abc import Sequence
from dataclasses import dataclass

from imagemill.media.transforms import OutputFile, TransformContext
from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import FaceTarget, Size


@dataclass(frozen=True, slots=True)
class CropBox:
    """A square of a picture, in pixels of the picture that it was cut from."""

    left: int
    top: int
    side: int
    picture: Size


def crop_for(base: bytes, box: Box, side: int) -> tuple[bytes, CropBox]:
    """Return the square around a face as a PNG of ``side`` pixels, and its place in the illustration."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class PasteBack:
    """Put a node's picture of a crop back into the illustration, at print size.

    Nothing outside the feathered mask of the target changes. Makes a JPEG like `TransferFaces`.
    """

    base: bytes
    crop: CropBox
    target: FaceTarget
    size: Size
    quality: int = 95

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        raise NotImplementedError
