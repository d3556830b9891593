"""Media types, and basic operations on picture files: decode to check, add a text to a PNG.

Importing this module does not load Pillow.
"""

import io
import os
import struct
import zlib
from queue import SimpleQueue

from imagemill.domain.dataclass import dataclass
from imagemill.media.layout import InvalidImage

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
EXTENSIONS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}

UNKNOWN = "application/octet-stream"
"""Also the type of files a browser might run, such as HTML or SVG: they are downloaded, not shown."""


class Turns:
    """Lets so many threads at once into a ``with`` block. A hand-over between two threads costs half of what
    it costs with a semaphore of `threading`, whose waiting is written in Python."""

    def __init__(self, count: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def __enter__(self) -> None:
        self._free.get()

    def __exit__(self, *_: object) -> None:
        self._free.put(None)


PIXEL_WORK = Turns(max(1, (os.cpu_count() or 1) // 2))
"""Held while pixels are made, decoded or encoded. Pillow releases the interpreter lock for microseconds at
a time; more threads than this would mostly contend for that lock (see ``docs/performance.md``)."""

_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "model/gltf-binary": "glb",
    "text/plain": "txt",
    "application/json": "json",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/x-tar": "tar",
}
_TYPES = {extension: media_type for media_type, extension in _EXTENSIONS.items()} | {
    "jpg": "image/jpeg",
    "opus": "audio/ogg",
}
_PNG_HEAD = 8 + 25
"""Bytes of the signature and the IHDR chunk; text chunks may follow."""
_PNG_START = struct.Struct(">8sI4sIIBBBBBI")
"""The signature and the IHDR chunk of a PNG (PNG specification, 11.2.1)."""
_CHUNK_HEAD = struct.Struct(">I4s")
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_RGB_OF_8_BIT = (8, 2, 0, 0, 0)
"""Bit depth, colour type, compression, filter method and interlace method."""
_LAST_FILTER = 4
"""The filters of rows are 0 to 4."""
_SIMPLE_PIXELS = 256 * 256
"""Most pixels of a picture that is checked without Pillow."""


@dataclass(frozen=True, slots=True)
class PictureInfo:
    media_type: str
    width: int
    height: int


def inspect(data: bytes, *, max_pixels: int) -> PictureInfo:
    """Decode the whole picture, under a limit of pixels. Raises `InvalidImage`."""
    simple = _inspect_simple_png(data)
    if simple is not None and simple.width * simple.height <= max_pixels:
        return simple
    from PIL import Image, ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise InvalidImage(f"{width} x {height} is more than {max_pixels} pixels")
            picture.load()
            return PictureInfo(FORMATS[str(picture.format)], width, height)
    except InvalidImage:
        raise
    except Exception as error:
        # Decoders fail on untrusted bytes in more ways than they document; all mean the same here.
        raise InvalidImage("the picture cannot be decoded; it is damaged") from error


def _inspect_simple_png(data: bytes) -> PictureInfo | None:
    """Decode a small PNG of the plainest form, in half of Pillow's time; None for all others.

    The form: 8 bits a channel, RGB, not interlaced, one IDAT chunk, no others, nothing behind the end. As in
    Pillow, all checksums, the length of the pixels and the filter of each row must be right.
    """
    if len(data) < _PNG_START.size + _CHUNK_HEAD.size + 4 + len(_PNG_END):
        return None
    signature, head_size, head, width, height, *form, head_crc = _PNG_START.unpack_from(data)
    size, kind = _CHUNK_HEAD.unpack_from(data, _PNG_HEAD)
    begin = _PNG_HEAD + _CHUNK_HEAD.size
    end = begin + size
    row = 1 + 3 * width
    if (
        (signature, head_size, head) != (b"\x89PNG\r\n\x1a\n", 13, b"IHDR")
        or tuple(form) != _RGB_OF_8_BIT
        or not 0 < width * height <= _SIMPLE_PIXELS
        or kind != b"IDAT"
        or data[end + 4 :] != _PNG_END
        or zlib.crc32(data[12:29]) != head_crc
        or zlib.crc32(data[begin - 4 : end]) != int.from_bytes(data[end : end + 4])
    ):
        return None
    inflater = zlib.decompressobj()
    try:
        pixels = inflater.decompress(data[begin:end], row * height + 1)
    except zlib.error:
        return None
    is_whole = len(pixels) == row * height and inflater.eof and not inflater.unused_data
    if not is_whole or max(pixels[::row]) > _LAST_FILTER:
        return None
    return PictureInfo("image/png", width, height)


def with_png_text(data: bytes, keyword: str, text: str) -> bytes:
    """The same PNG with an iTXt chunk (PNG specification, 11.3.3.4) after its header; its pixels stay
    unchanged.

    Pillow adds text only while it encodes, which costs a decode and an encode.
    """
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise InvalidImage("is not a PNG")
    body = keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    chunk = b"iTXt" + body
    return (
        data[:_PNG_HEAD]
        + struct.pack(">I", len(body))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + data[_PNG_HEAD:]
    )


def extension_of(media_type: str) -> str:
    return _EXTENSIONS.get(media_type, "bin")


def media_type_of(name: str) -> str:
    """The media type by the extension of a file name; `UNKNOWN` if it has none that is known."""
    return _TYPES.get(name.rpartition(".")[2].lower(), UNKNOWN)
