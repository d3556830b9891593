"""Health: one page for people, two probes for machines."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic_core import to_json

from imagemill.api.base import Services
from imagemill.domain.access import Scope
from imagemill.domain.errors import StorageError
from imagemill.web.auth import optional_caller


def health_router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health", summary="Database, blobs, queues and nodes")
    async def health(request: Request) -> Response:
        return await report(request)

    @routes.get("/health/live", summary="The process answers")
    async def live() -> dict[str, bool]:
        return {"ok": True}

    @routes.get("/health/ready", summary="The process can do its work")
    async def ready(request: Request) -> Response:
        return await report(request)

    async def report(request: Request) -> Response:
        found = await optional_caller(request, services.access)
        sees_all = found is not None and found.may(Scope.NODES_READ)
        return await asyncio.to_thread(_report, services, sees_all)

    return routes


def _report(services: Services, sees_all: bool) -> Response:
    """Strangers are told which part is ill, and no name of a machine, no number of jobs."""
    body: dict[str, Any] = {"ok": True}
    for name, check in (("database", services.database.ping), ("blobs", services.blobs.ping)):
        try:
            check()
            body[name] = "ok"
        except StorageError as error:
            body |= {"ok": False, name: str(error) if sees_all else "failing"}
    if not sees_all:
        return _answer(body)
    if body["database"] == "ok":
        body["queue"] = services.jobs.depths()
    body["nodes"] = [
        {
            "name": node.name,
            "backend": node.backend,
            "healthy": node.healthy,
            "draining": node.draining,
            "trouble": node.problem,
            "slots": node.slots,
            "resident": sorted(node.loaded_models),
        }
        for backend in services.backends.values()
        for node in backend.nodes()
    ]
    return _answer(body)


def _answer(body: dict[str, Any]) -> Response:
    return Response(to_json(body), 200 if body["ok"] else 503, media_type="application/json")


_TEXT: dict[int | str, dict[str, Any]] = {200: {"description": "Figures", "content": {"text/plain": {}}}}


def metrics_router(registry: CollectorRegistry) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/metrics", summary="What Prometheus scrapes", response_class=Response, responses=_TEXT)
    async def metrics() -> Response:
        # In a thread, as it may look into the database.
        text = await asyncio.to_thread(generate_latest, registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return routes
