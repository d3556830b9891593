"""The dialect, as the entry point names it."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from imagemill.dialects.base import Dialect
from imagemill.dialects.characters import files
from imagemill.dialects.characters.errors import words
from imagemill.dialects.characters.routes import PREFIX, STORY, Characters
from imagemill.dialects.characters.submitting import NAME
from imagemill.domain.access import Scope
from imagemill.service.services import Services
from imagemill.store.outbox import Delivery
from imagemill.web.permits import Permit
from imagemill.web.stream import event_body


def router(services: Services) -> APIRouter:
    routes = APIRouter()
    routes.include_router(Characters(services).router())
    routes.include_router(files.router(services.wire.signer, services.blobs))
    return routes


def _callback(delivery: Delivery) -> Mapping[str, Any]:
    return {"jobId": delivery.job.id, **event_body(delivery.event)}


DIALECT = Dialect(
    name=NAME,
    router=router,
    callback=_callback,
    permits=(
        Permit(f"{PREFIX}/", Scope.JOBS_READ, Scope.JOBS_WRITE, words=words),
        Permit(f"{PREFIX}/health", None, words=words),
        Permit(STORY, Scope.JOBS_READ, Scope.JOBS_WRITE, words=words),
    ),
)
