"""The model registry over HTTP: ``/v2/resources``. Reading by AIR and the queue are Civitai's, the rest is
ours."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.api.models_schemas import (
    ResourceBody,
    ResourceChange,
    ResourceInfo,
    ResourcePage,
    ResourceQueue,
    check_type,
    is_changed,
    parsed_resource,
    resource_info,
)
from imagemill.domain.access import Scope
from imagemill.domain.air import MAX_LENGTH, InvalidAir, Resource, parse
from imagemill.domain.clock import now_us, to_datetime
from imagemill.domain.errors import InvalidInput
from imagemill.jobs.model_states import (
    FILE_PREFIX,
    ModelLoad,
    is_family_unsupported,
    is_loaded,
    model_loads,
    nodes_with_model,
)
from imagemill.net import pools
from imagemill.web.http import json_response
from imagemill.web.policies import CorsClass, PathPolicy
from imagemill.web.routing import ContractRoute

router = APIRouter(prefix="/v2/resources", tags=["models"], route_class=ContractRoute)
Air = Annotated[str, Path(description="The AIR of the model, only its version, or the name of its file.")]


@router.get("", summary="List and search models", response_model=ResourcePage | ResourceQueue)
async def list_resources(
    services: ServicesDep,
    view: Annotated[
        Literal["queue"] | None,
        Query(description="`queue`: the models that nodes load now, as Civitai's API lists them."),
    ] = None,
    cursor: Annotated[
        str | None, Query(max_length=MAX_LENGTH, description="`next` of the last answer; for the queue.")
    ] = None,
    take: Annotated[int, Query(ge=1, le=1000, description="Most models of an answer of the queue.")] = 100,
    limit: Annotated[int, Query(ge=1, le=100, description="Most models of a page.")] = 20,
    page: Annotated[int, Query(ge=1, le=1_000_000, description="Number of the page.")] = 1,
    q: Annotated[str, Query(description="A part of the AIR, a name or a tag, in any case.")] = "",
) -> Response:
    if len(q) > 200 or "\0" in q:
        raise InvalidInput.at("q", "must be at most 200 characters of text")
    if view is not None:
        return json_response(await pools.read(_queue, services, cursor, take))
    total, found = await pools.read(services.registry.page, q, page, limit)
    items = [resource_info(resource) for resource in found]
    return json_response({"page": page, "limit": limit, "total": total, "items": items})


@router.post(
    "",
    summary="Register a model",
    status_code=201,
    response_model=ResourceInfo,
    responses={200: {"model": ResourceInfo, "description": "It was registered with these fields before."}},
)
async def add_resource(services: ServicesDep, body: ResourceBody) -> Response:
    resource, is_new = await pools.write(services.registry.register, parsed_resource(body))
    return json_response(resource_info(resource), 201 if is_new else 200)


@router.get("/{air:path}", summary="Read a model", response_model=ResourceInfo)
async def get_resource(services: ServicesDep, air: Air) -> Response:
    return json_response(await pools.read(_read, services, air))


@router.put("/{air:path}", summary="Replace a model", response_model=ResourceInfo)
async def replace_resource(services: ServicesDep, air: Air, body: ResourceBody) -> Response:
    resource, there = parsed_resource(body), await _find(services, air)
    if resource.air.key != there.air.key:
        raise InvalidInput.at("air", f"is {resource.air}, but the path names {there.air}; they must be equal")
    if not is_changed(there, resource):
        return json_response(resource_info(there))
    return json_response(resource_info(await pools.write(services.registry.replace, resource)))


@router.patch("/{air:path}", summary="Change fields of a model", response_model=ResourceInfo)
async def change_resource(services: ServicesDep, air: Air, body: ResourceChange) -> Response:
    there = await _find(services, air)
    check_type(there.air, body.type)
    fields = body.model_dump(by_alias=True, exclude_unset=True, mode="json")
    # null puts a field back to its default.
    kept = {name: value for name, value in {**there.body, **fields}.items() if value is not None}
    changed = Resource(there.air, kept, there.created_at)
    return json_response(resource_info(await pools.write(services.registry.replace, changed)))


@router.delete("/{air:path}", summary="Remove a model", status_code=204)
async def remove_resource(services: ServicesDep, air: Air) -> Response:
    there = await _find(services, air)
    await pools.write(services.registry.remove, str(there.air))
    return Response(status_code=204)


def _read(services: Services, air: str) -> dict[str, Any]:
    resource = services.registry.get(air)
    return resource_info(resource, availability(services, resource))


def availability(services: Services, resource: Resource) -> dict[str, Any]:
    """Return the state of a model on the nodes: an `Availability`."""
    backends, capacity = services.backends.values(), services.capacity
    has_worker = not capacity.missing_worker(services.recipes["textToImage"].queue)
    nodes = [node for backend in backends for node in nodes_with_model(backend, resource)]
    if not nodes and is_family_unsupported(resource, services.registry.installed):
        return {"status": "unsupported"}
    if not nodes or not has_worker:
        return {"status": "unavailable"}
    loads = model_loads(services.jobs, services.hub, services.backends)
    load = next((each for each in loads if each.is_of(resource)), None)
    if load is not None and not is_loaded(load, nodes, loads):
        return _loading(load, len(nodes))
    return {"status": "available", "workers": len(nodes)}


def _loading(load: ModelLoad, workers: int) -> dict[str, Any]:
    now = now_us()
    eta_s = load.eta_s(now)
    state = {
        "status": "loading",
        "progress": round(load.progress(now), 4),
        "workers": workers,
        "startedAt": to_datetime(load.started_at).isoformat(),
    }
    return state if eta_s is None else {**state, "etaSeconds": round(eta_s, 1)}


def _queue(services: Services, cursor: str | None, take: int) -> dict[str, Any]:
    """Return the models that nodes load now, by AIR. The cursor is the AIR of the last one."""
    found: dict[str, tuple[Resource, ModelLoad]] = {}
    for load in model_loads(services.jobs, services.hub, services.backends):
        if (resource := _resource_of(services, load.model)) is not None:
            found.setdefault(str(resource.air), (resource, load))
    left = sorted(air for air in found if cursor is None or air > cursor)
    items: list[dict[str, Any]] = []
    for air in left[:take]:
        resource, load = found[air]
        workers = sum(len(nodes_with_model(each, resource)) for each in services.backends.values())
        items.append(resource_info(resource, _loading(load, workers)))
    return {"next": left[take - 1] if len(left) > take else None, "items": items}


def _resource_of(services: Services, model: str) -> Resource | None:
    """Return the resource of a model that a job loads, registered or not; None for one that has no AIR."""
    try:
        return services.registry.find("air", model.removeprefix(FILE_PREFIX)) or Resource(parse(model))
    except (InvalidInput, InvalidAir):
        return None


async def _find(services: Services, air: str) -> Resource:
    return await pools.read(services.registry.get, air)


DIALECT = ApiModule(
    name="registry",
    router=router,
    callback=no_callback,
    policies=(
        PathPolicy(
            "/v2/resources",
            Scope.MODELS_READ,
            Scope.MODELS_WRITE,
            cors=CorsClass.CONTRACT,
        ),
        PathPolicy(
            "/v2/resources/",
            Scope.MODELS_READ,
            Scope.MODELS_WRITE,
            cors=CorsClass.CONTRACT,
        ),
    ),
    tags={"models": "The registry of checkpoints and LoRAs by AIR, with the files that nodes have of them."},
)
