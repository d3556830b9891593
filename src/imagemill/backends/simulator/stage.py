"""Where a person is drawn: shapes in half heads, put on the canvas in pixels."""

from dataclasses import dataclass
from itertools import pairwise
from random import Random

from PIL import ImageDraw

from imagemill.backends.simulator.canvas import Colour, Point


@dataclass(frozen=True, slots=True)
class Stage:
    """A canvas with the middle of the head as the origin."""

    draw: ImageDraw.ImageDraw
    random: Random
    x: float
    y: float
    unit: float
    """Px of half a head."""
    fine: bool

    def at(self, *points: Point) -> list[Point]:
        return [(self.x + x * self.unit, self.y + y * self.unit) for x, y in points]

    def shape(self, colour: Colour, *points: Point) -> None:
        self.draw.polygon(self.at(*points), fill=colour)

    def disc(self, colour: Colour, x: float, y: float, rx: float, ry: float | None = None) -> None:
        (cx, cy), u = self.at((x, y))[0], self.unit
        ry = rx if ry is None else ry
        self.draw.ellipse((cx - rx * u, cy - ry * u, cx + rx * u, cy + ry * u), fill=colour)

    def line(self, colour: Colour, thick: float, *points: Point) -> None:
        width = max(1, round(thick * self.unit))
        self.draw.line(self.at(*points), fill=colour, width=width, joint="curve")

    def limb(self, colour: Colour, *joints: tuple[float, float, float]) -> None:
        """A rounded, tapering chain of (x, y, radius)."""
        for (x1, y1, r1), (x2, y2, r2) in pairwise(joints):
            length = max(1e-6, ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5)
            nx, ny = (y1 - y2) / length, (x2 - x1) / length
            self.shape(colour, (x1 + nx * r1, y1 + ny * r1), (x2 + nx * r2, y2 + ny * r2),
                       (x2 - nx * r2, y2 - ny * r2), (x1 - nx * r1, y1 - ny * r1))  # fmt: skip
        for x, y, r in joints:
            self.disc(colour, x, y, r)
