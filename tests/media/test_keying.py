"""A flat background is removed by its colour: measured against subjects whose alpha is known exactly."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from imagemill.backends.simulator import painter
from imagemill.domain.images import ImageSpec
from imagemill.media.chroma_key import NoBackground, measure, remove_background, tint
from tests.media.subjects import CLEAN, KEYS, ROUGH, USUAL, Rendering, Rgb, Subject, draw

SIZE = (256, 336)


def keyed(subject: Subject, key: Rgb | None) -> Any:
    with Image.open(io.BytesIO(subject.data)) as picture:
        return np.asarray(remove_background(picture, key)).astype(np.float32)


def alpha_of(pixels: Any) -> Any:
    return pixels[..., 3] / 255


def flat(key: Rgb, draw_on: Any = None, size: tuple[int, int] = (120, 100)) -> Image.Image:
    image = Image.new("RGB", size, key)
    if draw_on is not None:
        draw_on(ImageDraw.Draw(image))
    return image


@pytest.mark.parametrize("rendering", [CLEAN, USUAL, ROUGH], ids=["clean", "usual", "rough"])
@pytest.mark.parametrize("name", KEYS)
def test_alpha_is_found_within_two_hundredths(name: str, rendering: Rendering):
    subject = draw(5, KEYS[name], SIZE, rendering)
    error = np.abs(alpha_of(keyed(subject, KEYS[name])) - subject.alpha)
    assert error.mean() < 0.01
    # Where the background shines through, which most of a picture does not.
    edge = (subject.alpha > 0) & (subject.alpha < 1)
    assert error[edge].mean() < 0.12


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    "behind", [(0, 0, 0), (255, 255, 255), (255, 0, 255)], ids=["black", "white", "magenta"]
)
def test_no_fringe_is_left_on_any_background(name: str, behind: Rgb):
    subject = draw(2, KEYS[name], SIZE, USUAL)
    pixels = keyed(subject, KEYS[name])
    alpha = alpha_of(pixels)[..., None]
    seen = pixels[..., :3] * alpha + (1 - alpha) * np.array(behind, np.float32)
    error = np.abs(seen - subject.on(behind)).max(2)
    edge = (subject.alpha > 0) & (subject.alpha < 1)
    assert error[edge].mean() < 20
    assert (error > 100).mean() < 0.002


@pytest.mark.parametrize("name", KEYS)
def test_the_key_leaves_no_tint_at_the_edge(name: str):
    """What is left of its hue is no more than the subject's own."""
    key = np.array(KEYS[name], np.float32)

    def coat(draw_on: Any) -> None:
        draw_on.ellipse((20, 20, 100, 80), fill=(128, 128, 128))

    picture = flat(KEYS[name], coat, (480, 400)).resize((120, 100), Image.Resampling.BOX)
    out = np.asarray(remove_background(picture)).astype(np.float32)
    visible = out[..., 3] > 12
    assert tint(out[visible][:, :3], key).max() <= 6


def test_a_hole_is_background_too():
    def ring(draw_on: Any) -> None:
        draw_on.ellipse((20, 10, 100, 90), fill=(200, 60, 60))
        draw_on.ellipse((50, 40, 70, 60), fill=(0, 255, 0))

    out = np.asarray(remove_background(flat((0, 255, 0), ring)))
    assert out[50, 60, 3] == 0
    assert out[50, 30, 3] == 255


@pytest.mark.parametrize("eye", [(40, 150, 60), (90, 200, 40), (0, 160, 110)])
def test_a_colour_near_the_key_inside_the_subject_is_kept(eye: Rgb):
    def face(draw_on: Any) -> None:
        draw_on.rectangle((20, 10, 100, 90), fill=(230, 190, 160))
        draw_on.ellipse((50, 40, 70, 60), fill=eye)

    out = np.asarray(remove_background(flat((0, 255, 0), face)))
    assert tuple(out[50, 60]) == (*eye, 255)


def test_a_coat_near_the_key_is_kept_to_its_edge():
    def coat(draw_on: Any) -> None:
        draw_on.rectangle((20, 10, 100, 90), fill=(60, 150, 70))

    out = np.asarray(remove_background(flat((0, 255, 0), coat)))
    assert (out[10:91, 20:101, 3] > 240).all()
    assert out[:9, :, 3].max() == 0


def test_the_background_is_measured_where_it_is_not_the_colour_asked_for():
    subject = draw(1, (30, 200, 60), SIZE, USUAL)
    error = np.abs(alpha_of(keyed(subject, (0, 255, 0))) - subject.alpha)
    assert error.mean() < 0.01


