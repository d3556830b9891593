"""The requests of v2. Fields that are not declared are refused; a null counts as absent."""

import re
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from imagemill.dialects.civitai_times import parse_time_span
from imagemill.domain.scheduling import NAMED_PRIORITIES
from imagemill.web.body_fields import Real, Whole, one_of

MOST_TAGS = 10
MOST_STEPS = 500
MOST_CALLBACKS = 10
_LONGEST_NAME = 100
_LONGEST_S = 86_400
"""One day in seconds: the longest timeout of a step."""
_NAME = re.compile(r"[^\x00-\x1f\x7f]+")

CURRENCIES = ("yellow", "blue", "green", "fakeRed")
NSFW_LEVELS = ("pg", "pg13", "r", "x", "xxx", "na")
SCOPES = ("workflow", "step", "job")
REPORTED = ("*", "unassigned", "processing", "succeeded", "failed", "expired", "canceled")
SUBSCRIPTIONS = tuple(f"{scope}:{status}" for scope in SCOPES for status in REPORTED)


def _without_nulls(value: Any) -> Any:
    """Drop the fields that are null, so that they have their defaults."""
    if not isinstance(value, dict):
        return value
    return {name: each for name, each in cast("dict[str, Any]", value).items() if each is not None}


class TemplateModel(BaseModel):
    """A request's object: names in camel case, no other fields, nulls count as absent."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=True, defer_build=True
    )

    _nulls = model_validator(mode="before")(_without_nulls)


def _seconds(value: Any) -> Any:
    seconds = parse_time_span(value) if isinstance(value, str) else None
    if seconds is None or not 0 < seconds <= _LONGEST_S:
        raise ValueError("should be a time span of up to a day, such as 00:10:00")
    return seconds


def _is_name(text: str) -> str:
    if not _NAME.fullmatch(text) or text == "$arguments":
        raise ValueError(f"should be a name of up to {_LONGEST_NAME} printable characters")
    return text


Tag = Annotated[str, Field(min_length=1, max_length=200)]


def _unique(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


Tags = Annotated[list[Tag], Field(max_length=MOST_TAGS), AfterValidator(_unique)]
Metadata = dict[str, Any]


class StepTemplate(TemplateModel):
    type: str = Field(alias="$type", max_length=64)
    name: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME), AfterValidator(_is_name)] | None = (
        None
    )
    priority: Annotated[str, one_of(tuple(NAMED_PRIORITIES))] = "normal"
    timeout: Annotated[float, BeforeValidator(_seconds)] | None = None
    retries: Whole | None = Field(None, ge=0, le=99)
    metadata: Metadata = {}
    input: Any = None


class Callback(TemplateModel):
    url: str = Field(min_length=1, max_length=2000)
    type: list[Annotated[str, one_of(SUBSCRIPTIONS)]] = Field(min_length=1, max_length=len(SUBSCRIPTIONS))
    detailed: bool = False


class Tips(TemplateModel):
    civitai: Real = Field(0, ge=0, le=2)
    creators: Real = Field(0, ge=0, le=2)


class WorkflowTemplate(TemplateModel):
    steps: list[StepTemplate] = Field(min_length=1, max_length=MOST_STEPS)
    metadata: Metadata = {}
    tags: Tags = []
    callbacks: list[Callback] = Field([], max_length=MOST_CALLBACKS)
    tips: Tips = Tips(civitai=0, creators=0)
    arguments: Metadata = {}
    nsfw_level: Annotated[str, one_of(NSFW_LEVELS)] | None = None
    experimental: bool | None = None
    allow_mature_content: bool | None = None
    upgrade_mode: Annotated[str, one_of(("manual", "automatic"))] = "manual"
    currencies: list[Annotated[str, one_of(CURRENCIES)]] = Field([], max_length=len(CURRENCIES))
    ephemeral: bool = False
    external_id: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,128}$")] | None = None


class WorkflowUpdate(TemplateModel):
    """A change of a workflow: fields that are absent stay as they are."""

    status: Annotated[Literal["canceled"], one_of(("canceled",))] | None = None
    metadata: Metadata | None = None
    tags: Tags | None = None
    allow_mature_content: bool | None = None


class StepUpdate(TemplateModel):
    metadata: Metadata | None = None


class PatchOperation(TemplateModel):
    """One operation of a JSON Patch (RFC 6902)."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, defer_build=True)

    op: Annotated[str, one_of(("add", "remove", "replace", "move", "copy", "test"))]
    path: str = Field(max_length=1000)
    value: Any = None
    from_: str | None = Field(None, alias="from", max_length=1000)

    # A null is a value here.
    @model_validator(mode="before")
    @classmethod
    def _nulls(cls, value: Any) -> Any:
        return value
