"""Skies, land, plants, water and weather of the sample book."""

import math
from collections.abc import Sequence

from tools.sample_book.ink import Ink, Point, circle, mix, smooth


def sky(ink: Ink, *colours: str, strokes: int = 160, opacity: float = 0.07) -> None:
    """Fill the page with a sky from top to bottom, with broad strokes."""
    count = len(colours) - 1
    ink.wash(ink.linear(*[(at / count, colour) for at, colour in enumerate(colours)]))
    for _ in range(strokes):
        y = ink.random.uniform(-20, 1020)
        colour = colours[min(int(y / 1000 * len(colours)), count) if y > 0 else 0]
        colour = mix(colour, ink.random.choice(("#ffffff", "#20285a")), 0.25)
        ink.stroke(ink.random.uniform(0, 1000), y, 380, 26, -4, colour, opacity)


def stars(ink: Ink, count: int, bottom: float, *, top: float = 0) -> None:
    for _ in range(count):
        x, y = ink.random.uniform(0, 1000), top + (bottom - top) * ink.random.random() ** 1.25
        size = ink.random.choice((1.1, 1.4, 1.8, 2.6))
        ink.ellipse(x, y, size, size, "#fff6d8", opacity=ink.random.uniform(0.45, 1))
        if size > 2 and ink.random.random() < 0.55:
            for dx, dy in ((8, 0), (0, 8)):
                ink.line([(x - dx, y - dy), (x, y), (x + dx, y + dy)], "#fff6d8", 1.1, opacity=0.8)


def moon(ink: Ink, x: float, y: float, radius: float) -> None:
    ink.glow(x, y, radius * 4.6, "#fff0c4", 0.6)
    fill = ink.radial((0, "#fffdf0"), (0.7, "#fdeebb"), (1, "#f2d890"), cx=0.4, cy=0.4, r=0.7)
    ink.textured(
        circle(x, y, radius, 16),
        fill,
        ("#ffffff", "#e6c77e"),
        count=26,
        length=radius,
        width=radius / 9,
        angle=30,
    )
    for dx, dy, size in ((-0.3, -0.2, 0.2), (0.25, 0.3, 0.26), (0.35, -0.35, 0.12), (-0.2, 0.45, 0.12)):
        ink.ellipse(x + dx * radius, y + dy * radius, size * radius, size * radius, "#e3c883", opacity=0.45)


def cloud(
    ink: Ink,
    x: float,
    y: float,
    width: float,
    colour: str = "#ffffff",
    shadow: str = "#b9c7da",
    opacity: float = 1,
) -> None:
    with ink.group(x, y, width / 200, opacity=opacity):
        puffs = (
            (-70, -8, 34),
            (-34, -30, 44),
            (14, -42, 54),
            (60, -20, 42),
            (88, -2, 26),
            (-96, 4, 22),
            (0, -4, 60),
        )
        for dx, dy, size in puffs:
            fill = ink.radial(
                (0, colour), (0.6, colour), (1, mix(colour, shadow, 0.55)), cx=0.42, cy=0.32, r=0.75
            )
            ink.shape(circle(dx, dy, size, 10, 0.06, ink.random), fill)
        ink.ellipse(0, 22, 112, 20, mix(colour, shadow, 0.75), blur=7)
        for _ in range(16):
            ink.stroke(
                ink.random.uniform(-70, 70),
                ink.random.uniform(-50, 14),
                40,
                9,
                -8,
                mix(colour, "#ffffff", 0.3),
                0.16,
            )


def ridge(ink: Ink, y: float, height: float, *, waves: float = 2.2, rough: float = 0.15) -> list[Point]:
    """Points of a ridge from left to right around a height, closed below the page."""
    shift, points = ink.random.uniform(0, math.tau), []
    for at in range(15):
        x = -60 + at * 80
        level = math.sin(x / 1000 * math.tau * waves / 2 + shift) + rough * ink.random.uniform(-1, 1)
        points.append((x, y + level * height))
    return points


def land(
    ink: Ink,
    points: Sequence[Point],
    light: str,
    dark: str,
    strokes: Sequence[str],
    *,
    count: int = 140,
    length: float = 70,
    angle: float = -6,
    opacity: float = 0.16,
    width: float = 7,
) -> None:
    """Fill the page below a ridge."""
    top = smooth(points, closed=False)
    d = f"{top}L1060 1060L-60 1060Z"
    high = min(y for _, y in points)
    ink.path(d, ink.linear((0, light), (1, dark)))
    with ink.group(clip=d):
        for _ in range(count):
            x, y = ink.random.uniform(0, 1000), high + (1000 - high) * ink.random.random() ** 1.2
            ink.stroke(x, y, length, width, angle, ink.random.choice(list(strokes)), opacity)
        ink.line(points, mix(light, "#ffffff", 0.35), 5, opacity=0.45)


