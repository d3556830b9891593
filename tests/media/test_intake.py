"""Pictures from outside: what is kept of them, and what is refused."""

import io
import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from imagemill.media import layout
from imagemill.media.intake import InputSanitizer, PictureLimits, parse
from imagemill.media.layout import InvalidImage, NotAccepted
from imagemill.media.sandbox import DecodeLimits, DecoderPool
from tests.media.files import (
    FORMATS,
    animation,
    bomb,
    chunk,
    corner,
    long_orientation,
    picture,
    png,
    segment,
    turned,
    with_segment,
)

LIMITS = PictureLimits(bytes=2_000_000, pixels=1_000_000, side=2000)
SECONDS = 5.0
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.fixture(scope="module")
def intake() -> Iterator[InputSanitizer]:
    it = InputSanitizer(LIMITS, DecoderPool(DecodeLimits(LIMITS.pixels, SECONDS), count=1))
    yield it
    it.close()


def refused(intake: InputSanitizer, data: bytes) -> str:
    with pytest.raises(InvalidImage) as error:
        intake.sanitize(data)
    return str(error.value)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def colour(image: Image.Image, place: tuple[int, int]) -> tuple[int, ...]:
    left, top = place
    return tuple(image.convert("RGB").crop((left, top, left + 1, top + 1)).tobytes())


_MODES = {"PNG": "RGB L RGBA P", "JPEG": "RGB L CMYK", "WEBP": "RGB RGBA"}


@pytest.mark.parametrize(
    ("format_", "mode"), [(format_, mode) for format_, modes in _MODES.items() for mode in modes.split()]
)
def test_a_plain_picture_keeps_every_pixel(intake: InputSanitizer, format_: str, mode: str):
    data = picture(format_, mode=mode)
    taken = intake.sanitize(data)
    assert (taken.info.width, taken.info.height) == (40, 30)
    assert opened(taken.data).tobytes() == opened(data).tobytes()


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_kept_upright_and_without_where_it_was_taken(
    intake: InputSanitizer, format_: str, orientation: int
):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(format_, {})
    taken = intake.sanitize(turned(format_, orientation, **options))
    kept = opened(taken.data)
    upright = corner() if orientation == 1 else corner().transpose(_TURNS[orientation])
    assert (kept.width, kept.height) == (taken.info.width, taken.info.height) == upright.size
    assert not kept.getexif()
    assert b"Maker" not in taken.data
    for place in ((8, 8), (upright.width - 8, 8), (8, upright.height - 8)):
        pairs = zip(colour(kept, place), colour(upright, place), strict=True)
        assert max(abs(a - b) for a, b in pairs) < 12


