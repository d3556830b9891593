"""A workflow is a graph with named, typed inputs. Its manifest is TOML, for people to read and edit.

This module checks, reads and writes manifests, gives the JSON schema of the inputs, and puts values into the
graph.
"""

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from imagemill.domain import air
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.graphs.errors import InvalidGraph, InvalidWorkflow
from imagemill.graphs.graph import SEEDS, Graph, Link, copy, insert_lora, is_air, normalise
from imagemill.graphs.json_access import format_value, is_array, is_object, mapping, number, sequence
from imagemill.graphs.validate import parse_link

TYPES = ("text", "integer", "number", "boolean", "choice", "image", "mask", "loras", "model", "seed")
Target = tuple[str, str]
"""(node id, input). For LoRAs: an input that takes the model or text encoder the LoRAs are to modify."""

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
    """None means the value in the graph."""
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
    """Ids of the nodes whose results are delivered; empty means all nodes that keep a result."""

    def input(self, name: str) -> Input | None:
        return next((one for one in self.inputs if one.name == name), None)


def check(workflow: Workflow) -> tuple[str, ...]:
    """The problems of a workflow, one sentence each that names the field; empty if it is valid."""
    return tuple(_problems(workflow))


def _problems(workflow: Workflow) -> Iterator[str]:
    if not _WORKFLOW_NAME.fullmatch(workflow.name):
        yield (
            "name: must be 1 to 64 letters, digits, dots, hyphens or underscores, and start with a letter "
            "or digit"
        )
    for output in workflow.outputs:
        if output not in workflow.graph:
            yield f"outputs: the graph has no node {output}"
    names = [one.name for one in workflow.inputs]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"inputs.{name}: occurs twice"
    for one in workflow.inputs:
        yield from (f"inputs.{one.name}.{error}" for error in _input_problems(one, workflow.graph))


def _input_problems(one: Input, graph: Graph) -> Iterator[str]:
    if not _NAME.fullmatch(one.name):
        yield "name: must be lower-case letters, digits and underscores, starting with a letter"
    if one.type not in TYPES:
        yield f"type: is {one.type!r}; it may be one of {', '.join(TYPES)}"
        return
    if not one.targets:
        yield "targets: names no input of the graph"
    for id_, name in one.targets:
        yield from _target_problems(one, id_, name, graph)
    if one.type == "loras":
        yield from _lora_target_problems(one, graph)
    if one.type == "choice" and not one.choices:
        yield "choices: is empty; list the choices, or use the type text"
    if one.minimum is not None and one.maximum is not None and one.minimum > one.maximum:
        yield f"minimum: {one.minimum} is above the maximum, {one.maximum}"
    if one.default is not None and (error := value_error(one, one.default)) is not None:
        yield f"default: {error}"


def _target_problems(one: Input, id_: str, name: str, graph: Graph) -> Iterator[str]:
    if id_ not in graph:
        yield f"targets: the graph has no node {id_}"
        return
    where = f"targets: node {id_} ({graph[id_]['class_type']})"
    if name not in graph[id_]["inputs"]:
        yield f"{where} has no input {name}; it has {', '.join(graph[id_]['inputs']) or 'none'}"
        return
    is_link = parse_link(graph[id_]["inputs"][name]) is not None
    if one.type == "loras" and not is_link:
        yield f"{where}: {name} holds a value; LoRAs need an input that is linked to a model or a CLIP"
    if one.type != "loras" and is_link:
        yield f"{where}: {name} is linked to another node; name the node that holds the value"


def _lora_target_problems(one: Input, graph: Graph) -> Iterator[str]:
    sources: dict[bool, set[object]] = {True: set(), False: set()}
    for id_, name in one.targets:
        if id_ in graph and (link := parse_link(graph[id_]["inputs"].get(name))):
            sources[takes_clip(name)].add(link)
    if any(len(links) > 1 for links in sources.values()):
        yield "targets: take different models or text encoders; LoRAs can modify only one of each"
    if not sources[False]:
        yield "targets: none takes a model; name the input whose model the LoRAs are to modify"


def takes_clip(input_name: str) -> bool:
    """Whether the target of LoRAs takes a text encoder, not a model."""
    return "clip" in input_name.lower()


def value_error(one: Input, value: Any) -> str | None:
    """The error of a value for this input, as the end of a sentence; None if it is valid."""
    match one.type:
        case "text":
            return None if isinstance(value, str) else f"{format_value(value)} is not a text"
        case "model" | "image" | "mask":
            if not isinstance(value, str):
                return f"{format_value(value)} is not a text"
            return None if value else "is empty; leave it out, or name one"
        case "boolean":
            return None if isinstance(value, bool) else f"{format_value(value)} is neither true nor false"
        case "choice":
            listed = ", ".join(one.choices[:20]) + (", ..." if len(one.choices) > 20 else "")
            return None if value in one.choices else f"{format_value(value)} is none of: {listed}"
        case "loras":
            return _loras_error(value)
        case _:
            return _number_error(one, value)


