"""Pictures as WebP: lossy at a quality, lossless where they are transparent, within a size if one is set."""

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from imagemill.media.layout import is_profile

MEDIA_TYPE = "image/webp"
METHOD = 2
"""Of libwebp's 0 to 6: nearly half the time of its default 4, for files a twentieth larger."""
_LOSSLESS_EFFORT = 40
"""Of 100; see ``docs/performance.md``."""
_STEP, _LEAST = 5, 50
"""By which quality is lowered for a size target, and where that ends."""


@dataclass(frozen=True, slots=True)
class Encoded:
    data: bytes
    quality: int | None
    """None: lossless."""
    on_target: bool
    """Whether it is as small as was asked for."""


def encoded(
    picture: Image.Image,
    *,
    quality: int = 85,
    most_bytes: int | None = None,
    exif: bytes = b"",
    xmp: bytes = b"",
) -> Encoded:
    """``most_bytes``: tried down to a quality of 50; larger than that it is delivered all the same.

    A transparent picture is lossless, unless that is larger than ``most_bytes``: then its colours are lossy
    and its alpha is not.
    """
    options: dict[str, Any] = {"method": METHOD, "exif": exif, "xmp": xmp}
    profile = picture.info.get("icc_profile")
    # Pillow copies what it read from the source unless it is told otherwise.
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
    """Those that are tried in turn."""
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


def trimmed(picture: Image.Image, margin: int) -> Image.Image:
    """Cut to what is not wholly transparent, and ``margin`` px around it as far as there are any."""
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
