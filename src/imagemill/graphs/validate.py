"""Validate a graph against a node's declared classes, as the node's own validator would.

Links are checked more strictly: the node's validator looks at declared inputs only, but its executor follows
every value that looks like a link, and its worker thread ends at one that leads nowhere.
"""

from collections.abc import Container, Iterator, Mapping
from math import isfinite
from typing import Any, Literal, cast

from imagemill.domain.dataclass import dataclass
from imagemill.graphs.errors import KIND_WORDS
from imagemill.graphs.files import MODEL_FILES, file_kind
from imagemill.graphs.json_access import format_value, mapping, number, sequence
from imagemill.graphs.node_classes import BRANCHING, CHOICE, InputSpec, NodeClass, unfold

FaultKind = Literal[
    "missing_class",
    "missing_file",
    "missing_input",
    "value_not_in_list",
    "out_of_range",
    "bad_link",
    "wrong_type",
    "no_output",
    "cycle",
]

_VALUE_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", CHOICE, BRANCHING, "*"})
"""Types that nodes convert into each other: a link between them is left to the node to validate."""

_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of values that are no links."""

Graph = Mapping[str, Mapping[str, Any]]
Classes = Mapping[str, NodeClass]


@dataclass(frozen=True, slots=True)
class GraphFault:
    node_id: str
    """Empty for a fault of the whole graph."""
    class_type: str
    input: str
    """Empty for a fault of the whole node."""
    kind: FaultKind
    value: Any
    message: str
    """A sentence that names the node, the input and the remedy."""


@dataclass(frozen=True, slots=True)
class _GraphNode:
    id: str
    kind: NodeClass
    inputs: Mapping[str, Any]

    def fault(self, input_: str, kind: FaultKind, value: Any, message: str) -> GraphFault:
        message = f"node {self.id} ({self.kind.name}): {input_} {message}"
        return GraphFault(self.id, self.kind.name, input_, kind, value, message)


def faults(graph: Graph, classes: Classes, files: Container[tuple[str, str]]) -> list[GraphFault]:
    """The faults of a graph. ``files``: the (class, input) pairs that list model files."""
    found = list(_missing_classes(graph, classes))
    outputs = [id_ for id_, node in graph.items() if _is_output(node, classes)]
    if not outputs and not found:
        message = "the graph has no output node; add one that keeps the result, such as SaveImage"
        found.append(GraphFault("", "", "", "no_output", None, message))
    sources = {id_: _sources(graph, id_) for id_ in graph}
    cycle = _cycle(sources, outputs)
    if cycle:
        message = f"the nodes {' -> '.join(cycle)} depend on each other in a circle; cut one of the links"
        found.append(GraphFault(cycle[0], _class_of(graph, cycle[0]), "", "cycle", None, message))
    for id_ in _reachable(sources, outputs):
        kind = classes.get(_class_of(graph, id_))
        if kind is None:
            continue
        node = _GraphNode(id_, kind, graph[id_]["inputs"])
        declared = dict(unfold(kind.inputs, node.inputs)) if kind.readable else {}
        found += _node_faults(node, declared, graph, classes, files)
        found += _undeclared_link_faults(node, declared, graph, classes)
    return found


def parse_link(value: object) -> tuple[str, int] | None:
    """The node and output a value links to; None when it is not a valid link."""
    # Written out, as it is asked of every input of every job's graph, several times.
    if not isinstance(value, list | tuple):
        return None
    parts = cast("list[Any] | tuple[Any, ...]", value)
    if len(parts) != 2 or not isinstance(parts[0], str) or type(parts[1]) is not int:
        return None
    return parts[0], parts[1]


def is_followed(value: object) -> bool:
    """Whether a server follows the value as a link, valid or not: a text and a number, in a list."""
    parts = sequence(value)
    return len(parts) == 2 and isinstance(parts[0], str) and isinstance(parts[1], int | float)


def _missing_classes(graph: Graph, classes: Classes) -> Iterator[GraphFault]:
    for id_, node in graph.items():
        kind = node["class_type"]
        if kind not in classes:
            message = (
                f"node {id_}: the node class {kind} is not installed; install its node pack on the server"
            )
            yield GraphFault(id_, kind, "", "missing_class", kind, message)


def _class_of(graph: Graph, id_: str) -> str:
    return graph[id_]["class_type"]


def _is_output(node: Mapping[str, Any], classes: Classes) -> bool:
    kind = classes.get(node["class_type"])
    return kind is not None and kind.is_output


def _sources(graph: Graph, id_: str) -> list[str]:
    values = (_unwrapped(value) for value in graph[id_]["inputs"].values() if type(value) not in _PLAIN)
    return [value[0] for value in values if is_followed(value) and value[0] in graph]


def reachable_ids(graph: Graph, outputs: list[str]) -> list[str]:
    """The ids of all nodes that the outputs depend on, in the graph's order. The server ignores the
    others."""
    return _reachable({id_: _sources(graph, id_) for id_ in graph}, outputs)


def _reachable(sources: Mapping[str, list[str]], outputs: list[str]) -> list[str]:
    seen, waiting = set(outputs), list(outputs)
    while waiting:
        for source in sources[waiting.pop()]:
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    return [id_ for id_ in sources if id_ in seen]


def _cycle(sources: Mapping[str, list[str]], outputs: list[str]) -> list[str]:
    """The first cycle found from the outputs, with its first node repeated at its end; empty if there is
    none."""
    done: set[str] = set()
    for start in outputs:
        path: list[str] = [start]
        on_path = {start}
        branches = [iter(sources[start])]
        while branches:
            following = next(branches[-1], None)
            if following is None:
                branches.pop()
                done.add(path[-1])
                on_path.discard(path.pop())
            elif following in on_path:
                return [*path[path.index(following) :], following]
            elif following not in done:
                path.append(following)
                on_path.add(following)
                branches.append(iter(sources[following]))
    return []


def _unwrapped(value: Any) -> Any:
    """The value of an input. A server takes a list that is no link from ``{"__value__": [...]}``, and
    afterwards follows it as a link if it looks like one."""
    return mapping(value).get("__value__", value)


def _undeclared_link_faults(
    node: _GraphNode, declared: Container[str], graph: Graph, classes: Classes
) -> Iterator[GraphFault]:
    for name, value in node.inputs.items():
        if name not in declared and is_followed(value):
            fault = _link_fault(node, name, "*", value, graph, classes)
            if fault is not None:
                yield fault


def _node_faults(
    node: _GraphNode,
    inputs: Mapping[str, InputSpec],
    graph: Graph,
    classes: Classes,
    files: Container[tuple[str, str]],
) -> Iterator[GraphFault]:
    for name, declared in inputs.items():
        if name not in node.inputs:
            if declared.required:
                yield node.fault(
                    name, "missing_input", None, "is required and missing; give it a value or link it"
                )
            continue
        given = node.inputs[name]
        value = given if type(given) in _PLAIN else _unwrapped(given)
        if isinstance(value, list | tuple) and (value is given or is_followed(cast("object", value))):
            fault = _link_fault(node, name, declared.type, value, graph, classes)
        elif declared.choices is not None:
            fault = _choice_fault(node, name, declared, value, (node.kind.name, name) in files)
        else:
            fault = _value_fault(node, name, declared, value)
        if fault is not None:
            yield fault


def _link_fault(
    node: _GraphNode, name: str, type_: str, value: Any, graph: Graph, classes: Classes
) -> GraphFault | None:
    link = parse_link(value)
    if link is None:
        message = f'is {format_value(value)}, not a link; a link is ["node id", whole output number]'
        return node.fault(name, "bad_link", value, message)
    source, slot = link
    if source not in graph:
        return node.fault(name, "bad_link", value, f"is linked to node {source}, which is not in the graph")
    kind = classes.get(_class_of(graph, source))
    if kind is None:
        return None
    if kind.outputs is None:
        message = f"is linked to output {slot} of node {source} ({kind.name}); outputs begin at 0"
        return node.fault(name, "bad_link", value, message) if slot < 0 else None
    if not 0 <= slot < len(kind.outputs):
        message = f"is linked to output {slot} of node {source} ({kind.name}), which has {len(kind.outputs)}"
        return node.fault(name, "bad_link", value, message)
    given = kind.outputs[slot]
    if _fits(given, type_):
        return None
    message = f"takes {type_}, but output {slot} of node {source} ({kind.name}) is {given}"
    return node.fault(name, "wrong_type", value, message)


def _fits(given: str, taken: str) -> bool:
    """Whether an output's type may be linked to an input's; unclear cases are left to the node."""
    gives, takes = ({one.strip() for one in types.split(",")} for types in (given, taken))
    if gives & takes or any(one.startswith("COMFY_") for one in gives | takes):
        return True
    return "*" in gives | takes or bool(gives & _VALUE_TYPES and takes & _VALUE_TYPES)


def _choice_fault(
    node: _GraphNode, name: str, declared: InputSpec, value: Any, is_file: bool
) -> GraphFault | None:
    choices = declared.choices or ()
    if declared.is_upload or declared.settings.get("multiselect") or value in choices:
        return None
    looks_a_file = isinstance(value, str) and value.lower().endswith(MODEL_FILES)
    if not choices and not looks_a_file:
        return None  # some nodes fill their lists in the UI and validate the value themselves
    if is_file or looks_a_file:
        kind = KIND_WORDS[file_kind(node.kind.name, name) or "file"]
        count = len(choices)
        message = (
            f"names the {kind} {format_value(value)}, which is not among the {count} files the node lists"
        )
        return node.fault(name, "missing_file", value, message)
    listed = ", ".join(map(str, choices[:20])) + (", ..." if len(choices) > 20 else "")
    return node.fault(name, "value_not_in_list", value, f"is {format_value(value)}; choose one of: {listed}")


def _value_fault(node: _GraphNode, name: str, declared: InputSpec, value: Any) -> GraphFault | None:
    if declared.type not in ("INT", "FLOAT"):
        return None
    try:
        converted = int(value) if declared.type == "INT" else float(value)
    except (TypeError, ValueError, OverflowError):
        wanted = "a whole number" if declared.type == "INT" else "a number"
        return node.fault(name, "wrong_type", value, f"is {format_value(value)}, not {wanted}")
    low, high = number(declared.minimum), number(declared.maximum)
    too_low, too_high = low is not None and converted < low, high is not None and converted > high
    if isfinite(converted) and not too_low and not too_high:
        return None
    bounds = f"from {low if low is not None else 'any'} to {high if high is not None else 'any'}"
    return node.fault(name, "out_of_range", value, f"is {format_value(value)}; it may be {bounds}")
