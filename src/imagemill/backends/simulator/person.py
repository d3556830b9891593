"""Draw people: on an exactly flat background, for tests of chroma key and face detection, or in a scene.

Lengths are in half heads: the centre of the head is the origin, its chin at y = 1, its crown at y = -1.
"""

from collections.abc import Sequence
from colorsys import rgb_to_hsv
from math import cos, pi, sin
from random import Random

from PIL import Image, ImageDraw

from imagemill.backends.simulator.drawing import Colour, Point, mix, rgb
from imagemill.backends.simulator.expression import Expression, Pose, read_expression, read_look
from imagemill.backends.simulator.face import PersonCanvas, Skin, draw_face, draw_tears
from imagemill.domain.dataclass import dataclass

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
    pose: Pose
    expression: Expression


def draw_figure(
    random: Random,
    size: tuple[int, int],
    background: Colour,
    *,
    fine: bool,
    prompt: str = "",
    is_keyed: bool = True,
) -> Image.Image:
    """An RGB picture of a person as the prompt describes it. The corners show only the background.

    ``is_keyed``: the person has no colour that is similar to the background.
    """
    image = Image.new("RGB", size, background)
    key = background if is_keyed else None
    look = _follow_prompt(_random_look(random, key), prompt, key)
    _draw_person(image, random, look, (0.0, float(size[0])), fine=fine)
    return image


def draw_people(image: Image.Image, randoms: Sequence[Random], prompts: Sequence[str], *, fine: bool) -> None:
    """Draw people side by side into a picture, each as its own part of the prompt describes it."""
    share = image.width / len(prompts)
    for place, (random, prompt) in enumerate(zip(randoms, prompts, strict=True)):
        look = _follow_prompt(_random_look(random, None), prompt, None)
        _draw_person(image, random, look, (place * share, (place + 1) * share), fine=fine)


def _draw_person(
    image: Image.Image, random: Random, look: PersonLook, across: tuple[float, float], *, fine: bool
) -> None:
    """Draw a person between two columns: the whole body if there is room, else head and shoulders."""
    width, height, centre = across[1] - across[0], image.height, (across[0] + across[1]) / 2
    draw = ImageDraw.Draw(image)
    if height >= width * FULL_BODY_FROM:
        unit = min(height * 0.95 / 10.9, width * 0.95 / 4.7)
        top = (height - 10.9 * unit) / 2
        canvas = PersonCanvas(draw, random, centre, top + 1.35 * unit, unit, fine)
        draw_back_hair(canvas, look.hair, long=look.long_hair)
        _draw_legs(canvas, look)
        _draw_torso(canvas, look)
        # Hands at the face are drawn after it.
        if look.pose not in _AT_FACE:
            _draw_arms(canvas, look)
    else:
        unit = min(height * 0.258, width * 0.256)
        canvas = PersonCanvas(draw, random, centre, height - 2.52 * unit, unit, fine)
        draw_back_hair(canvas, look.hair, long=look.long_hair)
        _draw_shoulders(canvas, look)
    draw_face(canvas, look.skin, look.hair, look.expression)
    draw_front_hair(canvas, look.hair, long=look.long_hair)
    if look.expression.tears:
        draw_tears(canvas)
    if height >= width * FULL_BODY_FROM and look.pose in _AT_FACE:
        _draw_arms(canvas, look)


def _random_look(random: Random, background: Colour | None) -> PersonLook:
    def one_of(colours: tuple[Colour, ...]) -> Colour:
        """A random colour, or the next one that a chroma key can distinguish from the background."""
        start = int(random.random() * len(colours))
        turned = (*colours[start:], *colours[:start])
        if background is None:
            return turned[0]
        key = background
        apart = next((each for each in turned if not _is_similar(each, key)), None)
        return apart or max(colours, key=lambda each: _distance(each, key))

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
        pose=_POSES[int(random.random() * len(_POSES))],
        expression=Expression(),
    )


def _follow_prompt(look: PersonLook, prompt: str, background: Colour | None) -> PersonLook:
    """The look with what the prompt says, except colours that are similar to the background."""
    asked = read_look(prompt)

    def usable(colour: Colour | None, other: Colour) -> Colour:
        if colour is None or (background is not None and _is_similar(colour, background)):
            return other
        return colour

    expression = read_expression(prompt)
    return PersonLook(
        skin=Skin(usable(asked.skin, look.skin.base), asked.eyes or look.skin.eyes),
        hair=usable(asked.hair, look.hair),
        top=usable(asked.top, look.top),
        bottom=usable(asked.bottom, look.bottom),
        shoes=usable(asked.shoes, look.shoes),
        skirt=look.skirt if asked.skirt is None else asked.skirt,
        long_hair=look.long_hair if asked.long_hair is None else asked.long_hair,
        pose=expression.pose or look.pose,
        expression=expression,
    )


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


_POSES: tuple[Pose, ...] = ("down", "wave", "hip")
"""The poses that a prompt which names none may get."""
_AT_FACE = frozenset({"chin", "together", "raised"})
_DOWN: tuple[Point, Point] = ((1.72, 3.1), (1.78, 4.5))
_ARMS: dict[Pose, tuple[tuple[Point, Point], tuple[Point, Point]]] = {
    "down": (_DOWN, _DOWN),
    "wave": (_DOWN, ((1.98, 2.6), (2.1, 1.1))),
    "hip": (((1.95, 3.0), (1.12, 3.9)), ((1.95, 3.0), (1.12, 3.9))),
    "chin": (_DOWN, ((1.50, 3.2), (0.34, 1.5))),
    "together": (((1.45, 3.2), (0.30, 3.3)), ((1.45, 3.2), (0.30, 3.3))),
    "raised": (((1.98, 2.6), (1.75, 1.15)), ((1.98, 2.6), (1.75, 1.15))),
    "fists": (((1.95, 3.0), (1.75, 4.2)), ((1.98, 2.7), (1.85, 1.5))),
}
"""Elbow and hand of the left and of the right arm, both as on the right side."""


def _draw_arms(canvas: PersonCanvas, look: PersonLook) -> None:
    for side, (elbow, hand) in zip((-1, 1), _ARMS[look.pose], strict=True):
        sleeve = mix(look.top, DUSK, 0.18) if side > 0 else look.top
        joints = [(side * x, y) for x, y in ((1.16, 1.92), elbow, hand)]
        _draw_arm(canvas, look.skin.base, sleeve, joints[0], joints[1], joints[2])


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
