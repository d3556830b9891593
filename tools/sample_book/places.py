"""Houses, rooms, boats and the market of the sample book."""

from collections.abc import Sequence

from tools.sample_book.ink import Ink, Point, circle, mix, smooth


def house(ink: Ink, x: float, y: float, size: float, wall: str, roof: str, *, lit: bool = True) -> None:
    """A small house that stands on a point."""
    window = "#ffd97a" if lit else "#8fb1c4"
    with ink.group(x, y, size / 100):
        body: list[Point] = [(-46, 0), (-44, -70), (44, -70), (46, 0)]
        d = "M" + "L".join(f"{px} {py}" for px, py in body) + "Z"
        ink.textured(
            d,
            ink.linear((0, wall), (1, mix(wall, "#2a2438", 0.3))),
            (mix(wall, "#ffffff", 0.4), mix(wall, "#000000", 0.3)),
            count=24,
            length=26,
            width=4,
            angle=4,
        )
        top = "M-60 -64L-6 -124Q0 -128 6 -124L60 -64Q0 -72 -60 -64Z"
        ink.textured(
            top,
            ink.linear((0, mix(roof, "#ffffff", 0.12)), (1, mix(roof, "#2a1430", 0.3))),
            (mix(roof, "#ffffff", 0.3), mix(roof, "#000000", 0.4)),
            count=40,
            length=16,
            width=5,
            angle=64,
            opacity=0.14,
        )
        ink.rect(22, -122, 16, 34, mix(roof, "#3a2a2a", 0.5))
        if lit:
            ink.glow(0, -36, 90, "#ffcf6a", 0.45)
        for dx in (-26, 26):
            ink.rect(dx - 11, -56, 22, 26, window, 3)
            ink.path(f"M{dx} -56V-30M{dx - 11} -43H{dx + 11}", stroke="#5b4036", stroke_width=2.6)
        ink.path("M-12 0V-28Q0 -40 12 -28V0Z", "#7a4a35")
        ink.ellipse(7, -14, 2, 2, "#f6d27a")


def lighthouse(ink: Ink, x: float, y: float, height: float) -> None:
    with ink.group(x, y, height / 300):
        tower = "M-44 0L-28 -230L28 -230L44 0Z"
        ink.path(tower, ink.linear((0, "#fdf6e8"), (0.5, "#f1e6d4"), (1, "#b7a8a8"), angle=0))
        with ink.group(clip=tower):
            for level in (-58, -128, -198):
                ink.path(
                    f"M-60 {level}Q0 {level + 12} 60 {level}V{level + 34}Q0 {level + 46} -60 {level + 34}Z",
                    "#c4473c",
                )
            for _ in range(60):
                ink.stroke(
                    ink.random.uniform(-40, 40),
                    ink.random.uniform(-230, 0),
                    34,
                    5,
                    84,
                    ink.random.choice(("#ffffff", "#7a5a5a")),
                    0.18,
                )
        ink.rect(-36, -240, 72, 12, "#5a4550", 3)
        ink.rect(-22, -276, 44, 38, "#ffe9a0", 4)
        ink.path("M-22 -276V-238M-8 -276V-238M8 -276V-238M22 -276V-238", stroke="#5a4550", stroke_width=3)
        ink.path("M-32 -276Q0 -318 32 -276Z", "#c4473c")
        ink.ellipse(0, -303, 5, 5, "#5a4550")
        for level in (-100, -165):
            ink.path(f"M-8 {level}V{level - 16}Q0 {level - 24} 8 {level - 16}V{level}Z", "#4b4a66")
        ink.path("M-14 0V-36Q0 -50 14 -36V0Z", "#7a4a35")


def boat(ink: Ink, x: float, y: float, scale: float, *, sail: str = "#fff4dc", empty: bool = True) -> None:
    """A sailing boat whose hull floats at a point; its crew is drawn between `sails` and `hull`."""
    with ink.group(x, y, scale):
        sails(ink, sail)
        if empty:
            hull(ink)


def sails(ink: Ink, sail: str = "#fff4dc") -> None:
    ink.line([(0, -24), (0, -300)], "#6b4632", 9)
    main = smooth([(10, -288), (96, -180), (140, -64), (70, -56), (10, -60)], tension=0.45)
    ink.textured(
        main,
        ink.linear((0, "#ffffff"), (1, mix(sail, "#b08a5a", 0.3))),
        ("#ffffff", "#c9ab7e"),
        count=46,
        length=120,
        width=7,
        angle=64,
        opacity=0.2,
    )
    ink.path(smooth([(10, -180), (116, -130), (130, -100), (10, -140)], tension=0.1), "#d3604a", opacity=0.85)
    jib = smooth([(-8, -268), (-62, -160), (-96, -70), (-40, -58), (-8, -60)], tension=0.45)
    ink.textured(
        jib,
        mix(sail, "#e8b25a", 0.35),
        ("#ffffff", "#b8863c"),
        count=34,
        length=100,
        width=6,
        angle=110,
        opacity=0.2,
    )
    ink.shape([(0, -300), (34, -292), (60, -300), (36, -280), (0, -284)], "#d3604a")


