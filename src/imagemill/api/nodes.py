"""``/api/v1/nodes``: the ComfyUI nodes of an installation, for whoever looks after it."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from imagemill.api.base import ApiModule, no_callback
from imagemill.api.jobs import Label, moment
from imagemill.domain.access import Scope
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.domain.nodes import SLOTS, Finding, Level, NodeConfig, NodeReport
from imagemill.nodes.registry import MAX_SLOTS, NodeRegistry, NodeView
from imagemill.web import openapi
from imagemill.web.http import Whole, json_body, json_response
from imagemill.web.permissions import RoutePermission
from imagemill.web.problems import field_errors

_Model = TypeVar("_Model", bound=BaseModel)
_Secret = Annotated[str, Field(min_length=1, max_length=4096)]


class NodeFields(BaseModel):
    """What a PATCH may change; null puts a field back to its default."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True
    )

    url: str = Field("", max_length=500, description="http(s)://host[:port][/prefix]")
    labels: list[Label] | None = Field(None, max_length=20, description="What jobs may ask for.")
    queues: list[Label] | None = Field(None, max_length=20, description="Default: gpu.")
    slots: Whole | None = Field(
        None, ge=1, le=MAX_SLOTS, description=f"Prompts in flight at once; default: {SLOTS}."
    )
    memory_mb: Whole | None = Field(
        None, ge=1, le=2**31 - 1, description="Overrides what the node says of its first device."
    )
    headers: dict[str, _Secret] | None = Field(
        None,
        max_length=20,
        description="Sent with every request to the node. Secret: answers show the names.",
    )
    token: _Secret | None = Field(
        None, description="Short for the header 'Authorization: Bearer <token>'. Secret."
    )
    verify_tls: bool | None = Field(None, description="false: any certificate will do. Default: true.")
    ca_file: str | None = Field(
        None, max_length=1000, description="PEM file, on the server, of who signed the node's certificate."
    )
    draining: bool | None = Field(None, description="Finishes what it has and gets no more.")


class NodeBody(NodeFields):
    name: str = Field(max_length=64)
    url: str = Field(max_length=500, description="http(s)://host[:port][/prefix]")


class NodeRoutes:
    def __init__(self, registry: NodeRegistry) -> None:
        self._registry = registry

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/v1", tags=["nodes"])
        one = "/nodes/{name}"
        for method, path, handler, summary, status, extra in (
            ("GET", "/nodes", self.list, "The nodes, and how they are", 200, None),
            ("POST", "/nodes", self.add, "Add a node", 201, openapi.body(NodeBody)),
            ("GET", one, self.get, "One node", 200, None),
            ("PATCH", one, self.patch, "Change a node", 200, openapi.body(NodeFields)),
            ("DELETE", one, self.remove, "Remove a node", 204, None),
            ("POST", f"{one}/drain", self.drain, "Give a node no more jobs", 200, None),
            ("DELETE", f"{one}/drain", self.undrain, "Give a node jobs again", 200, None),
            ("POST", f"{one}/doctor", self.examine, "Examine a node; takes seconds", 200, None),
        ):
            routes.add_api_route(
                path,
                handler,
                methods=[method],
                summary=summary,
                status_code=status,
                response_class=Response,
                openapi_extra=extra,
            )
        return routes

    async def list(self, request: Request) -> Response:
        views = await asyncio.to_thread(self._registry.views)
        return json_response({"items": [node_body(view) for view in views]})

    async def add(self, request: Request) -> Response:
        body = _read(await json_body(request), NodeBody)
        config = NodeConfig(name=body.name, **_changes(body, {}))
        return json_response(node_body(await asyncio.to_thread(self._registry.add, config)), 201)

    async def get(self, request: Request, name: str) -> Response:
        return json_response(node_body(await asyncio.to_thread(self._registry.get, name)))

    async def patch(self, request: Request, name: str) -> Response:
        raw = await json_body(request)
        if isinstance(raw, Mapping) and "name" in raw:
            raise InvalidInput.at("name", "cannot be changed; add the node under its new name instead")
        body = _read(raw, NodeFields)
        view = await asyncio.to_thread(self._registry.get, name)
        changes = _changes(body, view.config.headers)
        return json_response(node_body(await asyncio.to_thread(self._registry.update, name, changes)))

    async def remove(self, request: Request, name: str) -> Response:
        await asyncio.to_thread(self._registry.remove, name)
        return Response(status_code=204)

    async def drain(self, request: Request, name: str) -> Response:
        return json_response(node_body(await asyncio.to_thread(self._registry.drain, name)))

    async def undrain(self, request: Request, name: str) -> Response:
        return json_response(node_body(await asyncio.to_thread(self._registry.drain, name, False)))

    async def examine(self, request: Request, name: str) -> Response:
        findings = await asyncio.to_thread(self._registry.examine, name)
        return json_response(
            {
                "name": name,
                "ok": all(finding.level is not Level.ERROR for finding in findings),
                "findings": [_finding_body(finding) for finding in findings],
            }
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


def _finding_body(finding: Finding) -> dict[str, str]:
    return {"level": finding.level.value, "subject": finding.subject, "message": finding.message}


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


def _read(body: Any, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidInput([_discreet(each) for each in field_errors(error, model)]) from None


def _discreet(error: FieldError) -> FieldError:
    """Without the value, where it may be a secret."""
    is_secret = error.path.startswith(("headers", "token"))
    return FieldError(error.path, error.message.partition("; it is ")[0]) if is_secret else error


DIALECT = ApiModule(
    name="nodes",
    router=lambda services: NodeRoutes(services.nodes).router(),
    callback=no_callback,
    permissions=(
        RoutePermission("/api/v1/nodes", Scope.NODES_READ, Scope.NODES_WRITE, requires_token=True),
        RoutePermission("/api/v1/nodes/", Scope.NODES_READ, Scope.NODES_WRITE, requires_token=True),
    ),
)
