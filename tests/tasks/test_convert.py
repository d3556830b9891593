"""The recipe convertImage: sizes, blurred regions, formats, frames and metadata."""

import io
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from imagemill.domain.clock import now_us
from imagemill.media.conversion import Blur, Conversion, Region, Resize
from imagemill.media.layout import InvalidImage
from imagemill.media.transforms import TransformContext
from tests.conftest import Server
from tests.tasks.support import data_url, download, encoded, halves, painted, picture_of, refused, run

CONTEXT = TransformContext("job-1", 1, now_us(), None, "", "")


def converted(data: bytes, **fields: Any) -> Image.Image:
    (file,) = Conversion(**fields)(data, CONTEXT)
    picture = Image.open(io.BytesIO(file.data))
    assert (file.width, file.height) == picture.size
    return picture


def stripes(width: int = 64, height: int = 64) -> bytes:
    return encoded(painted(width, height, lambda x, _: (255, 255, 255) if x % 2 else (0, 0, 0)))


def film(*shades: int, durations: list[int] | None = None) -> bytes:
    frames = [Image.new("RGB", (16, 8), (shade, 0, 0)) for shade in shades]
    options = {"save_all": True, "append_images": frames[1:], "duration": durations or 50, "lossless": True}
    return encoded(frames[0], "WEBP", **options)


def labelled() -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("parameters", "a fox, Steps: 20")
    texts.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    return encoded(halves(), pnginfo=texts)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "gif"])
def test_a_picture_is_made_in_each_format(server: Server, format: str) -> None:
    job = run(server, "convertImage", image=data_url(encoded(halves())), format=format)
    (file,) = job["artifacts"]
    assert file["mediaType"] == f"image/{format}"
    picture = picture_of(server, job).convert("RGB")
    assert (picture.format, picture.size) == (None, (40, 20))
    left, right = picture.getpixel((5, 10)), picture.getpixel((35, 10))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert max(left) < 10
    assert min(right) > 245


def test_a_width_scales_the_height(server: Server) -> None:
    job = run(
        server,
        "convertImage",
        image=data_url(encoded(halves(400, 300))),
        transforms=[{"type": "resize", "width": 100}],
    )
    assert picture_of(server, job).size == (100, 75)
    assert (job["artifacts"][0]["width"], job["artifacts"][0]["height"]) == (100, 75)


def test_a_picture_can_be_enlarged_and_stays_at_least_one_pixel_high() -> None:
    assert converted(encoded(halves(40, 20)), steps=(Resize(80),)).size == (80, 40)
    assert converted(encoded(halves(1000, 1)), steps=(Resize(10),)).size == (10, 1)


def test_a_picture_that_would_become_too_large_is_refused() -> None:
    with pytest.raises(InvalidImage, match="16383 a side"):
        converted(encoded(Image.new("RGB", (1, 100))), steps=(Resize(4096),))


@pytest.mark.parametrize(("outside", "blurred"), [(False, True), (True, False)])
def test_regions_are_blurred_or_left_alone(outside: bool, blurred: bool) -> None:
    step = Blur(8, outside, (Region(0, 0, 32, 64),))
    picture = converted(stripes(), steps=(step,)).convert("L")
    inside, beyond = picture.crop((8, 8, 24, 56)), picture.crop((40, 8, 56, 56))
    soft, sharp = (inside, beyond) if blurred else (beyond, inside)
    assert soft.getextrema()[0] > 100
    assert soft.getextrema()[1] < 155
    assert sharp.getextrema() == (0, 255)


def test_without_regions_the_whole_picture_is_blurred() -> None:
    for outside in (False, True):
        low = converted(stripes(), steps=(Blur(8, outside),)).convert("L").getextrema()[0]
        assert isinstance(low, int)
        assert low > 60


def test_a_region_beyond_the_picture_changes_nothing() -> None:
    picture = converted(stripes(), steps=(Blur(8, False, (Region(100, 100, 200, 200),)),))
    assert picture.convert("L").getextrema() == (0, 255)


def test_a_region_ends_before_its_lower_right_corner() -> None:
    white = Image.new("L", (10, 1), 255)
    white.putpixel((5, 0), 0)
    picture = converted(encoded(white), steps=(Blur(3, False, (Region(0, 0, 5, 1),)),)).convert("L")
    assert [picture.getpixel((x, 0)) for x in (5, 6, 9)] == [0, 255, 255]
    assert picture.getpixel((4, 0)) != 255


def test_quality_lowers_the_size_of_a_file() -> None:
    noisy = encoded(painted(96, 96, lambda x, y: (x * y % 256, x * 7 % 256, y * 13 % 256)))
    for kind in ("jpeg", "webp"):
        sizes = [
            len(Conversion(format=kind, quality=quality)(noisy, CONTEXT)[0].data) for quality in (20, 95)
        ]
        assert sizes[0] < sizes[1]


