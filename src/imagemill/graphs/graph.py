"""Read and edit ComfyUI graphs in API format: node id -> {class_type, inputs, _meta}.

All functions but `normalise` take a normalised graph. The first part returns changed copies; the functions of
the last section (`add` and after) change the graph they are given.
"""

import re
from collections.abc import Callable, Container, Iterator, Mapping
from math import isfinite
from typing import Any

from imagemill.domain import air
from imagemill.domain.images import repaired_sampler
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import InvalidGraph, MissingFile, UiFormat
from imagemill.graphs.files import file_kind, names_a_file
from imagemill.graphs.json_access import format_value, is_array, is_object, is_tuple, mapping
from imagemill.graphs.validate import parse_link

Graph = dict[str, dict[str, Any]]
Path = tuple[str | int, ...]

EXAMPLE = '{"1": {"class_type": "CheckpointLoaderSimple", "inputs": {...}}}'
TEXT_INPUTS = ("text", "text_g", "text_l", "clip_l", "t5xxl", "prompt", "positive_prompt", "tags", "caption")
"""Names of the text inputs of text encoders."""
SEEDS = 2**64
"""ComfyUI's seeds are whole numbers below this."""

MARKS = ("seed", "job_id")
"""Names that `fill_marks` is given besides those of pictures."""

Link = tuple[str, int]
"""A node's id and the number of its output."""

FIRST_LORA = 100
"""First id of inserted LoRA loaders; the built-in graphs' own nodes have smaller ids."""

_WRAPPERS = ("prompt", "workflow", "input")
"""Fields in which a graph is sent to ComfyUI, and to services that run it."""
_MOST_WRAPPERS = 4

DEEPEST = 32
"""Most levels of nested values in an input; deeper ones exhaust the stack of recursive readers, and no node
has them."""

_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of values that hold no others. Asked for first, as graphs are walked several times for each job."""
_HARMLESS = frozenset({int, bool, type(None)})
"""Types of which every value can be sent to a node as it is."""

_WHOLE = re.compile(r"[+-]?\d{1,25}", re.ASCII)
_NO_OUTPUT = re.compile(
    r"(?:Basic|CFG|DualCFG)Guider|CLIP|Checkpoint|Conditioning|ControlNet|Empty|Flux|HypernetworkLoader|Image[A-Z]"
    r"(?!.*(?:Save|Preview))|InpaintModel|KSampler|Latent|Load(?!.*Save)|Lora|Model(?:Sampling|Merge)|Primitive"
    r"|RandomNoise|Repeat|SamplerCustom|String|UNETLoader|UpscaleModelLoader|VAE"
)
"""Classes of the core that are no output nodes, by the start of their names."""
_SEED = re.compile(r"(?:\w+[_.])?seed")
_CARRIERS = ("value", "seed", "noise_seed", "text", "string", "int", "float", "number", "prompt", "ckpt_name")
"""Names of the input that holds the value in nodes that only hold a value."""
_MAX_LINKS = 64
"""Links that are followed in a row; protects from cycles."""

_WORD = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")


def is_ui_format(raw: object) -> bool:
    """Whether this is ComfyUI's UI format, as its canvas saves it: lists of nodes and links."""
    return isinstance(mapping(raw).get("nodes"), list)


def unwrap(raw: object) -> object:
    """The graph or workflow within the body of another service's request, or a prompt of ComfyUI's history.

    Everything else is returned as it is. Raises `InvalidGraph` for a history of several prompts.
    """
    for _ in range(_MOST_WRAPPERS):
        content = mapping(raw)
        if is_ui_format(content) or any(_is_node(node) for node in content.values()):
            break
        prompts = [one for one in content.values() if is_array(mapping(one).get("prompt"))]
        if len(prompts) > 1 and len(prompts) == len(content):
            raise InvalidGraph(f"this is a history of {len(prompts)} prompts; give the prompt of one of them")
        inner = next((content[name] for name in _WRAPPERS if is_object(content.get(name))), None)
        history = content.get("prompt")
        if is_array(history) and len(history) > 2:  # number, id, graph, ...
            inner = history[2]
        elif inner is None and len(prompts) == 1 == len(content):
            inner = prompts[0]
        if inner is None:
            break
        raw = inner
    return raw


