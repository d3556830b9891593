"""Covers, reference sheet, and the pages that fill up the sample book."""

from tools.sample_book import animals, nature, people, places
from tools.sample_book.ink import Ink, mix
from tools.sample_book.people import FacePlace


def front(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#141b4e", "#262f78", "#56509a", "#a878a8", "#f0b08c", strokes=150)
    nature.stars(ink, 170, 620)
    for x, y, width in ((120, 640, 340), (900, 600, 360)):
        nature.cloud(ink, x, y, width, "#b884ac", "#5f4f8c", 0.75)
    nature.land(ink, nature.ridge(ink, 720, 26), "#6a6090", "#494a80", ("#8a7ca4",), count=50)
    for x, y, size, wall, roof in (
        (110, 770, 120, "#a8949c", "#7a4660"),
        (900, 775, 130, "#98859a", "#4f5286"),
        (800, 765, 90, "#a08a94", "#854c5a"),
    ):
        places.house(ink, x, y, size, wall, roof)
    for x, size in ((210, 120), (20, 130), (980, 150)):
        nature.round_tree(ink, x, 800, size, "#3f6470", trunk="#3d3348")
    nature.land(
        ink,
        nature.ridge(ink, 800, 18, waves=1.5),
        "#3f7a68",
        "#1d4a52",
        ("#6aa878", "#1f4f54"),
        count=160,
        angle=86,
        length=36,
    )
    ink.glow(500, 700, 640, "#ffcf6a", 0.6)
    nature.fireflies(ink, 16, 380, 860)
    animals.fox(ink, 735, 890, 1.5, look=-1, scarf="#5f8fa8")
    place = people.child(
        ink,
        440,
        500,
        1.8,
        tilt=5,
        mood="smile",
        look=0.2,
        arms=(
            ((-56, 108), (-74, 150), (-34, 152)),
            ((56, 108), (74, 150), (34, 152)),
        ),
    )
    animals.star(ink, 440, 775, 62, turn=-8, glow=5)
    nature.meadow(ink, 850, 60, ("#4f8a5f", "#7fb36a", "#2f6658"), size=40, bottom=1030)
    for _ in range(26):
        nature.flower(
            ink,
            ink.random.uniform(0, 1000),
            ink.random.uniform(920, 1010),
            30,
            ink.random.choice(("#f4efe2", "#f2c46a", "#e88a9a", "#c49adf")),
        )
    nature.calm(ink, "top", "#141b4e", depth=330, strength=0.6)
    return [place]


def back(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#141b4e", "#262f78", "#56509a", "#a878a8", strokes=150)
    nature.stars(ink, 200, 760)
    animals.star(ink, 500, 150, 42, turn=8, glow=5.4)
    nature.land(ink, nature.ridge(ink, 780, 24), "#4f4d84", "#35386c", ("#6a6598",), count=50)
    nature.land(
        ink,
        nature.ridge(ink, 850, 18, waves=1.5),
        "#2f5a66",
        "#173a48",
        ("#4f8a78", "#17404a"),
        count=130,
        angle=86,
        length=32,
    )
    animals.sleeping_fox(ink, 230, 915, 0.95)
    for x in (60, 120, 350, 420):
        nature.flower(ink, x, 950, 28, ink.random.choice(("#f4efe2", "#f2c46a", "#e88a9a")))
    ink.ellipse(500, 430, 460, 260, "#1a2156", opacity=0.5, blur=60)
    return []


def _paper(ink: Ink) -> None:
    ink.wash(ink.radial((0, "#fffaf0"), (1, "#f3e4c8"), r=0.8))
    for _ in range(90):
        ink.stroke(
            ink.random.uniform(0, 1000),
            ink.random.uniform(0, 1000),
            240,
            24,
            -5,
            ink.random.choice(("#ffffff", "#ead6b0")),
            0.12,
        )


def reference(ink: Ink) -> list[FacePlace]:
    _paper(ink)
    for x, y, far, colour in (
        (260, 300, 210, "#f4d9a0"),
        (260, 750, 190, "#c9dcd4"),
        (720, 520, 300, "#f1c8b4"),
    ):
        ink.ellipse(x, y, far, far * 0.98, colour, opacity=0.55, blur=10)
    with ink.group(clip="M30 60H490V520H30Z"):
        first = people.child(ink, 260, 270, 1.75, mood="smile")
    with ink.group(clip="M30 540H490V950H30Z"):
        second = people.child(ink, 260, 740, 1.4, tilt=-4, look=1, mood="happy", wind=30)
    ink.ellipse(730, 900, 150, 16, "#8a7050", opacity=0.3, blur=8)
    third = people.child(ink, 730, 310, 1.75, tilt=3, stride=4, mood="smile", arms=people.DOWN)
    animals.star(ink, 905, 170, 30, face=False, glow=2.4)
    for x, y in ((520, 110), (560, 930), (70, 560)):
        ink.shape(animals.star_points(x, y, 12), "#e8b24a", opacity=0.7)
    return [first, second, third]


def _wreath(ink: Ink, y: float) -> None:
    for side in (-1, 1):
        for at in range(9):
            x, low = 500 + side * (14 + at * 41), y + (at - 4) ** 2 * 2.2
            ink.ellipse(x, low - 10, 24, 9, mix("#6fa860", "#3f7a58", at / 9), turn=side * (-40 + at * 6))
            ink.ellipse(x, low + 10, 24, 9, mix("#8fbf6a", "#4f8a58", at / 9), turn=side * (40 + at * 6))
            if at % 2:
                nature.flower(
                    ink, x, low + 24, 17, ("#e88a9a", "#f2c46a", "#c49adf", "#e8735c")[at // 2], stem=1.2
                )


def title(ink: Ink) -> list[FacePlace]:
    _paper(ink)
    ink.ellipse(500, 730, 330, 190, "#f7dca4", opacity=0.6, blur=30)
    animals.fox(ink, 420, 860, 1.35, look=1, scarf="#5f8fa8")
    animals.star(ink, 640, 780, 74, turn=10, glow=2.6)
    _wreath(ink, 880)
    return []


def dedication(ink: Ink) -> list[FacePlace]:
    _paper(ink)
    ink.ellipse(500, 740, 300, 150, "#c9dcd4", opacity=0.6, blur=30)
    animals.sleeping_fox(ink, 500, 800, 1.5)
    _wreath(ink, 830)
    for x, y, size in ((300, 560, 12), (700, 540, 16), (620, 600, 9), (380, 610, 8)):
        ink.shape(animals.star_points(x, y, size), "#e8b24a", opacity=0.8)
    return []


def end(ink: Ink) -> list[FacePlace]:
    nature.sky(ink, "#141b4e", "#2a3380", "#5a549c", strokes=140)
    nature.stars(ink, 200, 1000)
    animals.star(ink, 500, 250, 84, turn=8, glow=5)
    for x, y, width in ((100, 860, 420), (900, 880, 440), (500, 930, 520)):
        nature.cloud(ink, x, y, width, "#8a78b8", "#4a4488")
    animals.sleeping_fox(ink, 500, 900, 1.2)
    return []
