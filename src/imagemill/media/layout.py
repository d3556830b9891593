"""Facts that can be read from a picture's file without decoding it; shared by the three formats."""

import zlib

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError

MOST_PARTS = 65_536
"""Most chunks or segments of a file. Honest files have tens; each costs a step here."""
MOST_PROFILE_BYTES = 4 * 2**20
"""Most bytes of a decompressed colour profile; printers' profiles are below three million bytes."""
ORIENTATION = 0x0112
"""The EXIF tag of the orientation."""
_LONG = 4
"""The EXIF type of four bytes. The orientation should be a SHORT; some cameras write a LONG."""
_MOST_TAGS = 200


class InvalidImage(ImagemillError, ValueError):
    """The bytes are not a usable picture; the message says why and follows the field's name in a sentence."""

    code = "invalid_image"


class NotAccepted(InvalidImage):
    """The file has a type that is not accepted."""

    code = "unsupported_media_type"


@dataclass(frozen=True, slots=True)
class ParsedImage:
    media_type: str
    width: int
    height: int
    orientation: int
    """The EXIF orientation, 1 to 8; 1 means upright as stored."""
    kept: bytes
    """The same picture, reduced to the parts that its pixels and colours need."""


def truncated() -> InvalidImage:
    return InvalidImage("cannot be decoded: the file ends before the picture does")


def animated() -> InvalidImage:
    return InvalidImage("is animated; send one still picture")


def trailing_data(count: int) -> InvalidImage:
    return InvalidImage(
        f"has {count} bytes after its end, which are not part of the picture; save it again and send that"
    )


def trailer(rest: bytes) -> bytes:
    """Return what follows the end of a picture, without what is harmless and is cut off.

    That is padding, line ends, and what phones append: Samsung's notes, which end with SEFT, or the video of
    a motion photo.
    """
    stripped = rest.strip(b"\0\r\n\t ")
    # The size of the video's first box begins with zeros, which are stripped like padding.
    return b"" if stripped.endswith(b"SEFT") or b"ftyp" in stripped[:8] else stripped


def is_profile(data: bytes) -> bool:
    """Whether the bytes are an ICC profile, by its length and signature (ICC.1, 7.2)."""
    return len(data) >= 128 and data[36:40] == b"acsp" and int.from_bytes(data[:4], "big") == len(data)


def decompress_profile(data: bytes) -> bytes | None:
    """Decompress a colour profile; None if it is too large or damaged."""
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(data, MOST_PROFILE_BYTES)
    except zlib.error:
        return None
    return found if unpacker.eof else None


def orientation(exif: bytes) -> int:
    """The orientation in an EXIF block without its ``Exif`` prefix; 1 if there is none that can be read."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(exif[:4])
    if order is None:
        return 1
    little = "little" if order == "little" else "big"
    start = int.from_bytes(exif[4:8], little)
    count = int.from_bytes(exif[start : start + 2], little)
    for index in range(min(count, _MOST_TAGS)):
        entry = exif[start + 2 + 12 * index : start + 14 + 12 * index]
        if len(entry) == 12 and int.from_bytes(entry[:2], little) == ORIENTATION:
            size = 4 if int.from_bytes(entry[2:4], little) == _LONG else 2
            value = int.from_bytes(entry[8 : 8 + size], little)
            return value if 1 <= value <= 8 else 1
    return 1
