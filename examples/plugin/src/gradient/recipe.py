"""The recipe ``gradient``: a picture that fades from one colour to its opposite."""

from pydantic import BaseModel, ConfigDict, Field

from gradient.backend import QUEUE, STEPS
from imagemill.domain.clock import random_below
from imagemill.domain.credits import Rate
from imagemill.domain.images import ImageSpec
from imagemill.recipes.base import Plan, Recipe, ResourceResolver

_COLOURS = 1 << 24


class GradientInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: int = Field(256, ge=16, le=2048, description="Width in pixels.")
    height: int = Field(256, ge=16, le=2048, description="Height in pixels.")
    colour: int | None = Field(None, ge=0, lt=_COLOURS, description="24 bits of red, green and blue.")


def complete(input_: GradientInput, resolver: ResourceResolver, path: str) -> GradientInput:
    """Draw the colour here, so that each attempt of the job makes the same picture."""
    colour = random_below(_COLOURS) if input_.colour is None else input_.colour
    return input_.model_copy(update={"colour": colour})


def plan(input_: GradientInput) -> Plan:
    work = ImageSpec(
        prompt="",
        negative_prompt="",
        model="",
        model_path="",
        family="",
        width=input_.width,
        height=input_.height,
        steps=STEPS,
        cfg_scale=1.0,
        sampler="",
        scheduler="",
        seed=input_.colour or 0,
    )
    return Plan(work, outputs=1, size=(input_.width, input_.height))


RECIPE = Recipe(
    name="gradient",
    input=GradientInput,
    complete=complete,
    plan=plan,
    model=lambda input_: "",
    rate=Rate(),
    queue=QUEUE,
    summary="A gradient of two colours.",
    example={"width": 64, "height": 64, "colour": 0x3366CC},
)
