"""Two Pillow operations, typed."""

from collections.abc import Sequence

from PIL import Image

# Pillow's signatures of these name NumPy types, which a checker cannot know where NumPy is not installed.


def scaled(
    image: Image.Image,
    size: tuple[int, int],
    filter: Image.Resampling = Image.Resampling.BILINEAR,
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    return image.resize(size, filter, box)  # pyright: ignore[reportUnknownMemberType]


def mapped(image: Image.Image, table: Sequence[int]) -> Image.Image:
    """Each value replaced by the table's."""
    return image.point(table)  # pyright: ignore[reportUnknownMemberType]
