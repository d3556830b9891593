"""``/api/v1/library``: order, edit, list and read the models of the library."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.routing import APIRoute
from pydantic import WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.credits import estimate
from imagemill.api.dependencies import ServicesDep, context
from imagemill.api.jobs_schemas import Estimate
from imagemill.domain.access import Scope
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.media.pictures import EXTENSIONS, media_type_of
from imagemill.net import pools
from imagemill.products.library.grid import PARAMETERS, Cell, list_cells
from imagemill.products.library.schemas import (
    SHOWN,
    BatchOrder,
    BatchProgress,
    BatchQuote,
    BatchRequest,
    EditRequest,
    LibraryGrid,
    LibraryModel,
    LibraryPage,
    ModelOrder,
    ModelRequest,
    TemplateVersions,
    allowed,
    cell_body,
    counted,
    grid_body,
    look_body,
    model_body,
    outcome_body,
)
from imagemill.products.library.service import LibraryService, OrderContext, OrderPlan, PlacedOrder
from imagemill.products.library.store import ModelFilter, ModelStore, StoredModel
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.http import (
    base_url,
    cursor,
    digest,
    idempotency_key,
    json_response,
    request_trace,
)
from imagemill.web.policies import READING, PathPolicy
from imagemill.web.routing import ApiRoute, Cursor, Flag, LazyRoute

NAME = "library"
PATH = "/api/v1/library"
FORMER_PATH = "/api/v1/models"
"""The former address, which still serves everything but the list and the grid."""
_SUBMITS = openapi.PRICED | openapi.IDEMPOTENCY_KEY


class LibraryApi:
    """The dependencies of the handlers: models in the form of this API."""

    def __init__(self, services: Services, service: LibraryService, models: ModelStore) -> None:
        self.services = services
        self.service = service
        self.models = models

    async def client(self, request: Request, place: str = "") -> OrderContext:
        """Return who orders; a repeated idempotency key must come with the same path, ``place`` and body."""
        key = idempotency_key(request)
        said = digest([place, request.url.path, await request.json()]) if key else ""
        return OrderContext(caller(request).owner, request_trace(request), key, said)

    async def ordered(
        self, request: Request, client: OrderContext, planned: OrderPlan, *, whatif: bool
    ) -> Response:
        """Answer with the one job of an order, or with the job that makes the same already."""
        if whatif:
            return json_response(await estimate(request, self.services.credits, planned.drafts))
        placed = await pools.write(self.service.place, client, planned)
        made = [*placed.accepted, *placed.stock.under_way.values()]
        if not made:
            raise NotFound("what this idempotency key ordered is gone; use another key")
        is_new = bool(placed.jobs) and not placed.repeated
        body = {
            **look_body(planned.chosen[0]),
            # An edit keeps the template of the old picture, whatever the parameters are now.
            "templateId": planned.drafts[0].name,
            "jobId": made[0],
            "state": "new" if is_new else "under_way",
            "batch": placed.batch or None,
        }
        return json_response(body, 201 if is_new else 200)

    async def quoted(self, request: Request, cells: tuple[Cell, ...], planned: OrderPlan) -> Response:
        """Answer with every prompt, what is present already, and the price; nothing is stored."""
        price = await estimate(request, self.services.credits, planned.drafts)
        price.pop("jobs")
        chosen = {cell.template_id for cell in planned.chosen}
        nothing = PlacedOrder("", {}, planned.stock)
        listed = [
            {
                **cell_body(cell, nothing),
                "prompt": cell.prompt,
                **({"state": "new"} if cell.template_id in chosen else {}),
            }
            for cell in cells
        ]
        return json_response({"dryRun": True, **price, **counted(listed), "cells": listed})

    async def model(self, request: Request, model_id: str) -> StoredModel:
        return await pools.read(self.models.get, model_id, caller(request).owner)

    def body(self, request: Request, model: StoredModel) -> dict[str, Any]:
        return model_body(model, self.services.response_config.signer, self.base(request))

    def redirect(self, request: Request, key: str, written: str) -> Response:
        """Redirect to a picture; without a key to the address ``written`` by an application."""
        if not key:
            if not written.startswith(("https://", "http://")):
                raise NotFound("the row of this model has no address of a picture")
            return RedirectResponse(written, 307, {"Cache-Control": "no-store"})
        query = self.services.response_config.signer.sign(key).query
        return RedirectResponse(
            f"{self.base(request)}/blobs/{key}?{query}", 307, {"Cache-Control": "no-store"}
        )

    def base(self, request: Request) -> str:
        return base_url(request, self.services.response_config.public_url)


LibraryDep = Annotated[LibraryApi, context(NAME)]
ModelId = Annotated[str, Path(description="`id` of the model.")]
WhatIf = Annotated[Flag, Query(description="Only return what the job would cost.")]


def _values(name: str) -> Any:
    one = Annotated[str, WithJsonSchema({"type": "string", "enum": list(PARAMETERS[name])})]
    text = "Only models with one of these values: repeated, or separated by commas."
    return Annotated[list[one] | None, Query(alias=SHOWN[name], description=text)]


async def _filters(
    gender: _values("gender") = None,  # pyright: ignore[reportInvalidTypeForm] - made of the closed set
    age_range: _values("age_range") = None,  # pyright: ignore[reportInvalidTypeForm]
    body_type: _values("body_type") = None,  # pyright: ignore[reportInvalidTypeForm]
    pose: _values("pose") = None,  # pyright: ignore[reportInvalidTypeForm]
    style: _values("style") = None,  # pyright: ignore[reportInvalidTypeForm]
) -> Mapping[str, list[str]]:
    """Return the wanted values by parameter. Raises `InvalidInput`."""
    given = zip(PARAMETERS, (gender, age_range, body_type, pose, style), strict=True)
    return {name: found for name, texts in given if (found := _split(name, texts or []))}


def _split(name: str, texts: list[str]) -> list[str]:
    try:
        return [allowed(name, part) for text in texts for part in text.split(",") if part]
    except ValueError as error:
        raise InvalidInput.at(SHOWN[name], str(error)) from None


router = APIRouter(tags=["model library"], route_class=ApiRoute)


@router.get("", summary="List models, newest first", response_model=LibraryPage)
async def list_library_models(
    request: Request,
    library: LibraryDep,
    values: Annotated[Mapping[str, list[str]], Depends(_filters)],
    limit: Annotated[int, Query(ge=1, le=500, description="Most models of a page.")] = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
    latest: Annotated[Flag, Query(description="Only the newest version of each template.")] = False,
) -> Response:
    wanted = ModelFilter(
        owner=caller(request).owner,
        values=values,
        latest=latest,
        before=cursor(cursor_, "cursor", "next"),
        limit=limit + 1,
    )
    found = await pools.read(library.models.page, wanted)
    items = [library.body(request, model) for model in found[:limit]]
    return json_response({"items": items, "next": found[limit - 1].id if len(found) > limit else None})


@router.post(
    "",
    summary="Make one model",
    status_code=201,
    response_model=ModelOrder,
    responses={
        200: {
            "model": ModelOrder | Estimate,
            "description": "It was ordered before; or, with `whatif`, what it costs.",
        }
    },
    openapi_extra=_SUBMITS,
)
async def make_library_model(
    request: Request, library: LibraryDep, body: ModelRequest, whatif: WhatIf = False
) -> Response:
    client = await library.client(request)
    planned = await pools.read(library.service.planned_one, client, body.look, save=body.save, seed=body.seed)
    return await library.ordered(request, client, planned, whatif=whatif)


@router.post(
    "/batch",
    summary="Make the missing models of a grid",
    status_code=201,
    response_model=BatchOrder,
    responses={
        200: {
            "model": BatchOrder | BatchQuote,
            "description": "Nothing was missing; or, of a dry run, what would be made and its price.",
        }
    },
    openapi_extra=_SUBMITS,
)
async def make_library_batch(request: Request, library: LibraryDep, body: BatchRequest) -> Response:
    client = await library.client(request)
    if body.count is None and body.grid is None:
        raise InvalidInput.at("count", 'is required, or a grid; {"grid": {}} is all of it')
    cells = body.cells
    planned = await pools.read(library.service.plan, client, cells, count=body.count, save=body.save)
    if body.dry_run:
        return await library.quoted(request, cells, planned)
    placed = await pools.write(library.service.place, client, planned)
    batches = await pools.read(library.service.batches, client.owner, placed)
    listed = [cell_body(cell, placed) for cell in cells]
    is_new = bool(placed.jobs) and not placed.repeated
    answer = {"batch": placed.batch or None, "batches": batches, **counted(listed), "cells": listed}
    return json_response(answer, 201 if is_new else 200)


@router.get("/batch/{batch}", summary="Read how far a batch is", response_model=BatchProgress)
async def get_library_batch(
    request: Request, library: LibraryDep, batch: Annotated[str, Path(description="`batch` of the order.")]
) -> Response:
    outcome = await pools.read(library.service.batch, caller(request).owner, batch)
    return json_response(outcome_body(outcome, batch))


@router.get("/grid", summary="Read the state of every cell", response_model=LibraryGrid)
async def get_library_grid(
    request: Request,
    library: LibraryDep,
    values: Annotated[Mapping[str, list[str]], Depends(_filters)],
) -> Response:
    """Whether a model exists or is being made, and the newest version, of all cells or of those chosen."""
    cells = list_cells(values)
    status, newest = await pools.read(library.service.grid_models, caller(request).owner, cells)
    signer = library.services.response_config.signer
    return json_response(grid_body(cells, status, newest, signer, library.base(request)))


@router.get("/{model_id}", summary="Read a model", response_model=LibraryModel)
async def get_library_model(request: Request, library: LibraryDep, model_id: ModelId) -> Response:
    return json_response(library.body(request, await library.model(request, model_id)))


@router.get(
    "/{model_id}/versions", summary="List all versions of the template", response_model=TemplateVersions
)
async def list_library_versions(request: Request, library: LibraryDep, model_id: ModelId) -> Response:
    model = await library.model(request, model_id)
    found = await pools.read(library.models.versions, model.template_id, caller(request).owner)
    items = [library.body(request, each) for each in found]
    return json_response({"templateId": model.template_id, "items": items})


@router.post(
    "/{model_id}/edit",
    summary="Make the next version of the template",
    status_code=201,
    response_model=ModelOrder,
    responses={
        200: {
            "model": ModelOrder | Estimate,
            "description": "It was ordered before; or, with `whatif`, what it costs.",
        }
    },
    openapi_extra=_SUBMITS,
)
async def edit_library_model(
    request: Request, library: LibraryDep, model_id: ModelId, body: EditRequest, whatif: WhatIf = False
) -> Response:
    client = await library.client(request, model_id)
    most = library.services.prompt_chars
    if body.prompt is not None and len(body.prompt) > most:
        raise InvalidInput.at("prompt", f"has {len(body.prompt)} characters; at most {most} are read")
    planned = await pools.read(library.service.planned_edit, client, model_id, body.change)
    return await library.ordered(request, client, planned, whatif=whatif)


@router.get(
    "/{model_id}/image",
    summary="Fetch the picture, at a lasting address",
    status_code=307,
    response_class=RedirectResponse,
    response_description="The signed address of the picture.",
)
async def get_library_image(request: Request, library: LibraryDep, model_id: ModelId) -> Response:
    model = await library.model(request, model_id)
    return library.redirect(request, model.image_key, model.image_url)


@router.get(
    "/{model_id}/thumbnail",
    summary="Fetch the thumbnail, at a lasting address",
    status_code=307,
    response_class=RedirectResponse,
    response_description="The signed address of the thumbnail.",
)
async def get_library_thumbnail(request: Request, library: LibraryDep, model_id: ModelId) -> Response:
    model = await library.model(request, model_id)
    return library.redirect(request, model.thumbnail_key, model.thumbnail_url or model.image_url)


files = APIRouter(tags=["files"], route_class=LazyRoute)
_PUBLIC_NAME = re.compile(r"[0-9]+-[0-9a-f]{16}(?:-thumbnail)?\.[a-z]+")
"""A name with 64 random bits. It is served without a signature, as applications read it from the table and
show it to their visitors: who knows the name was given it."""


@files.get(
    "/blobs/library/{template}/{name}",
    summary="Fetch a picture of the library by its URL, signed or as in the table",
    response_class=Response,
    openapi_extra=openapi.answered(200, "The picture.", *EXTENSIONS),
)
async def get_library_file(
    services: ServicesDep, template: str, name: str, exp: str = "", sig: str = ""
) -> Response:
    key = f"library/{template}/{name}"
    if not _PUBLIC_NAME.fullmatch(name) or exp or sig:
        if not services.response_config.signer.check(key, exp, sig):
            raise HTTPException(
                403, "this URL is wrong or has expired; ask for the model again for a new one"
            )
        headers = {"Cache-Control": f"private, max-age={max(0, int(exp) - now_us() // SECOND)}, immutable"}
    else:
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    media_type, blobs = media_type_of(name), services.blobs
    if (path := await pools.blob(blobs.location, key)) is not None:
        return FileResponse(path, media_type=media_type, headers=headers)
    try:
        data = await pools.blob(blobs.get, key)
    except NotFound as error:
        raise HTTPException(404, "the picture was deleted") from error
    return Response(data, media_type=media_type, headers=headers)


def _without_lists(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    return [
        each
        for each in routes
        if not (isinstance(each, APIRoute) and each.path in ("", "/grid") and "GET" in (each.methods or ()))
    ]


_former = APIRouter(route_class=ApiRoute)
_former.routes.extend(_without_lists(router.routes))
_routes = APIRouter()
_routes.include_router(router, prefix=PATH)
_routes.include_router(_former, prefix=FORMER_PATH, include_in_schema=False)
_routes.include_router(files)


def api_module(service: Callable[[Services], LibraryService], models: ModelStore) -> ApiModule:
    return ApiModule(
        name=NAME,
        router=_routes,
        context=lambda services, _: LibraryApi(services, service(services), models),
        callback=no_callback,
        policies=(
            PathPolicy(PATH, Scope.JOBS_READ, Scope.JOBS_WRITE, owner_methods=READING),
            PathPolicy(f"{PATH}/", Scope.JOBS_READ, Scope.JOBS_WRITE, owner_methods=READING),
            PathPolicy(f"{FORMER_PATH}/", Scope.JOBS_READ, Scope.JOBS_WRITE, owner_methods=READING),
        ),
        tags={
            "model library": "Fashion models from a closed set of parameters, and the grid that they span."
        },
    )
