"""A canvas that collects SVG: gradients, organic shapes, brush strokes and light, on 1000 x 1000 units."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

Point = tuple[float, float]
SIDE = 1000


def mix(first: str, second: str, share: float) -> str:
    """Return a colour between two colours; a share of 0 is the first one."""
    pairs = [(int(first[at : at + 2], 16), int(second[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(one + (other - one) * share):02x}" for one, other in pairs)


def smooth(points: Sequence[Point], *, closed: bool = True, tension: float = 0.5) -> str:
    """Return the path of a soft curve through points."""
    count = len(points)
    pieces = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for at in range(count if closed else count - 1):
        if closed:
            before, here, there, after = (points[(at + step) % count] for step in (-1, 0, 1, 2))
        else:
            before, here, there, after = (points[min(max(at + step, 0), count - 1)] for step in (-1, 0, 1, 2))
        pull = tension / 3
        first = (here[0] + (there[0] - before[0]) * pull, here[1] + (there[1] - before[1]) * pull)
        second = (there[0] - (after[0] - here[0]) * pull, there[1] - (after[1] - here[1]) * pull)
        pieces.append(
            f"C{first[0]:.1f} {first[1]:.1f} {second[0]:.1f} {second[1]:.1f} {there[0]:.1f} {there[1]:.1f}"
        )
    return "".join(pieces) + ("Z" if closed else "")


class Ink:
    """The drawing of one page. Shapes are painted in the order of the calls."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._parts: list[str] = []
        self._defs: list[str] = []
        self._known: dict[str, str] = {}

    def svg(self) -> str:
        defs = "".join(self._defs)
        size = f'viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" height="{SIDE}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}><defs>{defs}</defs>{"".join(self._parts)}</svg>'
        )

    def _define(self, text: str) -> str:
        """Return the id of a definition; equal ones are shared."""
        if text not in self._known:
            self._known[text] = f"d{len(self._known)}"
            tag, rest = text.split(" ", 1)
            self._defs.append(f'{tag} id="{self._known[text]}" {rest}')
        return self._known[text]

    def linear(self, *stops: tuple[float, str, float] | tuple[float, str], angle: float = 90) -> str:
        """Return a fill along a line; an angle of 90 degrees runs from top to bottom."""
        x, y = math.cos(math.radians(angle)) / 2, math.sin(math.radians(angle)) / 2
        ends = f'x1="{0.5 - x:.3f}" y1="{0.5 - y:.3f}" x2="{0.5 + x:.3f}" y2="{0.5 + y:.3f}"'
        return f"url(#{self._define(f'<linearGradient {ends}>{_stops(stops)}</linearGradient>')})"

    def radial(
        self,
        *stops: tuple[float, str, float] | tuple[float, str],
        cx: float = 0.5,
        cy: float = 0.5,
        r: float = 0.5,
    ) -> str:
        place = f'cx="{cx}" cy="{cy}" r="{r}"'
        return f"url(#{self._define(f'<radialGradient {place}>{_stops(stops)}</radialGradient>')})"

    def _blur(self, radius: float) -> str:
        area = 'x="-60%" y="-60%" width="220%" height="220%"'
        blur = f'<feGaussianBlur stdDeviation="{radius}"/>'
        return f"url(#{self._define(f'<filter {area}>{blur}</filter>')})"

    def _attributes(self, attributes: dict[str, object]) -> str:
        written = []
        for name, value in attributes.items():
            if value is None:
                continue
            if name == "blur":
                written.append(f' filter="{self._blur(float(str(value)))}"')
            elif name == "blend":
                written.append(f' style="mix-blend-mode:{value}"')
            else:
                shown = f"{value:.2f}" if isinstance(value, float) else value
                written.append(f' {name.replace("_", "-")}="{shown}"')
        return "".join(written)

    def path(self, d: str, fill: str = "none", **attributes: object) -> None:
        self._parts.append(f'<path d="{d}" fill="{fill}"{self._attributes(attributes)}/>')

    def shape(self, points: Sequence[Point], fill: str, **attributes: object) -> None:
        """A soft closed shape through points."""
        self.path(smooth(points), fill, **attributes)

    def polygon(self, points: Sequence[Point], fill: str, **attributes: object) -> None:
        self.path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z", fill, **attributes)

    def line(self, points: Sequence[Point], colour: str, width: float, **attributes: object) -> None:
        """A soft line with round ends through points."""
        self.path(
            smooth(points, closed=False, tension=1.0),
            stroke=colour,
            stroke_width=width,
            stroke_linecap="round",
            stroke_linejoin="round",
            **attributes,
        )

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, fill: str, turn: float = 0, **attributes: object
    ) -> None:
        if turn:
            attributes["transform"] = f"rotate({turn:.1f} {x:.1f} {y:.1f})"
        self._parts.append(
            f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}" fill="{fill}"'
            f"{self._attributes(attributes)}/>"
        )

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str,
        round_: float = 0,
        **attributes: object,
    ) -> None:
        size = f'width="{width:.1f}" height="{height:.1f}" rx="{round_}"'
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{fill}"{self._attributes(attributes)}/>'
        )

    def wash(self, fill: str, **attributes: object) -> None:
        """Fill the page."""
        self.rect(-20, -20, SIDE + 40, SIDE + 40, fill, **attributes)

    @contextmanager
    def group(
        self,
        x: float = 0,
        y: float = 0,
        scale: float = 1,
        turn: float = 0,
        *,
        flip: bool = False,
        clip: str | None = None,
        **attributes: object,
    ) -> Iterator[None]:
        """Move, turn and scale what is drawn inside; ``clip`` is the path to which it is cut."""
        across = -scale if flip else scale
        place = f"translate({x:.1f} {y:.1f}) rotate({turn:.2f}) scale({across:.4f} {scale:.4f})"
        if clip is not None:
            cut = self._define(f'<clipPath clipPathUnits="userSpaceOnUse"><path d="{clip}"/></clipPath>')
            attributes["clip_path"] = f"url(#{cut})"
        self._parts.append(f'<g transform="{place}"{self._attributes(attributes)}>')
        yield
        self._parts.append("</g>")

    def textured(
        self,
        points: Sequence[Point] | str,
        fill: str,
        strokes: Sequence[str],
        *,
        count: int = 60,
        length: float = 60,
        width: float = 5,
        angle: float = 0,
        opacity: float = 0.16,
    ) -> None:
        """A shape with brush strokes of some colours on it."""
        d = points if isinstance(points, str) else smooth(points)
        self.path(d, fill)
        xs, ys = _numbers(d)
        with self.group(clip=d):
            for _ in range(count):
                x, y = self.random.uniform(min(xs), max(xs)), self.random.uniform(min(ys), max(ys))
                self.stroke(x, y, length, width, angle, self.random.choice(strokes), opacity)

    def stroke(
        self, x: float, y: float, length: float, width: float, angle: float, colour: str, opacity: float
    ) -> None:
        """One stroke of a brush, slightly bent."""
        turn = math.radians(angle + self.random.gauss(0, 9))
        half = length * self.random.uniform(0.3, 0.7)
        dx, dy = math.cos(turn) * half, math.sin(turn) * half
        bend = self.random.uniform(-0.18, 0.18)
        middle = (x - dy * bend, y + dx * bend)
        thick = width * self.random.uniform(0.5, 1.5)
        strength = opacity * self.random.uniform(0.5, 1.3)
        self.line([(x - dx, y - dy), middle, (x + dx, y + dy)], colour, thick, opacity=strength)

    def glow(self, x: float, y: float, radius: float, colour: str, strength: float = 0.9) -> None:
        """Light around a point."""
        fill = self.radial(
            (0, colour, strength),
            (0.25, colour, strength * 0.55),
            (0.6, colour, strength * 0.16),
            (1, colour, 0),
        )
        with self.group(blend="screen"):
            self.ellipse(x, y, radius, radius, fill)

    def shade(self, fill: str, opacity: float = 1) -> None:
        """Darken or tint the page."""
        with self.group(blend="multiply", opacity=opacity):
            self.wash(fill)


def _stops(stops: Sequence[tuple[float, str, float] | tuple[float, str]]) -> str:
    written = []
    for stop in stops:
        opacity = f' stop-opacity="{stop[2]:.3f}"' if len(stop) == 3 else ""
        written.append(f'<stop offset="{stop[0]:.3f}" stop-color="{stop[1]}"{opacity}/>')
    return "".join(written)


def _numbers(d: str) -> tuple[list[float], list[float]]:
    """All x and all y of a path with absolute commands."""
    xs, ys = [], []
    for command, written in re.findall(r"([A-Z])([^A-Z]*)", d):
        numbers = [float(each) for each in re.findall(r"-?[\d.]+", written)]
        if command == "V":
            ys += numbers
        elif command == "H":
            xs += numbers
        else:
            xs += numbers[::2]
            ys += numbers[1::2]
    return xs, ys


def circle(
    x: float, y: float, radius: float, count: int = 12, uneven: float = 0, random: Random | None = None
) -> list[Point]:
    """Points around a centre, for a soft shape."""
    found = []
    for at in range(count):
        far = radius * (1 + (random.uniform(-uneven, uneven) if random else 0))
        turn = math.tau * at / count
        found.append((x + far * math.cos(turn), y + far * math.sin(turn)))
    return found
