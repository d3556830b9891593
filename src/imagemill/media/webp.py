"""Read the chunks of a WebP (RFC 9649)."""

import struct
from collections.abc import Iterator

from imagemill.media.layout import (
    MOST_PARTS,
    InvalidImage,
    ParsedImage,
    animated,
    is_profile,
    orientation,
    trailer,
    trailing_data,
    truncated,
)

_PROFILE, _ALPHA, _ANIMATION = 0x20, 0x10, 0x02


def is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read(data: bytes) -> ParsedImage:
    """Parse a WebP. Raises `InvalidImage`."""
    chunks: dict[bytes, bytes] = {}
    for kind, body in _chunks(data):
        if kind in (b"ANIM", b"ANMF") or (kind == b"VP8X" and body[:1] and body[0] & _ANIMATION):
            raise animated()
        if kind in chunks and kind in (b"VP8 ", b"VP8L", b"VP8X", b"ALPH"):
            raise InvalidImage("cannot be decoded: the WebP holds several pictures")
        chunks.setdefault(kind, body)
    picture = b"VP8L" if b"VP8L" in chunks else b"VP8 "
    size = _size(picture, chunks.get(picture, b""))
    canvas = chunks.get(b"VP8X")
    if canvas is not None and (len(canvas) < 10 or _canvas(canvas) != size):
        raise InvalidImage("cannot be decoded: the WebP states two different sizes")
    exif = chunks.get(b"EXIF", b"").removeprefix(b"Exif\0\0")
    return ParsedImage("image/webp", *size, orientation(exif), _rebuild(picture, chunks, size))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise truncated()
    if rest := trailer(data[end:]):
        raise trailing_data(len(rest))
    position = 12
    for _ in range(MOST_PARTS):
        if position + 8 > end:
            return
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        start = position + 8
        if start + length > end:
            raise truncated()
        yield data[position : position + 4], data[start : start + length]
        position = start + length + length % 2
    raise InvalidImage(f"cannot be decoded: it has more than {MOST_PARTS} chunks")


def _size(kind: bytes, body: bytes) -> tuple[int, int]:
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise InvalidImage("cannot be decoded: the WebP has no picture in it")


def _canvas(body: bytes) -> tuple[int, int]:
    return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1


def _rebuild(picture: bytes, chunks: dict[bytes, bytes], size: tuple[int, int]) -> bytes:
    profile, alpha = chunks.get(b"ICCP", b""), chunks.get(b"ALPH", b"")
    if not is_profile(profile):
        profile = b""
    if picture == b"VP8L":
        alpha = b""  # lossless data holds its own alpha
    body = b""
    if profile or alpha:
        transparent = bool(alpha) or bool(chunks.get(b"VP8X", b"\0")[0] & _ALPHA)
        flags = (_PROFILE if profile else 0) | (_ALPHA if transparent else 0)
        sides = (size[0] - 1).to_bytes(3, "little") + (size[1] - 1).to_bytes(3, "little")
        body += _chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides)
    if profile:
        body += _chunk(b"ICCP", profile)
    if alpha:
        body += _chunk(b"ALPH", alpha)
    body += _chunk(picture, chunks[picture])
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