def tuft(ink: Ink, x: float, y: float, size: float, colours: Sequence[str]) -> None:
    for _ in range(6):
        lean = ink.random.uniform(-0.6, 0.6)
        tall = size * ink.random.uniform(0.6, 1.2)
        colour = ink.random.choice(list(colours))
        ink.line(
            [(x, y), (x + lean * tall * 0.3, y - tall * 0.6), (x + lean * tall, y - tall)], colour, size / 7
        )
        x += ink.random.uniform(-size, size) * 0.2


def meadow(
    ink: Ink, top: float, count: int, colours: Sequence[str], *, size: float = 22, bottom: float = 1010
) -> None:
    """Tufts of grass that grow towards the bottom of the page."""
    for at in range(count):
        share = at / count
        y = top + (bottom - top) * share
        tuft(ink, ink.random.uniform(-10, 1010), y, size * (0.5 + share), colours)


def flower(
    ink: Ink, x: float, y: float, size: float, petal: str, *, stem: float = 2.6, leaf: str = "#4e7d45"
) -> None:
    """A flower whose stem stands on a point."""
    top = (x + ink.random.uniform(-6, 6) * size / 14, y - size * stem)
    ink.line([(x, y), (x + 2, (y + top[1]) / 2), top], leaf, size / 5)
    ink.ellipse(x + size * 0.5, y - size * 0.9, size * 0.6, size * 0.2, leaf, turn=-30)
    count = ink.random.choice((5, 6, 7))
    for at in range(count):
        turn = 360 * at / count + ink.random.uniform(-8, 8)
        far = math.radians(turn)
        cx, cy = top[0] + size * 0.55 * math.cos(far), top[1] + size * 0.55 * math.sin(far)
        ink.ellipse(
            cx, cy, size * 0.5, size * 0.32, mix(petal, "#ffffff", ink.random.uniform(0, 0.3)), turn=turn
        )
    ink.ellipse(top[0], top[1], size * 0.32, size * 0.32, "#f6c445")
    ink.ellipse(top[0] - size * 0.08, top[1] - size * 0.08, size * 0.14, size * 0.14, "#ffe39a")


def sunflower(ink: Ink, x: float, y: float, size: float, height: float) -> None:
    ink.line([(x, y), (x + size * 0.1, y - height / 2), (x, y - height)], "#55803c", size / 5)
    for side in (-1, 1):
        leaf: list[Point] = [
            (x, y - height * 0.35),
            (x + side * size * 0.8, y - height * 0.6),
            (x + side * size * 1.1, y - height * 0.42),
        ]
        ink.textured(
            leaf, "#5f8d42", ("#86b35e", "#3e6530"), count=10, length=size * 0.5, width=4, angle=-30 * side
        )
    with ink.group(x, y - height, size / 50):
        for ring, colour in ((50, "#e8a02c"), (44, "#f8c53f")):
            for at in range(18):
                turn = 20 * at + (10 if ring == 44 else 0)
                far = math.radians(turn)
                ink.ellipse(
                    ring * 0.82 * math.cos(far), ring * 0.82 * math.sin(far), 19, 8.5, colour, turn=turn
                )
        ink.ellipse(0, 0, 27, 27, ink.radial((0, "#8a5a2b"), (1, "#4f2f18")))
        for _ in range(34):
            far, turn = 25 * ink.random.random() ** 0.5, ink.random.uniform(0, math.tau)
            ink.ellipse(far * math.cos(turn), far * math.sin(turn), 1.9, 1.9, "#c58b45", opacity=0.8)