def test_a_background_that_darkens_to_its_rim_is_followed():
    subject = draw(1, (20, 60, 230), SIZE, Rendering(slope=40, noise=1.0))
    with Image.open(io.BytesIO(subject.data)) as picture:
        backdrop = measure(np.asarray(picture), (0, 0, 255))
    assert backdrop.slope is not None
    error = np.abs(alpha_of(keyed(subject, (0, 0, 255))) - subject.alpha)
    assert error.mean() < 0.02


def test_noise_leaves_no_specks():
    noise = np.random.default_rng(3).normal(0, 3, (200, 200, 3))
    pixels = np.clip(np.array([0, 255, 0]) + noise, 0, 255).astype(np.uint8)
    pixels[80:120, 80:120] = (200, 30, 90)
    alpha = np.asarray(remove_background(Image.fromarray(pixels)))[..., 3]
    alpha = alpha.copy()
    alpha[78:122, 78:122] = 0
    assert alpha.max() == 0


@pytest.mark.parametrize("behind", [(255, 255, 255), (128, 128, 128), (10, 10, 10)])
def test_a_grey_background_is_removed_too(behind: Rgb):
    def coat(draw_on: Any) -> None:
        draw_on.ellipse((80, 40, 400, 360), fill=(200, 60, 60))

    picture = flat(behind, coat, (480, 400)).resize((120, 100), Image.Resampling.BOX)
    out = np.asarray(remove_background(picture)).astype(int)
    assert out[50, 60, 3] == 255
    assert out[0, 0, 3] == 0
    edge = (out[..., 3] > 60) & (out[..., 3] < 255)
    assert edge.sum() > 50
    assert np.abs(out[edge][:, :3] - (200, 60, 60)).max() < 40


@pytest.mark.parametrize("behind", [(255, 255, 255), (30, 30, 30)])
def test_eyes_of_a_grey_backgrounds_colour_are_kept(behind: Rgb):
    def face(draw_on: Any) -> None:
        draw_on.ellipse((20, 10, 100, 90), fill=(230, 160, 130))
        draw_on.ellipse((56, 46, 64, 54), fill=behind)

    out = np.asarray(remove_background(flat(behind, face)))
    assert tuple(out[50, 60]) == (*behind, 255)
    assert out[2, 2, 3] == 0


def test_the_colour_asked_for_wins_where_the_border_shows_several():
    """A wall of another colour touches most of the border."""
    image = Image.new("RGB", (120, 100), (90, 40, 40))
    image.paste((10, 240, 10), (0, 0, 120, 30))
    alpha = np.asarray(remove_background(image, (0, 255, 0)))[..., 3]
    assert alpha[5, 60] == 0
    assert alpha[80, 60] == 255


def test_a_picture_without_a_flat_background_is_refused():
    with pytest.raises(NoBackground, match="no flat background"):
        remove_background(Image.effect_noise((100, 100), 90).convert("RGB"), (0, 255, 0))


@settings(max_examples=40, deadline=None)
@given(
    key=st.sampled_from(sorted(KEYS.values())),
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    box=st.tuples(*[st.integers(0, 60)] * 4),
    seed=st.integers(0, 1000),
)
def test_any_subject_gives_an_alpha_and_what_is_clear_is_black(
    key: Rgb, colour: Rgb, box: tuple[int, int, int, int], seed: int
):
    """What is clear has no colour left that an encoder or a viewer could show."""
    noise = np.random.default_rng(seed).normal(0, seed % 4, (70, 70, 3))
    pixels = np.clip(np.array(key) + noise, 0, 255).astype(np.uint8)
    pixels[10 : 10 + box[0] // 2, 10 : 10 + box[1] // 2] = colour
    out = np.asarray(remove_background(Image.fromarray(pixels), key))
    assert out.shape == (70, 70, 4)
    assert (out[out[..., 3] == 0] == 0).all()
    assert out[0, 0, 3] == 0


@pytest.mark.parametrize("name", KEYS)
def test_the_simulators_people_are_keyed_to_a_hair(name: str):
    spec = ImageSpec(
        "a waving person", "", "m", "m", "sdxl", 384, 576, 30, 7.0, "euler", "karras", 5, format="png"
    )
    spec = replace(spec, background="#{:02x}{:02x}{:02x}".format(*KEYS[name]))
    with Image.open(io.BytesIO(painter.paint(spec, 0))) as picture:
        found = np.asarray(remove_background(picture, KEYS[name]))[..., 3].astype(int)
    assert np.abs(found - np.asarray(painter.cover(spec, 0))).mean() / 255 < 0.001
