"""The recipes ``imageUpscaler`` and ``imageBackgroundRemoval``."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.air import Resource
from imagemill.domain.credits import Rate
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import GraphSpec, TaskSpec
from imagemill.graphs.picture_graphs import build_background_removal, build_upscaler
from imagemill.media.postprocess import ConvertFormat
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.recipes.tasks.simple import EXAMPLE_PICTURE, IMAGE, no_model

if TYPE_CHECKING:
    from imagemill.settings import SettingsGroup

DEFAULT_UPSCALER = "urn:air:other:upscaler:civitai:147759@164821"
_PUBLISHED_AS = "remacri_original.safetensors"
"""The file of the default upscaler, as it is published."""
REMOVAL_MODEL = "birefnet.safetensors"
"""File in a node's folder background_removal, as ComfyUI's own workflows name it."""


class ImageUpscaler(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    image: str = Field(min_length=1, description=IMAGE)
    model: str = Field(DEFAULT_UPSCALER, min_length=1, description="The upscaler: AIR or file name.")
    model_path: str | None = Field(None, description="The upscaler's file; set when the job is accepted.")
    repeats: int = Field(1, ge=1, le=3, description="How many times the picture is enlarged.")


def _complete_upscaler(input_: ImageUpscaler, resolver: ResourceResolver, path: str) -> ImageUpscaler:
    model = _upscaler(f"{path}model", input_.model, resolver)
    if model.air.type not in (None, "upscaler", "model", "other", "unknown"):
        raise InvalidInput.at(f"{path}model", f"is of the type {model.air.type}, not an upscaler")
    image = resolver.picture(f"{path}image", input_.image)
    return input_.model_copy(update={"model": str(model.air), "model_path": model.path, "image": image})


def _upscaler(path: str, model: str, resolver: ResourceResolver) -> Resource:
    """Return the upscaler; the default one by its file, where it is not registered."""
    try:
        return resolver.resource(path, model, kind="upscaler")
    except InvalidInput:
        if model != DEFAULT_UPSCALER:
            raise
        return resolver.resource(path, _PUBLISHED_AS, kind="upscaler")


def _plan_upscaler(input_: ImageUpscaler) -> Plan:
    graph = build_upscaler(input_.model_path or input_.model, input_.repeats, "{image}")
    return Plan(GraphSpec(graph), outputs=1, inputs={"image": input_.image})


IMAGE_UPSCALER = Recipe(
    name="imageUpscaler",
    input=ImageUpscaler,
    complete=_complete_upscaler,
    plan=_plan_upscaler,
    model=no_model,
    rate=Rate(base=2.0),
    rates={f"imageUpscaler{repeats}": Rate(base=2.0**repeats) for repeats in (2, 3)},
    rate_of=lambda input_: "" if input_.repeats == 1 else f"imageUpscaler{input_.repeats}",
    prompt_field="image",
    work_field="model",
    summary="A picture enlarged by an upscaler model on a node.",
    example={"image": EXAMPLE_PICTURE, "model": DEFAULT_UPSCALER},
)


class ImageBackgroundRemoval(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    image: str = Field(min_length=1, description=IMAGE)
    format: Literal["png", "webp"] = "png"
    background: str | None = Field(
        None,
        pattern="^#[0-9a-fA-F]{6}$",
        description="The colour of a flat background, such as #00ff00, which is then removed by its colour; "
        "absent: a model finds the subject.",
    )


def _complete_removal(
    input_: ImageBackgroundRemoval, resolver: ResourceResolver, path: str
) -> ImageBackgroundRemoval:
    return input_.model_copy(update={"image": resolver.picture(f"{path}image", input_.image)})


def background_removal(settings: Any) -> Recipe:
    """Return the recipe: by the cut-out model of the settings where there is one, else by a node."""
    characters: SettingsGroup | None = getattr(settings, "characters", None)
    has_model = getattr(characters, "cutout_model", None) is not None

    def plan(input_: ImageBackgroundRemoval) -> Plan:
        inputs = {"image": input_.image}
        if has_model or input_.background is not None:
            arguments = {"format": input_.format, "background": input_.background}
            return Plan(TaskSpec("imageBackgroundRemoval", arguments), outputs=1, inputs=inputs)
        graph = build_background_removal(REMOVAL_MODEL, "{image}")
        transform = None if input_.format == "png" else ConvertFormat(input_.format)
        return Plan(GraphSpec(graph), outputs=1, inputs=inputs, transform=transform)

    return Recipe(
        name="imageBackgroundRemoval",
        input=ImageBackgroundRemoval,
        complete=_complete_removal,
        plan=plan,
        model=no_model,
        rate=Rate(base=1.0),
        prompt_field="image",
        work_field="",
        summary="A picture with a transparent background.",
        example={"image": EXAMPLE_PICTURE, "format": "png"},
    )
