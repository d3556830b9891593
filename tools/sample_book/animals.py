"""The animals and the star of the sample book."""

import math

from tools.sample_book.ink import Ink, Point, circle, mix, smooth

FUR, FUR_DARK, FUR_LIGHT, CREAM = "#e07b39", "#a84f22", "#f4a662", "#fff1dc"
DARK = "#3a221a"


def star_points(x: float, y: float, radius: float, *, turn: float = 0, depth: float = 0.56) -> list[Point]:
    found = []
    for at in range(10):
        far = radius if at % 2 == 0 else radius * depth
        angle = math.tau * at / 10 + math.radians(turn)
        found.append((x + far * math.sin(angle), y - far * math.cos(angle)))
    return found


def star(
    ink: Ink,
    x: float,
    y: float,
    radius: float,
    *,
    turn: float = 0,
    glow: float = 4.2,
    face: bool = True,
    mood: str = "smile",
) -> None:
    """Draw the lost star with its light."""
    ink.glow(x, y, radius * glow, "#ffd978", 0.85)
    ink.glow(x, y, radius * glow * 0.5, "#fff0b8", 0.75)
    with ink.group(x, y, radius / 50, turn):
        body = star_points(0, 0, 56, depth=0.6)
        ink.path(smooth(body, tension=0.9), "#f3b03c", blur=3)
        fill = ink.radial((0, "#fffbe0"), (0.55, "#ffe38a"), (1, "#f7bf4a"))
        ink.textured(
            smooth(body, tension=0.9), fill, ("#fff6cf", "#f0a93a"), count=26, length=24, width=4, angle=60
        )
        if not face:
            return
        for side in (-1, 1):
            ink.ellipse(side * 12, -4, 4, 5.4, "#5a3a1c")
            ink.ellipse(side * 12 - 1.4, -6, 1.6, 1.8, "#ffffff")
            ink.ellipse(side * 20, 8, 6, 4.4, "#f08a5a", opacity=0.6)
        if mood == "sad":
            ink.line([(-6, 13), (0, 9), (6, 13)], "#5a3a1c", 3)
        else:
            ink.line([(-8, 7), (0, 14), (8, 7)], "#5a3a1c", 3)


def _fox_head(
    ink: Ink, x: float, y: float, scale: float, turn: float = 0, *, eyes: str = "open", look: float = 0
) -> None:
    with ink.group(x, y, scale, turn):
        for side in (-1, 1):
            ear: list[Point] = [(side * 14, -34), (side * 44, -78), (side * 54, -20)]
            ink.path(smooth(ear, tension=0.7), FUR_DARK)
            inner: list[Point] = [(side * 24, -34), (side * 42, -64), (side * 47, -24)]
            ink.path(smooth(inner, tension=0.6), "#f6c9a0")
        outline: list[Point] = [
            (0, -46), (34, -42), (56, -14), (66, 14), (40, 32), (14, 48), (0, 51), (-14, 48), (-40, 32),
            (-66, 14), (-56, -14), (-34, -42),
        ]  # fmt: skip
        fill = ink.linear((0, FUR_LIGHT), (0.4, FUR), (1, FUR_DARK))
        ink.textured(
            outline, fill, (FUR_LIGHT, FUR_DARK), count=46, length=16, width=4, angle=80, opacity=0.17
        )
        with ink.group(clip=smooth(outline)):
            for side in (-1, 1):
                cheek: list[Point] = [
                    (side * 4, 18),
                    (side * 24, 2),
                    (side * 52, 8),
                    (side * 72, 18),
                    (side * 30, 54),
                    (0, 60),
                ]
                ink.textured(cheek, CREAM, ("#e9cfae",), count=18, length=18, width=3, angle=60 * side)
        for side in (-1, 1):
            at = side * 23 + look * 4
            if eyes == "closed":
                ink.line([(at - 9, 0), (at, 5), (at + 9, 0)], DARK, 3.6)
            else:
                ink.ellipse(at, -2, 7.6, 9.4, DARK)
                ink.ellipse(at - 2, -5.4, 2.9, 3.2, "#ffffff")
                ink.ellipse(at + 2.6, 2, 1.4, 1.5, "#ffffff", opacity=0.8)
        ink.shape([(-9, 27), (9, 27), (4, 36), (-4, 36)], "#2b1813")
        ink.ellipse(-2, 29, 3, 1.6, "#8d7468")
        ink.line([(-9, 43), (-3, 43), (0, 37), (3, 43), (9, 43)], DARK, 2.6)


