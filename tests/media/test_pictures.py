"""Pictures are decoded under limits before they are trusted, and get their parameters written in."""

import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from imagemill.media import pictures
from imagemill.media.pictures import InvalidImage, PictureInfo, inspect, with_png_text

PIXELS = 1_000_000
MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def picture(
    format_: str = "PNG", size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any
) -> bytes:
    image = Image.effect_noise(size, 90).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def animation(format_: str) -> bytes:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, format_, save_all=True, append_images=frames[1:], duration=50, loop=0)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width: int, height: int) -> bytes:
    """A small file that would decode to a picture of this size."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    row = zlib.compress(bytes(1000), 9)
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", row) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("format_", MEDIA_TYPES)
@pytest.mark.parametrize("size", [(40, 30), (1, 1), (1000, 1)])
def test_a_picture_tells_its_type_and_size(format_: str, size: tuple[int, int]) -> None:
    info = inspect(picture(format_, size), max_pixels=PIXELS)

    assert info == PictureInfo(MEDIA_TYPES[format_], *size)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_png_colour_modes_are_all_read(mode: str) -> None:
    assert inspect(picture(mode=mode), max_pixels=PIXELS).width == 40


@pytest.mark.parametrize("format_", MEDIA_TYPES)
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused(format_: str, kept: float) -> None:
    whole = picture(format_)

    with pytest.raises(InvalidImage):
        inspect(whole[: int(len(whole) * kept)], max_pixels=PIXELS)


def test_a_picture_with_a_flipped_bit_in_its_pixels_is_refused() -> None:
    broken = bytearray(picture())
    broken[len(broken) // 2] ^= 0xFF

    with pytest.raises(InvalidImage):
        inspect(bytes(broken), max_pixels=PIXELS)


def test_one_pixel_too_many_is_refused_with_the_limit_in_the_message() -> None:
    assert inspect(picture(size=(100, 100)), max_pixels=10_000).height == 100
    with pytest.raises(InvalidImage, match="100 x 101 is more than 10000 pixels"):
        inspect(picture(size=(100, 101)), max_pixels=10_000)


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (2**31 - 1, 2**31 - 1), (0, 10)])
def test_a_decompression_bomb_is_refused_without_being_decoded(width: int, height: int) -> None:
    with pytest.raises(InvalidImage):
        inspect(png_claiming(width, height), max_pixels=PIXELS)


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF", "ICO", "PPM", "PDF", "TGA"])
def test_other_formats_are_refused(format_: str) -> None:
    with pytest.raises(InvalidImage):
        inspect(picture(format_), max_pixels=PIXELS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html><script>alert(1)</script></html>",
        b"%PDF-1.7\n",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"RIFF\x10\0\0\0WEBPVP8 ",
        b"<script>alert(1)</script>" + picture(),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        inspect(data, max_pixels=PIXELS)


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_a_polyglot_is_what_its_first_bytes_say(format_: str) -> None:
    """The type is decided by the decoder alone, never by what else is in the file."""
    polyglot = picture(format_) + b"<script>alert(1)</script>PK\x03\x04%PDF-1.7"

    assert inspect(polyglot, max_pixels=PIXELS).media_type == MEDIA_TYPES[format_]


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_an_animation_counts_as_its_first_frame(format_: str) -> None:
    info = inspect(animation(format_), max_pixels=PIXELS)

    assert (info.width, info.height) == (16, 16)


def test_a_bad_picture_does_not_stop_the_next_good_one() -> None:
    """Truncated pictures stay refused whatever another library has set before."""
    whole = picture("JPEG")
    with pytest.raises(InvalidImage):
        inspect(whole[:-200], max_pixels=PIXELS)

    assert inspect(whole, max_pixels=PIXELS).media_type == "image/jpeg"


@pytest.mark.parametrize(
    "text",
    ["Steps: 20, Seed: 1", "", "Ein Leuchtturm bei Nebel, größer", "灯台、霧の中", "🗼" * 2000, "a\nb\tc"],
)
def test_text_is_read_back_by_pillow_and_pixels_are_kept(text: str) -> None:
    plain = picture(mode="RGBA")

    written = with_png_text(plain, "parameters", text)

    with Image.open(io.BytesIO(written)) as after, Image.open(io.BytesIO(plain)) as before:
        after.load()
        assert isinstance(after, PngImagePlugin.PngImageFile)
        assert after.text["parameters"] == text
        assert after.tobytes() == before.tobytes()
    assert inspect(written, max_pixels=PIXELS) == inspect(plain, max_pixels=PIXELS)


def test_several_texts_live_side_by_side() -> None:
    written = with_png_text(with_png_text(picture(), "parameters", "one"), "workflow", "{}")

    with Image.open(io.BytesIO(written)) as image:
        image.load()
        assert image.info["parameters"] == "one"
        assert image.info["workflow"] == "{}"


def test_every_chunk_of_a_written_png_has_a_right_checksum() -> None:
    data = with_png_text(picture(), "parameters", "größer")
    kinds: list[bytes] = []
    offset = 8
    while offset < len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        kind, body = data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, offset + 8 + length)
        assert checksum == zlib.crc32(kind + body)
        kinds.append(kind)
        offset += 12 + length

    assert kinds[:2] == [b"IHDR", b"iTXt"]
    assert kinds[-1] == b"IEND"


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "GIF"])
def test_text_goes_into_a_png_only(format_: str) -> None:
    with pytest.raises(InvalidImage, match="not a PNG"):
        with_png_text(picture(format_), "parameters", "text")


# Small plain PNGs are checked without Pillow.

WIDTH, HEIGHT = 7, 5
ROWS = b"".join(bytes([number % 5]) + bytes(range(21)) for number in range(HEIGHT))
SHAPE = (WIDTH, HEIGHT, 8, 2, 0, 0, 0)
quick = pictures._inspect_simple_png  # pyright: ignore[reportPrivateUsage]


def plain_png(
    shape: tuple[int, ...] = SHAPE,
    rows: bytes = ROWS,
    *,
    stream: bytes | None = None,
    before: bytes = b"",
    behind: bytes = b"",
) -> bytes:
    """A PNG with these chunks before and behind its pixels, whose zlib stream is ``stream``."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *shape))
    pixels = png_chunk(b"IDAT", zlib.compress(rows) if stream is None else stream)
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + behind + png_chunk(b"IEND", b"")


