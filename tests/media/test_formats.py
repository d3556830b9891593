"""Pictures in the format that was asked for, whatever the node delivers."""

import io

import pytest
from PIL import Image

from imagemill.media.layout import InvalidImage
from imagemill.media.postprocess import ConvertFormat
from imagemill.media.sandbox import DecoderPool, transform_limits
from imagemill.media.transforms import TransformContext
from tests.media.files import picture

FACTS = TransformContext("job", 1, 0, None, "", "mark")


@pytest.mark.parametrize("given", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("asked", ["png", "jpeg", "webp"])
def test_a_picture_comes_in_the_format_that_was_asked_for(given: str, asked: str):
    data = picture(given)
    (made,) = ConvertFormat(asked)(data, FACTS)
    found = Image.open(io.BytesIO(made.data))
    assert (made.media_type, str(found.format).lower()) == (f"image/{asked}", asked)
    assert (made.width, made.height) == found.size == Image.open(io.BytesIO(data)).size
    assert (made.data == data) is (given.lower() == asked)


def test_what_is_transparent_is_white_in_a_jpeg():
    file = io.BytesIO()
    Image.new("RGBA", (16, 16), (255, 0, 0, 0)).save(file, "PNG")
    (made,) = ConvertFormat("jpeg")(file.getvalue(), FACTS)
    red, green, blue = Image.open(io.BytesIO(made.data)).convert("RGB").getpixel((8, 8))
    assert min(red, green, blue) > 250


def test_damaged_bytes_are_refused():
    with pytest.raises(InvalidImage):
        ConvertFormat("jpeg")(picture("PNG")[:40], FACTS)


def test_it_works_in_the_confined_process():
    crafts = DecoderPool(transform_limits(1_000_000, 30.0), count=1)
    try:
        (made,) = crafts.transform(ConvertFormat("jpeg"), picture("PNG"), FACTS)
    finally:
        crafts.close()
    assert made.data.startswith(b"\xff\xd8")