def _number_error(one: Input, value: Any) -> str | None:
    if number(value) is None or not math.isfinite(value):
        return f"{format_value(value)} is not a number"
    if one.type != "number" and value != int(value):
        return f"{format_value(value)} is not a whole number"
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
                return f"[{position}].{key} is {format_value(lora[key])}, not a number from -100 to 100"
    return None


def from_text(text: str) -> Workflow:
    """Read a manifest. Raises `InvalidWorkflow`, naming the field."""
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
    problems = check(workflow)
    if problems:
        raise InvalidWorkflow("; ".join(problems))
    return workflow


def _text(content: Mapping[str, Any], field: str, where: str = "") -> str:
    value = content.get(field, "")
    if not isinstance(value, str):
        raise InvalidWorkflow(f"{where}{field}: is {format_value(value)}, not a text")
    return value


def _texts(where: str, value: Any) -> tuple[str, ...]:
    if not is_array(value) or not all(isinstance(one, str) for one in value):
        raise InvalidWorkflow(f"{where}: must be a list of texts")
    return tuple(value)


def _graph(text: object) -> Graph:
    if not isinstance(text, str):
        raise InvalidWorkflow("graph.json: is missing: the graph in API format, as JSON text")
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
            raise InvalidWorkflow(f"{where}{field}: is {format_value(raw[field])}, not a number")
    required = raw.get("required", False)
    if not isinstance(required, bool):
        raise InvalidWorkflow(f"{where}required: is {format_value(required)}, neither true nor false")
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
                f'{where}: {format_value(pair)} is no pair of node id and input such as ["6", "text"]'
            )
        targets.append((parts[0], parts[1]))
    return tuple(targets)


def to_text(workflow: Workflow) -> str:
    """The manifest of a workflow; `from_text` reads it back unchanged."""
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
    # A TOML literal string cannot hold three quotes or control characters; JSON can escape both.
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
    # JSON's strings, numbers and booleans are valid TOML, except one control character that JSON does not
    # escape.
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
        "file": {"type": "string", "description": "The file as a node lists it."},
        "air": {"type": "string", "description": "The LoRA's AIR, in place of the file."},
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
    """The graph with the values filled in.

    ``images``: input name -> the name the node gave the uploaded file. An input without a value takes its
    default, or keeps the value in the graph. Raises `InvalidInput`, naming every invalid input.
    """
    errors = list(_value_errors(workflow, values, images))
    if errors:
        raise InvalidInput(errors)
    return apply(workflow, values, images)


def apply(workflow: Workflow, values: Mapping[str, Any], images: Mapping[str, str]) -> Graph:
    """The same as `bind`, for values that were validated elsewhere."""
    graph = copy(workflow.graph)
    for one in workflow.inputs:
        value = images.get(one.name) if one.type in ("image", "mask") else values.get(one.name)
        value = one.default if value is None else value
        if value is None:
            continue
        if one.type == "loras":
            _insert_loras(graph, one.targets, value)
        else:
            for id_, name in one.targets:
                graph[id_]["inputs"][name] = _to_node_value(one, value)
    return graph


def _value_errors(
    workflow: Workflow, values: Mapping[str, Any], images: Mapping[str, str]
) -> Iterator[FieldError]:
    names = [one.name for one in workflow.inputs]
    for name in values.keys() - set(names):
        yield FieldError(name, f"is not an input of this workflow; it has {', '.join(names) or 'none'}")
    for one in workflow.inputs:
        is_picture = one.type in ("image", "mask")
        value = images.get(one.name) if is_picture else values.get(one.name)
        if value is None:
            if one.required and one.default is None:
                yield FieldError(one.name, "is required; send a picture" if is_picture else "is required")
        elif (error := value_error(one, value)) is not None:
            yield FieldError(one.name, error)


def _to_node_value(one: Input, value: Any) -> Any:
    """The value as the node takes it: whole numbers as integers, models as file names."""
    if one.type in ("integer", "seed"):
        return int(value)
    return model_file_name(value) if one.type == "model" else value


def model_file_name(value: str) -> str:
    """The file that a node is expected to have for a model named by AIR or by file."""
    return air.parse(value).path if is_air(value) and not air.short_version(value) else value


def _insert_loras(graph: Graph, targets: tuple[Target, ...], loras: Any) -> None:
    """Insert the LoRAs, in order, between the targets and their sources; other links to the sources stay."""
    models = [target for target in targets if not takes_clip(target[1])]
    clips = [target for target in targets if takes_clip(target[1])]
    model, clip = _source(graph, models), _source(graph, clips)
    if model is None:
        return
    for entry in map(mapping, sequence(loras)):
        strength = float(entry.get("strength", 1.0))
        file = entry.get("file") or model_file_name(entry["air"])
        clip_strength = float(entry.get("strength_clip", strength))
        model, clip = insert_lora(graph, model, clip, file, strength, clip_strength)
    for source, taking in ((model, models), (clip, clips)):
        for id_, name in taking if source is not None else ():
            graph[id_]["inputs"][name] = list(source or ())


def _source(graph: Graph, targets: list[Target]) -> Link | None:
    return next((link for id_, name in targets if (link := parse_link(graph[id_]["inputs"][name]))), None)
