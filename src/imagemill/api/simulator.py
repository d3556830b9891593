"""``/api/v1/simulator``: its speed, faults of the worker and of the HTTP API, and both as a scenario."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import ConfigDict, Field, model_validator

from imagemill.api.base import Services
from imagemill.api.dependencies import ServicesDep
from imagemill.backends.simulator.control import MOST_RULES, SimulatorControl, SimulatorState
from imagemill.backends.simulator.faults import ActiveFaultRule
from imagemill.backends.simulator.http_faults import CONTROL, ActiveRule, HttpFaultRule, HttpFaults
from imagemill.backends.simulator.settings import Fault, FaultRule
from imagemill.backends.simulator.timing import SPEEDS, Speed
from imagemill.domain.access import Scope
from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.jobs import SIMULATOR
from imagemill.jobs.capacity import usable_nodes
from imagemill.net import pools
from imagemill.web.body_fields import Real, Whole
from imagemill.web.fault_injection import OFF
from imagemill.web.http import json_response
from imagemill.web.policies import PathPolicy
from imagemill.web.routing import ApiRoute, RequestModel, ResponseModel

POLICIES = tuple(PathPolicy(path, Scope.NODES_READ, Scope.NODES_WRITE) for path in (CONTROL, f"{CONTROL}/"))
TAGS = {
    "simulator": "The simulator's speed, and faults for tests of clients. Only while it makes the pictures."
}
_RULE: dict[str, Any] = {"http": 429, "retryAfter": 1, "times": 2, "method": "POST", "path": "/v1/consumer/*"}
_WORKER_RULE: dict[str, Any] = {"fault": "out_of_memory", "probability": 0.1, "model": "flux"}
_SPEED: dict[str, Any] = {"stepMs": 150.0, "loadMs": 5000.0, "jitter": 0.1}
_OFF = "the simulator is disabled; set IMAGEMILL_SIMULATOR__ENABLED to auto or always and restart the server"
SpeedName = Literal["instant", "fast", "consumer", "slow"]


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


class WorkerFaultBody(RequestModel):
    """A fault of attempts to render, and its conditions, all of which must hold."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WORKER_RULE]})

    fault: Fault
    times: Whole = Field(1, ge=1, le=1_000_000, description="It strikes the first so many attempts of a job.")
    probability: Real = Field(1.0, gt=0, le=1, description="Share of the attempts that it strikes.")
    model: str | None = Field(
        None, min_length=1, max_length=500, description="Only jobs whose model contains this text."
    )
    prompt: str | None = Field(
        None, min_length=1, max_length=500, description="Only jobs whose prompt contains this text."
    )
    node: str | None = Field(None, min_length=1, max_length=100, description="Only on this simulated node.")
    load_ms: Real | None = Field(
        None, ge=0, le=3_600_000, description="How long the load takes, for `slow_load`. Milliseconds."
    )

    def rule(self) -> FaultRule:
        return FaultRule(**self.model_dump())


class ActiveWorkerFault(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": "7be01d44", "source": "added", "hits": 3, "rule": _WORKER_RULE}]
        }
    )

    id: str
    source: Literal["added", "settings"] = Field(
        description="Whether it was added here, or is from the settings or the scenario file."
    )
    hits: int = Field(
        description="The attempts it has struck; those of a rule from the settings in this process only."
    )
    rule: WorkerFaultBody


class SpeedBody(RequestModel):
    """Durations of the simulator."""

    step_ms: Real = Field(ge=0, le=600_000, description="One sampling step. Milliseconds.")
    load_ms: Real = Field(ge=0, le=3_600_000, description="Loading a checkpoint. Milliseconds.")
    jitter: Real = Field(0.0, ge=0, le=1, description="Share by which they vary in both directions.")


class NamedSpeed(SpeedBody):
    name: SpeedName


