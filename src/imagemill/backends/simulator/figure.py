"""One drawn person on an exactly flat background: something for chroma key and face search to work on.

Lengths are in half heads: the head's middle is the origin, its chin at y = 1, its crown at y = -1.
"""

import re
from colorsys import rgb_to_hsv
from dataclasses import dataclass, replace
from math import cos, pi, sin
from random import Random

from PIL import Image, ImageDraw

from imagemill.backends.simulator.canvas import Colour, Point, mix, rgb
from imagemill.backends.simulator.face import Skin, draw_face
from imagemill.backends.simulator.hair import draw_back_hair, draw_front_hair
from imagemill.backends.simulator.stage import Stage

FULL_BODY_FROM = 1.2
"""Height over width from which the whole body is shown; wider pictures get head and shoulders."""

SKINS: tuple[Colour, ...] = (
    (244, 208, 184), (232, 186, 156), (214, 160, 126), (186, 130, 96), (146, 96, 68), (104, 66, 48),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (34, 26, 26), (70, 44, 30), (112, 70, 40), (150, 84, 42), (196, 152, 86), (160, 52, 34), (120, 118, 124),
)  # fmt: skip
DUSK: Colour = (20, 10, 40)
"""What shade tends to."""

EYES: tuple[Colour, ...] = ((74, 50, 34), (58, 96, 140), (72, 118, 78), (96, 92, 98), (108, 74, 34))


@dataclass(frozen=True, slots=True)
class Look:
    """What this person wears and is coloured like."""

    skin: Skin
    hair: Colour
    top: Colour
    bottom: Colour
    shoes: Colour
    skirt: bool
    long_hair: bool
    pose: int


_MAN = re.compile(r"\b(?:1boy|male)\b", re.IGNORECASE)
_HAIR = re.compile(r"\b(black|brown|blonde?|red|gr[ae]y|white|blue|green|pink|purple) hair\b", re.IGNORECASE)
_HAIRS: dict[str, Colour] = {
    "black": HAIRS[0], "brown": HAIRS[1], "blond": HAIRS[4], "blonde": HAIRS[4], "red": HAIRS[5],
    "gray": HAIRS[6], "grey": HAIRS[6],
    "white": (222, 222, 226), "blue": (52, 84, 160), "green": (52, 120, 84), "pink": (226, 130, 170),
    "purple": (110, 70, 150),
}  # fmt: skip


def draw_figure(
    random: Random, size: tuple[int, int], background: Colour, *, fine: bool, prompt: str = ""
) -> Image.Image:
    """A person on ``background``, RGB, with the hair the prompt asks for. Nothing touches the corners."""
    width, height = size
    image = Image.new("RGB", size, background)
    look = _wished(_look(random, background), prompt, background)
    if height >= width * FULL_BODY_FROM:
        unit = min(height * 0.95 / 10.9, width * 0.95 / 4.7)
        top = (height - 10.9 * unit) / 2
        stage = Stage(ImageDraw.Draw(image), random, width / 2, top + 1.35 * unit, unit, fine)
        draw_back_hair(stage, look.hair, long=look.long_hair)
        _legs(stage, look)
        _torso(stage, look)
        _arms(stage, look)
    else:
        unit = min(height * 0.258, width * 0.256)
        stage = Stage(ImageDraw.Draw(image), random, width / 2, height - 2.52 * unit, unit, fine)
        draw_back_hair(stage, look.hair, long=look.long_hair)
        _shoulders(stage, look)
    draw_face(stage, look.skin, look.hair)
    draw_front_hair(stage, look.hair, long=look.long_hair)
    return image