def _is_node(value: object) -> bool:
    return not mapping(value).keys().isdisjoint(("class_type", "classType"))


def normalise(raw: object) -> Graph:
    """A copy in one spelling: ``class_type`` and ``_meta``, links as ``["id", output]``.

    Accepts API format in both spellings, bare or wrapped; see `unwrap`. Raises `UiFormat` for a workflow in
    UI format, else `InvalidGraph`.
    """
    raw = unwrap(raw)
    if is_ui_format(raw):
        raise UiFormat(
            "this is a workflow in ComfyUI's UI format (lists of nodes and links); export it with Workflow > "
            "Export (API), or convert it with a node's help"
        )
    nodes = mapping(raw)
    if not nodes:
        raise InvalidGraph(f"the graph has no nodes; one looks like {EXAMPLE}")
    graph = {id_: _normal_node(id_, node) for id_, node in nodes.items()}
    for node in graph.values():
        node["inputs"] = {
            name: _normal_link(value, graph) if type(value) is list else value
            for name, value in node["inputs"].items()
        }
    return graph


def _normal_node(id_: str, raw: object) -> dict[str, Any]:
    node = mapping(raw)
    if not isinstance(raw, Mapping):
        raise InvalidGraph(f"node {format_value(id_)} is not an object; a graph looks like {EXAMPLE}", id_)
    class_type = node.get("class_type", node.get("classType"))
    if not isinstance(class_type, str) or not class_type:
        raise InvalidGraph(f"node {format_value(id_)} has no class_type, the name of its node class", id_)
    inputs = node.get("inputs", {})
    if not is_object(inputs):
        raise InvalidGraph(
            f"node {format_value(id_)} ({class_type}): inputs must be an object of values by name", id_
        )
    normal: dict[str, Any] = {
        "class_type": class_type,
        "inputs": {
            name: value
            if type(value) in _HARMLESS or (type(value) is str and value.isascii())
            else _copy_value(value, (id_, class_type, name), 0)
            for name, value in mapping(inputs).items()
        },
    }
    title = mapping(node.get("_meta", node.get("meta"))).get("title")
    if isinstance(title, str) and title:
        normal["_meta"] = {"title": title}
    return normal


_Place = tuple[str, str, str]
"""A node's id, its class, and the name of an input."""


def _invalid_value(place: _Place, problem: str) -> InvalidGraph:
    id_, class_type, name = place
    return InvalidGraph(f"node {format_value(id_)} ({class_type}): {name} {problem}", id_)


def _copy_value(value: Any, place: _Place, depth: int) -> Any:
    if depth > DEEPEST:
        raise _invalid_value(place, f"is nested more than {DEEPEST} levels deep")
    if is_object(value):
        return {key: _copy_value(inner, place, depth + 1) for key, inner in mapping(value).items()}
    if is_array(value):
        return [
            inner if type(inner) in _HARMLESS else _copy_value(inner, place, depth + 1) for inner in value
        ]
    if isinstance(value, float) and not isfinite(value):
        raise _invalid_value(place, f"is {value}, which JSON cannot express; give a finite number")
    if isinstance(value, str) and not value.isascii():
        _check_text(value, place)
    return value


def _check_text(value: str, place: _Place) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _invalid_value(place, "holds half a character (a lone surrogate); correct the text") from None


def _normal_link(value: Any, graph: Mapping[str, Any]) -> Any:
    """Write a link of two numbers as a string and a number: servers reject the former."""
    if not is_array(value) or len(value) != 2:
        return value
    source, slot = value
    if isinstance(slot, float) and slot.is_integer():
        slot = int(slot)
    if type(source) in (int, float) and float(source).is_integer() and str(int(source)) in graph:
        source = str(int(source))
    return [source, slot] if isinstance(source, str) and type(slot) is int else value


def copy(graph: Mapping[str, Mapping[str, Any]]) -> Graph:
    """A copy whose nodes and inputs may be changed; values are shared and must be replaced, not changed."""
    return {id_: {**node, "inputs": dict(node["inputs"])} for id_, node in graph.items()}


