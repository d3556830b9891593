"""Which nodes of a graph run, and in which order."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

Graph = Mapping[str, Any]


class WorkerEnds(Exception):
    """Raised where a real server's worker thread ends, as nothing catches the error there."""


def is_link(value: Any) -> bool:
    """Whether the server follows a value: a text and any number in a list, under declared inputs or not."""
    if not isinstance(value, list):
        return False
    parts: list[Any] = value
    return len(parts) == 2 and isinstance(parts[0], str) and isinstance(parts[1], int | float)


def links(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The nodes and outputs that a node takes from, in the order of its inputs."""
    for value in node["inputs"].values():
        if is_link(value):
            yield value[0], value[1]


def signatures(graph: Graph, changed: Callable[[str, Mapping[str, Any]], str]) -> dict[str, str]:
    """A text for each node, equal when its class, its inputs and all before it are; `changed` adds to it."""
    found: dict[str, str] = {}

    def sign(name: str) -> str:
        if name not in found:
            node = graph[name]
            parts = [node["class_type"], changed(name, node)]
            for key, value in sorted(node["inputs"].items()):
                linked = is_link(value) and value[0] in graph
                parts.append(f"{key}={sign(value[0])}#{value[1]}" if linked else f"{key}={value!r}")
            found[name] = hashlib.md5("\n".join(parts).encode(), usedforsecurity=False).hexdigest()
        return found[name]

    for name in graph:
        if "inputs" in graph[name]:
            sign(name)
    return found


class Order:
    """Nodes in the order a server runs them: outputs as soon as they can, then what leads to one directly."""

    def __init__(self, graph: Graph, outputs: Collection[str], cached: Mapping[str, int]) -> None:
        """`cached`: node to the number of its outputs. Raises WorkerEnds for a link to nowhere."""
        self._outputs = set(outputs)
        self._waits: dict[str, set[str]] = {}
        self._feeds: dict[str, list[str]] = {}
        for output in outputs:
            self._add(graph, output, cached)

    def _add(self, graph: Graph, output: str, cached: Mapping[str, int]) -> None:
        stack = [output]
        while stack:
            name = stack.pop()
            if name in self._waits:
                continue
            self._waits[name] = set()
            self._feeds.setdefault(name, [])
            if name in cached:
                continue
            for source, slot in links(graph[name]):
                if source not in graph:
                    raise WorkerEnds(f"node {source} not found")
                if source in cached:
                    if isinstance(slot, float) or slot >= cached[source]:
                        raise WorkerEnds("list index out of range")
                    continue
                self._waits[name].add(source)
                self._feeds.setdefault(source, []).append(name)
                stack.append(source)

    def __iter__(self) -> Iterator[str]:
        waiting = self._waits
        while waiting:
            ready = [name for name, sources in waiting.items() if not sources]
            chosen = self._pick(ready)
            yield chosen
            del waiting[chosen]
            for fed in self._feeds[chosen]:
                if fed in waiting:
                    waiting[fed].discard(chosen)

    def _pick(self, ready: list[str]) -> str:
        for distance in range(3):
            for name in ready:
                if self._leads(name, distance):
                    return name
        return ready[0]

    def _leads(self, name: str, distance: int) -> bool:
        if distance == 0:
            return name in self._outputs
        return any(self._leads(fed, distance - 1) for fed in self._feeds[name])