def test_lossless_webp_keeps_every_pixel() -> None:
    source = painted(32, 32, lambda x, y: (x * 8, y * 8, (x * y) % 256))
    assert (
        converted(encoded(source), format="webp", lossless=True).convert("RGB").tobytes() == source.tobytes()
    )


def test_transparency_becomes_white_in_a_jpeg_and_stays_elsewhere() -> None:
    source = encoded(Image.new("RGBA", (16, 16), (255, 0, 0, 0)))
    assert converted(source, format="jpeg").getpixel((8, 8)) == (255, 255, 255)
    for kind in ("png", "webp", "gif"):
        pixel = converted(source, format=kind).convert("RGBA").getpixel((8, 8))
        assert isinstance(pixel, tuple)
        assert pixel[3] == 0


@pytest.mark.parametrize("format", ["webp", "gif"])
def test_frames_and_their_durations_are_kept_up_to_a_number(format: str) -> None:
    source = film(0, 90, 180, 250, durations=[40, 80, 120, 160])
    whole = converted(source, format=format)
    assert getattr(whole, "n_frames", 1) == 4
    short = converted(source, format=format, most_frames=2)
    assert getattr(short, "n_frames", 1) == 2
    short.seek(1)
    short.load()
    assert short.info["duration"] == 80
    assert getattr(converted(source, format=format, most_frames=1), "n_frames", 1) == 1


def test_every_frame_is_transformed() -> None:
    picture = converted(film(0, 250), format="webp", steps=(Resize(8),), lossless=True)
    picture.seek(1)
    assert picture.size == (8, 4)
    pixel = picture.convert("RGB").getpixel((4, 2))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 240


def test_a_still_format_gets_the_first_frame() -> None:
    picture = converted(film(200, 10), format="png")
    assert getattr(picture, "n_frames", 1) == 1
    assert picture.convert("RGB").getpixel((4, 4)) == (200, 0, 0)


def test_metadata_is_kept_unless_it_is_to_be_hidden() -> None:
    kept = converted(labelled(), format="png")
    assert kept.info["parameters"] == "a fox, Steps: 20"
    assert kept.info["XML:com.adobe.xmp"] == "<x:xmpmeta/>"
    for kind in ("jpeg", "webp"):
        picture = converted(labelled(), format=kind)
        comment = picture.getexif().get_ifd(0x8769)[0x9286]
        assert comment == b"UNICODE\0" + "a fox, Steps: 20".encode("utf-16-be")
        assert picture.info["xmp"] == b"<x:xmpmeta/>"
        hidden = converted(labelled(), format=kind, hide_metadata=True)
        assert "xmp" not in hidden.info
        assert not hidden.getexif()
    bare = converted(labelled(), format="png", hide_metadata=True)
    assert not {"parameters", "XML:com.adobe.xmp", "exif"} & set(bare.info)


def test_a_picture_that_lies_on_its_side_is_turned_upright() -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    lying = encoded(halves(40, 20), "JPEG", exif=tags)
    picture = converted(lying, format="png", hide_metadata=True)
    assert picture.size == (20, 40)
    assert 0x0112 not in converted(lying, format="jpeg").getexif()


def test_a_file_that_is_no_picture_is_refused() -> None:
    with pytest.raises(InvalidImage, match="damaged"):
        converted(b"\x89PNG not really")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"format": "png", "quality": 50}, "quality"),
        ({"format": "jpeg", "lossless": True}, "lossless"),
        ({"format": "jpeg", "max_frames": 4}, "max_frames"),
        ({"transforms": [{"type": "resize", "width": 5000}]}, "transforms[0].width"),
        ({"transforms": [{"type": "blur", "blur": 0}]}, "transforms[0].blur"),
        (
            {"transforms": [{"type": "blur", "blur": 5, "regions": [{"x1": 5, "y1": 0, "x2": 5, "y2": 9}]}]},
            "transforms[0].regions[0]",
        ),
        ({"image": "nonsense"}, "image"),
        ({"image": ""}, "image"),
        ({"format": "bmp"}, "format"),
        ({"transforms": [{"type": "rotate"}]}, "transforms[0]"),
    ],
)
def test_what_has_no_effect_or_no_sense_is_refused(
    server: Server, changes: dict[str, Any], field: str
) -> None:
    assert list(refused(server, "convertImage", **{"image": data_url(encoded(halves())), **changes})) == [
        f"input.{field}"
    ]


def test_a_picture_of_an_earlier_job_is_converted(server: Server) -> None:
    first = run(server, "imageUpload", image=data_url(encoded(halves())))
    second = run(server, "convertImage", image=f"blob:{first['artifacts'][0]['id']}", format="webp")
    assert download(server, second)[8:12] == b"WEBP"
