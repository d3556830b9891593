"""Odd and damaged pictures: each work gives a result or says that the picture cannot be decoded."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from imagemill.media.layout import InvalidImage
from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import FaceTarget
from imagemill.products.books.identity.local import TransferFaces
from imagemill.products.books.identity.photo import AnalysePhoto
from imagemill.products.books.identity.rasters import read_pixels, write_png
from imagemill.products.books.identity.score import score_face
from tests.books.drawn_pages import PAGES, draw_page
from tests.books.drawn_photos import photo

TARGET = FaceTarget("hero", box=Box(x=0.4, y=0.3, width=0.25, height=0.28))


def encoded(mode: str, kind: str, **options) -> bytes:
    with Image.open(io.BytesIO(photo(5))) as picture:
        converted = (
            picture.convert("L").convert(mode) if mode in ("I;16", "1", "LA") else picture.convert(mode)
        )
    file = io.BytesIO()
    converted.save(file, kind, **options)
    return file.getvalue()


def transparent() -> bytes:
    with Image.open(io.BytesIO(photo(5))) as picture:
        alpha = Image.radial_gradient("L").resize(picture.size).point(lambda level: 255 - level)
        picture.putalpha(alpha)
        file = io.BytesIO()
        picture.save(file, "PNG")
    return file.getvalue()


def deep_grey() -> bytes:
    """A PNG of 16 bits a channel."""
    with Image.open(io.BytesIO(photo(5))) as picture:
        levels = np.array(picture.convert("L")).astype(np.uint16) * 257
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    return file.getvalue()


USABLE = {
    "cmyk": lambda: encoded("CMYK", "JPEG", quality=95),
    "grey": lambda: encoded("L", "JPEG", quality=95),
    "grey with alpha": lambda: encoded("LA", "PNG"),
    "palette": lambda: encoded("P", "PNG"),
    "16 bits": deep_grey,
    "alpha": transparent,
    "webp": lambda: encoded("RGB", "WEBP", quality=90),
}


@pytest.mark.parametrize("name", USABLE)
def test_photos_of_odd_modes_are_analysed_like_others(name: str):
    data = USABLE[name]()
    result = AnalysePhoto()({"photo": data})
    assert result.values["usable"] is True, result.values
    crop = result.files[0].data
    page = TransferFaces((TARGET,), (400, 400), seed=1)({"base": draw_page(PAGES[0], 400), "face.hero": crop})
    assert read_pixels(page.files[0].data).shape == (400, 400, 3)
    assert score_face(page.files[0].data, TARGET.box, crop) is not None


@pytest.mark.parametrize("name", USABLE)
def test_illustrations_and_crops_of_odd_modes_work(name: str):
    data = USABLE[name]()
    result = TransferFaces((TARGET,), (320, 400), seed=1)({"base": data, "face.hero": data})
    assert read_pixels(result.files[0].data).shape == (400, 320, 3)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_orientation_is_applied_and_the_location_dropped(orientation: int):
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    with Image.open(io.BytesIO(photo(5))) as picture:
        stored = picture.transpose(turns[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (50.0, 27.0, 0.0)
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=95, exif=exif)
    assert b"Exif" in file.getvalue()
    result = AnalysePhoto()({"photo": file.getvalue()})
    assert result.values["usable"] is True
    assert abs(result.values["tilt"]) < 12
    assert b"Exif" not in result.files[0].data


def bomb() -> bytes:
    """A PNG of a few kilobytes that states 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


DAMAGED = {
    "empty": lambda: b"",
    "text": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "truncated jpeg": lambda: photo(5)[: len(photo(5)) // 2],
    "truncated png": lambda: draw_page(PAGES[0], 400)[:2000],
    "bomb": bomb,
    "gif": lambda: encoded("P", "GIF"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pictures_are_refused_with_a_reason(name: str):
    data = DAMAGED[name]()
    good = {"base": draw_page(PAGES[0], 400), "face.hero": photo(5)}
    reason = "pixels" if name == "bomb" else "cannot be decoded"
    with pytest.raises(InvalidImage, match=reason):
        AnalysePhoto()({"photo": data})
    for broken in ("base", "face.hero"):
        with pytest.raises(InvalidImage, match=reason):
            TransferFaces((TARGET,), (400, 400))(good | {broken: data})
    with pytest.raises(InvalidImage, match=reason):
        TransferFaces((FaceTarget("hero", mask=data),), (400, 400))(good)
    with pytest.raises(InvalidImage, match=reason):
        score_face(data, TARGET.box, photo(5))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (7, 9)])
def test_tiny_and_thin_pictures_do_no_harm(size: tuple[int, int]):
    data = write_png(np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8))
    assert AnalysePhoto()({"photo": data}).values["problem"] == "no_face"
    result = TransferFaces((TARGET,), size, seed=2)({"base": data, "face.hero": data})
    assert read_pixels(result.files[0].data).shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    "box",
    [
        Box(x=0, y=0, width=1, height=1),
        Box(x=0.999, y=0.999, width=0.0001, height=0.0001),
        Box(x=0, y=0.5, width=1, height=0.001),
    ],
)
def test_boxes_of_any_shape_do_no_harm(box: Box):
    target = FaceTarget("hero", box=box, tilt=-90)
    result = TransferFaces((target,), (300, 300), seed=4)(
        {"base": draw_page(PAGES[0], 300), "face.hero": photo(5)}
    )
    score_face(result.files[0].data, box, photo(5), tilt=-90)
