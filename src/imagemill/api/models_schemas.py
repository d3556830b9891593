"""The bodies of ``/v2/resources``: a resource as it is registered, changed and answered."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from imagemill.domain.air import CHECKPOINT_TYPES, InvalidAir, Resource, parse, type_of_word
from imagemill.domain.air import Air as AirName
from imagemill.domain.clock import to_datetime
from imagemill.domain.errors import InvalidInput
from imagemill.web.body_fields import Real, Whole, one_of
from imagemill.web.routing import RequestModel, ResponseModel, immutable

Word = Annotated[str, Field(max_length=200)]
FILE_FORMATS = ("unknown", "safeTensor", "pickleTensor", "diffusers", "coreML", "onnx", "tar")
_MOST_USES = 20
EXAMPLE = "urn:air:sdxl:lora:civitai:300001@400001"


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
FileName = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_relative)]


class Hashes(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid")

    AutoV1: Word | None = None
    AutoV2: Word | None = None
    AutoV3: Word | None = None
    SHA256: Word | None = None
    CRC32: Word | None = None
    BLAKE3: Word | None = None


class Fee(RequestModel):
    """A price that the maker of a model asks for its use. It is stored and returned; nothing is charged."""

    amount: Real = Field(ge=0, le=1e9, allow_inf_nan=False)
    type: Annotated[str, one_of(("perImageBuzz",))] = "perImageBuzz"
    settlement_currency: Annotated[str, one_of(("buzz", "cash"))] | None = None
    recipient_model_version_id: Whole | None = Field(None, ge=0, le=2**53)


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
    base_model: Word | None = Field(
        None, description="The base model as Civitai names it, such as SDXL 1.0, Pony or Flux.1 D."
    )
    invalidate_at: Word | None = None
    early_access_ends_at: Word | None = None
    free_trial_limit: Whole | None = Field(None, ge=0, le=2**53)
    fee: Fee | None = None
    fees: list[Fee] | None = Field(None, max_length=20)
    payout_enabled: bool | None = None
    user_id: Whole | None = Field(None, ge=0, le=2**53)


READ_ONLY = ("path", "availability", "createdAt", "updatedAt")
"""Fields of an answer that are made here. They are accepted, so that an answer can be sent back, and ignored.
"""


class ResourceBody(ResourceFields):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"air": EXAMPLE, "modelName": "Ink lines", "versionName": "1.0", "tags": ["ink"]}]
        }
    )

    air: str = Field(max_length=512, description="`urn:air:{ecosystem}:{type}:{source}:{id}@{version}`")

    @model_validator(mode="before")
    @classmethod
    def _without_read_only(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in cast("dict[str, Any]", given).items() if name not in READ_ONLY}


RESOURCE_FIELDS = frozenset(each.alias or name for name, each in ResourceBody.model_fields.items())
"""The names of the fields of a resource, as bodies spell them."""


class ResourceChange(ResourceFields):
    """A change of a resource; null puts a field back to its default."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tags": ["ink", "lines"]}]})

    air: immutable("cannot be changed; register the model under its new AIR instead") = None  # pyright: ignore[reportInvalidTypeForm]


class AvailableModel(ResponseModel):
    status: Literal["available"]
    workers: int = Field(description="Number of nodes that have the model and take jobs.")


class LoadingModel(ResponseModel):
    """A node loads the model for a job, and none has it loaded."""

    status: Literal["loading"]
    progress: float = Field(
        description="Estimated, 0 to 1; 0 where the node does not tell how long a load takes."
    )
    workers: int
    started_at: datetime | None = None
    last_progress_at: datetime | None = None
    eta_seconds: float | None = Field(None, description="Absent where it cannot be estimated.")


class UnavailableModel(ResponseModel):
    """No node that takes jobs has the model."""

    status: Literal["unavailable"]
    queue_position: int | None = None


class UnsupportedModel(ResponseModel):
    """No node can render with models of this family."""

    status: Literal["unsupported"]