class SimulatorInfo(ResponseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "on": True,
                    "nodes": 1,
                    "speed": "consumer",
                    "changed": True,
                    **_SPEED,
                    "speeds": [{"name": "consumer", **_SPEED}],
                    "faults": [{"id": "7be01d44", "source": "added", "hits": 3, "rule": _WORKER_RULE}],
                }
            ]
        }
    )

    on: bool = Field(description="Whether the simulator makes the pictures now.")
    nodes: int = Field(description="Simulated nodes of this process.")
    speed: SpeedName | None = Field(description="The name of the durations; null where they have none.")
    changed: bool = Field(description="Whether the durations differ from those of the settings.")
    step_ms: float
    load_ms: float
    jitter: float
    speeds: list[NamedSpeed]
    faults: list[ActiveWorkerFault] = Field(
        description="Faults of the worker, in the order in which they are tried."
    )


class SimulatorChange(RequestModel):
    """Other durations: by a name, or each; null for `speed` means those of the settings."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"speed": "consumer"}]})

    speed: SpeedName | None = None
    step_ms: Real | None = Field(None, ge=0, le=600_000)
    load_ms: Real | None = Field(None, ge=0, le=3_600_000)
    jitter: Real | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def _is_one_way(self) -> "SimulatorChange":
        if not self.model_fields_set:
            raise ValueError("write speed, or any of stepMs, loadMs and jitter")
        if self.speed is not None and self.model_fields_set - {"speed"}:
            raise ValueError("speed stands for stepMs, loadMs and jitter; write one or the others")
        return self


class ScenarioBody(RequestModel):
    """Rules in their order, as a scenario file has them (`IMAGEMILL_SIMULATOR__SCENARIO`)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"rule": [_WORKER_RULE], "http": [_RULE], "speed": _SPEED}]}
    )

    rule: list[WorkerFaultBody] = Field([], max_length=MOST_RULES, description="Faults of the worker.")
    http: list[FaultBody] = Field([], max_length=MOST_RULES, description="Faults of the API itself.")
    speed: SpeedBody | None = Field(None, description="null leaves the durations as they are.")


def router(faults: HttpFaults) -> APIRouter:
    """Return the routes of a process, which has its own rules for faults of the API."""
    routes = APIRouter(prefix=CONTROL, tags=["simulator"], route_class=ApiRoute)
    _add_state(routes, faults)
    _add_worker_faults(routes)
    _add_http_faults(routes, faults)
    return routes


def _add_state(routes: APIRouter, faults: HttpFaults) -> None:
    @routes.get("", summary="Read the simulator's speed and faults", response_model=SimulatorInfo)
    async def get_simulator(services: ServicesDep) -> Response:
        control = services.simulator
        if control is None:
            return json_response(_info(services, None))
        return json_response(_info(services, await pools.write(control.state)))

    @routes.patch("", summary="Change the simulator's speed", response_model=SimulatorInfo)
    async def change_simulator(services: ServicesDep, body: SimulatorChange) -> Response:
        """It applies to the next step of running jobs, in all processes within two seconds."""
        control = _control(services)
        given = {name: value for name in body.model_fields_set if (value := getattr(body, name)) is not None}
        if body.speed is not None:
            speed = SPEEDS[body.speed]
        else:
            speed = Speed(**{**asdict(control.tuning.speed), **given}) if given else None
        return json_response(_info(services, await pools.write(control.change_speed, speed)))

    @routes.get(
        "/scenario", summary="Record the rules and the speed as a scenario", response_model=ScenarioBody
    )
    async def get_scenario(services: ServicesDep) -> Response:
        state = await pools.write(_control(services).state)
        rules = [*state.rules, *state.own_rules]
        return json_response(
            {
                "rule": [_worker_rule(each.rule) for each in rules],
                "http": [_http_rule(each.rule) for each in faults.rules()],
                "speed": _speed(state.speed),
            }
        )

    @routes.put("/scenario", summary="Replace the rules by those of a scenario", response_model=SimulatorInfo)
    async def load_scenario(services: ServicesDep, body: ScenarioBody) -> Response:
        """Rules of the settings stay, after those of the scenario."""
        control = _control(services)
        speed = Speed(**body.speed.model_dump()) if body.speed is not None else None
        state = await pools.write(control.replace, [each.rule() for each in body.rule], speed)
        faults.replace(body.http)
        return json_response(_info(services, state))


