"""Pages 17 to 24 of the sample book: sea, mountain, clouds, and home again."""

import math

from tools.sample_book import animals, nature, people, places
from tools.sample_book.ink import Ink, mix
from tools.sample_book.people import FacePlace


def whale(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#8fd4d4", "#3f9ab4", "#1f5f94", "#14386c", "#0e2450", strokes=200)
    nature.beams(ink, 420, -160, "#d8fff4", (62, 76, 90, 102, 116), strength=0.16)
    ink.textured(
        [(330, -30), (350, 40), (470, 74), (610, 76), (720, 36), (740, -30)],
        "#6b3524",
        ("#b5683f", "#4f2519"),
        count=50,
        length=90,
        width=6,
        angle=3,
        opacity=0.3,
    )
    for _ in range(60):
        ink.stroke(ink.random.uniform(0, 1000), ink.random.uniform(0, 90), 110, 5, 0, "#f0fffa", 0.3)
    animals.whale(ink, 470, 480, 1.04)
    for _ in range(44):
        x, y = ink.random.uniform(20, 980), ink.random.uniform(100, 940)
        if 140 < x < 820 and 320 < y < 620:
            continue
        far = ink.random.choice((3, 4, 6, 9, 13))
        ink.ellipse(x, y, far, far, "#dffaff", opacity=0.16)
        ink.ellipse(x, y, far, far, "none", stroke="#e8fcff", stroke_width=1.6, opacity=0.7)
        ink.ellipse(x - far * 0.3, y - far * 0.3, far * 0.2, far * 0.2, "#ffffff", opacity=0.9)
    for school, (cx, cy, colour) in enumerate(
        ((180, 800, "#f4a24a"), (800, 250, "#f2d05a"), (850, 830, "#e8735c"))
    ):
        for _ in range(9):
            x, y = cx + ink.random.gauss(0, 70), cy + ink.random.gauss(0, 40)
            with ink.group(x, y, ink.random.uniform(0.6, 1.1), flip=school != 1):
                ink.path("M-24 0Q0 -20 24 0Q0 20 -24 0ZM20 0L40 -14L36 0L40 14Z", colour)
                ink.path("M-6 -10Q0 0 -6 10", stroke="#ffffff", stroke_width=4, opacity=0.7)
                ink.ellipse(-15, -3, 2.6, 2.6, "#1a2030")
    for x in (40, 110, 180, 760, 850, 930, 990):
        tall = ink.random.uniform(140, 300)
        points = [(x + 16 * math.sin(step * 1.3 + x), 1020 - tall * step / 6) for step in range(7)]
        ink.line(points, ink.random.choice(("#2f8a7a", "#1f6a6a", "#4fa07a")), 15, opacity=0.9)
        for px, py in points[1:]:
            ink.ellipse(px + 12, py, 17, 7, "#3f9a80", turn=-30, opacity=0.85)
            ink.ellipse(px - 12, py + 12, 17, 7, "#2f7f74", turn=30, opacity=0.85)
    nature.land(ink, nature.ridge(ink, 950, 14), "#3f6a86", "#24486e", ("#7fa8b4", "#1d3a60"), count=60)
    for x, y, colour in ((300, 960, "#e8735c"), (560, 975, "#f2b25a"), (680, 955, "#c86a9a")):
        for turn in range(-60, 61, 20):
            far = math.radians(turn)
            ink.line([(x, y), (x + 40 * math.sin(far), y - 50 * math.cos(far))], colour, 11)
    return []


def lighthouse(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#1d2458", "#46447f", "#9a6a94", "#ea9c86", strokes=140)
    nature.stars(ink, 80, 360)
    for x, y, width in ((160, 470, 360), (860, 500, 340)):
        nature.cloud(ink, x, y, width, "#b07a9a", "#5a4a80", 0.7)
    with ink.group(blend="screen"):
        ink.polygon(
            [(660, 300), (-60, 130), (-60, 350)],
            ink.linear((0, "#ffe9a0", 0), (1, "#fff2c0", 0.75), angle=0),
            blur=10,
        )
        ink.polygon(
            [(660, 300), (1060, 210), (1060, 330)],
            ink.linear((0, "#fff2c0", 0.75), (1, "#ffe9a0", 0), angle=0),
            blur=10,
        )
    nature.water(ink, 640, "#b8788f", "#2a3468", count=190, shine="#ffd9b0")
    for points, light in (
        (
            [
                (430, 740),
                (470, 680),
                (540, 640),
                (620, 610),
                (720, 612),
                (800, 650),
                (870, 700),
                (910, 745),
                (680, 770),
            ],
            "#7a6a7a",
        ),
        ([(500, 752), (560, 700), (640, 680), (760, 690), (840, 752), (680, 772)], "#5f5468"),
    ):
        ink.textured(
            points,
            ink.linear((0, light), (1, mix(light, "#1a1a3a", 0.6))),
            (mix(light, "#ffffff", 0.35), "#2a2440"),
            count=70,
            length=60,
            width=7,
            angle=30,
            opacity=0.3,
        )
    places.lighthouse(ink, 665, 626, 350)
    ink.glow(665, 310, 260, "#fff0b8", 0.9)
    places.house(ink, 780, 668, 90, "#e8d4c4", "#a8504a")
    with ink.group(300, 780, 0.62):
        places.sails(ink)
        people.far_child(ink, -52, 60, 0.42, stride=None)
        animals.fox(ink, 66, -6, 0.44)
        places.hull(ink)
    animals.star(ink, 330, 742, 12, face=False, glow=8)
    nature.wave(ink, 800, 8, "#5f5088", "#38366e", shift=10, length=180)
    nature.wave(ink, 870, 10, "#423f78", "#23264f", shift=70, length=240)
    nature.calm(ink, "bottom", "#1d214a", depth=230, strength=0.85)
    return []


def snow_path(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#d4e6f4", "#c0daf0", "#dfe8f2", "#f6e8e0", strokes=110)
    for x, y, width in ((130, 420, 300), (900, 380, 320)):
        nature.cloud(ink, x, y, width, "#ffffff", "#c4d4e8", 0.85)
    nature.mountain(ink, 250, 400, 860, 360, "#8fa4c4", snow=0.5)
    nature.mountain(ink, 820, 360, 860, 400, "#869cc0", snow=0.5)
    nature.mountain(ink, 540, 300, 900, 430, "#6f88b4", snow=0.48)
    for x, y, tall in (
        (70, 800, 170),
        (150, 815, 130),
        (900, 790, 180),
        (820, 815, 140),
        (970, 820, 150),
        (260, 800, 110),
    ):
        nature.pine(ink, x, y, tall, "#3f6f74", snow=True, detail=5)
    nature.land(
        ink,
        nature.ridge(ink, 790, 22),
        "#f6f9ff",
        "#c4d4ec",
        ("#ffffff", "#b4c6e4"),
        count=130,
        angle=-4,
        opacity=0.4,
    )
    path = [
        (360, 1030),
        (430, 940),
        (560, 890),
        (640, 850),
        (600, 815),
        (560, 800),
        (580, 796),
        (640, 812),
        (700, 850),
        (640, 900),
        (560, 950),
        (540, 1030),
    ]
    ink.textured(
        path,
        ink.linear((0, "#d9c9b8"), (1, "#b8a494")),
        ("#f4ece4", "#8f7f74"),
        count=60,
        length=50,
        width=6,
        angle=20,
        opacity=0.25,
    )
    for x, y, tall in ((60, 1000, 260), (950, 990, 280), (860, 1010, 190), (180, 1010, 170)):
        nature.pine(ink, x, y, tall, "#2f5f66", snow=True)
    people.far_child(ink, 560, 940, 0.5, outfit=people.SNOW)
    animals.walking_fox(ink, 450, 962, 0.56, behind=True)
    animals.star(ink, 620, 840, 13, face=False, glow=8)
    nature.snowfall(ink, 90)
    nature.calm(ink, "top", "#e2eef8", depth=290, strength=0.75)
    return []


def summit(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#5f8fc8", "#9cc0e4", "#dbe6f0", "#f6dccf", strokes=120)
    for x, y, width in ((150, 560, 380), (880, 600, 400), (520, 620, 300)):
        nature.cloud(ink, x, y, width, "#ffffff", "#b8c8e4", 0.95)
    nature.mountain(ink, 120, 470, 820, 300, "#8a9ec4", snow=0.6)
    nature.mountain(ink, 900, 440, 840, 330, "#8298c0", snow=0.6)
    for x, y, width in ((40, 700, 340), (960, 720, 380), (420, 740, 320)):
        nature.cloud(ink, x, y, width, "#ffffff", "#b8c8e4", 0.95)
    nature.snowfall(ink, 70)
    ink.glow(520, 300, 480, "#fff6e0", 0.35)
    place = people.child(
        ink,
        450,
        390,
        2.15,
        outfit=people.SNOW,
        tilt=4,
        look=0.3,
        mood="laugh",
        arms=(
            ((-56, 106), (-78, 148), (-66, 190)),
            ((56, 106), (104, 120), (108, 78)),
        ),
    )
    animals.star(ink, 690, 470, 50, turn=12, glow=4)
    animals.fox(ink, 800, 830, 1.55, look=-1, scarf="#c8503c")
    snow = nature.ridge(ink, 790, 20, waves=1.4)
    nature.land(ink, snow, "#ffffff", "#dbe6f4", ("#ffffff", "#c8d8ee"), count=110, angle=-3, opacity=0.4)
    for _ in range(30):
        x, y = ink.random.uniform(0, 1000), ink.random.uniform(820, 980)
        ink.shape(animals.star_points(x, y, ink.random.uniform(2, 4)), "#ffffff", opacity=0.9)
    nature.calm(ink, "bottom", "#f4f8ff", depth=200, strength=0.8)
    return [place]


def above_clouds(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#1a2058", "#3f3f88", "#8a6aac", "#e8a0a8", "#f8d0b0", strokes=150)
    nature.stars(ink, 130, 480)
    ink.glow(500, 760, 640, "#ffd9b0", 0.5)
    rows = (
        (620, 300, "#e8b4c0", "#a07ab4"),
        (720, 360, "#f4cfc8", "#b88ab8"),
        (830, 420, "#fbe4d8", "#cfa0c0"),
    )
    for y, width, light, dark in rows:
        for x in range(-60, 1100, 210):
            if abs(x - 500) > 150 or y > 640:
                nature.cloud(
                    ink,
                    x + ink.random.uniform(-50, 50),
                    y + ink.random.uniform(-16, 24),
                    width * ink.random.uniform(0.8, 1.15),
                    light,
                    dark,
                )
    people.far_child(ink, 455, 690, 0.42, outfit=people.SNOW)
    animals.fox(ink, 545, 690, 0.5, scarf="#c8503c")
    for at in range(40):
        share = at / 40
        x, y = 500 + 40 * math.sin(share * 9), 560 - share * 260
        ink.shape(
            animals.star_points(x + ink.random.gauss(0, 14), y, ink.random.uniform(2, 6)),
            "#fff0b8",
            opacity=0.9 - share * 0.4,
        )
    animals.star(ink, 520, 260, 60, turn=8, glow=5)
    for x in range(-60, 1100, 200):
        nature.cloud(
            ink, x + ink.random.uniform(-40, 40), 920 + ink.random.uniform(-10, 20), 470, "#fff0e6", "#e0b4cc"
        )
    nature.calm(ink, "bottom", "#fdeee6", depth=240, strength=0.9)
    return []


def farewell(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#141a4c", "#2c2f74", "#5a4f98", "#9a74ac", strokes=150)
    nature.stars(ink, 150, 700)
    for x, y, width in ((100, 640, 360), (920, 620, 380)):
        nature.cloud(ink, x, y, width, "#8a74b4", "#4a4488", 0.8)
    ink.glow(500, 150, 640, "#ffd978", 0.5)
    animals.fox(ink, 815, 810, 1.35, look=-1, scarf="#c8503c")
    place = people.child(
        ink,
        480,
        480,
        1.9,
        outfit=people.SNOW,
        tilt=3,
        mood="happy",
        arms=(
            ((-54, 104), (-92, 40), (-52, -96)),
            ((54, 104), (92, 40), (52, -96)),
        ),
    )
    animals.star(ink, 480, 205, 74, turn=-6, glow=5.4)
    for _ in range(40):
        x, y = ink.random.gauss(480, 170), ink.random.gauss(190, 90)
        ink.shape(animals.star_points(x, y, ink.random.uniform(2, 6)), "#fff0b8", opacity=0.85)
    for x in range(-40, 1100, 190):
        nature.cloud(
            ink, x + ink.random.uniform(-30, 30), 850 + ink.random.uniform(-10, 24), 420, "#7a68ac", "#3f3a7c"
        )
    nature.calm(ink, "bottom", "#2a2a66", depth=270, strength=0.92)
    return [place]


def constellation(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#0e1440", "#1d2560", "#3a4088", "#6a5f9c", strokes=150)
    nature.stars(ink, 210, 700)
    with ink.group(blend="screen"):
        ink.path(
            "M-40 640C260 420 500 380 1040 60L1040 240C640 440 380 560 -40 820Z",
            "#6f7fd0",
            opacity=0.3,
            blur=40,
        )
    sitting = [
        (330, 560),
        (350, 470),
        (380, 390),
        (340, 330),
        (372, 250),
        (420, 310),
        (470, 310),
        (518, 250),
        (548, 330),
        (510, 390),
        (560, 480),
        (580, 560),
        (680, 540),
        (730, 440),
        (700, 370),
    ]
    for at in range(len(sitting) - 1):
        ink.line([sitting[at], sitting[at + 1]], "#bcd0ff", 2.6, opacity=0.65)
    ink.line([sitting[0], sitting[11]], "#bcd0ff", 2.6, opacity=0.65)
    for x, y in (*sitting, (405, 355), (485, 355), (445, 400)):
        ink.glow(x, y, 34, "#dfe8ff", 0.8)
        ink.shape(animals.star_points(x, y, 9), "#fffdf0")
    animals.star(ink, 700, 352, 50, turn=8, glow=5.2)
    nature.land(ink, nature.ridge(ink, 760, 30), "#33407a", "#222c5c", ("#4a5890",), count=50)
    for x, size in ((80, 110), (220, 80), (930, 130), (800, 90)):
        nature.round_tree(ink, x, 820, size, "#2f5068", trunk="#2c2a48")
    places.house(ink, 620, 815, 130, "#8d7f9c", "#7a4660")
    nature.land(
        ink,
        nature.ridge(ink, 810, 14),
        "#27406a",
        "#141f44",
        ("#3f5f88", "#16224a"),
        count=100,
        angle=86,
        length=26,
    )
    nature.calm(ink, "bottom", "#10193c", depth=220, strength=0.85)
    people.far_child(ink, 400, 820, 0.4)
    animals.fox(ink, 475, 820, 0.5)
    return []


def good_night(ink: Ink) -> list[FacePlace]:
    ink.wash(ink.linear((0, "#4a3f6e"), (1, "#6a4a62")))
    for row in range(14):
        for column in range(15):
            ink.shape(animals.star_points(column * 76 + (row % 2) * 38, row * 80, 8), "#8a76a4", opacity=0.35)
    with ink.group(clip="M560 60H930V440H560Z"):
        ink.rect(560, 60, 370, 380, ink.linear((0, "#141b4c"), (1, "#4a4f92")))
        for _ in range(50):
            ink.ellipse(ink.random.uniform(560, 930), ink.random.uniform(60, 400), 1.8, 1.8, "#fff6d8")
        nature.moon(ink, 860, 130, 34)
    places.window(ink, 560, 60, 370, 380)
    places.curtain(ink, 480, 0, 90, 520, "#c46a5a")
    places.curtain(ink, 920, 0, 100, 520, "#c46a5a")
    ink.line([(450, 30), (1020, 30)], "#5a3c34", 14)
    animals.star(ink, 672, 170, 34, turn=-8, glow=6)
    ink.glow(130, 240, 460, "#ffb45a", 0.6)
    ink.path("M70 250L110 150H190L230 250Z", "#f6d08a")
    ink.rect(144, 250, 12, 240, "#6b4632")
    head = "M-20 300Q20 270 120 300V760H-20Z"
    ink.textured(
        head, "#8a5a40", ("#b5815a", "#5f3a2a"), count=40, length=120, width=6, angle=88, opacity=0.25
    )
    places.cushion(ink, 330, 520, 480, 330, "#f4ead8", -6)
    place = people.child(ink, 345, 450, 1.8, outfit=people.PYJAMAS, tilt=-8, look=0.4, mood="smile")
    quilt = [
        (-40, 700),
        (140, 672),
        (330, 690),
        (560, 640),
        (800, 640),
        (1060, 690),
        (1060, 1060),
        (-40, 1060),
    ]
    ink.textured(
        quilt,
        ink.linear((0, "#4a6aa4"), (1, "#22356a")),
        ("#6f8fc4", "#20305f"),
        count=120,
        length=150,
        width=9,
        angle=4,
    )
    for _ in range(26):
        ink.shape(
            animals.star_points(ink.random.uniform(0, 1000), ink.random.uniform(715, 800), 10),
            "#f3d58a",
            opacity=0.6,
        )
    with ink.group(345, 450, 1.8):
        people.arm(ink, ((-56, 118), (-72, 150), (-30, 146)), people.PYJAMAS)
    animals.sleeping_fox(ink, 730, 730, 1.45, flip=True)
    nature.calm(ink, "bottom", "#1d2c5c", depth=230, strength=0.8)
    return [place]
