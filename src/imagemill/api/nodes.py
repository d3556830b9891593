"""``/api/v1/nodes``: the ComfyUI nodes of an installation, for its operators."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.examination import STREAMED, NodeFinding, finding_body, is_ok, stream_findings
from imagemill.api.jobs_schemas import Label, moment
from imagemill.backends.comfyui.scan import PORTS, FoundServer, scan_loopback
from imagemill.domain.access import Scope
from imagemill.domain.errors import InvalidInput
from imagemill.domain.nodes import SLOTS, Finding, Level, NodeConfig, NodeReport
from imagemill.model_registry.names import same_file
from imagemill.model_registry.registry import Registry
from imagemill.net import pools
from imagemill.net.addresses import is_same_server
from imagemill.nodes.registry import MAX_SLOTS, NodeView
from imagemill.web.body_fields import Whole
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import WRITE_ONLY, ApiRoute, Flag, RequestModel, ResponseModel, immutable

_MOST_COUNTED = 1000
"""Registered models that are compared with the files of a node."""
_Secret = Annotated[str, Field(min_length=1, max_length=4096)]


class NodeFields(RequestModel):
    """A change of a node; null puts a field back to its default."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"labels": ["fast"], "slots": 1}]})

    url: str = Field("", max_length=500, description="http(s)://host[:port][/prefix]")
    labels: list[Label] | None = Field(None, max_length=20, description="Labels that jobs may ask for.")
    queues: list[Label] | None = Field(None, max_length=20, description="Default: gpu.")
    slots: Whole | None = Field(
        None, ge=1, le=MAX_SLOTS, description=f"Prompts in flight at once; default: {SLOTS}."
    )
    memory_mb: Whole | None = Field(
        None,
        ge=1,
        le=2**31 - 1,
        description="Overrides the memory that the node reports of its first device.",
    )
    headers: dict[str, _Secret] | None = Field(
        None,
        max_length=20,
        description="Headers of every request to the node. Secret: answers show the names.",
        json_schema_extra=WRITE_ONLY,
    )
    token: _Secret | None = Field(
        None,
        description="Short for the header 'Authorization: Bearer <token>'. Secret.",
        json_schema_extra=WRITE_ONLY,
    )
    verify_tls: bool | None = Field(None, description="false accepts any certificate. Default: true.")
    ca_file: str | None = Field(
        None,
        max_length=1000,
        description="A PEM file on the server with the authority that signed the node's certificate.",
    )
    draining: bool | None = Field(None, description="The node finishes its jobs and gets no more.")


class NodeChange(NodeFields):
    name: immutable("cannot be changed; add the node under its new name instead") = None  # pyright: ignore[reportInvalidTypeForm]


class NodeBody(NodeFields):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "gpu-1", "url": "http://192.168.1.20:8188"}]}
    )

    name: str = Field(max_length=64)
    url: str = Field(max_length=500, description="http(s)://host[:port][/prefix]")


class NodeSeen(ResponseModel):
    """The last report of a node."""

    version: str
    device: str
    memory_mb: int | None
    memory_free_mb: int | None
    checkpoints: int
    loras: int
    classes: int = Field(description="Node classes that ComfyUI offers.")
    running: int
    queue_remaining: int | None
    resident: list[str] = Field(description="Models in the node's memory.")
    at: datetime | None


class NodeInfo(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "gpu-1",
                    "url": "http://192.168.1.20:8188",
                    "source": "added",
                    "state": "unknown",
                    "trouble": "",
                    "labels": [],
                    "queues": ["gpu"],
                    "slots": 1,
                    "memoryMb": None,
                    "headers": [],
                    "verifyTls": True,
                    "caFile": None,
                    "draining": False,
                    "createdAt": "2026-01-31T12:00:00+00:00",
                    "updatedAt": "2026-01-31T12:00:00+00:00",
                    "seen": None,
                }
            ]
        }
    )

    name: str
    url: str
    source: Literal["settings", "added"]
    state: Literal["unknown", "troubled", "draining", "healthy"]
    trouble: str = Field(description="Why the node takes no jobs; empty when it does.")
    labels: list[str]
    queues: list[str]
    slots: int
    memory_mb: int | None
    headers: list[str] = Field(description="Names of the headers; their values are secret.")
    verify_tls: bool
    ca_file: str | None
    draining: bool
    created_at: datetime | None
    updated_at: datetime | None
    seen: NodeSeen | None


