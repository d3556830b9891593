"""The recipe ``workflow``: a stored graph with values for its named, typed inputs."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.air import InvalidAir, Resource, parse
from imagemill.domain.clock import random_below
from imagemill.domain.credits import Rate
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.domain.images import MAX_SEED, GraphSpec
from imagemill.domain.model_families import native_side
from imagemill.domain.moderation import PromptTexts
from imagemill.graphs import graph as graphs
from imagemill.graphs import prompt_texts
from imagemill.graphs.families.finding import ModelFacts, find_family
from imagemill.graphs.families.table import built_in
from imagemill.graphs.manifest import Input, Workflow, bind
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.recipes.comfy import check_marks, checkpoint_of

_PICTURES = ("image", "mask")
_DRAW = -1
"""The value of a seed that is to be drawn."""


class WorkflowRun(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    name: str = Field(max_length=64)
    version: int = Field(0, ge=0, description="Version of the workflow; 0 for a built-in one.")
    values: dict[str, Any] = Field({}, description="Values by the names of the workflow's inputs.")
    definition: Any = Field(
        default=None, exclude=True, description="The workflow itself, until the job is accepted."
    )
    graph: dict[str, Any] = Field({}, description="The graph with the values; set when the job is accepted.")
    seed: int | None = Field(None, description="Value of the first seed input; set when the job is accepted.")
    checkpoint: str = Field(
        "", description="The first checkpoint's AIR or file; set when the job is accepted."
    )
    pictures: dict[str, str] = Field({}, description="Sources of pictures; set when the job is accepted.")


def complete(input_: WorkflowRun, resolver: ResourceResolver, path: str) -> WorkflowRun:
    """Return the complete input. Raises `InvalidInput` at ``path`` + input name, with every error found."""
    workflow = input_.definition
    if not isinstance(workflow, Workflow):
        raise InvalidInput.at(
            f"{path}name", "names a workflow; run it by POST /api/v1/workflows/{name}, its inputs as the body"
        )
    given = {name: value for name, value in input_.values.items() if value is not None}
    values = _seeded(
        workflow, _with_defaults(workflow, given, resolver, path) if not input_.version else given
    )
    found: list[Resource] = []
    resolved = {
        one.name: _with_files(one, values[one.name], resolver, f"{path}{one.name}", found)
        for one in workflow.inputs
        if one.name in values
    }
    shown = [one for one in workflow.inputs if one.type in _PICTURES and one.name in values]
    places = {one.name: placeholder(one.name) for one in shown}
    check_marks(values, [f"picture_{one.name}" for one in shown], path)
    seed = next((resolved[one.name] for one in workflow.inputs if one.type == "seed"), None)
    if seed is not None:
        # Before the client's texts are in it: braces in these are theirs.
        workflow = replace(workflow, graph=graphs.substitute(workflow.graph, {"seed": seed}))
    graph = _bound(workflow, {**values, **resolved}, places, path)
    graph = _with_airs(graph, resolver, found)
    pictures = {one.name: resolver.picture(f"{path}{one.name}", values[one.name]) for one in shown}
    return WorkflowRun(
        name=workflow.name,
        version=input_.version,
        values=values | pictures,
        graph=graph,
        seed=int(seed) if seed is not None else None,
        checkpoint=checkpoint_of(graph, {each.path: str(each.air) for each in found}),
        pictures={f"picture_{name}": source for name, source in pictures.items()},
    )


def _with_defaults(
    workflow: Workflow, values: dict[str, Any], resolver: ResourceResolver, path: str
) -> dict[str, Any]:
    """Return the values of a built-in workflow with its model and the size that the model's family suits."""
    model = workflow.input("model")
    if model is None:
        return values
    wanted = "flux1" if workflow.name.startswith("flux") else None
    if "model" not in values:
        resource = resolver.default_checkpoint(f"{path}model", wanted)
        values, family = {**values, "model": resource.path}, resource.family
    else:
        family = _family_of(values["model"])
    sides = [one for one in workflow.inputs if one.name in ("width", "height")]
    if len(sides) == 2 and not any(one.name in values for one in sides):
        return {**values, **{one.name: native_side(family) for one in sides}}
    return values


def _family_of(model: Any) -> str:
    """Return the family of a model by its AIR, else as its file name suggests."""
    if not isinstance(model, str):
        return ""
    try:
        return parse(model).family
    except InvalidAir:
        return find_family(built_in(), ModelFacts(file=model)).name


