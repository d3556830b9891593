"""Draws the pictures of ``docs/scheduling.md``: ``python -m benchmarks.scheduling_pictures docs/images``."""

import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks.scheduling import (
    MODELS,
    NODES,
    RENDER_S,
    SEEDS,
    Figure,
    Played,
    compare,
    play,
    play_fifo,
    play_ideal,
    trace,
)
from imagemill.domain.clock import SECOND
from imagemill.domain.placement import Choice, Fleet, Peek, PlacementRules
from imagemill.domain.scheduling import LaneHead, Offer

HORIZONS_S = (100.0, 200.0, 300.0, 400.0, 600.0, 1000.0)
BOUNDS_S = (30.0, 60.0, 100.0, 150.0, 250.0)
SKETCH_BOUNDS_S = (15.0, 60.0, 150.0, 300.0, 600.0, 1000.0)
DEFAULT = PlacementRules()
INK, FAINT = "#22252b", "#8a8f98"
LOAD = "#22252b"


def sketch(
    offer: Offer, heads: Iterable[LaneHead], fleet: Fleet, peek: Peek, rules: PlacementRules
) -> Choice | None:
    """What is compared with: stay with the model unless another lane's head is ahead by more than a bound."""
    del fleet, peek
    found = list(heads)
    if not found:
        return None
    first = min(found, key=lambda head: head.order)
    stay = min(
        (head for head in found if head.key.model in offer.loaded_models),
        key=lambda head: head.order,
        default=first,
    )
    ahead_s = max(stay.job.tag - first.job.tag, (stay.job.since - first.job.since) / SECOND)
    return Choice((first if ahead_s > rules.bound_s else stay).lane, "")


@dataclass(frozen=True, slots=True)
class Line:
    """One policy under a parameter that goes through some values."""

    name: str
    colour: str
    values: Sequence[float]
    runs: Sequence[Callable[..., Played]]
    labelled: Sequence[float]
    shift: tuple[int, int]
    """Where a point's label is put, in points, so that lines close by do not hide each other's."""


LINES = (
    Line(
        "keep the model within a bound (the sketch)",
        "#b0643c",
        SKETCH_BOUNDS_S,
        [partial(play, rules=PlacementRules(bound_s=value), policy=sketch) for value in SKETCH_BOUNDS_S],
        (150.0, 300.0, 600.0, 1000.0),
        (0, 11),
    ),
    Line(
        "worth of a load, by the bound",
        "#6f9a3e",
        BOUNDS_S,
        [partial(play, rules=PlacementRules(bound_s=value)) for value in BOUNDS_S],
        (30.0, 250.0),
        (-8, 4),
    ),
    Line(
        "worth of a load, by the horizon",
        "#2f6db3",
        HORIZONS_S,
        [partial(play, rules=PlacementRules(horizon_s=value)) for value in HORIZONS_S],
        (100.0, 200.0, 1000.0),
        (6, -8),
    ),
)


def figure_of(run: Callable[..., Played], seed: int) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        arrivals = trace(seed)
        return compare(run(Path(folder), arrivals), play_ideal(Path(folder), arrivals))


def averages(pool: ProcessPoolExecutor, runs: Sequence[Callable[..., Played]]) -> list[tuple[float, float]]:
    """Ratio and wait of each, over all seeds."""
    pairs = [(run, seed) for run in runs for seed in SEEDS]
    figures = list(pool.map(figure_of, *zip(*pairs, strict=True)))
    groups = [figures[start : start + len(SEEDS)] for start in range(0, len(figures), len(SEEDS))]
    return [(mean(f.ratio for f in group), mean(f.small_wait_s for f in group)) for group in groups]


@dataclass(frozen=True, slots=True)
class Frontier:
    """Pairs of makespan ratio and small owner's wait."""

    lines: Sequence[Sequence[tuple[float, float]]]
    fifo: tuple[float, float]
    default: tuple[float, float]


def play_frontier() -> Frontier:
    with ProcessPoolExecutor(2) as pool:
        fifo, default = averages(pool, [play_fifo, partial(play, rules=DEFAULT)])
        return Frontier([averages(pool, line.runs) for line in LINES], fifo, default)


