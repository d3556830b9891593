"""``/api/v1/models``: order, edit, list, look at."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.credits import estimate, price_docs
from imagemill.domain.access import Scope
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.media.pictures import EXTENSIONS, media_type_of
from imagemill.products.library.grid import PARAMETERS, Cell
from imagemill.products.library.schemas import (
    SHOWN,
    BatchRequest,
    EditRequest,
    ModelRequest,
    allowed,
    cell_body,
    counted,
    look_body,
    model_body,
    outcome_body,
)
from imagemill.products.library.service import LibraryService, OrderContext, OrderPlan, PlacedOrder
from imagemill.products.library.store import ModelFilter, ModelStore, StoredModel
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.http import (
    cursor,
    digest,
    flag,
    idempotency_key,
    json_body,
    json_response,
    number,
    request_trace,
)
from imagemill.web.permissions import RoutePermission
from imagemill.web.problems import field_errors

NAME = "library"
PATH = "/api/v1/models"
_SERVED = "/blobs/library/{template}/{name}"
_Body = TypeVar("_Body", bound=BaseModel)

_PAGE = openapi.query(
    limit=(openapi.whole(1, 500, 50), "How many"),
    cursor=(openapi.TEXT, "`next` of the last answer"),
    latest=(openapi.FLAG, "Only the newest version of each template"),
    **{
        shown: (
            {"type": "array", "items": {"type": "string", "enum": list(PARAMETERS[name])}},
            "Only these, repeated or separated by commas",
        )
        for name, shown in SHOWN.items()
    },
)
_AGAIN = openapi.answered(200, "It was ordered before, or only a price was asked for", openapi.JSON)
_MOVED = openapi.answered(307, "Where the picture is, signed")
_WHATIF = openapi.query(whatif=(openapi.FLAG, "Say what it would cost, and make no job"))


class LibraryRoutes:
    def __init__(self, services: Services, library: LibraryService, models: ModelStore) -> None:
        self._services = services
        self._library = library
        self._models = models

    def router(self) -> APIRouter:
        routes = APIRouter(tags=["model library"])
        one, prices = f"{PATH}/{{model_id}}", price_docs(self._services.credits.prices)
        for method, path, handler, summary, status, extra in (
            ("GET", PATH, self.page, "List models, newest first", 200, _PAGE),
            ("POST", PATH, self.create, "Make one model", 201,
             openapi.body(ModelRequest) | _WHATIF | _AGAIN | prices),
            ("POST", f"{PATH}/batch", self.batch, "Make the missing models of a grid", 201,
             openapi.body(BatchRequest) | _AGAIN | prices),
            ("GET", f"{PATH}/batch/{{batch}}", self.progress, "How far a batch is", 200, None),
            ("GET", one, self.get, "One model", 200, None),
            ("GET", f"{one}/versions", self.versions, "All versions of its template", 200, None),
            ("POST", f"{one}/edit", self.edit, "Make the next version of its template", 201,
             openapi.body(EditRequest) | _WHATIF | _AGAIN | prices),
            ("GET", f"{one}/image", self.image, "Its picture, at a lasting address", 307, _MOVED),
            ("GET", f"{one}/thumbnail", self.thumbnail, "Its thumbnail, at a lasting address", 307, _MOVED),
            ("GET", _SERVED, self.served, "A picture of the library, by a signed URL", 200,
             openapi.answered(200, "The picture", *EXTENSIONS)),
        ):  # fmt: skip
            routes.add_api_route(
                path,
                handler,
                methods=[method],
                summary=summary,
                status_code=status,
                response_class=Response,
                openapi_extra=extra,
            )
        return routes

    async def page(self, request: Request) -> Response:
        limit = number(request, "limit", 50, 1, 500)
        wanted = ModelFilter(
            owner=caller(request).owner,
            values=_filters(request),
            latest=flag(request, "latest"),
            before=cursor(request.query_params.get("cursor"), "cursor", "next"),
            limit=limit + 1,
        )
        found = await asyncio.to_thread(self._models.page, wanted)
        items = [self._body(request, model) for model in found[:limit]]
        return json_response({"items": items, "next": found[limit - 1].id if len(found) > limit else None})

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        wanted, client = _read(body, ModelRequest), _client(request, body)
        planned = await asyncio.to_thread(
            self._library.planned_one, client, wanted.look, save=wanted.save, seed=wanted.seed
        )
        return await self._ordered(request, client, planned)

    async def edit(self, request: Request, model_id: str) -> Response:
        body = await json_body(request)
        wanted, client = _read(body, EditRequest), _client(request, body, model_id)
        most = self._services.prompt_chars
        if wanted.prompt is not None and len(wanted.prompt) > most:
            raise InvalidInput.at("prompt", f"has {len(wanted.prompt)} characters; at most {most} are read")
        planned = await asyncio.to_thread(self._library.planned_edit, client, model_id, wanted.change)
        return await self._ordered(request, client, planned)

    async def _ordered(self, request: Request, client: OrderContext, planned: OrderPlan) -> Response:
        """The one job of an order, or the one that makes the same already."""
        if flag(request, "whatif"):
            return json_response(await estimate(request, self._services.credits, planned.drafts))
        placed = await asyncio.to_thread(self._library.place, client, planned)
        look = planned.chosen[0]
        made = [*placed.accepted, *placed.stock.under_way.values()]
        if not made:
            raise NotFound("what this idempotency key ordered is gone; use another key")
        is_new = bool(placed.jobs) and not placed.repeated
        template = planned.drafts[0].name  # of an edit the old one's, whatever the parameters are now
        body = {**look_body(look), "templateId": template, "jobId": made[0]}
        body["state"] = "new" if is_new else "under_way"
        return json_response({**body, "batch": placed.batch or None}, 201 if is_new else 200)

    async def batch(self, request: Request) -> Response:
        body = await json_body(request)
        wanted, client = _read(body, BatchRequest), _client(request, body)
        if wanted.count is None and wanted.grid is None:
            raise InvalidInput.at("count", 'is required, or a grid; {"grid": {}} is all of it')
        cells = wanted.cells
        planned = await asyncio.to_thread(
            self._library.plan, client, cells, count=wanted.count, save=wanted.save
        )
        if wanted.dry_run:
            return await self._quoted(request, cells, planned)
        placed = await asyncio.to_thread(self._library.place, client, planned)
        batches = await asyncio.to_thread(self._library.batches, client.owner, placed)
        listed = [cell_body(cell, placed) for cell in cells]
        is_new = bool(placed.jobs) and not placed.repeated
        told = {"batch": placed.batch or None, "batches": batches, **counted(listed), "cells": listed}
        return json_response(told, 201 if is_new else 200)

    async def _quoted(self, request: Request, cells: tuple[Cell, ...], planned: OrderPlan) -> Response:
        """Every prompt, what is there already, and the price; nothing is sent."""
        price = await estimate(request, self._services.credits, planned.drafts)
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

    async def progress(self, request: Request, batch: str) -> Response:
        outcome = await asyncio.to_thread(self._library.batch, caller(request).owner, batch)
        return json_response(outcome_body(outcome, batch))

    async def get(self, request: Request, model_id: str) -> Response:
        return json_response(self._body(request, await self._model(request, model_id)))

    async def versions(self, request: Request, model_id: str) -> Response:
        model = await self._model(request, model_id)
        found = await asyncio.to_thread(self._models.versions, model.template_id, caller(request).owner)
        return json_response(
            {"templateId": model.template_id, "items": [self._body(request, each) for each in found]}
        )

    async def image(self, request: Request, model_id: str) -> Response:
        return self._moved(request, (await self._model(request, model_id)).image_key)

    async def thumbnail(self, request: Request, model_id: str) -> Response:
        return self._moved(request, (await self._model(request, model_id)).thumbnail_key)

    def _moved(self, request: Request, key: str) -> Response:
        query = self._services.response_config.signer.sign(key).query
        return RedirectResponse(
            f"{self._base(request)}/blobs/{key}?{query}", 307, {"Cache-Control": "no-store"}
        )

    async def served(self, template: str, name: str, exp: str = "", sig: str = "") -> Response:
        key = f"library/{template}/{name}"
        if not self._services.response_config.signer.check(key, exp, sig):
            raise HTTPException(
                403, "this URL is wrong or has expired; ask for the model again for a new one"
            )
        headers = {"Cache-Control": f"private, max-age={max(0, int(exp) - now_us() // SECOND)}, immutable"}
        media_type, blobs = media_type_of(name), self._services.blobs
        if (path := await asyncio.to_thread(blobs.location, key)) is not None:
            return FileResponse(path, media_type=media_type, headers=headers)
        try:
            data = await asyncio.to_thread(blobs.get, key)
        except NotFound as error:
            raise HTTPException(404, "the picture is gone: it was deleted") from error
        return Response(data, media_type=media_type, headers=headers)

    async def _model(self, request: Request, model_id: str) -> StoredModel:
        return await asyncio.to_thread(self._models.get, model_id, caller(request).owner)

    def _body(self, request: Request, model: StoredModel) -> dict[str, Any]:
        return model_body(model, self._services.response_config.signer, self._base(request))

    def _base(self, request: Request) -> str:
        host = request.headers.get("host", "")
        return self._services.response_config.public_url or f"{request.url.scheme}://{host}"


def _client(request: Request, body: Any, place: str = "") -> OrderContext:
    key = idempotency_key(request)
    said = digest([place, request.url.path, body]) if key else ""
    return OrderContext(caller(request).owner, request_trace(request), key, said)


def _read(body: Any, model: type[_Body]) -> _Body:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, model)) from error


def _filters(request: Request) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, shown in SHOWN.items():
        given = [part for text in request.query_params.getlist(shown) for part in text.split(",") if part]
        try:
            values = [allowed(name, each) for each in given]
        except ValueError as error:
            raise InvalidInput.at(shown, str(error)) from None
        if values:
            found[name] = values
    return found


def api_module(service: Callable[[Services], LibraryService], models: ModelStore) -> ApiModule:
    return ApiModule(
        name=NAME,
        router=lambda services: LibraryRoutes(services, service(services), models).router(),
        callback=no_callback,
        permissions=(
            RoutePermission(PATH, Scope.JOBS_READ, Scope.JOBS_WRITE),
            RoutePermission(f"{PATH}/", Scope.JOBS_READ, Scope.JOBS_WRITE),
        ),
    )
