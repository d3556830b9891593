"""The model registry over HTTP: ``/v2/resources``. Reading one by AIR is Civitai's, the rest is ours."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.domain.access import Scope
from imagemill.domain.air import InvalidAir, Resource, parse, short_version
from imagemill.domain.clock import to_datetime
from imagemill.domain.errors import InvalidInput
from imagemill.web import openapi
from imagemill.web.http import Whole, json_body, json_response, number, one_of
from imagemill.web.policies import Cors, PathPolicy
from imagemill.web.problems import field_errors

_Model = TypeVar("_Model", bound=BaseModel)
Word = Annotated[str, Field(max_length=200)]
FILE_FORMATS = ("unknown", "safeTensor", "pickleTensor", "diffusers", "coreML", "onnx", "tar")
_MOST_USES = 20
_PAGE = openapi.query(
    limit=(openapi.whole(1, 100, 20), "How many a page"),
    page=(openapi.whole(1, 1_000_000, 1), "Which page"),
    q=(openapi.TEXT, "A part of the AIR, a name or a tag, in any case"),
)


def _relative(name: str) -> str:
    """A path below a node's model folder."""
    if not name.isprintable() or "\\" in name or name.startswith("/") or ".." in name.split("/"):
        raise ValueError("should be a file name relative to the model folder, such as sdxl/base.safetensors")
    return name


def _uses(value: Any) -> Any:
    """One word or a list of words; a union of the two would put both kinds into the path of a fault."""
    words = value if isinstance(value, list) else [value]
    if len(words) > _MOST_USES or not all(isinstance(word, str) and len(word) <= 200 for word in words):
        raise ValueError(f"should be a text such as Sell, or a list of at most {_MOST_USES} of them")
    return value


Uses = Annotated[
    str | list[str],
    BeforeValidator(_uses),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
FileName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_relative)]


class Hashes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    AutoV1: Word | None = None
    AutoV2: Word | None = None
    AutoV3: Word | None = None
    SHA256: Word | None = None
    CRC32: Word | None = None
    BLAKE3: Word | None = None


