"""A workflow: a graph with named, typed inputs. Its text is TOML, for people to read and edit."""

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imagemill.domain import air
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.graphs.errors import InvalidGraph, InvalidWorkflow
from imagemill.graphs.graph import SEEDS, Graph, Link, copy, insert_lora, is_air, normalise
from imagemill.graphs.json_access import is_array, is_object, mapping, number, sequence, shown
from imagemill.graphs.validate import linked

TYPES = ("text", "integer", "number", "boolean", "choice", "image", "mask", "loras", "model", "seed")
Target = tuple[str, str]
"""(node id, input). Of LoRAs: an input that now takes the model or text encoder they shall act on."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_WORKFLOW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INPUT_FIELDS = frozenset(
    {"type", "targets", "default", "minimum", "maximum", "step", "choices", "help", "required"}
)
_FIELDS = frozenset({"name", "title", "description", "outputs", "inputs", "graph"})
_INTRODUCTION = """\
# What may be changed here: titles, help, defaults, ranges and choices of the inputs, their names, and which
# inputs there are. targets are pairs of node id and input in the graph below.
"""


@dataclass(frozen=True, slots=True)
class Input:
    name: str
    type: str
    """One of `TYPES`."""
    targets: tuple[Target, ...]
    default: Any = None
    """None: what stands in the graph."""
    minimum: int | float | None = None
    maximum: int | float | None = None
    step: int | float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Workflow:
    name: str
    title: str
    description: str
    graph: Graph
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...] = ()
    """Ids of the nodes whose results are delivered; none: all that keep a result."""

    def input(self, name: str) -> Input | None:
        return next((one for one in self.inputs if one.name == name), None)


def check(workflow: Workflow) -> tuple[str, ...]:
    """What does not hold together, a sentence each, naming the field; empty: all is well."""
    return tuple(_problems(workflow))


def _problems(workflow: Workflow) -> Iterator[str]:
    if not _WORKFLOW_NAME.fullmatch(workflow.name):
        yield "name: must be 1 to 64 letters, digits, dots, hyphens or underscores, and start with no sign"
    for output in workflow.outputs:
        if output not in workflow.graph:
            yield f"outputs: the graph has no node {output}"
    names = [one.name for one in workflow.inputs]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"inputs.{name}: is there twice"
    for one in workflow.inputs:
        yield from (f"inputs.{one.name}.{said}" for said in _input_problems(one, workflow.graph))


def _input_problems(one: Input, graph: Graph) -> Iterator[str]:
    if not _NAME.fullmatch(one.name):
        yield "name: must be small letters, digits and underscores, starting with a letter"
    if one.type not in TYPES:
        yield f"type: is {one.type!r}; it may be one of {', '.join(TYPES)}"
        return
    if not one.targets:
        yield "targets: names no input of the graph"
    for id_, name in one.targets:
        yield from _target_problems(one, id_, name, graph)
    if one.type == "loras":
        yield from _chain_problems(one, graph)
    if one.type == "choice" and not one.choices:
        yield "choices: is empty; list what may be chosen, or make the type text"
    if one.minimum is not None and one.maximum is not None and one.minimum > one.maximum:
        yield f"minimum: {one.minimum} is above the maximum, {one.maximum}"
    if one.default is not None and (said := value_error(one, one.default)) is not None:
        yield f"default: {said}"


def _target_problems(one: Input, id_: str, name: str, graph: Graph) -> Iterator[str]:
    if id_ not in graph:
        yield f"targets: the graph has no node {id_}"
        return
    where = f"targets: node {id_} ({graph[id_]['class_type']})"
    if name not in graph[id_]["inputs"]:
        yield f"{where} has no input {name}; it has {', '.join(graph[id_]['inputs']) or 'none'}"
        return
    is_link = linked(graph[id_]["inputs"][name]) is not None
    if one.type == "loras" and not is_link:
        yield f"{where}: {name} holds a value; LoRAs need an input that is linked to a model or a CLIP"
    if one.type != "loras" and is_link:
        yield f"{where}: {name} is linked to another node; name the node that holds the value"


def _chain_problems(one: Input, graph: Graph) -> Iterator[str]:
    sources: dict[bool, set[object]] = {True: set(), False: set()}
    for id_, name in one.targets:
        if id_ in graph and (link := linked(graph[id_]["inputs"].get(name))):
            sources[takes_clip(name)].add(link)
    if any(len(links) > 1 for links in sources.values()):
        yield "targets: take different models or text encoders; LoRAs are chained on one of each"
    if not sources[False]:
        yield "targets: none takes a model; name the input that LoRAs shall act on"


def takes_clip(input_name: str) -> bool:
    """Of the two that LoRAs act on, whether the input takes the text encoder and not the model."""
    return "clip" in input_name.lower()


def value_error(one: Input, value: Any) -> str | None:
    """What is wrong with a value for this input, as the end of a sentence; None: nothing."""
    match one.type:
        case "text" | "model" | "image" | "mask":
            return None if isinstance(value, str) else f"{shown(value)} is not a text"
        case "boolean":
            return None if isinstance(value, bool) else f"{shown(value)} is neither true nor false"
        case "choice":
            listed = ", ".join(one.choices[:20]) + (", ..." if len(one.choices) > 20 else "")
            return None if value in one.choices else f"{shown(value)} is none of: {listed}"
        case "loras":
            return _loras_error(value)
        case _:
            return _number_error(one, value)


def _number_error(one: Input, value: Any) -> str | None:
    if number(value) is None or not math.isfinite(value):
        return f"{shown(value)} is not a number"
    if one.type != "number" and value != int(value):
        return f"{shown(value)} is not a whole number"
    low, high = one.minimum, one.maximum
    if one.type == "seed":
        low, high = low if low is not None else 0, high if high is not None else SEEDS - 1
    if low is not None and value < low:
        return f"{value} is below {low}"
    if high is not None and value > high:
        return f"{value} is above {high}"
    return None


def _loras_error(value: Any) -> str | None:
    if not is_array(value):
        return 'must be a list such as [{"file": "x.safetensors", "strength": 0.8}]'
    for position, entry in enumerate(value):
        lora = mapping(entry)
        if not any(isinstance(lora.get(key), str) and lora[key] for key in ("file", "air")):
            return f"[{position}] names no LoRA; give it a file or an air"
        if unknown := sorted(lora.keys() - {"file", "air", "strength", "strength_clip"}):
            return f"[{position}].{unknown[0]} is unknown; it may have file, air, strength, strength_clip"
        for key in ("strength", "strength_clip"):
            given = number(lora.get(key, 1.0))
            if given is None or not math.isfinite(given) or abs(given) > 100:
                return f"[{position}].{key} is {shown(lora[key])}, not a number from -100 to 100"
    return None


def from_text(text: str) -> Workflow:
    """Raise `InvalidWorkflow`, naming the field, for a text that is no sound workflow."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidWorkflow(f"the manifest is not TOML: {error}") from None
    if unknown := sorted(content.keys() - _FIELDS):
        raise InvalidWorkflow(f"{unknown[0]}: is unknown; a workflow has {', '.join(sorted(_FIELDS))}")
    workflow = Workflow(
        name=_text(content, "name"),
        title=_text(content, "title"),
        description=_text(content, "description"),
        graph=_graph(mapping(content.get("graph")).get("json")),
        inputs=tuple(_input(name, raw) for name, raw in mapping(content.get("inputs")).items()),
        outputs=_texts("outputs", content.get("outputs", [])),
    )
    complaints = check(workflow)
    if complaints:
        raise InvalidWorkflow("; ".join(complaints))
    return workflow


