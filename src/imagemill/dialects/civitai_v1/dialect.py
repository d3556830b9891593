"""The dialect, as the entry point names it."""

from fastapi import APIRouter

from imagemill.dialects.base import Dialect
from imagemill.dialects.civitai_v1.account import Account
from imagemill.dialects.civitai_v1.routes import NAME, PERMITS, Jobs
from imagemill.dialects.civitai_v1.views import Shape, callback
from imagemill.service.services import Services


def router(services: Services) -> APIRouter:
    wire = services.wire
    jobs = Jobs(services, Shape(wire.signer, wire.v1_result), wire.public_url)
    routes = APIRouter()
    routes.include_router(jobs.router())
    routes.include_router(Account(services, jobs).router())
    return routes


DIALECT = Dialect(name=NAME, router=router, callback=callback, permits=PERMITS)
