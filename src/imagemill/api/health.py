"""Health: a page for people, probes for machines, figures for Prometheus."""

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import ConfigDict, Field

from imagemill.api.base import Services
from imagemill.api.dependencies import ServicesDep
from imagemill.backends.base import renderers
from imagemill.domain.access import Scope
from imagemill.domain.errors import StorageError
from imagemill.net import pools
from imagemill.web.auth import optional_caller
from imagemill.web.http import json_response
from imagemill.web.routing import ContractRoute, LazyRoute, ResponseModel


class NodeHealth(ResponseModel):
    name: str
    backend: str
    healthy: bool
    draining: bool
    trouble: str = Field(description="Why the node takes no jobs; empty when it does.")
    slots: int
    resident: list[str] = Field(description="Models in the node's memory.")


class Health(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ok": True,
                    "status": "ok",
                    "problems": [],
                    "simulated": False,
                    "database": "ok",
                    "blobs": "ok",
                    "queue": {"waiting": 0, "queued": 2, "running": 1},
                    "nodes": [],
                }
            ]
        }
    )

    ok: bool = Field(description="Whether the server can accept and answer requests.")
    status: Literal["ok", "degraded", "failing"] = Field(
        description="`degraded`: jobs are accepted, but some of them wait, for the reasons in `problems`. "
        "`failing`: a part of the server does not work, and the answer is a 503."
    )
    problems: list[str] = Field(description="Why jobs wait; names of nodes are for callers with nodes:read.")
    simulated: bool = Field(description="Whether the simulator makes the pictures.")
    database: str = Field(description="`ok`, or what is wrong.")
    blobs: str = Field(description="`ok`, or what is wrong.")
    queue: dict[str, int] | None = Field(None, description="Jobs by status, for callers with nodes:read.")
    nodes: list[NodeHealth] | None = Field(None, description="The nodes, for callers with nodes:read.")


class Live(ResponseModel):
    ok: Literal[True]


_CALLER_S = 2.0
"""Seconds in which the database must know the caller of a health check; else they count as unknown."""

router = APIRouter(tags=["health"], route_class=ContractRoute)
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "A part of the server does not work."}
}


@router.get(
    "/health",
    summary="Check the database, the blob store, the queue and the nodes",
    response_model=Health,
    responses=_NOT_READY,
)
async def get_health(request: Request, services: ServicesDep) -> Response:
    return await _report(services, await _sees_all(request, services))


async def _sees_all(request: Request, services: Services) -> bool:
    """Whether the caller may read nodes; False while the database does not tell."""
    try:
        found = await asyncio.wait_for(optional_caller(request, services.access, pools.probe), _CALLER_S)
    except (TimeoutError, StorageError):
        return False
    return found is not None and found.may(Scope.NODES_READ)


@router.get("/health/live", summary="Check that the process answers", response_model=Live)
async def get_liveness() -> Response:
    return json_response({"ok": True})


@router.get(
    "/health/ready", summary="Check that the process can work", response_model=Health, responses=_NOT_READY
)
async def get_readiness(request: Request, services: ServicesDep) -> Response:
    return await get_health(request, services)


async def _report(services: Services, sees_all: bool) -> Response:
    """Return what works. Names of machines and numbers of jobs are for callers with ``nodes:read``."""
    body: dict[str, Any] = {"ok": True, "status": "ok", "problems": [], "simulated": False}
    problems = await asyncio.gather(*(_problem(probe) for probe in services.probes.values()))
    for name, problem in zip(services.probes, problems, strict=True):
        body[name] = "ok"
        if problem:
            body |= {"ok": False, "status": "failing", name: problem if sees_all else "failing"}
    if body["database"] == "ok":
        found = await pools.probe(services.capacity.report)
        body["problems"] = [each.text if sees_all else each.public for each in found.problems]
        body["simulated"] = found.simulated
        if body["ok"]:
            body["status"] = found.status
    if sees_all:
        if body["database"] == "ok":
            body["queue"] = await pools.probe(services.jobs.depths)
        body["nodes"] = await _nodes(services)
    return json_response(body, 200 if body["ok"] else 503)


async def _problem(probe: pools.HealthProbe) -> str:
    try:
        await probe()
    except StorageError as error:
        return str(error)
    return ""


async def _nodes(services: Services) -> list[dict[str, Any]]:
    try:
        found = await pools.probe(services.capacity.nodes)
    except StorageError:
        found = renderers(services.backends.values())  # those of other processes are not known now
    return [
        {
            "name": node.name,
            "backend": node.backend,
            "healthy": node.healthy,
            "draining": node.draining,
            "trouble": node.problem,
            "slots": node.slots,
            "resident": sorted(node.loaded_models),
        }
        for node in found
    ]


_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The figures as text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


def metrics_router(registry: CollectorRegistry) -> APIRouter:
    routes = APIRouter(tags=["health"], route_class=LazyRoute)

    @routes.get(
        "/metrics",
        summary="Read the figures that Prometheus scrapes",
        response_class=Response,
        responses=_TEXT,
    )
    async def get_metrics() -> Response:
        # In a thread, as it may read from the database.
        text = await pools.measure(generate_latest, registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return routes
