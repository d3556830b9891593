"""The HTTP application: the same object in tests and in production."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

import imagemill
from imagemill.domain.signing import UrlSigner
from imagemill.service.services import Services
from imagemill.web import blobs, health, problems
from imagemill.web.edge import Edge

_DESCRIPTION = (
    "A self-hosted image-generation orchestrator. Civitai's v1 jobs API under `/v1`, "
    "the model registry under `/v2/resources`, our own jobs API under `/api/v1`."
)


def create_app(
    services: Services,
    routers: Iterable[APIRouter],
    *,
    allowed_hosts: Iterable[str],
    body_bytes: int,
    redirect_to_blobs: bool,
    lifespan: Callable[[Any], AbstractAsyncContextManager[None]],
) -> ASGIApp:
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
    signer: UrlSigner = services.wire.signer
    app.include_router(
        blobs.router(signer, services.store.artifact, services.blobs, redirect=redirect_to_blobs)
    )
    app.include_router(health.router(services))
    return Edge(app, allowed_hosts=tuple(allowed_hosts), body_bytes=body_bytes)
