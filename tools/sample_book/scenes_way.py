"""Pages 9 to 16 of the sample book: rain, market, river and sea."""

import math

from tools.sample_book import animals, nature, people, places
from tools.sample_book.ink import Ink, mix
from tools.sample_book.people import FacePlace

GRASS_DAY = ("#7fae4e", "#a6c964", "#5a8f45")


def rainy_lane(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#6f8396", "#8fa3ae", "#a9b7b8", "#8fa89a", strokes=160, opacity=0.1)
    for x, y, width in ((120, 90, 380), (480, 50, 460), (860, 110, 420)):
        nature.cloud(ink, x, y, width, "#a5b4c2", "#5f7286", 0.9)
    for x, y, size, wall, roof in (
        (70, 560, 150, "#b9a9a0", "#8a5a5a"),
        (930, 570, 170, "#a8a4a8", "#5f6486"),
        (240, 540, 100, "#b0a8a4", "#6a6a88"),
    ):
        places.house(ink, x, y, size, wall, roof)
    for x, size in ((820, 120), (350, 90), (690, 84)):
        nature.round_tree(ink, x, 560, size, "#5f8a70")
    nature.land(
        ink, nature.ridge(ink, 560, 10), "#86a07e", "#4f6f62", ("#a8bf98", "#476858"), count=120, angle=2
    )
    lane = [(330, 1030), (420, 700), (470, 560), (540, 560), (600, 700), (720, 1030)]
    ink.textured(
        lane,
        ink.linear((0, "#b5b8b8"), (1, "#75828c")),
        ("#dfe6e8", "#5c6a78"),
        count=70,
        length=90,
        width=7,
        angle=2,
        opacity=0.25,
    )
    nature.rain(ink, 160)
    ink.ellipse(500, 850, 190, 24, "#2c3a44", opacity=0.4, blur=8)
    places.umbrella(ink, 520, 60, 380, "#cf4a3c", (640, 640))
    place = people.child(
        ink, 490, 405, 1.75, tilt=4, stride=0, mood="happy", arms=(((-56, 106), (-78, 148), (-72, 190)),)
    )
    with ink.group(490, 405, 1.75):
        people.arm(ink, ((56, 106), (92, 160), (84, 130)), people.RAINCOAT)
    animals.fox(ink, 250, 800, 1.4, flip=True, look=-1, scarf="#5f8fa8")
    nature.bank(ink, 800, "#47636a", "#263a44", ("#5f8a72", "#3f6a60", "#7aa088"))
    for _ in range(16):
        x, y, far = ink.random.uniform(0, 1000), ink.random.uniform(840, 1000), ink.random.uniform(14, 46)
        ink.ellipse(x, y, far, far * 0.22, "none", stroke="#8fb0bd", stroke_width=2, opacity=0.35)
        ink.ellipse(x, y, far * 0.5, far * 0.11, "none", stroke="#8fb0bd", stroke_width=2, opacity=0.3)
    nature.calm(ink, "bottom", "#243840", depth=220, strength=0.6)
    return [place]


def rainbow(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#7fb4d8", "#a9d0e4", "#d4e8e4", "#f6edc8")
    nature.rainbow(ink, 500, 640, 500, 24, 0.7)
    for x, y, width in ((150, 190, 360), (840, 150, 380), (520, 90, 260)):
        nature.cloud(ink, x, y, width, "#ffffff", "#a9c0d8")
    nature.land(ink, nature.ridge(ink, 560, 34), "#9fc08a", "#7aa878", ("#c4dca0",), count=60)
    for x, size in ((90, 120), (910, 140), (780, 96), (220, 88)):
        nature.round_tree(ink, x, 640, size, "#6fa860", apples="#d8483c")
    nature.land(
        ink, nature.ridge(ink, 650, 14), "#94c462", "#4f8d4a", GRASS_DAY, count=180, angle=86, length=36
    )
    for x, y, far in ((500, 850, 300), (150, 930, 150), (890, 960, 170)):
        ink.ellipse(x, y, far + 8, far * 0.25 + 6, "#3f7a48", opacity=0.5)
        ink.ellipse(x, y, far, far * 0.25, ink.linear((0, "#dff0f2"), (0.6, "#9cc8dc"), (1, "#6fa4c4")))
    with ink.group(clip="M200 850a300 75 0 1 0 600 0a300 75 0 1 0 -600 0Z"):
        nature.rainbow(ink, 500, 690, 260, 14, 0.4)
        for _ in range(26):
            ink.stroke(ink.random.uniform(230, 770), ink.random.uniform(800, 915), 120, 3, 0, "#ffffff", 0.4)
    nature.meadow(ink, 700, 120, ("#6fa348", "#9cc862", "#4a8440"), size=30, bottom=820)
    with ink.group(500, 690, 1, -10):
        animals.walking_fox(ink, 0, 60, 1.7)
    for at in range(44):
        turn, far = ink.random.uniform(200, 340), ink.random.uniform(90, 250)
        x, y = 500 + far * 1.1 * math.cos(math.radians(turn)), 850 + far * 0.6 * math.sin(math.radians(turn))
        ink.ellipse(x, y, 4 + at % 4, 6 + at % 5, "#e6f6fb", opacity=0.85)
        ink.ellipse(x - 1, y - 2, 1.6, 2, "#ffffff")
    petals = ("#fff6e8", "#f6c445", "#e8735c", "#c49adf")
    for _ in range(30):
        x, y = ink.random.uniform(0, 1000), ink.random.uniform(880, 1010)
        if abs(x - 500) > 230 and not 780 < x < 990 and not 40 < x < 270:
            nature.flower(ink, x, y, 26, ink.random.choice(petals))
    for x, y, colour in ((250, 560, "#e8735c"), (860, 440, "#7a8fd8"), (330, 480, "#f2b84a")):
        animals.butterfly(ink, x, y, 0.9, colour, ink.random.uniform(-30, 30))
    return []


def market(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#8fc4dc", "#c2e0e0", "#f4ecd0", "#f7e2c0", strokes=100)
    for x, y, width in ((200, 130, 280), (760, 110, 320)):
        nature.cloud(ink, x, y, width, "#ffffff", "#c4d4dc", 0.9)
    for x, y, size, wall, roof in (
        (80, 600, 260, "#f0d9b4", "#c4614a"),
        (300, 580, 220, "#e6c4b4", "#7a6a9a"),
        (500, 590, 250, "#f4e6c8", "#4f8a8a"),
        (720, 580, 230, "#e8cfa8", "#b8564a"),
        (930, 600, 270, "#e2d4c4", "#6a7aa8"),
    ):
        places.house(ink, x, y, size, wall, roof, lit=False)
    ink.rect(-20, 590, 1040, 440, ink.linear((0, "#dcc4a0"), (1, "#a8845f")))
    for row in range(11):
        for column in range(26):
            wide = 24 + row * 3
            x, y = column * wide * 1.9 - 40 + (row % 2) * wide, 606 + row * (18 + row * 2.4)
            if x < 1030:
                ink.ellipse(
                    x,
                    y,
                    wide * 0.86,
                    8 + row,
                    mix("#d6b890", "#8a6a4c", ink.random.uniform(0, 0.6)),
                    opacity=0.55,
                )
    for points in (
        [(-20, 250), (160, 320), (340, 330), (520, 260)],
        [(520, 260), (700, 330), (860, 320), (1020, 240)],
    ):
        places.bunting(ink, points, ("#e4574c", "#f2c14a", "#5a9a9a", "#7a8fd0", "#f4efe0"))
    fruit = (
        ("#d8483c", "#f2a33c", "#8fb84f"),
        ("#f2c14a", "#c86a8a", "#e8735c"),
        ("#8a5a9a", "#7aa84f", "#f0a04a"),
    )
    awnings = (("#e4574c", "#fff3dc"), ("#4f8f8f", "#fff3dc"), ("#e8b03c", "#fff3dc"))
    for at, (x, y, width) in enumerate(((180, 720, 330), (830, 725, 340), (510, 680, 230))):
        places.stall(ink, x, y, width, awnings[at], fruit[at])
    for x, y, size, colour in (
        (420, 330, 34, "#e4574c"),
        (470, 300, 38, "#f2c14a"),
        (376, 300, 32, "#5a9a9a"),
        (440, 262, 34, "#c86a8a"),
    ):
        places.balloon(ink, x, y, size, colour, (430, 560))
    nature.calm(ink, "bottom", "#fbe9cc", depth=250, strength=0.97)
    ink.ellipse(470, 786, 90, 12, "#4a3424", opacity=0.35, blur=5)
    people.far_child(ink, 470, 780, 0.62)
    animals.walking_fox(ink, 330, 792, 0.68, behind=True)
    for x, y in ((640, 764), (690, 776), (664, 740)):
        ink.ellipse(x, y, 26, 20, "#e8a03c")
        ink.line([(x, y - 20), (x + 3, y - 28)], "#5a7a3a", 5)
    return []


def balloons(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#a8d4e2", "#d6e9e0", "#f8ecd0", "#f2d8b4", strokes=100)
    for x, y, size, wall, roof in (
        (60, 560, 300, "#efd8b6", "#c4614a"),
        (900, 570, 320, "#e6cdb8", "#6a7aa8"),
        (330, 520, 200, "#f3e5c8", "#4f8a8a"),
    ):
        places.house(ink, x, y, size, wall, roof, lit=False)
    places.bunting(
        ink,
        [(-20, 80), (250, 160), (520, 150), (760, 170), (1020, 70)],
        ("#e4574c", "#f2c14a", "#5a9a9a", "#7a8fd0"),
    )
    ink.rect(-20, 600, 1040, 440, ink.linear((0, "#dcc4a0"), (1, "#a8845f")))
    places.stall(ink, 830, 720, 420, ("#e4574c", "#fff3dc"), ("#d8483c", "#f2a33c", "#8fb84f"))
    ink.glow(430, 300, 520, "#fff3c8", 0.5)
    for x, y, size, colour in (
        (790, 170, 66, "#5a9a9a"),
        (700, 250, 62, "#f2c14a"),
        (870, 290, 58, "#c86a8a"),
        (760, 350, 56, "#e4574c"),
        (640, 150, 52, "#8a7ac4"),
    ):
        places.balloon(ink, x, y, size, colour, (662, 500))
    place = people.child(
        ink, 450, 345, 2.1, tilt=5, look=0.4, mood="happy", arms=(((-56, 106), (-78, 150), (-66, 194)),)
    )
    with ink.group(450, 345, 2.1):
        people.arm(ink, ((56, 106), (104, 128), (101, 92)), people.RAINCOAT)
    animals.star(ink, 360, 585, 30, turn=-10, glow=3.4)
    with ink.group(450, 345, 2.1):
        ink.path(
            "M-62 118Q-40 124 -18 118L-22 152Q-40 160 -58 152Z", "#dca02c", stroke="#b97a1c", stroke_width=2
        )
    animals.fox(ink, 165, 830, 1.5, flip=True, look=-1, scarf="#5f8fa8")
    ink.rect(-20, 770, 1040, 260, ink.linear((0, "#fff6e2"), (1, "#f0dcb8")))
    for _ in range(50):
        ink.stroke(
            ink.random.uniform(0, 1000),
            ink.random.uniform(790, 1000),
            150,
            9,
            1,
            ink.random.choice(("#ffffff", "#ead2a8")),
            0.25,
        )
    for at in range(21):
        ink.ellipse(at * 50, 772, 27, 20, "#fff6e2")
        ink.ellipse(at * 50, 776, 7, 7, "#e4574c", opacity=0.75)
    for x, size, colour in (
        (840, 40, "#d8483c"),
        (905, 42, "#e8a03c"),
        (872, 38, "#8fb84f"),
        (948, 36, "#d8483c"),
    ):
        y = 752 if x != 872 else 706
        ink.ellipse(
            x,
            y,
            size,
            size * 0.94,
            ink.radial(
                (0, mix(colour, "#ffffff", 0.45)),
                (0.6, colour),
                (1, mix(colour, "#3a1010", 0.35)),
                cx=0.36,
                cy=0.3,
                r=0.8,
            ),
        )
        ink.line([(x, y - size * 0.8), (x + 4, y - size * 1.15)], "#5a4030", 5)
    return [place]


def river(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#bfe0ea", "#e3f0e0", "#f6f0cc", strokes=80)
    for x, y, width in ((820, 330, 300), (180, 360, 260)):
        nature.cloud(ink, x, y, width, "#ffffff", "#c4d8e0", 0.8)
    nature.land(ink, nature.ridge(ink, 450, 26), "#a8c890", "#86b07a", ("#c8e0a8",), count=50)
    for x, size in ((70, 150), (200, 100), (930, 160), (800, 110)):
        nature.round_tree(ink, x, 540, size, "#74ac5f")
    nature.land(
        ink,
        nature.ridge(ink, 530, 8),
        "#92c468",
        "#5a964e",
        ("#b8dc80", "#4a8444"),
        count=90,
        angle=86,
        length=30,
    )
    nature.water(ink, 580, "#9fd0dc", "#3f86a6", count=190)
    for x, y, far in ((90, 960, 80), (930, 640, 70), (240, 650, 60), (830, 950, 90), (60, 760, 60)):
        round_ = f"{far} {far * 0.32:.0f}"
        notch = f"{-far * 0.7:.0f} {-far * 0.28:.0f}"
        ink.path(f"M{x - far} {y}a{round_} 0 1 0 {2 * far} 0a{round_} 0 0 0 {notch}L{x} {y}Z", "#6fae5a")
        for dx, dy in ((-far * 0.8, 4), (far * 0.7, 8), (-8, far * 0.24)):
            ink.line([(x, y), (x + dx / 2, y + dy / 2), (x + dx, y + dy)], "#4f8a48", 3, opacity=0.6)
    for x, y in ((120, 944), (800, 934)):
        for turn in range(-60, 61, 30):
            ink.ellipse(
                x + turn * 0.3, y - 14, 9, 26, mix("#f4a0b8", "#ffffff", abs(turn) / 90), turn=turn * 0.8
            )
    places.stones(
        ink, ((300, 900, 88), (430, 800, 78), (570, 740, 66), (690, 690, 56), (780, 645, 44)), "#9aa0a8"
    )
    for x, y, far in ((300, 940, 120), (430, 835, 106), (570, 770, 92)):
        ink.ellipse(x, y, far, far * 0.2, "none", stroke="#ffffff", stroke_width=3, opacity=0.5)
    people.far_child(ink, 570, 730, 0.62, stride=10)
    animals.fox(ink, 432, 782, 0.95, look=1)
    animals.frog(ink, 296, 876, 0.95)
    animals.frog(ink, 862, 944, 0.8)
    for x, top in ((20, 700), (50, 660), (965, 690), (990, 730), (940, 720)):
        ink.line([(x, 1010), (x + 6, top + 100), (x + 2, top)], "#5f8a48", 8)
        ink.line([(x + 2, top - 10), (x + 2, top + 60)], "#7a4f34", 20)
    for x, y in ((690, 560), (250, 590)):
        ink.line([(x - 26, y + 10), (x + 26, y - 8)], "#2f6f8a", 6)
        for side in (-1, 1):
            ink.ellipse(x + 6, y + side * 16, 8, 22, "#dff2fa", turn=side * 24, opacity=0.8)
    nature.calm(ink, "top", "#eaf4ea", depth=310, strength=0.8)
    return []


def sunflowers(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#8cc4e4", "#bfe0ea", "#f0eed0", strokes=110)
    for x, y, width in ((160, 150, 330), (860, 200, 320)):
        nature.cloud(ink, x, y, width, "#ffffff", "#b8d0e0")
    ink.glow(830, 90, 460, "#fff4c0", 0.85)
    nature.land(ink, nature.ridge(ink, 560, 20), "#a8c468", "#7aa050", ("#c8dc80",), count=70)
    for at in range(22):
        nature.sunflower(ink, 24 + at * 46, 690, 24, ink.random.uniform(90, 160))
    for x, size, height in ((70, 62, 470), (930, 66, 500), (200, 50, 330), (815, 52, 350)):
        nature.sunflower(ink, x, 980, size, height)
    nature.meadow(ink, 700, 70, ("#6fa348", "#9cc862", "#4a8440"), size=40)
    place = people.child(ink, 500, 440, 2.75, tilt=-6, mood="laugh", look=0.1)
    for x, size, height in (
        (30, 84, 240),
        (330, 66, 130),
        (690, 72, 150),
        (960, 90, 260),
        (160, 74, 130),
        (840, 70, 100),
        (520, 60, 60),
    ):
        nature.sunflower(ink, x, 1040, size, height)
    for x, y, size, colour, turn in (
        (300, 250, 1.5, "#e8735c", -20),
        (740, 300, 1.3, "#7a8fd8", 24),
        (690, 130, 1.1, "#c86a9a", 10),
        (190, 420, 1.1, "#f6efe0", -30),
    ):
        animals.butterfly(ink, x, y, size, colour, turn)
    return [place]


def open_sea(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#fbe6c0", "#f9cfa0", "#f2a888", "#d98a8f", strokes=120)
    ink.glow(500, 560, 560, "#fff0b0", 0.9)
    ink.ellipse(500, 556, 110, 110, ink.radial((0, "#fffdf0"), (1, "#ffd98a")))
    for x, y, width in ((150, 440, 340), (850, 470, 380), (620, 380, 220)):
        nature.cloud(ink, x, y, width, "#fbe0cf", "#d9909a", 0.85)
    nature.water(ink, 560, "#f0b48f", "#3d5f92", count=240, shine="#fff3d0")
    with ink.group(blend="screen"):
        for _ in range(110):
            share = ink.random.random()
            ink.stroke(
                500 + ink.random.gauss(0, 40 + 90 * share),
                566 + 380 * share,
                40 + 60 * share,
                3 + 4 * share,
                0,
                "#ffe9b0",
                0.65,
            )
    places.boat(ink, 600, 720, 0.95, empty=False)
    with ink.group(600, 720, 0.95):
        people.far_child(ink, -52, 60, 0.42, stride=None)
        animals.fox(ink, 66, -6, 0.44)
        places.hull(ink)
    ink.ellipse(600, 762, 190, 14, "#24365f", opacity=0.4, blur=6)
    nature.wave(ink, 800, 8, "#6f7fa8", "#3a568c", shift=20, length=170)
    nature.wave(ink, 880, 12, "#52709f", "#284478", shift=-40, length=230)
    nature.wave(ink, 950, 14, "#3f5f94", "#1d3666", shift=60, length=260)
    for x, y, size in ((240, 330, 1.0), (310, 300, 0.7), (780, 310, 0.9), (180, 380, 0.6)):
        with ink.group(x, y, size):
            ink.line([(-40, -14), (-18, -22), (0, 0), (18, -22), (40, -14)], "#5a4a66", 6)
    nature.calm(ink, "top", "#fbe3bf", depth=290, strength=0.7)
    return []


def at_the_helm(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#7cb8dc", "#b4dcea", "#e6f2e8", strokes=120)
    for x, y, width in ((140, 240, 360), (900, 180, 320), (560, 460, 260)):
        nature.cloud(ink, x, y, width, "#ffffff", "#b4cce0")
    nature.water(ink, 560, "#7cc0d4", "#2f6f9f", count=140)
    nature.wave(ink, 640, 10, "#6fb4cf", "#3a7fae", shift=20, length=200)
    with ink.group(600, 790, 2.5):
        places.sails(ink)
    animals.fox(ink, 790, 730, 1.3, look=-1, scarf="#5f8fa8")
    place = people.child(
        ink,
        390,
        330,
        1.95,
        tilt=-4,
        look=0.5,
        mood="happy",
        wind=24,
        arms=(((-56, 106), (-80, 148), (-58, 190)),),
    )
    with ink.group(390, 330, 1.95):
        people.arm(ink, ((56, 106), (92, 110), (112, 84)), people.RAINCOAT)
    animals.star(ink, 640, 475, 34, turn=8, glow=3.6)
    with ink.group(500, 772, 3.4):
        places.hull(ink)
    for x, y, size in ((180, 440, 0.8), (860, 420, 0.7)):
        with ink.group(x, y, size):
            ink.line([(-40, -14), (-18, -22), (0, 0), (18, -22), (40, -14)], "#5a6a86", 6)
    nature.wave(ink, 800, 12, "#4f9fc0", "#235a8a", shift=-60, length=240)
    nature.wave(ink, 860, 8, "#2f6f9f", "#184a78", shift=30, length=280)
    nature.calm(ink, "bottom", "#184a78", depth=230, strength=0.9)
    return [place]
