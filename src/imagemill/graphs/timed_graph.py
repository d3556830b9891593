"""A graph as people look at it: its nodes with their values, the links between them, and the time of each."""

from collections.abc import Iterable, Mapping
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.graphs.json_access import mapping, number, sequence, text

TIMES = "graphTimes"
"""The detail of a render with the times of its graph's nodes: ``{"nodes": {id: [startMs, ms]},
"cached": [id]}``. Milliseconds; starts are counted from the beginning of the render."""
MOST_TIMED = 500
"""Most nodes of a graph whose times are kept, those that took longest."""
MOST_SHOWN = 1000
"""Most nodes of a graph that are given."""
_LONGEST_VALUE = 300


@dataclass(frozen=True, slots=True)
class TimedNode:
    id: str
    kind: str
    """Its class in ComfyUI."""
    title: str
    values: Mapping[str, str | int | float | bool]
    """Its inputs that are no links; long texts are cut."""
    start_ms: float | None
    ms: float | None
    cached: bool


@dataclass(frozen=True, slots=True)
class Link:
    source: str
    output: int
    target: str
    input: str


@dataclass(frozen=True, slots=True)
class TimedGraph:
    nodes: tuple[TimedNode, ...]
    links: tuple[Link, ...]


def timed_graph(graph: Mapping[str, Any], times: Mapping[str, Any]) -> TimedGraph:
    """Return a graph in API format with its times (`TIMES`). What is malformed is left out."""
    spans, cached = mapping(times.get("nodes")), {str(each) for each in sequence(times.get("cached"))}
    nodes: list[TimedNode] = []
    links: list[Link] = []
    shown = {node_id: mapping(node) for node_id, node in list(graph.items())[:MOST_SHOWN]}
    for node_id, node in shown.items():
        values: dict[str, str | int | float | bool] = {}
        for name, value in mapping(node.get("inputs")).items():
            link = sequence(value)
            if len(link) == 2 and str(link[0]) in shown and type(link[1]) is int:
                links.append(Link(str(link[0]), link[1], node_id, name))
            elif isinstance(value, str):
                values[name] = value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."
            elif isinstance(value, int | float):
                values[name] = value
        kind = text(node.get("class_type"))
        title = text(mapping(node.get("_meta")).get("title")) or kind
        start_ms, ms = (*map(number, sequence(spans.get(node_id))), None, None)[:2]
        nodes.append(TimedNode(node_id, kind, title, values, start_ms, ms, node_id in cached))
    return TimedGraph(tuple(nodes), tuple(links))


class NodeTimes:
    """The times of the nodes of a graph, noted while it is rendered. All times are seconds of one clock."""

    def __init__(self) -> None:
        self._spans: dict[str, tuple[float, float]] = {}
        """Node -> when it began first, and the seconds it took in all."""
        self._cached: set[str] = set()
        self._current: tuple[str, float] | None = None

    def enter(self, node: str | None, now: float) -> None:
        """Note that a node begins, which ends the one before; None only ends it."""
        if self._current is not None:
            if self._current[0] == node:
                return
            before, since = self._current
            began, took_s = self._spans.get(before, (since, 0.0))
            self._spans[before] = (began, took_s + max(0.0, now - since))
        self._current = None if node is None else (node, now)

    def skip(self, node: str) -> None:
        """Note that the result of a node was cached."""
        self._cached.add(node)

    def clear(self) -> None:
        self._spans.clear()
        self._cached.clear()
        self._current = None

    def details(self, began: float) -> dict[str, Any]:
        """Return the details of a render that began at this time; empty where nothing was noted."""
        if not self._spans and not self._cached:
            return {}
        spans: Iterable[tuple[str, tuple[float, float]]] = self._spans.items()
        if len(self._spans) > MOST_TIMED:
            spans = sorted(spans, key=lambda pair: -pair[1][1])[:MOST_TIMED]
        nodes = {
            node: [round(max(0.0, start - began) * 1000, 1), round(took_s * 1000, 1)]
            for node, (start, took_s) in sorted(spans, key=lambda pair: (pair[1][0], -pair[1][1]))
        }
        return {TIMES: {"nodes": nodes, "cached": sorted(self._cached)[:MOST_TIMED]}}