def _add_worker_faults(routes: APIRouter) -> None:
    @routes.post(
        "/worker-faults",
        summary="Set a fault of the worker",
        status_code=201,
        response_model=ActiveWorkerFault,
    )
    async def add_worker_fault(services: ServicesDep, body: WorkerFaultBody) -> Response:
        """It strikes later attempts, in all processes within two seconds."""
        if not _is_on(services):
            raise Conflict(f"a fault {OFF}")
        added = await pools.write(_control(services).add, body.rule())
        return json_response(_worker_fault(added, "added"), 201)

    @routes.delete("/worker-faults", summary="Delete all added faults of the worker", status_code=204)
    async def delete_worker_faults(services: ServicesDep) -> Response:
        await pools.write(_control(services).remove, None)
        return Response(status_code=204)

    @routes.delete("/worker-faults/{fault_id}", summary="Delete a fault of the worker", status_code=204)
    async def delete_worker_fault(services: ServicesDep, fault_id: _FaultId) -> Response:
        if fault_id.startswith("settings-"):
            raise Conflict(f"{fault_id[:40]} is from the settings; remove it there and restart the server")
        await pools.write(_control(services).remove, fault_id)
        return Response(status_code=204)


_FaultId = Annotated[str, Path(description="The `id` of a fault.")]


def _add_http_faults(routes: APIRouter, faults: HttpFaults) -> None:
    @routes.post("/faults", summary="Set a fault", status_code=201, response_model=ActiveFault)
    async def add_fault(services: ServicesDep, body: FaultBody) -> Response:
        if not _is_on(services):
            raise Conflict(f"a fault {OFF}")
        added = faults.add(body)
        if added is None:
            raise Conflict("there are too many faults; delete those of earlier tests")
        return json_response(_body(added), 201)

    @routes.get("/faults", summary="List the faults", response_model=ActiveFaults)
    async def list_faults() -> Response:
        return json_response({"items": [_body(each) for each in faults.rules()]})

    @routes.delete("/faults", summary="Delete all faults", status_code=204)
    async def delete_faults() -> Response:
        faults.remove(None)
        return Response(status_code=204)

    @routes.delete("/faults/{fault_id}", summary="Delete a fault", status_code=204)
    async def delete_fault(fault_id: _FaultId) -> Response:
        if not faults.remove(fault_id):
            raise NotFound(f"there is no fault {fault_id[:40]!r}")
        return Response(status_code=204)


def _control(services: Services) -> SimulatorControl:
    if services.simulator is None:
        raise Conflict(_OFF)
    return services.simulator


def _is_on(services: Services) -> bool:
    simulator = services.backends.get(SIMULATOR)
    return simulator is not None and bool(usable_nodes(simulator))


def _info(services: Services, state: SimulatorState | None) -> dict[str, Any]:
    rules = state.rules if state is not None else ()
    own = state.own_rules if state is not None else ()
    simulator = services.backends.get(SIMULATOR)
    return {
        "on": _is_on(services),
        "nodes": len(simulator.nodes()) if simulator is not None else 0,
        "speed": state.speed_name if state is not None else None,
        "changed": state is not None and state.is_changed,
        **_speed(state.speed if state is not None else SPEEDS["instant"]),
        "speeds": [{"name": name, **_speed(speed)} for name, speed in SPEEDS.items()],
        "faults": [
            *(_worker_fault(each, "added") for each in rules),
            *(_worker_fault(each, "settings") for each in own),
        ],
    }


def _speed(speed: Speed) -> dict[str, float]:
    return {"stepMs": speed.step_ms, "loadMs": speed.load_ms, "jitter": speed.jitter}


def _worker_fault(active: ActiveFaultRule, source: str) -> dict[str, Any]:
    return {"id": active.id, "source": source, "hits": active.hits, "rule": _worker_rule(active.rule)}


def _worker_rule(rule: FaultRule) -> Mapping[str, Any]:
    fields = rule.model_dump(mode="json", exclude_defaults=True)
    return {"loadMs" if name == "load_ms" else name: value for name, value in fields.items()}


def _http_rule(rule: HttpFaultRule) -> dict[str, Any]:
    return rule.model_dump(by_alias=True, exclude_defaults=True) | {"times": rule.times}


def _body(active: ActiveRule) -> dict[str, Any]:
    rule = active.rule
    return {
        "id": active.id,
        "hits": active.hits,
        "left": None if rule.times is None else rule.times - active.hits,
        "rule": _http_rule(rule),
    }
