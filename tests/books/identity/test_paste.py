"""A node's picture of a crop comes back into the illustration, and nothing else changes."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from imagemill.media.layout import InvalidImage
from imagemill.media.sandbox import DecoderPool, transform_limits
from imagemill.media.transforms import TransformContext
from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import CropBox, FaceTarget
from imagemill.products.books.identity.crops import paste
from imagemill.products.books.identity.masks import face_area
from imagemill.products.books.identity.paste import PasteBack, crop_for, crop_mask
from imagemill.products.books.identity.rasters import read_pixels, write_png
from tests.books.drawn_pages import PAGES, draw_page

SIZE = (1275, 1275)
FACTS = TransformContext("job-1", 1, 0, None, "", "")
PAGE = PAGES[2]
TARGET = PAGE.targets[0]
assert TARGET.box is not None
BOX: Box = TARGET.box


def test_a_crop_is_the_square_around_the_face_at_the_nodes_size():
    data, crop = crop_for(draw_page(PAGE), BOX, 512)
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.size) == ("PNG", (512, 512))
    assert crop.picture == (1000, 1000)
    assert crop.left < BOX.x * 1000
    assert crop.left + crop.side > (BOX.x + BOX.width) * 1000
    assert crop.top < BOX.y * 1000
    assert crop.top + crop.side > (BOX.y + BOX.height) * 1000


@pytest.mark.parametrize("x", [0.0, 0.8])
def test_a_crop_at_the_edge_stays_inside_the_picture(x: float):
    _, crop = crop_for(draw_page(PAGE), Box(x=x, y=0.8, width=0.2, height=0.2), 256)
    assert crop.left >= 0
    assert crop.left + crop.side <= 1000
    assert crop.top + crop.side <= 1000


def test_a_face_as_large_as_the_picture_gives_the_whole_picture():
    _, crop = crop_for(draw_page(PAGE), Box(x=0.05, y=0.05, width=0.9, height=0.9), 256)
    assert (crop.left, crop.top, crop.side) == (0, 0, 1000)


def test_the_mask_of_the_crop_is_white_on_the_face_only():
    _, crop = crop_for(draw_page(PAGE), BOX, 512)
    mask = np.array(Image.open(io.BytesIO(crop_mask(draw_page(PAGE), TARGET, crop, 512))))
    assert mask.shape == (512, 512)
    assert mask[256, 256] == 255
    assert not mask[:40].any()
    assert 0.1 < (mask > 128).mean() < 0.35


def drawn_by_a_node(crop: bytes) -> np.ndarray:
    """The crop with a green square on the face, and all of it a little darker, as edit models make it."""
    pixels = (read_pixels(crop).astype(float) * 0.93).astype(np.uint8)
    pixels[200:312, 200:312] = (40, 160, 60)
    return pixels


@pytest.mark.parametrize("side", [1000, 1530])
def test_outside_the_feathered_mask_nothing_changes(side: int):
    crop, place = crop_for(draw_page(PAGE), BOX, 512)
    page = read_pixels(draw_page(PAGE))
    page = np.array(Image.fromarray(page).resize((side, side), Image.Resampling.LANCZOS))
    made = paste(page, drawn_by_a_node(crop), place, TARGET)
    area = face_area(page, TARGET)
    free = np.ones(page.shape[:2], bool)
    free[area.part] = area.alpha == 0
    assert np.array_equal(made[free], page[free])
    x, y = round(area.frame.x), round(area.frame.y)
    red, green, blue = made[y, x].astype(int)
    assert green > red + 60
    assert green > blue + 60


def test_colours_are_matched_at_the_edge_of_the_mask():
    """The node made everything darker: on the page the skin near the edge is as bright as it was."""
    crop, place = crop_for(draw_page(PAGE), BOX, 512)
    page = read_pixels(draw_page(PAGE))
    darker = (read_pixels(crop).astype(float) * 0.9).astype(np.uint8)
    made = paste(page, darker, place, TARGET).astype(int)
    area = face_area(page, TARGET)
    changed = made[area.part][area.alpha > 0.9] - page[area.part].astype(int)[area.alpha > 0.9]
    assert abs(np.median(changed)) <= 3
    assert page[area.part][area.alpha > 0.9].mean() * 0.1 > 12, "unmatched, it would be this much darker"


def test_a_mask_beyond_the_crop_fades_at_the_crops_border():
    page = read_pixels(draw_page(PAGE))
    wide = FaceTarget("hero", mask=write_png(np.full((50, 50), 255, np.uint8)))
    place = CropBox(300, 300, 400, (1000, 1000))
    made = paste(page, np.zeros((256, 256, 3), np.uint8), place, wide)
    changed = (made != page).any(-1)
    assert not changed[:300].any()
    assert not changed[701:].any()
    assert not changed[:, :300].any()
    steps = np.abs(np.diff(made[500, 290:330].astype(int).sum(-1)))
    assert steps.max() < 120, "no hard line at the border"


def test_the_transform_makes_a_jpeg_at_print_size():
    crop, place = crop_for(draw_page(PAGE), BOX, 512)
    work = PasteBack(draw_page(PAGE), place, TARGET, (1275, 1275))
    assert pickle.loads(pickle.dumps(work)) == work
    (file,) = work(write_png(drawn_by_a_node(crop)), FACTS)
    assert (file.media_type, file.width, file.height) == ("image/jpeg", 1275, 1275)
    with Image.open(io.BytesIO(file.data)) as picture:
        assert picture.size == (1275, 1275)
        assert picture.info["dpi"] == (300, 300)


def test_a_damaged_picture_of_a_node_is_refused():
    _, place = crop_for(draw_page(PAGE), BOX, 512)
    with pytest.raises(InvalidImage, match="cannot be decoded"):
        PasteBack(draw_page(PAGE), place, TARGET, (500, 500))(b"\x89PNG\r\n\x1a\nnot really", FACTS)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("target", [TARGET, FaceTarget("hero")], ids=["box", "found"])
def test_the_transform_runs_in_a_confined_process(target: FaceTarget):
    """A node's picture is untrusted: it is decoded with limited memory, and no file can be written."""
    base = draw_page(PAGE)
    crop, place = crop_for(base, BOX, 512)
    pool = DecoderPool(transform_limits(4_000_000, 120), count=1)
    try:
        (file,) = pool.transform(
            PasteBack(base, place, target, SIZE), write_png(drawn_by_a_node(crop)), FACTS
        )
    finally:
        pool.close()
    assert (file.media_type, file.width, file.height) == ("image/jpeg", *SIZE)
