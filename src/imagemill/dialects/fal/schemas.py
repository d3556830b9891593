"""The input of fal's apps. Other fields of fal's apps are ignored."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from imagemill.dialects.fal.settings import SIZES
from imagemill.domain.images import MAX_SEED
from imagemill.web.body_fields import Real, Whole

LEAST_SIDE, LARGEST_SIDE, GRID = 64, 2048, 8
"""In pixels. fal accepts more, but no checkpoint renders it well and few GPUs have the memory for it."""
Side = Annotated[Whole, Field(ge=LEAST_SIDE, le=LARGEST_SIDE, multiple_of=GRID)]


class Size(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)

    width: Side = 512
    height: Side = 512


def _named(value: Any) -> Any:
    if isinstance(value, str):
        if value not in SIZES:
            raise ValueError(f"should be one of {', '.join(SIZES)}, or {{width, height}}")
        width, height = SIZES[value]
        return {"width": width, "height": height}
    return value


_SIDE_SCHEMA = {"type": "integer", "minimum": LEAST_SIDE, "maximum": LARGEST_SIDE, "multipleOf": GRID}
_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "string", "enum": list(SIZES)},
        {"type": "object", "properties": {"width": _SIDE_SCHEMA, "height": _SIDE_SCHEMA}},
    ]
}
ImageSize = Annotated[Size, BeforeValidator(_named), WithJsonSchema(_SIZE_SCHEMA)]


class FalLora(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)

    path: str = Field(min_length=1, description="The LoRA's AIR; files from elsewhere are not fetched.")
    scale: Real = Field(1.0, ge=-10, le=10, allow_inf_nan=False)


class FalInput(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True, defer_build=True)

    prompt: str
    negative_prompt: str = ""
    image_size: ImageSize | None = None
    num_inference_steps: Whole | None = Field(None, ge=1, le=50)
    seed: Whole | None = Field(None, ge=0, le=MAX_SEED)
    guidance_scale: Real | None = Field(None, ge=0, le=20, allow_inf_nan=False)
    num_images: Whole = Field(1, ge=1, le=4)
    enable_safety_checker: bool = True
    output_format: Literal["jpeg", "png"] = Field(
        "jpeg", validation_alias=AliasChoices("output_format", "format")
    )
    sync_mode: bool = Field(False, description="Whether the answer has the pictures as data URLs.")
    image_url: str | None = Field(
        None, min_length=1, description="For image-to-image: http(s) URL or data URL."
    )
    strength: Real | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    loras: list[FalLora] = Field(default=[], max_length=16)
