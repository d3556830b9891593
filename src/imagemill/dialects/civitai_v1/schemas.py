"""What v1 clients send. Unknown fields are refused inside ``params``, where they are typos, and ignored at
the top level, where clients of other years have sent other things."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AliasGenerator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from imagemill.domain import samplers
from imagemill.domain.scheduling import NAMED_PRIORITIES, PRIORITY_BOUND

_TIMESPAN = re.compile(r"(?:(\d{1,4})\.)?(\d{1,2}):([0-5]?\d):([0-5]?\d)(?:\.(\d{1,7}))?")

NETWORK_TYPES = {
    "lora": "lora",
    "hypernetwork": "hypernet",
    "textualinversion": "embedding",
    "lycoris": "lycoris",
    "checkpoint": "checkpoint",
    "vae": "vae",
    "locon": "lycoris",
    "controlnet": "controlnet",
    "dora": "dora",
}
PROVIDERS = (
    "Civitai OctoML SaladML PicFinder RunPods ValdiAI OctoMLNext RunDiffusion SaladShared"
).split()  # fmt: skip
PREPROCESSORS = ("Canny", "DepthZoe", "SoftedgePidinet", "Rembg")


def _scheduler(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("should be the name of a scheduler, such as EulerA")
    row = samplers.find(value)
    if row is None:
        names = ", ".join(sampler.v1 for sampler in samplers.SAMPLERS)
        raise ValueError(f"is no scheduler; one of {names}")
    return row.v1


def _priority(value: Any) -> Any:
    if isinstance(value, dict):
        inner = value.get("value", value.get("min", value.get("max")))
        value = inner if isinstance(inner, int) else value
    if isinstance(value, str):
        named = NAMED_PRIORITIES.get(value.strip().lower())
        value = named if named is not None else value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError("should be High, Normal, Low, a number, {value} or {min, max}") from None
    if number != number:
        raise ValueError("should be a number")
    return round(max(-PRIORITY_BOUND, min(PRIORITY_BOUND, number)))


def _timespan(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _TIMESPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("should be a time span such as 00:10:00")
    days, hours, minutes, seconds, fraction = match.groups()
    whole = int(days or 0) * 86_400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + (float(f"0.{fraction}") if fraction else 0.0)


def _one_of(names: tuple[str, ...] | list[str]) -> BeforeValidator:
    lowered = {name.lower(): name for name in names}

    def check(value: Any) -> Any:
        found = lowered.get(value.lower()) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f"should be one of {', '.join(names)}")
        return found

    return BeforeValidator(check)


def _network_type(value: Any) -> Any:
    found = NETWORK_TYPES.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("should be Lora, Hypernetwork, TextualInversion, Lycoris, Checkpoint, Vae or LoCon")
    return found


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True
    )


class Params(_Strict):
    prompt: str = ""
    negative_prompt: str | None = None
    scheduler: Annotated[str, BeforeValidator(_scheduler)] | None = None
    steps: int | None = Field(None, ge=1, le=150)
    cfg_scale: float | None = Field(None, ge=1, le=30, allow_inf_nan=False)
    width: int | None = Field(None, ge=64, le=2048)
    height: int | None = Field(None, ge=64, le=2048)
    seed: int | None = Field(None, ge=-1, le=4_294_967_295)
    clip_skip: int | None = Field(None, ge=0, le=12)


class NetworkParams(_Strict):
    id: str | None = Field(None, description="The AIR, where the key is a label of the client's own.")
    type: Annotated[str, BeforeValidator(_network_type)] | None = None
    strength: float | None = Field(None, ge=-10, le=10, allow_inf_nan=False)
    trigger_word: str | None = None


class ControlNet(_Strict):
    preprocessor: Annotated[str, _one_of(PREPROCESSORS)]
    weight: float = Field(ge=0, le=10, allow_inf_nan=False)
    start_step: float = Field(ge=0, allow_inf_nan=False)
    end_step: float = Field(ge=0, allow_inf_nan=False)
    blob_key: str | None = None
    image_url: str | None = None


class Template(BaseModel):
    """The fields of every job template."""

    model_config = ConfigDict(
        extra="ignore", alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True
    )

    type: str = Field(alias="$type")
    name: str | None = Field(None, max_length=200)
    priority: Annotated[int, BeforeValidator(_priority)] | None = None
    providers: list[str] | None = None
    expire_at: datetime | None = None
    properties: dict[str, Any] | None = Field(None, max_length=50)
    callback_url: str | None = None
    timeout: Annotated[float, BeforeValidator(_timespan), Field(gt=0, le=86_400)] | None = None
    retries: int | None = Field(None, ge=0, le=50)
    dependencies: list[str] | None = Field(None, max_length=100)


class TextToImageTemplate(Template):
    type: Literal["textToImage"] = Field(alias="$type")
    model: str = Field(description="The checkpoint's AIR or @civitai/{version}.")
    base_model: str | None = None
    quantity: int = Field(1, ge=1, le=100)
    batch_size: int = Field(1, ge=1, le=100)
    params: Params = Params()
    additional_networks: dict[str, NetworkParams] | None = Field(None, max_length=64)
    control_nets: list[ControlNet] | None = Field(None, max_length=16)


class ComfyParams(BaseModel):
    model_config = ConfigDict(extra="allow")

    workflow: dict[str, Any] | None = None
    seed: int | None = Field(None, ge=-1, le=4_294_967_295)


class ComfyTemplate(Template):
    type: Literal["comfy"] = Field(alias="$type")
    quantity: int = Field(1, ge=1, le=100)
    params: ComfyParams


TEMPLATES: dict[str, type[Template]] = {"textToImage": TextToImageTemplate, "comfy": ComfyTemplate}


class Taint(BaseModel):
    """``PUT``: why the outputs of these jobs should not be trusted."""

    reason: str | None = Field(None, max_length=1000)
    context: dict[str, Any] | None = None
    properties: dict[str, Any] | None = Field(None, max_length=50)


class Query(BaseModel):
    model_config = ConfigDict(alias_generator=AliasGenerator(alias=to_camel), populate_by_name=True)

    cursor: str | None = Field(None, max_length=64)
    job_type: str | None = Field(None, max_length=64)
    properties: dict[str, Any] | None = Field(None, max_length=10)
