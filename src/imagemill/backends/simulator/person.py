"""Draw one person on an exactly flat background, for tests of chroma key and face detection.

Lengths are in half heads: the centre of the head is the origin, its chin at y = 1, its crown at y = -1.
"""

import re
from colorsys import rgb_to_hsv
from dataclasses import dataclass, replace
from itertools import pairwise
from math import cos, pi, sin
from random import Random

from PIL import Image, ImageDraw

from imagemill.backends.simulator.drawing import Colour, Point, mix, rgb

FULL_BODY_FROM = 1.2
"""Height over width from which the whole body is drawn; wider pictures get head and shoulders."""

SKINS: tuple[Colour, ...] = (
    (244, 208, 184), (232, 186, 156), (214, 160, 126), (186, 130, 96), (146, 96, 68), (104, 66, 48),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (34, 26, 26), (70, 44, 30), (112, 70, 40), (150, 84, 42), (196, 152, 86), (160, 52, 34), (120, 118, 124),
)  # fmt: skip
EYES: tuple[Colour, ...] = ((74, 50, 34), (58, 96, 140), (72, 118, 78), (96, 92, 98), (108, 74, 34))
DUSK: Colour = (20, 10, 40)
"""The colour that shades are mixed with."""

_MAN = re.compile(r"\b(?:1boy|male)\b", re.IGNORECASE)
_HAIR = re.compile(r"\b(black|brown|blonde?|red|gr[ae]y|white|blue|green|pink|purple) hair\b", re.IGNORECASE)
_HAIRS: dict[str, Colour] = {
    "black": HAIRS[0], "brown": HAIRS[1], "blond": HAIRS[4], "blonde": HAIRS[4], "red": HAIRS[5],
    "gray": HAIRS[6], "grey": HAIRS[6],
    "white": (222, 222, 226), "blue": (52, 84, 160), "green": (52, 120, 84), "pink": (226, 130, 170),
    "purple": (110, 70, 150),
}  # fmt: skip


# Canvas.


@dataclass(frozen=True, slots=True)
class PersonCanvas:
    """A canvas with the centre of the head as the origin."""

    draw: ImageDraw.ImageDraw
    random: Random
    x: float
    y: float
    unit: float
    """Pixels of half a head."""
    fine: bool

    def at(self, *points: Point) -> list[Point]:
        return [(self.x + x * self.unit, self.y + y * self.unit) for x, y in points]

    def shape(self, colour: Colour, *points: Point) -> None:
        self.draw.polygon(self.at(*points), fill=colour)

    def disc(self, colour: Colour, x: float, y: float, rx: float, ry: float | None = None) -> None:
        (cx, cy), u = self.at((x, y))[0], self.unit
        ry = rx if ry is None else ry
        self.draw.ellipse((cx - rx * u, cy - ry * u, cx + rx * u, cy + ry * u), fill=colour)

    def line(self, colour: Colour, thick: float, *points: Point) -> None:
        width = max(1, round(thick * self.unit))
        self.draw.line(self.at(*points), fill=colour, width=width, joint="curve")

    def limb(self, colour: Colour, *joints: tuple[float, float, float]) -> None:
        """A rounded, tapering chain of (x, y, radius)."""
        for (x1, y1, r1), (x2, y2, r2) in pairwise(joints):
            length = max(1e-6, ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5)
            nx, ny = (y1 - y2) / length, (x2 - x1) / length
            self.shape(colour, (x1 + nx * r1, y1 + ny * r1), (x2 + nx * r2, y2 + ny * r2),
                       (x2 - nx * r2, y2 - ny * r2), (x1 - nx * r1, y1 - ny * r1))  # fmt: skip
        for x, y, r in joints:
            self.disc(colour, x, y, r)


# Face.


@dataclass(frozen=True, slots=True)
class Skin:
    base: Colour
    eyes: Colour

    @property
    def shade(self) -> Colour:
        return mix(self.base, (70, 20, 20), 0.26)

    @property
    def lit(self) -> Colour:
        return mix(self.base, (255, 244, 230), 0.35)

    @property
    def lips(self) -> Colour:
        return mix(self.base, (170, 40, 56), 0.55)


