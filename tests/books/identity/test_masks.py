"""The place of a face: by the mask, by the box, as found, or in the upper half."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import FaceTarget
from imagemill.products.books.identity.masks import face_area
from imagemill.products.books.identity.paste import face_box
from imagemill.products.books.identity.rasters import Pixels, read_pixels
from tests.books.drawn_pages import PAGES, PLAIN, draw_page
from tests.books.drawn_photos import photo


def page(side: int = 600) -> Pixels:
    return read_pixels(draw_page(PLAIN, side))


def disc(size: tuple[int, int], x: float, y: float, radius: float, white: int = 255) -> bytes:
    """A mask as PNG: a disc, in fractions of its size."""
    mask = Image.new("L", size, 0)
    width, height = size
    box = ((x - radius) * width, (y - radius) * height, (x + radius) * width, (y + radius) * height)
    ImageDraw.Draw(mask).ellipse(box, fill=white)
    file = io.BytesIO()
    mask.save(file, "PNG")
    return file.getvalue()


def whole(area, side: int = 600) -> np.ndarray:
    alpha = np.zeros((side, side), np.float32)
    alpha[area.part] = area.alpha
    return alpha


@pytest.mark.parametrize("size", [(600, 600), (150, 150), (1300, 1300), (300, 600)])
def test_a_mask_of_any_size_is_scaled_to_the_page(size: tuple[int, int]):
    area = face_area(page(), FaceTarget("hero", mask=disc(size, 0.5, 0.4, 0.2)))
    assert area.frame.x == pytest.approx(300, abs=4)
    assert area.frame.y == pytest.approx(240, abs=4)
    assert area.frame.width == pytest.approx(240, abs=8)
    assert area.frame.height == pytest.approx(240, abs=8)
    alpha = whole(area)
    assert alpha[240, 300] == 1
    rows, columns = np.mgrid[0:600, 0:600]
    outside = np.hypot(columns - 300, rows - 240) > 120 + 2 * 600 / min(size) + 2  # the mask's own pixels
    assert not alpha[outside].any(), "the soft edge lies inside the mask"


def test_the_edge_is_soft_in_proportion_to_the_face():
    def edge(radius: float) -> int:
        row = whole(face_area(page(), FaceTarget("hero", mask=disc((600, 600), 0.5, 0.5, radius))))[300]
        return int(((row > 0.02) & (row < 0.98)).sum())

    small, large = edge(0.1), edge(0.4)
    assert 3 < small < large
    assert large / small == pytest.approx(4, rel=0.25)


def test_a_grey_mask_lets_the_face_shine_through():
    area = face_area(page(), FaceTarget("hero", mask=disc((600, 600), 0.5, 0.5, 0.2, white=180)))
    assert whole(area)[300, 300] == pytest.approx(180 / 255, abs=0.01)


def test_an_empty_mask_counts_as_none():
    box = Box(x=0.4, y=0.4, width=0.2, height=0.2)
    area = face_area(page(), FaceTarget("hero", mask=disc((600, 600), 0.5, 0.5, 0.2, white=0), box=box))
    assert area.frame.x == pytest.approx(300)


def test_the_box_beside_a_mask_says_where_the_features_are():
    box = Box(x=0.45, y=0.3, width=0.2, height=0.22)
    target = FaceTarget("hero", mask=disc((600, 600), 0.5, 0.4, 0.3), box=box, tilt=9)
    area = face_area(page(), target)
    assert (area.frame.width, area.frame.tilt) == (pytest.approx(120), 9)
    assert whole(area)[240 - 150, 300] > 0.9, "the mask reaches beyond the box"


@pytest.mark.parametrize("tilt", [0, 30, -60])
def test_a_box_with_a_tilt_gives_an_ellipse_that_leans(tilt: float):
    box = Box(x=0.4, y=0.3, width=0.2, height=0.4)
    alpha = whole(face_area(page(), FaceTarget("hero", box=box, tilt=tilt)))
    rows, columns = np.nonzero(alpha > 0.5)
    assert columns.mean() == pytest.approx(300, abs=1.5)
    assert rows.mean() == pytest.approx(300, abs=1.5)
    _, vectors = np.linalg.eigh(np.cov(columns, rows))
    long_x, long_y = vectors[:, 1] * -np.sign(vectors[1, 1])
    assert np.degrees(np.arctan2(long_x, -long_y)) == pytest.approx(tilt, abs=2)


def test_a_mask_with_a_tilt_has_an_upright_frame():
    box = Box(x=0.4, y=0.3, width=0.2, height=0.4)
    leaning = whole(face_area(page(), FaceTarget("hero", box=box, tilt=25)))
    file = io.BytesIO()
    Image.fromarray(((leaning > 0) * 255).astype(np.uint8)).save(file, "PNG")
    frame = face_area(page(), FaceTarget("hero", mask=file.getvalue(), tilt=25)).frame
    assert frame.width == pytest.approx(120, abs=4)
    assert frame.height == pytest.approx(240, abs=4)


def test_without_mask_and_box_the_face_in_the_illustration_is_found():
    """Here the illustration is a drawn photo: the detector knows no cartoons."""
    area = face_area(read_pixels(photo(5)), FaceTarget("hero"))
    assert area.frame.x == pytest.approx(320, abs=25)
    assert 200 < area.frame.width < 340


def test_a_page_that_tells_nothing_gets_the_face_in_the_upper_half():
    frame = face_area(page(), FaceTarget("hero")).frame
    assert frame.x == pytest.approx(300)
    assert frame.y < 300


def test_the_box_of_a_target_is_told_in_fractions():
    head = PAGES[0].heads[0]
    assert face_box(draw_page(PAGES[0]), head.target).x == pytest.approx(head.x - head.width / 2)
    masked = face_box(draw_page(PLAIN, 600), FaceTarget("hero", mask=disc((90, 90), 0.5, 0.4, 0.2)))
    assert masked.width == pytest.approx(0.4, abs=0.02)
