"""``/api/v1/workers``: the processes of the installation and what they run."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.jobs_schemas import moment
from imagemill.domain.access import Scope
from imagemill.domain.clock import SECOND, now_us
from imagemill.jobs.processes import LOST_S, ProcessView
from imagemill.net import pools
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, ResponseModel

_PROCESS = {
    "name": "3f9ab2c1-4711-a1b2c3",
    "roles": ["scheduler", "worker"],
    "queues": ["gpu"],
    "host": "attic",
    "pid": 4711,
    "version": "1.0.0",
    "startedAt": "2026-01-31T12:00:00+00:00",
    "seenAt": "2026-01-31T12:34:56+00:00",
    "healthy": True,
    "leader": True,
    "jobs": ["0192f3a4-0000-7000-8000-000000000000"],
}


class ProcessInfo(ResponseModel):
    name: str = Field(description="The `worker` of its jobs.")
    roles: list[str] = Field(description="`api`, `scheduler` and `worker`.")
    queues: list[str] | None = Field(description="The queues a worker serves; null means all.")
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime = Field(description="Its last heartbeat, one every 15 s.")
    healthy: bool = Field(description="Whether the last heartbeat is at most 45 s old.")
    leader: bool = Field(description="Whether it is the scheduler that leads.")
    jobs: list[str] = Field(description="Ids of the jobs that it runs.")


class ProcessList(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_PROCESS]}]})

    items: list[ProcessInfo]


router = APIRouter(prefix="/api/v1/workers", tags=["nodes"], route_class=ApiRoute)


@router.get(
    "", summary="List the processes of the installation and what they run", response_model=ProcessList
)
async def list_processes(services: ServicesDep) -> Response:
    now = now_us()
    found = await pools.read(services.processes.all)
    return json_response({"items": [_body(view, now) for view in found]})


def _body(view: ProcessView, now: int) -> dict[str, Any]:
    process = view.process
    return {
        "name": process.name,
        "roles": list(process.roles),
        "queues": list(process.queues) if process.queues is not None else None,
        "host": process.host,
        "pid": process.pid,
        "version": process.version,
        "startedAt": moment(process.started_at),
        "seenAt": moment(process.seen_at),
        "healthy": now - process.seen_at <= LOST_S * SECOND,
        "leader": view.is_leader,
        "jobs": list(view.jobs),
    }


DIALECT = ApiModule(
    name="workers",
    router=router,
    callback=no_callback,
    policies=(PathPolicy("/api/v1/workers", Scope.NODES_READ, Scope.ADMIN),),
    tags={"nodes": "The ComfyUI servers that render: add, drain, examine and remove them."},
)