def values(graph: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Path, Any]]:
    """(node id, path from the inputs, value) for every value in the inputs that is not an object or a
    list."""
    for id_, node in graph.items():
        for name, value in node["inputs"].items():
            if type(value) in _PLAIN:
                yield id_, (name,), value
            else:
                for path, leaf in _leaves((name,), value):
                    yield id_, path, leaf


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if is_object(value):
        for key, inner in mapping(value).items():
            yield from _leaves((*path, key), inner)
    elif is_array(value):
        for position, inner in enumerate(value):
            yield from _leaves((*path, position), inner)
    else:
        yield path, value


def replace_values(graph: Mapping[str, Mapping[str, Any]], changes: Mapping[tuple[str, Path], Any]) -> Graph:
    """A copy with other values at the given (node id, path) places, as `values` and `air_inputs` yield
    them."""
    changed = copy(graph)
    if not changes:
        return changed
    for (id_, path), value in changes.items():
        inputs = changed[id_]["inputs"]
        inputs[path[0]] = _set(inputs.get(path[0]), path[1:], value)
    return changed


def _set(holder: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    key: Any = path[0]
    if is_array(holder):
        items = list(holder)
        items[key] = _set(items[key], path[1:], value)
        return items
    entries = dict(mapping(holder))
    entries[key] = _set(entries.get(key), path[1:], value)
    return entries


def _map_strings(graph: Mapping[str, Mapping[str, Any]], change: Callable[[str], Any]) -> Graph:
    """A copy with every string in the inputs changed; node ids in links are left alone."""
    changes: dict[tuple[str, Path], Any] = {}
    for id_, path, value in values(graph):
        if isinstance(value, str) and not (len(path) > 1 and parse_link(graph[id_]["inputs"][path[0]])):
            new = change(value)
            if new is not value:
                changes[id_, path] = new
    return replace_values(graph, changes)


def air_inputs(graph: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Path, str]]:
    """(node id, path from the inputs, AIR) for every value that is an AIR, at any depth."""
    for id_, path, value in values(graph):
        if isinstance(value, str) and is_air(value):
            yield id_, path, value


def is_air(value: str) -> bool:
    """Whether a value names a resource: a full AIR with its prefix, or the short form."""
    if air.short_version(value):
        return True
    if not value.lower().startswith(("urn:air:", "air:")):
        return False
    try:
        air.parse(value)
    except air.InvalidAir:
        return False
    return True


def substitute(graph: Mapping[str, Mapping[str, Any]], variables: Mapping[str, Any]) -> Graph:
    """A copy with variables such as ``{seed}`` replaced by their values in all strings of the inputs.

    The names in ``variables`` are in lower case; in the graph they may be in any case. A string that consists
    of one variable becomes the value itself, so a number stays a number. Unknown variables stay as they are,
    and so do braces in the values.
    """

    def change(value: str) -> Any:
        whole = _WORD.fullmatch(value)
        if whole and whole[1].lower() in variables:
            return variables[whole[1].lower()]
        if "{" not in value:
            return value
        return _WORD.sub(lambda m: str(variables.get(m[1].lower(), m[0])), value)

    return _map_strings(graph, change)


def fill_marks(graph: Mapping[str, Mapping[str, Any]], known: Mapping[str, Any]) -> Graph:
    """A copy with values in place of inputs that consist of a name in braces: `MARKS`, or a picture's name.

    It is done on the way to a node. The texts of clients are in the graph by then: braces within a text stay.
    """
    marked = {f"{{{name}}}": value for name, value in known.items()}
    return _map_strings(graph, lambda value: marked.get(value, value))


def words(graph: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """(node id, input, name as it is written) of each variable in the strings of the inputs."""
    for id_, node in graph.items():
        for name, value in node["inputs"].items():
            if isinstance(value, str):
                if "{" in value:
                    yield from ((id_, name, match[1]) for match in _WORD.finditer(value))
            elif is_object(value) or (is_array(value) and parse_link(value) is None):
                texts = [leaf for _, leaf in _leaves((name,), value) if isinstance(leaf, str)]
                yield from ((id_, name, match[1]) for text in texts for match in _WORD.finditer(text))


def find_value(graph: Mapping[str, Mapping[str, Any]], id_: str, name: str) -> tuple[str, str] | None:
    """The place of an input's value as (node id, input): the input itself, or that of a node that only holds
    a value. None if it is computed."""
    for _ in range(_MAX_LINKS):
        link = parse_link(graph[id_]["inputs"].get(name))
        if link is None:
            return (id_, name) if name in graph[id_]["inputs"] else None
        id_ = link[0]
        if id_ not in graph:
            return None
        inputs = graph[id_]["inputs"]
        carried = [carrier for carrier in (name, *_CARRIERS) if carrier in inputs]
        if not carried or len(inputs) > 2:  # more than a value and what to do after a run: it computes
            return None
        name = carried[0]
    return None


def whole_number(value: object) -> int | None:
    """The whole number that a node reads from a value, which may also be a float or a text; else None."""
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value.strip()) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if type(value) is int else None


