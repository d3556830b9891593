"""Pixels at 8 bits a channel from any accepted file, and 16-bit PNGs turned without loss of depth.

Pillow decodes 16-bit grey to 16 bits, whose levels its own conversions clip at 255, and 16-bit colours to
their upper bytes, beside which the transparent colour of the file keeps its 16 bits.
"""

import io
import struct
import zlib

from PIL import Image, ImageChops, ImageMath

from imagemill.media.png import SIGNATURE

_COLOUR_TYPES = {"RGB": 2, "RGBA": 6}
"""Mode -> colour type of a PNG's header."""
_COMPRESSION = 1


def plain(picture: Image.Image, data: bytes) -> Image.Image:
    """Return a loaded picture as RGB, or as RGBA if any pixel is transparent. ``data`` is its file."""
    key = picture.info.get("transparency")
    if picture.mode.startswith("I"):
        levels = picture.convert("I")
        shown = levels.point(lambda level: level / 257).convert("L").convert("RGB")
        return _with_alpha(shown, _unlike(levels, key)) if isinstance(key, int) else shown
    if picture.mode == "RGB" and isinstance(key, tuple) and is_deep(data):
        return _with_alpha(picture, _unlike_deep(picture, _lower_bytes(data), key))
    if picture.has_transparency_data:
        found = picture.convert("RGBA")
        return found if found.getchannel("A").getextrema()[0] != 255 else found.convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def on_white(picture: Image.Image) -> Image.Image:
    """Return an RGB picture; what is transparent in an RGBA picture becomes white."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def is_deep(data: bytes) -> bool:
    """Whether the file is a PNG with 16 bits a channel."""
    return data.startswith(SIGNATURE) and data[24:25] == b"\x10"


def turn_deep(picture: Image.Image, data: bytes, turn: Image.Transpose) -> bytes | None:
    """Return a 16-bit colour PNG turned, with its profile and transparent colour; None for other pictures."""
    if not is_deep(data) or picture.mode not in _COLOUR_TYPES:
        return None
    upper = picture.transpose(turn)
    width, height = upper.size
    samples = bytearray(2 * width * height * len(picture.mode))
    samples[0::2] = upper.tobytes()
    del upper  # the pictures are large
    samples[1::2] = _lower_bytes(data).transpose(turn).tobytes()
    packer = zlib.compressobj(_COMPRESSION)
    row = 2 * width * len(picture.mode)
    pixels = b"".join(
        packer.compress(b"\0" + samples[start : start + row]) for start in range(0, len(samples), row)
    )
    head = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[picture.mode], 0, 0, 0)
    parts = [SIGNATURE, _chunk(b"IHDR", head)]
    profile, key = picture.info.get("icc_profile"), picture.info.get("transparency")
    if isinstance(profile, bytes):
        parts.append(_chunk(b"iCCP", b"ICC\0\0" + zlib.compress(profile)))
    if picture.mode == "RGB" and isinstance(key, tuple):
        parts.append(_chunk(b"tRNS", struct.pack(">HHH", *key)))
    return b"".join((*parts, _chunk(b"IDAT", pixels + packer.flush()), _chunk(b"IEND", b"")))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _lower_bytes(data: bytes) -> Image.Image:
    """Return the lower bytes of a 16-bit colour PNG: its samples read as if they were little-endian."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        picture.tile = [tile._replace(args=f"{picture.mode};16L") for tile in picture.tile]
        picture.load()
        return picture


def _with_alpha(picture: Image.Image, alpha: Image.Image) -> Image.Image:
    if alpha.getextrema()[0] == 255:
        return picture
    found = picture.convert("RGB")
    found.putalpha(alpha)
    return found


def _unlike(levels: Image.Image, key: int) -> Image.Image:
    """Return a mask: 0 where the level is ``key``, else 255."""
    return ImageMath.lambda_eval(
        lambda names: names["convert"]((names["levels"] != key) * 255, "L"), levels=levels
    )


def _unlike_deep(upper: Image.Image, lower: Image.Image, key: tuple[int, ...]) -> Image.Image:
    """Return the mask of a 16-bit transparent colour."""
    mask = Image.new("L", upper.size, 0)
    for image, values in ((upper, [value >> 8 for value in key]), (lower, [value & 255 for value in key])):
        for band, value in zip(image.split(), values, strict=True):
            differs = band.point([0 if level == value else 255 for level in range(256)])
            mask = ImageChops.lighter(mask, differs)
    return mask
