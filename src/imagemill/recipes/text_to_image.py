"""``textToImage``: one checkpoint, any number of networks, one seed, one picture."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain import samplers
from imagemill.domain.air import parse
from imagemill.domain.clock import random_below
from imagemill.domain.images import MAX_SEED, ImageSpec, Network
from imagemill.recipes.base import Lookup, Plan, Recipe

Strength = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]

NETWORK_TYPES = ("lora", "lycoris", "dora", "embedding", "hypernet", "vae", "checkpoint", "controlnet")


class NetworkInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    air: str
    type: str | None = Field(None, description="As in an AIR; taken from the AIR when absent.")
    strength: Strength = 1.0
    trigger_word: str | None = None
    path: str | None = Field(None, description="The file a node has it in; filled in when accepted.")


class TextToImage(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="The checkpoint's AIR, or its short form @civitai/{version}.")
    model_path: str | None = Field(None, description="The file a node has it in; filled in when accepted.")
    prompt: str = ""
    negative_prompt: str = ""
    width: int = Field(512, ge=64, le=4096, description="Pixels.")
    height: int = Field(512, ge=64, le=4096, description="Pixels.")
    steps: int = Field(30, ge=1, le=150)
    cfg_scale: float = Field(7.5, ge=0, le=30, allow_inf_nan=False)
    sampler: str = Field("Undefined", description="A scheduler name of the Civitai API, in any case.")
    seed: int | None = Field(None, ge=-1, le=MAX_SEED, description="-1 or absent: drawn when accepted.")
    clip_skip: int = Field(0, ge=0, le=12, description="0 and 1: none.")
    networks: list[NetworkInput] = Field(default=[], max_length=64)
    controls: list[dict[str, object]] = Field(default=[], max_length=16)
    format: str = Field("png", pattern="^(png|jpeg|webp)$")
    background: str | None = Field(None, pattern="^#[0-9a-fA-F]{6}$")


def complete(input_: TextToImage, lookup: Lookup, path: str) -> TextToImage:
    checkpoint = lookup(f"{path}model", input_.model, kind="checkpoint")
    networks = [
        _complete_network(network, lookup, f"{path}additionalNetworks[{network.air!r}]")
        for network in input_.networks
    ]
    drawn = input_.seed is None or input_.seed < 0
    return input_.model_copy(
        update={
            "model": str(checkpoint.air),
            "model_path": checkpoint.path,
            "networks": networks,
            "seed": random_below(MAX_SEED + 1) if drawn else input_.seed,
        }
    )


def _complete_network(network: NetworkInput, lookup: Lookup, path: str) -> NetworkInput:
    resource = lookup(path, network.air)
    kind = network.type or resource.air.type or "lora"
    return network.model_copy(update={"air": str(resource.air), "type": kind, "path": resource.path})


def plan(input_: TextToImage) -> Plan:
    spec = image_spec(input_)
    return Plan(
        work=spec,
        outputs=1,
        size=(input_.width, input_.height),
        parameters=parameters_text(spec, input_.sampler),
    )


def image_spec(input_: TextToImage) -> ImageSpec:
    """Of a completed input."""
    air = parse(input_.model)
    sampler = samplers.find(input_.sampler) or samplers.DEFAULT
    return ImageSpec(
        prompt=input_.prompt,
        negative_prompt=input_.negative_prompt,
        model=input_.model,
        model_path=input_.model_path or air.path,
        family=air.family,
        width=input_.width,
        height=input_.height,
        steps=input_.steps,
        cfg_scale=input_.cfg_scale,
        sampler=sampler.sampler,
        scheduler=sampler.scheduler,
        seed=input_.seed or 0,
        clip_skip=input_.clip_skip,
        networks=tuple(
            Network(n.air, n.type or "lora", n.strength, n.trigger_word, n.path) for n in input_.networks
        ),
        format=input_.format,
        background=input_.background,
    )


def parameters_text(spec: ImageSpec, sampler_name: str) -> str:
    """The generation parameters in the layout that picture tools read."""
    lines = [spec.prompt]
    if spec.negative_prompt:
        lines.append(f"Negative prompt: {spec.negative_prompt}")
    facts = {
        "Steps": spec.steps,
        "Sampler": sampler_name,
        "CFG scale": spec.cfg_scale,
        "Seed": spec.seed,
        "Size": f"{spec.width}x{spec.height}",
        "Model": spec.model,
    }
    if spec.clip_skip > 1:
        facts["Clip skip"] = spec.clip_skip
    lines.append(", ".join(f"{name}: {value}" for name, value in facts.items()))
    return "\n".join(lines)


def price(input_: TextToImage) -> float:
    """0.96 for 768 x 512 at 20 steps, as recorded from the public service; grows with pixels and steps."""
    return round(input_.width * input_.height / (640 * 640) * input_.steps / 20, 4)


RECIPE = Recipe(
    name="textToImage",
    input=TextToImage,
    complete=complete,
    plan=plan,
    model=lambda input_: input_.model.lower(),
    price=price,
)
