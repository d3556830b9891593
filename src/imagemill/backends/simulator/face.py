"""A face that a person and a face detector recognise: lids, irises, brows, a lit nose, lips, soft shade."""

from dataclasses import dataclass
from math import cos, pi, sin

from imagemill.backends.simulator.canvas import Colour, Point, mix
from imagemill.backends.simulator.stage import Stage


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


def draw_face(stage: Stage, skin: Skin, hair: Colour) -> None:
    dark = mix(skin.base, (40, 14, 14), 0.72)
    for side in (-1, 1):
        stage.disc(skin.base if side < 0 else skin.shade, side * 0.77, 0.10, 0.13, 0.22)
        stage.disc(skin.shade, side * 0.78, 0.11, 0.07, 0.13)
    _shaded(stage, skin)
    for side in (-1, 1):
        _eye(stage, skin, dark, side)
        _brow(stage, mix(hair, (30, 20, 20), 0.35), side)
    _nose(stage, skin, dark)
    _mouth(stage, skin)


def _shaded(stage: Stage, skin: Skin) -> None:
    """Rings from the shaded rim to the lit middle, a little to the left: the light comes from there."""
    rings = 14 if stage.fine else 4
    contour = outline()
    for ring in range(rings):
        share = ring / (rings - 1)
        size = 1.0 - 0.62 * share
        tone = mix(skin.shade, skin.base, min(1.0, share * 1.9 + 0.15))
        tone = mix(tone, skin.lit, max(0.0, share - 0.5) * 0.9)
        shift = -0.13 * (1 - size)
        stage.shape(tone, *[(x * size + shift, y * size - 0.10 * (1 - size)) for x, y in contour])
    if stage.fine:
        blush = mix(skin.base, (220, 90, 84), 0.15)
        for side in (-1, 1):
            for ring in range(6):
                tone = mix(skin.base, blush, (ring + 1) / 6)
                stage.disc(tone, side * 0.37, 0.37, 0.15 - 0.022 * ring, 0.11 - 0.016 * ring)


def _eye(stage: Stage, skin: Skin, dark: Colour, side: int) -> None:
    x, y = side * 0.31, 0.04
    if stage.fine:
        for ring in range(5):
            tone = mix(skin.base, skin.shade, 0.18 * (ring + 1) / 2)
            stage.disc(tone, x, y - 0.02, 0.24 - 0.02 * ring, 0.15 - 0.014 * ring)
    upper = [(x + 0.18 * cos(pi + pi * k / 10), y - 0.105 * sin(pi * k / 10)) for k in range(11)]
    lower = [(x + 0.18 * cos(pi * k / 10), y + 0.062 * sin(pi * k / 10)) for k in range(11)]
    stage.shape((246, 243, 240), *upper, *lower)
    stage.disc(mix(skin.eyes, (0, 0, 0), 0.45), x, y - 0.02, 0.092)
    stage.disc(skin.eyes, x, y - 0.012, 0.074)
    stage.disc((18, 14, 16), x, y - 0.02, 0.042)
    stage.disc((255, 255, 255), x - 0.032, y - 0.052, 0.022)
    # The lid covers the top of the iris, as in an eye at rest.
    lid = [(px, py + 0.012) for px, py in upper]
    corner = (x + side * 0.205, y - 0.012)
    stage.line(dark, 0.045, *((*lid, corner) if side > 0 else (corner, *lid)))
    stage.line(mix(skin.base, dark, 0.55), 0.014, *lower)
    if stage.fine:
        stage.line(skin.shade, 0.016, *[(px, py - 0.055) for px, py in upper[2:9]])


def _brow(stage: Stage, colour: Colour, side: int) -> None:
    above = [(side * (0.13 + 0.40 * k / 8), -0.15 - 0.085 * sin(pi * (0.25 + 0.6 * k / 8))) for k in range(9)]
    below = [(px, py + 0.062 * (1 - 0.85 * k / 8)) for k, (px, py) in enumerate(above)]
    stage.shape(colour, *above, *reversed(below))


def _nose(stage: Stage, skin: Skin, dark: Colour) -> None:
    soft = mix(skin.base, skin.shade, 0.55)
    stage.shape(soft, (0.05, -0.02), (0.085, 0.24), (0.155, 0.37), (0.10, 0.43), (0.02, 0.42), (0.035, 0.2))
    stage.shape(skin.lit, (-0.035, 0.0), (0.03, 0.0), (0.045, 0.30), (-0.045, 0.30))
    stage.disc(mix(skin.base, skin.lit, 0.6), -0.005, 0.335, 0.085, 0.07)
    stage.disc(mix(skin.lit, (255, 255, 255), 0.4), -0.02, 0.315, 0.03, 0.022)
    for side in (-1, 1):
        stage.disc(soft, side * 0.105, 0.385, 0.05, 0.042)
        stage.disc(dark, side * 0.062, 0.412, 0.034, 0.016)


def _mouth(stage: Stage, skin: Skin) -> None:
    lips, y = skin.lips, 0.645
    stage.shape(lips, (-0.225, y - 0.012), (-0.07, y - 0.068), (0.0, y - 0.050), (0.07, y - 0.068),
                (0.225, y - 0.012), (0.0, y + 0.02))  # fmt: skip
    under = [(0.205 * cos(pi * k / 10), y + 0.098 * sin(pi * k / 10)) for k in range(11)]
    stage.shape(mix(lips, (255, 170, 160), 0.22), *under, (-0.205, y - 0.005), (0.0, y + 0.015))
    seam = mix(lips, (40, 8, 14), 0.6)
    half: list[Point] = [(-0.24, y - 0.025), (-0.1, y + 0.008), (0.0, y + 0.012)]
    stage.line(seam, 0.022, *half, *[(-x, at) for x, at in reversed(half[:2])])
    if stage.fine:
        stage.disc(mix(lips, (255, 220, 214), 0.6), -0.03, y + 0.055, 0.055, 0.014)
        stage.line(mix(skin.base, skin.shade, 0.8), 0.02, (-0.1, y + 0.145), (0, y + 0.158), (0.1, y + 0.145))
