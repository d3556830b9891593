"""Blurred shadows of text: pictures beneath the vector text, since a PDF has no blur."""

from PIL import Image, ImageFilter

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.layout.frames import Rect
from imagemill.products.books.layout.typesetter import PX_PER_POINT, MeasuredBlock


@dataclass(frozen=True, slots=True)
class ShadowPicture:
    mask: Image.Image
    """Coverage, mode L."""
    colour: str
    box: Rect
    """Its place on the sheet."""


def cast_shadow(block: MeasuredBlock) -> ShadowPicture | None:
    """Return the shadow of a block's letters; None if it has none."""
    shadow = block.block.style.shadow
    if shadow is None:
        return None
    # As in CSS, the blur is twice the standard deviation.
    mask = block.ink.filter(ImageFilter.GaussianBlur(shadow.blur / 2 * PX_PER_POINT))
    bounds = mask.getbbox()
    if bounds is None:
        return None
    left, top, right, bottom = (edge / PX_PER_POINT for edge in bounds)
    at = (block.ink_at[0] + shadow.x, block.ink_at[1] + shadow.y)
    return ShadowPicture(
        mask.crop(bounds), shadow.colour, Rect(at[0] + left, at[1] + top, right - left, bottom - top)
    )
