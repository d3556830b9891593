"""The distance of colours: 0 for the same picture, large where a colour is missing, without backgrounds."""

import io

import pytest
from PIL import Image

from imagemill.media.colour_distance import ListColours, WeightedColour, colour_distance, read_colours
from imagemill.media.layout import InvalidImage
from imagemill.media.transforms import OutputFile, TransformContext

CONTEXT = TransformContext("", 0, 0, None, "", "")
RED, BLUE, GREEN, WHITE = (200, 30, 30), (30, 30, 200), (30, 160, 30), (250, 250, 250)
Rgb = tuple[int, int, int]


def colours(subject: Rgb, background: Rgb | None, trim: Rgb | None = None) -> tuple[WeightedColour, ...]:
    """Return the colours of a square on a background, or on nothing."""
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0) if background is None else (*background, 255))
    picture.paste((*subject, 255), (16, 16, 48, 48))
    if trim is not None:
        picture.paste((*trim, 255), (16, 16, 48, 32))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return read_colours(ListColours()(data.getvalue(), CONTEXT))


def test_the_same_subject_on_another_background_has_the_same_colours() -> None:
    assert colour_distance(colours(RED, WHITE), colours(RED, BLUE)) == 0
    assert colour_distance(colours(RED, WHITE), colours(RED, None)) == 0


def test_another_colour_is_far_and_further_colours_do_not_matter() -> None:
    known = colours(RED, WHITE)
    assert colour_distance(known, colours(BLUE, WHITE)) > 20
    assert colour_distance(known, colours(RED, WHITE, GREEN)) == 0
    half = colour_distance(colours(RED, WHITE, GREEN), known)
    assert 20 < half < colour_distance(colours(GREEN, WHITE), known)


def test_anything_but_colours_is_refused() -> None:
    with pytest.raises(InvalidImage):
        read_colours([OutputFile(b'{"a": 1}', "application/json", 0, 0)])
