"""The recipe ``video``: one video from a prompt, or from a prompt and its first frame."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain import images
from imagemill.domain.air import Resource, parse
from imagemill.domain.clock import random_below
from imagemill.domain.credits import Rate
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.domain.images import MAX_SEED, ImageSpec, Network, VideoLength
from imagemill.domain.moderation import PromptTexts
from imagemill.graphs.builder import refusals
from imagemill.graphs.families.rows import VideoRow
from imagemill.graphs.families.table import Families, FamilyMatch, built_in, load_families
from imagemill.graphs.family_graph import LORA_TYPES
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.recipes.family_defaults import row_of, sampling_defaults

if TYPE_CHECKING:
    from imagemill.config import Settings

_BY_FAMILY = "When absent, what suits the model's family; see docs/model-families.md."
_RATE = Rate(megapixel_step=1 / (0.64 * 0.64 * 20))
"""The price of pictures, for each latent frame; see `imagemill.graphs.size.FRAMES_A_LATENT`."""


class VideoLora(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    air: str = Field(min_length=1, description="AIR or file name of the LoRA.")
    strength: float = Field(1.0, ge=-10, le=10, allow_inf_nan=False)
    path: str | None = Field(None, description="The LoRA's file on a node; set when the job is accepted.")


class VideoInput(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    model: str = Field(
        min_length=1, description="The model's AIR, or the name of its file on the nodes: a family of videos."
    )
    model_path: str | None = Field(
        None, description="The model's file on a node; set when the job is accepted."
    )
    family: str | None = Field(
        None, max_length=64, description="The model's family; needed only where nothing tells it."
    )
    variant: str | None = Field(
        None, max_length=64, description="The variant of the family; set when the job is accepted."
    )
    prompt: str = ""
    negative_prompt: str = ""
    image: str | None = Field(
        None, description="The first frame, scaled and cropped to the size: data URL or URL."
    )
    width: int = Field(768, ge=64, le=2048, multiple_of=2, description=f"Width in pixels. {_BY_FAMILY}")
    height: int = Field(512, ge=64, le=2048, multiple_of=2, description=f"Height in pixels. {_BY_FAMILY}")
    length: int = Field(97, ge=1, le=2000, description=f"Number of frames. {_BY_FAMILY}")
    fps: float = Field(25.0, ge=1, le=60, allow_inf_nan=False, description=f"Frames per second. {_BY_FAMILY}")
    steps: int = Field(30, ge=1, le=150, description=_BY_FAMILY)
    cfg_scale: float = Field(5.0, ge=0, le=30, allow_inf_nan=False, description=_BY_FAMILY)
    sampler: str = Field(
        "euler",
        pattern=f"^({'|'.join(images.COMFY_SAMPLERS)})$",
        description=f"ComfyUI's sampler. {_BY_FAMILY}",
    )
    scheduler: str = Field(
        "simple",
        pattern=f"^({'|'.join(images.COMFY_SCHEDULES)})$",
        description=f"ComfyUI's scheduler. {_BY_FAMILY}",
    )
    seed: int | None = Field(
        None, ge=-1, le=MAX_SEED, description="Seed; -1 or absent draws one when the job is accepted."
    )
    loras: list[VideoLora] = Field(default=[], max_length=16)


def complete(
    input_: VideoInput, resolver: ResourceResolver, path: str, families: Families | None = None
) -> VideoInput:
    """Return the input with models resolved, and with defaults by the model's family.

    Without ``families``, the package's own rows are used.
    """
    model = resolver.resource(f"{path}model", input_.model, kind="checkpoint")
    row = _row(input_, model, families or built_in(), path)
    if input_.image == "":
        raise InvalidInput.at(f"{path}image", "is empty; leave it out, or name one")
    loras = [resolver.resource(f"{path}loras[{i}].air", each.air) for i, each in enumerate(input_.loras)]
    drawn = input_.seed is None or input_.seed < 0
    completed = input_.model_copy(
        update={
            **_defaults(input_, row, loras),
            "model": str(model.air),
            "model_path": model.path,
            "family": row.family.name,
            "variant": row.variant_name,
            "image": resolver.picture(f"{path}image", input_.image) if input_.image else None,
            "loras": [
                each.model_copy(update={"air": str(found.air), "path": found.path})
                for each, found in zip(input_.loras, loras, strict=True)
            ],
            "seed": random_below(MAX_SEED + 1) if drawn else input_.seed,
        }
    )
    errors = [*_errors(completed, row), *refusals(video_spec(completed), row)]
    if errors:
        raise InvalidInput([FieldError(f"{path}{name}", message) for name, message in errors])
    return completed


def _row(input_: VideoInput, model: Resource, families: Families, path: str) -> FamilyMatch:
    """Return the row of the model's family. Raises `InvalidInput` for one that makes no videos."""
    stated = (input_.family or "").lower()
    row = (
        families.find(stated, model.path, variant=input_.variant or "") if stated else row_of(families, model)
    )
    if row is None or row.family.kind != "video":
        names = ", ".join(families.names("video"))
        field = "family" if stated else "model"
        wanted = row.title if row is not None else stated or model.family or "an unknown family"
        raise InvalidInput.at(f"{path}{field}", f"is {wanted}, and the families of videos are {names}")
    return row


