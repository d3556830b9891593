"""Convert a workflow from ComfyUI's UI format, as its canvas saves it, into a graph in API format.

Between two nodes there may be reroutes, bypassed nodes, primitives that hold a value, named links (set and
get nodes), and the borders of subgraphs; the server knows none of them. The first part finds the node that an
input is really connected to, the second part assembles the graph.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any, cast

from imagemill.domain.dataclass import dataclass
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import CannotConvert
from imagemill.graphs.graph import Graph, is_ui_format, normalise, outputs, unwrap
from imagemill.graphs.json_access import format_value, is_array, is_object, mapping, number, sequence, text
from imagemill.graphs.node_classes import BRANCHING, CHOICE, InputSpec, NodeClass
from imagemill.graphs.validate import parse_link, reachable_ids

NEVER, BYPASS = 2, 4
"""Modes of a node; a muted one counts as deleted, a bypassed one passes its inputs on."""

SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = -10, -20
"""Ids of the input and output borders inside a subgraph."""

REROUTES = frozenset({"Reroute", "Reroute (rgthree)"})
PRIMITIVE, SETTER, GETTER = "PrimitiveNode", "SetNode", "GetNode"
NOTES = frozenset({"Note", "MarkdownNote", "Label (rgthree)", "Bookmark (rgthree)"})
SWITCHBOARDS = frozenset(
    f"{name} (rgthree)"
    for name in (
        "Fast Muter",
        "Fast Bypasser",
        "Fast Groups Muter",
        "Fast Groups Bypasser",
        "Fast Actions Button",
        "Mute / Bypass Relay",
        "Mute / Bypass Repeater",
        "Node Collector",
        "Random Unmuter",
    )
)
"""Nodes that change the mode of others on the canvas."""
DRAWN_ONLY = REROUTES | NOTES | SWITCHBOARDS | {PRIMITIVE, SETTER, GETTER}
CUSTOM_COMBO = "CustomCombo"
"""A choice whose options are entered in the node; only the canvas knows the number of the chosen one."""

DEEPEST = 24
"""Most levels of nested subgraphs; a subgraph that contains itself has no end."""
LONGEST_LINK = 100
"""Most reroutes, borders and bypassed nodes between two nodes; each takes some of the stack."""
MOST_NODES = 5000
MOST_SCOPES = 1000
"""Most uses of subgraphs; a few small ones that contain each other several times would exhaust the memory."""

AFTER_GENERATE = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
"""Actions of the canvas on a seed after a run; saved beside the seed and unknown to the server."""


# Follow the links of the canvas.


@dataclass(frozen=True, slots=True)
class Value:
    """The value of an input that is not connected to a node."""

    value: Any


@dataclass(frozen=True, slots=True)
class NodeOutput:
    """The output of a node in the graph that an input is connected to."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class CanvasLink:
    source: int | str
    source_slot: int
    target: int | str
    target_slot: int


@dataclass(frozen=True, slots=True)
class GraphScope:
    """The canvas, or the inside of a subgraph where it is used."""

    nodes: Mapping[int | str, Mapping[str, Any]]
    links: Mapping[int | str, CanvasLink]
    subgraphs: Mapping[str, Mapping[str, Any]]
    prefix: str = ""
    """Prefix of the ids of its nodes in the graph: ``5:`` inside node 5."""
    parent: "GraphScope | None" = None
    instance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The parent's node that stands for this subgraph."""
    definition: Mapping[str, Any] = field(default_factory=dict[str, Any])
    depth: int = 0
    opened: dict[str, "GraphScope"] = field(default_factory=dict[str, "GraphScope"])
    """The scopes of all subgraphs of the canvas that were opened, by prefix."""

    def id(self, node: Mapping[str, Any]) -> str:
        return f"{self.prefix}{node.get('id')}"

    def inside(self, node: Mapping[str, Any]) -> "GraphScope | None":
        """The scope inside a node that stands for a subgraph; None for other nodes."""
        definition = self.subgraphs.get(text(node.get("type")))
        if definition is None:
            return None
        prefix = f"{self.id(node)}:"
        if prefix not in self.opened:
            if self.depth >= DEEPEST or len(self.opened) >= MOST_SCOPES:
                raise CannotConvert(f"too many subgraphs are nested in each other at node {self.id(node)}")
            place = (prefix, self, node, definition, self.depth + 1, self.opened)
            self.opened[prefix] = scope_of(definition, self.subgraphs, *place)
        return self.opened[prefix]