def round_tree(
    ink: Ink, x: float, y: float, size: float, leaf: str, *, trunk: str = "#6b4a38", apples: str = ""
) -> None:
    """A tree with a round crown; the trunk stands on a point."""
    dark, light = mix(leaf, "#14261f", 0.45), mix(leaf, "#fff3b0", 0.35)
    with ink.group(x, y, size / 100):
        ink.ellipse(0, 0, 60, 8, "#141c18", opacity=0.25, blur=5)
        wood: list[Point] = [(-14, 4), (-8, -40), (-12, -90), (12, -90), (8, -40), (16, 4)]
        ink.textured(
            wood,
            trunk,
            (mix(trunk, "#ffffff", 0.25), mix(trunk, "#000000", 0.4)),
            count=18,
            length=40,
            width=3,
            angle=88,
            opacity=0.35,
        )
        for dx, dy, far in ((0, -120, 58), (-42, -96, 40), (42, -98, 42), (-22, -150, 42), (26, -148, 40)):
            ink.shape(
                circle(dx, dy, far, 11, 0.07, ink.random),
                ink.radial((0, leaf), (1, dark), cx=0.38, cy=0.3, r=0.8),
            )
        for _ in range(70):
            turn, far = ink.random.uniform(0, math.tau), 74 * ink.random.random() ** 0.6
            px, py = far * math.cos(turn), -122 + far * 0.86 * math.sin(turn)
            lit = px + py + 122 < 6
            ink.ellipse(px, py, 8, 4.6, light if lit else dark, turn=ink.random.uniform(0, 180), opacity=0.34)
        if apples:
            for _ in range(9):
                turn, far = ink.random.uniform(0, math.tau), 60 * ink.random.random() ** 0.5
                ink.ellipse(far * math.cos(turn), -116 + far * 0.8 * math.sin(turn), 6.4, 6.4, apples)


def pine(
    ink: Ink, x: float, y: float, height: float, colour: str, *, snow: bool = False, detail: int = 9
) -> None:
    """A fir tree that stands on a point."""
    dark, light = mix(colour, "#0d1b22", 0.5), mix(colour, "#d9f0d0", 0.35)
    with ink.group(x, y, height / 200):
        ink.rect(-7, -26, 14, 28, "#4f382c")
        for level in range(5):
            top, half = -200 + level * 34, 24 + level * 13
            low = top + 62
            layer: list[Point] = [
                (0, top),
                (half * 0.5, top + 34),
                (half, low),
                (half * 0.3, low - 9),
                (0, low + 3),
                (-half * 0.35, low - 9),
                (-half, low),
                (-half * 0.5, top + 34),
            ]
            ink.textured(
                smooth(layer, tension=0.25),
                ink.linear((0, colour), (1, dark), angle=50),
                (light, dark),
                count=detail,
                length=30,
                width=4,
                angle=76,
                opacity=0.28,
            )
            if snow:
                ink.shape(
                    [
                        (0, top),
                        (half * 0.42, top + 32),
                        (half * 0.15, top + 26),
                        (-half * 0.1, top + 34),
                        (-half * 0.45, top + 33),
                    ],
                    "#f4f8ff",
                    opacity=0.92,
                )


def birch(ink: Ink, x: float, bottom: float, width: float, *, lean: float = 0, tone: str = "#efe7da") -> None:
    """A tall trunk that leaves the page at the top."""
    foot, top = width / 2, width * 0.36
    trunk = f"M{x - foot:.1f} {bottom:.1f} L{x + lean - top:.1f} -30 "
    trunk += f"L{x + lean + top:.1f} -30 L{x + foot:.1f} {bottom:.1f} Z"
    ink.path(
        trunk,
        ink.linear((0, mix(tone, "#6a6070", 0.4)), (0.35, tone), (1, mix(tone, "#3c3a4a", 0.5)), angle=0),
    )
    with ink.group(clip=trunk):
        for _ in range(int(bottom / 26)):
            y = ink.random.uniform(-10, bottom)
            ink.stroke(
                x + lean * (1 - y / bottom) + ink.random.uniform(-0.5, 0.5) * width,
                y,
                width * 0.6,
                6,
                0,
                "#3a3238",
                0.6,
            )


def trunk(ink: Ink, x: float, bottom: float, width: float, colour: str, *, lean: float = 0) -> None:
    """An old trunk with roots that leaves the page at the top."""
    shape: list[Point] = [
        (x - width * 1.0, bottom + 14), (x - width * 0.55, bottom - width * 0.6),
            (x - width * 0.45 + lean * 0.5, bottom / 2),
        (x - width * 0.5 + lean, -60), (x + width * 0.5 + lean, -60), (x + width * 0.42 + lean * 0.5,
            bottom / 2),
        (x + width * 0.58, bottom - width * 0.6), (x + width * 1.05, bottom + 14), (x, bottom),
    ]  # fmt: skip
    dark = mix(colour, "#0b0f16", 0.5)
    fill = ink.linear((0, dark), (0.4, colour), (1, dark), angle=0)
    ink.textured(
        shape,
        fill,
        (mix(colour, "#ffe7b8", 0.3), dark),
        count=90,
        length=110,
        width=6,
        angle=88,
        opacity=0.24,
    )


