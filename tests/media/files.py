"""Files of pictures: sound ones, and such as nobody means well with."""

import io
import struct
import zlib
from functools import cache
from typing import Any

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def picture(
    format_: str = "PNG", size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any
) -> bytes:
    image = Image.effect_noise(size, 90).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def animation(format_: str, **options: Any) -> bytes:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, format_, save_all=True, append_images=frames[1:], duration=50, loop=0, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes, size: tuple[int, int] = (8, 8)) -> bytes:
    """With further chunks before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    rows = zlib.compress(b"".join(b"\0" + bytes(min(size[0], 1000)) for _ in range(min(size[1], 1000))), 9)
    return SIGNATURE + header + b"".join(chunks) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bomb(kind: bytes) -> bytes:
    """A chunk of some kilobytes that unpacks to a hundred megabytes."""
    return chunk(kind, b"name\0\0" + _packed())


@cache
def _packed() -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(100)) + packer.flush()


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    return jpeg[:2] + segment(marker, body) + jpeg[2:]


def turned(format_: str, orientation: int, **options: Any) -> bytes:
    """As a camera held so stores it, with a place in its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010F] = "Maker of cameras"
    buffer = io.BytesIO()
    corner().save(buffer, format_, exif=exif, **options)
    return buffer.getvalue()


def corner() -> Image.Image:
    """Black, with one quarter white: no turn leaves it as it is."""
    image = Image.new("RGB", (64, 48), "black")
    image.paste("white", (0, 0, 32, 24))
    image.paste("red", (32, 0, 64, 24))
    return image


def ramp() -> bytes:
    """A PNG of 16-bit grey, 256 x 4; its level is 257 times the column, in 8 bits the column itself."""
    rows = b"".join(b"\0" + b"".join(struct.pack(">H", 257 * x) for x in range(256)) for _ in range(4))
    return deep_png((256, 4), 0, rows)


def deep_png(size: tuple[int, int], colour_type: int, rows: bytes, key: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel. ``key``: the body of its tRNS, the transparent colour."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 16, colour_type, 0, 0, 0))
    transparent = chunk(b"tRNS", key) if key else b""
    return SIGNATURE + header + transparent + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def long_orientation(value: int, order: str) -> bytes:
    """EXIF with the orientation as a number of four bytes. ``order``: ``<`` or ``>``."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(f"{order}IHHHIII", 8, 1, 0x0112, 4, 1, value, 0)