def _text(content: Mapping[str, Any], field: str, where: str = "") -> str:
    value = content.get(field, "")
    if not isinstance(value, str):
        raise InvalidWorkflow(f"{where}{field}: is {shown(value)}, not a text")
    return value


def _texts(where: str, value: Any) -> tuple[str, ...]:
    if not is_array(value) or not all(isinstance(one, str) for one in value):
        raise InvalidWorkflow(f"{where}: must be a list of texts")
    return tuple(value)


def _graph(text: object) -> Graph:
    if not isinstance(text, str):
        raise InvalidWorkflow("graph.json: is missing: the graph in API format, as a text of JSON")
    try:
        return normalise(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InvalidWorkflow(f"graph.json: is not JSON: {error}") from None
    except InvalidGraph as error:
        raise InvalidWorkflow(f"graph.json: {error}") from error


def _input(name: str, raw: object) -> Input:
    where = f"inputs.{name}."
    if not is_object(raw):
        raise InvalidWorkflow(f"inputs.{name}: must be a table with type and targets")
    if unknown := sorted(raw.keys() - _INPUT_FIELDS):
        raise InvalidWorkflow(
            f"{where}{unknown[0]}: is unknown; it may have {', '.join(sorted(_INPUT_FIELDS))}"
        )
    limits: dict[str, int | float | None] = {}
    for field in ("minimum", "maximum", "step"):
        limits[field] = number(raw.get(field))
        if field in raw and limits[field] is None:
            raise InvalidWorkflow(f"{where}{field}: is {shown(raw[field])}, not a number")
    required = raw.get("required", False)
    if not isinstance(required, bool):
        raise InvalidWorkflow(f"{where}required: is {shown(required)}, neither true nor false")
    return Input(
        name=name,
        type=_text(raw, "type", where),
        targets=_targets(f"{where}targets", raw.get("targets")),
        default=raw.get("default"),
        choices=_texts(f"{where}choices", raw.get("choices", [])),
        help=_text(raw, "help", where),
        required=required,
        **limits,
    )


def _targets(where: str, raw: object) -> tuple[Target, ...]:
    if not is_array(raw):
        raise InvalidWorkflow(f'{where}: must be a list of pairs such as [["6", "text"]]')
    targets: list[Target] = []
    for pair in raw:
        parts = _texts(where, pair)
        if len(parts) != 2:
            raise InvalidWorkflow(
                f'{where}: {shown(pair)} is no pair of node id and input such as ["6", "text"]'
            )
        targets.append((parts[0], parts[1]))
    return tuple(targets)


def to_text(workflow: Workflow) -> str:
    """The manifest; `from_text` reads it back as it was."""
    lines = [
        _INTRODUCTION,
        f"name = {_toml(workflow.name)}",
        f"title = {_toml(workflow.title)}",
        f"description = {_toml(workflow.description)}",
        f"outputs = {_toml(list(workflow.outputs))}",
    ]
    for one in workflow.inputs:
        lines += ["", f"[inputs.{one.name}]", *_input_lines(one)]
    nodes = ",\n".join(
        f"{json.dumps(id_)}: {json.dumps(node, ensure_ascii=False)}" for id_, node in workflow.graph.items()
    )
    # A literal text ends at three quotes and knows no control characters; JSON may write both otherwise.
    escaped = nodes.replace("'''", "\\u0027\\u0027\\u0027").replace("\x7f", "\\u007f")
    return "\n".join([*lines, "", "[graph]", f"json = '''\n{{\n{escaped}\n}}\n'''", ""])


def _input_lines(one: Input) -> Iterator[str]:
    yield f"type = {_toml(one.type)}"
    yield f"targets = {_toml([list(target) for target in one.targets])}"
    for field in ("default", "minimum", "maximum", "step"):
        value = getattr(one, field)
        if value is not None:
            yield f"{field} = {_toml(value)}"
    if one.choices:
        yield f"choices = {_toml(list(one.choices))}"
    if one.help:
        yield f"help = {_toml(one.help)}"
    if one.required:
        yield "required = true"


def _toml(value: Any) -> str:
    if is_array(value):
        return f"[{', '.join(map(_toml, value))}]"
    if is_object(value):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    # JSON's texts, numbers and truth values are TOML's too, but for one control character JSON leaves bare.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def schema(workflow: Workflow) -> dict[str, Any]:
    """The JSON schema of the values the workflow takes."""
    return {
        "type": "object",
        "title": workflow.title or workflow.name,
        "description": workflow.description,
        "properties": {one.name: _input_schema(one) for one in workflow.inputs},
        "required": [one.name for one in workflow.inputs if one.required],
        "additionalProperties": False,
    }


_LORA_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "description": "As a node lists it."},
        "air": {"type": "string", "description": "In place of the file."},
        "strength": {"type": "number", "minimum": -100, "maximum": 100, "default": 1},
        "strength_clip": {"type": "number", "minimum": -100, "maximum": 100},
    },
    "additionalProperties": False,
}
_JSON_TYPES = {"integer": "integer", "seed": "integer", "number": "number", "boolean": "boolean"}


