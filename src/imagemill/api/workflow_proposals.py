"""``/api/v1/workflows``: what a graph would be as a workflow, and the difference of two versions."""

import base64
import binascii
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict, Field

from imagemill.api.dependencies import ServicesDep
from imagemill.api.workflows_schemas import GRAPH, MOST_VERSIONS, WorkflowInput, input_body
from imagemill.domain.errors import InvalidInput
from imagemill.graphs.manifest import Input
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.body_fields import Real
from imagemill.web.http import json_response
from imagemill.web.routing import ApiRoute, RequestModel, ResponseModel
from imagemill.workflows.proposal import Proposal, WorkflowDifference, compare, read_picture
from imagemill.workflows.service import spaces_of

_Text = Annotated[str, Field(max_length=2000)]


class ProposedInput(RequestModel):
    """An input as it shall be, with its places in the graph."""

    name: str = Field(max_length=64)
    type: str = Field(max_length=32)
    targets: list[
        Annotated[list[Annotated[str, Field(max_length=500)]], Field(min_length=2, max_length=2)]
    ] = Field(max_length=100, description="Pairs of a node's id and the name of its input.")
    default: Any = None
    minimum: Real | None = None
    maximum: Real | None = None
    step: Real | None = None
    choices: list[_Text] = Field([], max_length=5000)
    help: _Text = ""
    required: bool = False

    def made(self) -> Input:
        fields = self.model_dump()
        targets = tuple((id_, name) for id_, name in self.targets)
        return Input(**{**fields, "targets": targets, "choices": tuple(self.choices)})


class ProposalBody(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "my-lighthouse", "graph": GRAPH}]})

    graph: dict[str, Any] | None = Field(
        None, description="ComfyUI's Export (API); or its UI format, when a node is known."
    )
    picture: str | None = Field(
        None,
        max_length=4 * 2**20,
        description="In place of `graph`: the beginning of a PNG that ComfyUI has saved, in base64. Its "
        "metadata stand before its pixels, so the first 2 MB are enough.",
    )
    manifest: str | None = Field(
        None, max_length=2 * 2**20, description="In place of `graph`: TOML of a workflow that is there."
    )
    name: str = Field("my-workflow", max_length=64)
    title: str = Field("", max_length=200)
    description: str = Field("", max_length=2000)
    inputs: list[ProposedInput] | None = Field(
        None, max_length=200, description="In place of the inputs that are found in the graph."
    )


class FoundInput(WorkflowInput):
    targets: list[list[str]] = Field(description="Pairs of a node's id and the name of its input.")


class GraphNeedBody(ResponseModel):
    kind: str = Field(description="`class`, `checkpoint`, `lora`, `vae`, ...")
    name: str
    missing: bool = Field(description="The node that lacks least lacks it.")


class GraphProblem(ResponseModel):
    node: str = Field(description="Id of the node in the graph; empty for the whole graph.")
    node_class: str
    input: str
    kind: str
    message: str


class WorkflowProposal(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "my-lighthouse",
                    "title": "my-lighthouse",
                    "description": "",
                    "graph": GRAPH,
                    "inputs": [
                        {"name": "prompt", "type": "text", "required": False, "targets": [["2", "text"]]}
                    ],
                    "manifest": 'name = "my-lighthouse"',
                    "needs": [{"kind": "class", "name": "KSampler", "missing": False}],
                    "problems": [],
                    "checked": True,
                }
            ]
        }
    )

    name: str
    title: str
    description: str
    graph: dict[str, Any] = Field(description="The graph in ComfyUI's API format.")
    inputs: list[FoundInput]
    manifest: str = Field(description="TOML: what `manifest` of a new workflow takes.")
    needs: list[GraphNeedBody] = Field(description="The node classes and models of the graph.")
    problems: list[GraphProblem] = Field(description="Why the node that fits best would refuse the graph.")
    checked: bool = Field(description="Some node is known, so that needs and problems could be found.")


class WorkflowChangeInfo(ResponseModel):
    part: Literal["text", "input", "node"]
    name: str = Field(description="`title`, the name of an input, or the id and the class of a node.")
    before: Any = Field(description="null where it was added.")
    after: Any = Field(description="null where it was removed.")


class WorkflowChanges(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "my-lighthouse",
                    "from": 1,
                    "to": 2,
                    "items": [
                        {"part": "text", "name": "title", "before": "Lighthouse", "after": "A lighthouse"}
                    ],
                }
            ]
        }
    )

    name: str
    from_: int = Field(alias="from")
    to: int
    items: list[WorkflowChangeInfo]


router = APIRouter(prefix="/api/v1/workflows", tags=["workflows"], route_class=ApiRoute)


@router.post("/propose", summary="Find the inputs of a graph", response_model=WorkflowProposal)
async def propose_workflow(services: ServicesDep, body: ProposalBody) -> Response:
    """Nothing is stored: change the inputs and ask again, then add the workflow with the `manifest`."""
    if [body.graph, body.picture, body.manifest].count(None) != 2:
        raise InvalidInput.at("graph", "picture or manifest is required, and only one of the three")
    raw = body.graph if body.picture is None else read_picture(_decoded(body.picture))
    inputs = None if body.inputs is None else [each.made() for each in body.inputs]
    proposal = await pools.decode(
        services.workflows.propose, raw, body.manifest, body.name, body.title, body.description, inputs
    )
    return json_response(_proposal_body(proposal, checked=bool(services.workflows.has_nodes)))


@router.get("/{name}/diff", summary="Compare two versions of a workflow", response_model=WorkflowChanges)
async def compare_workflow_versions(
    request: Request,
    services: ServicesDep,
    name: Annotated[str, Path(description="`name` of the workflow.", examples=["my-lighthouse"])],
    from_: Annotated[
        int | None, Query(alias="from", ge=0, le=MOST_VERSIONS, description="Default: the version before.")
    ] = None,
    to: Annotated[
        int | None, Query(ge=0, le=MOST_VERSIONS, description="Default: the newest version.")
    ] = None,
) -> Response:
    spaces = spaces_of(caller(request))
    after = await pools.read(services.workflows.get, name, to, spaces)
    former = max(after.version - 1, min(after.version, 1)) if from_ is None else from_
    before = await pools.read(services.workflows.get, name, former, spaces)
    items = [_difference_body(each) for each in compare(before.workflow, after.workflow)]
    return json_response({"name": name, "from": before.version, "to": after.version, "items": items})


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.partition("base64,")[2] or text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput.at("picture", f"is not base64: {error}") from error


def _proposal_body(proposal: Proposal, *, checked: bool) -> dict[str, Any]:
    workflow = proposal.workflow
    return {
        "name": workflow.name,
        "title": workflow.title,
        "description": workflow.description,
        "graph": workflow.graph,
        "inputs": [
            input_body(one) | {"targets": [list(each) for each in one.targets]} for one in workflow.inputs
        ],
        "manifest": proposal.text,
        "needs": [
            {"kind": each.kind, "name": each.name, "missing": each.is_missing} for each in proposal.needs
        ],
        "problems": [
            {
                "node": fault.node_id,
                "nodeClass": fault.class_type,
                "input": fault.input,
                "kind": fault.kind,
                "message": fault.message,
            }
            for fault in proposal.faults
        ],
        "checked": checked,
    }


def _difference_body(difference: WorkflowDifference) -> dict[str, Any]:
    return {
        "part": difference.part,
        "name": difference.name,
        "before": difference.before,
        "after": difference.after,
    }