def draw_frontier(target: Path, frontier: Frontier) -> None:
    """All of it, and beside it the corner that matters."""
    figure, (whole, corner) = plt.subplots(1, 2, figsize=(13, 5.8))
    for axes in (whole, corner):
        for line, points in zip(LINES, frontier.lines, strict=True):
            axes.plot(
                *zip(*points, strict=True), "o-", color=line.colour, label=line.name, markersize=5, lw=1.8
            )  # fmt: skip
        axes.plot(*frontier.default, "*", color="#d02f4b", markersize=17, label="the default", zorder=5)
        axes.fill_between([1.0, 1.2], 0, 60, color="#2f6db3", alpha=0.10, label="asked for", linewidth=0)
        axes.set_xlabel("makespan, times the ideal schedule's")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=FAINT, alpha=0.25)
    whole.plot(*frontier.fifo, "s", color=INK, markersize=8, label="first in, first out")
    whole.set(xlim=(1.0, 3.25), ylim=(0, 1500), title="All policies")
    whole.set_ylabel("longer mean wait of the worst-off small owner, seconds")
    whole.legend(frameon=False, loc="upper left")
    corner.set(xlim=(1.1, 1.45), ylim=(30, 100), title="The corner, with some values of the parameter")
    for line, points in zip(LINES, frontier.lines, strict=True):
        for value, point in zip(line.values, points, strict=True):
            if value in line.labelled:
                corner.annotate(
                    f"{value:.0f} s", point, xytext=line.shift, textcoords="offset points",
                    fontsize=9, color=line.colour, va="center", ha="left" if line.shift[0] >= 0 else "right",
                )  # fmt: skip
    figure.suptitle("What fairness costs in loads: eight nodes, twelve models, means of five seeds")
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    plt.close(figure)


def draw_timelines(target: Path, seed: int = 0) -> None:
    """Both on one time axis, so that the shorter one is seen to be shorter."""
    with tempfile.TemporaryDirectory() as folder:
        arrivals = trace(seed)
        fifo, ours = play_fifo(Path(folder), arrivals), play(Path(folder), arrivals)
        ideal_s = play_ideal(Path(folder), arrivals).makespan_s
    figure, rows = plt.subplots(2, 1, figsize=(12, 7.4), sharex=True)
    colours = [mpl.colormaps["tab20"](number) for number in (0, 2, 4, 8, 10, 12, 16, 18, 1, 3, 5, 9)]
    models = {f"model-{number:02}": colours[number - 1] for number in range(1, MODELS + 1)}
    for axes, played, name in zip(rows, (fifo, ours), ("First in, first out", "The default"), strict=True):
        _draw_nodes(axes, played, models)
        axes.axvline(ideal_s, color="#d02f4b", linewidth=1.2, linestyle="--")
        axes.set_title(
            f"{name}: {played.makespan_s:,.0f} s ({played.makespan_s / ideal_s:.2f} times ideal), "
            f"{played.loads:,} loads",
            loc="left",
        )
    rows[1].set_xlabel("seconds")
    handles: list[Artist] = [Patch(color=colour, label=model) for model, colour in models.items()]
    handles += [Patch(color=LOAD, label="a load"), Patch(facecolor="white", edgecolor=FAINT, label="idle")]
    handles.append(Line2D([], [], color="#d02f4b", lw=1.2, ls="--", label="end of the ideal schedule"))
    figure.legend(handles=handles, loc="lower center", ncols=8, frameon=False)
    figure.tight_layout(rect=(0, 0.075, 1, 1))
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _draw_nodes(axes: Any, played: Played, models: dict[str, Any]) -> None:
    for number in range(1, NODES + 1):
        spans = [span for span in played.spans if span.node == f"node-{number}"]
        loads = [(span.start_s, span.load_s) for span in spans if span.load_s]
        axes.broken_barh(loads, (number - 1.4, 0.8), color=LOAD, linewidth=0)
        for model, colour in models.items():
            renders = [(span.start_s + span.load_s, RENDER_S) for span in spans if span.model == model]
            axes.broken_barh(renders, (number - 1.4, 0.8), color=colour, linewidth=0)
    axes.set_yticks(range(NODES), [f"node {number}" for number in range(1, NODES + 1)])
    axes.set_ylim(NODES - 0.4, -0.6)
    axes.set_xlim(0, None)
    axes.spines[["top", "right"]].set_visible(False)


def main(folder: Path) -> int:
    draw_timelines(folder / "scheduling-timelines.png")
    draw_frontier(folder / "scheduling-frontier.png", play_frontier())
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