def test_a_jpeg_that_need_not_be_turned_keeps_its_coded_data(intake: InputSanitizer):
    plain = picture("JPEG", quality=80)
    told = with_segment(with_segment(plain, 0xFE, b"<script>"), 0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
    taken = intake.sanitize(told)
    scan = plain[plain.index(b"\xff\xda") :]
    assert taken.data.endswith(scan)
    assert b"script" not in taken.data
    assert b"adobe.com" not in taken.data


@pytest.mark.parametrize("format_", FORMATS)
def test_a_colour_profile_is_kept(intake: InputSanitizer, format_: str):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    taken = intake.sanitize(picture(format_, icc_profile=profile))
    assert opened(taken.data).info["icc_profile"] == profile


@pytest.mark.parametrize("format_", FORMATS)
def test_what_calls_itself_a_colour_profile_and_is_none_is_dropped(intake: InputSanitizer, format_: str):
    taken = intake.sanitize(picture(format_, icc_profile=b"<html>PK\3\4" * 40))
    assert "icc_profile" not in opened(taken.data).info
    assert b"<html>" not in taken.data


def test_texts_and_times_of_a_png_are_dropped(intake: InputSanitizer):
    said = [chunk(b"tEXt", b"Comment\0<html>"), chunk(b"tIME", bytes(7)), chunk(b"prVt", b"PK\3\4")]
    taken = intake.sanitize(png(*said))
    assert taken.data == png()


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_packed_chunk_that_grows_without_end_is_not_unpacked(intake: InputSanitizer, kind: bytes):
    begin = time.perf_counter()
    taken = intake.sanitize(png(bomb(kind)))
    assert taken.data == png()
    assert time.perf_counter() - begin < SECONDS


@pytest.mark.parametrize("size", [(30_000, 30_000), (2**31 - 1, 1), (1, 2**31 - 1), (0, 8), (8, 0)])
def test_a_picture_that_says_it_is_huge_or_empty_is_refused_by_its_header(
    intake: InputSanitizer, size: tuple[int, int]
):
    assert "pixels" in refused(intake, png(size=size))


def test_a_long_side_is_refused_though_there_are_few_pixels(intake: InputSanitizer):
    assert "at most 2000 pixels a side" in refused(intake, picture(size=(2001, 1)))


def test_more_bytes_than_accepted_are_refused(intake: InputSanitizer):
    assert "at most 2000000 are accepted" in refused(intake, png(chunk(b"tEXt", bytes(2_000_000))))


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_picture_is_refused(intake: InputSanitizer, format_: str, kept: float):
    whole = picture(format_)
    refused(intake, whole[: int(len(whole) * kept)])


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("tail", [b"<script>alert(1)</script>", b"PK\3\4" + bytes(100) + b"!", b"%PDF-1.7"])
def test_a_picture_with_something_after_it_is_refused(intake: InputSanitizer, format_: str, tail: bytes):
    assert f"has {len(tail)} bytes after its end" in refused(intake, picture(format_) + tail)


@pytest.mark.parametrize("format_", FORMATS)
def test_filling_after_the_end_is_cut_off(intake: InputSanitizer, format_: str):
    data = picture(format_)
    assert intake.sanitize(data + bytes(100)).data == intake.sanitize(data).data


_NOTE = b"\x00\x00\x01\x0a\x0e\x00\x00\x00Image_UTC_Data1764367200000"
_SAMSUNG = (
    _NOTE + b"SEFH" + struct.pack("<IIHHII", 107, 1, 0, 0x0A01, len(_NOTE), len(_NOTE)) + b"\x18\0\0\0SEFT"
)
_VIDEO = struct.pack(">I", 24) + b"ftypmp42" + bytes(12) + b"moov of a motion photo"


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("tail", [b"\n", b"\r\n", b"\0\0\n", _SAMSUNG, _SAMSUNG + b"\n", _VIDEO])
def test_what_phones_and_mailers_append_is_cut_off(intake: InputSanitizer, format_: str, tail: bytes):
    data = picture(format_)
    assert intake.sanitize(data + tail).data == intake.sanitize(data).data


def test_the_second_picture_of_a_phone_is_cut_off(intake: InputSanitizer):
    both = with_segment(picture("JPEG"), 0xE2, b"MPF\0II*\0") + picture("JPEG", size=(10, 10))
    assert intake.sanitize(both).info.width == 40
    assert "after its end" in refused(intake, picture("JPEG") + picture("JPEG", size=(10, 10)))


@pytest.mark.parametrize(("format_", "lossless"), [("PNG", False), ("WEBP", False), ("WEBP", True)])
def test_an_animation_is_refused(intake: InputSanitizer, format_: str, lossless: bool):
    data = animation(format_, lossless=True) if lossless else animation(format_)
    assert refused(intake, data) == "is animated; send one still picture"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (animation("GIF"), "a GIF"),
        (picture("BMP"), "a BMP"),
        (picture("TIFF"), "a TIFF"),
        (picture("AVIF"), "an AVIF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "HTML, SVG"),
        (b"  <!doctype html>", "HTML, SVG"),
        (b"%PDF-1.7", "a PDF"),
        (b"PK\3\4", "a ZIP"),
        (b"", "empty"),
        (b"<script></script>" + picture(), "HTML, SVG"),
        (bytes(1000), "not a picture of a known type"),
    ],
    ids=["gif", "bmp", "tiff", "avif", "svg", "page", "pdf", "zip", "nothing", "page before", "zeros"],
)
def test_a_file_of_another_type_is_named(data: bytes, name: str):
    with pytest.raises(NotAccepted, match=name):
        parse(data)


