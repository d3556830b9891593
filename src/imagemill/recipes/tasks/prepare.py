"""The recipe ``prepareResource``: a node loads a model, so that the next pictures need not wait for it."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.clock import now_us, to_datetime
from imagemill.domain.credits import Rate
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput
from imagemill.domain.moderation import PromptTexts
from imagemill.recipes import text_to_image
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.recipes.text_to_image import NETWORK_TYPES, NetworkInput, TextToImage

_CHECKPOINTS = ("checkpoint", "diffusionmodel", "unet", "model", None)
"""Types of an AIR that mean a whole model; None where it states none."""
_SIDE = 64
"""Pixels of a side of the picture that is drawn and dropped: few, as loading is what matters."""


class PrepareResource(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    resource: str = Field(min_length=1, description="The checkpoint, LoRA or other network: its AIR.")
    render: TextToImage | None = Field(
        None, description="The picture that loads it; set when the job is accepted."
    )


@dataclass(frozen=True, slots=True)
class PreparedReport:
    """The output of such a job."""

    resource: str

    def __call__(self, node: str) -> Mapping[str, Any]:
        prepared_at = to_datetime(now_us()).isoformat()
        return {"resource": self.resource, "preparedAt": prepared_at, "provider": node}


def complete(input_: PrepareResource, resolver: ResourceResolver, path: str) -> PrepareResource:
    where = f"{path}resource"
    resource = resolver.resource(where, input_.resource)
    air = resource.air
    # A seed is drawn, as a node does not execute again what it has executed, though the model is unloaded.
    picture: dict[str, Any] = {"prompt": "", "width": _SIDE, "height": _SIDE, "steps": 1}
    if air.type in _CHECKPOINTS:
        picture["model"] = str(air)
    elif air.type in NETWORK_TYPES:
        checkpoint = resolver.default_checkpoint(where, air.family)
        if checkpoint.air.family != air.family:
            raise InvalidInput.at(
                where, f"is for models of the family {air.family}, and no node has one to load it with"
            )
        picture |= {
            "model": str(checkpoint.air),
            "networks": [NetworkInput(air=str(air), type=None, path=None)],
        }
    else:
        raise InvalidInput.at(where, f"is of the type {air.type}; only models and networks can be loaded")
    try:
        render = text_to_image.complete(TextToImage(**picture), resolver, "")
    except InvalidInput as error:
        raise InvalidInput.at(where, "; ".join(each.message for each in error.errors)) from error
    return PrepareResource(resource=str(air), render=render)


def plan(input_: PrepareResource) -> Plan:
    assert input_.render is not None  # noqa: S101 - `complete` sets it
    work = text_to_image.image_spec(input_.render)
    return Plan(work, outputs=0, discards=True, report=PreparedReport(input_.resource))


RECIPE = Recipe(
    name="prepareResource",
    input=PrepareResource,
    complete=complete,
    plan=plan,
    model=lambda input_: input_.render.model.lower(),
    rate=Rate(base=0.1),
    get_texts=lambda input_: PromptTexts(""),
    work_field="resource",
    prompt_field="resource",
    summary="A model loaded on a node, before it is needed.",
    example={"resource": "urn:air:sd1:checkpoint:civitai:4384@128713"},
)
