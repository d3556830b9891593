"""The child of the sample book: head, hair, face and coat, in several poses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tools.sample_book.ink import Ink, Point, mix, smooth

HAIR, HAIR_DARK, HAIR_LIGHT = "#5a3522", "#3d2116", "#8a5733"
SKIN, SKIN_DARK, SKIN_LIGHT = "#f1c7a2", "#d99f78", "#fbe0c4"
BOOT = "#b8452f"
FACE_WIDTH, FACE_TOP, FACE_BOTTOM = 106.0, -52.0, 65.0
"""The face from ear to ear, and from hair line to chin, around the point (0, 0) of a head."""


@dataclass(frozen=True)
class Outfit:
    coat: str = "#eeb137"
    coat_dark: str = "#b97a1c"
    coat_light: str = "#f9d373"
    scarf: str = "#c8503c"
    buttons: str = "#fbeecb"
    pattern: str = ""
    """``stars`` for pyjamas."""
    hat: str = ""
    hood: bool = True


RAINCOAT = Outfit()
PYJAMAS = Outfit("#7fa6c9", "#557ea6", "#abc8e0", "", "#f6f0dd", "stars", hood=False)
SNOW = Outfit("#c8503c", "#8f3227", "#e07a62", "#f2e3bf", "#fbeecb", hat="#f2e3bf", hood=False)


@dataclass(frozen=True)
class FacePlace:
    """The face on the page, in fractions of it; the box is the upright head's, around the same centre."""

    x: float
    y: float
    width: float
    height: float
    tilt: float


def face_place(x: float, y: float, scale: float, tilt: float) -> FacePlace:
    middle = (FACE_TOP + FACE_BOTTOM) / 2 * scale
    turn = math.radians(tilt)
    centre = (x - middle * math.sin(turn), y + middle * math.cos(turn))
    width, height = FACE_WIDTH * scale, (FACE_BOTTOM - FACE_TOP) * scale
    return FacePlace(
        round((centre[0] - width / 2) / 1000, 4),
        round((centre[1] - height / 2) / 1000, 4),
        round(width / 1000, 4),
        round(height / 1000, 4),
        tilt,
    )


def head(
    ink: Ink, x: float, y: float, scale: float, tilt: float = 0, *, look: float = 0, **how: object
) -> FacePlace:
    """Draw a head with the middle of the face at a point; ``look`` shifts the features, from -1 to 1."""
    with ink.group(x, y, scale, tilt):
        _back_hair(ink)
        _neck(ink)
        for side in (-1, 1):
            ink.ellipse(side * 53, 8, 10, 15, mix(SKIN, SKIN_DARK, 0.25), turn=-8 * side)
            ink.ellipse(side * 54, 9, 5, 9, SKIN_DARK, turn=-8 * side, opacity=0.5)
        _face(ink, look, str(how.get("mood", "smile")))
        _front_hair(ink)
        if hat := how.get("hat"):
            _hat(ink, str(hat))
    return face_place(x, y, scale, tilt)


def _back_hair(ink: Ink) -> None:
    outline: list[Point] = [
        (-66, 0), (-62, -44), (-40, -78), (-2, -91), (38, -80), (62, -46), (67, 0), (69, 30), (58, 54), (44,
            44),
        (30, 52), (0, 44), (-28, 52), (-44, 44), (-60, 56), (-70, 32),
    ]  # fmt: skip
    fill = ink.linear((0, HAIR), (1, HAIR_DARK))
    ink.textured(outline, fill, (HAIR_DARK, HAIR_LIGHT), count=50, length=70, width=3, angle=88, opacity=0.3)


def _neck(ink: Ink) -> None:
    ink.shape([(-19, 46), (19, 46), (24, 92), (-24, 92)], mix(SKIN, SKIN_DARK, 0.55))