def _look(random: Random, background: Colour) -> Look:
    def one_of(colours: tuple[Colour, ...]) -> Colour:
        """One that a chroma key can tell from the background, where there is such a one."""
        apart = [colour for colour in colours if not _alike(colour, background)]
        choice = apart or [max(colours, key=lambda colour: _distance(colour, background))]
        return choice[int(random.random() * len(choice))]

    hue = random.random()
    cloth = tuple(rgb((hue + turn, 0.35 + 0.4 * random.random(), 0.40 + 0.5 * random.random()))
                  for turn in (0.0, 0.08, 0.35, 0.5, 0.65, 0.92))  # fmt: skip
    plain: tuple[Colour, ...] = ((44, 52, 78), (60, 60, 66), (150, 116, 84), (236, 232, 224), (92, 44, 60))
    skin = one_of(SKINS)
    return Look(
        skin=Skin(skin, EYES[int(random.random() * len(EYES))]),
        hair=one_of(HAIRS),
        top=one_of(cloth),
        bottom=one_of(plain),
        shoes=one_of(((52, 40, 38), (120, 60, 44), (226, 226, 228), (40, 44, 60))),
        skirt=random.random() < 0.5,
        long_hair=random.random() < 0.6,
        pose=int(random.random() * 3),
    )


def _wished(look: Look, prompt: str, background: Colour) -> Look:
    """What can be told from the background of it."""
    if _MAN.search(prompt):
        look = replace(look, skirt=False, long_hair=False)
    hair = _HAIR.search(prompt)
    if hair is not None and not _alike(colour := _HAIRS[hair[1].lower()], background):
        look = replace(look, hair=colour)
    return look


def _alike(colour: Colour, background: Colour) -> bool:
    """Near each other, or of about the same hue where both have one."""
    if _distance(colour, background) <= 110:
        return True
    hue, saturation, _ = rgb_to_hsv(*(channel / 255 for channel in colour))
    key, strength, _ = rgb_to_hsv(*(channel / 255 for channel in background))
    return saturation > 0.25 and strength > 0.25 and abs((hue - key + 0.5) % 1 - 0.5) < 0.17


def _distance(first: Colour, second: Colour) -> int:
    return sum(abs(a - b) for a, b in zip(first, second, strict=True))


def _legs(stage: Stage, look: Look) -> None:
    cloth = look.skin.base if look.skirt else look.bottom
    for side in (-1, 1):
        colour = mix(cloth, DUSK, 0.16 if side > 0 else 0.0)
        stage.limb(colour, (side * 0.50, 4.6, 0.50), (side * 0.55, 6.6, 0.40), (side * 0.58, 8.8, 0.27))
        if not look.skirt:
            stage.shape(colour, (0.0, 3.9), (side * 0.9, 3.9), (side * 1.0, 4.7), (0.0, 5.4))
        stage.limb(look.shoes, (side * 0.56, 8.98, 0.30), (side * 0.86, 9.14, 0.24))
        sole = ((side * 1.10, 9.4), (side * 0.26, 9.4))
        stage.shape(look.shoes, (side * 0.26, 9.0), (side * 0.9, 8.98), (side * 1.10, 9.22), *sole)
        stage.line(mix(look.shoes, (255, 255, 255), 0.45), 0.09, (side * 0.26, 9.37), (side * 1.10, 9.37))
    if look.skirt:
        _skirt(stage, look.bottom)


def _skirt(stage: Stage, colour: Colour) -> None:
    hem = [(1.62 - 3.24 * step / 16, 6.7 + 0.16 * sin(pi * step / 16)) for step in range(17)]
    stage.shape(colour, (-0.92, 3.8), (0.92, 3.8), *hem)
    stage.shape(mix(colour, DUSK, 0.14), (0.35, 3.8), (0.92, 3.8), *hem[:6])
    for fold in (-0.66, -0.22, 0.22, 0.66):
        stage.line(mix(colour, DUSK, 0.26), 0.045, (fold * 0.95, 4.5), (fold * 1.95, 6.72))