def read_canvas(raw: object) -> GraphScope:
    content = mapping(raw)
    found = (mapping(one) for one in sequence(mapping(content.get("definitions")).get("subgraphs")))
    subgraphs = {text(one.get("id")): one for one in found if text(one.get("id"))}
    return scope_of(content, subgraphs)


def scope_of(
    content: Mapping[str, Any], subgraphs: Mapping[str, Mapping[str, Any]], *place: Any
) -> GraphScope:
    nodes: dict[int | str, Mapping[str, Any]] = {}
    for node in map(mapping, sequence(content.get("nodes"))):
        if not isinstance(node.get("id"), int | str) or not text(node.get("type")):
            raise CannotConvert(
                "a node of the workflow has no id or no type; save the workflow again in ComfyUI"
            )
        nodes[node["id"]] = node
    links = dict(filter(None, map(_read_link, sequence(content.get("links")))))
    return GraphScope(nodes, links, subgraphs, *place)


def _read_link(raw: object) -> tuple[int | str, CanvasLink] | None:
    """Read a link: a list on the canvas, an object in subgraphs. None if it is damaged."""
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    parts = [mapping(raw).get(name) for name in names] if is_object(raw) else list(sequence(raw)[:5])
    if len(parts) < 5 or not all(isinstance(part, int | str) for part in parts):
        return None
    id_, source, source_slot, target, target_slot = parts
    if not isinstance(source_slot, int) or not isinstance(target_slot, int):
        return None
    return cast("int | str", id_), CanvasLink(
        cast("int | str", source), source_slot, cast("int | str", target), target_slot
    )


def live_nodes(scope: GraphScope) -> Iterator[tuple[GraphScope, Mapping[str, Any]]]:
    """The nodes that exist for the server, including those inside subgraphs."""
    for node in scope.nodes.values():
        if node.get("mode") in (NEVER, BYPASS) or node["type"] in DRAWN_ONLY:
            continue
        inside = scope.inside(node)
        if inside is None:
            yield scope, node
        else:
            yield from live_nodes(inside)


@dataclass(frozen=True, slots=True)
class WidgetOf:
    """A widget that is drawn on a subgraph's node and holds its value inside, in another node."""

    scope: GraphScope
    node: Mapping[str, Any]
    name: str


Source = NodeOutput | Value | WidgetOf
"""The source that an input is really connected to."""


def source_of(scope: GraphScope, slot: Mapping[str, Any]) -> Source | None:
    """The source that an input slot is really connected to; None if there is none."""
    return _follow(scope, slot.get("link"), text(slot.get("type")), 0)


def slots(node: Mapping[str, Any], side: str) -> list[Mapping[str, Any]]:
    return [mapping(slot) for slot in sequence(node.get(side))]


def _follow(scope: GraphScope, link: object, taken: str, length: int) -> Source | None:
    """``taken``: the type of the input at the end of the link."""
    canvas_link = scope.links.get(link) if isinstance(link, int | str) else None
    if canvas_link is None:
        return None
    if length > LONGEST_LINK:
        raise CannotConvert("reroutes or subgraphs of the workflow form a cycle")
    if canvas_link.source == SUBGRAPH_INPUT:
        return _from_outside(scope, canvas_link.source_slot, taken, length + 1)
    node = scope.nodes.get(canvas_link.source)
    if node is None or node.get("mode") == NEVER:
        return None
    kind = node["type"]
    if kind == PRIMITIVE:
        return Value(next(iter(sequence(node.get("widgets_values"))), None))
    if kind == GETTER:
        return _from_setter(scope, node, taken, length + 1)
    if kind in REROUTES or kind == SETTER:
        inputs = slots(node, "inputs")
        return _follow(scope, inputs[0].get("link"), taken, length + 1) if inputs else None
    if node.get("mode") == BYPASS:
        return _through_bypass(scope, node, canvas_link.source_slot, taken, length + 1)
    inside = scope.inside(node)
    if inside is None:
        return NodeOutput(scope.id(node), canvas_link.source_slot)
    return _from_inside(inside, canvas_link.source_slot, taken, length + 1)


