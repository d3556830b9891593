"""``/api/v1/residency``: which node has which model, and which it has loaded."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.installed_models import model_bodies
from imagemill.api.jobs_schemas import moment
from imagemill.backends.base import Node
from imagemill.domain.access import Scope
from imagemill.domain.clock import now_us
from imagemill.domain.jobs import SIMULATOR
from imagemill.jobs.model_states import FILE_PREFIX, model_loads
from imagemill.net import pools
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, ResponseModel

_State = Literal["loaded", "loading", "installed", "missing", "unknown"]


class ResidentModel(ResponseModel):
    name: str = Field(description="The model's file.")
    type: str
    family: str
    air: str
    title: str | None
    size: int | None = Field(description="Bytes, where known.")
    registered: bool
    nodes: dict[str, _State] = Field(
        description="Node -> its state. `unknown`: the files of the node have not been read."
    )


class ResidencyNode(ResponseModel):
    name: str
    backend: str
    healthy: bool
    draining: bool
    problem: str
    slots: int
    memory_mb: int | None
    load_s: float | None = Field(description="Seconds to load a checkpoint, as measured; null where unknown.")
    loaded: list[str] = Field(description="AIRs of the models that are loaded, in lower case.")
    loading: str | None = Field(description="The model that it loads now.")
    loading_since: datetime | None


class Residency(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "nodes": [
                        {
                            "name": "attic",
                            "backend": "comfyui",
                            "healthy": True,
                            "draining": False,
                            "problem": "",
                            "slots": 2,
                            "memoryMb": 24576,
                            "loadS": 6.2,
                            "loaded": ["urn:air:sd1:checkpoint:civitai:4384@128713"],
                            "loading": None,
                            "loadingSince": None,
                        }
                    ],
                    "models": [
                        {
                            "name": "dreamshaper_8.safetensors",
                            "type": "checkpoint",
                            "family": "sd1",
                            "air": "urn:air:sd1:checkpoint:civitai:4384@128713",
                            "title": "DreamShaper",
                            "size": 2132625894,
                            "registered": True,
                            "nodes": {"attic": "loaded"},
                        }
                    ],
                    "total": 1,
                }
            ]
        }
    )

    nodes: list[ResidencyNode]
    models: list[ResidentModel]
    total: int = Field(description="The models that match, of which at most `limit` are given.")


router = APIRouter(prefix="/api/v1/residency", tags=["nodes"], route_class=ApiRoute)


@router.get("", summary="List which node has and has loaded which model", response_model=Residency)
async def read_residency(
    services: ServicesDep,
    type_: Annotated[str | None, Query(alias="type", description="Only models of this type.")] = None,
    node: Annotated[str | None, Query(max_length=128, description="Only models that this node has.")] = None,
    q: Annotated[str, Query(max_length=200, description="A part of a name or an AIR, in any case.")] = "",
    limit: Annotated[int, Query(ge=1, le=2000, description="Most models.")] = 500,
) -> Response:
    return json_response(await pools.read(_residency, services, type_, node, q, limit))


def _residency(
    services: Services, kind: str | None, node: str | None, query: str, limit: int
) -> dict[str, Any]:
    nodes = _nodes(services)
    loading = {load.node: load for load in model_loads(services.jobs, services.hub, services.backends)}
    now = now_us()
    places = [
        _NodeModels(each, services, loading[each.name].model if each.name in loading else "")
        for each in nodes
    ]
    sought = query.lower()
    models = [
        body
        for body in _models(services, places)
        if kind in (None, body["type"])
        and sought in f"{body['name']}\n{body['air']}\n{body['title']}".lower()
        and (node is None or body["nodes"].get(node, "missing") not in ("missing", "unknown"))
    ]
    return {
        "nodes": [
            {
                "name": each.name,
                "backend": each.backend,
                "healthy": each.healthy,
                "draining": each.draining,
                "problem": each.problem,
                "slots": each.slots,
                "memoryMb": each.memory_mb,
                "loadS": each.load_s,
                "loaded": sorted(each.loaded_models),
                "loading": loading[each.name].model if each.name in loading else None,
                "loadingSince": moment(min(now, loading[each.name].started_at))
                if each.name in loading
                else None,
            }
            for each in nodes
        ],
        "models": models[:limit],
        "total": len(models),
    }


def _nodes(services: Services) -> list[Node]:
    """Return the nodes that render, without those of a paused simulator."""
    found = [
        node
        for backend in services.backends.values()
        for node in backend.nodes()
        if node.runs == "pictures" and not (node.backend == SIMULATOR and node.draining)
    ]
    return sorted(found, key=lambda node: node.name)


class _NodeModels:
    """The models of one node."""

    def __init__(self, node: Node, services: Services, loading: str) -> None:
        self.name = node.name
        self._node = node
        self._loading = loading
        listed = {each.node: each.catalogue is not None for each in services.registry.installed.nodes()}
        self._is_listed = listed.get(node.name)
        """Whether its files have been read; None for a node that has no files."""

    def state(self, air: str, name: str, has_file: bool, *, is_checkpoint: bool) -> _State:
        keys = {air.lower(), f"{FILE_PREFIX}{name}".lower()}
        if self._loading.lower() in keys:
            return "loading"
        if keys & self._node.loaded_models:
            return "loaded"
        if has_file:
            return "installed"
        if self._is_listed is not None:
            return "missing" if self._is_listed else "unknown"
        available = self._node.available
        if available is None or not is_checkpoint:
            return "installed"
        return "installed" if any(key in available for key in keys) else "missing"


def _models(services: Services, places: Iterable[_NodeModels]) -> Iterator[Mapping[str, Any]]:
    for body in model_bodies(services):
        has = set(body["nodes"])
        yield {
            "name": body["name"],
            "type": body["type"],
            "family": body["family"],
            "air": body["air"],
            "title": body["title"],
            "size": body["size"],
            "registered": body["registered"],
            "nodes": {
                place.name: place.state(
                    body["air"], body["name"], place.name in has, is_checkpoint=body["type"] == "checkpoint"
                )
                for place in places
            },
        }


DIALECT = ApiModule(
    name="residency",
    router=router,
    callback=no_callback,
    policies=(PathPolicy("/api/v1/residency", Scope.NODES_READ),),
    tags={"nodes": "The ComfyUI servers that render: add, drain, examine and remove them."},
)
