"""Crop the part of an illustration around a face for a node, and put the node's picture back."""

from collections.abc import Sequence

from imagemill.domain.dataclass import dataclass
from imagemill.media.transforms import OutputFile, TransformContext
from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import CropBox, FaceTarget, Size, check_faces

_FEATURE = "putting faces onto pages"


def face_box(base: bytes, target: FaceTarget) -> Box:
    """Return the box of a target's face, also of one that has a mask or nothing. Raises `InvalidImage`."""
    check_faces(_FEATURE)
    from imagemill.products.books.identity.masks import face_area
    from imagemill.products.books.identity.rasters import read_pixels

    page = read_pixels(base)
    return face_area(page, target).frame.box(page.shape[1], page.shape[0])


def crop_for(base: bytes, box: Box, side: int) -> tuple[bytes, CropBox]:
    """Return the square around a face as a PNG of ``side`` pixels, and its place. Raises `InvalidImage`."""
    check_faces(_FEATURE)
    from imagemill.products.books.identity import crops

    left, top, length, picture, part = crops.cut(base, box, side)
    return part, CropBox(left, top, length, picture)


def crop_mask(base: bytes, target: FaceTarget, crop: CropBox, side: int) -> bytes:
    """Return the target's feathered mask within the crop, as a grey PNG of ``side`` pixels."""
    check_faces(_FEATURE)
    from imagemill.products.books.identity import crops

    return crops.cut_mask(base, target, crop, side)


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
        check_faces(_FEATURE)
        from imagemill.products.books.identity import crops, rasters

        page = rasters.resized(rasters.read_pixels(self.base), self.size)
        painted = crops.paste(page, rasters.read_pixels(data), self.crop, self.target)
        picture = rasters.write_jpeg(painted, self.quality, dpi=rasters.PRINT_DPI)
        return (OutputFile(picture, "image/jpeg", *self.size),)