def outline(grow: float = 1.0) -> list[Point]:
    """The face's contour from the right temple clockwise: round skull, narrower jaw."""
    points: list[Point] = []
    for step in range(48):
        turn = 2 * pi * step / 48
        x, y = cos(turn) * 0.76, sin(turn)
        if y > 0:
            x *= 1 - 0.26 * y**2.2
        points.append((x * grow, y * grow))
    return points


def draw_face(canvas: PersonCanvas, skin: Skin, hair: Colour) -> None:
    dark = mix(skin.base, (40, 14, 14), 0.72)
    for side in (-1, 1):
        canvas.disc(skin.base if side < 0 else skin.shade, side * 0.77, 0.10, 0.13, 0.22)
        canvas.disc(skin.shade, side * 0.78, 0.11, 0.07, 0.13)
    _draw_shading(canvas, skin)
    for side in (-1, 1):
        _draw_eye(canvas, skin, dark, side)
        _draw_brow(canvas, mix(hair, (30, 20, 20), 0.35), side)
    _draw_nose(canvas, skin, dark)
    _draw_mouth(canvas, skin)


def _draw_shading(canvas: PersonCanvas, skin: Skin) -> None:
    """Rings from the shaded rim to the lit centre, shifted to the left, where the light comes from."""
    rings = 14 if canvas.fine else 4
    contour = outline()
    for ring in range(rings):
        share = ring / (rings - 1)
        size = 1.0 - 0.62 * share
        tone = mix(skin.shade, skin.base, min(1.0, share * 1.9 + 0.15))
        tone = mix(tone, skin.lit, max(0.0, share - 0.5) * 0.9)
        shift = -0.13 * (1 - size)
        canvas.shape(tone, *[(x * size + shift, y * size - 0.10 * (1 - size)) for x, y in contour])
    if canvas.fine:
        blush = mix(skin.base, (220, 90, 84), 0.15)
        for side in (-1, 1):
            for ring in range(6):
                tone = mix(skin.base, blush, (ring + 1) / 6)
                canvas.disc(tone, side * 0.37, 0.37, 0.15 - 0.022 * ring, 0.11 - 0.016 * ring)


def _draw_eye(canvas: PersonCanvas, skin: Skin, dark: Colour, side: int) -> None:
    x, y = side * 0.31, 0.04
    if canvas.fine:
        for ring in range(5):
            tone = mix(skin.base, skin.shade, 0.18 * (ring + 1) / 2)
            canvas.disc(tone, x, y - 0.02, 0.24 - 0.02 * ring, 0.15 - 0.014 * ring)
    upper = [(x + 0.18 * cos(pi + pi * k / 10), y - 0.105 * sin(pi * k / 10)) for k in range(11)]
    lower = [(x + 0.18 * cos(pi * k / 10), y + 0.062 * sin(pi * k / 10)) for k in range(11)]
    canvas.shape((246, 243, 240), *upper, *lower)
    canvas.disc(mix(skin.eyes, (0, 0, 0), 0.45), x, y - 0.02, 0.092)
    canvas.disc(skin.eyes, x, y - 0.012, 0.074)
    canvas.disc((18, 14, 16), x, y - 0.02, 0.042)
    canvas.disc((255, 255, 255), x - 0.032, y - 0.052, 0.022)
    # The lid covers the top of the iris, as in a relaxed eye.
    lid = [(px, py + 0.012) for px, py in upper]
    corner = (x + side * 0.205, y - 0.012)
    canvas.line(dark, 0.045, *((*lid, corner) if side > 0 else (corner, *lid)))
    canvas.line(mix(skin.base, dark, 0.55), 0.014, *lower)
    if canvas.fine:
        canvas.line(skin.shade, 0.016, *[(px, py - 0.055) for px, py in upper[2:9]])


def _draw_brow(canvas: PersonCanvas, colour: Colour, side: int) -> None:
    above = [(side * (0.13 + 0.40 * k / 8), -0.15 - 0.085 * sin(pi * (0.25 + 0.6 * k / 8))) for k in range(9)]
    below = [(px, py + 0.062 * (1 - 0.85 * k / 8)) for k, (px, py) in enumerate(above)]
    canvas.shape(colour, *above, *reversed(below))


