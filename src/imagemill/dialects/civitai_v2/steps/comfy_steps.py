"""The step types ``comfy`` and ``customComfy``: graphs of ComfyUI as they are."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from imagemill.api.base import Services
from imagemill.dialects.civitai_times import date_time
from imagemill.dialects.civitai_v2.steps.base import JobResult, ParsedStep, RecipeInput, StepType
from imagemill.dialects.civitai_v2.steps.fields import StepFields, read_fields
from imagemill.domain.air import InvalidAir, parse
from imagemill.domain.clock import SECOND
from imagemill.domain.errors import InvalidInput
from imagemill.web.body_fields import Real, Whole, one_of

_NODE_PACK = "nodepack"
_GRAPH = "graph"
_SECONDS_A_DAY = 86_400


class ComfyFields(StepFields):
    """The input of the step ``comfy``. Nodes are written as ComfyUI exports them, or in camel case."""

    comfy_workflow: dict[str, Any] = Field(min_length=1)
    quantity: Whole = Field(1, ge=1, le=100)
    image_metadata: str | None = None
    use_spine_comfy: bool | None = Field(None, description="Has no effect.")


class CustomComfyFields(StepFields):
    """The input of the step ``customComfy``."""

    resources: list[Annotated[str, Field(max_length=512)]] = Field(
        max_length=200, description="AIRs of the models and node packs of the workflow."
    )
    workflow: dict[str, Any] = Field(min_length=1)
    trace: Annotated[str, one_of(("none", "logs", "binary"))] = "none"
    session_id: str | None = Field(None, max_length=200)
    comfy_image: str | None = Field(None, max_length=200)
    min_vram_gb: Real | None = Field(None, ge=0, le=10_000, allow_inf_nan=False)
    use_sage_attention: bool | None = None
    minimum_duration_seconds: Real | None = Field(None, ge=0, le=_SECONDS_A_DAY, allow_inf_nan=False)


def parse_comfy(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(ComfyFields, raw, path)
    jobs = tuple(
        RecipeInput(
            "comfy",
            {_GRAPH: given.comfy_workflow, "number": index},
            {_GRAPH: "comfyWorkflow", "workflow": "comfyWorkflow"},
        )
        for index in range(given.quantity)
    )
    return ParsedStep(given.shown(), jobs)


def parse_custom_comfy(raw: Any, path: str, services: Services) -> ParsedStep:
    given = read_fields(CustomComfyFields, raw, path)
    for index, air in enumerate(given.resources):
        _check_resource(f"{path}.resources[{index}]", air, services)
    job = RecipeInput("comfy", {_GRAPH: given.workflow}, {_GRAPH: "workflow"})
    return ParsedStep(given.shown(), (job,))


def _check_resource(path: str, air: str, services: Services) -> None:
    """Raise `InvalidInput` for a model that is not known. A node pack shows in the classes of the nodes."""
    try:
        is_pack = parse(air).type == _NODE_PACK
    except InvalidAir as error:
        raise InvalidInput.at(path, str(error)) from error
    if not is_pack:
        services.registry.lookup(path, air)


def files_output(results: Sequence[JobResult]) -> dict[str, Any]:
    """Return the output of a step that saves files."""
    return {"blobs": [dict(blob) for result in results for blob in result.blobs]}


def custom_output(results: Sequence[JobResult]) -> dict[str, Any]:
    """Return the output of ``customComfy``, with what the run took once it has begun."""
    output = {**files_output(results), "tempBlobs": list[Any]()}
    result = results[0]
    if result.started_at is not None and result.finished_at is not None:
        runtime_s = (result.finished_at - result.started_at) / SECOND
        output["usage"] = {
            "buzzPerSecond": result.cost / runtime_s if runtime_s > 0 else 0.0,
            "runtimeSeconds": runtime_s,
            "estimatedCost": result.cost,
            "startedAt": date_time(result.started_at),
            "computedAt": date_time(result.finished_at),
        }
    return output


STEPS = (
    StepType("comfy", parse_comfy, files_output),
    StepType("customComfy", parse_custom_comfy, custom_output),
)