def _input_schema(one: Input) -> dict[str, Any]:
    described: dict[str, Any] = {"type": _JSON_TYPES.get(one.type, "string")}
    if one.type == "loras":
        described = {"type": "array", "items": _LORA_SCHEMA}
    if one.type == "seed":
        described |= {"minimum": 0, "maximum": SEEDS - 1}
    limits = {"minimum": one.minimum, "maximum": one.maximum, "multipleOf": None, "default": one.default}
    described |= {key: value for key, value in limits.items() if value is not None}
    if one.choices:
        described["enum"] = list(one.choices)
    if one.help:
        described["description"] = one.help
    return described


def bind(workflow: Workflow, values: Mapping[str, Any], images: Mapping[str, str]) -> Graph:
    """The graph with the values in place.

    ``images``: input name -> the name the node gave the uploaded file. An input without a value takes its
    default, or what stands in the graph. Raises `InvalidInput`, naming every input at fault.
    """
    errors = list(_errors(workflow, values, images))
    if errors:
        raise InvalidInput(errors)
    return apply(workflow, values, images)


def apply(workflow: Workflow, values: Mapping[str, Any], images: Mapping[str, str]) -> Graph:
    """`bind` for values that were checked elsewhere."""
    graph = copy(workflow.graph)
    for one in workflow.inputs:
        value = images.get(one.name) if one.type in ("image", "mask") else values.get(one.name)
        value = one.default if value is None else value
        if value is None:
            continue
        if one.type == "loras":
            _chain(graph, one.targets, value)
        else:
            for id_, name in one.targets:
                graph[id_]["inputs"][name] = _written(one, value)
    return graph


