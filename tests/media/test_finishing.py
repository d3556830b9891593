"""The steps after a render: check, cut out, trim, encode, label."""

import io
import pickle
import subprocess
import sys
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from imagemill.media.encoding import encode_webp, qualities, thumbnail, trim
from imagemill.media.layout import InvalidImage
from imagemill.media.metadata import AI_MARK, ImageMetadata, with_metadata
from imagemill.media.postprocess import PostProcess
from imagemill.media.sandbox import DecoderPool, transform_limits
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext
from tests.media.files import picture
from tests.media.subjects import KEYS, USUAL, draw
from tests.media.test_cutout import model as cutout_model

FACTS = TransformContext("job-1", 2, 1_793_000_000_123_456, 42, "urn:air:sdxl:checkpoint:civitai:1@2", "mark")
SIZE = (192, 256)


def png(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def photo(size: tuple[int, int] = (200, 120), mode: str = "RGB") -> Image.Image:
    return Image.effect_noise((size[0] // 4, size[1] // 4), 60).resize(size).convert(mode)


def shown(made: OutputFile) -> Image.Image:
    image = Image.open(io.BytesIO(made.data))
    image.load()
    assert image.size == (made.width, made.height)
    return image


def sticker(**fields: Any) -> list[OutputFile]:
    subject = draw(4, KEYS["green"], SIZE, USUAL)
    return list(PostProcess(size=SIZE, key_colour="#00FF00", **fields)(subject.data, FACTS))


def test_picture_thumbnail_and_original_come_in_this_order():
    source = png(photo())
    finish = PostProcess(size=(200, 120), thumbnail_px=64, keep_original=True)
    first, small, original = finish(source, FACTS)
    assert [one.role for one in (first, small, original)] == ["picture", "thumbnail", "original"]
    assert [one.media_type for one in (first, small, original)] == ["image/webp", "image/webp", "image/png"]
    assert shown(first).size == (200, 120)
    assert shown(small).size == (64, 38)
    assert original.data == source


def test_a_sticker_is_transparent_lossless_and_trimmed():
    made, small = sticker(trim_px=5, thumbnail_px=100)
    image = shown(made)
    assert image.mode == "RGBA"
    alpha = np.asarray(image)[..., 3]
    rows, columns = np.nonzero(alpha)
    assert (rows.min(), columns.min()) == (5, 5)
    assert (alpha.shape[0] - rows.max(), alpha.shape[1] - columns.max()) == (6, 6)
    assert shown(small).mode == "RGBA"
    assert max(small.width, small.height) == 100
    assert image.size != SIZE
    assert shown(sticker()[0]).size == SIZE


def test_it_can_be_sent_to_another_process_and_needs_neither_numpy_nor_pillow_to_be_built():
    finish: ImageTransform = pickle.loads(pickle.dumps(PostProcess(prompt="x", cutout=b"model")))
    assert finish == PostProcess(prompt="x", cutout=b"model")
    code = "import sys, imagemill.media.postprocess; sys.exit(bool({'numpy', 'PIL'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_person_wrote_is_not_in_its_repr():
    assert "secret" not in repr(PostProcess(prompt="secret", cutout=b"secret"))


def test_a_png_of_sixteen_bits_keeps_its_shades():
    levels = np.asarray(photo(mode="L")).astype(np.uint16)
    (made,) = PostProcess()(png(Image.fromarray(levels * 257)), FACTS)
    assert np.abs(np.asarray(shown(made).convert("L")).astype(int) - levels).mean() < 4


@pytest.mark.parametrize("mode", ["L", "P", "LA", "1"])
def test_every_mode_of_a_png_becomes_a_picture(mode: str):
    (made,) = PostProcess()(png(photo(mode="L").convert(mode)), FACTS)
    assert np.asarray(shown(made).convert("L")).std() > 10


def test_a_picture_that_is_transparent_already_stays_so():
    image = photo(mode="RGBA")
    image.putalpha(0)
    image.paste((200, 30, 30, 255), (50, 30, 150, 90))
    (made,) = PostProcess()(png(image), FACTS)
    assert shown(made).getchannel("A").getextrema() == (0, 255)


def test_a_background_that_the_node_has_removed_is_not_keyed_again():
    """The subject has the key's colour in it, and what is clear may have any."""
    image = photo(mode="RGBA")
    image.paste((0, 255, 0, 0), (0, 0, 200, 120))
    image.paste((0, 255, 0, 255), (50, 30, 150, 90))
    (made,) = PostProcess(key_colour="#00ff00", trim_px=5)(png(image), FACTS)
    assert (made.width, made.height) == (110, 70)
    assert shown(made).getpixel((55, 35)) == (0, 255, 0, 255)


@pytest.mark.parametrize(
    ("data", "finish", "why"),
    [
        (png(photo()), PostProcess(size=(200, 121)), "is 200 x 120, not 200 x 121"),
        (png(Image.new("RGB", (64, 64))), PostProcess(), "one flat colour"),
        (png(Image.new("RGB", (64, 64), (90, 200, 10))), PostProcess(), "one flat colour"),
        (png(Image.new("RGBA", (64, 64), (90, 200, 10, 0))), PostProcess(), "transparent"),
        (png(Image.effect_noise((64, 64), 0.3).convert("RGB")), PostProcess(), "one flat colour"),
        (png(photo())[:-200], PostProcess(), "cannot be decoded"),
        (png(photo()), PostProcess(max_pixels=100), "more than 100 pixels"),
        (png(Image.effect_noise((16_384, 2), 90)), PostProcess(), "at most 16383 a side"),
        (b"<svg/>", PostProcess(), "cannot be decoded"),
        (b"", PostProcess(), "cannot be decoded"),
        (picture("GIF"), PostProcess(), "cannot be decoded"),
        (png(photo()), PostProcess(key_colour="#00ff00"), "no flat background"),
    ],
    ids=range(12),
)
def test_what_is_no_finished_picture_is_refused(data: bytes, finish: PostProcess, why: str):
    with pytest.raises(InvalidImage, match=why):
        finish(data, FACTS)


def test_a_sticker_of_which_nothing_is_left_is_refused():
    image = Image.new("RGB", (100, 100), (0, 255, 0))
    image.paste((200, 0, 0), (40, 40, 46, 46))
    with pytest.raises(InvalidImage, match="has nothing left"):
        PostProcess(key_colour="#00ff00")(png(image), FACTS)


def test_a_sticker_whose_background_stays_is_refused():
    image = photo((300, 300))
    image.paste((0, 255, 0), (0, 0, 300, 4))
    ImageDraw.Draw(image).line((0, 0, 0, 299), fill=(0, 255, 0), width=9)
    with pytest.raises(InvalidImage, match=r"9.% of it would stay"):
        PostProcess(key_colour="#00ff00")(png(image), FACTS)


@pytest.mark.parametrize("metadata", ["full", "anonymous", "none"])
def test_metadata_say_as_much_as_they_may(metadata: Any):
    graph = '{"3": {"inputs": {"text": "a secret prompt"}}}'
    source = with_metadata(png(photo()), ImageMetadata(0, prompt=graph))
    finish = PostProcess(
        prompt="a secret prompt",
        character="Ana",
        metadata=metadata,
        thumbnail_px=50,
        keep_original=True,
    )
    made = finish(source, FACTS)
    for one in made:
        assert (AI_MARK.encode() in one.data) == (metadata != "none")
        assert (b"job-1" in one.data or one.role == "original") == (
            metadata == "full" or one.role == "original"
        )
        assert b"mark" not in one.data
    assert (b"a secret prompt" in made[0].data) == (metadata == "full")
    assert b"a secret prompt" not in made[1].data
    assert (b"a secret prompt" in made[2].data) == (metadata == "full")
    assert shown(made[2]).tobytes() == Image.open(io.BytesIO(source)).tobytes()


def test_a_size_target_lowers_quality_no_further_than_needed():
    image = photo((400, 400))
    whole = encode_webp(image)
    assert (whole.quality, whole.on_target) == (85, True)
    target = (len(whole.data) + len(encode_webp(image, quality=60).data)) // 2
    found = encode_webp(image, most_bytes=target)
    assert found.quality in (65, 70, 75, 80)
    assert len(found.data) <= target
    assert len(encode_webp(image, quality=found.quality + 5).data) > target


def test_a_missed_size_target_is_delivered_and_told():
    source = png(photo((400, 400)))
    finish = PostProcess(most_bytes=500)
    made = finish(source, FACTS)
    assert finish.exceeds_target(made)
    assert made == PostProcess(quality=50)(source, FACTS)
    assert not PostProcess(most_bytes=10**6).exceeds_target(made)


def test_a_transparent_picture_goes_lossy_only_for_its_size_target():
    lossless = sticker()[0]
    found = sticker(most_bytes=len(lossless.data) // 2)[0]
    assert len(found.data) <= len(lossless.data) // 2
    before, after = (np.asarray(shown(one))[..., 3].astype(int) for one in (lossless, found))
    assert np.array_equal(before, after)


def test_a_thumbnail_is_never_larger_than_the_picture():
    assert thumbnail(photo((40, 30)), 256).size == (40, 30)


@given(st.integers(0, 100))
def test_qualities_fall_by_five_and_end_at_fifty(first: int):
    tried = qualities(first)
    assert tried[0] == first
    assert tried == sorted(tried, reverse=True)
    assert all(step >= 50 for step in tried[1:])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(400, 60_000), min_size=2, max_size=5), st.integers(0, 50))
def test_a_smaller_target_never_gives_a_larger_file(targets: list[int], seed: int):
    noise = np.random.default_rng(seed).integers(0, 255, (20, 20, 3), np.uint8)
    image = Image.fromarray(noise).resize((160, 160), Image.Resampling.BICUBIC)
    sizes = [len(encode_webp(image, most_bytes=target).data) for target in sorted(targets)]
    assert sizes == sorted(sizes)


@settings(max_examples=100, deadline=None)
@given(
    box=st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 20), st.integers(1, 20)),
    alpha=st.integers(1, 255),
    margin=st.integers(0, 30),
)
def test_trimming_never_cuts_the_subject(box: tuple[int, int, int, int], alpha: int, margin: int):
    image = Image.new("RGBA", (60, 60))
    left, top, width, height = box
    image.paste((9, 9, 9, alpha), (left, top, left + width, top + height))
    found = trim(image, margin)
    assert np.asarray(found)[..., 3].sum() == np.asarray(image)[..., 3].sum()
    assert found.width <= width + 2 * margin
    assert found.height <= height + 2 * margin