class NodeList(ResponseModel):
    items: list[NodeInfo]


class NodeExamination(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "gpu-1",
                    "ok": True,
                    "findings": [{"level": "ok", "subject": "connection", "message": "answers in 3 ms"}],
                }
            ]
        }
    )

    name: str
    ok: bool
    findings: list[NodeFinding]


class FoundNode(ResponseModel):
    url: str
    version: str = Field(description="The version of ComfyUI; empty where it reports none.")
    device: str
    memory_mb: int | None
    node: str | None = Field(description="The name of the node that has this address; null for none.")


class ScanResult(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ports": list(PORTS),
                    "items": [
                        {
                            "url": "http://127.0.0.1:8188",
                            "version": "0.33.0",
                            "device": "cuda:0 NVIDIA GeForce RTX 4090",
                            "memoryMb": 24564,
                            "node": None,
                        }
                    ],
                }
            ]
        }
    )

    ports: list[int] = Field(description="The ports of this machine that were looked at.")
    items: list[FoundNode]


router = APIRouter(prefix="/api/v1/nodes", tags=["nodes"], route_class=ApiRoute)
NodeName = Annotated[str, Path(description="`name` of the node.")]


@router.get("", summary="List the nodes and their state", response_model=NodeList)
async def list_nodes(services: ServicesDep) -> Response:
    views = await pools.read(services.nodes.views)
    return json_response({"items": [node_body(view) for view in views]})


@router.post("", summary="Add a node", status_code=201, response_model=NodeInfo)
async def add_node(services: ServicesDep, body: NodeBody) -> Response:
    config = NodeConfig(name=body.name, **_changes(body, {}))
    return json_response(node_body(await pools.write(services.nodes.add, config)), 201)


@router.post("/scan", summary="Look for ComfyUI servers on this machine", response_model=ScanResult)
async def scan_for_nodes(services: ServicesDep) -> Response:
    """Ask the usual ports of ComfyUI on the machine of this server; nothing is added."""
    items = await pools.call(lambda: [_found_body(each, services.nodes.views()) for each in scan_loopback()])
    return json_response({"ports": list(PORTS), "items": items})


@router.get("/{name}", summary="Read a node", response_model=NodeInfo)
async def get_node(services: ServicesDep, name: NodeName) -> Response:
    return json_response(node_body(await pools.read(services.nodes.get, name)))


@router.patch("/{name}", summary="Change a node", response_model=NodeInfo)
async def change_node(services: ServicesDep, name: NodeName, body: NodeChange) -> Response:
    view = await pools.read(services.nodes.get, name)
    changes = _changes(body, view.config.headers)
    return json_response(node_body(await pools.write(services.nodes.update, name, changes)))


@router.delete("/{name}", summary="Remove a node", status_code=204)
async def remove_node(services: ServicesDep, name: NodeName) -> Response:
    await pools.write(services.nodes.remove, name)
    return Response(status_code=204)


@router.post("/{name}/drain", summary="Give a node no more jobs", response_model=NodeInfo)
async def drain_node(services: ServicesDep, name: NodeName) -> Response:
    return json_response(node_body(await pools.write(services.nodes.drain, name)))


@router.delete("/{name}/drain", summary="Give a node jobs again", response_model=NodeInfo)
async def undrain_node(services: ServicesDep, name: NodeName) -> Response:
    return json_response(node_body(await pools.write(services.nodes.drain, name, False)))


@router.post(
    "/{name}/doctor",
    summary="Examine a node, which takes seconds",
    response_model=NodeExamination,
    responses=STREAMED,
)
async def examine_node(
    services: ServicesDep,
    name: NodeName,
    stream: Annotated[Flag, Query(description="Return each finding as a server-sent event.")] = False,
) -> Response:
    examination = await pools.call(services.nodes.examine, name)
    findings = chain(examination, _registered_models(services.registry, name))
    if stream:
        return stream_findings(findings)
    found = await pools.call(list, findings)
    return json_response({"name": name, "ok": is_ok(found), "findings": [*map(finding_body, found)]})