def hull(ink: Ink) -> None:
    d = "M-150 -44Q0 -18 150 -50Q132 26 84 34H-84Q-132 26 -150 -44Z"
    ink.textured(
        d,
        ink.linear((0, "#b5683f"), (1, "#6b3524")),
        ("#d99160", "#4f2519"),
        count=70,
        length=120,
        width=6,
        angle=2,
        opacity=0.28,
    )
    ink.line([(-150, -44), (0, -24), (150, -50)], "#f3dcae", 9)
    ink.line([(-138, -10), (0, 4), (140, -14)], "#7c3f2a", 4, opacity=0.7)


def stall(ink: Ink, x: float, y: float, width: float, colours: Sequence[str], goods: Sequence[str]) -> None:
    """A market stall with a striped awning; its counter stands on a point."""
    with ink.group(x, y, width / 200):
        for side in (-1, 1):
            ink.line([(side * 88, 0), (side * 88, -190)], "#6b4632", 8)
        ink.rect(-92, -176, 184, 100, "#5a3c34", opacity=0.5)
        counter = "M-98 -78H98L92 6H-92Z"
        ink.textured(
            counter,
            ink.linear((0, "#b98452"), (1, "#7a4d31")),
            ("#d9aa74", "#5a3523"),
            count=40,
            length=90,
            width=4,
            angle=1,
            opacity=0.16,
        )
        for row, level in enumerate((-100, -86)):
            for at in range(13):
                px = -84 + at * 14 + row * 5
                fill = mix(goods[(at // 3 + row) % len(goods)], "#ffffff", ink.random.uniform(0, 0.2))
                ink.ellipse(px, level, 9.4, 9, fill)
                ink.ellipse(px - 2.6, level - 3, 2.4, 2, "#ffffff", opacity=0.5)
        ink.rect(-98, -82, 196, 12, "#d9aa74", 4)
        for at in range(8):
            left = -108 + at * 27
            top = left * 0.82
            cloth = f"M{top:.0f} -236H{top + 23:.0f}L{left + 27.5} -172Q{left + 13.7} -150 {left} -172Z"
            ink.path(cloth, ink.linear((0, colours[at % 2]), (1, mix(colours[at % 2], "#3a1a2a", 0.25))))
        for _ in range(20):
            ink.stroke(ink.random.uniform(-90, 90), ink.random.uniform(-225, -185), 30, 5, 88, "#ffffff", 0.1)


def bunting(ink: Ink, points: Sequence[Point], colours: Sequence[str]) -> None:
    ink.line(points, "#6b4a44", 3)
    for at in range(len(points) - 1):
        (x0, y0), (x1, y1) = points[at], points[at + 1]
        for share in (0.25, 0.75):
            x, y = x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
            ink.polygon(
                [(x - 15, y), (x + 15, y), (x, y + 34)], colours[(2 * at + (share > 0.5)) % len(colours)]
            )


def balloon(ink: Ink, x: float, y: float, size: float, colour: str, end: Point) -> None:
    ink.line([(x, y + size), ((x + end[0]) / 2 + 12, (y + end[1]) / 2), end], "#6b5a5a", 2)
    fill = ink.radial(
        (0, mix(colour, "#ffffff", 0.6)),
        (0.5, colour),
        (1, mix(colour, "#2a0a1a", 0.35)),
        cx=0.36,
        cy=0.3,
        r=0.75,
    )
    ink.shape(
        [
            (x, y - size),
            (x + size * 0.8, y - size * 0.3),
            (x + size * 0.5, y + size * 0.6),
            (x, y + size),
            (x - size * 0.5, y + size * 0.6),
            (x - size * 0.8, y - size * 0.3),
        ],
        fill,
    )
    ink.ellipse(x - size * 0.3, y - size * 0.42, size * 0.13, size * 0.24, "#ffffff", turn=24, opacity=0.7)


def umbrella(ink: Ink, x: float, y: float, half: float, colour: str, hand: Point) -> None:
    """An open umbrella with its tip at a point."""
    ink.line([(x, y), hand], "#5a3c34", 9)
    ink.line(
        [hand, (hand[0], hand[1] + 30), (hand[0] - 18, hand[1] + 36), (hand[0] - 26, hand[1] + 22)],
        "#5a3c34",
        9,
    )
    low = y + half * 0.62
    rim = [x + half * (1 - at * 0.2) for at in range(11)]
    edge = " ".join(
        f"Q{rim[at]:.1f} {low - half * 0.12:.1f} {rim[at + 1]:.1f} {low:.1f}" for at in range(1, 10, 2)
    )
    left = f"{x - half * 0.9:.1f} {y + half * 0.1:.1f} {x - half * 0.4:.1f} {y:.1f}"
    right = f"{x + half * 0.4:.1f} {y:.1f} {x + half * 0.9:.1f} {y + half * 0.1:.1f}"
    dome = f"M{x - half:.1f} {low:.1f}C{left} {x:.1f} {y:.1f}C{right} {x + half:.1f} {low:.1f}{edge}Z"
    fill = ink.linear((0, mix(colour, "#ffffff", 0.15)), (1, mix(colour, "#3a0a14", 0.3)))
    ink.textured(
        dome,
        fill,
        ("#ffffff", mix(colour, "#000000", 0.5)),
        count=40,
        length=half * 0.4,
        width=9,
        angle=80,
        opacity=0.06,
    )
    for at in (-0.6, -0.2, 0.2, 0.6):
        ink.path(
            f"M{x:.1f} {y:.1f}Q{x + half * at * 0.9:.1f} {y + half * 0.15:.1f} {x + half * at:.1f} {low:.1f}",
            stroke=mix(colour, "#2a0a14", 0.45),
            stroke_width=3,
            opacity=0.6,
        )
    ink.line([(x, y + 3), (x, y - 22)], "#5a3c34", 7)


def lantern(ink: Ink, x: float, y: float, size: float) -> None:
    ink.glow(x, y, size * 8, "#ffcf6a", 0.75)
    with ink.group(x, y, size / 30):
        ink.path("M-16 -30Q0 -62 16 -30", stroke="#4a3a34", stroke_width=4)
        ink.rect(-22, -34, 44, 9, "#4a3a34", 4)
        ink.rect(-18, -26, 36, 48, ink.radial((0, "#fffbe0"), (1, "#ffc04a")), 5)
        ink.path("M-18 -26V22M18 -26V22M0 -26V22", stroke="#4a3a34", stroke_width=3)
        ink.rect(-22, 20, 44, 9, "#4a3a34", 4)


def window(ink: Ink, x: float, y: float, width: float, height: float, *, frame: str = "#8a5f45") -> None:
    """The frame and curtains of a window around what is drawn already."""
    with ink.group(x, y):
        for left, wide in ((-14, width + 28),):
            ink.path(
                f"M{left} -14h{wide}v{height + 28}h{-wide}ZM0 0v{height}h{width}v{-height}Z",
                frame,
                fill_rule="evenodd",
            )
        ink.rect(width / 2 - 5, 0, 10, height, frame)
        ink.rect(0, height * 0.42, width, 9, frame)
        ink.rect(-34, height + 10, width + 68, 24, mix(frame, "#ffffff", 0.15), 5)


def curtain(ink: Ink, x: float, top: float, width: float, height: float, colour: str) -> None:
    points: list[Point] = [
        (x, top),
        (x + width, top),
        (x + width * 0.9, top + height * 0.5),
        (x + width * 1.1, top + height),
        (x, top + height),
    ]
    dark = mix(colour, "#1a1430", 0.4)
    ink.textured(
        smooth(points, tension=0.2),
        ink.linear((0, dark), (0.3, colour), (0.6, dark), (1, colour), angle=0),
        (mix(colour, "#ffffff", 0.3), dark),
        count=50,
        length=height * 0.4,
        width=6,
        angle=88,
        opacity=0.2,
    )


def cushion(ink: Ink, x: float, y: float, width: float, height: float, colour: str, turn: float = 0) -> None:
    with ink.group(x, y, 1, turn):
        points: list[Point] = [
            (-width / 2, -height / 2),
            (0, -height * 0.46),
            (width / 2, -height / 2),
            (width * 0.47, 0),
            (width / 2, height / 2),
            (0, height * 0.46),
            (-width / 2, height / 2),
            (-width * 0.47, 0),
        ]
        ink.textured(
            points,
            ink.linear((0, mix(colour, "#ffffff", 0.3)), (1, mix(colour, "#20204a", 0.25))),
            ("#ffffff", mix(colour, "#000000", 0.3)),
            count=40,
            length=width * 0.3,
            width=6,
            angle=8,
            opacity=0.16,
        )


def stones(ink: Ink, places: Sequence[tuple[float, float, float]], colour: str) -> None:
    for x, y, size in places:
        ink.ellipse(x, y + size * 0.4, size * 1.15, size * 0.35, "#0d1420", opacity=0.3, blur=4)
        ink.textured(
            [(px, y + (py - y) * 0.55) for px, py in circle(x, y, size, 9, 0.09, ink.random)],
            ink.linear((0, mix(colour, "#ffffff", 0.3)), (1, mix(colour, "#10162a", 0.4))),
            ("#ffffff", mix(colour, "#000000", 0.4)),
            count=16,
            length=size * 0.6,
            width=4,
            angle=10,
            opacity=0.2,
        )
