"""The requests of v1. Unknown fields are refused inside ``params``, where they are typos, and answered with a
warning at the top level, where older clients have sent other fields. A null counts as absent."""

import math
from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import AliasGenerator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from imagemill.dialects.civitai_times import parse_time_span
from imagemill.domain import images
from imagemill.domain.scheduling import NAMED_PRIORITIES, PRIORITY_BOUND
from imagemill.web.body_fields import Real, Whole, one_of, suggestion

NETWORK_TYPES = {
    "Lora": "lora",
    "Hypernetwork": "hypernet",
    "Hypernet": "hypernet",
    "TextualInversion": "embedding",
    "Embedding": "embedding",
    "Lycoris": "lycoris",
    "Checkpoint": "checkpoint",
    "Vae": "vae",
    "LoCon": "lycoris",
    "ControlNet": "controlnet",
    "DoRA": "dora",
}
"""The names of v1 and our own, which are those of an AIR."""
ADAPTERS = {"lora", "lycoris", "dora"}
"""Types that nodes load in the same way, so that clients mix them up without harm."""
PROVIDERS = (
    "Civitai",
    "OctoML",
    "SaladML",
    "PicFinder",
    "RunPods",
    "ValdiAI",
    "OctoMLNext",
    "RunDiffusion",
    "SaladShared",
)
PREPROCESSORS = ("Canny", "DepthZoe", "SoftedgePidinet", "Rembg")

_LONGEST_S = 86_400
"""One day in seconds: the longest timeout of a job."""


def _scheduler(value: Any) -> Any:
    row = images.find(value) if isinstance(value, str) else None
    if row is None:
        names = [sampler.v1 for sampler in images.SAMPLERS]
        raise ValueError(f"is {str(value)[:40]!r}, which is not a scheduler{suggestion(str(value), names)}")
    return row.v1


def _priority(value: Any) -> Any:
    given: Any = value
    if isinstance(given, dict):
        fields = cast("dict[str, Any]", given)
        given = next((fields[name] for name in ("value", "min", "max") if name in fields), None)
    if isinstance(given, str):
        given = cast("Any", NAMED_PRIORITIES.get(given.strip().lower(), given))
    try:
        number = math.nan if isinstance(given, bool) else float(given)
    except OverflowError:
        number = math.inf if given > 0 else -math.inf
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ValueError("should be High, Normal, Low, a number, {value} or {min, max}")
    # One more than the bound, so that the answer can say what was cut.
    return round(max(-PRIORITY_BOUND - 1, min(PRIORITY_BOUND + 1, number)))


def _absent_if_null(value: Any) -> Any:
    """Drop the fields that are null, so that they have their defaults."""
    if not isinstance(value, dict):
        return value
    return {name: each for name, each in cast("dict[str, Any]", value).items() if each is not None}


def _timespan(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return min(value, _LONGEST_S + 1)
    seconds = parse_time_span(value) if isinstance(value, str) else None
    if seconds is None:
        raise ValueError("should be a time span such as 00:10:00, or a number of seconds")
    return seconds


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        alias_generator=AliasGenerator(alias=to_camel),
        populate_by_name=True,
        defer_build=True,
    )

    _nulls = model_validator(mode="before")(_absent_if_null)


class Params(_Strict):
    prompt: str = ""
    negative_prompt: str | None = None
    scheduler: Annotated[str, BeforeValidator(_scheduler)] | None = None
    steps: Whole | None = Field(None, ge=1, le=150)
    cfg_scale: Real | None = Field(None, ge=1, le=30, allow_inf_nan=False)
    width: Whole | None = Field(None, ge=64, le=2048)
    height: Whole | None = Field(None, ge=64, le=2048)
    seed: Whole | None = Field(None, ge=-1, le=4_294_967_295)
    clip_skip: Whole | None = Field(None, ge=0, le=12)


class NetworkParams(_Strict):
    id: str | None = Field(None, description="The AIR, if the key is the client's own label.")
    type: Annotated[str, one_of(tuple(NETWORK_TYPES))] | None = None
    strength: Real | None = Field(None, ge=-10, le=10, allow_inf_nan=False)
    trigger_word: str | None = None


class ControlNet(_Strict):
    preprocessor: Annotated[str, one_of(PREPROCESSORS)]
    weight: Real = Field(ge=0, le=10, allow_inf_nan=False)
    start_step: Real = Field(ge=0, allow_inf_nan=False)
    end_step: Real = Field(ge=0, allow_inf_nan=False)
    blob_key: str | None = None
    image_url: str | None = None


class Template(BaseModel):
    """The fields of every job template."""

    model_config = ConfigDict(
        extra="allow", alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True, defer_build=True
    )

    _nulls = model_validator(mode="before")(_absent_if_null)

    type: str = Field(alias="$type")
    name: str | None = Field(None, max_length=200)
    priority: Annotated[int, BeforeValidator(_priority)] | None = None
    providers: list[str] | None = Field(None, max_length=100)
    expire_at: datetime | None = None
    properties: dict[str, Any] | None = Field(None, max_length=50)
    callback_url: str | None = None
    timeout: Annotated[float, BeforeValidator(_timespan), Field(gt=0, le=_LONGEST_S)] | None = None
    retries: Whole | None = Field(None, ge=0, le=50)
    dependencies: list[str] | None = Field(None, max_length=100)


class TextToImageTemplate(Template):
    type: Literal["textToImage"] = Field(alias="$type")  # pyright: ignore[reportIncompatibleVariableOverride]
    model: str = Field(description="The checkpoint's AIR or @civitai/{version}.")
    base_model: str | None = None
    quantity: Whole = Field(1, ge=1, le=100)
    batch_size: Whole = Field(1, ge=1, le=100)
    params: Params = Field(default_factory=lambda: Params.model_validate({}))
    additional_networks: dict[str, NetworkParams] | None = Field(None, max_length=64)
    control_nets: list[ControlNet] | None = Field(None, max_length=16)


class ComfyParams(BaseModel):
    model_config = ConfigDict(extra="allow", defer_build=True)

    workflow: dict[str, Any] | None = None
    seed: Whole | None = Field(None, ge=-1)


class ComfyTemplate(Template):
    type: Literal["comfy"] = Field(alias="$type")  # pyright: ignore[reportIncompatibleVariableOverride]
    quantity: Whole = Field(1, ge=1, le=100)
    params: ComfyParams


TEMPLATES: dict[str, type[Template]] = {"textToImage": TextToImageTemplate, "comfy": ComfyTemplate}
TYPE_NAMES = {"texttoimage": "textToImage", "texttoimagev2": "textToImage", "comfy": "comfy"}
"""``$type`` in small letters without underscores -> the name of ours."""
ALL_FIELDS = {
    kind: [field.alias or name for name, field in model.model_fields.items()]
    for kind, model in TEMPLATES.items()
}
"""``$type`` -> the fields of its template, as clients write them."""


class Taint(BaseModel):
    """The body of ``PUT``: the reason why the outputs of jobs should not be trusted."""

    reason: str | None = Field(None, max_length=1000)
    context: dict[str, Any] | None = None
    properties: dict[str, Any] | None = Field(None, max_length=50)


class Query(BaseModel):
    model_config = ConfigDict(
        alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True, defer_build=True
    )

    cursor: str | None = Field(None, max_length=64)
    job_type: str | None = Field(None, max_length=64)
    properties: dict[str, Any] | None = Field(None, max_length=10)
