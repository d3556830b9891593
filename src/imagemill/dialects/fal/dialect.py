"""The dialect, as the entry point names it."""

from fastapi import APIRouter

from imagemill.dialects.base import Dialect
from imagemill.dialects.fal.apps import Apps
from imagemill.dialects.fal.hooks import letters, unsigned
from imagemill.dialects.fal.queue import KEYS, Queue
from imagemill.dialects.fal.running import Direct
from imagemill.dialects.fal.submitting import Desk
from imagemill.dialects.fal.views import NAME
from imagemill.domain.access import Scope
from imagemill.fal_api import QUEUE, RUN, FalApiSettings
from imagemill.service.services import Services
from imagemill.web.permits import Permit


def router(services: Services) -> APIRouter:
    options: FalApiSettings = services.options[NAME]
    apps, desk = Apps(options.offered), Desk(services)
    routes = APIRouter()
    routes.include_router(Queue(services, apps, desk).router())
    routes.include_router(Direct(services, apps, desk, options.run_s).router())
    return routes


DIALECT = Dialect(
    name=NAME,
    router=router,
    callback=unsigned,
    letters=letters,
    permits=(
        Permit(KEYS, None),
        Permit(f"{QUEUE}/", Scope.JOBS_READ, Scope.JOBS_WRITE, asks=True),
        Permit(f"{RUN}/", Scope.JOBS_READ, Scope.JOBS_WRITE, asks=True),
    ),
)