def _draw_nose(canvas: PersonCanvas, skin: Skin, dark: Colour) -> None:
    soft = mix(skin.base, skin.shade, 0.55)
    canvas.shape(soft, (0.05, -0.02), (0.085, 0.24), (0.155, 0.37), (0.10, 0.43), (0.02, 0.42), (0.035, 0.2))
    canvas.shape(skin.lit, (-0.035, 0.0), (0.03, 0.0), (0.045, 0.30), (-0.045, 0.30))
    canvas.disc(mix(skin.base, skin.lit, 0.6), -0.005, 0.335, 0.085, 0.07)
    canvas.disc(mix(skin.lit, (255, 255, 255), 0.4), -0.02, 0.315, 0.03, 0.022)
    for side in (-1, 1):
        canvas.disc(soft, side * 0.105, 0.385, 0.05, 0.042)
        canvas.disc(dark, side * 0.062, 0.412, 0.034, 0.016)


def _draw_mouth(canvas: PersonCanvas, skin: Skin) -> None:
    lips, y = skin.lips, 0.645
    canvas.shape(lips, (-0.225, y - 0.012), (-0.07, y - 0.068), (0.0, y - 0.050), (0.07, y - 0.068),
                (0.225, y - 0.012), (0.0, y + 0.02))  # fmt: skip
    under = [(0.205 * cos(pi * k / 10), y + 0.098 * sin(pi * k / 10)) for k in range(11)]
    canvas.shape(mix(lips, (255, 170, 160), 0.22), *under, (-0.205, y - 0.005), (0.0, y + 0.015))
    seam = mix(lips, (40, 8, 14), 0.6)
    half: list[Point] = [(-0.24, y - 0.025), (-0.1, y + 0.008), (0.0, y + 0.012)]
    canvas.line(seam, 0.022, *half, *[(-x, at) for x, at in reversed(half[:2])])
    if canvas.fine:
        canvas.disc(mix(lips, (255, 220, 214), 0.6), -0.03, y + 0.055, 0.055, 0.014)
        canvas.line(
            mix(skin.base, skin.shade, 0.8), 0.02, (-0.1, y + 0.145), (0, y + 0.158), (0.1, y + 0.145)
        )


# Hair.


def draw_back_hair(canvas: PersonCanvas, colour: Colour, *, long: bool) -> None:
    """Draw the hair behind head and neck, before those."""
    deep = mix(colour, (8, 4, 8), 0.42)
    canvas.disc(deep, 0, -0.16, 0.90, 0.98)
    if not long:
        return
    canvas.shape(deep, (-0.88, -0.2), (-1.0, 0.7), (-0.96, 1.75), (0.96, 1.75), (1.0, 0.7), (0.88, -0.2))
    count = 64 if canvas.fine else 10
    for number in range(count):
        side = -1 if number % 2 else 1
        spread = canvas.random.random()
        start = (side * (0.70 + 0.18 * spread), -0.5)
        bend = (side * (0.98 + 0.16 * spread), 0.5)
        end = (side * (0.35 + 0.72 * spread), 1.62 + 0.42 * canvas.random.random())
        _draw_strand(canvas, _tone(canvas, deep), 0.035, start, bend, end)


def draw_front_hair(canvas: PersonCanvas, colour: Colour, *, long: bool) -> None:
    """Draw the cap of hair with its parting, and the strands over temples and forehead."""
    parting = -0.28 if canvas.random.random() < 0.5 else 0.28
    cap = [(0.84 * cos(turn), -0.20 + 0.94 * sin(turn)) for turn in (pi + pi * k / 20 for k in range(21))]
    left = _hairline(parting, -0.80)
    right = _hairline(parting, 0.80)
    canvas.shape(colour, *cap, *reversed(right), *left)
    if canvas.fine:
        _draw_shine(canvas, colour, parting)
    falls = 0.95 if long else 0.28
    count = 70 if canvas.fine else 12
    for number in range(count):
        side = -1 if number % 2 else 1
        spread = canvas.random.random()
        root = (parting + side * 0.10 * spread, -1.10 + 0.05 * spread)
        bend = (side * (0.86 + 0.20 * spread), -1.02 + 0.25 * spread)
        end = (side * (0.74 + 0.16 * spread), falls * (0.35 + 0.65 * canvas.random.random()))
        _draw_strand(canvas, _tone(canvas, colour), 0.028, root, bend, end)
    if canvas.fine:
        _draw_flyaway(canvas, colour)


def _hairline(parting: float, temple: float) -> list[Point]:
    """The line from the parting over the forehead down to a temple."""
    high, low = -0.66, 0.02
    return [
        (parting + (temple - parting) * share, high + (low - high) * share**2.6)
        for share in (step / 10 for step in range(11))
    ]