def seen_by_pillow(data: bytes) -> PictureInfo | None:
    with suppress(Exception), Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.load()
        return PictureInfo("image/png", *image.size)
    return None


@pytest.mark.parametrize("size", [(40, 30), (1, 1), (100, 150)])
def test_a_plain_png_is_checked_without_pillow(size: tuple[int, int]) -> None:
    assert quick(picture(size=size)) == PictureInfo("image/png", *size)
    assert quick(plain_png()) == PictureInfo("image/png", WIDTH, HEIGHT) == seen_by_pillow(plain_png())


@pytest.mark.parametrize(
    "data",
    [
        plain_png((WIDTH, HEIGHT, 8, 6, 0, 0, 0)),
        plain_png((WIDTH, HEIGHT, 16, 2, 0, 0, 0)),
        plain_png((WIDTH, HEIGHT, 8, 2, 1, 0, 0)),
        plain_png((WIDTH, HEIGHT, 8, 2, 0, 0, 1)),
        plain_png((0, HEIGHT, 8, 2, 0, 0, 0)),
        plain_png((2**31, 2**31, 8, 2, 0, 0, 0)),
        plain_png(rows=ROWS[:-1]),
        plain_png(rows=ROWS + b"\0"),
        plain_png(rows=b"\5" + ROWS[1:]),
        plain_png(rows=bytes(50_000_000)),
        plain_png(stream=zlib.compress(ROWS)[:-1]),
        plain_png(stream=zlib.compress(ROWS)[:-4] + b"\0\0\0\0"),
        plain_png(stream=zlib.compress(ROWS) + b"more"),
        plain_png(stream=b""),
        plain_png(before=png_chunk(b"tEXt", b"a\0b")),
        plain_png(before=png_chunk(b"PLTE", bytes(3))),
        plain_png(behind=png_chunk(b"IDAT", b"")),
        plain_png() + b"PK",
        plain_png()[:-1],
        picture(size=(257, 256)),
        picture(mode="RGBA"),
    ],
    ids=range(21),
)
def test_any_other_png_is_left_to_pillow(data: bytes) -> None:
    assert quick(data) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_accepted_without_pillow_pillow_accepts_too(data: st.DataObject) -> None:
    """Files that are damaged anywhere, with right and wrong checksums."""
    stream = bytearray(zlib.compress(ROWS, data.draw(st.integers(0, 9))))
    shape = [*SHAPE]
    match data.draw(st.sampled_from(["nothing", "shape", "stream", "rows", "file"])):
        case "shape":
            shape[data.draw(st.integers(0, 6))] = data.draw(st.integers(0, 40))
        case "stream":
            stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
        case "rows":
            rows = bytearray(ROWS)
            rows[data.draw(st.integers(0, len(rows) - 1))] = data.draw(st.integers(0, 255))
            stream = bytearray(zlib.compress(rows[: data.draw(st.integers(0, len(rows)))]))
        case _:
            pass
    file = bytearray(plain_png(tuple(shape), stream=bytes(stream)))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(file) - 1))
        file[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    found = quick(bytes(file))
    assert found is None or found == seen_by_pillow(bytes(file))