Availability = Annotated[
    AvailableModel | LoadingModel | UnavailableModel | UnsupportedModel, Field(discriminator="status")
]


class ResourceInfo(ResponseModel):
    """A resource as Civitai answers it, with our additional fields."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "air": EXAMPLE,
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
                    "availability": {"status": "available", "workers": 1},
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
    base_model: str | None = None
    invalidate_at: str | None = None
    early_access_ends_at: str | None = None
    free_trial_limit: int | None = None
    fee: Fee | None = None
    fees: list[Fee] | None = None
    payout_enabled: bool | None = None
    user_id: int | None = None
    availability: Availability | None = Field(
        None, description="The state on the nodes; only in answers about one model and in the queue."
    )
    created_at: datetime | None
    updated_at: datetime | None


class ResourceQueue(ResponseModel):
    """The models that nodes load now."""

    next: str | None = Field(description="The cursor of the next page; null on the last one.")
    items: list[ResourceInfo]


class ResourcePage(ResponseModel):
    page: int
    limit: int
    total: int
    items: list[ResourceInfo]


_OPTIONAL = (
    "baseModel",
    "invalidateAt",
    "earlyAccessEndsAt",
    "freeTrialLimit",
    "fee",
    "fees",
    "payoutEnabled",
    "userId",
)
"""Fields that an answer has only if they were given."""


def resource_info(resource: Resource, availability: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the `ResourceInfo` of a resource."""
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
        # Nodes on Windows list names with backslashes; both kinds of slashes mean the same file.
        "fileName": file_name.replace("\\", "/") if (file_name := body.get("fileName")) else None,
        "path": resource.path,
        "hasMatureContentRestriction": body.get("hasMatureContentRestriction", False),
        "hasNSFWContentRestriction": body.get("hasNSFWContentRestriction", False),
        "nsfw": body.get("nsfw", False),
        "allowCommercialUse": body.get("allowCommercialUse"),
        "tags": body.get("tags", []),
        "trainedWords": body.get("trainedWords", []),
        "publishedAt": body.get("publishedAt"),
        **{name: body[name] for name in _OPTIONAL if name in body},
        **({"availability": availability} if availability else {}),
        "createdAt": to_datetime(resource.created_at).isoformat() if resource.created_at else None,
        "updatedAt": to_datetime(resource.updated_at).isoformat() if resource.updated_at else None,
    }


_TIMES = {"createdAt": None, "updatedAt": None}


def is_changed(there: Resource, given: Resource) -> bool:
    """Whether a resource says something else than the registered one; a default and its absence are equal."""
    return resource_info(there) | _TIMES != resource_info(given) | _TIMES


def parsed_resource(body: ResourceBody) -> Resource:
    """Return the resource of a body. Raises `InvalidInput` for an AIR that is not a whole one."""
    try:
        air = parse(body.air)
    except InvalidAir as error:
        raise InvalidInput.at("air", str(error)) from error
    if not air.version and air.source.lower() == "civitai":
        raise InvalidInput.at("air", f"{body.air} names no version; write {air}@<version>")
    if not air.type or not air.ecosystem:
        lacks = "type" if air.ecosystem else "ecosystem" if air.type else "ecosystem and no type"
        raise InvalidInput.at("air", f"{body.air} names no {lacks}; write the whole AIR, such as {EXAMPLE}")
    check_type(air, body.type)
    fields = body.model_dump(by_alias=True, exclude_none=True, mode="json", exclude={"air"})
    return Resource(air, fields)


def check_type(air: AirName, given: str | None) -> None:
    """Raise `InvalidInput` for a type that contradicts the AIR."""
    if given is not None and air.type is not None and not _means(type_of_word(given), air.type):
        raise InvalidInput.at("type", f"is {given!r}, but the AIR is of a {air.type}; leave the type out")


def _means(word: str, type_: str) -> bool:
    """Whether a word for a type may stand for the type of an AIR."""
    return word == type_ or {word, type_} <= CHECKPOINT_TYPES
