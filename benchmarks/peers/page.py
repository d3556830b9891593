"""The figures of the measured peers, as Markdown tables and drawn bars."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.peers import turns
from benchmarks.peers.stage import CLIENTS
from benchmarks.peers.turns import Standing

COMPARED_WITH = ("Fastify", "comfy-api-proxy")
"""The peers whose rate the ratios are to; where none ran, the first one that did."""
BEGIN, END = "<!-- figures: make bench-peers -->", "<!-- end of the figures -->"
"""The lines of a page between which the figures are replaced."""

SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
PAPER, EDGE, INK, SOFT = "#fbfaf7", "#d9d5cb", "#22252b", "#5c6470"
OURS, THEIRS, NO_WORK = "#2f6db3", "#b0643c", "#b9b4a8"
WIDTH, LEFT, ROW, TOP = 960, 400, 34, 64


@dataclass(frozen=True, slots=True)
class Bars:
    """One drawing: what of a standing it shows. ``number`` formats it."""

    name: str
    title: str
    value: Callable[[Standing], float]
    number: str


BARS = (
    Bars("rate", "jobs a second: more is better", lambda standing: standing.per_second, "{:,.0f}"),
    Bars("latency", "p50 of a job in ms: less is better", lambda standing: standing.p50_ms, "{:.1f}"),
    Bars(
        "cpu", "CPU of a job in ms, all processes: less is better", lambda standing: standing.cpu_ms, "{:.2f}"
    ),
)


def figures(standings: Sequence[Standing], seconds: float, pictures: str) -> str:
    """Return the Markdown of all figures. ``pictures``: the folder of the drawings, as the page names it."""
    rounds = max((len(standing.turns) for standing in standings), default=0)
    parts = [
        f"Medians of {rounds} turns of {seconds:g} s each, {CLIENTS} clients; {_machine()}; mean load of the "
        f"machine in the last 15 minutes of the run, its own included: {os.getloadavg()[2]:.0f}."
    ]
    for group, members in _groups(standings).items():
        parts += [f"### {group[0].upper()}{group[1:]}", tables(members)]
        parts += [f"![{bars.title}]({pictures}/{_file(group, bars)})" for bars in BARS]
    return "\n\n".join(parts)


def tables(standings: Sequence[Standing]) -> str:
    """Return the table of the peers in their best layout, what each stores, and all layouts."""
    found = turns.best(standings)
    base = _base(found)
    kept = ["| | what an accepted job survives |", "|---|---|"]
    kept += [f"| {each.peer.title} | {each.peer.durable} |" for each in found]
    head = _head(base)
    best = [_row(f"**{each.peer.title}**<br>{each.layout}", each, base) for each in found]
    every = [_row(f"{each.peer.title}: {each.layout}", each, base) for each in standings]
    return "\n".join([*head, *best, "", *kept, "", "Every layout:", "", *head, *every])


def write(standings: Sequence[Standing], seconds: float, page: Path, pictures: Path) -> None:
    """Replace the figures of a page, and draw its pictures. Raises `ValueError` without the two marks."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN} and {END}")
    folder = os.path.relpath(pictures, page.parent)
    page.write_text(f"{before}{BEGIN}\n\n{figures(standings, seconds, folder)}\n\n{END}{after}")
    pictures.mkdir(parents=True, exist_ok=True)
    for group, members in _groups(standings).items():
        for bars in BARS:
            (pictures / _file(group, bars)).write_text(draw(bars, turns.best(members)))


def draw(bars: Bars, standings: Sequence[Standing]) -> str:
    """Return an SVG with a bar for each standing that was measured."""
    rows = [(standing, bars.value(standing)) for standing in standings if standing.turns]
    longest = max((value for _, value in rows), default=1.0)
    height = TOP + ROW * len(rows) + 20
    room = WIDTH - LEFT - 110
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" font-family="{SANS}">',
        f"<title>{escape(bars.title)}</title>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="14" '
        f'fill="{PAPER}" stroke="{EDGE}"/>',
        f'<text x="24" y="38" font-size="18" font-weight="600" fill="{INK}">{escape(bars.title)}</text>',
    ]
    for number, (standing, value) in enumerate(rows):
        top, width = TOP + ROW * number, max(2.0, value / longest * room)
        parts += [
            f'<text x="{LEFT - 12}" y="{top + 18}" font-size="14" fill="{INK}" text-anchor="end">'
            f"{escape(standing.peer.title)}</text>",
            f'<rect x="{LEFT}" y="{top + 3}" width="{width:.1f}" height="{ROW - 12}" rx="3" '
            f'fill="{_colour(standing)}"/>',
            f'<text x="{LEFT + width + 8:.1f}" y="{top + 18}" font-size="14" fill="{SOFT}">'
            f"{bars.number.format(value)}</text>",
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _colour(standing: Standing) -> str:
    if not standing.peer.does_work:
        return NO_WORK
    return OURS if standing.peer.title.startswith("Imagemill") else THEIRS


def _groups(standings: Sequence[Standing]) -> dict[str, list[Standing]]:
    groups: dict[str, list[Standing]] = {}
    for standing in standings:
        groups.setdefault(standing.peer.group, []).append(standing)
    return groups


def _file(group: str, bars: Bars) -> str:
    return f"peers-{group.replace(' ', '-')}-{bars.name}.svg"


def _machine() -> str:
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}"


def _head(base: Standing | None) -> list[str]:
    to = f"to {base.peer.title.partition(',')[0]}" if base is not None else "ratio"
    return [
        f"| | jobs a second | {to} | p50 | p99 | CPU a job | memory | client's CPU a job |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]


def _row(name: str, standing: Standing, base: Standing | None) -> str:
    if not standing.turns or base is None:
        return f"| {name} | not measured: {standing.reason} | | | | | | |"
    return (
        f"| {name} | {standing.per_second:,.0f} | {standing.ratio_to(base):.2f} | {standing.p50_ms:.1f} ms "
        f"| {standing.p99_ms:.1f} ms | {standing.cpu_ms:.2f} ms | {standing.memory_mb:.0f} MB "
        f"| {standing.client_cpu_ms:.2f} ms |"
    )


def _base(standings: Sequence[Standing]) -> Standing | None:
    ran = [each for each in standings if each.turns]
    named = [each for each in ran if each.peer.title.startswith(COMPARED_WITH)]
    return next(iter([*named, *ran]), None)
