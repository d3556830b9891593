"""What the file of a picture says of itself, read without decoding it; shared by the three formats."""

import zlib
from dataclasses import dataclass


class InvalidImage(ValueError):
    """The bytes are no picture we can use; the message says why, to be read after the field's name."""


class NotAccepted(InvalidImage):
    """They are of a type we do not take."""


@dataclass(frozen=True, slots=True)
class ParsedImage:
    media_type: str
    width: int
    height: int
    orientation: int
    """As in EXIF, 1 to 8; 1: as it is stored."""
    kept: bytes
    """The same picture with nothing in it but what its pixels and colours need."""


MOST_PARTS = 65_536
"""Chunks or segments of a file. Honest files have tens; each costs a step here."""
MOST_PROFILE_BYTES = 4 * 2**20
"""Unpacked colour profile; printers' are below three million bytes."""


def truncated() -> InvalidImage:
    return InvalidImage("cannot be decoded: the file ends before the picture does")


def animated() -> InvalidImage:
    return InvalidImage("is animated; send one still picture")


def trailing_data(count: int) -> InvalidImage:
    return InvalidImage(
        f"has {count} bytes after its end, which belong to no picture; save it again and send that"
    )


def is_profile(data: bytes) -> bool:
    """Whether these are an ICC profile, by its length and signature (ICC.1, 7.2)."""
    return len(data) >= 128 and data[36:40] == b"acsp" and int.from_bytes(data[:4], "big") == len(data)


def unpacked(data: bytes) -> bytes | None:
    """A packed colour profile, or None for what is larger than one or damaged."""
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(data, MOST_PROFILE_BYTES)
    except zlib.error:
        return None
    return found if unpacker.eof else None


def orientation(exif: bytes) -> int:
    """Of an EXIF block, without its ``Exif`` prefix; 1 where it says nothing we understand."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(exif[:4])
    if order is None:
        return 1
    little = "little" if order == "little" else "big"
    start = int.from_bytes(exif[4:8], little)
    count = int.from_bytes(exif[start : start + 2], little)
    for index in range(min(count, _MOST_TAGS)):
        entry = exif[start + 2 + 12 * index : start + 14 + 12 * index]
        if len(entry) == 12 and int.from_bytes(entry[:2], little) == _ORIENTATION:
            value = int.from_bytes(entry[8:10], little)
            return value if 1 <= value <= 8 else 1
    return 1


_ORIENTATION = 0x0112
_MOST_TAGS = 200
