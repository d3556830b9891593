"""``/api/v1/jobs/{id}/graph``: the graph that a job was rendered by, with the time of each node."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.domain.access import EVERY_OWNER, Scope
from imagemill.domain.events import EventType
from imagemill.domain.jobs import Job
from imagemill.graphs.json_access import mapping
from imagemill.graphs.timed_graph import MOST_SHOWN, TIMES, timed_graph
from imagemill.net import pools
from imagemill.web.auth import caller
from imagemill.web.http import json_response
from imagemill.web.policies import READING, PathPolicy
from imagemill.web.routing import ApiRoute, ResponseModel


class GraphNodeBody(ResponseModel):
    id: str
    class_type: str = Field(description="The node class of ComfyUI.")
    title: str
    values: dict[str, str | int | float | bool] = Field(description="Its inputs that are not linked.")
    start_ms: float | None = Field(description="Milliseconds from the beginning of the render.")
    ms: float | None = Field(description="Milliseconds it took; null where no time is known.")
    cached: bool = Field(description="Whether the node had its result from a former render.")


class GraphLink(ResponseModel):
    source: str = Field(description="`id` of the node that gives the value.")
    output: int = Field(description="Number of its output, from 0.")
    target: str
    input: str


class JobGraph(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0192f3a4-0000-7000-8000-000000000000",
                    "attempt": 1,
                    "source": "sent",
                    "timed": True,
                    "nodes": [
                        {
                            "id": "4",
                            "classType": "CheckpointLoaderSimple",
                            "title": "Load Checkpoint",
                            "values": {"ckpt_name": "dreamshaper_8.safetensors"},
                            "startMs": 0.0,
                            "ms": 2130.4,
                            "cached": False,
                        }
                    ],
                    "links": [{"source": "4", "output": 0, "target": "3", "input": "model"}],
                    "more": False,
                }
            ]
        }
    )

    id: str
    attempt: int
    source: Literal["sent", "input", "none"] = Field(
        description="`sent`: the graph that the node rendered. `input`: the graph of the request, as the job "
        "has not succeeded. `none`: no graph is known."
    )
    timed: bool = Field(description="Whether the times of its nodes are known.")
    nodes: list[GraphNodeBody]
    links: list[GraphLink]
    more: bool = Field(description=f"Whether the graph has more than the {MOST_SHOWN} nodes that are given.")


router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=ApiRoute)


@router.get(
    "/{job_id}/graph", summary="Read the graph of a job with the time of each node", response_model=JobGraph
)
async def read_graph(
    request: Request,
    services: ServicesDep,
    job_id: Annotated[str, Path(description="`id` of the job.")],
) -> Response:
    owner = caller(request).owner
    job = await pools.read(services.jobs.job, job_id, None if owner == EVERY_OWNER else owner)
    return json_response(await pools.read(_body, services, job))


def _body(services: Services, job: Job) -> dict[str, Any]:
    source, graph, times = _graph(services, job)
    shown = timed_graph(graph, times)
    return {
        "id": job.id,
        "attempt": job.attempt,
        "source": source,
        "timed": bool(times),
        "nodes": [
            {
                "id": node.id,
                "classType": node.kind,
                "title": node.title,
                "values": dict(node.values),
                "startMs": node.start_ms,
                "ms": node.ms,
                "cached": node.cached,
            }
            for node in shown.nodes
        ],
        "links": [
            {"source": link.source, "output": link.output, "target": link.target, "input": link.input}
            for link in shown.links
        ],
        "more": len(graph) > len(shown.nodes),
    }


def _graph(services: Services, job: Job) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Return where the graph is from, the graph, and the times of its nodes."""
    for event in services.jobs.last_events(job.id, 1):
        sent = mapping(event.data.get("prompt_request"))
        if event.type is EventType.SUCCEEDED and sent:
            return "sent", sent, mapping(event.data.get(TIMES))
    asked = mapping(job.input.get("graph"))
    return ("input", asked, {}) if asked else ("none", {}, {})


DIALECT = ApiModule(
    name="job_graph",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/jobs/{job_id}/graph", Scope.JOBS_READ, owner_methods=READING, all_owners=True),
    ),
    tags={"jobs": "Submit a recipe's input, follow its progress, and fetch the pictures it made."},
)
