"""The HTTP application: the same object in tests and in production."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from pydantic_core import to_json
from starlette.routing import Route
from starlette.types import ASGIApp

import imagemill
from imagemill.accounts.access import Access
from imagemill.api import health
from imagemill.api.base import Services
from imagemill.domain.access import Caller
from imagemill.domain.signing import UrlSigner
from imagemill.observability.metrics import Metrics
from imagemill.observability.tracing import Tracer
from imagemill.web import blobs, openapi, problems
from imagemill.web.auth import AuthMiddleware, optional_caller
from imagemill.web.middleware import EdgeMiddleware, EdgeRules, Traced, behind_proxies
from imagemill.web.permissions import PUBLIC, RoutePermission, RoutePermissions

_DESCRIPTION = (
    "A self-hosted image-generation orchestrator. Civitai's v1 jobs API under `/v1`, "
    "the model registry under `/v2/resources`, our own API under `/api/v1`: jobs, nodes, workflows."
)


def create_app(
    services: Services,
    routers: Iterable[APIRouter],
    permits: Iterable[RoutePermission],
    *,
    edge: EdgeRules,
    redirect_to_blobs: bool,
    lifespan: Callable[[Any], AbstractAsyncContextManager[None]],
    meters: Metrics,
    tracer: Tracer | None = None,
    paths: Callable[[Caller | None], Mapping[str, Any]] = lambda _: {},
) -> ASGIApp:
    """``paths``: what is in the OpenAPI document besides the routes, as a caller sees it; may block."""
    # The documentation pages load their scripts from us, not from a CDN: they work without the internet.
    app: FastAPI = FastAPIOffline(
        title="Imagemill",
        version=imagemill.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False},
        license_info={"name": "Apache-2.0"},
    )
    problems.install(app)
    for router in routers:
        app.include_router(router)
    signer: UrlSigner = services.response_config.signer
    app.include_router(
        blobs.router(signer, services.jobs.artifact, services.blobs, redirect=redirect_to_blobs)
    )
    app.include_router(health.health_router(services))
    app.include_router(health.metrics_router(meters.registry))
    permitted = RoutePermissions([*PUBLIC, *permits])
    _describe(app, permitted, services.access, paths)
    gate = AuthMiddleware(app, services.access, permitted, services.audit, services.throttle)
    outermost = behind_proxies(EdgeMiddleware(gate, edge, told=meters.request), edge.proxies)
    return outermost if tracer is None else Traced(outermost, tracer)


def _describe(
    app: FastAPI,
    permits: RoutePermissions,
    access: Access,
    paths: Callable[[Caller | None], Mapping[str, Any]],
) -> None:
    """Answer the OpenAPI document with the paths of this moment; the routes' own part is made once."""
    made: dict[str, Any] = {}

    async def document(request: Request) -> Response:
        if not made:
            routes = app.openapi()
            made.update(routes, components=openapi.components(routes.get("components", {})))
            made["paths"] = openapi.complete(routes["paths"], permits)
        further = await asyncio.to_thread(paths, await optional_caller(request, access))
        body = {**made, "paths": {**made["paths"], **openapi.complete(further, permits)}}
        return Response(to_json(body), media_type="application/json")

    app.router.routes.insert(0, Route("/openapi.json", document, include_in_schema=False))
