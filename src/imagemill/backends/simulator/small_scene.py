"""Draw the landscapes of small pictures, in less than a tenth of a millisecond.

A scene is first drawn as a map of depths, one number a pixel: the sky has 0 at its top to `HORIZON`, and land
has more the nearer it is. The map is made at double size and reduced, which smooths its edges. A palette then
gives each depth its colour, and the lights are drawn last.
"""

from collections.abc import Callable
from dataclasses import field
from functools import lru_cache
from math import sin
from random import Random

from PIL import Image, ImageDraw

from imagemill.backends.simulator.drawing import Colour, Point, map_levels, mix, rgb, scale_image
from imagemill.backends.simulator.landscape import MOODS
from imagemill.domain.dataclass import dataclass

HORIZON, FAR, MIDDLE, NEAR, NEAREST = 128, 160, 192, 224, 255
"""Depths of the map. Those between have the colours between, as the air makes them look."""

_HUES = 24
"""Hues of a mood in unnatural colours."""
_RISES = 8
"""Heights of the horizon."""
_BLACK: Colour = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class SmallPalette:
    colours: bytes
    """Red, green and blue of each of 256 depths."""
    light: Colour
    """The colour of the sun, and of all that shines."""
    night: bool


@dataclass(slots=True)
class DepthMap:
    """A map of depths while it is drawn, and the lights that are drawn after it. Lengths and places are
    shares of the width and the height of the map."""

    draw: ImageDraw.ImageDraw
    random: Random
    width: int
    height: int
    horizon: float
    sun: float
    """The sun's place from left to right."""
    lights: list[Point] = field(default_factory=list[Point])
    """Single pixels."""
    sails: list[Point] = field(default_factory=list[Point])
    """The corners of a bright shape."""

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random.random()

    def ground(self, heights: list[float], depth: int) -> None:
        """Draw the land below a line through these heights."""
        apart, height = self.width / (len(heights) - 1), self.height
        outline: list[Point] = [(apart * number, value * height) for number, value in enumerate(heights)]
        self.draw.polygon([(0, height), *outline, (self.width, height)], fill=depth)

    def shape(self, corners: list[Point], depth: int) -> None:
        width, height = self.width, self.height
        self.draw.polygon([(x * width, y * height) for x, y in corners], fill=depth)

    def disc(self, x: float, y: float, radius: float, depth: int) -> None:
        """Draw a circle; ``radius`` is a share of the shorter side."""
        x, y, radius = x * self.width, y * self.height, radius * min(self.width, self.height)
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=depth)


def draw_small_scene(random: Random, size: tuple[int, int]) -> tuple[Image.Image, Colour]:
    """A random scene as an RGB picture, and its brightest colour."""
    palette = _palette(int(random.random() * len(MOODS)), _choose_hue(random))
    rise = int(random.random() * _RISES)
    view = SMALL_VIEWS[int(random.random() * len(SMALL_VIEWS))]
    depths = _sky(size, rise, view is _draw_water).copy()
    draw, sun = ImageDraw.Draw(depths), 0.15 + 0.7 * random.random()
    scene = DepthMap(draw, random, 2 * size[0], 2 * size[1], _horizon(rise), sun)
    highest = view(scene)
    depths = depths.reduce(2)
    depths.putpalette(palette.colours)
    image = depths.convert("RGB")
    _draw_lights(image, scene, palette, highest)
    return image, palette.light