def _draw_shine(canvas: PersonCanvas, colour: Colour, parting: float) -> None:
    """Draw strands from the parting over the cap: lighter in the light, darker elsewhere."""
    for number in range(90):
        side = -1 if number % 2 else 1
        share = canvas.random.random()
        lower = side * (0.20 + 0.60 * share)
        across = abs(lower - parting) / abs(side * 0.80 - parting)
        start = (parting, -1.12)
        end = (lower, _hairline(parting, side * 0.80)[min(10, int(across * 10))][1] - 0.03)
        bend = ((parting + lower) / 2 + side * 0.30 * share, -1.10 + 0.25 * share)
        _draw_strand(canvas, _tone(canvas, colour), 0.024, start, bend, end)


def _draw_flyaway(canvas: PersonCanvas, colour: Colour) -> None:
    """Draw single hairs that stick out of the outline."""
    for number in range(54):
        away = (1 if number % 2 else -1) * (0.30 + 0.55 * canvas.random.random())
        turn = 1.5 * pi + away * 0.45 * pi * (0.3 + canvas.random.random())
        lift = 1.03 + 0.10 * canvas.random.random() ** 2
        curve = [
            (0.82 * grow * cos(turn + away * on), -0.20 + 0.93 * grow * sin(turn + away * on))
            for on, grow in ((0.0, 0.97), (0.40, 0.60 + 0.44 * lift), (0.75, lift))
        ]
        _draw_strand(canvas, _tone(canvas, colour), 0.009, curve[0], curve[1], curve[2])


def _tone(canvas: PersonCanvas, colour: Colour) -> Colour:
    draw = canvas.random.random()
    if draw > 0.55:
        return mix(colour, (255, 226, 190), 0.30 * (draw - 0.55))
    return mix(colour, (0, 0, 0), 0.5 * (0.55 - draw))


def _draw_strand(
    canvas: PersonCanvas, colour: Colour, thick: float, start: Point, bend: Point, end: Point
) -> None:
    """A quadratic curve of one width."""
    steps = 8 if canvas.fine else 3
    points: list[Point] = []
    for step in range(steps + 1):
        t = step / steps
        a, b, c = (1 - t) * (1 - t), 2 * t * (1 - t), t * t
        points.append((a * start[0] + b * bend[0] + c * end[0], a * start[1] + b * bend[1] + c * end[1]))
    canvas.line(colour, thick, *points)


# Body, clothes, and the whole figure.


@dataclass(frozen=True, slots=True)
class PersonLook:
    """The clothes and colours of a person."""

    skin: Skin
    hair: Colour
    top: Colour
    bottom: Colour
    shoes: Colour
    skirt: bool
    long_hair: bool
    pose: int


def draw_figure(
    random: Random, size: tuple[int, int], background: Colour, *, fine: bool, prompt: str = ""
) -> Image.Image:
    """An RGB picture of a person, with the hair colour in the prompt. The corners show only the
    background."""
    width, height = size
    image = Image.new("RGB", size, background)
    look = _follow_prompt(_random_look(random, background), prompt, background)
    if height >= width * FULL_BODY_FROM:
        unit = min(height * 0.95 / 10.9, width * 0.95 / 4.7)
        top = (height - 10.9 * unit) / 2
        canvas = PersonCanvas(ImageDraw.Draw(image), random, width / 2, top + 1.35 * unit, unit, fine)
        draw_back_hair(canvas, look.hair, long=look.long_hair)
        _draw_legs(canvas, look)
        _draw_torso(canvas, look)
        _draw_arms(canvas, look)
    else:
        unit = min(height * 0.258, width * 0.256)
        canvas = PersonCanvas(ImageDraw.Draw(image), random, width / 2, height - 2.52 * unit, unit, fine)
        draw_back_hair(canvas, look.hair, long=look.long_hair)
        _draw_shoulders(canvas, look)
    draw_face(canvas, look.skin, look.hair)
    draw_front_hair(canvas, look.hair, long=look.long_hair)
    return image