def _found_body(found: FoundServer, views: Sequence[NodeView]) -> dict[str, Any]:
    names = (view.config.name for view in views if is_same_server(view.config.url, found.url))
    return {
        "url": found.url,
        "version": found.stats.version,
        "device": found.stats.device,
        "memoryMb": found.stats.memory_mb,
        "node": next(names, None),
    }


def _registered_models(registry: Registry, node: str) -> Iterator[Finding]:
    """Yield how many of the registered models the node has; nothing while its files are not known."""
    files = registry.installed.all(node)
    if not files:
        return
    total, registered = registry.page("", 1, _MOST_COUNTED)
    found = sum(any(same_file(each.path, model.file.name) for model in files) for each in registered)
    text = f"{found} of {total} registered models are on this node"
    if found:
        yield Finding(Level.OK, "registry", text)
        return
    yield Finding(
        Level.WARNING,
        "registry",
        f"{text}: name its files as they are (imagemill models list --node {node}), "
        f"or register them (imagemill models import {node})",
    )


def node_body(view: NodeView) -> dict[str, Any]:
    """Header names only: their values are secrets."""
    config, report = view.config, view.report
    return {
        "name": config.name,
        "url": config.url,
        "source": "settings" if view.is_static else "added",
        "state": _state(view),
        "trouble": report.problem if report else "",
        "labels": sorted(config.labels),
        "queues": sorted(config.queues),
        "slots": config.slots,
        "memoryMb": config.memory_mb,
        "headers": sorted(config.headers),
        "verifyTls": config.verify_tls,
        "caFile": config.ca_file,
        "draining": config.draining,
        "createdAt": moment(view.created_at),
        "updatedAt": moment(view.updated_at),
        "seen": _report_body(report) if report else None,
    }


def _state(view: NodeView) -> str:
    """``draining`` is said of a healthy node only: what keeps a node from working goes first."""
    if view.report is None:
        return "unknown"
    if not view.report.healthy:
        return "troubled"
    return "draining" if view.config.draining else "healthy"


def _report_body(report: NodeReport) -> dict[str, Any]:
    return {
        "version": report.version,
        "device": report.device,
        "memoryMb": report.memory_mb,
        "memoryFreeMb": report.memory_free_mb,
        "checkpoints": report.checkpoints,
        "loras": report.loras,
        "classes": report.classes,
        "running": report.running,
        "queueRemaining": report.queue_remaining,
        "resident": list(report.loaded_models),
        "at": moment(report.seen_at),
    }


def _changes(body: NodeFields, headers: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a `NodeConfig` that were given. ``headers``: those it has now."""
    given = body.model_fields_set
    if "url" in given and not body.url:
        raise InvalidInput.at("url", "is empty; write http(s)://host[:port]")
    values: dict[str, Any] = {
        "url": body.url,
        "labels": frozenset(body.labels or ()),
        "queues": frozenset(body.queues or ("gpu",)),
        "slots": body.slots or SLOTS,
        "memory_mb": body.memory_mb,
        "verify_tls": body.verify_tls is not False,
        "ca_file": body.ca_file or None,
        "draining": bool(body.draining),
    }
    changes = {name: value for name, value in values.items() if name in given}
    if given & {"headers", "token"}:
        changes["headers"] = _headers(body, headers)
    return changes


def _headers(body: NodeFields, there: Mapping[str, str]) -> dict[str, str]:
    headers = dict((body.headers or {}) if "headers" in body.model_fields_set else there)
    if "token" in body.model_fields_set:
        named = [name for name in headers if name.lower() == "authorization"]
        if named and body.token and body.headers and named[0] in body.headers:
            raise InvalidInput.at("token", "and the header Authorization are the same; give only one")
        for name in named:
            del headers[name]
        if body.token:
            headers["Authorization"] = f"Bearer {body.token}"
    return headers


DIALECT = ApiModule(
    name="nodes",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy("/api/v1/nodes", Scope.NODES_READ, Scope.NODES_WRITE),
        PathPolicy("/api/v1/nodes/", Scope.NODES_READ, Scope.NODES_WRITE),
    ),
    tags={"nodes": "The ComfyUI servers that render: add, drain, examine and remove them."},
)