def _face(ink: Ink, look: float, mood: str) -> None:
    outline: list[Point] = [
        (0, -66), (33, -58), (51, -28), (53, 6), (45, 38), (24, 59), (0, 65.5), (-24, 59), (-45, 38),
        (-53, 6), (-51, -28), (-33, -58),
    ]  # fmt: skip
    fill = ink.radial((0, SKIN_LIGHT), (0.62, SKIN), (1, mix(SKIN, SKIN_DARK, 0.6)), cx=0.44, cy=0.42, r=0.66)
    ink.textured(outline, fill, (SKIN_LIGHT, SKIN_DARK), count=26, length=34, width=6, angle=40, opacity=0.07)
    with ink.group(clip=smooth(outline)):
        ink.ellipse(0, -60, 62, 30, HAIR_DARK, opacity=0.28, blur=7)
        ink.ellipse(0, 76, 48, 18, SKIN_DARK, opacity=0.4, blur=7)
        for side in (-1, 1):
            blush = ink.radial((0, "#e8735c", 0.55), (1, "#e8735c", 0))
            ink.ellipse(side * 31 + look * 5, 25, 19, 15, blush)
    shift = look * 8
    for side in (-1, 1):
        _eye(ink, side * 20.5 + shift, 3, side, mood, look)
    ink.line([(shift - 3, 17), (shift + 2, 21.5), (shift + 5.5, 18)], mix(SKIN_DARK, "#8a4a32", 0.5), 2.6)
    _mouth(ink, shift, mood)
    for side, spread in ((-1, 0), (1, 1), (-1, 2), (1, 3)):
        ink.ellipse(shift + side * (25 + spread * 3), 15 + spread * 2, 1.2, 1.2, "#b8734f", opacity=0.55)


def _eye(ink: Ink, x: float, y: float, side: int, mood: str, look: float) -> None:
    ink.line([(x - 8, y - 17), (x, y - 21), (x + 8, y - 18)], HAIR_DARK, 3.2, opacity=0.85)
    if mood == "happy":
        ink.line([(x - 8, y + 3), (x, y - 5), (x + 8, y + 3)], "#2b1a14", 3.4)
        return
    ink.ellipse(x, y, 8.4, 9.6, "#fffaf2")
    ink.ellipse(x + look * 2.2, y + 0.6, 6.3, 8, "#4a2c1c")
    ink.ellipse(x + look * 2.2, y + 1, 3.4, 4.6, "#170d09")
    ink.ellipse(x + look * 2.2 - 2, y - 2.6, 2.3, 2.6, "#ffffff")
    ink.ellipse(x + look * 2.2 + 2.4, y + 3.6, 1.1, 1.3, "#ffffff", opacity=0.8)
    ink.line([(x - 9, y - 3), (x - 2, y - 9.6), (x + 8.6, y - 4)], "#2b1a14", 2.8)


def _mouth(ink: Ink, shift: float, mood: str) -> None:
    if mood == "wonder":
        ink.ellipse(shift, 38, 6.5, 8, "#8a2f2a")
        ink.ellipse(shift, 42, 4.6, 3.6, "#d9776a")
        return
    wide = 17 if mood == "happy" else 13
    if mood in {"happy", "laugh"}:
        lips = f"M{shift - wide} 32 Q{shift} 37 {shift + wide} 32 Q{shift + wide - 3} 50 {shift} 50.5 "
        lips += f"Q{shift - wide + 3} 50 {shift - wide} 32 Z"
        ink.path(lips, "#8a2f2a")
        ink.path(
            f"M{shift - wide + 3} 33.6 Q{shift} 38 {shift + wide - 3} 33.6 L{shift + wide - 5} 37 "
            f"Q{shift} 41 {shift - wide + 5} 37 Z",
            "#fffaf0",
        )
        ink.ellipse(shift, 47, 7, 3.6, "#d9776a")
        return
    ink.line([(shift - wide, 34), (shift - 5, 40), (shift + 5, 40), (shift + wide, 34)], "#9c3f33", 3.2)
    ink.line([(shift - 5, 46), (shift + 5, 46)], SKIN_DARK, 2, opacity=0.6)


def _front_hair(ink: Ink) -> None:
    fringe: list[Point] = [
        (-60, 20), (-67, -18), (-59, -56), (-36, -82), (0, -92), (36, -83), (59, -56), (67, -16), (60, 22),
            (55, 2),
        (50, -26), (40, -44), (24, -38), (12, -50), (-4, -36), (-18, -46), (-34, -32), (-48, -28), (-54, 0),
    ]  # fmt: skip
    fill = ink.linear((0, HAIR_LIGHT), (0.35, HAIR), (1, HAIR_DARK))
    ink.textured(fringe, fill, (HAIR_DARK, HAIR_LIGHT), count=46, length=44, width=3, angle=70, opacity=0.32)
    ink.line([(-44, -62), (-18, -80), (14, -82), (34, -72)], "#c08a58", 5, opacity=0.4, blur=2)


