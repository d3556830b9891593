"""``/api/v1/simulator/faults``: faults of the HTTP API, set by tests of clients while the simulator is on."""

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import ConfigDict, Field

from imagemill.api.dependencies import ServicesDep
from imagemill.backends.simulator.http_faults import CONTROL, ActiveRule, HttpFaultRule, HttpFaults
from imagemill.domain.access import Scope
from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.jobs import SIMULATOR
from imagemill.jobs.capacity import usable_nodes
from imagemill.web.fault_injection import OFF
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, RequestModel, ResponseModel

PATH = f"{CONTROL}faults"
POLICIES = tuple(PathPolicy(path, Scope.NODES_READ, Scope.NODES_WRITE) for path in (PATH, f"{PATH}/"))
TAGS = {"simulator": "Faults of the API itself, for tests of clients. Only while the simulator is on."}
_RULE = {"http": 429, "retryAfter": 1, "times": 2, "method": "POST", "path": "/v1/consumer/*"}


class FaultBody(HttpFaultRule, RequestModel):
    """A fault with the requests it strikes; without `method` and `path` all of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RULE]})


class ActiveFault(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "5f0c2a91", "hits": 0, "left": 2, "rule": _RULE}]}
    )

    id: str
    hits: int = Field(description="The requests it has struck.")
    left: int | None = Field(description="The requests it will still strike; null means all.")
    rule: FaultBody


class ActiveFaults(ResponseModel):
    items: list[ActiveFault] = Field(description="In the order in which they are tried.")


def router(faults: HttpFaults) -> APIRouter:
    """Return the routes of a process, which has its own rules."""
    routes = APIRouter(prefix=PATH, tags=["simulator"], route_class=ApiRoute)

    @routes.post("", summary="Set a fault", status_code=201, response_model=ActiveFault)
    async def add_fault(services: ServicesDep, body: FaultBody) -> Response:
        simulator = services.backends.get(SIMULATOR)
        if simulator is None or not usable_nodes(simulator):
            raise Conflict(f"a fault {OFF}")
        added = faults.add(body)
        if added is None:
            raise Conflict("there are too many faults; delete those of earlier tests")
        return json_response(_body(added), 201)

    @routes.get("", summary="List the faults", response_model=ActiveFaults)
    async def list_faults() -> Response:
        return json_response({"items": [_body(each) for each in faults.rules()]})

    @routes.delete("", summary="Delete all faults", status_code=204)
    async def delete_faults() -> Response:
        faults.remove(None)
        return Response(status_code=204)

    @routes.delete("/{fault_id}", summary="Delete a fault", status_code=204)
    async def delete_fault(fault_id: Annotated[str, Path(description="The `id` of a fault.")]) -> Response:
        if not faults.remove(fault_id):
            raise NotFound(f"there is no fault {fault_id[:40]!r}")
        return Response(status_code=204)

    return routes


def _body(active: ActiveRule) -> dict[str, object]:
    rule = active.rule
    return {
        "id": active.id,
        "hits": active.hits,
        "left": None if rule.times is None else rule.times - active.hits,
        "rule": rule.model_dump(by_alias=True, exclude_defaults=True) | {"times": rule.times},
    }
