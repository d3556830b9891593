"""A workflow and values for its inputs make a graph."""

from collections.abc import Iterator, Mapping
from typing import Any

from imagemill.domain import air
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.workflows.checking import linked
from imagemill.workflows.graphs import Graph, copy, is_air
from imagemill.workflows.loose import mapping, sequence
from imagemill.workflows.manifest import Input, Target, Workflow, takes_clip, value_complaint
from imagemill.workflows.wiring import Link, insert_lora


def bind(workflow: Workflow, values: Mapping[str, Any], images: Mapping[str, str]) -> Graph:
    """The graph with the values in place.

    ``images``: input name -> the name the node gave the uploaded file. An input without a value takes its
    default, or what stands in the graph. Raises `InvalidInput`, naming every input at fault.
    """
    errors = list(_errors(workflow, values, images))
    if errors:
        raise InvalidInput(errors)
    return place(workflow, values, images)


def place(workflow: Workflow, values: Mapping[str, Any], images: Mapping[str, str]) -> Graph:
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
        elif (said := value_complaint(one, value)) is not None:
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