def _tail(ink: Ink, points: list[Point], width: float) -> None:
    """A bushy tail along points, with a light tip."""
    left, right = [], []
    count = len(points)
    for at, (x, y) in enumerate(points):
        before, after = points[max(at - 1, 0)], points[min(at + 1, count - 1)]
        dx, dy = after[0] - before[0], after[1] - before[1]
        far = math.hypot(dx, dy) or 1
        half = width * math.sin(math.pi * min((at + 0.35) / (count - 0.55), 1)) ** 0.7
        left.append((x - dy / far * half, y + dx / far * half))
        right.append((x + dy / far * half, y - dx / far * half))
    outline = left + right[::-1]
    ink.textured(
        outline,
        ink.linear((0, FUR_LIGHT), (1, FUR_DARK)),
        (FUR_DARK, FUR_LIGHT, "#f8bd83"),
        count=60,
        length=30,
        width=4,
        angle=60,
        opacity=0.3,
    )
    with ink.group(clip=smooth(outline)):
        x, y = points[-1]
        ink.textured(
            circle(x, y, width * 1.25, 10, 0.2, ink.random),
            CREAM,
            ("#e9cfae",),
            count=20,
            length=22,
            width=3,
            angle=60,
        )


def fox(
    ink: Ink,
    x: float,
    y: float,
    scale: float,
    *,
    flip: bool = False,
    eyes: str = "open",
    look: float = 0,
    scarf: str = "",
) -> None:
    """Draw the fox cub as it sits, with its paws at a point."""
    with ink.group(x, y, scale, flip=flip):
        ink.ellipse(6, 2, 84, 13, "#1c1420", opacity=0.28, blur=6)
        _tail(ink, [(36, -18), (84, -14), (112, -50), (108, -96), (92, -122)], 27)
        body: list[Point] = [
            (-38, -4),
            (-46, -50),
            (-34, -98),
            (0, -116),
            (34, -98),
            (48, -46),
            (44, -4),
            (0, 4),
        ]
        fill = ink.linear((0, FUR), (1, FUR_DARK))
        ink.textured(body, fill, (FUR_LIGHT, FUR_DARK), count=60, length=30, width=4, angle=80, opacity=0.26)
        chest: list[Point] = [(-20, -100), (0, -108), (20, -100), (23, -64), (0, -30), (-23, -64)]
        ink.textured(chest, CREAM, ("#e3c5a2",), count=26, length=20, width=3, angle=84)
        for side in (-1, 1):
            ink.line([(side * 15, -60), (side * 16, -10)], FUR_DARK, 25)
            ink.line([(side * 15 - 2, -60), (side * 16 - 2, -10)], FUR, 19)
            ink.ellipse(side * 17, -3, 17, 10, DARK)
        if scarf:
            ink.shape([(-40, -110), (0, -100), (40, -110), (38, -92), (0, -82), (-38, -92)], scarf)
            ink.shape([(20, -96), (36, -96), (40, -48), (24, -46)], mix(scarf, "#000000", 0.2))
        _fox_head(ink, 0, -146, 1, eyes=eyes, look=look)


