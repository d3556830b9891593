"""Draw a face with an expression, on the canvas of a person.

Lengths are in half heads: the centre of the head is the origin, its chin at y = 1, its crown at y = -1.
"""

from itertools import pairwise
from math import cos, pi, sin
from random import Random

from PIL import ImageDraw

from imagemill.backends.simulator.drawing import Colour, Point, mix
from imagemill.backends.simulator.expression import Brows, Expression, Mouth
from imagemill.domain.dataclass import dataclass


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


def draw_face(canvas: PersonCanvas, skin: Skin, hair: Colour, expression: Expression) -> None:
    dark = mix(skin.base, (40, 14, 14), 0.72)
    for side in (-1, 1):
        canvas.disc(skin.base if side < 0 else skin.shade, side * 0.77, 0.10, 0.13, 0.22)
        canvas.disc(skin.shade, side * 0.78, 0.11, 0.07, 0.13)
    _draw_shading(canvas, skin)
    if expression.blush:
        for side in (-1, 1):
            canvas.disc(mix(skin.base, (236, 60, 70), 0.42), side * 0.40, 0.36, 0.20, 0.12)
    for side in (-1, 1):
        _draw_eye(canvas, skin, dark, side, expression)
        _draw_brow(canvas, mix(hair, (30, 20, 20), 0.35), side, expression.brows)
    _draw_nose(canvas, skin, dark)
    _draw_mouth(canvas, skin, expression.mouth)


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


_GAZE: dict[str, Point] = {
    "ahead": (0.0, 0.0),
    "down": (0.0, 0.045),
    "up": (0.03, -0.05),
    "aside": (0.075, 0.02),
}


def _draw_eye(canvas: PersonCanvas, skin: Skin, dark: Colour, side: int, expression: Expression) -> None:
    x, y = side * 0.31, 0.04
    tall = 1.65 if expression.wide else 0.62 if expression.gaze == "down" else 1.0
    if canvas.fine:
        for ring in range(5):
            tone = mix(skin.base, skin.shade, 0.18 * (ring + 1) / 2)
            canvas.disc(tone, x, y - 0.02, 0.24 - 0.02 * ring, 0.15 - 0.014 * ring)
    upper = [(x + 0.18 * cos(pi + pi * k / 10), y - 0.105 * tall * sin(pi * k / 10)) for k in range(11)]
    lower = [(x + 0.18 * cos(pi * k / 10), y + 0.062 * max(1.0, tall) * sin(pi * k / 10)) for k in range(11)]
    canvas.shape((246, 243, 240), *upper, *lower)
    aside, below = _GAZE[expression.gaze]
    at_x, at_y = x + aside, y + below
    canvas.disc(mix(skin.eyes, (0, 0, 0), 0.45), at_x, at_y - 0.02, 0.092)
    canvas.disc(skin.eyes, at_x, at_y - 0.012, 0.074)
    canvas.disc((18, 14, 16), at_x, at_y - 0.02, 0.042)
    canvas.disc((255, 255, 255), at_x - 0.032, at_y - 0.052, 0.022)
    if expression.gaze != "ahead":
        _cover_outside(canvas, skin, upper, lower)
    # The lid covers the top of the iris, as in a relaxed eye.
    lid = [(px, py + 0.012) for px, py in upper]
    corner = (x + side * 0.205, y - 0.012)
    canvas.line(dark, 0.045, *((*lid, corner) if side > 0 else (corner, *lid)))
    canvas.line(mix(skin.base, dark, 0.55), 0.014, *lower)
    if canvas.fine:
        canvas.line(skin.shade, 0.016, *[(px, py - 0.055) for px, py in upper[2:9]])


def _cover_outside(canvas: PersonCanvas, skin: Skin, upper: list[Point], lower: list[Point]) -> None:
    """Paint skin over the parts of an iris that a moved gaze puts outside the eye."""
    tone = mix(skin.base, skin.shade, 0.3)
    for edge, away in ((upper, -0.16), (lower, 0.16)):
        canvas.shape(tone, *edge, *[(px, edge[0][1] + away) for px, _ in reversed(edge)])


_BROWS: dict[str, tuple[float, float]] = {
    "level": (0.0, 0.0),
    "angry": (0.13, -0.06),
    "sad": (-0.10, 0.09),
    "raised": (-0.10, -0.10),
}
"""How much lower the inner and the outer end of a brow is."""


def _draw_brow(canvas: PersonCanvas, colour: Colour, side: int, brows: Brows) -> None:
    inner, outer = _BROWS[brows]
    above = [(side * (0.13 + 0.40 * k / 8), -0.15 - 0.085 * sin(pi * (0.25 + 0.6 * k / 8))) for k in range(9)]
    above = [(px, py + inner + (outer - inner) * k / 8) for k, (px, py) in enumerate(above)]
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


def _draw_mouth(canvas: PersonCanvas, skin: Skin, mouth: Mouth) -> None:
    dark, teeth = mix(skin.lips, (40, 8, 14), 0.75), (246, 242, 236)
    match mouth:
        case "closed":
            _draw_closed_mouth(canvas, skin)
        case "smile":
            arc = [(-0.30 + 0.60 * k / 10, 0.60 + 0.13 * sin(pi * k / 10)) for k in range(11)]
            canvas.line(dark, 0.05, *arc)
        case "laugh":
            low = [(0.31 * cos(pi * k / 10), 0.58 + 0.27 * sin(pi * k / 10)) for k in range(11)]
            canvas.shape(dark, *low)
            canvas.shape(teeth, (0.29, 0.585), (0.25, 0.66), (-0.25, 0.66), (-0.29, 0.585))
        case "frown":
            arc = [(-0.24 + 0.48 * k / 10, 0.72 - 0.12 * sin(pi * k / 10)) for k in range(11)]
            canvas.line(dark, 0.05, *arc)
        case "teeth":
            canvas.shape(dark, (-0.29, 0.57), (0.29, 0.57), (0.26, 0.75), (-0.26, 0.75))
            canvas.shape(teeth, (-0.25, 0.60), (0.25, 0.60), (0.23, 0.72), (-0.23, 0.72))
            canvas.line(dark, 0.02, (-0.24, 0.66), (0.24, 0.66))
            for x in (-0.12, 0.0, 0.12):
                canvas.line(dark, 0.015, (x, 0.60), (x, 0.72))
        case "round":
            canvas.disc(dark, 0.0, 0.68, 0.13, 0.18)
        case "small":
            canvas.line(dark, 0.05, (-0.10, 0.655), (0.0, 0.67), (0.10, 0.645))


def _draw_closed_mouth(canvas: PersonCanvas, skin: Skin) -> None:
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


def draw_tears(canvas: PersonCanvas) -> None:
    for side in (-1, 1):
        canvas.line((150, 196, 236), 0.05, (side * 0.36, 0.13), (side * 0.38, 0.42))
        canvas.disc((150, 196, 236), side * 0.385, 0.46, 0.055, 0.075)