def _random_look(random: Random, background: Colour) -> PersonLook:
    def one_of(colours: tuple[Colour, ...]) -> Colour:
        """A random colour that a chroma key can distinguish from the background, if there is one."""
        apart = [colour for colour in colours if not _is_similar(colour, background)]
        choice = apart or [max(colours, key=lambda colour: _distance(colour, background))]
        return choice[int(random.random() * len(choice))]

    hue = random.random()
    cloth = tuple(rgb((hue + turn, 0.35 + 0.4 * random.random(), 0.40 + 0.5 * random.random()))
                  for turn in (0.0, 0.08, 0.35, 0.5, 0.65, 0.92))  # fmt: skip
    plain: tuple[Colour, ...] = ((44, 52, 78), (60, 60, 66), (150, 116, 84), (236, 232, 224), (92, 44, 60))
    skin = one_of(SKINS)
    return PersonLook(
        skin=Skin(skin, EYES[int(random.random() * len(EYES))]),
        hair=one_of(HAIRS),
        top=one_of(cloth),
        bottom=one_of(plain),
        shoes=one_of(((52, 40, 38), (120, 60, 44), (226, 226, 228), (40, 44, 60))),
        skirt=random.random() < 0.5,
        long_hair=random.random() < 0.6,
        pose=int(random.random() * 3),
    )


def _follow_prompt(look: PersonLook, prompt: str, background: Colour) -> PersonLook:
    """The look with the prompt's sex and hair colour, if that colour differs from the background."""
    if _MAN.search(prompt):
        look = replace(look, skirt=False, long_hair=False)
    hair = _HAIR.search(prompt)
    if hair is not None and not _is_similar(colour := _HAIRS[hair[1].lower()], background):
        look = replace(look, hair=colour)
    return look


def _is_similar(colour: Colour, background: Colour) -> bool:
    """Whether the colours are near each other, or have about the same hue if both have one."""
    if _distance(colour, background) <= 110:
        return True
    hue, saturation, _ = rgb_to_hsv(*(channel / 255 for channel in colour))
    key, strength, _ = rgb_to_hsv(*(channel / 255 for channel in background))
    return saturation > 0.25 and strength > 0.25 and abs((hue - key + 0.5) % 1 - 0.5) < 0.17


def _distance(first: Colour, second: Colour) -> int:
    return sum(abs(a - b) for a, b in zip(first, second, strict=True))


def _draw_legs(canvas: PersonCanvas, look: PersonLook) -> None:
    cloth = look.skin.base if look.skirt else look.bottom
    for side in (-1, 1):
        colour = mix(cloth, DUSK, 0.16 if side > 0 else 0.0)
        canvas.limb(colour, (side * 0.50, 4.6, 0.50), (side * 0.55, 6.6, 0.40), (side * 0.58, 8.8, 0.27))
        if not look.skirt:
            canvas.shape(colour, (0.0, 3.9), (side * 0.9, 3.9), (side * 1.0, 4.7), (0.0, 5.4))
        canvas.limb(look.shoes, (side * 0.56, 8.98, 0.30), (side * 0.86, 9.14, 0.24))
        sole = ((side * 1.10, 9.4), (side * 0.26, 9.4))
        canvas.shape(look.shoes, (side * 0.26, 9.0), (side * 0.9, 8.98), (side * 1.10, 9.22), *sole)
        canvas.line(mix(look.shoes, (255, 255, 255), 0.45), 0.09, (side * 0.26, 9.37), (side * 1.10, 9.37))
    if look.skirt:
        _draw_skirt(canvas, look.bottom)


def _draw_skirt(canvas: PersonCanvas, colour: Colour) -> None:
    hem = [(1.62 - 3.24 * step / 16, 6.7 + 0.16 * sin(pi * step / 16)) for step in range(17)]
    canvas.shape(colour, (-0.92, 3.8), (0.92, 3.8), *hem)
    canvas.shape(mix(colour, DUSK, 0.14), (0.35, 3.8), (0.92, 3.8), *hem[:6])
    for fold in (-0.66, -0.22, 0.22, 0.66):
        canvas.line(mix(colour, DUSK, 0.26), 0.045, (fold * 0.95, 4.5), (fold * 1.95, 6.72))


