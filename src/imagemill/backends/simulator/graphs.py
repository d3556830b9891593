"""Read from a ComfyUI graph the facts that the simulator needs: pictures, checkpoint, steps.

A graph comes from a client and is not trusted: anything that cannot be read makes it an invalid graph, and
the message names the node and the input.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, cast

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec
from imagemill.graphs.json_access import mapping
from imagemill.graphs.size import picture_counts
from imagemill.graphs.timed_graph import NodeTimes

SMALLEST, LARGEST, DEFAULT_SIDE = 16, 4096, 512
"""Smallest, largest and default pixels of a side."""
MOST_STEPS = 1000
MOST_IN_BATCH = 64
MOST_PICTURES = 256
LARGEST_SEED = 2**64 - 1

_SIZED = re.compile("latent|image", re.IGNORECASE)
_WHOLE = re.compile(r"-?\d{1,20}", re.ASCII)
_CARRIED_AS = ("value", "seed", "noise_seed", "text", "string", "int", "float", "number")
"""Names of the input that holds the value in nodes that only hold a value."""
_DEEPEST_LINK = 20
"""Links to values that are followed in a row; protects from cycles."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    id: str
    kind: str
    inputs: Mapping[str, Any]

    @property
    def is_output(self) -> bool:
        return self.kind.startswith(("Save", "Preview"))

    @property
    def format(self) -> str:
        kind = self.kind.lower()
        if "webp" in kind:
            return "webp"
        return "jpeg" if "jpg" in kind or "jpeg" in kind else "png"


@dataclass(frozen=True, slots=True)
class GraphPlan:
    pictures: tuple[tuple[ImageSpec, int], ...]
    """Each picture's request and its index in the batch."""
    model: str
    steps: int


Nodes = dict[str, GraphNode]


def read_graph(work: GraphSpec) -> GraphPlan:
    """Read a graph.

    Raises `BackendError` (invalid_graph) for a graph without an output node or with values of wrong types.
    """
    nodes = _nodes(work.graph)
    outputs = [node for node in nodes.values() if node.is_output]
    if not outputs:
        raise _invalid("the graph has no output node (SaveImage, PreviewImage, SaveImageWebsocket)")
    pictures: list[tuple[ImageSpec, int]] = []
    counts = picture_counts(work.graph)
    for output in outputs:
        spec = _spec(nodes, output, work, counts.get(output.id))
        pictures += ((spec, index) for index in range(spec.count))
    if len(pictures) > MOST_PICTURES:
        raise _invalid(f"the graph makes {len(pictures)} pictures; at most {MOST_PICTURES} are simulated")
    named = next((spec.model for spec, _ in pictures if spec.model), "")
    return GraphPlan(
        pictures=tuple(pictures),
        model=work.models[0] if work.models else named,
        steps=max(spec.steps for spec, _ in pictures),
    )


_PARTS = {
    "load": re.compile("Loader", re.IGNORECASE),
    "sample": re.compile("Sampler", re.IGNORECASE),
    "save": re.compile("Decode|Save|Preview", re.IGNORECASE),
}
"""Part of a simulated render -> the node classes that do it."""


@dataclass(frozen=True, slots=True)
class NodeParts:
    """The nodes of a graph by the part of a simulated render that they are."""

    by_name: Mapping[str, Sequence[str]]
    """A name of `_PARTS` -> its nodes; a node may be in several parts."""
    others: Sequence[str]


def parts_of(graph: Mapping[str, Any]) -> NodeParts:
    kinds = {node_id: str(mapping(node).get("class_type")) for node_id, node in graph.items()}
    by_name = {
        name: tuple(node for node, kind in kinds.items() if words.search(kind))
        for name, words in _PARTS.items()
    }
    others = tuple(node for node in kinds if not any(node in nodes for nodes in by_name.values()))
    return NodeParts(by_name, others)


class GraphClock:
    """The times of the nodes of a simulated render: the nodes of a part share the time of the part."""

    def __init__(self, parts: NodeParts) -> None:
        self._parts, self._others = parts.by_name, parts.others
        self._times = NodeTimes()
        self._current: tuple[str, float] | None = None

    def begin(self, part: str, now: float) -> None:
        self.end(now)
        if part == "sample":
            for node in self._others:
                self._times.enter(node, now)
        self._current = (part, now)

    def skip(self, part: str) -> None:
        """Note that the results of the part were cached."""
        for node in self._parts[part]:
            self._times.skip(node)
        self._current = None

    def end(self, now: float) -> None:
        if self._current is None:
            return
        part, began = self._current
        nodes = self._parts[part]
        for number, node in enumerate(nodes):
            self._times.enter(node, began + (now - began) * number / len(nodes))
        self._times.enter(None, now)
        self._current = None

    def details(self, began: float) -> Mapping[str, Any]:
        return self._times.details(began)


def _nodes(graph: object) -> Nodes:
    if not isinstance(graph, Mapping) or not graph:
        raise _invalid("the graph is not an object of nodes by id")
    nodes: Nodes = {}
    for key, content in cast("Mapping[object, object]", graph).items():
        name = str(key)
        if not isinstance(content, Mapping):
            raise _invalid(f"node {name[:40]} is not an object")
        node = cast("Mapping[str, object]", content)
        kind = node.get("class_type", node.get("classType"))
        inputs = node.get("inputs", {})
        if not isinstance(kind, str) or not kind:
            raise _invalid(f"node {name[:40]} has no class_type")
        if not isinstance(inputs, Mapping):
            raise _invalid(f"node {name[:40]} ({kind[:60]}): inputs is not an object")
        nodes[name] = GraphNode(name, kind, cast("Mapping[str, Any]", inputs))
    return nodes


