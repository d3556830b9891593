"""Pictures from outside: looked at, decoded under limits, and kept without what is not picture."""

from dataclasses import dataclass

from imagemill.media import jpeg, png, webp
from imagemill.media.layout import InvalidImage, NotAccepted, ParsedImage
from imagemill.media.pictures import FORMATS, PictureInfo
from imagemill.media.sandbox import DecoderPool


@dataclass(frozen=True, slots=True)
class PictureLimits:
    bytes: int
    pixels: int
    side: int = 16_384
    """Most pixels of a row or a column."""


@dataclass(frozen=True, slots=True)
class SanitizedImage:
    """A picture as it is kept: upright, with its colour profile and nothing else besides its pixels."""

    data: bytes
    info: PictureInfo


class InputSanitizer:
    def __init__(self, limits: PictureLimits, decoders: DecoderPool) -> None:
        self.limits = limits
        self._decoders = decoders

    def take(self, data: bytes) -> SanitizedImage:
        """Raises `InvalidImage`, of which `NotAccepted` is for files of other types."""
        if len(data) > self.limits.bytes:
            raise InvalidImage(f"has {len(data)} bytes; at most {self.limits.bytes} are accepted")
        layout = read(data)
        check_size(layout.width, layout.height, self.limits)
        width, height, upright = self._decoders.decode(layout.kept, layout.orientation)
        shown = (layout.height, layout.width) if layout.orientation > 4 else (layout.width, layout.height)
        if (width, height) != shown:
            raise InvalidImage("cannot be decoded: it is of another size than it says")
        return SanitizedImage(upright or layout.kept, PictureInfo(layout.media_type, width, height))

    def inspect(self, data: bytes, *, max_pixels: int) -> PictureInfo:
        """What a render delivered: decoded whole, kept as it is, whatever text is in it.

        Raises `InvalidImage`.
        """
        name, width, height = self._decoders.inspect(data, max_pixels)
        return PictureInfo(FORMATS[name], width, height)

    def close(self) -> None:
        self._decoders.close()

    def raster(self, data: bytes, width: int, height: int) -> bytes:
        """See `DecoderPool.raster`."""
        return self._decoders.raster(data, width, height)


def read(data: bytes) -> ParsedImage:
    """Of a file of any type; its content says which it is. Raises `InvalidImage`, `NotAccepted`."""
    if data.startswith(png.SIGNATURE):
        return png.read(data)
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.read(data)
    if webp.is_webp(data):
        return webp.read(data)
    raise NotAccepted(f"is {_guess(data)}; send a PNG, JPEG or WebP")


def check_size(width: int, height: int, limits: PictureLimits) -> None:
    """Raises `InvalidImage`."""
    if not width or not height:
        raise InvalidImage("cannot be decoded: it says that it has no pixels")
    if width * height > limits.pixels:
        raise InvalidImage(f"is {width} x {height}, more than {limits.pixels} pixels")
    if max(width, height) > limits.side:
        raise InvalidImage(f"is {width} x {height}; at most {limits.side} pixels a side are accepted")


_KNOWN = (
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


def _guess(data: bytes) -> str:
    if not data:
        return "empty"
    found = next((name for start, mark, name in _KNOWN if data.startswith(mark, start)), None)
    if found is None and data.lstrip()[:1] == b"<":
        return "HTML, SVG or other XML"
    return found or "no picture we know"