def test_it_works_in_the_confined_process():
    """Where no file can be written, memory is bounded, and what is imported is imported late."""
    crafts = DecoderPool(transform_limits(4_000_000, 60.0), count=1)
    try:
        subject = draw(4, KEYS["green"], SIZE, USUAL)
        finish = PostProcess(size=SIZE, key_colour="#00FF00", trim_px=5, thumbnail_px=100, keep_original=True)
        assert list(crafts.transform(finish, subject.data, FACTS)) == list(finish(subject.data, FACTS))
        with pytest.raises(InvalidImage, match="is blank"):
            crafts.transform(finish, png(Image.new("RGB", SIZE)), FACTS)
        image = Image.effect_noise(SIZE, 90).convert("RGB")
        (made,) = crafts.transform(PostProcess(cutout=cutout_model()), png(image), FACTS)
        assert shown(made).mode == "RGBA"
    finally:
        crafts.close()


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_damaged_bytes_give_a_picture_or_a_refusal(format_: str):
    random = Random(format_)
    sound = picture(format_, (40, 30))
    keyed = PostProcess(key_colour="#00ff00", keep_original=True, metadata="anonymous", max_pixels=10_000)
    plain = PostProcess(thumbnail_px=8, keep_original=True, metadata="anonymous", max_pixels=10_000)
    for _ in range(60):
        data = bytearray(sound)
        for _ in range(random.randint(1, 6)):
            data[random.randrange(len(data))] = random.randrange(256)
        del data[random.randint(len(data) // 2, 2 * len(data)) :]
        for one in (keyed, plain):
            try:
                made = one(bytes(data), FACTS)
            except InvalidImage:
                continue
            assert shown(made[0]).size == (made[0].width, made[0].height)
