"""Drawn subjects whose alpha is known exactly: strands of hair, holes, colours near the key."""

import colorsys
import io
from dataclasses import dataclass
from math import cos, pi, sin
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

KEYS = {
    "red": (255, 0, 0),
    "orange": (255, 128, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "magenta": (255, 0, 255),
}
SCALE = 4
"""Subpixels a side: alpha is known to a sixteenth, and a strand may be a quarter of a pixel thin."""

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Subject:
    data: bytes
    """The PNG that a model would have rendered."""
    alpha: Any
    """0 to 1, height x width."""
    premultiplied: Any
    """The subject's colours times alpha, 0 to 255."""

    def on(self, colour: Rgb) -> Any:
        """The subject on another background, as it should look."""
        return self.premultiplied + (1 - self.alpha[..., None]) * np.array(colour, np.float32)


@dataclass(frozen=True)
class Rendering:
    """How far from the ideal a model renders what it is asked for."""

    shift: int = 0
    """Levels by which each channel of the background may be off."""
    slope: int = 0
    """Levels between the background's middle and its rim."""
    noise: float = 0.0
    """Standard deviation in levels."""


CLEAN = Rendering()
USUAL = Rendering(shift=14, slope=6, noise=1.5)
ROUGH = Rendering(shift=30, slope=14, noise=3.0)


def draw(seed: int, key: Rgb, size: tuple[int, int] = (384, 512), rendering: Rendering = CLEAN) -> Subject:
    random = Random(seed)
    canvas = size[0] * SCALE, size[1] * SCALE
    colours = Image.new("RGB", canvas)
    cover = Image.new("L", canvas)
    _figure(_Pen(ImageDraw.Draw(colours), ImageDraw.Draw(cover), random, canvas), key)
    # What is not covered is black, so the mean of each picture element is premultiplied already.
    premultiplied = np.asarray(colours.reduce(SCALE), np.float32)
    alpha = np.asarray(cover.reduce(SCALE), np.float32) / 255
    behind = _background(random, key, size, rendering)
    picture = premultiplied + (1 - alpha[..., None]) * behind
    if rendering.noise:
        picture = picture + np.random.default_rng(seed).normal(0, rendering.noise, picture.shape)
    image = Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return Subject(file.getvalue(), alpha, premultiplied)


def _background(random: Random, key: Rgb, size: tuple[int, int], rendering: Rendering) -> Any:
    width, height = size
    colour = [
        min(255, max(0, channel + random.randint(-rendering.shift, rendering.shift))) for channel in key
    ]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = 1 - rendering.slope / 255 * (0.5 * x * random.uniform(-1, 1) + 0.5 * (x * x + y * y) / 2)
    return np.array(colour, np.float32) * light[..., None].astype(np.float32)


class _Pen:
    """Draws colours and cover at once; lengths are parts of the canvas's width."""

    def __init__(self, colours: Any, cover: Any, random: Random, size: tuple[int, int]) -> None:
        self.colours, self.cover, self.random, self.size = colours, cover, random, size

    def points(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x * self.size[0], y * self.size[0]) for x, y in points]

    def polygon(self, colour: Rgb, points: list[tuple[float, float]]) -> None:
        self.colours.polygon(self.points(points), fill=colour)
        self.cover.polygon(self.points(points), fill=255)

    def disc(self, colour: Rgb | None, x: float, y: float, rx: float, ry: float | None = None) -> None:
        """None: a hole."""
        ry = rx if ry is None else ry
        box = self.points([(x - rx, y - ry), (x + rx, y + ry)])
        self.colours.ellipse([*box[0], *box[1]], fill=colour or (0, 0, 0))
        self.cover.ellipse([*box[0], *box[1]], fill=0 if colour is None else 255)

    def strand(self, colour: Rgb, points: list[tuple[float, float]], pixels: float) -> None:
        """``pixels`` wide in the finished picture."""
        width = max(1, round(pixels * SCALE))
        self.colours.line(self.points(points), fill=colour, width=width, joint="curve")
        self.cover.line(self.points(points), fill=255, width=width, joint="curve")


