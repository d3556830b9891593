"""Read the chunks of a PNG (PNG specification, 3rd edition)."""

import struct
import zlib
from collections.abc import Iterator

from imagemill.media.layout import (
    MOST_PARTS,
    InvalidImage,
    ParsedImage,
    animated,
    decompress_profile,
    is_profile,
    orientation,
    trailer,
    trailing_data,
    truncated,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"cICP", b"IDAT", b"IEND"})


def read(data: bytes) -> ParsedImage:
    """Parse a PNG. Raises `InvalidImage`."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise (
            truncated() if len(data) < 33 else InvalidImage("cannot be decoded: a PNG begins with its header")
        )
    width, height = struct.unpack_from(">II", data, 16)
    kept = bytearray(SIGNATURE)
    turned = 1
    for kind, start, end in _chunks(data):
        if kind == b"acTL":
            raise animated()
        if kind == b"eXIf":
            turned = orientation(data[start + 8 : end - 4])
        elif kind == b"iCCP":
            kept += _profile(data[start + 8 : end - 4])
        elif kind in _KEPT:
            kept += data[start:end]
    return ParsedImage("image/png", width, height, turned, bytes(kept))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of each chunk."""
    position = len(SIGNATURE)
    for _ in range(MOST_PARTS):
        if position + 12 > len(data):
            raise truncated()
        (length,) = struct.unpack_from(">I", data, position)
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            raise truncated()
        yield kind, position, end
        if kind == b"IEND":
            if rest := trailer(data[end:]):
                raise trailing_data(len(rest))
            return
        position = end
    raise InvalidImage(f"cannot be decoded: it has more than {MOST_PARTS} chunks")


def _profile(body: bytes) -> bytes:
    """The profile's chunk written anew under a fixed name; empty if it holds no valid profile."""
    name, _, rest = body.partition(b"\0")
    profile = decompress_profile(rest[1:]) if name and rest[:1] == b"\0" else None
    if profile is None or not is_profile(profile):
        return b""
    chunk = b"iCCP" + b"ICC\0\0" + rest[1:]
    return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
