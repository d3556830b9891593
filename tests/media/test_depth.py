"""Pictures of 16 bits a channel and transparent ones look right wherever they are shown, and stay as deep."""

import io
import struct
from collections.abc import Iterator

import pytest
from PIL import Image

from imagemill.media.contact_sheet import Tile, draw
from imagemill.media.encoding import open_checked
from imagemill.media.pixels import on_white, plain
from imagemill.media.sandbox import DecodeLimits, DecoderPool
from tests.media.files import deep_png, ramp

_COLOUR_TYPES = {"RGB": 2, "RGBA": 6}
_SAMPLES = [(0, 1, 65535), (257, 258, 40000), (12345, 54321, 255), (256, 512, 1), (9, 8, 7), (65535, 0, 255)]
"""The pixels of a picture of 3 x 2."""


@pytest.fixture(scope="module")
def decoders() -> Iterator[DecoderPool]:
    pool = DecoderPool(DecodeLimits(2**20), count=1)
    yield pool
    pool.close()


def deep(mode: str, key: tuple[int, ...] = ()) -> bytes:
    alpha = (30000,) if mode == "RGBA" else ()
    rows = [_SAMPLES[:3], _SAMPLES[3:]]
    body = b"".join(b"\0" + b"".join(struct.pack(">H", s) for p in row for s in (*p, *alpha)) for row in rows)
    return deep_png((3, 2), _COLOUR_TYPES[mode], body, struct.pack(">HHH", *key) if key else b"")


def loaded(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def samples(data: bytes) -> list[tuple[int, ...]]:
    """The 16-bit pixels row by row: upper bytes as Pillow reads them, lower ones as if they were upper."""
    upper = loaded(data)
    lower = Image.open(io.BytesIO(data))
    lower.tile = [tile._replace(args=f"{upper.mode};16L") for tile in lower.tile]
    lower.load()
    both = zip(upper.get_flattened_data(), lower.get_flattened_data(), strict=True)
    return [tuple(256 * high + low for high, low in zip(*pair, strict=True)) for pair in both]


def test_the_classifier_sees_the_levels_of_a_16_bit_grey(decoders: DecoderPool):
    pixels = decoders.raster(ramp(), 256, 4)
    assert list(pixels[: 3 * 256 : 3]) == list(range(256))


def test_finishing_and_sheets_see_the_levels_of_a_16_bit_grey():
    assert list(open_checked(ramp(), 2**20).getchannel("G").tobytes()[:256]) == list(range(256))
    sheet = loaded(draw([Tile(ramp(), ("ramp",))], "", columns=1, side_px=256)).convert("L")
    top = next(y for y in range(sheet.height) if sheet.getpixel((16 + 10, y)) == 10)
    assert [sheet.getpixel((16 + x, top)) for x in range(256)] == list(range(256))


def test_what_is_transparent_is_white_to_the_classifier(decoders: DecoderPool):
    image = Image.new("RGBA", (4, 2), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 2, 2))
    file = io.BytesIO()
    image.save(file, "PNG")
    assert decoders.raster(file.getvalue(), 4, 2)[:12] == bytes((0, 0, 255) * 2 + (255,) * 6)


def test_one_transparent_level_of_a_16_bit_grey():
    rows = b"\0" + struct.pack(">HHHH", 1000, 1001, 65535, 0)
    data = deep_png((4, 1), 0, rows, struct.pack(">H", 1000))
    shown = plain(loaded(data), data)
    assert list(shown.getchannel("A").tobytes()) == [0, 255, 255, 255]
    assert list(on_white(shown).getchannel("R").tobytes()) == [255, 3, 255, 0]


def test_one_transparent_colour_of_16_bits():
    data = deep("RGB", key=(257, 258, 40000))
    shown = plain(loaded(data), data)
    assert list(shown.getchannel("A").tobytes()) == [255, 0, 255, 255, 255, 255]
    assert shown.convert("RGB").tobytes() == bytes(s >> 8 for pixel in _SAMPLES for s in pixel)
    unused = deep("RGB", key=(257, 258, 40001))
    assert plain(loaded(unused), unused).mode == "RGB"


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize(
    ("orientation", "order"),
    [
        (2, (2, 1, 0, 5, 4, 3)),
        (3, (5, 4, 3, 2, 1, 0)),
        (4, (3, 4, 5, 0, 1, 2)),
        (5, (0, 3, 1, 4, 2, 5)),
        (6, (3, 0, 4, 1, 5, 2)),
        (7, (5, 2, 4, 1, 3, 0)),
        (8, (2, 5, 1, 4, 0, 3)),
    ],
)
def test_a_turned_picture_keeps_its_16_bits(
    decoders: DecoderPool, mode: str, orientation: int, order: tuple[int, ...]
):
    key = (257, 258, 40000) if mode == "RGB" else ()
    width, height, upright = decoders.decode(deep(mode, key), orientation)
    assert (width, height) == loaded(upright).size == ((3, 2) if orientation < 5 else (2, 3))
    assert [pixel[:3] for pixel in samples(upright)] == [_SAMPLES[index] for index in order]
    assert loaded(upright).info.get("transparency") == (key or None)


def test_a_turned_16_bit_grey_keeps_its_levels(decoders: DecoderPool):
    _, _, upright = decoders.decode(ramp(), 3)
    picture = loaded(upright)
    assert picture.mode.startswith("I;16")
    assert [picture.getpixel((x, 0)) for x in range(256)] == [257 * (255 - x) for x in range(256)]