def _figure(pen: _Pen, key: Rgb) -> None:
    random = pen.random
    skin = random.choice([(244, 208, 184), (214, 160, 126), (146, 96, 68), (235, 225, 230)])
    hair = random.choice([(30, 24, 26), (120, 76, 44), (220, 190, 120), (200, 200, 210), far(random, key)])
    cloth = random.choice([far(random, key), (240, 240, 240), (40, 40, 48), near(random, key)])
    tall = pen.size[1] / pen.size[0]
    _body(pen, skin, cloth, tall)
    _hair(pen, hair, 0.5, 0.34)
    pen.disc(skin, 0.5, 0.36, 0.13, 0.16)
    for side in (-1, 1):
        pen.disc((250, 250, 250), 0.5 + side * 0.05, 0.36, 0.025, 0.016)
        pen.disc(near(random, key), 0.5 + side * 0.05, 0.36, 0.013)
    pen.disc(near(random, key), 0.5, tall * 0.72, 0.05)
    _ring(pen, far(random, key), 0.2, tall * 0.85)


def _body(pen: _Pen, skin: Rgb, cloth: Rgb, tall: float) -> None:
    """A trunk, and arms bent so that holes are left between them and it."""
    shade = tuple(round(channel * 0.8) for channel in cloth)
    trunk = [(0.4, 0.5), (0.6, 0.5), (0.66, tall * 0.94), (0.34, tall * 0.94)]
    for side in (-1, 1):
        elbow = (0.5 + side * 0.3, tall * 0.6)
        pen.strand(
            skin, [(0.5 + side * 0.09, 0.54), elbow, (0.5 + side * 0.11, tall * 0.75)], pen.size[0] / 60
        )
    pen.polygon(cloth, trunk)
    pen.polygon(
        (shade[0], shade[1], shade[2]), [(0.55, 0.5), (0.6, 0.5), (0.66, tall * 0.94), (0.58, tall * 0.94)]
    )


def _hair(pen: _Pen, colour: Rgb, x: float, y: float) -> None:
    random = pen.random
    pen.disc(colour, x, y, 0.17, 0.2)
    for _ in range(160):
        turn = random.uniform(0.75 * pi, 2.25 * pi)
        length = random.uniform(0.18, 0.29)
        bend = turn + random.uniform(-0.5, 0.5)
        way = [(turn + (bend - turn) * step / 8, 0.14 + (length - 0.14) * step / 8) for step in range(9)]
        points = [(x + cos(angle) * reach, y + sin(angle) * reach * 1.08) for angle, reach in way]
        tone = random.uniform(0.8, 1.1)
        shade = [min(255, round(channel * tone)) for channel in colour]
        pen.strand((shade[0], shade[1], shade[2]), points, random.choice([0.25, 0.5, 0.75, 1.0, 1.5, 2.5]))


def _ring(pen: _Pen, colour: Rgb, x: float, y: float) -> None:
    """Something carried, with a hole in it."""
    pen.disc(colour, x, y, 0.09)
    pen.disc(None, x, y, 0.045)


def near(random: Random, key: Rgb) -> Rgb:
    """Of about the key's hue, but not it: what an eye, a gem or a shirt may have."""
    hue, _, _ = colorsys.rgb_to_hsv(*(channel / 255 for channel in key))
    turned = (hue + random.choice([-1, 1]) * random.uniform(0.02, 0.08)) % 1
    red, green, blue = colorsys.hsv_to_rgb(turned, random.uniform(0.5, 0.8), random.uniform(0.45, 0.75))
    return round(red * 255), round(green * 255), round(blue * 255)


def far(random: Random, key: Rgb) -> Rgb:
    """Of a hue that such a key is chosen for."""
    hue, _, _ = colorsys.rgb_to_hsv(*(channel / 255 for channel in key))
    turned = (hue + 0.5 + random.uniform(-0.17, 0.17)) % 1
    red, green, blue = colorsys.hsv_to_rgb(turned, random.uniform(0.4, 0.9), random.uniform(0.4, 0.95))
    return round(red * 255), round(green * 255), round(blue * 255)
