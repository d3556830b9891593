"""Hair strand by strand, so that its edge is as hard to key as a real one's."""

from math import cos, pi, sin

from imagemill.backends.simulator.canvas import Colour, Point, mix
from imagemill.backends.simulator.stage import Stage


def draw_back_hair(stage: Stage, colour: Colour, *, long: bool) -> None:
    """What is seen behind head and neck; drawn before them."""
    deep = mix(colour, (8, 4, 8), 0.42)
    stage.disc(deep, 0, -0.16, 0.90, 0.98)
    if not long:
        return
    stage.shape(deep, (-0.88, -0.2), (-1.0, 0.7), (-0.96, 1.75), (0.96, 1.75), (1.0, 0.7), (0.88, -0.2))
    count = 64 if stage.fine else 10
    for number in range(count):
        side = -1 if number % 2 else 1
        spread = stage.random.random()
        start = (side * (0.70 + 0.18 * spread), -0.5)
        bend = (side * (0.98 + 0.16 * spread), 0.5)
        end = (side * (0.35 + 0.72 * spread), 1.62 + 0.42 * stage.random.random())
        _strand(stage, _tone(stage, deep), 0.035, start, bend, end)


def draw_front_hair(stage: Stage, colour: Colour, *, long: bool) -> None:
    """The cap of hair with its parting and the strands that fall over temples and forehead."""
    parting = -0.28 if stage.random.random() < 0.5 else 0.28
    cap = [(0.84 * cos(turn), -0.20 + 0.94 * sin(turn)) for turn in (pi + pi * k / 20 for k in range(21))]
    left = _hairline(parting, -0.80)
    right = _hairline(parting, 0.80)
    stage.shape(colour, *cap, *reversed(right), *left)
    if stage.fine:
        _shine(stage, colour, parting)
    falls = 0.95 if long else 0.28
    count = 70 if stage.fine else 12
    for number in range(count):
        side = -1 if number % 2 else 1
        spread = stage.random.random()
        root = (parting + side * 0.10 * spread, -1.10 + 0.05 * spread)
        bend = (side * (0.86 + 0.20 * spread), -1.02 + 0.25 * spread)
        end = (side * (0.74 + 0.16 * spread), falls * (0.35 + 0.65 * stage.random.random()))
        _strand(stage, _tone(stage, colour), 0.028, root, bend, end)
    if stage.fine:
        _flyaway(stage, colour)


def _hairline(parting: float, temple: float) -> list[Point]:
    """From the parting down to a temple, over the forehead."""
    high, low = -0.66, 0.02
    return [
        (parting + (temple - parting) * share, high + (low - high) * share**2.6)
        for share in (step / 10 for step in range(11))
    ]


def _shine(stage: Stage, colour: Colour, parting: float) -> None:
    """Strands from the parting over the cap: lighter where the light falls, darker elsewhere."""
    for number in range(90):
        side = -1 if number % 2 else 1
        share = stage.random.random()
        lower = side * (0.20 + 0.60 * share)
        across = abs(lower - parting) / abs(side * 0.80 - parting)
        start = (parting, -1.12)
        end = (lower, _hairline(parting, side * 0.80)[min(10, int(across * 10))][1] - 0.03)
        bend = ((parting + lower) / 2 + side * 0.30 * share, -1.10 + 0.25 * share)
        _strand(stage, _tone(stage, colour), 0.024, start, bend, end)


def _flyaway(stage: Stage, colour: Colour) -> None:
    """Single hairs that stand off the outline."""
    for number in range(54):
        away = (1 if number % 2 else -1) * (0.30 + 0.55 * stage.random.random())
        turn = 1.5 * pi + away * 0.45 * pi * (0.3 + stage.random.random())
        lift = 1.03 + 0.10 * stage.random.random() ** 2
        curve = [
            (0.82 * grow * cos(turn + away * on), -0.20 + 0.93 * grow * sin(turn + away * on))
            for on, grow in ((0.0, 0.97), (0.40, 0.60 + 0.44 * lift), (0.75, lift))
        ]
        _strand(stage, _tone(stage, colour), 0.009, curve[0], curve[1], curve[2])


def _tone(stage: Stage, colour: Colour) -> Colour:
    draw = stage.random.random()
    if draw > 0.55:
        return mix(colour, (255, 226, 190), 0.30 * (draw - 0.55))
    return mix(colour, (0, 0, 0), 0.5 * (0.55 - draw))


def _strand(stage: Stage, colour: Colour, thick: float, start: Point, bend: Point, end: Point) -> None:
    """A quadratic curve of one width."""
    steps = 8 if stage.fine else 3
    points: list[Point] = []
    for step in range(steps + 1):
        t = step / steps
        a, b, c = (1 - t) * (1 - t), 2 * t * (1 - t), t * t
        points.append((a * start[0] + b * bend[0] + c * end[0], a * start[1] + b * bend[1] + c * end[1]))
    stage.line(colour, thick, *points)
