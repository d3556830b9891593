"""A photo's face is found, cropped and described, or a parent reads why the photo cannot be used."""

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.faces import FoundFace, find_faces
from imagemill.products.books.identity.photo import MESSAGES, AnalysePhoto
from imagemill.products.books.identity.portraits import (
    ABOUT_EQUAL,
    LEAST_SHARPNESS,
    LEAST_TURN_AWAY,
    LEAST_WIDTH,
    problem_of,
)
from imagemill.products.books.identity.rasters import read_pixels
from tests.books.drawn_pages import PLAIN, draw_page
from tests.books.drawn_photos import Shot, as_jpeg, draw_photo, person, photo, shot_of, two_children


def analyse(data: bytes):
    return AnalysePhoto()({"photo": data})


def test_a_good_photo_is_usable_and_its_face_is_cropped_upright_without_metadata():
    result = analyse(photo(5))
    assert result.values["usable"] is True
    assert "problem" not in result.values
    box = Box(**result.values["box"])
    assert abs(box.x + box.width / 2 - 0.5) < 0.06
    assert 0.3 < box.y + box.height / 2 < 0.6
    assert 0.33 < box.width < 0.55, "the drawn face is 0.36 to 0.46 wide"
    (file,) = result.files
    assert file.media_type == "image/jpeg"
    with Image.open(io.BytesIO(file.data)) as crop:
        assert max(crop.size) <= 768
        assert not crop.getexif()
        assert not {"exif", "icc_profile", "comment", "xmp"} & set(crop.info)
    (face,) = find_faces(read_pixels(file.data))
    assert face.eye_distance > 60


def test_the_eyes_are_where_they_were_drawn():
    result = analyse(shot_of(2))
    who, shot = person(2), Shot()
    half = shot.width * shot.face / 2
    for (x, y), side in zip(result.values["eyes"], (-1, 1), strict=True):
        assert abs(x * shot.width - (shot.x * shot.width + side * who.eye_gap * half)) < 0.12 * half
        assert abs(y * shot.height - shot.y * shot.height) < 0.12 * half


@pytest.mark.parametrize("tilt", [-25, -10, 12, 25])
def test_the_tilt_is_measured(tilt: int):
    assert abs(analyse(shot_of(5, tilt=tilt)).values["tilt"] - tilt) < 3


@pytest.mark.parametrize(
    ("number", "skin", "hair"),
    [(5, "light skin", "blond hair"), (4, "dark brown skin", "black hair"), (15, "light skin", "red hair")],
)
def test_colours_have_words(number: int, skin: str, hair: str):
    colours = analyse(photo(number)).values["colours"]
    assert skin.split()[0] in colours["skin"]["words"]
    assert hair in colours["hair"]["words"]
    assert all(len(each["colour"]) == 7 for each in colours.values())


def test_eyes_of_two_colours_have_different_words():
    blue = replace(person(5), iris=(0.36, 0.55, 0.72))
    brown = replace(person(5), iris=(0.30, 0.18, 0.10))
    words = [analyse(as_jpeg(draw_photo(who))).values["colours"]["eyes"]["words"] for who in (blue, brown)]
    assert "blue" in words[0]
    assert "brown" in words[1]


def test_values_have_no_embedding_and_are_small():
    """Biometric data must not stand in the event log."""
    values = analyse(photo(5)).values
    assert set(values) == {"usable", "box", "eyes", "tilt", "turn", "sharpness", "colours"}
    assert len(str(values)) < 1000


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (lambda: draw_page(PLAIN), "no_face"),
        (two_children, "several_faces"),
        (lambda: shot_of(5, face=0.12), "too_small"),
        (lambda: shot_of(5, blur=4), "blurred"),
        (lambda: shot_of(5, turn=50), "turned_away"),
        (lambda: shot_of(5, turn=-45), "turned_away"),
    ],
)
def test_an_unusable_photo_says_why_and_has_no_crop(data, problem):
    result = analyse(data())
    assert result.values["usable"] is False
    assert result.values["problem"] == problem
    assert result.values["message"] == MESSAGES[problem]
    assert "Choose" in result.values["message"]
    assert not result.files


def test_the_largest_face_wins_over_one_in_the_background():
    beside = draw_photo(person(2), Shot(face=0.22, y=0.6))
    result = analyse(as_jpeg(np.hstack([draw_photo(person(1), Shot(face=0.42)), beside])))
    assert result.values["usable"] is True
    assert result.values["box"]["x"] < 0.5


# The limits, at each side


@cache
def a_face() -> tuple[np.ndarray, FoundFace]:
    pixels = read_pixels(photo(5))
    return pixels, find_faces(pixels)[0]


def scaled(face: FoundFace, factor: float, *, nose: float = 0.0) -> FoundFace:
    """The face at another size, and its nose moved along the eyes, in eye distances."""
    corners = [(x * factor, y * factor) for x, y in face.corners]
    (x1, y1), (x2, y2) = face.eyes
    middle = ((x1 + x2) / 2 * factor, (y1 + y2) / 2 * factor)
    corners[4] = (middle[0] + nose * (x2 - x1) * factor, middle[1] + nose * (y2 - y1) * factor)
    sides = (face.left * factor, face.top * factor, face.right * factor, face.bottom * factor)
    return FoundFace(*sides, tuple(corners))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("share", "problem"), [(0.98, None), (1.02, "several_faces")])
def test_a_second_face_counts_from_a_share_of_the_first(share: float, problem: str | None):
    pixels, face = a_face()
    assert problem_of(pixels, (face, scaled(face, ABOUT_EQUAL * share))) == problem


@pytest.mark.parametrize(("share", "problem"), [(0.98, "too_small"), (1.02, None)])
def test_a_face_needs_a_width(share: float, problem: str | None):
    pixels, face = a_face()
    factor = LEAST_WIDTH * share / (2.35 * face.eye_distance)
    small = np.asarray(
        Image.fromarray(pixels).resize((round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)))
    )
    assert problem_of(small, (scaled(face, factor),)) == problem


@pytest.mark.parametrize(("share", "problem"), [(0.95, None), (1.05, "turned_away")])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_nose_off_the_middle_means_turned_away(share: float, problem: str | None, side: int):
    pixels, face = a_face()
    assert problem_of(pixels, (scaled(face, 1, nose=side * LEAST_TURN_AWAY * share),)) == problem


@pytest.mark.parametrize(("blur", "problem"), [(2.0, None), (3.0, "blurred")])
def test_a_blur_of_a_hundredth_of_the_face_is_the_limit(blur: float, problem: str | None):
    result = analyse(shot_of(5, blur=blur))
    assert result.values.get("problem") == problem
    assert (result.values["sharpness"] < LEAST_SHARPNESS) == (problem is not None)


def test_sharpness_does_not_depend_on_the_resolution():
    sizes = [analyse(as_jpeg(draw_photo(person(5), Shot(width=w, height=w * 5 // 4)))) for w in (640, 960)]
    first, second = (each.values["sharpness"] for each in sizes)
    assert first == pytest.approx(second, rel=0.4)