def placeholder(name: str) -> str:
    """Return the graph's variable for a picture; it is named like the input of the render request."""
    return f"{{picture_{name}}}"


def _seeded(workflow: Workflow, values: dict[str, Any]) -> dict[str, Any]:
    """Draw every seed that the client did not choose; the graph's own seed would repeat the same picture."""
    for one in workflow.inputs:
        if one.type == "seed" and values.get(one.name, _DRAW) == _DRAW:
            values[one.name] = random_below(MAX_SEED + 1)
    return values


def _with_files(one: Input, value: Any, resolver: ResourceResolver, path: str, found: list[Resource]) -> Any:
    """Replace a model's AIR by the file in which a node should have it; other values are unchanged."""
    if one.type == "model" and isinstance(value, str) and graphs.is_air(value):
        found.append(resolver.resource(path, value))
        return found[-1].path
    if one.type == "loras" and isinstance(value, list):
        return [_lora(entry, resolver, f"{path}[{index}]", found) for index, entry in enumerate(value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    return value


def _lora(entry: Any, resolver: ResourceResolver, path: str, found: list[Resource]) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get("air"), str) or entry.get("file"):  # pyright: ignore[reportUnknownMemberType] - any JSON
        return entry  # pyright: ignore[reportUnknownVariableType] - any JSON
    if not graphs.is_air(entry["air"]):
        raise InvalidInput.at(f"{path}.air", f"is {entry['air'][:80]!r}, no AIR; name a file by `file`")
    found.append(resolver.resource(f"{path}.air", entry["air"]))
    named: dict[str, Any] = {**entry, "file": found[-1].path}
    del named["air"]
    return named


def _bound(
    workflow: Workflow, values: Mapping[str, Any], places: Mapping[str, str], path: str
) -> graphs.Graph:
    errors = list(_picture_errors(workflow, values))
    try:
        graph = bind(workflow, values, places)
    except InvalidInput as error:
        raise InvalidInput(
            [FieldError(path + each.path, each.message) for each in (*errors, *error.errors)]
        ) from error
    if errors:
        raise InvalidInput([FieldError(path + each.path, each.message) for each in errors])
    return graph


def _picture_errors(workflow: Workflow, values: Mapping[str, Any]) -> Iterator[FieldError]:
    for one in workflow.inputs:
        picture = values.get(one.name)
        if one.type in _PICTURES and picture is not None and not (isinstance(picture, str) and picture):
            yield FieldError(one.name, "should be a picture: a data URL, a URL, or blob: and a blob key")


def _with_airs(graph: graphs.Graph, resolver: ResourceResolver, found: list[Resource]) -> graphs.Graph:
    """Replace AIRs in the graph itself by the files in which a node should have the models."""
    changes: dict[tuple[str, graphs.Path], Any] = {}
    for id_, place, air in graphs.air_inputs(graph):
        found.append(resolver.resource(f"workflow.graph[{id_!r}].inputs.{'.'.join(map(str, place))}", air))
        changes[id_, place] = found[-1].path
    return graphs.replace_values(graph, changes)


def get_texts(input_: WorkflowRun) -> PromptTexts:
    """Return the texts of the graph with the client's values, and of the further values."""
    workflow = input_.definition
    if not isinstance(workflow, Workflow):
        return prompt_texts.graph_texts(input_.graph)
    graph = graphs.copy(workflow.graph)
    further: dict[str, Any] = {}
    for one in workflow.inputs:
        value = input_.values.get(one.name)
        value = one.default if value is None else value
        if not isinstance(value, str):
            further[one.name] = value
        elif one.type not in _PICTURES:
            for id_, name in one.targets:
                graph[id_]["inputs"][name] = value
    return prompt_texts.graph_texts(graph, further)


def plan(input_: WorkflowRun) -> Plan:
    models = (input_.checkpoint,) if input_.checkpoint else ()
    work = GraphSpec(input_.graph, seed=input_.seed, models=models)
    return Plan(work=work, outputs=1, inputs=input_.pictures)


RECIPE = Recipe(
    name="workflow",
    input=WorkflowRun,
    complete=complete,
    plan=plan,
    model=lambda input_: input_.checkpoint.lower(),
    rate=Rate(base=4.0),
    get_texts=get_texts,
    prompt_field="values",
    summary="The files of a workflow; its jobs are made by POST /api/v1/workflows/{name}.",
)
