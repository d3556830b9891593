"""From a canvas's workflow (UI format) to a graph in API format, by what a node declares of its classes."""

from collections.abc import Iterator, Mapping
from typing import Any

from imagemill.workflows.canvas import MOST_NODES, Output, Scope, fed_by, live_nodes, read_canvas, slots
from imagemill.workflows.catalogue import Catalogue
from imagemill.workflows.checking import reached
from imagemill.workflows.declarations import BRANCHING, CHOICE, Declared, NodeClass
from imagemill.workflows.errors import CannotConvert
from imagemill.workflows.graphs import Graph, is_ui_format, normalise, outputs
from imagemill.workflows.loose import is_array, is_object, mapping, number, sequence, shown, text

AFTER_GENERATE = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
"""What a canvas does with a seed after a run: saved beside the seed, unknown to the server."""


def convert(raw: object, catalogue: Catalogue) -> Graph:
    """A graph in API format of what would run: muted nodes and what no output depends on are left out.

    A graph already in API format is given back normal. Raises `CannotConvert` with the reason.
    """
    if not is_ui_format(raw):
        return normalise(raw)
    live = list(live_nodes(read_canvas(raw)))
    if len(live) > MOST_NODES:
        raise CannotConvert(f"the workflow has {len(live)} nodes; at most {MOST_NODES} are converted")
    linked_only = {scope.id(node): _wired(scope, node) for scope, node in live}
    kept = _kept(linked_only, catalogue)
    wanted = [(scope, node) for scope, node in live if scope.id(node) in kept]
    unknown = sorted({node["type"] for _, node in wanted} - catalogue.classes)
    if unknown:
        raise CannotConvert(
            f"the node classes {', '.join(unknown[:8])}{', ...' if len(unknown) > 8 else ''} are unknown to "
            "the node; install their packs there, or export it in API format from a server that has them"
        )
    return normalise({scope.id(node): _converted(scope, node, catalogue) for scope, node in wanted})


def _kept(graph: Graph, catalogue: Catalogue) -> frozenset[str]:
    ends = outputs(graph, catalogue)
    if not ends:
        raise CannotConvert("the workflow has no active output node; add one such as SaveImage, or unmute it")
    return frozenset(reached(graph, list(ends)))


def _wired(scope: Scope, node: Mapping[str, Any]) -> dict[str, Any]:
    """The node with its links alone."""
    links = {name: value for name, value in _fed(scope, node) if is_array(value)}
    return {"class_type": node["type"], "inputs": links}


def _fed(scope: Scope, node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The inputs that something on the canvas feeds: a link, or the value of a primitive."""
    for slot in slots(node, "inputs"):
        name = text(slot.get("name"))
        found = fed_by(scope, slot) if name else None
        if isinstance(found, Output):
            yield name, [found.node_id, found.slot]
        elif found is not None and found.value is not None:
            yield name, found.value


def _converted(scope: Scope, node: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    kind = catalogue.node_class(node["type"])
    if kind is None or not kind.readable:
        raise CannotConvert(f"the server's description of the node class {node['type']} cannot be read")
    inputs = _widget_values(scope.id(node), node, kind)
    for name, value in _fed(scope, node):
        declared = kind.inputs.get(name)
        if is_array(value) or declared is None or value_fits(declared, value):
            inputs[name] = value
    converted: dict[str, Any] = {"class_type": kind.name, "inputs": inputs}
    title = text(node.get("title")) or kind.display_name
    return converted | {"_meta": {"title": title}} if title else converted


def _widget_values(id_: str, node: Mapping[str, Any], kind: NodeClass) -> dict[str, Any]:
    """What was typed into the node, by name; defaults for what was not saved."""
    for field in ("widgets_values_named", "widgets_values"):
        saved = node.get(field)
        if is_object(saved):
            return _by_name(id_, kind, saved)
    return _by_order(id_, node, kind, list(sequence(node.get("widgets_values"))))


def _by_name(id_: str, kind: NodeClass, saved: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    waiting = [(one.name, one) for one in kind.inputs.values()]
    while waiting:
        name, declared = waiting.pop(0)
        value = saved.get(name, _unsaved(declared))
        if value is None:
            continue
        values[name] = _fitting(id_, kind, name, declared, value)
        waiting += [(f"{name}.{inner.name}", inner) for inner in _branch(declared, value)]
    return values


def _by_order(id_: str, node: Mapping[str, Any], kind: NodeClass, saved: list[Any]) -> dict[str, Any]:
    """In the order of the widgets, of which a seed's has another beside it."""
    drawn = {text(mapping(slot.get("widget")).get("name")) for slot in slots(node, "inputs")}
    values: dict[str, Any] = {}
    waiting = [(one.name, one) for one in kind.inputs.values()]
    position = 0
    while waiting:
        name, declared = waiting.pop(0)
        if not (declared.is_widget or name in drawn or declared.settings.get("socketless")):
            continue
        value = saved[position] if position < len(saved) else declared.default
        position += 1
        if _has_control(declared, name) and position < len(saved) and _is_control(saved[position]):
            position += 1
        if value is None:
            value = _unsaved(declared)
        if value is not None:
            values[name] = _fitting(id_, kind, name, declared, value)
        waiting[:0] = [(f"{name}.{inner.name}", inner) for inner in _branch(declared, value)]
    return values


def _unsaved(declared: Declared) -> Any:
    """What stands for a value that was not saved; what only the canvas draws must be there, if empty."""
    if declared.is_widget:
        return declared.default
    return "" if declared.settings.get("socketless") and declared.required else None


def _branch(declared: Declared, value: Any) -> tuple[Declared, ...]:
    return declared.branches.get(value, ()) if isinstance(value, str) else ()


def _has_control(declared: Declared, name: str) -> bool:
    is_seed = declared.type == "INT" and name.rsplit(".", 1)[-1] in ("seed", "noise_seed")
    return is_seed or bool(declared.settings.get("control_after_generate"))


def _is_control(value: Any) -> bool:
    return isinstance(value, str) and value in AFTER_GENERATE


def _fitting(id_: str, kind: NodeClass, name: str, declared: Declared, value: Any) -> Any:
    if value_fits(declared, value):
        return value
    raise CannotConvert(
        f"node {id_} ({kind.name}): {name} holds {shown(value)}, which is no {_word(declared)}; another "
        "version of the node saved the workflow: open it in ComfyUI and export it in API format"
    )


def _word(declared: Declared) -> str:
    words = {"INT": "whole number", "FLOAT": "number", "STRING": "text", "BOOLEAN": "truth value"}
    return words.get(declared.type, "choice of the node")


def value_fits(declared: Declared, value: Any) -> bool:
    """Whether a saved value can be meant for this input; a file the node lacks can."""
    match declared.type:
        case "INT":
            given = number(value)
            return given is not None and given == given // 1
        case "FLOAT":
            return number(value) is not None
        case "STRING":
            return isinstance(value, str)
        case "BOOLEAN":
            return isinstance(value, bool)
        case t if t == BRANCHING:
            return isinstance(value, str) and value in declared.branches
        case t if t == CHOICE:
            return isinstance(value, str | int | float | bool) or bool(declared.settings.get("multiselect"))
        case _:
            return True