def is_seed(input_name: str) -> bool:
    return input_name.endswith("seed") and _SEED.fullmatch(input_name) is not None


def seeds(graph: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """The seeds of a graph by the places that hold them. Negative ones mean random and are left out."""
    found: dict[tuple[str, str], int] = {}
    for id_, node in graph.items():
        for name in filter(is_seed, node["inputs"]):
            place = find_value(graph, id_, name)
            value = whole_number(graph[place[0]]["inputs"][place[1]]) if place is not None else None
            if place is not None and value is not None and value >= 0:
                found[place] = value
    return found


def computed_seeds(graph: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """(node id, input) of each seed that other nodes compute."""
    for id_, node in graph.items():
        yield from (
            (id_, name) for name in node["inputs"] if is_seed(name) and not find_value(graph, id_, name)
        )


def reseed(graph: Mapping[str, Mapping[str, Any]], offset: int) -> Graph:
    """A copy with ``offset`` added to every seed, for a further picture."""
    changed = copy(graph)
    for (id_, name), seed in seeds(graph).items() if offset else ():
        given = changed[id_]["inputs"][name]
        changed[id_]["inputs"][name] = str(seed + offset) if isinstance(given, str) else seed + offset
    return changed


def repair_samplers(graph: Mapping[str, Mapping[str, Any]]) -> Graph:
    """A copy with the old names of samplers that clients still send replaced by ComfyUI's."""
    changed = copy(graph)
    for node in changed.values():
        for name in ("sampler_name", "sampler"):
            if isinstance(value := node["inputs"].get(name), str):
                node["inputs"][name] = repaired_sampler(value)
    return changed


def with_prefix(graph: Mapping[str, Mapping[str, Any]], prefix: str) -> Graph:
    """A copy in which every node that saves files saves below ``prefix``, under the last part of its own
    name."""
    changed = copy(graph)
    for node in changed.values():
        if "filename_prefix" in node["inputs"]:
            own = node["inputs"]["filename_prefix"]
            last = own.replace("\\", "/").rsplit("/", 1)[-1].strip() if isinstance(own, str) else ""
            node["inputs"]["filename_prefix"] = f"{prefix.rstrip('/')}/{last if last.strip('.') else 'image'}"
    return changed


def titles(graph: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Node id -> the node's title, else its class."""
    return {id_: mapping(node.get("_meta")).get("title") or node["class_type"] for id_, node in graph.items()}


def outputs(graph: Mapping[str, Mapping[str, Any]], catalogue: Catalogue | None = None) -> tuple[str, ...]:
    """The ids of the nodes that keep a result; judged by their class names if there is no catalogue."""
    return tuple(id_ for id_, node in graph.items() if _is_output(node["class_type"], catalogue))


def _is_output(class_type: str, catalogue: Catalogue | None) -> bool:
    known = catalogue.node_class(class_type) if catalogue else None
    return known.is_output if known else class_type.startswith(("Save", "Preview"))


def executed(graph: Mapping[str, Mapping[str, Any]], catalogue: Catalogue | None = None) -> list[str]:
    """The ids of the nodes that the server executes: those that its output nodes depend on.

    Without a catalogue, a node whose results nobody takes counts as an output node, unless its class is known
    to be none. A graph without output nodes counts whole: the server refuses it.
    """
    sources = {id_: _sources(node["inputs"]) for id_, node in graph.items()}
    ends = list(outputs(graph, catalogue))
    if catalogue is None:
        taken = {source for its in sources.values() for source in its}
        ends += [
            id_
            for id_, its in sources.items()
            if its and id_ not in taken and not _NO_OUTPUT.match(graph[id_]["class_type"])
        ]
    seen, waiting = set(ends), ends
    while waiting:
        for source in sources.get(waiting.pop(), ()):
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    return [id_ for id_ in graph if id_ in seen] if seen else list(graph)


def _sources(inputs: Mapping[str, Any]) -> list[str]:
    """The ids of the nodes that inputs are linked to."""
    links = (parse_link(value) for value in inputs.values() if type(value) in (list, tuple))
    return [link[0] for link in links if link is not None]


def file_inputs(
    graph: Mapping[str, Mapping[str, Any]], catalogue: Catalogue | None = None
) -> Iterator[tuple[str, Path, str, str]]:
    """(node id, path, kind, value) for every input of an executed node that names a model file and is not
    disabled."""
    for id_ in executed(graph, catalogue):
        node = graph[id_]
        class_type = node["class_type"]
        for name, value in node["inputs"].items():
            if isinstance(value, str):
                kind = file_kind(class_type, name)
                if kind is None and (
                    names_a_file(name, value)
                    or (catalogue is not None and catalogue.lists_files(class_type, name))
                ):
                    kind = "file"
                if kind is not None and value not in ("", "None"):
                    yield id_, (name,), kind, value
            elif is_object(value):
                lora = value.get("lora")
                if isinstance(lora, str) and lora not in ("", "None") and value.get("on") is not False:
                    yield id_, (name, "lora"), "lora", lora


def resolve_files(graph: Mapping[str, Mapping[str, Any]], catalogue: Catalogue) -> Graph:
    """A copy with every model file as the node spells it. Raises `MissingFile` for the first it does not
    list."""
    changes: dict[tuple[str, Path], Any] = {}
    for id_, path, kind, wanted in file_inputs(graph, catalogue):
        class_type, name = graph[id_]["class_type"], str(path[0])
        if len(path) == 1 and catalogue.node_class(class_type):
            if not catalogue.lists_files(class_type, name) or wanted in (
                catalogue.options(class_type, name) or ()
            ):
                continue
            found = catalogue.file(class_type, name, wanted)
        else:
            found = catalogue.find(kind, wanted)
        if found is None:
            raise MissingFile(kind, wanted, catalogue.ambiguity(kind, wanted))
        changes[id_, path] = found
    return replace_values(graph, changes)


# Editing in place.


def add(graph: Graph, id_: str, class_type: str, title: str, **inputs: Any) -> str:
    """Add a node under an unused id and return the id; a link may be given as a `Link`."""
    made = {name: _to_json(value) for name, value in inputs.items()}
    graph[id_] = {"class_type": class_type, "inputs": made, "_meta": {"title": title}}
    return id_


def _to_json(value: Any) -> Any:
    return list(value) if is_tuple(value) else value


def free_id(graph: Graph, start: int) -> str:
    number = start
    while str(number) in graph:
        number += 1
    return str(number)


def repoint(graph: Graph, old: Link, new: Link, *, but: Container[str] = ()) -> None:
    """Redirect all links from output ``old`` to output ``new``, except those of the nodes in ``but``."""
    for id_, node in graph.items():
        if id_ not in but:
            for name, value in node["inputs"].items():
                if parse_link(value) == old:
                    node["inputs"][name] = list(new)


def remove(graph: Graph, id_: str, instead: Link) -> None:
    """Remove a node; links to its first output lead to ``instead``."""
    repoint(graph, (id_, 0), instead, but=(id_,))
    del graph[id_]


def insert_lora(
    graph: Graph, model: Link, clip: Link | None, file: str, strength: float, clip_strength: float
) -> tuple[Link, Link | None]:
    """Add a LoRA to the model, and to the text encoder if there is one; return the links to continue with."""
    id_ = free_id(graph, FIRST_LORA)
    number = int(id_) - FIRST_LORA + 1
    if clip is None:
        only = {"model": model, "lora_name": file, "strength_model": strength}
        add(graph, id_, "LoraLoaderModelOnly", f"LoRA {number}", **only)
        return (id_, 0), None
    both = {"model": model, "clip": clip, "lora_name": file}
    strengths = {"strength_model": strength, "strength_clip": clip_strength}
    add(graph, id_, "LoraLoader", f"LoRA {number}", **both, **strengths)
    return (id_, 0), (id_, 1)
