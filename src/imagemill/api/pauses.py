"""``/api/v1/pauses``: keep jobs from starting: all, or those of an owner, a recipe or a node."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import ConfigDict, Field

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.jobs_schemas import moment
from imagemill.domain.access import EVERY_OWNER, Caller, Scope
from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.errors import InvalidInput
from imagemill.domain.pauses import Pause, PauseScope
from imagemill.net import pools
from imagemill.web.auth import audit_target, caller
from imagemill.web.body_fields import suggestion
from imagemill.web.http import json_response
from imagemill.web.policies import READING, PathPolicy
from imagemill.web.routing import ApiRoute, RequestModel, ResponseModel

_PAUSE: dict[str, Any] = {
    "id": "01a2238c-4a37-7e4e-8fe9-c660c98ffd26",
    "scope": "node",
    "name": "attic",
    "reason": "a new graphics card",
    "by": "anna",
    "since": "2026-01-31T12:00:00+00:00",
}


class NewPause(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"scope": "node", "name": "attic", "reason": "a new graphics card"}]}
    )

    scope: PauseScope = Field(description="What is paused: everything, an owner, a recipe or a node.")
    name: str = Field("", max_length=128, description="Name of the owner, recipe or node; empty for all.")
    reason: str = Field("", max_length=500, description="Shown beside the jobs that wait.")


class PauseBody(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_PAUSE]})

    id: str
    scope: PauseScope
    name: str = Field(description="The owner, recipe or node; empty for all.")
    reason: str
    by: str = Field(description="The account that paused it.")
    since: datetime


class PauseList(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_PAUSE]}]})

    items: list[PauseBody]


router = APIRouter(prefix="/api/v1/pauses", tags=["jobs"], route_class=ApiRoute)
PauseId = Annotated[str, Path(description="`id` of the pause.")]


@router.get("", summary="List what is paused, the oldest first", response_model=PauseList)
async def list_pauses(request: Request, services: ServicesDep) -> Response:
    """An owner sees the pauses that concern its own jobs; a caller with `nodes:read` also those of nodes."""
    found = caller(request)
    await pools.read(services.pauses.refresh)
    return json_response(
        {"items": [_body(each) for each in services.pauses.current() if _may_see(found, each)]}
    )


@router.post("", summary="Pause jobs; running ones go on", status_code=201, response_model=PauseBody)
async def add_pause(request: Request, services: ServicesDep, body: NewPause) -> Response:
    pause = Pause(uuid7(), body.scope, body.name, body.reason.strip(), caller(request).account, now_us())
    await pools.read(_check_name, services, pause)
    await pools.write(services.pauses.add, pause)
    audit_target(request, f"{pause.scope} {pause.name}".strip())
    return json_response(_body(pause), 201)


@router.delete("/{pause_id}", summary="Remove a pause; its jobs continue", response_model=PauseBody)
async def remove_pause(request: Request, services: ServicesDep, pause_id: PauseId) -> Response:
    removed = await pools.write(services.pauses.remove, pause_id)
    audit_target(request, f"{removed.scope} {removed.name}".strip())
    return json_response(_body(removed))


def _check_name(services: Services, pause: Pause) -> None:
    """Raise `InvalidInput` for a name of nothing: a pause with a typing error would be taken for one."""
    if pause.scope is PauseScope.ALL:
        if pause.name:
            raise InvalidInput.at("name", "has no effect with the scope all; leave it out")
        return
    if not pause.name:
        raise InvalidInput.at("name", f"is required: name the {pause.scope} to pause")
    if pause.scope is PauseScope.OWNER:
        if services.accounts.owner(pause.name) is None:
            raise InvalidInput.at("name", f"is {pause.name[:64]!r}, and there is no such owner")
        return
    known = list(services.recipes) if pause.scope is PauseScope.RECIPE else _nodes(services)
    if pause.name not in known:
        raise InvalidInput.at("name", f"is {pause.name[:64]!r}{suggestion(pause.name, known)}")


def _nodes(services: Services) -> list[str]:
    own = [node.name for backend in services.backends.values() for node in backend.nodes()]
    return sorted({*own, *(view.config.name for view in services.nodes.views())})


def _may_see(found: Caller, pause: Pause) -> bool:
    if pause.scope is PauseScope.NODE:
        return found.may(Scope.NODES_READ)
    is_mine = pause.name == found.owner or found.owner == EVERY_OWNER or found.may(Scope.NODES_WRITE)
    return pause.scope is not PauseScope.OWNER or is_mine


def _body(pause: Pause) -> dict[str, Any]:
    return {
        "id": pause.id,
        "scope": pause.scope.value,
        "name": pause.name,
        "reason": pause.reason,
        "by": pause.by,
        "since": moment(pause.since),
    }


DIALECT = ApiModule(
    name="pauses",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy(
            "/api/v1/pauses", Scope.JOBS_READ, Scope.NODES_WRITE, owner_methods=READING, all_owners=True
        ),
        PathPolicy("/api/v1/pauses/", Scope.JOBS_READ, Scope.NODES_WRITE),
    ),
    tags={"jobs": "Submit a recipe's input, follow its progress, and fetch the pictures it made."},
)
