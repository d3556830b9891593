"""The photo's face is on the page, nothing else changes, and each seed looks different."""

import io
import pickle
from functools import cache

import cv2
import numpy as np
import pytest
from PIL import Image

from imagemill.media.layout import InvalidImage
from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import FaceTarget
from imagemill.products.books.identity.local import TransferFaces
from imagemill.products.books.identity.painting import paint_faces
from imagemill.products.books.identity.rasters import read_pixels, resized
from tests.books.drawn_pages import PAGES, SHEET, draw_page
from tests.books.proof_identity import crop_of

PAGE = PAGES[1]
"""A page with a head that leans by 14 degrees."""
SIZE = (1000, 1000)


@cache
def inputs(number: int = 5) -> dict[str, bytes]:
    return {"base": draw_page(PAGE), "face.hero": crop_of(number)}


@cache
def painted(seed: int = 0, number: int = 5):
    page = read_pixels(draw_page(PAGE))
    return page, *paint_faces(page, PAGE.targets, inputs(number), seed)


def test_the_file_is_a_jpeg_for_print():
    result = TransferFaces(PAGE.targets, (1275, 1275))(inputs())
    (file,) = result.files
    assert file.media_type == "image/jpeg"
    with Image.open(io.BytesIO(file.data)) as picture:
        assert picture.size == (1275, 1275)
        assert picture.info["dpi"] == (300, 300)
        assert all((h, v) == (1, 1) for _, h, v, _ in picture.layer), "no chroma subsampling"  # pyright: ignore[reportAttributeAccessIssue]
        assert not picture.getexif()
    (place,) = result.values["faces"]
    assert place["character"] == "hero"
    assert place["tilt"] == 14
    assert Box(**place["box"]).x == pytest.approx(PAGE.heads[0].x - PAGE.heads[0].width / 2, abs=0.01)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pixels_outside_the_feathered_mask_do_not_change(seed: int):
    page, made, (area,) = painted(seed)
    free = np.ones(page.shape[:2], bool)
    free[area.part] = area.alpha == 0
    assert free.mean() > 0.9
    assert np.array_equal(made[free], page[free])
    assert (made[~free] != page[~free]).any(-1).mean() > 0.8, "the face is repainted"


def test_the_page_given_is_not_changed_itself():
    page, made, _ = painted()
    assert np.array_equal(page, read_pixels(draw_page(PAGE)))
    assert made is not page


def test_the_face_on_the_page_is_that_of_the_photo():
    """The upright middle of the page's face correlates with the crop's, and less with another child's."""

    def middle(pixels: np.ndarray, x: float, y: float, size: float, tilt: float) -> np.ndarray:
        matrix = cv2.getRotationMatrix2D((x, y), tilt, 100 / size)
        matrix[:, 2] += np.array((50 - x, 50 - y))
        grey = cv2.cvtColor(cv2.warpAffine(pixels, matrix, (100, 100)), cv2.COLOR_RGB2GRAY)
        return cv2.GaussianBlur(grey, (0, 0), 2).astype(float)[20:80, 25:75]

    _, made, (area,) = painted()
    frame = area.frame
    on_page = middle(made, frame.x, frame.y, frame.width, frame.tilt)

    def likeness(number: int) -> float:
        from imagemill.products.books.identity.faces import find_faces
        from imagemill.products.books.identity.masks import frame_of

        crop = read_pixels(crop_of(number))
        face = frame_of(find_faces(crop)[0])
        return float(
            np.corrcoef(on_page.ravel(), middle(crop, face.x, face.y, face.width, face.tilt).ravel())[0, 1]
        )

    own = likeness(5)
    assert own > 0.8
    assert all(own > likeness(other) for other in (3, 8, 12))


def test_redraws_look_different_and_a_seed_gives_the_same_again():
    versions = [painted(seed)[1].astype(int) for seed in range(4)]
    _, _, (area,) = painted()
    core = np.zeros(SIZE, bool)
    core[area.part] = area.alpha > 0.9
    for first in range(4):
        for second in range(first):
            assert np.abs(versions[first] - versions[second])[core].mean() > 4, (first, second)
    work = TransferFaces(PAGE.targets, SIZE, seed=3)
    assert work(inputs()).files[0].data == work(inputs()).files[0].data


def test_the_work_can_be_pickled():
    work = TransferFaces(PAGE.targets, SIZE, seed=3)
    assert pickle.loads(pickle.dumps(work)) == work


def test_a_reference_sheet_has_the_face_at_each_of_its_places():
    data = {"base": draw_page(SHEET), "face.hero": crop_of(5)}
    result = TransferFaces(SHEET.targets, SIZE)(data)
    assert [each["character"] for each in result.values["faces"]] == ["hero"] * 3
    page = read_pixels(data["base"])
    made, areas = paint_faces(page, SHEET.targets, data, 0)
    for area in areas:
        core = area.alpha > 0.9
        assert np.abs(made[area.part].astype(int) - page[area.part])[core].mean() > 10


def test_two_characters_get_their_own_faces():
    targets = (SHEET.targets[0], FaceTarget("friend", box=SHEET.targets[1].box))
    both = {"base": draw_page(SHEET), "face.hero": crop_of(5), "face.friend": crop_of(4)}
    made, (first, second) = paint_faces(read_pixels(both["base"]), targets, both, 0)
    brightness = [made[area.part][area.alpha > 0.95].mean() for area in (first, second)]
    assert brightness[0] > brightness[1] + 10, "the second child's skin is darker"


def test_a_face_that_is_missing_is_named():
    with pytest.raises(InvalidImage, match="lacks the face of the character hero"):
        TransferFaces(PAGE.targets, SIZE)({"base": draw_page(PAGE)})


def test_a_crop_in_which_no_face_is_found_is_used_by_its_middle():
    """A pet's photo, for instance."""
    data = inputs() | {"face.hero": draw_page(PAGES[0], 400)}
    made, (area,) = paint_faces(read_pixels(data["base"]), PAGE.targets, data, 0)
    assert (made[area.part][area.alpha > 0.9] != read_pixels(data["base"])[area.part][area.alpha > 0.9]).any()


def test_a_page_without_targets_is_only_brought_to_print_size():
    result = TransferFaces((), (500, 500))(inputs())
    assert result.values["faces"] == []
    wanted = resized(read_pixels(draw_page(PAGE)), (500, 500)).astype(int)
    assert np.abs(read_pixels(result.files[0].data) - wanted).mean() < 1


def test_a_face_at_the_edge_of_the_page_is_cut_off():
    target = FaceTarget("hero", box=Box(x=0, y=0.6, width=0.2, height=0.4))
    page = read_pixels(draw_page(PAGE))
    made, (area,) = paint_faces(page, (target,), inputs(), 1)
    assert made.shape == page.shape
    assert area.alpha.max() > 0.9