def mushroom(ink: Ink, x: float, y: float, size: float, cap: str = "#c8423a") -> None:
    with ink.group(x, y, size / 40):
        ink.textured(
            [(-11, 2), (-9, -34), (9, -34), (12, 2), (0, 5)],
            "#f3e6cf",
            ("#cbb393",),
            count=10,
            length=26,
            width=3,
            angle=86,
        )
        dome: list[Point] = [(-42, -26), (-34, -54), (0, -70), (34, -54), (42, -26), (0, -20)]
        ink.textured(
            dome,
            ink.linear((0, mix(cap, "#ffffff", 0.2)), (1, mix(cap, "#300a0a", 0.35))),
            ("#ffffff", "#5a1414"),
            count=14,
            length=26,
            width=4,
            angle=20,
            opacity=0.12,
        )
        for dx, dy, far in ((-20, -42, 6), (2, -56, 7), (20, -40, 5.5), (0, -34, 4)):
            ink.ellipse(dx, dy, far, far * 0.8, "#fff6e6")


def fern(ink: Ink, x: float, y: float, size: float, colour: str) -> None:
    for lean in (-50, -24, 0, 26, 52):
        far = math.radians(lean)
        tip = (x + size * math.sin(far), y - size * math.cos(far))
        middle = (x + size * 0.5 * math.sin(far * 0.6), y - size * 0.62 * math.cos(far * 0.6))
        shade = mix(colour, ink.random.choice(("#ffffff", "#0a1a14")), 0.18)
        ink.line([(x, y), middle, tip], shade, size / 26)
        for step in range(2, 9):
            share = step / 9
            px, py = (
                x + (tip[0] - x) * share,
                y + (tip[1] - y) * share - size * 0.06 * math.sin(math.pi * share),
            )
            for side in (-1, 1):
                ink.ellipse(
                    px + side * size * 0.07,
                    py,
                    size * 0.09 * (1.15 - share),
                    size * 0.03,
                    shade,
                    turn=lean + side * 40,
                )


def rain(ink: Ink, count: int, *, colour: str = "#e6f0fa", slant: float = 100) -> None:
    for _ in range(count):
        x, y = ink.random.uniform(-20, 1020), ink.random.uniform(-20, 1020)
        ink.stroke(x, y, 44, 2.2, slant, colour, 0.42)


def water(ink: Ink, top: float, light: str, dark: str, *, count: int = 150, shine: str = "#ffffff") -> None:
    """A level of water from a height to the bottom of the page."""
    ink.rect(-20, top, 1040, 1040 - top, ink.linear((0, light), (1, dark)))
    for _ in range(count):
        share = ink.random.random()
        y = top + 4 + (1000 - top) * share
        colour = shine if ink.random.random() < 0.5 else mix(dark, "#0a1a33", 0.3)
        ink.stroke(ink.random.uniform(0, 1000), y, 30 + 120 * share, 2 + 5 * share, 0, colour, 0.2)


def wave(
    ink: Ink, y: float, height: float, light: str, dark: str, *, shift: float = 0, length: float = 190
) -> None:
    """A row of waves across the page, filled to the bottom, with foam."""
    points: list[Point] = [
        (at * length / 2 + shift, y + (height if at % 2 else -height) * ink.random.uniform(0.7, 1.2))
        for at in range(-1, int(1000 / length * 2) + 4)
    ]
    land(
        ink,
        points,
        light,
        dark,
        (mix(light, "#ffffff", 0.4), dark),
        count=90,
        length=100,
        angle=0,
        opacity=0.2,
    )
    for x, top in points:
        if top < y:
            for _ in range(5):
                ink.stroke(
                    x + ink.random.uniform(-50, 50), top + ink.random.uniform(3, 18), 60, 4, 0, "#ffffff", 0.5
                )


