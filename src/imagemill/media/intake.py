"""Sanitize pictures that clients send: parse, decode under limits, and remove everything but pixels and
profile."""

from imagemill.domain.dataclass import dataclass
from imagemill.media import jpeg, png, webp
from imagemill.media.layout import InvalidImage, NotAccepted, ParsedImage
from imagemill.media.pictures import FORMATS, PictureInfo
from imagemill.media.sandbox import DecoderPool

_OTHER_TYPES = (
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"%PDF", "a PDF"),
    (0, b"PK\3\4", "a ZIP file"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftypheic", "a HEIC"),
    (4, b"ftyp", "a video"),
)
"""Position and first bytes of types that are not accepted, and their names for the message."""


@dataclass(frozen=True, slots=True)
class PictureLimits:
    bytes: int
    pixels: int
    side: int = 16_384
    """Most pixels of the width or height."""


@dataclass(frozen=True, slots=True)
class SanitizedImage:
    """A picture as it is stored: upright, with its pixels and colour profile only."""

    data: bytes
    info: PictureInfo


class InputSanitizer:
    def __init__(self, limits: PictureLimits, decoders: DecoderPool) -> None:
        self.limits = limits
        self._decoders = decoders

    def sanitize(self, data: bytes) -> SanitizedImage:
        """Check and sanitize a picture. Raises `InvalidImage`; `NotAccepted` for files of other types."""
        if len(data) > self.limits.bytes:
            raise InvalidImage(f"has {len(data)} bytes; at most {self.limits.bytes} are accepted")
        layout = parse(data)
        check_size(layout.width, layout.height, self.limits)
        width, height, upright = self._decoders.decode(layout.kept, layout.orientation)
        shown = (layout.height, layout.width) if layout.orientation > 4 else (layout.width, layout.height)
        if (width, height) != shown:
            raise InvalidImage("cannot be decoded: its size differs from the size it states")
        return SanitizedImage(upright or layout.kept, PictureInfo(layout.media_type, width, height))

    def inspect(self, data: bytes, *, max_pixels: int) -> PictureInfo:
        """Decode a rendered picture whole to check it; the file itself stays unchanged. Raises
        `InvalidImage`."""
        name, width, height = self._decoders.inspect(data, max_pixels)
        return PictureInfo(FORMATS[name], width, height)

    def close(self) -> None:
        self._decoders.close()

    def raster(self, data: bytes, width: int, height: int) -> bytes:
        """The picture's pixels, scaled; see `DecoderPool.raster`."""
        return self._decoders.raster(data, width, height)


def parse(data: bytes) -> ParsedImage:
    """Parse a file; its content determines the type. Raises `InvalidImage`, `NotAccepted`."""
    if data.startswith(png.SIGNATURE):
        return png.read(data)
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.read(data)
    if webp.is_webp(data):
        return webp.read(data)
    raise NotAccepted(f"is {_guess(data)}; send a PNG, JPEG or WebP")


def check_size(width: int, height: int, limits: PictureLimits) -> None:
    """Raise `InvalidImage` for a size outside the limits."""
    if not width or not height:
        raise InvalidImage("cannot be decoded: it states that it has no pixels")
    if width * height > limits.pixels:
        raise InvalidImage(f"is {width} x {height}, more than {limits.pixels} pixels")
    if max(width, height) > limits.side:
        raise InvalidImage(f"is {width} x {height}; at most {limits.side} pixels a side are accepted")


def _guess(data: bytes) -> str:
    if not data:
        return "empty"
    found = next((name for start, mark, name in _OTHER_TYPES if data.startswith(mark, start)), None)
    if found is None and data.lstrip()[:1] == b"<":
        return "HTML, SVG or other XML"
    return found or "not a picture of a known type"
