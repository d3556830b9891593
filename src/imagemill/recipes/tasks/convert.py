"""The recipe ``convertImage``: resize a picture, blur regions of it, encode it in another format."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.credits import Rate
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.domain.images import TaskSpec
from imagemill.media.conversion import MOST_FRAMES
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.recipes.tasks.simple import EXAMPLE_PICTURE, IMAGE, no_model
from imagemill.recipes.unions import branch, told_by

MOST_STEPS = 16
MOST_REGIONS = 100
LARGEST_SIDE = 16_384
"""Largest coordinate of a region: no picture is larger."""
_Coordinate = Annotated[float, Field(ge=0, le=LARGEST_SIDE, allow_inf_nan=False)]


class ResizeInput(BaseModel):
    """Scale to a width; the height follows."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    type: Literal["resize"]
    width: int | None = Field(
        None, ge=1, le=4096, description="Width in pixels; absent: the size stays as it is."
    )


class BlurRegion(BaseModel):
    """A rectangle in pixels, from its upper left corner to its lower right one."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    x1: _Coordinate
    y1: _Coordinate
    x2: _Coordinate
    y2: _Coordinate


class BlurInput(BaseModel):
    """Blur the regions (`include`), or all but the regions (`exclude`); without regions, all of it."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    type: Literal["blur"]
    blur: int = Field(ge=1, le=100, description="Radius of the blur in pixels.")
    mode: Literal["include", "exclude"] = "include"
    regions: list[BlurRegion] = Field(
        default=[],
        max_length=MOST_REGIONS,
        description="Rectangles in pixels of the picture at this step.",
    )


_Transform = Annotated[
    Annotated[ResizeInput, branch("resize")] | Annotated[BlurInput, branch("blur")],
    told_by("type", "resize", "blur"),
]


class ConvertImage(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    image: str = Field(min_length=1, description=IMAGE)
    transforms: list[_Transform] = Field(
        default=[], max_length=MOST_STEPS, description="What is done to the picture, in this order."
    )
    format: Literal["jpeg", "png", "webp", "gif"] = "png"
    quality: int = Field(85, ge=1, le=100, description="Quality of JPEG and lossy WebP.")
    lossless: bool = Field(False, description="Encode WebP without loss.")
    max_frames: int | None = Field(
        None, ge=1, le=MOST_FRAMES, description="Frames of an animation that WebP and GIF keep; absent: all."
    )
    hide_metadata: bool = Field(False, description="Leave out the prompt and all other metadata.")


def complete(input_: ConvertImage, resolver: ResourceResolver, path: str) -> ConvertImage:
    if errors := [FieldError(f"{path}{name}", message) for name, message in _faults(input_)]:
        raise InvalidInput(errors)
    return input_.model_copy(update={"image": resolver.picture(f"{path}image", input_.image)})


def _faults(input_: ConvertImage) -> list[tuple[str, str]]:
    """(field, error) of each value that would have no effect."""
    given = input_.model_fields_set
    found: list[tuple[str, str]] = []
    if "quality" in given and input_.format not in ("jpeg", "webp"):
        found.append(("quality", f"is for jpeg and webp; {input_.format} has no quality"))
    if input_.lossless and input_.format != "webp":
        found.append(("lossless", "is for webp only"))
    if "max_frames" in given and input_.format not in ("webp", "gif"):
        found.append(("max_frames", f"is for webp and gif; {input_.format} has one frame"))
    for index, step in enumerate(input_.transforms):
        for number, region in enumerate(step.regions if isinstance(step, BlurInput) else ()):
            if region.x1 >= region.x2 or region.y1 >= region.y2:
                where = f"transforms[{index}].regions[{number}]"
                found.append((where, "is empty: x1 must be below x2, and y1 below y2"))
    return found


def plan(input_: ConvertImage) -> Plan:
    arguments: dict[str, Any] = {
        "steps": [_step(each) for each in input_.transforms if getattr(each, "width", 0) is not None],
        "format": input_.format,
        "quality": input_.quality,
        "lossless": input_.lossless,
        "most_frames": input_.max_frames or MOST_FRAMES,
        "hide_metadata": input_.hide_metadata,
    }
    return Plan(TaskSpec("convertImage", arguments), outputs=1, inputs={"image": input_.image})


def _step(step: ResizeInput | BlurInput) -> dict[str, Any]:
    if isinstance(step, ResizeInput):
        return {"width": step.width}
    regions = [region.model_dump() for region in step.regions]
    return {"radius": step.blur, "outside": step.mode == "exclude", "regions": regions}


RECIPE = Recipe(
    name="convertImage",
    input=ConvertImage,
    complete=complete,
    plan=plan,
    model=no_model,
    rate=Rate(base=1.0),
    summary="A picture resized, blurred in regions, and encoded as JPEG, PNG, WebP or GIF.",
    example={
        "image": EXAMPLE_PICTURE,
        "transforms": [{"type": "resize", "width": 512}],
        "format": "webp",
    },
)
