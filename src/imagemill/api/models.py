"""The model registry over HTTP: ``/v2/resources``. Reading one by AIR is Civitai's, the rest is ours."""

from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query, Response
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from imagemill.api.base import ApiModule, Services, no_callback
from imagemill.api.dependencies import ServicesDep
from imagemill.domain.access import Scope
from imagemill.domain.air import Air as AirName
from imagemill.domain.air import InvalidAir, Resource, parse
from imagemill.domain.clock import to_datetime
from imagemill.domain.errors import InvalidInput
from imagemill.net import pools
from imagemill.web.http import Real, Whole, json_response, one_of
from imagemill.web.policies import CorsClass, PathPolicy
from imagemill.web.routing import ContractRoute, RequestModel, ResponseModel, immutable

Word = Annotated[str, Field(max_length=200)]
FILE_FORMATS = ("unknown", "safeTensor", "pickleTensor", "diffusers", "coreML", "onnx", "tar")
_MOST_USES = 20
_AIR = "urn:air:sdxl:lora:civitai:300001@400001"


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


class ResourceFields(RequestModel):
    """A resource without its AIR."""

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
    resource_name: Word | None = None
    check_permission: bool | None = None
    requires_authorization: bool | None = None
    popularity_rank: Real | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    is_featured: bool | None = None
    has_mature_content_restriction: bool | None = None
    has_nsfw_content_restriction: bool | None = Field(None, alias="hasNSFWContentRestriction")


READ_ONLY = ("path", "createdAt", "updatedAt")
"""Fields of an answer that are made here. They are accepted, so that an answer can be sent back, and ignored.
"""


class ResourceBody(ResourceFields):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"air": _AIR, "modelName": "Ink lines", "versionName": "1.0", "tags": ["ink"]}]
        }
    )

    air: str = Field(max_length=512, description="`urn:air:{ecosystem}:{type}:{source}:{id}@{version}`")

    @model_validator(mode="before")
    @classmethod
    def _without_read_only(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in cast("dict[str, Any]", given).items() if name not in READ_ONLY}


class ResourceChange(ResourceFields):
    """A change of a resource; null puts a field back to its default."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tags": ["ink", "lines"]}]})

    air: immutable("cannot be changed; register the model under its new AIR instead") = None  # pyright: ignore[reportInvalidTypeForm]


class ResourceInfo(ResponseModel):
    """A resource as Civitai answers it, with our additional fields."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "air": _AIR,
                    "type": "lora",
                    "modelName": "Ink lines",
                    "versionName": "1.0",
                    "resourceName": "Ink lines",
                    "description": None,
                    "size": 0,
                    "hashes": {},
                    "downloadUrls": [],
                    "checkPermission": False,
                    "requiresAuthorization": False,
                    "popularityRank": None,
                    "isFeatured": False,
                    "canGenerate": True,
                    "fileFormat": "unknown",
                    "fileName": None,
                    "path": "lora/sdxl/civitai/300001/400001.safetensors",
                    "hasMatureContentRestriction": False,
                    "hasNSFWContentRestriction": False,
                    "nsfw": False,
                    "allowCommercialUse": None,
                    "tags": ["ink"],
                    "trainedWords": [],
                    "publishedAt": None,
                    "createdAt": "2026-01-31T12:00:00+00:00",
                    "updatedAt": None,
                }
            ]
        }
    )

    air: str
    type: str
    model_name: str | None
    version_name: str | None
    resource_name: str | None
    description: str | None
    size: int = Field(description="Bytes.")
    hashes: Hashes
    download_urls: list[str]
    check_permission: bool
    requires_authorization: bool
    popularity_rank: float | None
    is_featured: bool
    can_generate: bool
    file_format: str
    file_name: str | None
    path: str | None = Field(description="Where the file lies below a node's model folder.")
    has_mature_content_restriction: bool
    has_nsfw_content_restriction: bool = Field(alias="hasNSFWContentRestriction")
    nsfw: bool
    allow_commercial_use: Uses | None
    tags: list[str]
    trained_words: list[str]
    published_at: str | None
    created_at: datetime | None
    updated_at: datetime | None


class ResourcePage(ResponseModel):
    page: int
    limit: int
    total: int
    items: list[ResourceInfo]