def _hat(ink: Ink, colour: str) -> None:
    dark = mix(colour, "#7a5a3a", 0.35)
    crown: list[Point] = [
        (-66, -40),
        (-60, -78),
        (-32, -108),
        (0, -116),
        (32, -108),
        (60, -78),
        (66, -40),
        (0, -52),
    ]
    ink.textured(
        crown,
        ink.linear((0, colour), (1, dark)),
        (dark, "#ffffff"),
        count=60,
        length=26,
        width=4,
        angle=90,
        opacity=0.35,
    )
    band: list[Point] = [(-70, -34), (-68, -58), (0, -66), (68, -58), (70, -34), (0, -44)]
    ink.textured(band, "#c8503c", ("#8f3227", "#e88a70"), count=50, length=16, width=4, angle=90, opacity=0.4)
    ink.ellipse(0, -122, 19, 18, colour)
    for turn in range(0, 360, 24):
        ink.stroke(math.cos(turn) * 9, -122 + math.sin(turn) * 9, 14, 4, turn, dark, 0.5)


def arm(ink: Ink, points: Sequence[Point], outfit: Outfit, *, hand: bool = True) -> None:
    """Draw an arm from the shoulder over the elbow to the hand."""
    if hand:
        _hand(ink, points)
    ink.line(points, outfit.coat_dark, 37)
    ink.line([(x - 1.5, y - 2) for x, y in points], outfit.coat, 32)
    ink.line([(x - 6, y - 7) for x, y in points[:-1]], outfit.coat_light, 7, opacity=0.6)
    x, y = points[-1]
    before = points[-2]
    turn = math.degrees(math.atan2(y - before[1], x - before[0]))
    with ink.group(x, y, 1, turn):
        ink.rect(6, -19, 12, 38, outfit.coat_dark, 6)


def _hand(ink: Ink, points: Sequence[Point]) -> None:
    (x0, y0), (x, y) = points[-2], points[-1]
    far = math.hypot(x - x0, y - y0) or 1
    dx, dy = (x - x0) / far, (y - y0) / far
    ink.ellipse(x + dx * 26, y + dy * 26, 15, 14, mix(SKIN, SKIN_DARK, 0.18))
    ink.line(
        [(x + dx * 24 - dy * 8, y + dy * 24 + dx * 8), (x + dx * 34 - dy * 11, y + dy * 34 + dx * 11)],
        SKIN,
        9,
    )


_COAT: list[Point] = [
    (-20, 74), (-46, 84), (-60, 118), (-70, 178), (-86, 240), (-44, 252), (0, 255), (44, 252), (86, 240),
    (70, 178), (60, 118), (46, 84), (20, 74), (0, 82),
]  # fmt: skip


def coat(ink: Ink, outfit: Outfit, *, back: bool = False) -> None:
    """Draw the coat below a head at (0, 0)."""
    if outfit.hood:
        hood: list[Point] = [(-58, 96), (-62, 66), (-30, 52), (30, 52), (62, 66), (58, 96), (0, 112)]
        ink.textured(hood, outfit.coat_dark, (outfit.coat,), count=20, length=40, width=5, opacity=0.3)
    fill = ink.linear((0, outfit.coat_light), (0.3, outfit.coat), (1, outfit.coat_dark), angle=62)
    ink.textured(_COAT, fill, (outfit.coat_light, outfit.coat_dark), count=90, length=70, width=6, angle=84)
    if outfit.pattern == "stars":
        with ink.group(clip=smooth(_COAT)):
            for _ in range(34):
                place = ink.random.uniform(-80, 80), ink.random.uniform(86, 250)
                ink.shape(_star_points(*place, 7), "#fff3c4", opacity=0.85)
    if back:
        return
    ink.line([(0, 90), (1, 170), (0, 254)], outfit.coat_dark, 2.6, opacity=0.8)
    for y in (122, 158, 194):
        ink.ellipse(9, y, 5.5, 5.5, outfit.buttons)
        ink.ellipse(9, y + 1, 2, 2, outfit.coat_dark)
    if not outfit.pattern:
        for side in (-1, 1):
            ink.line([(side * 30, 190), (side * 42, 192), (side * 54, 190)], outfit.coat_dark, 3.5)
    if outfit.pattern:
        ink.polygon(
            [(-24, 74), (0, 100), (24, 74), (34, 88), (8, 116), (-8, 116), (-34, 88)], outfit.coat_light
        )


