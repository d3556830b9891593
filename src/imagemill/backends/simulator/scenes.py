"""Landscapes from random numbers: sun or moon over mountains, hills, a sea, a city, dunes or bubbles.

Everything is drawn in shares of the canvas, so a preview shows the same scene as the picture it announces.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin
from random import Random

from PIL import Image, ImageDraw

from imagemill.backends.simulator.canvas import Colour, Hsv, Scene, mix, rgb
from imagemill.backends.simulator.landforms import VIEWS
from imagemill.backends.simulator.raster import mapped, scaled


@dataclass(frozen=True, slots=True)
class Mood:
    """The light of a scene; hue, saturation, value, each 0..1."""

    sky: tuple[Hsv, Hsv, Hsv]
    """Top, middle, horizon."""
    far: Hsv
    near: Hsv
    light: Hsv
    night: bool = False


MOODS = (
    Mood(((0.59, 0.66, 0.80), (0.57, 0.42, 0.93), (0.53, 0.14, 0.99)), (0.56, 0.30, 0.78), (0.37, 0.55, 0.30),
         (0.14, 0.20, 1.0)),
    Mood(((0.70, 0.58, 0.36), (0.90, 0.48, 0.76), (0.07, 0.62, 0.99)), (0.85, 0.42, 0.60), (0.74, 0.62, 0.20),
         (0.11, 0.40, 1.0)),
    Mood(((0.65, 0.78, 0.13), (0.63, 0.66, 0.28), (0.58, 0.52, 0.48)), (0.61, 0.50, 0.36), (0.64, 0.62, 0.09),
         (0.15, 0.08, 0.98), night=True),
    Mood(((0.55, 0.38, 0.78), (0.07, 0.18, 0.95), (0.01, 0.36, 0.99)), (0.95, 0.26, 0.74), (0.56, 0.46, 0.28),
         (0.12, 0.28, 1.0)),
    Mood(((0.50, 0.16, 0.84), (0.48, 0.09, 0.92), (0.45, 0.04, 0.97)), (0.48, 0.18, 0.78), (0.45, 0.44, 0.24),
         (0.13, 0.08, 1.0)),
    Mood(((0.97, 0.68, 0.28), (0.02, 0.76, 0.66), (0.11, 0.70, 1.0)), (0.01, 0.58, 0.56), (0.97, 0.70, 0.14),
         (0.13, 0.45, 1.0)),
    Mood(((0.78, 0.54, 0.34), (0.86, 0.34, 0.72), (0.48, 0.28, 0.92)), (0.52, 0.40, 0.64), (0.55, 0.68, 0.19),
         (0.16, 0.14, 1.0), night=True),
    Mood(((0.55, 0.32, 0.84), (0.12, 0.14, 0.95), (0.11, 0.30, 1.0)), (0.08, 0.36, 0.80), (0.05, 0.68, 0.36),
         (0.12, 0.24, 1.0)),
)  # fmt: skip


def draw_scene(random: Random, size: tuple[int, int], *, fine: bool) -> tuple[Image.Image, Colour]:
    """The scene these random numbers give, as an RGB picture, and its brightest colour."""
    mood = MOODS[int(random.random() * len(MOODS))]
    # One picture in seven leaves the natural colours altogether, and is paler for it.
    strange = random.random() < 0.15
    shift = random.random() if strange else 0.1 * random.random() - 0.05
    top, middle, horizon, far, near = (
        rgb((hue + shift, saturation * (0.7 if strange else 1.0), value))
        for hue, saturation, value in (*mood.sky, mood.far, mood.near)
    )
    light = rgb(mood.light)
    view = VIEWS[int(random.random() * len(VIEWS))]
    level = 0.45 + 0.25 * random.random()
    image = _sky(size, (top, middle, horizon), level)
    scene = Scene(
        image, ImageDraw.Draw(image), random, (top, middle, horizon), far, near, light, mood.night, fine
    )
    if mood.night and fine:
        _stars(scene, level)
    _sun(scene, level)
    view(scene, level)
    return image, light


def _sky(size: tuple[int, int], colours: tuple[Colour, Colour, Colour], level: float) -> Image.Image:
    """A vertical gradient that reaches its last colour at ``level`` of the height."""
    width, height = size
    top, middle, horizon = colours
    rows = [top, mix(top, middle, 0.5), middle, mix(middle, horizon, 0.5), horizon]
    rows += [horizon] * max(1, round(len(rows) * (1 - level) / level))
    column = Image.frombytes("RGB", (1, len(rows)), bytes(channel for row in rows for channel in row))
    # Without the box the first and last half row would be flat bands.
    tall = scaled(column, (1, height), box=(0, 0.5, 1, len(rows) - 0.5))
    return scaled(tall, (width, height), Image.Resampling.NEAREST)


@lru_cache(maxsize=2)
def _glow(side: int) -> Image.Image:
    """White in the middle, fading to black at the inscribed circle and beyond."""
    rings = Image.radial_gradient("L")
    # The gradient is 255 in the corners; the middles of the edges have 255 / sqrt(2) = 180.
    light = [round(max(0.0, 1 - value / 179) ** 2 * 190) for value in range(256)]
    return scaled(mapped(rings, light), (side, side))


def _sun(scene: Scene, level: float) -> None:
    width, height = scene.size
    x, y = scene.between(0.15, 0.85) * width, scene.between(0.12, level * 0.9) * height
    radius = scene.between(0.045, 0.11) * min(width, height)
    reach = max(1, round(radius * (scene.between(3.5, 5.5) if scene.fine else 2.5)))
    halo = scaled(_glow(256 if reach > 100 else 32), (2 * reach, 2 * reach))
    scene.image.paste(scene.light, (round(x) - reach, round(y) - reach), halo)
    if scene.night:
        _moon(scene, x, y, radius)
    else:
        scene.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=scene.light)


def _moon(scene: Scene, x: float, y: float, radius: float) -> None:
    """A tilted crescent: half a circle, and back along half an ellipse."""
    tilt, waist = scene.between(-0.8, 0.8), scene.between(-0.3, 0.7)
    steps = 24 if scene.fine else 8
    outer = [(cos(pi / 2 + pi * k / steps), sin(pi / 2 + pi * k / steps)) for k in range(steps + 1)]
    inner = [(px * waist, py) for px, py in reversed(outer)]
    across, down = radius * cos(tilt), radius * sin(tilt)
    crescent = [(x + px * across - py * down, y + px * down + py * across) for px, py in (*outer, *inner)]
    scene.draw.polygon(crescent, fill=scene.light)


def _stars(scene: Scene, level: float) -> None:
    width, height = scene.size
    for number in range(90):
        x, y = scene.random.random() * width, scene.random.random() ** 1.4 * level * height
        size = (0.0008 + 0.0022 * scene.random.random()) * min(width, height)
        fill = mix(scene.sky[0], (255, 255, 255), 0.45 + 0.5 * (number % 3) / 2)
        scene.draw.ellipse((x - size, y - size, x + size, y + size), fill=fill)
