"""The simulator's pictures: exact, repeatable, told apart, and never upset by a prompt."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from imagemill.backends.simulator import drawing, painter
from imagemill.domain.images import ImageSpec, Network

FOX = ImageSpec(
    prompt="a red fox in the snow",
    negative_prompt="blurry",
    model="urn:air:sdxl:checkpoint:civitai:101055@128078",
    model_path="sdxl/civitai/101055/128078.safetensors",
    family="sdxl",
    width=64,
    height=64,
    steps=20,
    cfg_scale=7.0,
    sampler="euler",
    scheduler="normal",
    seed=1,
)
GREEN = (0, 255, 0)


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def painted(spec: ImageSpec, index: int = 0) -> Image.Image:
    return opened(painter.paint(spec, index)).convert("RGB")


def difference(first: Image.Image, second: Image.Image) -> float:
    """Mean over all pixels and channels, 0..255."""
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3


def subject_share(image: Image.Image, background: tuple[int, int, int]) -> float:
    """Share of the pixels that are not the background."""
    apart = ImageChops.difference(image, Image.new("RGB", image.size, background)).split()
    anywhere = ImageChops.lighter(ImageChops.lighter(apart[0], apart[1]), apart[2])
    return 1 - anywhere.histogram()[0] / (image.width * image.height)


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (512, 768), (1024, 1024), (129, 131), (16, 400), (1, 1)]
)
@pytest.mark.parametrize("background", [None, "#00ff00"])
def test_a_picture_has_exactly_the_size_asked_for(width: int, height: int, background: str | None) -> None:
    assert painted(replace(FOX, width=width, height=height, background=background)).size == (width, height)


@pytest.mark.parametrize(
    ("format", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("jpg", "JPEG"), ("webp", "WEBP")]
)
def test_a_picture_is_encoded_in_the_format_asked_for(format: str, kind: str) -> None:
    image = opened(painter.paint(replace(FOX, width=200, height=140, format=format), 0))
    assert (image.format, image.size) == (kind, (200, 140))


def test_the_png_is_the_picture_and_well_formed() -> None:
    scene = Image.effect_mandelbrot((33, 17), (-3, -2.5, 2, 2.5), 100).convert("RGB")
    data = painter.encode(scene, "png")
    Image.open(BytesIO(data)).verify()
    assert difference(opened(data), scene) == 0


@pytest.mark.parametrize("background", [None, "#ff00ff"])
@pytest.mark.parametrize("side", [64, 256])
def test_the_same_request_gives_the_same_bytes(side: int, background: str | None) -> None:
    spec = replace(FOX, width=side, height=side, background=background)
    assert painter.paint(spec, 1) == painter.paint(replace(spec), 1)


def test_threads_that_paint_at_once_do_not_disturb_each_other() -> None:
    spec = replace(FOX, width=160, height=160)
    alone = [painter.paint(replace(spec, seed=seed), 0) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: painter.paint(replace(spec, seed=seed), 0), range(12)))
    assert together == alone


def test_every_other_seed_gives_a_visibly_other_picture() -> None:
    pictures = [painted(replace(FOX, seed=seed)) for seed in range(40)]
    apart = [difference(a, b) for number, a in enumerate(pictures) for b in pictures[:number]]
    assert min(apart) > 5


@pytest.mark.parametrize(
    "other",
    [
        replace(FOX, prompt="a red fox in the sand"),
        replace(FOX, negative_prompt="sharp"),
        replace(FOX, model="urn:air:sdxl:checkpoint:civitai:101055@1"),
        replace(FOX, networks=(Network("urn:air:sdxl:lora:civitai:1@2", "lora"),)),
    ],
)
def test_another_prompt_model_or_lora_gives_a_visibly_other_picture(other: ImageSpec) -> None:
    assert difference(painted(FOX), painted(other)) > 5


def test_the_pictures_of_a_batch_differ() -> None:
    assert difference(painted(FOX, 0), painted(FOX, 1)) > 5


def test_other_subjects_for_other_seeds() -> None:
    spec = replace(FOX, width=256, height=256, background="#00ff00")
    assert difference(painted(spec), painted(replace(spec, seed=2))) > 2


def test_a_larger_picture_shows_the_same_scene() -> None:
    small, large = painted(replace(FOX, width=128, height=128)), painted(replace(FOX, width=512, height=512))
    sky = (0, 0, 128, 60)
    assert difference(small.crop(sky), large.reduce(4).crop(sky)) < 6


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 127), st.integers(1, 127), st.integers(0, 2**32))
def test_a_small_picture_has_its_size_and_is_repeatable(width: int, height: int, seed: int) -> None:
    spec = replace(FOX, width=width, height=height, seed=seed)
    image = opened(painter.paint(spec, 0))
    assert (image.size, image.mode) == ((width, height), "RGB")
    assert painter.paint(spec, 0) == painter.paint(replace(spec), 0)


def test_small_pictures_are_not_blank() -> None:
    pictures = [painted(replace(FOX, seed=seed)) for seed in range(60)]
    assert min(len(each.getcolors(4096) or ()) for each in pictures) >= 20


def test_the_text_is_printed_on_pictures_of_128_px_and_more() -> None:
    for height, printed in ((127, False), (128, True), (512, True)):
        spec = replace(FOX, width=512, height=height)
        told, other = painted(spec), painted(replace(spec, steps=99))
        assert (difference(told, other) > 0) is printed


def test_the_text_stays_in_the_lower_half() -> None:
    spec = replace(FOX, prompt="long " * 400, width=256, height=256)
    upper = (0, 0, 256, 128)
    assert difference(painted(spec).crop(upper), painted(replace(spec, steps=99)).crop(upper)) == 0


PROMPTS = (
    "",
    " ",
    "\N{FOX FACE}\N{ZERO WIDTH JOINER}\N{SNOWFLAKE}",
    "ثعلب أحمر في الثلج",
    "雪の中の赤い狐",
    "Лиса в снегу",
    "\x01\x02\x1b[31m\t\r\n\x7f\x00",
    "x" * 10_000,
    "word " * 2_000,
    "\ud800 alone",
    "e\N{COMBINING ACUTE ACCENT}" * 50,
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "\N{ARABIC LIGATURE BISMILLAH AR-RAHMAN AR-RAHEEM}",
)


@pytest.mark.parametrize("prompt", PROMPTS, ids=ascii)
@pytest.mark.parametrize("size", [(64, 64), (300, 200), (20, 300)])
def test_no_prompt_upsets_the_painter(prompt: str, size: tuple[int, int]) -> None:
    spec = replace(FOX, prompt=prompt, model=prompt, sampler=prompt, width=size[0], height=size[1])
    assert painted(spec).size == size


@settings(max_examples=60, deadline=None)
@given(prompt=st.text(st.characters(), max_size=80), seed=st.integers(-1, 2**70), cfg=st.floats(0, 50))
def test_any_text_and_seed_can_be_painted(prompt: str, seed: int, cfg: float) -> None:
    spec = replace(FOX, prompt=prompt, seed=seed, cfg_scale=cfg, width=130, height=130)
    assert painted(spec).size == (130, 130)


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(), max_size=600))
def test_what_is_printed_is_in_the_font(text: str) -> None:
    allowed = drawing._SIGNS  # pyright: ignore[reportPrivateUsage]
    assert all(" " <= character <= "~" or character in allowed for character in drawing.printable(text))


def test_letters_the_font_lacks_are_spelled() -> None:
    assert drawing.printable("Рыжая  лиса\nЁж") == "Ryzhaya lisa Ezh"
    assert drawing.printable("café naïve Straße Ωmega") == "cafe naive Strasse Omega"
    assert drawing.printable("a 狐 b") == "a ? b"


@settings(max_examples=80, deadline=None)
@given(st.text("abc d.", max_size=200), st.integers(10, 200), st.integers(1, 4))
def test_a_wrapped_text_keeps_its_lines_and_its_width(text: str, width: int, lines: int) -> None:
    wrapped = drawing.wrap(text.strip(), 9, width, lines)
    assert len(wrapped) <= lines
    shown = "".join(wrapped).removesuffix("...").replace(" ", "")
    assert text.replace(" ", "").startswith(shown.rstrip("."))


@pytest.mark.parametrize("background", ["#00ff00", "#0000FF", "#ff8800", "#ffffff", "#000000"])
@pytest.mark.parametrize("size", [(64, 64), (512, 512), (768, 1152), (640, 480)])
def test_a_subject_stands_on_an_exactly_flat_background(background: str, size: tuple[int, int]) -> None:
    colour = (int(background[1:3], 16), int(background[3:5], 16), int(background[5:7], 16))
    for seed in range(4):
        image = painted(replace(FOX, seed=seed, width=size[0], height=size[1], background=background))
        right, bottom = size[0] - 1, size[1] - 1
        corners = [image.getpixel(at) for at in ((0, 0), (right, 0), (0, bottom), (right, bottom))]
        assert corners == [colour] * 4
        assert 0.15 <= subject_share(image, colour) <= 0.70


def test_the_background_is_exact_in_lossless_webp_too() -> None:
    image = painted(replace(FOX, width=256, height=256, background="#00ff00", format="webp"))
    assert image.getpixel((2, 2)) == GREEN


def test_nothing_is_printed_beside_a_subject() -> None:
    spec = replace(FOX, width=512, height=512, background="#00ff00")
    assert painter.paint(spec, 0) == painter.paint(replace(spec, steps=99), 0)


def test_a_subject_has_a_face_with_two_eyes_of_light_and_dark() -> None:
    image = painted(replace(FOX, width=512, height=512, background="#00ff00")).convert("L")
    unit = 0.256 * 512
    for side in (-1, 1):
        x, y = 256 + side * 0.31 * unit, 512 - 2.52 * unit + 0.04 * unit
        low, high = image.crop((int(x - 20), int(y - 10), int(x + 20), int(y + 10))).getextrema()
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        assert high - low > 150


def test_a_subject_is_no_colour_a_key_would_take_for_the_background() -> None:
    for seed in range(12):
        image = painted(replace(FOX, seed=seed, width=96, height=144, background="#00ff00"))
        raw = image.convert("HSV").tobytes()
        greenish = sum(
            70 <= hue <= 100 and saturation > 150 for hue, saturation in zip(raw[::3], raw[1::3], strict=True)
        )
        assert greenish / (96 * 144) + subject_share(image, GREEN) < 1.1


def test_a_preview_is_a_small_jpeg_that_clears() -> None:
    spec = replace(FOX, width=512, height=768)
    final = opened(painter.preview(spec, 0, 1.0))
    assert (final.format, final.size) == ("JPEG", (171, 256))
    apart = [difference(opened(painter.preview(spec, 0, share)), final) for share in (0.0, 0.3, 0.6, 0.9)]
    assert apart == sorted(apart, reverse=True)


def test_the_last_preview_announces_the_picture() -> None:
    spec = replace(FOX, width=512, height=768)
    sky = (0, 0, 171, 150)
    picture = painted(spec).resize((171, 256))
    assert difference(opened(painter.preview(spec, 0, 1.0)).crop(sky), picture.crop(sky)) < 8


def test_a_preview_is_never_larger_than_its_picture() -> None:
    assert opened(painter.preview(FOX, 0, 0.5)).size == (64, 64)


@pytest.mark.parametrize(
    ("air", "name"),
    [
        ("urn:air:sdxl:checkpoint:civitai:101055@128078", "sdxl 101055@128078"),
        ("checkpoints/some model.safetensors", "some model"),
        ("", ""),
    ],
)
def test_a_model_is_printed_by_its_short_name(air: str, name: str) -> None:
    assert painter.short_name(air) == name


@pytest.mark.parametrize("background", ["#00ff00", "#ff8000", "#0000ff"])
@pytest.mark.parametrize(("width", "height"), [(192, 192), (192, 288), (48, 48)])
def test_the_cover_says_where_the_subject_is(background: str, width: int, height: int) -> None:
    spec = replace(FOX, width=width, height=height, background=background)
    cover, picture = painter.cover(spec, 0), painted(spec)
    assert cover.size == picture.size
    assert cover.getextrema() == (0, 255)
    apart = ImageChops.difference(picture, Image.new("RGB", picture.size, background)).convert("L")
    clear = cover.point([255] + [0] * 255)
    assert ImageChops.multiply(apart, clear).getbbox() is None
    assert subject_share(cover.convert("RGB"), (0, 0, 0)) > 0.1


@pytest.mark.parametrize(
    ("prompt", "is_person"),
    [
        ("masterpiece, looking at viewer, headshot, solo, 1girl", True),
        ("fashion model, male, 20-30 years old, neutral white/gray background", True),
        ("a lighthouse on a cliff", False),
        ("a statue of 21boys", False),
    ],
)
def test_a_prompt_for_one_person_is_answered_with_one(prompt: str, is_person: bool):
    above = painted(replace(FOX, prompt=prompt, width=256, height=384)).crop((0, 0, 256, 8))
    assert (len(above.getcolors(4096) or ()) == 1) is is_person


def test_a_person_has_the_hair_the_prompt_asks_for():
    pictures = [
        painted(replace(FOX, prompt=f"headshot, solo, 1girl, {hair} hair", width=256, height=256))
        for hair in ("blue", "pink")
    ]
    reds = [ImageStat.Stat(each.crop((96, 16, 160, 40))).mean[0] for each in pictures]
    assert reds[1] > reds[0] + 60


STICKER = replace(
    FOX, prompt="solo, 1girl, brown hair, red dress, ", width=384, height=576, background="#00ff00"
)
EMOTIONS = {
    "happy": "happy, bright smile, open mouth, cheerful pose",
    "sad": "sad, frown, teary eyes, looking down",
    "angry": "angry, furrowed brow, clenched teeth, clenched hands",
    "surprised": "surprised, wide-eyed, open mouth, raised hands",
    "neutral": "expressionless, closed mouth, relaxed pose",
    "thinking": "thinking, hand on own chin, looking up",
    "shy": "shy, blush, looking away, hands together",
    "waving": "waving, raised hand, smile",
}


def count(image: Image.Image, colour: tuple[int, int, int], within: int = 12) -> int:
    """The pixels of about this colour."""
    apart = ImageChops.difference(image, Image.new("RGB", image.size, colour)).split()
    most = ImageChops.lighter(ImageChops.lighter(apart[0], apart[1]), apart[2])
    return sum(most.histogram()[: within + 1])


def test_every_emotion_has_a_face_and_one_seed_is_one_person() -> None:
    faces = [
        painted(replace(STICKER, prompt=STICKER.prompt + tags)).crop((140, 20, 250, 150))
        for tags in EMOTIONS.values()
    ]
    apart = [difference(a, b) for number, a in enumerate(faces) for b in faces[:number]]
    assert min(apart) > 1
    # Hair and skin are those of one person; other seeds have other people.
    brown = [count(face, (70, 44, 30), 40) for face in faces]
    assert max(brown) < 1.1 * min(brown)
    others = [painted(replace(STICKER, prompt=STICKER.prompt + "sad", seed=seed)) for seed in range(6)]
    assert len({other.crop((140, 20, 250, 150)).tobytes() for other in others}) == 6


@pytest.mark.parametrize("background", [None, "#00ff00"])
@pytest.mark.parametrize(
    ("words", "colour"),
    [("red dress", (190, 32, 36)), ("blue shirt", (40, 84, 190)), ("white pants", (232, 232, 236))],
)
def test_clothes_have_the_colours_that_the_prompt_names(
    words: str, colour: tuple[int, int, int], background: str | None
) -> None:
    spec = replace(STICKER, prompt=f"solo, 1girl, {words}", background=background)
    named = count(painted(spec), colour)
    assert named > 3000
    assert named > 4 * count(painted(replace(spec, prompt="solo, 1girl, brown coat")), colour)


def test_eyes_have_the_colour_that_the_prompt_names() -> None:
    portrait = replace(FOX, prompt="headshot, solo, 1girl, blue eyes", width=512, height=512)
    blue = (40, 120, 220)
    assert count(painted(portrait), blue) > 200
    assert count(painted(replace(portrait, prompt="headshot, solo, 1girl, brown eyes")), blue) < 20


def test_a_colour_of_the_key_is_not_painted() -> None:
    green = painted(replace(STICKER, prompt="solo, 1girl, green dress"))
    assert count(green, (40, 130, 72)) == 0


def test_two_people_are_two_each_in_their_own_clothes() -> None:
    prompt = (
        "scene, detailed background, 1girl, 1boy, (Ana:1.2), red dress, (Rex:1.2), blue shirt, white pants"
    )
    both = painted(replace(FOX, prompt=prompt, width=512, height=512))
    left, right = both.crop((0, 0, 256, 512)), both.crop((256, 0, 512, 512))
    assert count(left, (190, 32, 36)) > 2000 > count(right, (190, 32, 36))
    assert count(right, (40, 84, 190)) > 1000 > count(left, (40, 84, 190))


@pytest.mark.parametrize(
    "prompt",
    ["2girls", "1girl, 1boy, red dress", "3people, (Ana:1.2), red dress", "6girls", "2girls, (:1.2)"],
)
def test_people_without_names_are_drawn_too(prompt: str) -> None:
    group = painted(replace(FOX, prompt=prompt, width=256, height=256))
    assert difference(group, painted(replace(FOX, prompt="a forest", width=256, height=256))) > 5