def resource_info(resource: Resource) -> dict[str, Any]:
    body = resource.body
    return {
        "air": str(resource.air),
        "type": body.get("type") or resource.air.type or "other",
        "modelName": body.get("modelName"),
        "versionName": body.get("versionName"),
        "resourceName": body.get("resourceName") or body.get("modelName"),
        "description": body.get("description"),
        "size": body.get("size", 0),
        "hashes": body.get("hashes", {}),
        "downloadUrls": body.get("downloadUrls", []),
        "checkPermission": body.get("checkPermission", False),
        "requiresAuthorization": body.get("requiresAuthorization", False),
        "popularityRank": body.get("popularityRank"),
        "isFeatured": body.get("isFeatured", False),
        "canGenerate": body.get("canGenerate", True),
        "fileFormat": body.get("fileFormat", "unknown"),
        "fileName": body.get("fileName"),
        "path": resource.path,
        "hasMatureContentRestriction": body.get("hasMatureContentRestriction", False),
        "hasNSFWContentRestriction": body.get("hasNSFWContentRestriction", False),
        "nsfw": body.get("nsfw", False),
        "allowCommercialUse": body.get("allowCommercialUse"),
        "tags": body.get("tags", []),
        "trainedWords": body.get("trainedWords", []),
        "publishedAt": body.get("publishedAt"),
        "createdAt": to_datetime(resource.created_at).isoformat() if resource.created_at else None,
        "updatedAt": to_datetime(resource.updated_at).isoformat() if resource.updated_at else None,
    }


router = APIRouter(prefix="/v2/resources", tags=["models"], route_class=ContractRoute)
Air = Annotated[str, Path(description="The AIR of the model, only its version, or the name of its file.")]


@router.get("", summary="List and search models", response_model=ResourcePage)
async def list_resources(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=100, description="Most models of a page.")] = 20,
    page: Annotated[int, Query(ge=1, le=1_000_000, description="Number of the page.")] = 1,
    q: Annotated[str, Query(description="A part of the AIR, a name or a tag, in any case.")] = "",
) -> Response:
    if len(q) > 200 or "\0" in q:
        raise InvalidInput.at("q", "must be at most 200 characters of text")
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
    resource, is_new = await pools.write(services.registry.register, _resource(body))
    return json_response(resource_info(resource), 201 if is_new else 200)


@router.get("/{air:path}", summary="Read a model", response_model=ResourceInfo)
async def get_resource(services: ServicesDep, air: Air) -> Response:
    return json_response(resource_info(await _find(services, air)))


@router.put("/{air:path}", summary="Replace a model", response_model=ResourceInfo)
async def replace_resource(services: ServicesDep, air: Air, body: ResourceBody) -> Response:
    resource, there = _resource(body), await _find(services, air)
    if resource.air.key != there.air.key:
        raise InvalidInput.at("air", f"is {resource.air}, but the path names {there.air}; they must be equal")
    return json_response(resource_info(await pools.write(services.registry.replace, resource)))


@router.patch("/{air:path}", summary="Change fields of a model", response_model=ResourceInfo)
async def change_resource(services: ServicesDep, air: Air, body: ResourceChange) -> Response:
    there = await _find(services, air)
    _check_type(there.air, body.type)
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


async def _find(services: Services, air: str) -> Resource:
    return await pools.read(services.registry.get, air)


def _check_type(air: AirName, given: str | None) -> None:
    """Raise `InvalidInput` for a type that contradicts the AIR."""
    if given is not None and air.type is not None and given.lower() != air.type:
        raise InvalidInput.at("type", f"is {given!r}, but the AIR is of a {air.type}; leave the type out")


def _resource(body: ResourceBody) -> Resource:
    try:
        air = parse(body.air)
    except InvalidAir as error:
        raise InvalidInput.at("air", str(error)) from error
    if not air.version and air.source.lower() == "civitai":
        raise InvalidInput.at("air", f"{body.air} names no version; write {air}@<version>")
    if not air.type or not air.ecosystem:
        lacks = "type" if air.ecosystem or air.type else "ecosystem and no type"
        raise InvalidInput.at("air", f"{body.air} names no {lacks}; write the whole AIR, such as {_AIR}")
    _check_type(air, body.type)
    fields = body.model_dump(by_alias=True, exclude_none=True, mode="json", exclude={"air"})
    return Resource(air, fields)


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
