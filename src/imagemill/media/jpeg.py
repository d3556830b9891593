"""Read the segments of a JPEG (ITU-T T.81, annex B)."""

import re
from dataclasses import field

from imagemill.domain.dataclass import dataclass
from imagemill.media.layout import (
    MOST_PARTS,
    InvalidImage,
    ParsedImage,
    is_profile,
    orientation,
    trailer,
    trailing_data,
    truncated,
)

SIGNATURE = b"\xff\xd8\xff"
_FRAMES = {0xC0, 0xC1, 0xC2}
"""Baseline, extended and progressive, Huffman-coded: the kinds that browsers and Pillow decode."""
_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xDC, 0xDE}
_TABLES = {0xC4, 0xDB, 0xDD}
_SCAN, _END = 0xDA, 0xD9
_MOST_SCANS = 100
"""Each scan of a progressive picture processes all of its pixels: a few kilobytes could cost minutes.
Encoders write about ten scans."""
_NEXT = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_ICC = b"ICC_PROFILE\0"


@dataclass(slots=True)
class _Found:
    size: tuple[int, int] | None = None
    orientation: int = 1
    profile: list[bytes] = field(default_factory=list[bytes])
    scans: int = 0
    several: bool = False
    """Whether it declares further pictures after it, as phones write for depth or brightness (CIPA
    DC-007)."""
    body: bytearray = field(default_factory=bytearray)


def read(data: bytes) -> ParsedImage:
    """Parse a JPEG. Raises `InvalidImage`."""
    found = _Found()
    end = _read_segments(data, found)
    rest = trailer(data[end:])
    if rest and not (found.several and rest.startswith(SIGNATURE)):
        raise trailing_data(len(rest))
    if found.size is None or not found.scans:
        raise InvalidImage("cannot be decoded: the JPEG has no picture in it")
    kept = b"\xff\xd8" + b"".join(_profile(found.profile)) + bytes(found.body) + b"\xff\xd9"
    return ParsedImage("image/jpeg", *found.size, found.orientation, kept)


def _read_segments(data: bytes, found: _Found) -> int:
    """Read all segments; return the position after the end marker."""
    position = 2
    for _ in range(MOST_PARTS):
        while data[position : position + 2] == b"\xff\xff":
            position += 1
        if position + 2 > len(data):
            raise truncated()
        marker = data[position + 1]
        if data[position] != 0xFF or marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            raise InvalidImage("cannot be decoded: the JPEG's segments are damaged")
        if marker == _END:
            return position + 2
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if end > len(data) or end < position + 4:
            raise truncated()
        if marker == _SCAN:
            end = _end_of_scan(data, end, found)
        _read_segment(marker, data[position:end], found)
        position = end
    raise InvalidImage(f"cannot be decoded: it has more than {MOST_PARTS} segments")


def _end_of_scan(data: bytes, start: int, found: _Found) -> int:
    """Count a scan; return the position after its coded data."""
    found.scans += 1
    if found.scans > _MOST_SCANS:
        raise InvalidImage(f"has more than {_MOST_SCANS} scans; save it again as a plain JPEG")
    following = _NEXT.search(data, start)
    if following is None:
        raise truncated()
    return following.start()


def _read_segment(marker: int, segment: bytes, found: _Found) -> None:
    payload = segment[4:]
    if marker in _FRAMES:
        if found.size is not None or len(payload) < 6:
            raise InvalidImage("cannot be decoded: the JPEG has several frames")
        found.size = int.from_bytes(payload[3:5], "big"), int.from_bytes(payload[1:3], "big")
        found.body += segment
    elif marker in _OTHER_FRAMES:
        raise InvalidImage("cannot be decoded: it is a lossless, hierarchical or arithmetic-coded JPEG")
    elif marker in _TABLES or marker == _SCAN:
        found.body += segment
    elif marker == 0xE0 and payload.startswith(b"JFIF\0"):
        found.body += _JFIF
    elif marker == 0xE1 and payload.startswith(b"Exif\0\0"):
        found.orientation = orientation(payload[6:])
    elif marker == 0xE2 and payload.startswith(_ICC):
        found.profile.append(segment)
    elif marker == 0xE2 and payload.startswith(b"MPF\0"):
        found.several = True
    elif marker == 0xEE and payload.startswith(b"Adobe") and len(payload) >= 12:
        # The segment defines how the colours are coded.
        found.body += b"\xff\xee\x00\x0e" + payload[:12]


def _profile(segments: list[bytes]) -> list[bytes]:
    """The segments of the colour profile in their order; empty if they do not form a whole profile."""
    ordered = sorted(segments, key=lambda segment: segment[16])
    if [segment[16] for segment in ordered] != list(range(1, len(ordered) + 1)):
        return []
    whole = b"".join(segment[18:] for segment in ordered)
    return ordered if ordered and is_profile(whole) else []