def _torso(stage: Stage, look: Look) -> None:
    _neck(stage, look)
    left: list[Point] = [(-0.42, 1.34), (-1.00, 1.50), (-1.25, 1.80)]
    left += [(-1.18, 2.3), (-0.96, 3.1), (-0.92, 4.15)]
    right: list[Point] = [(-x, y) for x, y in reversed(left)]
    stage.shape(look.top, *left, *right, (0.0, 1.78))
    stage.shape(mix(look.top, DUSK, 0.14), (0.30, 4.15), *right[:-1], (0.62, 2.2), (0.45, 3.1))
    stage.shape(mix(look.bottom, (0, 0, 0), 0.35), (-0.94, 3.92), (0.94, 3.92), (0.93, 4.15), (-0.93, 4.15))
    stage.shape((214, 186, 110), (-0.13, 3.90), (0.13, 3.90), (0.13, 4.17), (-0.13, 4.17))
    _collar(stage, look)


def _arms(stage: Stage, look: Look) -> None:
    """Both down, one waving, or one hand at the hip."""
    poses: tuple[tuple[Point, Point], ...] = (
        ((1.72, 3.1), (1.78, 4.5)),
        ((1.98, 2.6), (2.1, 1.1)),
        ((1.95, 3.0), (1.12, 3.9)),
    )
    elbow, hand = poses[look.pose]
    _arm(stage, look.skin.base, look.top, (-1.16, 1.92), (-1.70, 3.1), (-1.74, 4.5))
    _arm(stage, look.skin.base, mix(look.top, DUSK, 0.18), (1.16, 1.92), elbow, hand)


def _arm(stage: Stage, skin: Colour, sleeve: Colour, shoulder: Point, elbow: Point, hand: Point) -> None:
    # Along the forearm, and across it.
    along = (hand[0] - elbow[0]) / 1.45, (hand[1] - elbow[1]) / 1.45

    def beyond(far: float, aside: float = 0.0) -> Point:
        """A point from the wrist on."""
        return (
            hand[0] + along[0] * far + along[1] * aside,
            hand[1] + along[1] * far - along[0] * aside,
        )

    stage.limb(skin, (*beyond(-0.6), 0.19), (*hand, 0.17))
    stage.disc(skin, *beyond(0.12), 0.24)
    for finger in (-0.16, -0.05, 0.06, 0.16):
        stage.limb(skin, (*beyond(0.2, finger), 0.065), (*beyond(0.46, finger * 1.3), 0.05))
    stage.limb(sleeve, (*shoulder, 0.34), (*elbow, 0.27), (*beyond(-0.44), 0.24))


def _shoulders(stage: Stage, look: Look) -> None:
    _neck(stage, look)
    left: list[Point] = [(-0.44, 1.30), (-0.85, 1.50), (-1.28, 1.64)]
    left += [(-1.28 - 0.52 * sin(pi * k / 12), 2.24 - 0.60 * cos(pi * k / 12)) for k in range(1, 7)]
    left.append((-1.80, 2.6))
    right: list[Point] = [(-x, y) for x, y in reversed(left)]
    stage.shape(look.top, *left, *right, (0.0, 1.9))
    stage.shape(mix(look.top, DUSK, 0.14), *right[:-1], (0.80, 1.80), (0.62, 2.1), (0.58, 2.6))
    for side in (-1, 1):
        seam = ((side * 1.30, 2.6), (side * 1.24, 2.2), (side * 1.30, 2.05))
        stage.line(mix(look.top, DUSK, 0.30), 0.035, *seam)
    _collar(stage, look)


def _neck(stage: Stage, look: Look) -> None:
    skin = look.skin
    left: list[Point] = [(-0.56, 1.44), (-0.40, 1.32), (-0.36, 0.6)]
    stage.shape(skin.base, *left, *[(-x, y) for x, y in reversed(left)], (0.0, 2.0))
    arc = [(0.37 * cos(pi * step / 8), 0.92 + 0.36 * sin(pi * step / 8)) for step in range(9)]
    stage.shape(skin.shade, (-0.36, 0.7), (0.36, 0.7), *arc)


def _collar(stage: Stage, look: Look) -> None:
    colour = mix(look.top, (255, 255, 255), 0.35)
    for side in (-1, 1):
        stage.shape(colour, (side * 0.42, 1.30), (side * 0.62, 1.42), (side * 0.30, 1.98), (0.0, 1.84))
