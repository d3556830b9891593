"""Pages 1 to 8 of the sample book: home, garden and forest."""

import math

from tools.sample_book import animals, nature, people, places
from tools.sample_book.ink import Ink, mix
from tools.sample_book.people import FacePlace

GRASS_NIGHT = ("#27506a", "#3d7078", "#1d3d55")
GRASS_DAY = ("#7fae4e", "#a6c964", "#5a8f45")


def bedroom(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#1d2560", "#3a3f86", "#8c6aa0", "#e9a27c", strokes=90)
    nature.stars(ink, 70, 420)
    with ink.group(0, 0):
        nature.moon(ink, 190, 190, 46)
        nature.land(ink, nature.ridge(ink, 520, 26), "#3b4a78", "#28305c", ("#566496",), count=30)
        for x, size in ((120, 70), (330, 62), (250, 90)):
            places.house(ink, x, 560, size, "#6e6a94", "#4a3f70")
    animals.star(ink, 388, 236, 15, face=False, turn=20)
    ink.line([(420, 214), (520, 150), (640, 96)], "#fff1b8", 5, opacity=0.7, blur=2)
    wall = "M-20 -20H1020V1020H-20ZM70 76V640H530V76Z"
    ink.path(wall, ink.linear((0, "#7b5a6e"), (1, "#4d3a58"), angle=20), fill_rule="evenodd")
    for row in range(12):
        for column in range(14):
            x, y = column * 80 + (row % 2) * 40 - 10, row * 84 + 10
            if x > 560 or y > 660:
                ink.shape(animals.star_points(x, y, 8), "#a98196", opacity=0.35)
    places.window(ink, 70, 76, 460, 564)
    places.curtain(ink, -20, -20, 110, 760, "#c46a5a")
    places.curtain(ink, 508, -20, 96, 740, "#c46a5a")
    ink.line([(-20, 34), (620, 34)], "#5a3c34", 14)
    ink.rect(830, 330, 190, 16, "#8a5f45", 4)
    for x, tall, colour in (
        (850, 96, "#c8503c"),
        (880, 120, "#e8b24a"),
        (906, 84, "#5f8fa8"),
        (934, 108, "#7a9a5a"),
    ):
        ink.rect(
            x, 330 - tall, 25, tall, ink.linear((0, colour), (1, mix(colour, "#201830", 0.4)), angle=0), 3
        )
    ink.glow(900, 560, 420, "#ffb45a", 0.55)
    place = people.child(
        ink,
        700,
        350,
        2.15,
        outfit=people.PYJAMAS,
        tilt=-7,
        look=-1,
        mood="wonder",
        arms=(((-56, 110), (-92, 140), (-88, 62)),),
    )
    ink.glow(330, 300, 620, "#9fb4ff", 0.2)
    bed = [(-60, 800), (120, 752), (400, 742), (700, 770), (1060, 742), (1060, 1080), (-60, 1080)]
    ink.textured(
        bed,
        ink.linear((0, "#3d5a92"), (1, "#1f2f5e")),
        ("#5f7fb4", "#1c2a55"),
        count=110,
        length=150,
        width=9,
        angle=4,
    )
    for row in range(2):
        for column in range(9):
            x, y = 60 + column * 118 + row * 50, 778 + row * 20 + 8 * math.sin(column)
            ink.shape(animals.star_points(x, y, 10), "#f3d58a", opacity=0.6)
    nature.calm(ink, "bottom", "#182452", depth=250, strength=0.75)
    return [place]


def falling_star(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#10163c", "#1d2760", "#3d4488", "#85659c", "#e0937e")
    nature.stars(ink, 150, 640)
    for x, y, width in ((180, 620, 330), (840, 560, 300), (560, 700, 380)):
        nature.cloud(ink, x, y, width, "#6f6aa6", "#3a3f7c", 0.55)
    with ink.group(blend="screen"):
        ink.path(
            "M1040 230L505 552L530 592L1040 345Z",
            ink.linear((0, "#ffd978", 0.75), (1, "#fff2c4", 0), angle=-30),
            blur=8,
        )
    for _ in range(46):
        share = ink.random.random()
        x, y = 540 + share * 460, 560 - share * 290
        size = ink.random.uniform(1.5, 5) * (1.2 - share * 0.6)
        ink.shape(
            animals.star_points(x + ink.random.gauss(0, 16), y + ink.random.gauss(0, 16), size),
            "#ffeeb0",
            opacity=0.85,
        )
    animals.star(ink, 490, 585, 58, turn=-28)
    nature.land(
        ink, nature.ridge(ink, 800, 24, waves=3), "#39456f", "#222a52", ("#54628f", "#1d2446"), count=60
    )
    for x, y, size, wall, roof in (
        (90, 880, 120, "#8d7f9c", "#7a4660"),
        (270, 905, 150, "#a08a94", "#5a4a80"),
        (450, 890, 116, "#867a9a", "#854c5a"),
        (620, 915, 160, "#98859a", "#4f5286"),
        (800, 895, 130, "#8d7f9c", "#7a4660"),
        (940, 915, 140, "#a08a94", "#5a4a80"),
    ):
        places.house(ink, x, y, size, wall, roof)
    for x in (180, 366, 540, 715, 880):
        nature.round_tree(ink, x, 920, 70, "#35586a", trunk="#3d3348")
    nature.land(ink, nature.ridge(ink, 930, 12), "#24325a", "#161f42", ("#3b4c7c",), count=60)
    nature.calm(ink, "top", "#10163c", depth=300, strength=0.6)
    return []


def garden(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#131a44", "#28316e", "#56548f", "#9a7aa2")
    nature.stars(ink, 90, 420)
    nature.land(ink, nature.ridge(ink, 520, 30), "#31466e", "#22345c", ("#4a6288",), count=50)
    for x, size in ((90, 130), (260, 100), (890, 150), (730, 96)):
        nature.round_tree(ink, x, 610, size, "#2f5a66", trunk="#3d3348")
    nature.land(
        ink, nature.ridge(ink, 610, 12), "#2c5568", "#173247", GRASS_NIGHT, count=140, angle=86, length=30
    )
    for x in range(-10, 1010, 62):
        ink.textured(
            f"M{x} 700V560L{x + 20} 536L{x + 40} 560V700Z",
            ink.linear((0, "#b7b4cc"), (1, "#6a6f94")),
            ("#dcd8e6", "#565a80"),
            count=12,
            length=60,
            width=4,
            angle=88,
            opacity=0.3,
        )
    for y in (590, 650):
        ink.rect(-20, y, 1040, 16, "#8f90b0", 4)
    ink.glow(500, 770, 560, "#ffc85a", 0.55)
    for x, y, size in ((60, 800, 150), (900, 780, 165), (770, 740, 110)):
        for dx, dy in ((0, 0), (-60, 20), (60, 16), (20, -40)):
            nature.cloud(ink, x + dx, y + dy, size, "#34696a", "#1c3d4a")
    with ink.group(clip="M560 560H1000V745H560Z"):
        animals.fox(ink, 780, 800, 0.95, look=-1)
    for dx in (-70, 0, 70, 130):
        nature.cloud(ink, 750 + dx, 772 + abs(dx) * 0.1, 130, "#3b7470", "#1e4450")
    nature.meadow(ink, 740, 130, ("#2f6a62", "#4f8a68", "#24505a"), size=30)
    petals = ("#e88a9a", "#f2c46a", "#c49adf", "#f4efe2", "#e8735c")
    for _ in range(26):
        x, y = ink.random.uniform(0, 1000), ink.random.uniform(820, 985)
        if abs(x - 500) > 110:
            nature.flower(ink, x, y, ink.random.uniform(20, 34), ink.random.choice(petals))
    ink.ellipse(500, 850, 130, 30, "#143038", opacity=0.5, blur=8)
    animals.star(ink, 500, 790, 78, turn=10, mood="sad")
    for x, y in ((386, 910), (612, 918), (330, 960), (690, 970), (500, 975)):
        nature.flower(ink, x, y, 34, ink.random.choice(petals))
    nature.fireflies(ink, 14, 500, 900)
    nature.calm(ink, "top", "#131a44", depth=320, strength=0.72)
    return []


def found(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#121842", "#232c66", "#3f4a80", "#46647a")
    nature.stars(ink, 60, 360)
    for x, size in ((60, 260), (950, 280), (840, 190), (190, 180)):
        nature.round_tree(ink, x, 640, size, "#28505e", trunk="#33304a")
    nature.land(
        ink, nature.ridge(ink, 620, 16), "#2a5566", "#122b40", GRASS_NIGHT, count=160, angle=86, length=36
    )
    nature.meadow(ink, 640, 110, ("#2f6a62", "#4f8a68", "#24505a"), size=34)
    ink.glow(500, 640, 720, "#ffbf55", 0.7)
    nature.fireflies(ink, 12, 120, 700)
    animals.fox(ink, 205, 800, 1.5, look=1)
    place = people.child(
        ink,
        520,
        330,
        2.15,
        tilt=6,
        mood="smile",
        arms=(
            ((-56, 108), (-74, 150), (-34, 150)),
            ((56, 108), (74, 150), (34, 150)),
        ),
    )
    animals.star(ink, 520, 655, 66, turn=-6, glow=5)
    petals = ("#e88a9a", "#f2c46a", "#c49adf", "#f4efe2")
    for _ in range(18):
        nature.flower(
            ink,
            ink.random.choice((ink.random.uniform(0, 260), ink.random.uniform(770, 1000))),
            ink.random.uniform(800, 900),
            32,
            ink.random.choice(petals),
        )
    nature.bank(ink, 790, "#1f4452", "#0e2436", ("#2f6a62", "#3f7a68", "#1d4450"))
    for _ in range(12):
        nature.flower(
            ink, ink.random.uniform(0, 1000), ink.random.uniform(800, 830), 26, ink.random.choice(petals)
        )
    nature.calm(ink, "bottom", "#0e2436", depth=210, strength=0.7)
    return [place]


def whisper(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#2c3270", "#5d5596", "#b8829c", "#f2b58c")
    nature.stars(ink, 40, 300)
    for x, y, width in ((160, 420, 360), (800, 380, 400)):
        nature.cloud(ink, x, y, width, "#d7a0b0", "#7a6298", 0.6)
    nature.land(ink, nature.ridge(ink, 560, 30), "#6f6a92", "#4f5684", ("#8a80a4",), count=50)
    nature.land(
        ink,
        nature.ridge(ink, 660, 18),
        "#4c7a6a",
        "#27524f",
        ("#7aa878", "#2a5a55"),
        count=170,
        angle=86,
        length=32,
    )
    ink.glow(330, 700, 520, "#ffd06a", 0.6)
    leaf = [(120, 850), (220, 780), (400, 770), (560, 830), (440, 890), (250, 900)]
    ink.textured(
        leaf,
        ink.linear((0, "#8fbf6a"), (1, "#3f7a50")),
        ("#c3e08a", "#2f6444"),
        count=60,
        length=80,
        width=6,
        angle=4,
        opacity=0.25,
    )
    ink.line([(130, 850), (300, 832), (550, 832)], "#cfe6a0", 5, opacity=0.7)
    animals.star(ink, 330, 730, 96, turn=-10, mood="smile")
    animals.fox(ink, 670, 940, 2.5, look=-1.2)
    nature.meadow(ink, 800, 90, ("#4f8a5f", "#7fb36a", "#2f6658"), size=40)
    for _ in range(12):
        nature.flower(
            ink,
            ink.random.uniform(0, 1000),
            ink.random.uniform(900, 1000),
            30,
            ink.random.choice(("#f4efe2", "#f2c46a", "#e88a9a")),
        )
    nature.calm(ink, "top", "#2c3270", depth=300, strength=0.72)
    return []


def setting_off(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#f8dfae", "#f9cf98", "#f4b98c", "#eeb79a", strokes=120)
    ink.glow(640, 430, 460, "#fff2b0", 0.9)
    ink.ellipse(640, 430, 74, 74, ink.radial((0, "#fffdf0"), (1, "#ffe9a0")))
    for x, y, width in ((140, 330, 300), (900, 360, 280), (420, 400, 220)):
        nature.cloud(ink, x, y, width, "#fff1dc", "#e8a58c", 0.85)
    for y, light, dark in (
        (500, "#b9a9b4", "#a793a8"),
        (570, "#9fb0a0", "#7d9a88"),
        (660, "#9bbf78", "#6f9f62"),
    ):
        points = nature.ridge(ink, y, 34, waves=2.6)
        nature.land(ink, points, light, dark, (mix(light, "#ffffff", 0.4), dark), count=80)
        for _ in range(7):
            x = ink.random.uniform(0, 1000)
            nature.round_tree(ink, x, y + 44, (y - 430) * 0.36, mix("#5a8a55", light, 0.35))
    nature.land(
        ink, nature.ridge(ink, 770, 22), "#8fbf5f", "#4e8748", GRASS_DAY, count=200, angle=84, length=34
    )
    path = [
        (430, 1030),
        (420, 920),
        (520, 840),
        (640, 780),
        (590, 720),
        (540, 690),
        (560, 690),
        (625, 718),
        (716, 782),
        (640, 860),
        (620, 930),
        (700, 1030),
    ]
    ink.textured(
        path,
        ink.linear((0, "#fbe9c4"), (1, "#d9b184")),
        ("#fff6de", "#b98a5f"),
        count=80,
        length=50,
        width=6,
        angle=60,
        opacity=0.25,
    )
    nature.meadow(ink, 790, 120, ("#6fa348", "#9cc862", "#4a8440"), size=28)
    petals = ("#fff6e8", "#f6c445", "#e8735c", "#8fa8e0")
    for _ in range(40):
        x, y = ink.random.uniform(0, 1000), ink.random.uniform(840, 1000)
        if not 400 < x < 700:
            nature.flower(ink, x, y, 22, ink.random.choice(petals))
    ink.ellipse(560, 938, 90, 12, "#3a4a2a", opacity=0.3, blur=5)
    people.far_child(ink, 560, 935, 0.72)
    animals.walking_fox(ink, 410, 950, 0.78, behind=True)
    animals.star(ink, 646, 792, 20, face=False, glow=5)
    nature.calm(ink, "top", "#fbe6bd", depth=300, strength=0.75)
    return []


def forest(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#cfe0a8", "#9fc48a", "#5f9474", "#2f6156", strokes=120)
    ink.glow(520, 180, 560, "#fff6c0", 0.75)
    for x, width, tone in (
        (70, 34, "#8fae8c"),
        (230, 28, "#9ab894"),
        (400, 24, "#a6c29a"),
        (620, 26, "#a2bf98"),
        (800, 32, "#93b08e"),
        (930, 30, "#8aa888"),
    ):
        nature.trunk(ink, x, 640, width, tone, lean=ink.random.uniform(-20, 20))
    for _ in range(40):
        nature.cloud(
            ink,
            ink.random.uniform(0, 1000),
            ink.random.uniform(-10, 90),
            ink.random.uniform(120, 220),
            ink.random.choice(("#7fb070", "#5f985f", "#8fbf78")),
            "#3a6a50",
            0.8,
        )
    nature.beams(ink, 560, -120, "#fff3b0", (60, 78, 96, 112, 128), strength=0.16)
    nature.land(
        ink,
        nature.ridge(ink, 620, 16),
        "#6f9f5a",
        "#2b5a48",
        ("#9cc46a", "#2d5f48"),
        count=160,
        angle=86,
        length=36,
    )
    for x, width, tone, lean in (
        (40, 84, "#6a5040", 40),
        (960, 96, "#5f483c", -50),
        (210, 46, "#7a6048", -16),
    ):
        nature.trunk(ink, x, 760, width, tone, lean=lean)
    for x, y, size in ((120, 770, 120), (300, 740, 90), (880, 800, 130), (760, 720, 80), (20, 850, 120)):
        nature.fern(ink, x, y, size, "#4f8f50")
    animals.fox(ink, 770, 800, 1.35, flip=True, look=0)
    ink.ellipse(470, 850, 170, 22, "#14301f", opacity=0.4, blur=8)
    place = people.child(
        ink,
        470,
        340,
        1.85,
        tilt=-5,
        stride=5,
        look=-0.5,
        mood="smile",
        arms=(
            ((-56, 106), (-100, 132), (-118, 92)),
            ((56, 106), (80, 150), (74, 192)),
        ),
    )
    places.lantern(ink, 220, 545, 40)
    for x, y, size in (
        (330, 800, 52),
        (372, 812, 36),
        (640, 840, 44),
        (900, 850, 60),
        (946, 862, 42),
        (90, 860, 46),
    ):
        nature.mushroom(ink, x, y, size)
    nature.meadow(ink, 770, 30, ("#3f7f4a", "#6fae5f", "#2a5f44"), size=34, bottom=830)
    nature.bank(ink, 815, "#2c5f48", "#123329", ("#3f7f4a", "#5f9f5a", "#2a5f44"))
    nature.mushroom(ink, 60, 850, 54)
    nature.mushroom(ink, 960, 846, 62)
    nature.calm(ink, "bottom", "#123329", depth=190, strength=0.6)
    return [place]


def owl_tree(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#12264a", "#1d4262", "#2f6470", "#23504e")
    nature.stars(ink, 70, 500)
    nature.moon(ink, 560, 330, 190)
    for x in (60, 190, 820, 940, 330, 700):
        nature.pine(ink, x, 820, ink.random.uniform(330, 480), "#234f58", detail=6)
    nature.trunk(ink, 900, 860, 130, "#5d4a4a", lean=-30)
    branch = [
        (1020, 600),
        (820, 640),
        (560, 662),
        (300, 640),
        (180, 600),
        (300, 664),
        (560, 706),
        (840, 700),
        (1020, 690),
    ]
    ink.textured(
        branch,
        ink.linear((0, "#7a5f54"), (1, "#3a2b34")),
        ("#a88a70", "#2a1f28"),
        count=90,
        length=90,
        width=6,
        angle=4,
        opacity=0.3,
    )
    for x, y, turn in (
        (260, 640, -30),
        (340, 662, 20),
        (700, 690, 30),
        (620, 668, -24),
        (210, 606, -50),
        (480, 690, 40),
    ):
        for step in range(4):
            ink.ellipse(
                x + step * 16,
                y - 12 - step * 7,
                22,
                9,
                mix("#4f8f68", "#16384a", step * 0.12),
                turn=turn + step * 26,
            )
    animals.owl(ink, 560, 655, 1.95)
    nature.land(
        ink,
        nature.ridge(ink, 800, 14),
        "#20504e",
        "#0f2a38",
        ("#3a7468", "#123440"),
        count=120,
        angle=86,
        length=36,
    )
    for x, y, size in ((90, 850, 110), (930, 880, 130), (800, 840, 90)):
        nature.fern(ink, x, y, size, "#2f6f62")
    nature.calm(ink, "bottom", "#0c2232", depth=270, strength=0.8)
    people.far_child(ink, 190, 768, 0.5)
    animals.fox(ink, 320, 770, 0.62)
    animals.star(ink, 238, 683, 15, face=False, glow=7)
    nature.fireflies(ink, 16, 420, 820)
    return []
