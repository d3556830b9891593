"""Open, check, trim and encode pictures.

They are encoded as WebP: lossy at a quality, lossless if transparent, within a size target if there is one.
"""

import io
import math
from typing import Any

from PIL import Image, ImageFile

from imagemill.domain.dataclass import dataclass
from imagemill.media.layout import InvalidImage, is_profile
from imagemill.media.pictures import FORMATS
from imagemill.media.pixels import plain

MEDIA_TYPE = "image/webp"
METHOD = 2
"""Effort of libwebp, 0 to 6: nearly half the time of its default 4, for files a twentieth larger."""
_LOSSLESS_EFFORT = 40
"""Effort of lossless encoding, 0 to 100; see ``docs/performance.md``."""
_STEP, _LEAST = 5, 50
"""Step by which quality is lowered for a size target, and the lowest quality."""
_LONGEST = 16_383
"""Most pixels a side; the format has 14 bits for it."""
_FLAT = 1.0
"""Standard deviation, in levels of 255, of the channel that varies most, below which a picture is blank."""
_LEAST_SUBJECT = 0.005
"""Smallest share of the picture that a subject covers."""
_MOST_SUBJECT = 0.97
"""Largest share that a subject covers: more means that the background is still there."""


@dataclass(frozen=True, slots=True)
class Encoded:
    data: bytes
    quality: int | None
    """None means lossless."""
    on_target: bool
    """Whether it is within the size target."""


def encode_webp(
    picture: Image.Image,
    *,
    quality: int = 85,
    most_bytes: int | None = None,
    exif: bytes = b"",
    xmp: bytes = b"",
) -> Encoded:
    """Encode a picture as WebP.

    For ``most_bytes`` the quality is lowered to 50 at least; a picture that is still larger is delivered
    anyway. A transparent picture is lossless, unless that exceeds ``most_bytes``: then its colours are
    lossy and its alpha is lossless.
    """
    options: dict[str, Any] = {"method": METHOD, "exif": exif, "xmp": xmp}
    profile = picture.info.get("icc_profile")
    # Without an explicit value, Pillow copies the source's profile.
    options["icc_profile"] = profile if isinstance(profile, bytes) and is_profile(profile) else b""
    if picture.mode == "RGBA":
        data = _webp(picture, options | {"lossless": True, "quality": _LOSSLESS_EFFORT})
        if most_bytes is None or len(data) <= most_bytes:
            return Encoded(data, None, True)
    found = Encoded(b"", None, False)
    for step in qualities(quality):
        data = _webp(picture, options | {"quality": step})
        found = Encoded(data, step, most_bytes is None or len(data) <= most_bytes)
        if found.on_target:
            break
    return found


def qualities(first: int) -> list[int]:
    """The qualities that are tried in turn."""
    return [first, *range(first - _STEP, _LEAST - 1, -_STEP)] if first > _LEAST else [first]


def _webp(picture: Image.Image, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    picture.save(file, "WEBP", **options)
    return file.getvalue()


def thumbnail(picture: Image.Image, longest: int) -> Image.Image:
    """A copy whose longer side is ``longest`` px; never larger than the picture."""
    small = picture.copy()
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return small


def trim(picture: Image.Image, margin: int) -> Image.Image:
    """Crop to the pixels that are not fully transparent, with at most ``margin`` px around them."""
    box = picture.getchannel("A").getbbox()
    if box is None:
        return picture
    left, top, right, bottom = box
    return picture.crop(
        (
            max(0, left - margin),
            max(0, top - margin),
            min(picture.width, right + margin),
            min(picture.height, bottom + margin),
        )
    )


# Open and check.


def open_checked(data: bytes, max_pixels: int) -> Image.Image:
    """Decode a picture whole, to RGB, or to RGBA if any pixel is transparent. Raises `InvalidImage`."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        picture = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
        if picture.width * picture.height > max_pixels:
            raise InvalidImage(f"is {picture.width} x {picture.height}, more than {max_pixels} pixels")
        if max(picture.size) > _LONGEST:
            raise InvalidImage(f"is {picture.width} x {picture.height}; a WebP has at most {_LONGEST} a side")
        picture.load()
        return plain(picture, data)
    except InvalidImage:
        raise
    except Exception as error:
        # Decoders fail on untrusted bytes in more ways than they document; all mean the same here.
        raise InvalidImage("cannot be decoded; it is damaged") from error


def check_size(picture: Image.Image, size: tuple[int, int] | None) -> None:
    """Raise `InvalidImage` for a picture of another size. None means any size."""
    if size is not None and picture.size != size:
        found, asked = (f"{width} x {height}" for width, height in (picture.size, size))
        raise InvalidImage(f"is {found}, not {asked} as was asked for")


def check_not_blank(picture: Image.Image) -> None:
    """Raise `InvalidImage` for a picture of one colour, or nearly so."""
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema()[1] == 0:
        raise InvalidImage("is blank: all of it is transparent")
    levels = picture.histogram()
    if max(_deviation(levels[start : start + 256]) for start in range(0, len(levels), 256)) < _FLAT:
        raise InvalidImage("is blank: it shows one flat colour")


def _deviation(histogram: list[int]) -> float:
    count = sum(histogram)
    mean = sum(level * number for level, number in enumerate(histogram)) / count
    return math.sqrt(sum(number * (level - mean) ** 2 for level, number in enumerate(histogram)) / count)


def check_cutout(picture: Image.Image) -> None:
    """Raise `InvalidImage` for a cut-out that is empty or still has its background."""
    levels = picture.getchannel("A").histogram()
    covered = sum(level * number for level, number in enumerate(levels)) / 255 / sum(levels)
    if covered < _LEAST_SUBJECT:
        raise InvalidImage("has nothing left when its background is removed")
    if covered > _MOST_SUBJECT:
        raise InvalidImage(f"keeps its background: {covered:.0%} of it would stay")