def _through_bypass(
    scope: GraphScope, node: Mapping[str, Any], slot: int, taken: str, length: int
) -> Source | None:
    """Follow a bypassed node's input that fits the output, chosen as the canvas chooses it."""
    outputs, inputs = slots(node, "outputs"), slots(node, "inputs")
    if slot >= len(outputs):
        return None
    given = text(outputs[slot].get("type"))
    beside = inputs[slot] if slot < len(inputs) else None
    if "*" in (given, taken):
        passing = beside or next(iter(inputs), None)
    elif beside is not None and _may_connect(beside, given) and _may_connect(beside, taken):
        passing = beside
    else:
        exact = (one for one in inputs if one.get("type") == (taken or given))
        fitting = (one for one in inputs if _may_connect(one, given) and _may_connect(one, taken))
        passing = next(exact, None) or next(fitting, None)
    return _follow(scope, passing.get("link"), taken, length) if passing else None


def _may_connect(slot: Mapping[str, Any], kind: str) -> bool:
    """Whether the canvas links a slot to one of this type; several types are separated by commas."""
    own = text(slot.get("type"))
    if own in ("", "*") or kind in ("", "*"):
        return True
    return not {one.strip() for one in own.lower().split(",")}.isdisjoint(
        one.strip() for one in kind.lower().split(",")
    )


def _from_outside(scope: GraphScope, slot: int, taken: str, length: int) -> Source | None:
    """Follow a subgraph's input to the outside: the link or the value of the node that stands for it."""
    declared = [mapping(one) for one in sequence(scope.definition.get("inputs"))]
    if scope.parent is None or slot >= len(declared):
        return None
    name = declared[slot].get("name")
    outer = next((one for one in slots(scope.instance, "inputs") if one.get("name") == name), None)
    if outer is not None and outer.get("link") is not None:
        return _follow(scope.parent, outer["link"], taken, length)
    return _entered(scope, slot, length)


def _entered(scope: GraphScope, slot: int, length: int) -> Value | WidgetOf | None:
    """The value that is entered on a subgraph's node for an input, or the widget inside that holds it."""
    if length > LONGEST_LINK:
        raise CannotConvert("reroutes or subgraphs of the workflow form a cycle")
    declared = sequence(scope.definition.get("inputs"))
    name = mapping(declared[slot]).get("name") if slot < len(declared) else None
    held = _instance_values(scope)
    if isinstance(name, str) and name in held:
        return Value(held[name])
    for node, widget in _widgets_fed(scope, slot):
        inside = scope.inside(node)
        if inside is None:
            return WidgetOf(scope, node, widget)
        names = [mapping(one).get("name") for one in sequence(inside.definition.get("inputs"))]
        if widget in names:
            return _entered(inside, names.index(widget), length + 1)
    return None


def _instance_values(scope: GraphScope) -> Mapping[str, Any]:
    """The values entered in the node that stands for a subgraph, by the names of the subgraph's inputs."""
    named = scope.instance.get("widgets_values_named")
    if is_object(named):
        return named
    values = sequence(scope.instance.get("widgets_values"))
    widgets = [
        text(mapping(one).get("name"))
        for position, one in enumerate(sequence(scope.definition.get("inputs")))
        if next(_widgets_fed(scope, position), None)
    ]
    return dict(zip(widgets, values, strict=True)) if len(widgets) == len(values) else {}


def _widgets_fed(scope: GraphScope, slot: int) -> Iterator[tuple[Mapping[str, Any], str]]:
    """(node, input) of each widget inside that a subgraph's input is linked to."""
    for canvas_link in scope.links.values():
        if canvas_link.source == SUBGRAPH_INPUT and canvas_link.source_slot == slot:
            node = scope.nodes.get(canvas_link.target, {})
            inputs = slots(node, "inputs")
            if canvas_link.target_slot < len(inputs) and "widget" in inputs[canvas_link.target_slot]:
                yield node, text(inputs[canvas_link.target_slot].get("name"))


def _from_inside(inside: GraphScope, slot: int, taken: str, length: int) -> Source | None:
    """Follow a subgraph's output to its source inside."""
    for link, canvas_link in inside.links.items():
        if canvas_link.target == SUBGRAPH_OUTPUT and canvas_link.target_slot == slot:
            return _follow(inside, link, taken, length)
    return None