def walking_fox(
    ink: Ink, x: float, y: float, scale: float, *, flip: bool = False, behind: bool = False
) -> None:
    """Draw the fox cub from the side as it walks to the right, with its paws at a point."""
    with ink.group(x, y, scale, flip=flip):
        ink.ellipse(0, 2, 120, 12, "#1c1420", opacity=0.26, blur=6)
        _tail(ink, [(-70, -66), (-112, -64), (-150, -84), (-176, -116), (-178, -134)], 25)
        for at, slope in ((-58, -16), (-34, 12), (44, -10), (66, 16)):
            ink.line([(at, -56), (at + slope, -24), (at + slope * 1.1, -6)], FUR_DARK, 18)
            ink.ellipse(at + slope * 1.2 + 4, -3, 13, 8, DARK)
        body: list[Point] = [
            (-88, -70), (-72, -94), (-40, -98), (0, -94), (40, -100), (72, -98), (90, -76), (84, -52), (56,
                -42),
            (10, -46), (-36, -42), (-72, -44),
        ]  # fmt: skip
        ink.textured(
            body,
            ink.linear((0, FUR_LIGHT), (0.45, FUR), (1, FUR_DARK)),
            (FUR_LIGHT, FUR_DARK),
            count=70,
            length=34,
            width=4,
            angle=10,
            opacity=0.26,
        )
        if behind:
            with ink.group(94, -128, 0.92):
                for side in (-1, 1):
                    ink.path(
                        smooth([(side * 14, -34), (side * 44, -78), (side * 54, -20)], tension=0.7), FUR_DARK
                    )
                ink.textured(
                    circle(0, -6, 52, 12), FUR, (FUR_LIGHT, FUR_DARK), count=40, length=24, width=4, angle=80
                )
        else:
            ink.shape([(52, -86), (88, -92), (96, -60), (70, -48)], CREAM)
            _fox_head(ink, 96, -122, 0.86, 4, look=1)


def sleeping_fox(ink: Ink, x: float, y: float, scale: float, *, flip: bool = False) -> None:
    """Draw the fox cub as it sleeps, curled around itself."""
    with ink.group(x, y, scale, flip=flip):
        ink.ellipse(0, 4, 130, 16, "#1c1420", opacity=0.3, blur=7)
        body: list[Point] = [
            (-116, -20),
            (-104, -66),
            (-50, -96),
            (20, -98),
            (84, -74),
            (112, -28),
            (84, 2),
            (-84, 4),
        ]
        ink.textured(
            body,
            ink.linear((0, FUR_LIGHT), (1, FUR_DARK)),
            (FUR_LIGHT, FUR_DARK),
            count=80,
            length=40,
            width=5,
            angle=12,
            opacity=0.26,
        )
        _fox_head(ink, -52, -34, 0.82, -12, eyes="closed")
        _tail(ink, [(104, -36), (92, -4), (44, 2), (0, -6), (-26, -8)], 24)