def test_a_jpeg_of_very_many_scans_is_refused_undecoded(intake: InputSanitizer):
    progressive = picture("JPEG", progressive=True)
    start = progressive.index(b"\xff\xda")
    scans = progressive[:start] + segment(0xDA, bytes(6)) * 200 + progressive[start:]
    assert "more than 100 scans" in refused(intake, scans)


def test_very_many_chunks_are_refused(intake: InputSanitizer):
    assert "more than 65536 chunks" in refused(intake, png(chunk(b"tEXt", b"") * (layout.MOST_PARTS + 1)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_an_orientation_of_four_bytes_is_read(order: str, value: int):
    assert layout.orientation(long_orientation(value, order)) == value


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_picture_with_an_orientation_of_four_bytes_is_turned(intake: InputSanitizer, order: str):
    data = with_segment(picture("JPEG"), 0xE1, b"Exif\0\0" + long_orientation(6, order))
    assert (intake.sanitize(data).info.width, intake.sanitize(data).info.height) == (30, 40)


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 5000,
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0",
    ],
)
def test_broken_exif_means_upright(exif: bytes):
    assert layout.orientation(exif) == 1


def _mutants(count: int) -> Iterator[bytes]:
    """Sound files with a few bytes changed, dropped, doubled or taken from another."""
    sound = [picture(format_, size=(24, 18), mode=mode) for format_ in FORMATS for mode in ("RGB", "L")[:2]]
    sound += [turned(format_, 6) for format_ in FORMATS]
    sound += [picture("JPEG", progressive=True), picture("PNG", mode="P"), picture("WEBP", lossless=True)]
    draw = random.Random(20)
    for _ in range(count):
        data = bytearray(draw.choice(sound))
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(data))
            match draw.randrange(5):
                case 0:
                    data[place] = draw.randrange(256)
                case 1:
                    del data[place : place + draw.randint(1, 40)]
                case 2:
                    data[place:place] = data[place : place + draw.randint(1, 40)]
                case 3:
                    data[place : place + 4] = draw.choice(
                        [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"]
                    )
                case _:
                    other = draw.choice(sound)
                    data[place:] = other[draw.randrange(len(other)) :]
            data = data or bytearray(b"\0")
        yield bytes(data)


def test_thousands_of_damaged_files_are_taken_or_refused_and_nothing_else(intake: InputSanitizer):
    """Never another error, a late answer or a process that has grown; what is taken is sound."""
    taken = 0
    slowest = 0.0
    for data in _mutants(3000):
        begin = time.perf_counter()
        try:
            kept = intake.sanitize(data)
        except InvalidImage:
            pass
        else:
            taken += 1
            assert parse(kept.data).kept == kept.data
        slowest = max(slowest, time.perf_counter() - begin)
    assert taken > 100
    assert slowest < SECONDS
    assert _peak_mb(intake) < 150


def _peak_mb(intake: InputSanitizer) -> float:
    decoders = intake._decoders  # pyright: ignore[reportPrivateUsage] - there is no other way to its process
    status = Path(f"/proc/{decoders.processes[0]}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    start=st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBP", b""]),
    rest=st.binary(max_size=300),
)
def test_any_bytes_are_read_or_refused(start: bytes, rest: bytes):
    try:
        found = parse(start + rest)
    except InvalidImage:
        return
    assert found.kept


@settings(max_examples=300, deadline=None)
@given(exif=st.binary(max_size=200), order=st.sampled_from([b"II*\0", b"MM\0*"]))
def test_any_exif_gives_an_orientation(exif: bytes, order: bytes):
    assert 1 <= layout.orientation(order + exif) <= 8