def _from_setter(scope: GraphScope, getter: Mapping[str, Any], taken: str, length: int) -> Source | None:
    """Follow a named link: the input of the set node with the get node's name."""
    name = next(iter(sequence(getter.get("widgets_values"))), None)
    for node in scope.nodes.values():
        if node["type"] == SETTER and next(iter(sequence(node.get("widgets_values"))), None) == name:
            inputs = slots(node, "inputs")
            return _follow(scope, inputs[0].get("link"), taken, length) if inputs else None
    return None


# Assemble the graph.


def convert(raw: object, catalogue: Catalogue) -> Graph:
    """The graph in API format of the nodes that would run.

    Muted nodes and nodes that no output depends on are left out. A graph already in API format is returned
    normalised. Raises `CannotConvert` with the reason.
    """
    raw = unwrap(raw)
    if not is_ui_format(raw):
        return normalise(raw)
    live = list(live_nodes(read_canvas(raw)))
    if len(live) > MOST_NODES:
        raise CannotConvert(f"the workflow has {len(live)} nodes; at most {MOST_NODES} are converted")
    linked_only = {scope.id(node): _links_only(scope, node) for scope, node in live}
    kept = _needed_ids(linked_only, catalogue)
    wanted = [(scope, node) for scope, node in live if scope.id(node) in kept]
    _check_classes((node["type"] for _, node in wanted), catalogue)
    return normalise({scope.id(node): _convert_node(scope, node, catalogue) for scope, node in wanted})


def _check_classes(types: Iterable[str], catalogue: Catalogue) -> None:
    unknown = sorted(set(types) - catalogue.classes)
    if unknown:
        raise CannotConvert(
            f"the node classes {', '.join(unknown[:8])}{', ...' if len(unknown) > 8 else ''} are unknown to "
            "the node; install their packs there, mute these nodes, or export the workflow in API format "
            "from a server that has them"
        )


def _needed_ids(graph: Graph, catalogue: Catalogue) -> frozenset[str]:
    """The nodes that an output node depends on.

    A node of an unknown class whose results nobody takes may be an output node.
    """
    ends = outputs(graph, catalogue)
    links = [(id_, parse_link(value)) for id_, node in graph.items() for value in node["inputs"].values()]
    takers, taken = {id_ for id_, _ in links}, {link[0] for _, link in links if link is not None}
    unknown = [id_ for id_, node in graph.items() if node["class_type"] not in catalogue.classes]
    ends += tuple(id_ for id_ in unknown if id_ in takers and id_ not in taken and id_ not in ends)
    if not ends:
        _check_classes((graph[id_]["class_type"] for id_ in unknown), catalogue)
        raise CannotConvert("the workflow has no active output node; add one such as SaveImage, or unmute it")
    return frozenset(reachable_ids(graph, list(ends)))


def _links_only(scope: GraphScope, node: Mapping[str, Any]) -> dict[str, Any]:
    """The node with its links alone."""
    sources = ((text(slot.get("name")), source_of(scope, slot)) for slot in slots(node, "inputs"))
    links = {name: [one.node_id, one.slot] for name, one in sources if name and isinstance(one, NodeOutput)}
    return {"class_type": node["type"], "inputs": links}


def _connected_inputs(
    scope: GraphScope, node: Mapping[str, Any], catalogue: Catalogue
) -> Iterator[tuple[str, Any]]:
    """(name, link or value) of the inputs connected to a node, to a primitive or to another node's widget."""
    for slot in slots(node, "inputs"):
        name = text(slot.get("name"))
        match source_of(scope, slot) if name else None:
            case NodeOutput(node_id, output):
                yield name, [node_id, output]
            case Value(value) if value is not None:
                yield name, value
            case WidgetOf(its_scope, holder, widget) if (holder is not node) or widget != name:
                held = _held_by(its_scope, holder, catalogue).get(widget)
                if held is not None:
                    yield name, held
            case _:
                pass


