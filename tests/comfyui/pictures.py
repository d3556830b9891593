"""Pictures made without effort: banded ones are written as PNG without compressing a pixel."""

import hashlib
import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
BANDS = 4
ADLER = 65521  # the modulus of Adler-32
COPY_ROW, REPEAT_ROW = b"\x00", b"\x02"  # PNG's filters "None" and "Up"


@dataclass(frozen=True)
class Bands:
    """Horizontal bands of equal height, each with a left and a right colour."""

    width: int
    height: int
    pairs: tuple[tuple[Colour, Colour], ...]

    def rows(self) -> list[tuple[bytes, int]]:
        """Each band as one row of pixels and how many times it comes."""
        edges = [self.height * place // len(self.pairs) for place in range(len(self.pairs) + 1)]
        half = self.width // 2
        return [
            (bytes(left) * half + bytes(right) * (self.width - half), edges[place + 1] - edges[place])
            for place, (left, right) in enumerate(self.pairs)
            if edges[place + 1] > edges[place]
        ]


@dataclass(frozen=True)
class Picture:
    """A picture: bands not drawn yet, or pixels."""

    content: Bands | Image.Image

    @property
    def size(self) -> tuple[int, int]:
        content = self.content
        return (content.width, content.height)

    @cached_property
    def image(self) -> Image.Image:
        if isinstance(self.content, Image.Image):
            return self.content
        drawn = Image.new("RGB", self.size)
        pen, top = ImageDraw.Draw(drawn), 0
        half = self.content.width // 2
        for (left, right), (_, height) in zip(self.content.pairs, self.content.rows(), strict=False):
            pen.rectangle((0, top, half - 1, top + height - 1), fill=left) if half else None
            pen.rectangle((half, top, self.content.width, top + height - 1), fill=right)
            top += height
        return drawn

    def png(self, texts: Mapping[str, str]) -> bytes:
        if isinstance(self.content, Bands):
            return _banded_png(self.content, texts)
        buffer = io.BytesIO()
        self.content.save(buffer, "PNG", compress_level=1)
        plain = buffer.getvalue()
        head = plain.index(b"IHDR") + 4 + 13 + 4
        return plain[:head] + _texts(texts) + plain[head:]

    def digest(self) -> str:
        if isinstance(self.content, Bands):
            return repr(self.content)
        return hashlib.blake2b(self.content.tobytes(), digest_size=16).hexdigest()


def flat(width: int, height: int, colour: int) -> Picture:
    """One colour, given as 0xRRGGBB."""
    parts: Colour = (colour >> 16 & 255, colour >> 8 & 255, colour & 255)
    return Picture(Bands(width, height, ((parts, parts),)))


def imagined(width: int, height: int, key: str) -> Picture:
    """A picture whose colours depend on the key alone."""
    drawn = hashlib.blake2b(key.encode(), digest_size=BANDS * 6).digest()
    pairs = tuple(
        ((drawn[at], drawn[at + 1], drawn[at + 2]), (drawn[at + 3], drawn[at + 4], drawn[at + 5]))
        for at in range(0, BANDS * 6, 6)
    )
    return Picture(Bands(width, height, pairs))


def jpeg(picture: Picture, longest: int) -> bytes:
    """A preview no longer than `longest` pixels."""
    small = picture.image.copy()
    small.thumbnail((longest, longest))
    buffer = io.BytesIO()
    small.convert("RGB").save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _banded_png(bands: Bands, texts: Mapping[str, str]) -> bytes:
    header = struct.pack(">IIBBBBB", bands.width, bands.height, 8, 2, 0, 0, 0)
    pixels = _chunk(b"IDAT", _deflated(bands))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _texts(texts) + pixels + _chunk(b"IEND", b"")


def _deflated(bands: Bands) -> bytes:
    """A zlib stream: each band's first row as it is, then "the same again", compressed once for all."""
    stream, total = [b"\x78\x01"], 1
    for row, times in bands.rows():
        first = COPY_ROW + row
        stream.append(struct.pack("<BHH", 0, len(first), len(first) ^ 0xFFFF) + first)
        total = _joined(total, zlib.adler32(first), len(first))
        if times > 1:
            packed, check, length = _repeats(len(row), times - 1)
            stream.append(packed)
            total = _joined(total, check, length)
    return b"".join([*stream, b"\x03\x00", struct.pack(">I", total)])


@cache
def _repeats(row_bytes: int, times: int) -> tuple[bytes, int, int]:
    data = (REPEAT_ROW + bytes(row_bytes)) * times
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH), zlib.adler32(data), len(data)


def _joined(first: int, second: int, second_length: int) -> int:
    """The Adler-32 of two pieces from theirs; the empty piece has 1."""
    low = ((first & 0xFFFF) + (second & 0xFFFF) - 1) % ADLER
    carried = second_length % ADLER * ((first & 0xFFFF) - 1)
    high = ((first >> 16) + (second >> 16) + carried) % ADLER
    return high << 16 | low


def _texts(texts: Mapping[str, str]) -> bytes:
    return b"".join(
        _chunk(b"tEXt", name.encode("latin-1") + b"\x00" + text.encode("latin-1", "replace"))
        for name, text in texts.items()
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