def _draw_torso(canvas: PersonCanvas, look: PersonLook) -> None:
    _draw_neck(canvas, look)
    left: list[Point] = [(-0.42, 1.34), (-1.00, 1.50), (-1.25, 1.80)]
    left += [(-1.18, 2.3), (-0.96, 3.1), (-0.92, 4.15)]
    right: list[Point] = [(-x, y) for x, y in reversed(left)]
    canvas.shape(look.top, *left, *right, (0.0, 1.78))
    canvas.shape(mix(look.top, DUSK, 0.14), (0.30, 4.15), *right[:-1], (0.62, 2.2), (0.45, 3.1))
    canvas.shape(mix(look.bottom, (0, 0, 0), 0.35), (-0.94, 3.92), (0.94, 3.92), (0.93, 4.15), (-0.93, 4.15))
    canvas.shape((214, 186, 110), (-0.13, 3.90), (0.13, 3.90), (0.13, 4.17), (-0.13, 4.17))
    _draw_collar(canvas, look)


def _draw_arms(canvas: PersonCanvas, look: PersonLook) -> None:
    """Draw the arms: both down, one waving, or one hand at the hip."""
    poses: tuple[tuple[Point, Point], ...] = (
        ((1.72, 3.1), (1.78, 4.5)),
        ((1.98, 2.6), (2.1, 1.1)),
        ((1.95, 3.0), (1.12, 3.9)),
    )
    elbow, hand = poses[look.pose]
    _draw_arm(canvas, look.skin.base, look.top, (-1.16, 1.92), (-1.70, 3.1), (-1.74, 4.5))
    _draw_arm(canvas, look.skin.base, mix(look.top, DUSK, 0.18), (1.16, 1.92), elbow, hand)


def _draw_arm(
    canvas: PersonCanvas, skin: Colour, sleeve: Colour, shoulder: Point, elbow: Point, hand: Point
) -> None:
    # The direction along the forearm.
    along = (hand[0] - elbow[0]) / 1.45, (hand[1] - elbow[1]) / 1.45

    def beyond(far: float, aside: float = 0.0) -> Point:
        """A point at a distance beyond the wrist, and beside the forearm's axis."""
        return (
            hand[0] + along[0] * far + along[1] * aside,
            hand[1] + along[1] * far - along[0] * aside,
        )

    canvas.limb(skin, (*beyond(-0.6), 0.19), (*hand, 0.17))
    canvas.disc(skin, *beyond(0.12), 0.24)
    for finger in (-0.16, -0.05, 0.06, 0.16):
        canvas.limb(skin, (*beyond(0.2, finger), 0.065), (*beyond(0.46, finger * 1.3), 0.05))
    canvas.limb(sleeve, (*shoulder, 0.34), (*elbow, 0.27), (*beyond(-0.44), 0.24))


def _draw_shoulders(canvas: PersonCanvas, look: PersonLook) -> None:
    _draw_neck(canvas, look)
    left: list[Point] = [(-0.44, 1.30), (-0.85, 1.50), (-1.28, 1.64)]
    left += [(-1.28 - 0.52 * sin(pi * k / 12), 2.24 - 0.60 * cos(pi * k / 12)) for k in range(1, 7)]
    left.append((-1.80, 2.6))
    right: list[Point] = [(-x, y) for x, y in reversed(left)]
    canvas.shape(look.top, *left, *right, (0.0, 1.9))
    canvas.shape(mix(look.top, DUSK, 0.14), *right[:-1], (0.80, 1.80), (0.62, 2.1), (0.58, 2.6))
    for side in (-1, 1):
        seam = ((side * 1.30, 2.6), (side * 1.24, 2.2), (side * 1.30, 2.05))
        canvas.line(mix(look.top, DUSK, 0.30), 0.035, *seam)
    _draw_collar(canvas, look)


def _draw_neck(canvas: PersonCanvas, look: PersonLook) -> None:
    skin = look.skin
    left: list[Point] = [(-0.56, 1.44), (-0.40, 1.32), (-0.36, 0.6)]
    canvas.shape(skin.base, *left, *[(-x, y) for x, y in reversed(left)], (0.0, 2.0))
    arc = [(0.37 * cos(pi * step / 8), 0.92 + 0.36 * sin(pi * step / 8)) for step in range(9)]
    canvas.shape(skin.shade, (-0.36, 0.7), (0.36, 0.7), *arc)


def _draw_collar(canvas: PersonCanvas, look: PersonLook) -> None:
    colour = mix(look.top, (255, 255, 255), 0.35)
    for side in (-1, 1):
        canvas.shape(colour, (side * 0.42, 1.30), (side * 0.62, 1.42), (side * 0.30, 1.98), (0.0, 1.84))
