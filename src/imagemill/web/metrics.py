"""What Prometheus scrapes."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

_TEXT: dict[int | str, dict[str, Any]] = {200: {"description": "Figures", "content": {"text/plain": {}}}}


def router(registry: CollectorRegistry) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/metrics", summary="What Prometheus scrapes", response_class=Response, responses=_TEXT)
    async def metrics() -> Response:
        # In a thread, as it may look into the database.
        text = await asyncio.to_thread(generate_latest, registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return routes
