"""The recipe ``vendorImage``: a picture by a model of another vendor, made by an endpoint of fal.

Its jobs are made by the step imageGen; the endpoint must be one of the table.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from imagemill.dialects.civitai_v2.vendors import argument_names, endpoints
from imagemill.domain.clock import random_below
from imagemill.domain.credits import Rate
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import MAX_SEED, ImageSpec, RemoteCall
from imagemill.domain.moderation import PromptTexts
from imagemill.graphs.json_access import mapping
from imagemill.media.postprocess import ConvertFormat
from imagemill.recipes.base import Plan, Recipe, ResourceResolver

NAME = "vendorImage"
_ASSUMED_SIDE = 1024
"""Pixels of a side of a picture whose size the endpoint chooses."""


class VendorImage(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid")

    endpoint: str = Field(
        max_length=80, description="The path of fal's endpoint, one of those that are known."
    )
    engine: str = Field("", max_length=64, description="The engine's name; set by the step imageGen.")
    prompt: str
    negative_prompt: str = ""
    arguments: dict[str, Any] = Field(
        default={},
        max_length=30,
        description="The endpoint's own arguments. The text {picture-0} stands for the first picture.",
    )
    pictures: list[str] = Field(
        default=[], max_length=16, description="Reference pictures: data URLs or URLs."
    )
    seed: int | None = Field(None, ge=-1, le=MAX_SEED)
    format: str = Field(
        "", pattern="^(png|jpeg|webp)?$", description="When absent, the format that the endpoint delivers."
    )


def complete(input_: VendorImage, resolver: ResourceResolver, path: str) -> VendorImage:
    vendor = endpoints().get(input_.endpoint)
    if vendor is None:
        raise InvalidInput.at(
            f"{path}endpoint", f"is {input_.endpoint!r}, which is no endpoint that is known"
        )
    known = argument_names(vendor)
    for name in input_.arguments:
        if name not in known:
            raise InvalidInput.at(
                f"{path}arguments.{name[:40]}",
                f"is no argument of {input_.endpoint}; it has {', '.join(sorted(known))}",
            )
    drawn = input_.seed is None or input_.seed < 0
    return input_.model_copy(
        update={
            "engine": vendor.engine,
            "pictures": [
                resolver.picture(f"{path}pictures[{index}]", each)
                for index, each in enumerate(input_.pictures)
            ],
            "seed": random_below(MAX_SEED + 1) if drawn else input_.seed,
        }
    )


def plan(input_: VendorImage) -> Plan:
    width, height = _size(input_)
    names = tuple(f"picture-{index}" for index in range(len(input_.pictures)))
    work = ImageSpec(
        prompt=input_.prompt,
        negative_prompt=input_.negative_prompt,
        model=air_of(input_),
        model_path=input_.endpoint,
        family=input_.engine,
        width=width,
        height=height,
        steps=20,
        cfg_scale=1.0,
        sampler="euler",
        scheduler="normal",
        seed=input_.seed or 0,
        remote=RemoteCall(input_.endpoint, input_.arguments, names, _cost_factor(input_)),
    )
    return Plan(
        work=work,
        outputs=1,
        inputs=dict(zip(names, input_.pictures, strict=True)),
        transform=ConvertFormat(input_.format) if input_.format else None,
    )


def _size(input_: VendorImage) -> tuple[int, int]:
    """Return the size that prices count."""
    size = mapping(input_.arguments.get("image_size"))
    width, height = size.get("width"), size.get("height")
    if type(width) is int and type(height) is int:
        return width, height
    return _ASSUMED_SIDE, _ASSUMED_SIDE


def _cost_factor(input_: VendorImage) -> float:
    vendor = endpoints().get(input_.endpoint)
    resolution = input_.arguments.get("resolution")
    return vendor.factors.get(resolution, 1.0) if vendor and isinstance(resolution, str) else 1.0


def air_of(input_: VendorImage) -> str:
    return f"urn:air:{input_.engine or 'other'}:checkpoint:fal:{input_.endpoint}"


RECIPE = Recipe(
    name=NAME,
    input=VendorImage,
    complete=complete,
    plan=plan,
    model=lambda input_: air_of(input_).lower(),
    rate=Rate(base=4.0),
    get_texts=lambda input_: PromptTexts(input_.prompt, input_.negative_prompt, ""),
    replace_texts=lambda input_, texts: input_.model_copy(
        update={"prompt": texts.prompt, "negative_prompt": texts.negative}
    ),
    prompt_field="prompt",
    summary="A picture by a model of another vendor, made by fal.ai where it is configured with a price.",
)