def _held_by(scope: GraphScope, node: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    kind = catalogue.node_class(text(node.get("type")))
    return _widget_values(scope.id(node), node, kind) if kind is not None and kind.readable else {}


def _convert_node(scope: GraphScope, node: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    kind = catalogue.node_class(node["type"])
    if kind is None or not kind.readable:
        raise CannotConvert(f"the server's description of the node class {node['type']} cannot be read")
    inputs = _widget_values(scope.id(node), node, kind)
    for name, value in _connected_inputs(scope, node, catalogue):
        declared = kind.inputs.get(name)
        if is_array(value) or declared is None or value_fits(declared, value):
            inputs[name] = value
    if kind.name == CUSTOM_COMBO:
        inputs |= _combo_options(node, inputs.get("choice"))
    converted: dict[str, Any] = {"class_type": kind.name, "inputs": inputs}
    title = text(node.get("title")) or kind.display_name
    return converted | {"_meta": {"title": title}} if title else converted


def _widget_values(id_: str, node: Mapping[str, Any], kind: NodeClass) -> dict[str, Any]:
    """The values entered in the node, by name; defaults for values that were not saved."""
    for key in ("widgets_values_named", "widgets_values"):
        saved = node.get(key)
        if is_object(saved):
            return _by_name(id_, kind, saved)
    return _by_order(id_, node, kind, list(sequence(node.get("widgets_values"))))


def _by_name(id_: str, kind: NodeClass, saved: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    waiting = [(one.name, one) for one in kind.inputs.values()]
    while waiting:
        name, declared = waiting.pop(0)
        value = saved.get(name, _default_of(declared))
        if value is None:
            continue
        values[name] = _check_fit(id_, kind, name, declared, value)
        waiting += [(f"{name}.{inner.name}", inner) for inner in _branch(declared, value)]
    return values


def _by_order(id_: str, node: Mapping[str, Any], kind: NodeClass, saved: list[Any]) -> dict[str, Any]:
    """Read values saved in the order of the widgets; a seed's widget is followed by a control widget."""
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
            value = _default_of(declared)
        if value is not None:
            values[name] = _check_fit(id_, kind, name, declared, value)
        waiting[:0] = [(f"{name}.{inner.name}", inner) for inner in _branch(declared, value)]
    return values


def _combo_options(node: Mapping[str, Any], choice: Any) -> dict[str, Any]:
    """The options of a custom choice and the number of the chosen one, which the server does not compute."""
    saved = node.get("widgets_values_named") or node.get("widgets_values")
    if is_object(saved):
        named = {name: value for name, value in saved.items() if name.startswith("option")}
        options, chosen = list(named.values()), saved.get("choice")
    else:
        values = list(sequence(saved))
        has_index = len(values) > 1 and number(values[1]) is not None
        options, chosen = values[2 if has_index else 1 :], next(iter(values), None)
        named = {f"option{position}": option for position, option in enumerate(options, start=1)}
    wanted = chosen if is_array(choice) else choice
    return named | ({"index": options.index(wanted)} if wanted in options else {})


def _default_of(declared: InputSpec) -> Any:
    """The value of a widget that was not saved; an input that only the canvas draws must be present, if
    empty."""
    if declared.is_widget:
        return declared.default
    return "" if declared.settings.get("socketless") and declared.required else None


def _branch(declared: InputSpec, value: Any) -> tuple[InputSpec, ...]:
    return declared.branches.get(value, ()) if isinstance(value, str) else ()


def _has_control(declared: InputSpec, name: str) -> bool:
    is_seed = declared.widget_type == "INT" and name.rsplit(".", 1)[-1] in ("seed", "noise_seed")
    return is_seed or bool(declared.settings.get("control_after_generate"))


def _is_control(value: Any) -> bool:
    return isinstance(value, str) and value in AFTER_GENERATE


def _check_fit(id_: str, kind: NodeClass, name: str, declared: InputSpec, value: Any) -> Any:
    if value_fits(declared, value):
        return value
    raise CannotConvert(
        f"node {id_} ({kind.name}): {name} holds {format_value(value)}, not a {_type_word(declared)}; "
        "another version of the node saved the workflow: open it in ComfyUI and export it in API format"
    )


def _type_word(declared: InputSpec) -> str:
    words = {"INT": "whole number", "FLOAT": "number", "STRING": "text", "BOOLEAN": "boolean"}
    return words.get(declared.widget_type, "choice of the node")


def value_fits(declared: InputSpec, value: Any) -> bool:
    """Whether a saved value can belong to this input; the name of a file the node lacks does."""
    match declared.widget_type:
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