def scarf(ink: Ink, colour: str, *, wind: float = 0) -> None:
    """Draw a scarf around the neck; wind lifts its end."""
    if not colour:
        return
    dark, light = mix(colour, "#3a0f10", 0.35), mix(colour, "#fff3dd", 0.35)
    end: list[Point] = [
        (26, 84),
        (52, 88 - wind * 0.2),
        (64 + wind * 0.5, 150 - wind),
        (38 + wind * 0.4, 158 - wind),
    ]
    ink.textured(
        end, colour, (dark, light), count=26, length=30, width=5, angle=80 - wind * 0.4, opacity=0.35
    )
    loop: list[Point] = [(-44, 74), (-38, 60), (0, 70), (38, 60), (46, 74), (40, 92), (0, 100), (-40, 92)]
    ink.textured(
        loop, ink.linear((0, colour), (1, dark)), (dark, light), count=34, length=34, width=5, opacity=0.35
    )


def _star_points(x: float, y: float, radius: float) -> list[Point]:
    return [
        (
            x + radius * (1 if at % 2 == 0 else 0.5) * math.sin(math.tau * at / 10),
            y - radius * (1 if at % 2 == 0 else 0.5) * math.cos(math.tau * at / 10),
        )
        for at in range(10)
    ]


def legs(ink: Ink, outfit: Outfit, *, stride: float = 0) -> None:
    """Draw legs and boots below a coat; a stride moves one foot forward."""
    trousers = "#47587d" if not outfit.pattern else outfit.coat
    for side, lift in ((-1, stride), (1, -stride)):
        x = side * 26 + lift
        ink.line([(side * 26, 240), (x, 304)], mix(trousers, "#1d2440", 0.35), 34)
        ink.line([(side * 26 - 3, 240), (x - 3, 302)], trousers, 26)
        steps = ((-18, 284), (18, 284), (20, 312), (28, 328), (2, 336), (-20, 330))
        boot: list[Point] = [(x + side * far, y) for far, y in steps]
        ink.textured(boot, ink.linear((0, BOOT), (1, "#7c2a1e")), ("#e07a5a",), count=14, length=26, width=4)
        ink.line([(x - 19, 288), (x + 19, 288)], "#e8896c", 6)


def child(
    ink: Ink,
    x: float,
    y: float,
    scale: float,
    *,
    outfit: Outfit = RAINCOAT,
    arms: Sequence[Sequence[Point]] = (),
    tilt: float = 0,
    wind: float = 0,
    stride: float | None = None,
    look: float = 0,
    mood: str = "smile",
) -> FacePlace:
    """Draw the child with the middle of the face at a point; without a stride the legs are not seen."""
    with ink.group(x, y, scale):
        if stride is not None:
            legs(ink, outfit, stride=stride)
        coat(ink, outfit)
    place = head(ink, x, y, scale, tilt, look=look, mood=mood, hat=outfit.hat)
    with ink.group(x, y, scale):
        scarf(ink, outfit.scarf, wind=wind)
        for points in arms:
            arm(ink, points, outfit)
    return place


DOWN = ([(-56, 104), (-76, 150), (-70, 196)], [(56, 104), (76, 150), (70, 196)])
HOLDING = ([(-56, 106), (-66, 160), (-28, 182)], [(56, 106), (66, 160), (28, 182)])
WAVING = ([(-56, 104), (-76, 150), (-70, 196)], [(56, 104), (100, 80), (112, 22)])
LIFTING = ([(-54, 100), (-88, 40), (-62, -66)], [(54, 100), (88, 40), (62, -66)])


def far_child(
    ink: Ink, x: float, y: float, scale: float, *, outfit: Outfit = RAINCOAT, stride: float | None = 6
) -> None:
    """Draw the child from behind, with the feet at a point; without a stride the legs are not seen."""
    with ink.group(x, y - 334 * scale, scale):
        if stride is not None:
            legs(ink, outfit, stride=stride)
        coat(ink, outfit, back=True)
        for points in DOWN:
            arm(ink, points, outfit)
        _back_hair(ink)
        _front_hair(ink)
        ink.textured(
            [(-60, -40), (0, -70), (60, -40), (66, 30), (40, 62), (-40, 62), (-66, 30)],
            HAIR,
            (HAIR_DARK, HAIR_LIGHT),
            count=60,
            length=60,
            width=4,
            angle=88,
            opacity=0.3,
        )
        scarf(ink, outfit.scarf, wind=30)
        if outfit.hat:
            _hat(ink, outfit.hat)
