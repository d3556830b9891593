"""Thumbnails of finished pictures, and contact sheets of them, as transforms for the confined process."""

from collections.abc import Sequence

from imagemill.domain.dataclass import dataclass
from imagemill.media.contact_sheet import Tile, draw
from imagemill.media.encoding import MEDIA_TYPE, encode_webp, open_checked, thumbnail
from imagemill.media.layout import InvalidImage
from imagemill.media.transforms import OutputFile, TransformContext

_QUALITY = 80


@dataclass(frozen=True, slots=True)
class ShrinkPicture:
    """Make a WebP whose longer side is ``longest`` pixels; a smaller picture keeps its size."""

    longest: int
    max_pixels: int

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        del context
        small = thumbnail(open_checked(data, self.max_pixels), self.longest)
        encoded = encode_webp(small, quality=_QUALITY)
        return (OutputFile(encoded.data, MEDIA_TYPE, small.width, small.height, "thumbnail"),)


@dataclass(frozen=True, slots=True)
class DrawSheet:
    """Draw a contact sheet of the thumbnails that the data holds one after the other.

    ``sizes``: bytes of each, 0 for one that is missing; ``lines``: the text below each.
    """

    sizes: tuple[int, ...]
    lines: tuple[tuple[str, ...], ...]
    title: str
    columns: int

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        del context
        tiles: list[Tile] = []
        start = 0
        for size, lines in zip(self.sizes, self.lines, strict=True):
            tiles.append(Tile(data[start : start + size], lines))
            start += size
        try:
            sheet = draw(tiles, self.title, columns=self.columns)
        except ValueError as error:
            raise InvalidImage(str(error)) from error
        return (OutputFile(sheet, "image/png", 0, 0),)
