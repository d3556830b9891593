"""The program that decodes and transforms pictures: ``python -m imagemill.media.sandbox_child``.

Decoders process untrusted bytes, so they run in this process: it can be killed at any moment, its memory and
processor time are limited, and it cannot write files. `imagemill.media.sandbox` starts it and talks to it.

A message is the length of its head and of its body (two 32-bit numbers), the head as JSON, and the body.
"""

import io
import json
import math
import os
import resource
import struct
import sys
from typing import Any, BinaryIO

from PIL import Image, ImageFile, JpegImagePlugin

from imagemill.media.pixels import on_white, plain, turn_deep

LENGTHS = struct.Struct(">II")
FORMATS = ("PNG", "JPEG", "WEBP")
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the operation that turns the picture upright."""
_SWAPPED = (5, 6, 7, 8)
"""Orientations that swap rows and columns."""


def write(stream: BinaryIO, head: dict[str, Any], body: bytes = b"") -> None:
    text = json.dumps(head).encode()
    stream.write(LENGTHS.pack(len(text), len(body)) + text)
    stream.write(body)
    stream.flush()


def read(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Read a message; None at the end of the stream."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head, body = LENGTHS.unpack(lengths)
    text, data = stream.read(head), stream.read(body)
    return (json.loads(text), data) if len(text) == head and len(data) == body else None


def answer(head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """Answer one request.

    With ``transform`` run it; else decode the whole picture, and return its pixels for a ``raster`` size,
    or the picture encoded upright for an ``orientation`` other than 1.
    """
    if "transform" in head:
        from imagemill.media.transforms import run_packed

        return run_packed(head["transform"], data)
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        if picture.width * picture.height > head.get("pixels", math.inf):
            return {"error": f"{picture.width} x {picture.height} are too many pixels"}, b""
        picture.load()
        facts: dict[str, Any] = {"width": picture.width, "height": picture.height, "format": picture.format}
        if "raster" in head:
            shown = on_white(plain(picture, data))
            scaled = shown.resize(tuple(head["raster"]), Image.Resampling.BILINEAR)
            return facts, scaled.tobytes()
        if head.get("orientation", 1) == 1:
            return facts, b""
        turn = TURNS[head["orientation"]]
        if deep := _turn_deep(picture, data, turn):
            swapped = head["orientation"] in _SWAPPED
            width, height = picture.size[::-1] if swapped else picture.size
            return facts | {"width": width, "height": height}, deep
        upright = picture.transpose(turn)
        return facts | {"width": upright.width, "height": upright.height}, _encode(
            picture, upright, head["orientation"]
        )


def _turn_deep(picture: Image.Image, data: bytes, turn: Image.Transpose) -> bytes | None:
    try:
        return turn_deep(picture, data, turn)
    except MemoryError:
        # Of a very large picture the upper 8 bits are kept, as of its transparent colour.
        if isinstance(key := picture.info.get("transparency"), tuple):
            picture.info["transparency"] = tuple(value >> 8 for value in key)
        return None


def _encode(picture: Image.Image, upright: Image.Image, orientation: int) -> bytes:
    """Encode a PNG or WebP without loss, and a JPEG with its own tables, so that the second loss is small."""
    profile, transparency = picture.info.get("icc_profile"), picture.info.get("transparency")
    # No other metadata of the source is written again.
    upright.info = {} if transparency is None else {"transparency": transparency}
    options: dict[str, Any] = {"icc_profile": profile} if profile else {}
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        options |= _jpeg_options(picture, orientation in _SWAPPED)
    elif picture.format == "WEBP":
        options |= {"lossless": True, "quality": 0, "method": 0}
    else:
        options |= {"compress_level": 3}
    file = io.BytesIO()
    upright.save(file, picture.format, **options)
    return file.getvalue()


def _jpeg_options(picture: JpegImagePlugin.JpegImageFile, swapped: bool) -> dict[str, Any]:
    tables = [list(table) for table in picture.quantization.values()]
    if swapped:
        tables = [[table[8 * (i % 8) + i // 8] for i in range(64)] for table in tables]
    sampling = JpegImagePlugin.get_sampling(picture)
    # Subsampled columns would become subsampled rows, which this encoder cannot write: it keeps full
    # resolution.
    same = sampling in (0, 2) or (sampling == 1 and not swapped)
    return {"qtables": tables, "subsampling": sampling if same else 0}


def confine(memory_bytes: int, open_files: int = 16, file_bytes: int = 0) -> None:
    """Limit the address space, the open files and the bytes of a written file, and forbid core dumps."""
    if sys.platform == "linux":  # other systems have no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    for kind, bound in (
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, open_files),
    ):
        resource.setrlimit(kind, (bound, bound))


def extend_cpu_time(seconds: int) -> None:
    """Allow this much more processor time; the limit ends the process if its parent is gone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def main() -> None:
    memory_bytes, seconds, nice = map(int, sys.argv[1:4])
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    Image.MAX_IMAGE_PIXELS = None  # the pixels are checked by the file's header before
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.init()
    confine(memory_bytes)
    os.nice(nice)
    write(answers, {"ready": True})
    while (request := read(requests)) is not None:
        extend_cpu_time(seconds)
        try:
            head, body = answer(*request)
        except Exception:  # noqa: BLE001 - decoders fail on untrusted bytes in undocumented ways
            # Not the error's class, which is of no use to whoever sent the file.
            head, body = {"error": "the file is damaged"}, b""
        del request
        write(answers, head, body)


if __name__ == "__main__":
    main()