def mountain(
    ink: Ink, x: float, top: float, bottom: float, half: float, rock: str, *, snow: float = 0.45
) -> None:
    """A mountain with a lit and a shaded side, and snow on its upper part."""
    shade = mix(rock, "#1e2747", 0.45)
    peak = (x, top)
    left: list[Point] = [
        peak,
        (x - half * 0.35, top + (bottom - top) * 0.42),
        (x - half * 0.62, top + (bottom - top) * 0.58),
        (x - half, bottom),
    ]
    right: list[Point] = [
        peak,
        (x + half * 0.28, top + (bottom - top) * 0.32),
        (x + half * 0.66, top + (bottom - top) * 0.7),
        (x + half, bottom),
    ]
    whole = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in [*left[::-1], *right[1:]]) + "Z"
    ink.path(whole, rock)
    with ink.group(clip=whole):
        spine: list[Point] = [
            peak,
            (x + half * 0.06, top + (bottom - top) * 0.3),
            (x - half * 0.05, top + (bottom - top) * 0.6),
            (x + half * 0.1, bottom),
        ]
        ink.polygon([*spine, (x + half * 1.1, bottom), (x + half, top)], shade)
        for _ in range(70):
            px, py = ink.random.uniform(x - half, x + half), ink.random.uniform(top, bottom)
            ink.stroke(
                px,
                py,
                half * 0.3,
                6,
                58 if px > x else -58,
                ink.random.choice((mix(rock, "#ffffff", 0.4), shade)),
                0.25,
            )
        line, low = top + (bottom - top) * snow, (bottom - top) * 0.07
        edge = [
            (x - half + at * half / 6, line + (low if at % 2 else -low) * ink.random.uniform(0.5, 1.4))
            for at in range(1, 12)
        ]
        cap = [(x - half, line), *edge, (x + half, top - 20), (x - half, top - 20)]
        ink.polygon(cap, "#f7faff")
        with ink.group(clip="M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in cap) + "Z"):
            ink.polygon([*spine, (x + half * 1.1, bottom), (x + half, top)], "#b9c9e6")
            for _ in range(30):
                ink.stroke(
                    ink.random.uniform(x - half, x + half),
                    ink.random.uniform(top, line + low),
                    half * 0.24,
                    6,
                    60,
                    "#ffffff",
                    0.4,
                )


def snowfall(ink: Ink, count: int) -> None:
    for _ in range(count):
        size = ink.random.choice((2, 3, 4.5, 6))
        ink.ellipse(
            ink.random.uniform(0, 1000),
            ink.random.uniform(0, 1000),
            size,
            size,
            "#ffffff",
            opacity=ink.random.uniform(0.4, 0.95),
        )


def rainbow(ink: Ink, x: float, y: float, radius: float, width: float, opacity: float = 0.55) -> None:
    colours = ("#e4574c", "#f08a3c", "#f7cf4a", "#6fb65a", "#4a90c8", "#7a62b0")
    with ink.group(opacity=opacity):
        for at, colour in enumerate(colours):
            far = radius - at * width
            points = [
                (x + far * math.cos(math.radians(turn)), y - far * math.sin(math.radians(turn)))
                for turn in range(0, 181, 15)
            ]
            ink.line(points, colour, width * 1.25, blur=3)


def fireflies(ink: Ink, count: int, top: float, bottom: float) -> None:
    for _ in range(count):
        x, y = ink.random.uniform(20, 980), ink.random.uniform(top, bottom)
        ink.glow(x, y, 26, "#ffe27a", 0.8)
        ink.ellipse(x, y, 3, 3, "#fff6c0")


def beams(
    ink: Ink,
    x: float,
    y: float,
    colour: str,
    turns: Sequence[float],
    *,
    length: float = 1300,
    width: float = 70,
    strength: float = 0.25,
) -> None:
    """Rays of light from a point."""
    with ink.group(blend="screen"):
        for turn in turns:
            far = math.radians(turn)
            dx, dy = math.cos(far), math.sin(far)
            fill = [
                (x, y),
                (x + dx * length - dy * width, y + dy * length + dx * width),
                (x + dx * length + dy * width, y + dy * length - dx * width),
            ]
            ink.polygon(fill, colour, opacity=strength, blur=9)


def bank(ink: Ink, y: float, light: str, dark: str, grass: Sequence[str], *, size: float = 34) -> None:
    """A quiet bank of grass in the foreground, on which a text can be read."""
    points = ridge(ink, y, 10, waves=1.6)
    land(
        ink,
        points,
        light,
        dark,
        (mix(light, "#ffffff", 0.08), mix(dark, "#000000", 0.12)),
        count=70,
        angle=3,
        opacity=0.12,
        length=120,
    )
    for x, top in points:
        for _ in range(5):
            tuft(
                ink,
                x + ink.random.uniform(-40, 40),
                top + ink.random.uniform(2, 18),
                size * ink.random.uniform(0.6, 1.1),
                grass,
            )


def calm(ink: Ink, side: str, colour: str, *, depth: float = 330, strength: float = 0.85) -> None:
    """Quieten the top or the bottom of the page, so that a text on it can be read."""
    if side == "top":
        fill = ink.linear((0, colour, strength), (0.62, colour, strength * 0.85), (1, colour, 0))
        ink.rect(-20, -20, 1040, depth + 20, fill)
    else:
        fill = ink.linear((0, colour, 0), (0.38, colour, strength * 0.85), (1, colour, strength))
        ink.rect(-20, 1000 - depth, 1040, depth + 20, fill)