def _errors(workflow: Workflow, values: Mapping[str, Any], images: Mapping[str, str]) -> Iterator[FieldError]:
    names = [one.name for one in workflow.inputs]
    for name in values.keys() - set(names):
        yield FieldError(name, f"is no input of this workflow; it has {', '.join(names) or 'none'}")
    for one in workflow.inputs:
        is_picture = one.type in ("image", "mask")
        value = images.get(one.name) if is_picture else values.get(one.name)
        if value is None:
            if one.required and one.default is None:
                yield FieldError(one.name, "is required; send a picture" if is_picture else "is required")
        elif (said := value_error(one, value)) is not None:
            yield FieldError(one.name, said)


def _written(one: Input, value: Any) -> Any:
    """As the node wants it: a whole number as such, a model as a file."""
    if one.type in ("integer", "seed"):
        return int(value)
    return file_of(value) if one.type == "model" else value


def file_of(value: str) -> str:
    """The file a node is expected to have of a model named by AIR or by file."""
    return air.parse(value).path if is_air(value) and not air.short_version(value) else value


def _chain(graph: Graph, targets: tuple[Target, ...], loras: Any) -> None:
    """Put the LoRAs, in order, between what the targets take and the targets; what else takes it stays."""
    models = [target for target in targets if not takes_clip(target[1])]
    clips = [target for target in targets if takes_clip(target[1])]
    model, clip = _source(graph, models), _source(graph, clips)
    if model is None:
        return
    for entry in map(mapping, sequence(loras)):
        strength = float(entry.get("strength", 1.0))
        file = entry.get("file") or file_of(entry["air"])
        clip_strength = float(entry.get("strength_clip", strength))
        model, clip = insert_lora(graph, model, clip, file, strength, clip_strength)
    for source, taking in ((model, models), (clip, clips)):
        for id_, name in taking if source is not None else ():
            graph[id_]["inputs"][name] = list(source or ())


def _source(graph: Graph, targets: list[Target]) -> Link | None:
    return next((link for id_, name in targets if (link := linked(graph[id_]["inputs"][name]))), None)
