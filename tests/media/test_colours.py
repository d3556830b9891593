"""The key colour is the one that a subject's dominant colour is told from best."""

import colorsys
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from imagemill.media.dominant_colour import KEYS, Rgb, contrasting_key, find_dominant
from imagemill.media.layout import InvalidImage


def picture(*parts: tuple[Rgb, tuple[int, int, int, int]], behind: Rgb = (255, 255, 255)) -> Image.Image:
    image = Image.new("RGB", (200, 200), behind)
    for colour, box in parts:
        ImageDraw.Draw(image).rectangle(box, fill=colour)
    return image


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((60, 90, 200), "orange"),
        ((40, 160, 170), "red"),
        ((200, 190, 60), "blue"),
        ((200, 120, 60), "blue"),
        ((60, 180, 60), "magenta"),
        ((180, 60, 170), "green"),
        ((200, 50, 50), "green"),
    ],
)
def test_a_colour_gets_the_opposite_hue(colour: Rgb, name: str):
    assert contrasting_key(colour).name == name


@pytest.mark.parametrize("colour", [(20, 5, 40), (250, 120, 30), (120, 120, 130), (0, 0, 0), (255, 255, 255)])
def test_a_dark_bright_or_grey_colour_gets_green(colour: Rgb):
    assert contrasting_key(colour).hex == "#00FF00"


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_the_key_is_never_near_a_colour_that_has_a_hue(colour: Rgb):
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    key = contrasting_key(colour)
    assert key in KEYS
    if 0.2 <= value <= 0.9 and saturation >= 0.2:
        apart = abs((hue - colorsys.rgb_to_hsv(*(channel / 255 for channel in key.rgb))[0] + 0.5) % 1 - 0.5)
        assert apart > 1 / 3 - 0.01


def test_what_dominates_is_a_colour_that_is_there_not_a_mean():
    found = find_dominant(picture(((200, 40, 40), (20, 20, 180, 110)), ((40, 60, 200), (20, 110, 180, 180))))
    assert np.abs(np.array(found) - (200, 40, 40)).max() <= 8


def test_a_shaded_colour_counts_as_one():
    """Each of its shades is rarer than the plain colour beside it."""
    image = picture(((60, 60, 190), (20, 150, 180, 185)))
    for row in range(120):
        shade = 120 + row // 4
        ImageDraw.Draw(image).line((20, 25 + row, 180, 25 + row), fill=(shade, shade // 3, shade // 3))
    red, _, blue = find_dominant(image)
    assert red > 2 * blue


def test_a_flat_background_does_not_count():
    found = find_dominant(picture(((180, 60, 60), (80, 80, 120, 120)), behind=(90, 140, 220)))
    assert np.abs(np.array(found) - (180, 60, 60)).max() <= 8


def test_what_is_transparent_does_not_count():
    image = picture(behind=(90, 140, 220)).convert("RGBA")
    image.putalpha(0)
    image.paste((180, 60, 60, 255), (80, 80, 120, 120))
    assert np.abs(np.array(find_dominant(image)) - (180, 60, 60)).max() <= 8


def test_a_picture_that_is_one_colour_has_that_colour():
    assert find_dominant(picture(behind=(90, 140, 220))) == (90, 140, 220)


def test_a_file_is_looked_at_under_limits():
    data = png(picture(((60, 90, 200), (20, 20, 180, 180))))
    assert contrasting_key(data).name == "orange"
    with pytest.raises(InvalidImage, match="more than 100 pixels"):
        contrasting_key(data, max_pixels=100)
    with pytest.raises(InvalidImage):
        contrasting_key(data[:200])
