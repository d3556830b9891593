"""What every drawing here shares: colours, points, and the canvas of a scene."""

import colorsys
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
Hsv = tuple[float, float, float]


def rgb(hsv: Hsv) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hsv[0] % 1.0, hsv[1], hsv[2])
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """``share`` of the second colour."""
    rest = 1.0 - share
    return (
        round(first[0] * rest + second[0] * share),
        round(first[1] * rest + second[1] * share),
        round(first[2] * rest + second[2] * share),
    )


@dataclass(slots=True)
class Scene:
    """A canvas being drawn on and what the drawing steps share."""

    image: Image.Image
    draw: ImageDraw.ImageDraw
    random: Random
    sky: tuple[Colour, Colour, Colour]
    far: Colour
    near: Colour
    light: Colour
    night: bool
    fine: bool
    """Large enough for trees, windows and stars."""

    @property
    def size(self) -> tuple[int, int]:
        return self.image.size

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random.random()