def _defaults(input_: VideoInput, row: FamilyMatch, loras: Sequence[Resource]) -> dict[str, Any]:
    variant = row.variant
    usual: dict[str, Any] = {"width": variant.size.width, "height": variant.size.height}
    if variant.video is not None:
        usual |= {"length": variant.video.length, "fps": variant.video.fps}
    usual |= sampling_defaults(variant, loras)
    return {name: value for name, value in usual.items() if name not in input_.model_fields_set}


def _errors(input_: VideoInput, row: FamilyMatch) -> Iterator[tuple[str, str]]:
    """(field, error) of each value that the model cannot have."""
    video = row.variant.video
    if video is not None and input_.length > video.max_length:
        yield "length", f"is {input_.length}; {row.title} makes at most {video.max_length} frames"
    elif video is not None and input_.length != _possible_length(input_.length, video):
        near = _possible_length(input_.length, video)
        yield "length", f"should be a multiple of {video.length_step}, plus 1, such as {near}"


def _possible_length(length: int, video: VideoRow) -> int:
    return max(0, round((length - 1) / video.length_step)) * video.length_step + 1


def plan(input_: VideoInput) -> Plan:
    spec = video_spec(input_)
    return Plan(
        work=spec,
        outputs=2,
        size=(input_.width, input_.height),
        inputs={"image": input_.image} if input_.image else {},
    )


def video_spec(input_: VideoInput) -> ImageSpec:
    """Return the render specification of a complete input."""
    air = parse(input_.model)
    loras = (Network(each.air, LORA_TYPES[0], each.strength, None, each.path) for each in input_.loras)
    return ImageSpec(
        prompt=input_.prompt,
        negative_prompt=input_.negative_prompt,
        model=input_.model,
        model_path=input_.model_path or air.path,
        family=input_.family or air.family,
        variant=input_.variant or "",
        width=input_.width,
        height=input_.height,
        steps=input_.steps,
        cfg_scale=input_.cfg_scale,
        sampler=input_.sampler,
        scheduler=input_.scheduler,
        seed=input_.seed or 0,
        networks=tuple(loras),
        image="image" if input_.image else None,
        video=VideoLength(input_.length, input_.fps),
    )


def get_texts(input_: VideoInput) -> PromptTexts:
    return PromptTexts(input_.prompt, input_.negative_prompt)


def replace_texts(input_: VideoInput, texts: PromptTexts) -> VideoInput:
    return input_.model_copy(update={"prompt": texts.prompt, "negative_prompt": texts.negative})


def build_recipe(settings: "Settings") -> Recipe:
    """Return the recipe with the table of model families of the data folder."""
    return Recipe(
        name="video",
        input=VideoInput,
        complete=partial(complete, families=load_families(settings.data_dir)),
        plan=plan,
        model=lambda input_: input_.model.lower(),
        rate=_RATE,
        get_texts=get_texts,
        replace_texts=replace_texts,
        prompt_field="prompt",
        summary="A video from a prompt, or from a prompt and its first frame, and a picture of that frame.",
        example={
            "model": "urn:air:ltxv:checkpoint:file:ltx-video-2b-v0.9.5.safetensors",
            "prompt": "a fox runs",
        },
    )
