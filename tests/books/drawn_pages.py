"""Drawn illustrations with a child on them, whose face has a known box and tilt."""

import io
from dataclasses import dataclass
from functools import cache
from math import cos, radians, sin

from PIL import Image, ImageDraw, ImageFilter

from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import FaceTarget

_SUPERSAMPLED = 2


@dataclass(frozen=True)
class DrawnHead:
    """A head on a page, in fractions of its side: the centre of the face, and its width."""

    x: float
    y: float
    width: float
    tilt: float = 0.0

    @property
    def target(self) -> FaceTarget:
        height = self.width * 1.06
        box = Box(x=self.x - self.width / 2, y=self.y - height / 2, width=self.width, height=height)
        return FaceTarget("hero", box=box, tilt=self.tilt)


@dataclass(frozen=True)
class DrawnPage:
    heads: tuple[DrawnHead, ...]
    sky: tuple[int, int, int]
    ground: tuple[int, int, int]
    skin: tuple[int, int, int] = (238, 194, 160)
    hair: tuple[int, int, int] = (92, 58, 34)
    shirt: tuple[int, int, int] = (200, 70, 60)

    @property
    def targets(self) -> tuple[FaceTarget, ...]:
        return tuple(head.target for head in self.heads)


PAGES = (
    DrawnPage((DrawnHead(0.5, 0.42, 0.30),), (150, 205, 235), (120, 180, 90)),
    DrawnPage((DrawnHead(0.32, 0.40, 0.24, 14),), (250, 214, 150), (190, 140, 90), shirt=(60, 110, 170)),
    DrawnPage((DrawnHead(0.66, 0.46, 0.27, -18),), (44, 52, 96), (30, 60, 70), hair=(30, 24, 22)),
    DrawnPage((DrawnHead(0.45, 0.33, 0.20, 5),), (190, 225, 200), (80, 140, 100), skin=(226, 176, 136)),
    DrawnPage((DrawnHead(0.55, 0.5, 0.36, -8),), (240, 190, 190), (170, 120, 150), hair=(200, 150, 80)),
)
SHEET = DrawnPage(
    (DrawnHead(0.27, 0.32, 0.26), DrawnHead(0.72, 0.32, 0.24, 6), DrawnHead(0.5, 0.72, 0.15)),
    (244, 238, 226),
    (228, 218, 200),
)
PLAIN = DrawnPage((), (150, 205, 235), (120, 180, 90))


@cache
def draw_page(page: DrawnPage, side: int = 1000) -> bytes:
    """The illustration as PNG."""
    big = side * _SUPERSAMPLED
    picture = Image.new("RGB", (big, big), page.sky)
    draw = ImageDraw.Draw(picture)
    for step in range(60):
        share = step / 60
        tone = tuple(round(a + (255 - a) * 0.35 * share) for a in page.sky)
        draw.rectangle((0, big * 0.6 * share, big, big), fill=tone)
    draw.ellipse((-big * 0.4, big * 0.68, big * 1.4, big * 1.9), fill=page.ground)
    for index in range(14):
        x, y = big * ((index * 0.37) % 1), big * (0.75 + 0.2 * ((index * 0.61) % 1))
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=tuple(min(255, c + 60) for c in page.ground))
    for head in page.heads:
        _draw_child(draw, page, head, big)
    picture = picture.filter(ImageFilter.GaussianBlur(1)).resize((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _draw_child(draw: ImageDraw.ImageDraw, page: DrawnPage, head: DrawnHead, big: int) -> None:
    cx, cy, u = head.x * big, head.y * big, head.width * big / 2
    angle = radians(head.tilt)
    dark = tuple(round(c * 0.55) for c in page.skin)

    def at(x: float, y: float) -> tuple[float, float]:
        return cx + u * (x * cos(angle) - y * sin(angle)), cy + u * (x * sin(angle) + y * cos(angle))

    def disc(colour: tuple[int, ...], x: float, y: float, rx: float, ry: float) -> None:
        points = [at(x + rx * cos(radians(t)), y + ry * sin(radians(t))) for t in range(0, 360, 4)]
        draw.polygon(points, fill=colour)

    draw.rounded_rectangle(
        (cx - 1.1 * u, cy + 1.25 * u, cx + 1.1 * u, cy + 3.4 * u), u * 0.6, fill=page.shirt
    )
    draw.rectangle(
        (cx - 0.3 * u, cy + 0.8 * u, cx + 0.3 * u, cy + 1.5 * u),
        fill=tuple(round(c * 0.85) for c in page.skin),
    )
    disc(page.hair, 0, -0.35, 1.22, 1.2)
    for side in (-1, 1):
        disc(page.skin, side * 1.02, 0.05, 0.18, 0.26)
    disc(page.skin, 0, 0, 1.0, 1.06)
    disc(page.hair, 0, -1.0, 0.85, 0.28)
    for side in (-1, 1):
        disc((255, 255, 255), side * 0.38, -0.05, 0.17, 0.2)
        disc((40, 30, 30), side * 0.38, -0.03, 0.1, 0.14)
        disc(
            tuple(round(a * 0.8 + b * 0.2) for a, b in zip(page.skin, (255, 80, 80), strict=True)),
            side * 0.55,
            0.32,
            0.2,
            0.13,
        )
    disc(dark, 0, 0.22, 0.06, 0.05)
    draw.line(
        [at(-0.3 + 0.06 * k, 0.52 + 0.14 * (1 - ((k - 5) / 5) ** 2)) for k in range(11)],
        fill=dark,
        width=max(2, round(u * 0.06)),
    )