def owl(ink: Ink, x: float, y: float, scale: float) -> None:
    """Draw an owl that sits on a branch at a point."""
    with ink.group(x, y, scale):
        body: list[Point] = [
            (0, -170),
            (56, -158),
            (78, -100),
            (72, -40),
            (40, 2),
            (0, 10),
            (-40, 2),
            (-72, -40),
            (-78, -100),
            (-56, -158),
        ]
        ink.textured(
            body,
            ink.linear((0, "#a98467"), (1, "#5d4337")),
            ("#cfae8c", "#44302a"),
            count=90,
            length=26,
            width=5,
            angle=80,
            opacity=0.3,
        )
        belly: list[Point] = [(0, -84), (44, -72), (46, -30), (0, 4), (-46, -30), (-44, -72)]
        ink.shape(belly, "#ead7b6")
        for row in range(4):
            for column in range(-2 + row // 2, 3 - row // 2):
                cx, cy = column * 17 + (row % 2) * 8 - 4, -66 + row * 18
                ink.line([(cx - 6, cy), (cx, cy + 7), (cx + 6, cy)], "#8a6648", 3.4)
        for side in (-1, 1):
            wing: list[Point] = [(side * 62, -120), (side * 86, -70), (side * 66, -6), (side * 46, -50)]
            ink.textured(
                wing,
                "#6b4d3e",
                ("#9c795c", "#3d2b25"),
                count=26,
                length=30,
                width=5,
                angle=80 * side,
                opacity=0.35,
            )
            ink.path(
                smooth([(side * 26, -152), (side * 62, -196), (side * 64, -140)], tension=0.5), "#5d4337"
            )
            ink.ellipse(side * 31, -118, 32, 32, "#f3e4c6")
            for turn in range(0, 360, 20):
                far = math.radians(turn)
                ink.line(
                    [
                        (side * 31 + 22 * math.cos(far), -118 + 22 * math.sin(far)),
                        (side * 31 + 31 * math.cos(far), -118 + 31 * math.sin(far)),
                    ],
                    "#c9a97c",
                    2.4,
                )
            ink.ellipse(side * 30, -118, 19, 19, "#f0a72f")
            ink.ellipse(side * 28, -117, 12, 13, "#20130d")
            ink.ellipse(side * 28 - 4, -122, 4.4, 4.8, "#ffffff")
        ink.path(smooth([(-9, -104), (9, -104), (0, -78)], tension=0.4), "#e89a3c")
        for side in (-1, 1):
            for toe in (-9, 0, 9):
                ink.line([(side * 24 + toe, 2), (side * 24 + toe, 15)], "#e89a3c", 7)


def whale(ink: Ink, x: float, y: float, scale: float) -> None:
    """Draw a whale that swims to the left."""
    with ink.group(x, y, scale):
        body: list[Point] = [
            (-300, 10), (-280, -80), (-180, -140), (-30, -140), (110, -90), (220, -30), (300, -50), (330,
                -120),
            (390, -150), (384, -90), (420, -40), (350, -10), (240, 46), (100, 96), (-80, 120), (-220, 96),
        ]  # fmt: skip
        fill = ink.linear((0, "#6f93b8"), (0.5, "#3f6592"), (1, "#27446f"))
        ink.textured(body, fill, ("#8fb4d4", "#1e3a63"), count=110, length=110, width=9, angle=8, opacity=0.1)
        with ink.group(clip=smooth(body)):
            belly: list[Point] = [
                (-320, 30),
                (-200, 44),
                (-60, 50),
                (60, 40),
                (60, 130),
                (-120, 160),
                (-320, 130),
            ]
            ink.shape(belly, "#dbe6ea", opacity=0.92)
            for row in range(6):
                ink.line([(-290, 44 + row * 13), (-150, 60 + row * 14), (40, 58 + row * 14)], "#9db4c6", 3)
            ink.glow(-120, -140, 240, "#cfe6ff", 0.5)
        fin: list[Point] = [(-110, 70), (-60, 66), (-20, 150), (-60, 190), (-110, 130)]
        ink.textured(fin, "#335784", ("#6f93b8",), count=30, length=60, width=6, angle=60, opacity=0.3)
        ink.ellipse(-218, -6, 13, 15, "#14233f")
        ink.ellipse(-222, -11, 4.6, 5, "#ffffff")
        ink.line([(-296, 22), (-250, 34), (-206, 26)], "#1b335a", 5)
        ink.ellipse(-196, 20, 22, 14, "#e58a86", opacity=0.35)


def frog(ink: Ink, x: float, y: float, scale: float) -> None:
    with ink.group(x, y, scale):
        ink.ellipse(0, 0, 42, 8, "#102018", opacity=0.3)
        for side in (-1, 1):
            ink.ellipse(side * 34, -10, 15, 20, "#4f8f3e", turn=side * 24)
        ink.textured(
            [(-34, -4), (-36, -36), (0, -54), (36, -36), (34, -4), (0, 2)],
            "#77b255",
            ("#a7d67c", "#3f7a33"),
            count=24,
            length=20,
            width=4,
            angle=60,
        )
        ink.ellipse(0, -14, 22, 14, "#dcefb2")
        for side in (-1, 1):
            ink.ellipse(side * 17, -52, 13, 13, "#77b255")
            ink.ellipse(side * 17, -53, 8, 8.6, "#fffbe8")
            ink.ellipse(side * 17, -52, 5, 5.6, "#1c1410")
        ink.line([(-18, -32), (0, -25), (18, -32)], "#2f5a26", 3)


def butterfly(ink: Ink, x: float, y: float, scale: float, colour: str, turn: float = 0) -> None:
    with ink.group(x, y, scale, turn):
        for side in (-1, 1):
            ink.shape([(0, 0), (side * 12, -24), (side * 34, -22), (side * 26, 2)], colour)
            ink.shape([(0, 2), (side * 22, 4), (side * 24, 22), (side * 8, 20)], mix(colour, "#ffffff", 0.3))
            ink.ellipse(side * 22, -13, 4, 4, "#ffffff", opacity=0.7)
        ink.line([(0, -12), (0, 16)], DARK, 4)