class ResourceFields(BaseModel):
    """A resource without its AIR; what a PATCH may change."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True
    )

    model_name: Word | None = None
    version_name: Word | None = None
    description: str | None = Field(None, max_length=10_000)
    type: Word | None = None
    nsfw: bool | None = None
    allow_commercial_use: Uses | None = None
    tags: list[Word] | None = Field(None, max_length=100)
    size: Whole | None = Field(None, ge=0, le=2**53)
    hashes: Hashes | None = None
    download_urls: list[Annotated[str, Field(max_length=2000)]] | None = Field(None, max_length=20)
    file_format: Annotated[str, one_of(FILE_FORMATS)] | None = None
    file_name: FileName | None = None
    can_generate: bool | None = None
    published_at: Word | None = None
    trained_words: list[Word] | None = Field(None, max_length=100)


class ResourceBody(ResourceFields):
    air: str = Field(max_length=512)


def resource_info(resource: Resource) -> dict[str, Any]:
    """As Civitai answers, with our additional fields."""
    body = resource.body
    return {
        "air": str(resource.air),
        "type": body.get("type") or resource.air.type or "other",
        "modelName": body.get("modelName"),
        "versionName": body.get("versionName"),
        "resourceName": body.get("modelName"),
        "description": body.get("description"),
        "size": body.get("size", 0),
        "hashes": body.get("hashes", {}),
        "downloadUrls": body.get("downloadUrls", []),
        "checkPermission": False,
        "canGenerate": body.get("canGenerate", True),
        "fileFormat": body.get("fileFormat", "unknown"),
        "fileName": body.get("fileName"),
        "path": resource.path,
        "hasMatureContentRestriction": False,
        "hasNSFWContentRestriction": False,
        "nsfw": body.get("nsfw", False),
        "allowCommercialUse": body.get("allowCommercialUse"),
        "tags": body.get("tags", []),
        "trainedWords": body.get("trainedWords", []),
        "publishedAt": body.get("publishedAt"),
        "createdAt": to_datetime(resource.created_at).isoformat() if resource.created_at else None,
        "updatedAt": to_datetime(resource.updated_at).isoformat() if resource.updated_at else None,
    }


class ModelRoutes:
    def __init__(self, services: Services) -> None:
        self._registry = services.registry

    def router(self) -> APIRouter:
        routes = APIRouter(tags=["resources"])
        all_, one = "/v2/resources", "/v2/resources/{air:path}"
        for method, path, handler, summary, status, extra in (
            ("GET", all_, self.page, "List and search models", 200, _PAGE),
            ("POST", all_, self.create, "Register a model", 201, openapi.body(ResourceBody)),
            ("GET", one, self.get, "One model, by its AIR", 200, None),
            ("PUT", one, self.put, "Replace a model", 200, openapi.body(ResourceBody)),
            ("PATCH", one, self.patch, "Change fields of a model", 200, openapi.body(ResourceFields)),
            ("DELETE", one, self.delete, "Remove a model", 204, None),
        ):
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
        limit = number(request, "limit", 20, 1, 100)
        page = number(request, "page", 1, 1, 1_000_000)
        query = request.query_params.get("q", "")
        if len(query) > 200 or "\0" in query:
            raise InvalidInput.at("q", "must be at most 200 characters of text")
        total, found = await asyncio.to_thread(self._registry.page, query, page, limit)
        items = [resource_info(resource) for resource in found]
        return json_response({"page": page, "limit": limit, "total": total, "items": items})

    async def create(self, request: Request) -> Response:
        resource = _resource(await _read(request, ResourceBody))
        return json_response(resource_info(await asyncio.to_thread(self._registry.add, resource)), 201)

    async def get(self, request: Request, air: str) -> Response:
        return json_response(resource_info(await self._find(air)))

    async def put(self, request: Request, air: str) -> Response:
        resource = _resource(await _read(request, ResourceBody))
        there = await self._find(air)
        if resource.air.key != there.air.key:
            raise InvalidInput.at(
                "air", f"is {resource.air}, but the path names {there.air}; they must be equal"
            )
        return json_response(resource_info(await asyncio.to_thread(self._registry.replace, resource)))

    async def patch(self, request: Request, air: str) -> Response:
        body = await json_body(request)
        there = await self._find(air)
        if isinstance(body, Mapping) and "air" in body:
            raise InvalidInput.at("air", "cannot be changed; register the model under its new AIR instead")
        fields = _validated(body, ResourceFields).model_dump(by_alias=True, exclude_unset=True, mode="json")
        # null puts a field back to its default.
        kept = {name: value for name, value in {**there.body, **fields}.items() if value is not None}
        changed = Resource(there.air, kept, there.created_at)
        return json_response(resource_info(await asyncio.to_thread(self._registry.replace, changed)))

    async def delete(self, request: Request, air: str) -> Response:
        there = await self._find(air)
        await asyncio.to_thread(self._registry.remove, str(there.air))
        return Response(status_code=204)

    async def _find(self, air: str) -> Resource:
        if not short_version(air):
            try:
                parse(air)
            except InvalidAir as error:
                raise InvalidInput.at("air", str(error)) from error
        return await asyncio.to_thread(self._registry.get, air)


async def _read(request: Request, model: type[_Model]) -> _Model:
    return _validated(await json_body(request), model)


def _validated(body: Any, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, model)) from error


def _resource(body: ResourceBody) -> Resource:
    try:
        air = parse(body.air)
    except InvalidAir as error:
        raise InvalidInput.at("air", str(error)) from error
    if not air.version and air.source.lower() == "civitai":
        raise InvalidInput.at("air", f"{body.air} names no version; write {air}@<version>")
    fields = body.model_dump(by_alias=True, exclude_none=True, mode="json", exclude={"air"})
    return Resource(air, fields)


DIALECT = ApiModule(
    name="registry",
    router=lambda services, _: ModelRoutes(services).router(),
    callback=no_callback,
    policies=(
        PathPolicy(
            "/v2/resources", Scope.MODELS_READ, Scope.MODELS_WRITE, requires_token=True, cors=Cors.CONTRACT
        ),
        PathPolicy(
            "/v2/resources/", Scope.MODELS_READ, Scope.MODELS_WRITE, requires_token=True, cors=Cors.CONTRACT
        ),
    ),
)
