"""Draw random landscapes: sun or moon over mountains, hills, a sea, a city, dunes or bubbles.

All sizes are shares of the canvas, so that a preview shows the same scene as the picture.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from math import cos, pi, sin
from random import Random

from PIL import Image, ImageDraw

from imagemill.backends.simulator.drawing import Colour, Hsv, Point, Scene, map_levels, mix, rgb, scale_image
from imagemill.domain.dataclass import dataclass


def _layer(scene: Scene, share: float) -> Colour:
    """The colour of an object at a distance: 0 is far, in the haze; 1 is near."""
    return mix(mix(scene.far, scene.sky[2], 0.45 * (1 - share)), scene.near, share)


def _ridge_heights(scene: Scene, base: float, relief: float, rough: float) -> list[float]:
    """Heights of a ridge by midpoint displacement, in shares of the canvas height."""
    random = scene.random.random
    heights = [base + relief * (random() - 0.5), base + relief * (random() - 0.5)]
    for _ in range(6 if scene.fine else 3):
        relief *= rough
        finer: list[float] = []
        for left, right in pairwise(heights):
            finer += (left, (left + right) / 2 + relief * (2 * random() - 1))
        finer.append(heights[-1])
        heights = finer
    return heights


def _hill_heights(scene: Scene, base: float, relief: float) -> list[float]:
    """Heights of a rounded ridge: a curve through a few random points."""
    random = scene.random.random
    knots = [base + relief * (2 * random() - 1) for _ in range(6)]
    steps = 16 if scene.fine else 3
    heights: list[float] = []
    for left, right in pairwise(knots):
        for step in range(steps):
            share = step / steps
            share *= share * (3 - 2 * share)
            heights.append(left + (right - left) * share)
    return [*heights, knots[-1]]


def _draw_ground(scene: Scene, heights: list[float], colour: Colour) -> None:
    width, height = scene.size
    apart = width / (len(heights) - 1)
    outline: list[Point] = [(apart * number, value * height) for number, value in enumerate(heights)]
    scene.draw.polygon([(0, height), *outline, (width, height)], fill=colour)


def _height_at(heights: list[float], share: float) -> float:
    place = share * (len(heights) - 1)
    left = min(int(place), len(heights) - 2)
    return heights[left] + (heights[left + 1] - heights[left]) * (place - left)


def _draw_pine(scene: Scene, x: float, y: float, tall: float, colour: Colour) -> None:
    for tier in range(3):
        top, foot = y - tall * (1 - 0.24 * tier), y - tall * (0.5 - 0.24 * tier)
        half = tall * (0.14 + 0.06 * tier)
        scene.draw.polygon([(x, top), (x - half, foot), (x + half, foot)], fill=colour)


def _draw_tree(scene: Scene, x: float, y: float, tall: float, colour: Colour) -> None:
    draw, crown = scene.draw, tall * 0.34
    draw.rectangle((x - tall * 0.04, y - tall * 0.5, x + tall * 0.04, y + tall * 0.05), fill=colour)
    for dx, dy, size in ((-0.6, 0.3, 0.75), (0.6, 0.3, 0.75), (0.0, -0.2, 1.0)):
        cx, cy, r = x + dx * crown, y - tall * 0.62 + dy * crown, crown * size
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=colour)


def _draw_plant(scene: Scene, heights: list[float], how_many: int, tall: float, colour: Colour) -> None:
    """Trees along a ridge, in one or two groves."""
    width, height = scene.size
    kind = _draw_pine if scene.random.random() < 0.6 else _draw_tree
    groves = [scene.random.random() for _ in range(2)]
    for number in range(how_many):
        share = (groves[number % 2] + scene.between(-0.22, 0.22)) % 1.0
        size = tall * scene.between(0.6, 1.2) * min(width, height)
        kind(scene, share * width, _height_at(heights, share) * height + size * 0.05, size, colour)


def _draw_mountains(scene: Scene, level: float) -> None:
    layers = 4 if scene.fine else 3
    heights: list[float] = []
    for number in range(layers):
        share = number / (layers - 1)
        base = level - 0.05 + (0.97 - level) * share**1.2 * 0.8
        heights = _ridge_heights(scene, base, 0.30 * (1 - 0.55 * share), 0.5)
        _draw_ground(scene, heights, _layer(scene, share))
    if scene.fine:
        _draw_plant(scene, heights, 16, 0.13, mix(scene.near, (0, 0, 0), 0.25))


def _draw_hills(scene: Scene, level: float) -> None:
    layers = 5 if scene.fine else 3
    for number in range(layers):
        share = number / (layers - 1)
        heights = _hill_heights(scene, level + 0.04 + (0.9 - level) * share, 0.09 - 0.03 * share)
        _draw_ground(scene, heights, _layer(scene, share))
        if scene.fine and number in (2, 3):
            _draw_plant(scene, heights, 9, 0.04 + 0.05 * share, mix(_layer(scene, share), (0, 0, 0), 0.3))


def _draw_dunes(scene: Scene, level: float) -> None:
    width, height = scene.size
    layers = 4 if scene.fine else 3
    for number in range(layers):
        share = number / (layers - 1)
        colour = mix(_layer(scene, share * 0.7), scene.light, 0.25 * (1 - share))
        heights = _hill_heights(scene, level + 0.05 + (0.85 - level) * share, 0.10)
        _draw_ground(scene, heights, colour)
        # The slope in the shade: from a crest down to the lower edge.
        crest = min(range(1, len(heights) - 1), key=heights.__getitem__)
        apart = width / (len(heights) - 1)
        slope = [(apart * at, heights[at] * height) for at in range(crest, len(heights))]
        foot = (apart * crest + (width - apart * crest) * scene.between(0.1, 0.5), float(height))
        scene.draw.polygon([*slope, (width, height), foot], fill=mix(colour, (20, 10, 30), 0.18))


def _draw_sea(scene: Scene, level: float) -> None:
    width, height = scene.size
    shore = round(level * height)
    mirrored = scene.image.crop((0, max(0, 2 * shore - height), width, shore))
    deep = mix(scene.near, scene.sky[0], 0.35)
    scene.draw.rectangle((0, shore, width, height), fill=mix(scene.sky[2], deep, 0.6))
    mirror = Image.blend(
        mirrored.transpose(Image.Transpose.FLIP_TOP_BOTTOM), Image.new("RGB", mirrored.size, deep), 0.5
    )
    scene.image.paste(mirror, (0, shore))
    island = _ridge_heights(scene, level + 0.02, 0.16, 0.5)
    cut = scene.between(0.25, 0.6)
    island = [min(level, value) if share / len(island) < cut else level for share, value in enumerate(island)]
    outline = [(width * number / (len(island) - 1), value * height) for number, value in enumerate(island)]
    scene.draw.polygon([(0, shore), *outline, (width, shore)], fill=_layer(scene, 0.35))
    for number in range(40 if scene.fine else 10):
        depth = scene.random.random() ** 1.5
        y = shore + (height - shore) * (0.02 + 0.96 * depth)
        long = width * (0.02 + 0.13 * depth) * scene.between(0.5, 1.5)
        x = scene.random.random() * width
        thick = max(1, round(height * 0.006 * depth))
        fill = mix(deep, scene.light if number % 3 == 0 else scene.sky[2], 0.25 + 0.3 * (1 - depth))
        scene.draw.line((x - long, y, x + long, y), fill=fill, width=thick)
    _draw_boat(scene, scene.between(0.3, 0.8) * width, shore + (height - shore) * scene.between(0.08, 0.3))


def _draw_boat(scene: Scene, x: float, y: float) -> None:
    side = 0.11 * min(scene.size)
    draw, dark = scene.draw, mix(scene.near, (0, 0, 0), 0.35)
    deck, keel = y - side * 0.14, y + side * 0.08
    hull = [(x - side / 2, deck), (x + side / 2, deck), (x + side * 0.34, keel), (x - side * 0.36, keel)]
    draw.polygon(hull, fill=dark)
    white = mix((255, 255, 255), scene.sky[2], 0.25)
    draw.polygon([(x, y - side * 0.18), (x, y - side), (x + side * 0.42, y - side * 0.18)], fill=white)
    draw.polygon([(x - side * 0.05, y - side * 0.18), (x - side * 0.05, y - side * 0.85),
                  (x - side * 0.36, y - side * 0.18)], fill=mix(white, scene.light, 0.5))  # fmt: skip


def _draw_city(scene: Scene, level: float) -> None:
    width, height = scene.size
    layers = 3 if scene.fine else 2
    for number in range(layers):
        share = (number + 0.4) / (layers - 0.6)
        colour = _layer(scene, share)
        lit = (
            mix(scene.light, (255, 214, 120), 0.6)
            if scene.night or share > 0.9
            else mix(colour, scene.light, 0.4)
        )
        left = -0.05 * width
        while left < width:
            wide = scene.between(0.05, 0.13) * min(width, height) * (1 + 0.5 * share)
            top = (level - 0.12 + 0.28 * share + scene.between(-0.17, 0.10)) * height
            scene.draw.rectangle((left, top, left + wide, height), fill=colour)
            if scene.fine and number > 0:
                _draw_windows(scene, (left, top, left + wide), mix(colour, lit, 0.75))
            left += wide * scene.between(0.95, 1.25)


def _draw_windows(scene: Scene, house: tuple[float, float, float], colour: Colour) -> None:
    left, top, right = house
    pane = (right - left) / 9
    y = top + 2 * pane
    while y < min(top + 24 * pane, scene.size[1]):
        bits = scene.random.getrandbits(4)
        for column in range(4):
            if bits >> column & 1:
                x = left + pane * (1 + 2 * column)
                scene.draw.rectangle((x, y, x + pane * 0.9, y + pane * 1.1), fill=colour)
        y += 2.4 * pane


def _draw_bubbles(scene: Scene, level: float) -> None:
    """An abstract picture: discs that look translucent, over a plain ground."""
    width, height = scene.size
    _draw_ground(scene, _hill_heights(scene, level + 0.12, 0.08), _layer(scene, 0.45))
    _draw_ground(scene, _hill_heights(scene, level + 0.28, 0.06), _layer(scene, 0.8))
    short = min(width, height)
    for number in range(9 if scene.fine else 5):
        radius = scene.between(0.05, 0.19) * short * (1 - number * 0.06)
        x, y = scene.random.random() * width, scene.between(0.15, 0.9) * height
        hue = mix(_layer(scene, scene.random.random()), scene.light, scene.between(0.1, 0.6))
        scene.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=hue)
        inner, shift = radius * 0.78, radius * 0.12
        scene.draw.ellipse(
            (x - inner - shift, y - inner - shift, x + inner - shift, y + inner - shift),
            fill=mix(hue, scene.light, 0.18),
        )
        spark, off = radius * 0.16, radius * 0.45
        scene.draw.ellipse((x - off - spark, y - off - spark, x - off + spark, y - off + spark),
                           fill=mix(hue, (255, 255, 255), 0.7))  # fmt: skip


VIEWS: tuple[Callable[[Scene, float], None], ...] = (
    _draw_mountains,
    _draw_hills,
    _draw_sea,
    _draw_city,
    _draw_dunes,
    _draw_bubbles,
)


@dataclass(frozen=True, slots=True)
class ScenePalette:
    """The colours of a scene: hue, saturation and value, each 0..1."""

    sky: tuple[Hsv, Hsv, Hsv]
    """Top, middle, horizon."""
    far: Hsv
    near: Hsv
    light: Hsv
    night: bool = False


_P = ScenePalette
MOODS = (
    _P(((0.59, 0.66, 0.80), (0.57, 0.42, 0.93), (0.53, 0.14, 0.99)), (0.56, 0.30, 0.78), (0.37, 0.55, 0.30),
       (0.14, 0.20, 1.0)),
    _P(((0.70, 0.58, 0.36), (0.90, 0.48, 0.76), (0.07, 0.62, 0.99)), (0.85, 0.42, 0.60), (0.74, 0.62, 0.20),
       (0.11, 0.40, 1.0)),
    _P(((0.65, 0.78, 0.13), (0.63, 0.66, 0.28), (0.58, 0.52, 0.48)), (0.61, 0.50, 0.36), (0.64, 0.62, 0.09),
       (0.15, 0.08, 0.98), night=True),
    _P(((0.55, 0.38, 0.78), (0.07, 0.18, 0.95), (0.01, 0.36, 0.99)), (0.95, 0.26, 0.74), (0.56, 0.46, 0.28),
       (0.12, 0.28, 1.0)),
    _P(((0.50, 0.16, 0.84), (0.48, 0.09, 0.92), (0.45, 0.04, 0.97)), (0.48, 0.18, 0.78), (0.45, 0.44, 0.24),
       (0.13, 0.08, 1.0)),
    _P(((0.97, 0.68, 0.28), (0.02, 0.76, 0.66), (0.11, 0.70, 1.0)), (0.01, 0.58, 0.56), (0.97, 0.70, 0.14),
       (0.13, 0.45, 1.0)),
    _P(((0.78, 0.54, 0.34), (0.86, 0.34, 0.72), (0.48, 0.28, 0.92)), (0.52, 0.40, 0.64), (0.55, 0.68, 0.19),
       (0.16, 0.14, 1.0), night=True),
    _P(((0.55, 0.32, 0.84), (0.12, 0.14, 0.95), (0.11, 0.30, 1.0)), (0.08, 0.36, 0.80), (0.05, 0.68, 0.36),
       (0.12, 0.24, 1.0)),
)  # fmt: skip


def draw_scene(random: Random, size: tuple[int, int], *, fine: bool) -> tuple[Image.Image, Colour]:
    """A random scene as an RGB picture, and its brightest colour."""
    mood = MOODS[int(random.random() * len(MOODS))]
    # One picture in seven has unnatural, paler colours.
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
        _draw_stars(scene, level)
    _draw_sun(scene, level)
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
    tall = scale_image(column, (1, height), box=(0, 0.5, 1, len(rows) - 0.5))
    return scale_image(tall, (width, height), Image.Resampling.NEAREST)


@lru_cache(maxsize=2)
def _glow(side: int) -> Image.Image:
    """White in the middle, fading to black at the inscribed circle and beyond."""
    rings = Image.radial_gradient("L")
    # The gradient is 255 in the corners; the middles of the edges have 255 / sqrt(2) = 180.
    light = [round(max(0.0, 1 - value / 179) ** 2 * 190) for value in range(256)]
    return scale_image(map_levels(rings, light), (side, side))


def _draw_sun(scene: Scene, level: float) -> None:
    width, height = scene.size
    x, y = scene.between(0.15, 0.85) * width, scene.between(0.12, level * 0.9) * height
    radius = scene.between(0.045, 0.11) * min(width, height)
    reach = max(1, round(radius * (scene.between(3.5, 5.5) if scene.fine else 2.5)))
    halo = scale_image(_glow(256 if reach > 100 else 32), (2 * reach, 2 * reach))
    scene.image.paste(scene.light, (round(x) - reach, round(y) - reach), halo)
    if scene.night:
        _draw_moon(scene, x, y, radius)
    else:
        scene.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=scene.light)


def _draw_moon(scene: Scene, x: float, y: float, radius: float) -> None:
    """A tilted crescent, bounded by half a circle and half an ellipse."""
    tilt, waist = scene.between(-0.8, 0.8), scene.between(-0.3, 0.7)
    steps = 24 if scene.fine else 8
    outer = [(cos(pi / 2 + pi * k / steps), sin(pi / 2 + pi * k / steps)) for k in range(steps + 1)]
    inner = [(px * waist, py) for px, py in reversed(outer)]
    across, down = radius * cos(tilt), radius * sin(tilt)
    crescent = [(x + px * across - py * down, y + px * down + py * across) for px, py in (*outer, *inner)]
    scene.draw.polygon(crescent, fill=scene.light)


def _draw_stars(scene: Scene, level: float) -> None:
    width, height = scene.size
    for number in range(90):
        x, y = scene.random.random() * width, scene.random.random() ** 1.4 * level * height
        size = (0.0008 + 0.0022 * scene.random.random()) * min(width, height)
        fill = mix(scene.sky[0], (255, 255, 255), 0.45 + 0.5 * (number % 3) / 2)
        scene.draw.ellipse((x - size, y - size, x + size, y + size), fill=fill)
