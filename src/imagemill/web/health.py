"""Health: one page for people, two probes for machines."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from pydantic_core import to_json

from imagemill.domain.errors import StorageError
from imagemill.service.services import Services


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health", summary="Database, blobs, queues and nodes")
    async def health() -> Response:
        return await asyncio.to_thread(_report, services)

    @routes.get("/health/live", summary="The process answers")
    async def live() -> dict[str, bool]:
        return {"ok": True}

    @routes.get("/health/ready", summary="The process can do its work")
    async def ready() -> Response:
        return await asyncio.to_thread(_report, services)

    return routes


def _report(services: Services) -> Response:
    body: dict[str, Any] = {"ok": True}
    for name, check in (("database", services.store.ping), ("blobs", services.blobs.ping)):
        try:
            check()
            body[name] = "ok"
        except StorageError as error:
            body |= {"ok": False, name: str(error)}
    if body["database"] == "ok":
        body["queue"] = services.store.depths()
    body["nodes"] = [
        {
            "name": node.name,
            "backend": node.backend,
            "healthy": node.healthy,
            "draining": node.draining,
            "trouble": node.trouble,
            "slots": node.slots,
            "resident": sorted(node.resident),
        }
        for backend in services.backends.values()
        for node in backend.nodes()
    ]
    return Response(to_json(body), 200 if body["ok"] else 503, media_type="application/json")
