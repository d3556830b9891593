"""The step type ``textToImage``."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from imagemill.api.base import Services
from imagemill.dialects.civitai_v1.requests import network_inputs, seed_of
from imagemill.dialects.civitai_v1.schemas import NetworkParams
from imagemill.dialects.civitai_v2.steps.base import ParsedStep, RecipeInput, StepType
from imagemill.dialects.civitai_v2.steps.fields import (
    FORMATS,
    OutputFormat,
    SchedulerName,
    Seed,
    StepControlNet,
    StepFields,
    check_prompts,
    control_inputs,
    drawn_seed,
    find_model_family,
    pictures_output,
    read_fields,
)
from imagemill.domain.air import Resource
from imagemill.domain.errors import InvalidInput
from imagemill.graphs.families.rows import Variant
from imagemill.graphs.families.table import FamilyMatch
from imagemill.recipes.family_defaults import accelerator_of
from imagemill.web.body_fields import Real, Whole

DEFAULT_MODEL = "urn:air:sd1:checkpoint:civitai:4384@128713"
DEFAULT_CLIP_SKIP = 2
MOST_PICTURES = 1000
"""The most pictures of one step."""
_STEPS, _CFG_SCALE = 30, 7.5
_MOST_DISTILLED_STEPS = 9
"""Variants of so few steps have defaults of their own."""
_CLASSIC = ("sd1", "sd2", "sdxl")
"""Families that the API's defaults of steps and CFG scale are made for."""
_NAMES = {
    "negative_prompt": "negativePrompt",
    "cfg_scale": "cfgScale",
    "clip_skip": "clipSkip",
    "sampler": "scheduler",
    "networks": "additionalNetworks",
    "controls": "controlNets",
    "image": "sourceImage",
    "denoise": "sourceImageDenoiseStrenght",
    "format": "outputFormat",
}


class TextToImageFields(StepFields):
    """The input of the step ``textToImage``."""

    prompt: str
    negative_prompt: str | None = None
    model: str | None = Field(
        None,
        description=f"The checkpoint's AIR; when absent, {DEFAULT_MODEL}, or a checkpoint that nodes have.",
    )
    additional_networks: dict[str, NetworkParams] | None = Field(None, max_length=64)
    control_nets: list[StepControlNet] | None = Field(None, max_length=16)
    scheduler: SchedulerName | None = None
    steps: Whole | None = Field(None, ge=1, le=150)
    cfg_scale: Real | None = Field(None, ge=1, le=30, allow_inf_nan=False)
    width: Whole | None = Field(None, ge=64, le=4084)
    height: Whole | None = Field(None, ge=64, le=4084)
    seed: Seed | None = None
    clip_skip: Whole | None = Field(None, ge=-1, le=12)
    quantity: Whole = Field(1, ge=1, le=100)
    batch_size: Whole = Field(1, ge=1, le=100)
    source_image: str | None = None
    source_image_denoise_strenght: Real | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    output_format: OutputFormat | None = None
    image_metadata: str | None = None
    engine: str | None = Field(None, max_length=64)


def parse_text_to_image(raw: Any, path: str, services: Services) -> ParsedStep:
    given = read_fields(TextToImageFields, raw, path)
    check_prompts(path, {"prompt": given.prompt, "negativePrompt": given.negative_prompt}, services)
    count = given.quantity * given.batch_size
    if count > MOST_PICTURES:
        raise InvalidInput.at(
            f"{path}.quantity", f"times batchSize is {count} pictures; at most {MOST_PICTURES} a step"
        )
    if given.source_image_denoise_strenght is not None and given.source_image is None:
        raise InvalidInput.at(
            f"{path}.sourceImageDenoiseStrenght", "needs `sourceImage`: without one, everything is drawn"
        )
    model = given.model or _default_model(path, services)
    found = find_model_family(services, f"{path}.model", model)
    full = _completed(given, model, found, _networks(given, path, services))
    base = _recipe_input(full, path, skips_clip=found is not None and found.variant.clip_skip)
    jobs = tuple(
        RecipeInput("textToImage", {**base, "seed": seed_of(full.seed, index)}, _NAMES)
        for index in range(count)
    )
    return ParsedStep(full.shown(), jobs)


def _networks(given: TextToImageFields, path: str, services: Services) -> list[Resource]:
    """Return the networks that are known; the recipe refuses the others."""
    named = (network.id or key for key, network in (given.additional_networks or {}).items())
    found = (services.registry.find(f"{path}.additionalNetworks", air) for air in named if air)
    return [resource for resource in found if resource is not None]


def _completed(
    given: TextToImageFields, model: str, found: FamilyMatch | None, networks: Sequence[Resource]
) -> TextToImageFields:
    """Return the input with its defaults: the API's, or those of the model's variant, or of a LoRA that makes
    fewer steps do."""
    usual: dict[str, Any] = {"model": model, "seed": drawn_seed(given.seed)}
    if found is not None:
        variant = found.variant
        usual |= {"width": variant.size.width, "height": variant.size.height}
        usual |= _sampling(found.family.name, variant, networks)
        if variant.clip_skip:
            usual["clip_skip"] = DEFAULT_CLIP_SKIP
    if given.source_image is not None:
        usual["source_image_denoise_strenght"] = 0.8
    kept = {name for name in TextToImageFields.model_fields if getattr(given, name) is not None}
    return given.model_copy(
        update={name: value for name, value in usual.items() if name == "seed" or name not in kept}
    )


def _sampling(family: str, variant: Variant, networks: Sequence[Resource]) -> dict[str, Any]:
    """Return the defaults of steps and CFG scale."""
    fast = accelerator_of(variant, networks)
    if fast is not None:
        return {"steps": fast.steps, "cfg_scale": max(1.0, fast.cfg)}
    if family in _CLASSIC and variant.steps > _MOST_DISTILLED_STEPS:
        return {"steps": _STEPS, "cfg_scale": _CFG_SCALE}
    return {"steps": variant.steps, "cfg_scale": max(1.0, variant.default_cfg)}


def _default_model(path: str, services: Services) -> str:
    registry = services.registry
    found = registry.find(f"{path}.model", DEFAULT_MODEL, "checkpoint")
    there = registry.installed
    if found is not None and (not there.is_known or there.find(found.path, "checkpoint")):
        return DEFAULT_MODEL
    return str(registry.default_checkpoint(f"{path}.model", "sd1").air)


def _clip_skip(given: int | None, *, skips_clip: bool) -> int | None:
    """Return the recipe's CLIP skip. Clients send the API's default for families without one, too."""
    if given is None or (not skips_clip and given <= DEFAULT_CLIP_SKIP):
        return None
    return max(given, 0)


def _recipe_input(full: TextToImageFields, path: str, *, skips_clip: bool) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "model": full.model,
        "prompt": full.prompt,
        "negative_prompt": full.negative_prompt,
        "networks": network_inputs(f"{path}.", full.additional_networks or {}),
        "controls": control_inputs(f"{path}.controlNets", full.control_nets, full.steps or _STEPS),
        "sampler": full.scheduler,
        "steps": full.steps,
        "cfg_scale": full.cfg_scale,
        "width": full.width,
        "height": full.height,
        "clip_skip": _clip_skip(full.clip_skip, skips_clip=skips_clip),
        "image": full.source_image,
        "denoise": full.source_image_denoise_strenght,
        "format": FORMATS[full.output_format] if full.output_format else None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


STEPS = (StepType("textToImage", parse_text_to_image, pictures_output),)
