"""Bodies of the routes about workflows."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from imagemill.api.jobs_schemas import moment
from imagemill.graphs import manifest
from imagemill.graphs.manifest import Input, Workflow
from imagemill.recipes.comfy import EXAMPLE_GRAPH
from imagemill.web.routing import Flag, RequestModel, ResponseModel
from imagemill.workflows.service import SHARED, WorkflowVersion

MOST_VERSIONS = 2**31 - 1
GRAPH: dict[str, Any] = {
    **EXAMPLE_GRAPH,
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dusk", "clip": ["1", 1]}},
}
_EXAMPLES: dict[str, Any] = {
    "text": "a lighthouse at dusk",
    "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
}
"""Values of required inputs, by their type."""
_LORA: dict[str, Any] = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
_RUN_VALUE: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "description": "A text, a choice, the AIR of a model, or a picture."},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "array", "items": _LORA, "description": "LoRAs."},
        {"type": "null", "description": "The default."},
    ]
}
RunValues = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "additionalProperties": _RUN_VALUE})]
"""Values for the inputs of any workflow."""


class WorkflowChange(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"graph": GRAPH}]})

    graph: dict[str, Any] | None = Field(
        None,
        description="ComfyUI's Export (API); or its UI format, when a node is known.",
    )
    manifest: Annotated[str, Field(max_length=2 * 2**20)] | None = Field(
        None, description="TOML: the inputs, for people to edit, with the graph in it."
    )


class WorkflowBody(WorkflowChange):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "my-lighthouse", "graph": GRAPH}]})

    name: str = Field(max_length=64)


class RunQuery(BaseModel):
    model_config = ConfigDict(defer_build=True, alias_generator=to_camel)

    version: int | None = Field(
        None, ge=0, le=MOST_VERSIONS, description="Number of a version; default: the newest."
    )
    wait: Flag = Field(
        False, description="Answer when the job is finished, or with a 202 after the longest wait."
    )
    whatif: Flag = Field(False, description="Only return what the job would cost.")
    name: str | None = Field(None, description="A name of your own for the job.")
    priority: int = Field(0, ge=-100, le=100, description="A smaller number is more urgent.")
    label: list[str] = Field([], description="Labels the node must carry, repeated.")
    callback_url: str | None = Field(None, description="Where every event of the job is posted.")


class WorkflowInput(ResponseModel):
    name: str
    type: Literal[manifest.TYPES]  # pyright: ignore[reportInvalidTypeForm]
    required: bool
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: list[str] | None = None
    help: str | None = None


class WorkflowSummary(ResponseModel):
    name: str
    version: int
    source: Literal["built-in", "added"]
    shared: bool = Field(description="Everybody may run it.")
    title: str
    description: str
    inputs: list[WorkflowInput]
    created_at: datetime | None
    deleted_at: datetime | None


class WorkflowInfo(WorkflowSummary):
    schema_: dict[str, Any] = Field(alias="schema", description="JSON schema of the values it takes.")
    manifest: str = Field(description="TOML: what `manifest` of a change takes.")


class WorkflowList(ResponseModel):
    items: list[WorkflowSummary]


def example_of(workflow: Workflow) -> dict[str, Any]:
    """Return values for the required inputs; pictures must be uploaded first and are left out."""
    required = [one for one in workflow.inputs if one.required and one.default is None]
    return {one.name: _EXAMPLES[one.type] for one in required if one.type in _EXAMPLES}


def summary_body(kept: WorkflowVersion) -> dict[str, Any]:
    workflow = kept.workflow
    return {
        "name": workflow.name,
        "version": kept.version,
        "source": "built-in" if kept.is_built_in else "added",
        "shared": kept.space == SHARED,
        "title": workflow.title,
        "description": workflow.description,
        "inputs": [input_body(one) for one in workflow.inputs],
        "createdAt": moment(kept.created_at),
        "deletedAt": moment(kept.deleted_at),
    }


def whole_body(kept: WorkflowVersion) -> dict[str, Any]:
    return summary_body(kept) | {"schema": manifest.schema(kept.workflow), "manifest": kept.text}


def input_body(one: Input) -> dict[str, Any]:
    body: dict[str, Any] = {"name": one.name, "type": one.type, "required": one.required}
    further = {
        "default": one.default,
        "minimum": one.minimum,
        "maximum": one.maximum,
        "step": one.step,
        "choices": list(one.choices) or None,
        "help": one.help or None,
    }
    return body | {name: value for name, value in further.items() if value is not None}