def _spec(nodes: Nodes, output: GraphNode, work: GraphSpec, count: int | None) -> ImageSpec:
    """The picture an output node saves, read from the nodes it depends on, the nearest first.

    ``count``: the pictures of the batch it gets, with repeats and selections, if known.
    """
    chain = _upstream(nodes, output)
    batch = _whole(nodes, _first_input(chain, "batch_size"), 1, 1, MOST_IN_BATCH)
    count = batch if count is None else count
    sized = _find_sized(nodes, chain)
    model = _text(nodes, _first_input(chain, "ckpt_name", "unet_name"))
    return ImageSpec(
        prompt=_prompt(nodes, chain),
        negative_prompt="",
        model=model,
        model_path=model,
        family="",
        width=_whole(nodes, (sized, "width"), DEFAULT_SIDE, SMALLEST, LARGEST),
        height=_whole(nodes, (sized, "height"), DEFAULT_SIDE, SMALLEST, LARGEST),
        steps=_whole(nodes, _first_input(chain, "steps"), 1, 1, MOST_STEPS),
        cfg_scale=_number(nodes, _first_input(chain, "cfg", "guidance"), 1.0),
        sampler=_text(nodes, _first_input(chain, "sampler_name")) or "no sampler",
        scheduler=_text(nodes, _first_input(chain, "scheduler")) or "no scheduler",
        seed=_whole(nodes, _first_input(chain, "noise_seed", "seed"), work.seed or 0, 0, LARGEST_SEED),
        count=min(count, MOST_PICTURES + 1),
        format=output.format,
    )


Place = tuple[GraphNode | None, str]
"""An input of a node, or nothing."""


def _upstream(nodes: Nodes, output: GraphNode) -> list[GraphNode]:
    """The node and all nodes it depends on, breadth first, except those that only a negative prompt needs."""
    seen = {output.id}
    found: list[GraphNode] = []
    waiting = deque([output])
    while waiting:
        node = waiting.popleft()
        found.append(node)
        for name, value in node.inputs.items():
            target = _target(nodes, node, name, value)
            if target is not None and target.id not in seen and name != "negative":
                seen.add(target.id)
                waiting.append(target)
    return found


def _target(nodes: Nodes, node: GraphNode, name: str, value: object) -> GraphNode | None:
    """The node a link ``[id, output]`` leads to; None when the value is not a link."""
    if not isinstance(value, list | tuple):
        return None
    link = cast("list[object] | tuple[object, ...]", value)
    if len(link) != 2 or not isinstance(link[0], str | int) or type(link[1]) is not int:
        return None
    target = nodes.get(str(link[0]))
    if target is None:
        raise _invalid(f"{_where((node, name))} refers to node {str(link[0])[:40]}, which is not there")
    return target


def _first_input(chain: Iterable[GraphNode], *names: str) -> Place:
    for node in chain:
        for name in names:
            if name in node.inputs:
                return node, name
    return None, names[0]


def _find_sized(nodes: Nodes, chain: Iterable[GraphNode]) -> GraphNode | None:
    """The nearest node that determines the size; a scaling to 0 keeps the size of its input."""
    for node in chain:
        if _SIZED.search(node.kind) and "width" in node.inputs and "height" in node.inputs:
            sides = [_value(nodes, (node, side)) for side in ("width", "height")]
            if not ("scale" in node.kind.lower() and 0 in sides):
                return node
    return None


def _prompt(nodes: Nodes, chain: Iterable[GraphNode]) -> str:
    encoders = [node for node in chain if "textencode" in node.kind.lower()]
    return _text(nodes, _first_input(encoders, "text", "text_g", "t5xxl", "clip_l", "prompt"))


def _value(nodes: Nodes, place: Place, depth: int = 0) -> object:
    """The value of an input, followed through nodes that only hold a value; None if it is not known."""
    node, name = place
    if node is None or name not in node.inputs:
        return None
    value = node.inputs[name]
    target = _target(nodes, node, name, value)
    if target is None:
        if value is None:
            raise _wrong_type(place, "a value", value)
        return value
    if depth >= _DEEPEST_LINK:
        return None
    carried = _first_input([target], name, *_CARRIED_AS)
    return _value(nodes, carried, depth + 1)


def _whole(nodes: Nodes, place: Place, default: int, low: int, high: int) -> int:
    value = _value(nodes, place)
    if value is None:
        return default
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _wrong_type(place, "a whole number", value)
    return max(low, min(high, int(value)))


def _number(nodes: Nodes, place: Place, default: float) -> float:
    value = _value(nodes, place)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _wrong_type(place, "a number", value)
    return float(max(-1e6, min(1e6, value)))


def _text(nodes: Nodes, place: Place) -> str:
    value = _value(nodes, place)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong_type(place, "a text", value)
    return value


def _wrong_type(place: Place, wanted: str, value: object) -> BackendError:
    return _invalid(f"{_where(place)} is not {wanted} but {repr(value)[:40]}")


def _where(place: Place) -> str:
    node, name = place
    return f"node {node.id[:40]} ({node.kind[:60]}): input {name[:40]}" if node else f"input {name[:40]}"


def _invalid(message: str) -> BackendError:
    return BackendError(FailureCode.INVALID_GRAPH, message)