def _draw_lights(image: Image.Image, scene: DepthMap, palette: SmallPalette, highest: float) -> None:
    """Draw the sun or moon above the ``highest`` place of the land, stars, and the lights of the view."""
    width, height = image.size
    if palette.night:
        scene.lights += [(scene.random.random(), 0.9 * highest * scene.random.random()) for _ in range(8)]
    radius = max(1, round(scene.between(0.05, 0.1) * min(width, height)))
    phase = int(scene.random.random() * 4) if palette.night else None
    sun = _sun(radius, phase)
    x, y = scene.sun * width, max(0.1, highest * scene.between(0.3, 0.75)) * height
    image.paste(palette.light, (round(x) - sun.width // 2, round(y) - sun.height // 2), sun)
    if scene.lights:
        draw = ImageDraw.Draw(image)
        draw.point([(x * width, y * height) for x, y in scene.lights], fill=palette.light)
        if scene.sails:
            draw.polygon([(x * width, y * height) for x, y in scene.sails], fill=palette.light)


# Views. Each returns the height of its highest land.


def _ridge(scene: DepthMap, base: float, relief: float) -> list[float]:
    """Heights of peaks, and of the valleys between them."""
    random = scene.random.random
    heights = [base + 0.4 * relief * random() for _ in range(9)]
    heights[1::2] = [base - relief * random() for _ in range(4)]
    return heights


def _waves(scene: DepthMap, base: float, relief: float) -> list[float]:
    """Heights of rounded hills: a long wave and a short one, from anywhere in both."""
    long, short = int(scene.random.random() * 40), int(scene.random.random() * 40)
    high = relief * scene.between(0.4, 0.7)
    low = 0.6 * high
    waves = zip(_LONG_WAVE[long : long + 11], _SHORT_WAVE[short : short + 11], strict=True)
    return [base + high * first + low * second for first, second in waves]


_LONG_WAVE = [sin(0.45 * at) for at in range(51)]
_SHORT_WAVE = [sin(1.05 * at) for at in range(51)]


def _draw_peaks(scene: DepthMap) -> float:
    horizon = scene.horizon
    far = _ridge(scene, horizon, 0.22)
    scene.ground(far, FAR)
    scene.ground(_ridge(scene, horizon + 0.15, 0.13), MIDDLE)
    scene.ground(_waves(scene, 0.93, 0.06), NEAR)
    return min(far)


def _draw_downs(scene: DepthMap) -> float:
    low = scene.horizon
    far = _waves(scene, low + 0.04, 0.08)
    scene.ground(far, FAR - 8)
    scene.ground(_waves(scene, low + (1 - low) * 0.4, 0.07), MIDDLE)
    scene.ground(_waves(scene, low + (1 - low) * 0.8, 0.06), NEAR)
    return min(far)


def _draw_desert(scene: DepthMap) -> float:
    """Dunes, each with a slope in the shade on one side of its crest."""
    horizon = scene.horizon
    lit, shaded = (-0.1, 1.1) if scene.random.random() < 0.5 else (1.1, -0.1)
    crests: list[float] = []
    for number, depth in enumerate((HORIZON + 18, FAR + 8, MIDDLE + 8)):
        base = horizon + 0.06 + (0.9 - horizon) * number / 2.4
        x, crest = scene.between(0.2, 0.8), base - scene.between(0.06, 0.14)
        foot, beyond = x + scene.between(-0.2, 0.2), base + scene.between(0, 0.08)
        scene.shape([(lit, base), (x, crest), (shaded, beyond), (shaded, 1.1), (lit, 1.1)], depth)
        scene.shape([(x, crest), (shaded, beyond), (shaded, 1.1), (foot, 1.1)], depth + 20)
        crests.append(crest)
    return min(crests)


def _draw_water(scene: DepthMap) -> float:
    shore = scene.horizon
    cut, island = scene.between(0.25, 0.6), shore - scene.between(0.05, 0.15)
    scene.shape(
        [(0, shore), (0, island), (cut / 3, island - 0.02), (cut / 2, island + 0.05), (cut, shore)], FAR
    )
    x, y = scene.between(0.3, 0.8), shore + (1 - shore) * scene.between(0.1, 0.35)
    scene.shape(
        [(x - 0.07, y - 0.01), (x + 0.08, y - 0.01), (x + 0.05, y + 0.025), (x - 0.05, y + 0.025)], NEAREST
    )
    scene.sails += [(x - 0.05, y - 0.03), (x, y - 0.14), (x + 0.06, y - 0.03)]
    # The sun glitters below itself.
    for _ in range(14):
        y = scene.random.random()
        x = scene.sun + (0.04 + 0.16 * y) * (scene.random.random() - 0.5)
        y = shore + 0.02 + (0.96 - shore) * y
        scene.lights += ((x, y), (x + 0.016, y))
    return island


def _draw_town(scene: DepthMap) -> float:
    """Two rows of houses, with lit windows in the nearer one."""
    highest = 1.0
    for depth, base, wide in ((FAR, scene.horizon - 0.02, 0.11), (NEAR, scene.horizon + 0.2, 0.16)):
        left, outline = 0.0, list[Point]()
        while left < 1:
            right = left + wide * scene.between(0.7, 1.2)
            top = base + scene.between(-0.18, 0.1)
            outline += ((left, top), (right, top))
            highest = min(highest, top)
            if depth == NEAR:
                lit = scene.random.getrandbits(9)
                scene.lights += [(left + x, top + y) for bit, (x, y) in enumerate(_WINDOWS) if lit >> bit & 1]
            left = right
        scene.shape([(0, 1), *outline, (1, 1)], depth)
    return highest


_WINDOWS = [(0.03 + 0.035 * (at % 3), 0.05 + 0.07 * (at // 3)) for at in range(9)]
"""Places of windows in a house."""


def _draw_balls(scene: DepthMap) -> float:
    """An abstract picture: balls that look translucent, over a plain ground."""
    horizon = scene.horizon
    scene.ground(_waves(scene, horizon + 0.12, 0.06), FAR)
    scene.ground(_waves(scene, horizon + 0.3, 0.05), NEAR - 16)
    for number in range(4):
        radius = scene.between(0.05, 0.17) * (1 - number * 0.08)
        x, y = scene.random.random(), scene.between(0.4, 0.9)
        depth = int(scene.between(HORIZON, NEAR - 20))
        scene.disc(x, y, radius, depth)
        scene.disc(x - 0.1 * radius, y - 0.1 * radius, 0.78 * radius, depth - 14)
        scene.lights.append((x - 0.45 * radius, y - 0.45 * radius))
    return 0.4


SMALL_VIEWS: tuple[Callable[[DepthMap], float], ...] = (
    _draw_peaks,
    _draw_downs,
    _draw_water,
    _draw_town,
    _draw_desert,
    _draw_balls,
)


# What many pictures have in common.


def _choose_hue(random: Random) -> int:
    """A hue for `_palette`: one picture in seven has unnatural colours."""
    return 1 + int(random.random() * _HUES) if random.random() < 0.15 else -int(random.random() * 5)


@lru_cache(maxsize=256)
def _palette(mood: int, hue: int) -> SmallPalette:
    """The palette of a mood. ``hue``: 1 to `_HUES` for unnatural colours, 0 down to -4 for natural ones."""
    chosen, is_strange = MOODS[mood], hue > 0
    shift = hue / _HUES if is_strange else -0.025 * hue - 0.05
    top, middle, horizon, far, near = (
        rgb((tone + shift, saturation * (0.7 if is_strange else 1.0), value))
        for tone, saturation, value in (*chosen.sky, chosen.far, chosen.near)
    )
    far = mix(far, horizon, 0.4)
    stops = (
        *(top, mix(top, middle, 0.5), middle, mix(middle, horizon, 0.5), horizon),
        *(far, mix(far, near, 0.5), near, mix(near, _BLACK, 0.4)),
    )
    strip = Image.frombytes("RGB", (len(stops), 1), bytes(part for colour in stops for part in colour))
    colours = scale_image(strip, (256, 1), box=(0.5, 0, len(stops) - 0.5, 1)).tobytes()
    return SmallPalette(colours, rgb(chosen.light), chosen.night)


def _horizon(rise: int) -> float:
    return 0.45 + 0.25 * rise / _RISES


@lru_cache(maxsize=4 * _RISES)
def _sky(size: tuple[int, int], rise: int, over_water: bool) -> Image.Image:
    """The map of an empty sky, over a sea or nothing, at double size."""
    width, height = 2 * size[0], 2 * size[1]
    shore = max(1, round(_horizon(rise) * height))
    sky = Image.new("L", (width, height), HORIZON)
    ramp = Image.linear_gradient("L")
    sky.paste(
        scale_image(map_levels(ramp, [at * HORIZON // 255 for at in range(256)]), (width, shore)), (0, 0)
    )
    if over_water and shore < height:
        water = map_levels(ramp, [HORIZON + 14 + at * (NEAR - HORIZON - 14) // 255 for at in range(256)])
        sky.paste(scale_image(water, (width, height - shore)), (0, shore))
    return sky


@lru_cache(maxsize=128)
def _sun(radius: int, phase: int | None) -> Image.Image:
    """The coverage by a disc, or by a crescent with a ``phase`` (0 to 3), with a halo. ``radius``: px."""
    reach = round(2.5 * radius)
    # The gradient is 255 in the corners; the middles of the edges have 255 / sqrt(2) = 180.
    fading = [round(max(0.0, 1 - at / 179) ** 2 * 190) for at in range(256)]
    large = scale_image(map_levels(Image.radial_gradient("L"), fading), (8 * reach, 8 * reach))
    # In steps: with a smooth halo the PNG has half as many bytes again, and takes 10 us more.
    large = map_levels(large, [at // 40 * 40 for at in range(256)])
    draw, middle, far = ImageDraw.Draw(large), 4 * reach, 4 * radius
    draw.ellipse((middle - far, middle - far, middle + far, middle + far), fill=255)
    if phase is not None:
        x, y = middle + (-0.5, -0.3, 0.3, 0.5)[phase] * far, middle - 0.3 * far
        draw.ellipse((x - 0.85 * far, y - 0.85 * far, x + 0.85 * far, y + 0.85 * far), fill=0)
    return large.reduce(4)
