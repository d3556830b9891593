"""The recipe ``textToImage``: one checkpoint, any number of networks, one seed, one batch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain import images
from imagemill.domain.air import CHECKPOINT_TYPES, Air, Resource, parse, takes_networks_of, type_of_word
from imagemill.domain.clock import random_below
from imagemill.domain.credits import Rate
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.domain.images import MAX_SEED, Control, ImageSpec, Network, Upscale
from imagemill.domain.model_families import BUILT
from imagemill.domain.moderation import PromptTexts
from imagemill.graphs.builder import refusals
from imagemill.graphs.families.table import Families, FamilyMatch, built_in, load_families
from imagemill.graphs.family_graph import LORA_TYPES
from imagemill.graphs.model_files import ENCODER_TYPES
from imagemill.media.postprocess import ConvertFormat
from imagemill.recipes.base import Plan, Recipe, ResourceResolver
from imagemill.recipes.family_defaults import ineffective, row_of, sampling_defaults, scheduler_beside

if TYPE_CHECKING:
    from imagemill.config import Settings

Strength = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]

NETWORK_TYPES = (*LORA_TYPES, "embedding", "hypernet", "vae", *ENCODER_TYPES)
"""The types of models that can be added to a checkpoint."""
_UNSPECIFIC = ("model", "other", "unknown")
"""Types in an AIR that say nothing about the model."""
_INSTEAD = {
    **dict.fromkeys(CHECKPOINT_TYPES, "name it as the `model`"),
    "controlnet": "name it in a ControlNet's `model`",
    "upscaler": "name it in `upscaler`",
}


class NetworkInput(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    air: str
    type: str | None = Field(None, description="Type as in an AIR; when absent, the AIR's own type.")
    strength: Strength = 1.0
    trigger_word: str | None = None
    path: str | None = Field(None, description="The model's file on a node; set when the job is accepted.")


class ControlInput(BaseModel):
    """A ControlNet."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    image: str | None = Field(None, description="Data URL or URL of the control picture; required.")
    preprocessor: str = Field(
        "",
        max_length=64,
        description="Name of the preprocessor; empty when the picture already is a control map.",
    )
    model: str | None = Field(
        None, description="The ControlNet's AIR; when absent, the node's own one for the preprocessor."
    )
    model_path: str | None = Field(
        None, description="The model's file on a node; set when the job is accepted."
    )
    weight: Strength = 1.0
    start: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False, description="Start of its effect, as a fraction of the steps."
    )
    end: float = Field(
        1.0, ge=0, le=1, allow_inf_nan=False, description="End of its effect, as a fraction of the steps."
    )


_DEFAULT_SIDE = "When absent, the side that the model's family is made for: 512 for SD 1.5, mostly 1024."
_BY_VARIANT = "When absent, what suits the model's family and variant; see docs/model-families.md."


class TextToImage(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    model: str = Field(
        "",
        description="The checkpoint's AIR, its short form @civitai/{version}, or the name of its file on the "
        "nodes; when absent, a checkpoint that is there.",
    )
    model_path: str | None = Field(
        None, description="The model's file on a node; set when the job is accepted."
    )
    family: str | None = Field(
        None,
        max_length=64,
        description="The model's family, such as zimage; needed only where nothing tells it. Set when the "
        "job is accepted.",
    )
    variant: str | None = Field(
        None,
        max_length=64,
        description="The variant of the family, such as turbo; needed only where nothing tells it. Set when "
        "the job is accepted.",
    )
    prompt: str = ""
    negative_prompt: str = ""
    width: int = Field(512, ge=64, le=4096, description=f"Width in pixels. {_DEFAULT_SIDE}")
    height: int = Field(512, ge=64, le=4096, description=f"Height in pixels. {_DEFAULT_SIDE}")
    steps: int = Field(30, ge=1, le=150, description=_BY_VARIANT)
    cfg_scale: float = Field(
        7.5,
        ge=0,
        le=30,
        allow_inf_nan=False,
        description=f"How closely the prompt is followed. {_BY_VARIANT}",
    )
    sampler: str = Field(
        "Undefined",
        description="A scheduler name of the Civitai API, in any case, or the name of ComfyUI's sampler. "
        f"{_BY_VARIANT}",
    )
    scheduler: str = Field(
        "",
        pattern=f"^({'|'.join(images.COMFY_SCHEDULES)})?$",
        description="ComfyUI's scheduler; when absent, the one that suits the sampler and the model.",
    )
    seed: int | None = Field(
        None, ge=-1, le=MAX_SEED, description="Seed; -1 or absent draws one when the job is accepted."
    )
    clip_skip: int = Field(0, ge=0, le=12, description="CLIP skip; 0 and 1 mean none.")
    count: int = Field(1, ge=1, le=16, description="Number of pictures in the batch, all from the same seed.")
    networks: list[NetworkInput] = Field(default=[], max_length=64)
    image: str | None = Field(None, description="Source picture for image-to-image: data URL or URL.")
    mask: str | None = Field(None, description="Mask for inpainting, white where to redraw: data URL or URL.")
    denoise: float = Field(
        0.75, ge=0, le=1, allow_inf_nan=False, description="Denoising strength for the source picture."
    )
    references: list[str] = Field(
        default=[],
        max_length=16,
        description="Pictures that the prompt changes or takes subjects from, the main one first, for models "
        "that can: data URLs or URLs.",
    )
    size_of_reference: bool = Field(
        False,
        description="Whether the picture gets the size of the first reference, as far as the model allows, "
        "instead of width and height; so it is where there are references and neither of the two is given.",
    )
    controls: list[ControlInput] = Field(default=[], max_length=16)
    upscaler: str | None = Field(None, description="The AIR of a model that enlarges the finished picture.")
    upscaler_path: str | None = Field(
        None, description="The upscaler's file on a node; set when the job is accepted."
    )
    guidance: float | None = Field(
        None,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="Distilled guidance, of models that have it, such as FLUX.1 dev.",
    )
    format: str = Field("png", pattern="^(png|jpeg|webp)$")
    background: str | None = Field(None, pattern="^#[0-9a-fA-F]{6}$")


def complete(
    input_: TextToImage, resolver: ResourceResolver, path: str, families: Families | None = None
) -> TextToImage:
    """Return the input with models resolved, and with defaults by the model's family and variant.

    Without ``families``, the package's own rows are used.
    """
    families = families or built_in()
    facts = _facts_of(_named(input_, resolver, f"{path}model"), input_, families)
    checkpoint, row = facts.checkpoint, facts.row
    _check_words(input_, families, path)
    found = [
        _complete_network(network, resolver, f"{path}additionalNetworks[{network.air!r}]", checkpoint, row)
        for network in input_.networks
    ]
    networks = [network for network, _ in found]
    _refuse_repeats(input_.networks, networks, path)
    _raise(path, _ineffective(input_))
    drawn = input_.seed is None or input_.seed < 0
    upscaler = resolver.resource(f"{path}upscaler", input_.upscaler) if input_.upscaler else None
    if upscaler is not None:
        _check_type(f"{path}upscaler", upscaler.air, "upscaler")
    loras = [resource for network, resource in found if network.type in LORA_TYPES]
    completed = input_.model_copy(
        update={
            **_defaults(input_, facts, loras),
            **facts.stored,
            "networks": networks,
            "image": resolver.picture(f"{path}image", input_.image) if input_.image else None,
            "mask": resolver.picture(f"{path}mask", input_.mask) if input_.mask else None,
            "references": [
                resolver.picture(f"{path}references[{index}]", reference)
                for index, reference in enumerate(input_.references)
            ],
            "controls": [
                _complete_control(control, resolver, f"{path}controls[{index}].", checkpoint)
                for index, control in enumerate(input_.controls)
            ],
            "upscaler": str(upscaler.air) if upscaler else None,
            "upscaler_path": upscaler.path if upscaler else None,
            "seed": random_below(MAX_SEED + 1) if drawn else input_.seed,
        }
    )
    if row is not None:
        _raise(path, ineffective(row.variant, row.title, completed))
        _raise(path, refusals(image_spec(completed), row) if _has_additions(completed) else facts.refusals)
    return completed


def _has_additions(input_: TextToImage) -> bool:
    """Whether a request has more than a prompt and numbers, so that a family may not be able to do it."""
    pictures = input_.image or input_.mask or input_.references or input_.controls
    return bool(pictures or input_.networks)


@dataclass(frozen=True, slots=True)
class _CheckpointFacts:
    """The values of a request that its checkpoint alone decides."""

    named: Resource
    families: Families
    checkpoint: Resource
    """The named one, with the family and variant that the request states."""
    row: FamilyMatch | None
    stored: Mapping[str, Any]
    """Fields of the complete input."""
    defaults: Mapping[str, Any]
    """Fields of a request that names none of them, and no LoRA."""
    refusals: Sequence[tuple[str, str]]
    """Refusals of a request that has only a prompt and numbers."""


_facts: dict[tuple[int, str | None, str | None], _CheckpointFacts] = {}
"""The facts of the last checkpoints by the identity of the object, which the registry keeps for a while, and
by the stated family and variant."""
_MOST_FACTS = 256


def _facts_of(named: Resource, input_: TextToImage, families: Families) -> _CheckpointFacts:
    key = (id(named), input_.family, input_.variant)
    known = _facts.get(key)
    if known is not None and known.named is named and known.families is families:
        return known
    # A family or variant that the request states comes before what was found.
    stated = {"found_family": input_.family, "variant": input_.variant}
    checkpoint = replace(named, **{name: value.lower() for name, value in stated.items() if value})
    row = row_of(families, checkpoint)
    stored = {
        "model": str(checkpoint.air),
        "model_path": checkpoint.path,
        **_family_beside(checkpoint, row, families),
    }
    plain = image_spec(TextToImage.model_construct(**stored))
    found = _CheckpointFacts(
        named,
        families,
        checkpoint,
        row,
        stored,
        {} if row is None else _size_of(row) | sampling_defaults(row.variant, ()),
        () if row is None else tuple(refusals(plain, row)),
    )
    if len(_facts) >= _MOST_FACTS:
        _facts.clear()
    _facts[key] = found
    return found


def _size_of(row: FamilyMatch) -> dict[str, Any]:
    return {"width": row.variant.size.width, "height": row.variant.size.height}


def _family_beside(checkpoint: Resource, row: FamilyMatch | None, families: Families) -> dict[str, Any]:
    """Return the family and variant that AIR and file alone do not tell.

    Otherwise they are not stored, so that a worker of the version before, which knows neither, can render the
    job while a fleet is upgraded.
    """
    alone = families.find(checkpoint.air.family, checkpoint.path)
    if row is not None and checkpoint.family == checkpoint.air.family and alone == row:
        return {"family": None, "variant": None}
    variant = row.variant_name if row is not None else checkpoint.variant
    return {"family": checkpoint.family or None, "variant": variant or None}


def _named(input_: TextToImage, resolver: ResourceResolver, path: str) -> Resource:
    """Return the model that a request names, or else the default."""
    if "model" in input_.model_fields_set:
        return resolver.resource(path, input_.model, kind="checkpoint")
    return resolver.default_checkpoint(path, input_.family)


def _check_words(input_: TextToImage, families: Families, path: str) -> None:
    """Raise `InvalidInput` for a stated family or variant that the table does not have."""
    if not input_.family:
        return
    row = families.find(input_.family)
    if row is None:
        names = ", ".join(families.names())
        raise InvalidInput.at(f"{path}family", f"is {input_.family[:40]!r}, and the families are {names}")
    if input_.variant and input_.variant.lower() not in row.family.variants:
        names = ", ".join(row.family.variants)
        raise InvalidInput.at(
            f"{path}variant", f"is {input_.variant[:40]!r}, and the variants of {row.family.name} are {names}"
        )


def _raise(path: str, errors: Iterable[tuple[str, str]]) -> None:
    """Raise `InvalidInput` if there are errors, each of (field, message)."""
    if found := [FieldError(f"{path}{name}", message) for name, message in errors]:
        raise InvalidInput(found)


def _defaults(input_: TextToImage, facts: _CheckpointFacts, loras: Sequence[Resource]) -> dict[str, Any]:
    """Return the values of fields that the request leaves to the model's family."""
    given, row = input_.model_fields_set, facts.row
    if row is None:
        return {name: 1024 for name in ("width", "height") if not given & {"width", "height"}}
    usual = dict(facts.defaults) if not loras else _size_of(row) | sampling_defaults(row.variant, loras)
    if input_.references and not given & {"width", "height", "size_of_reference"}:
        usual["size_of_reference"] = True
    if "sampler" in given and input_.sampler.lower() != images.DEFAULT.v1.lower():
        usual["scheduler"] = scheduler_beside(row.variant, input_.sampler)
        usual.pop("sampler", None)
    return {name: value for name, value in usual.items() if name not in given}


def _ineffective(input_: TextToImage) -> Iterator[tuple[str, str]]:
    """(field, error) of each value that would have no effect on any model."""
    for name in ("image", "mask", "upscaler"):
        if getattr(input_, name) == "":
            yield name, "is empty; leave it out, or name one"
    for index, control in enumerate(input_.controls):
        if not control.image:
            yield f"controls[{index}].image", "is required: a ControlNet without a picture has no effect"
        if control.model == "":
            yield f"controls[{index}].model", "is empty; leave it out, or name one"
    if input_.mask and not input_.image:
        yield "mask", "needs `image`: the picture it is the mask of"
    if "denoise" in input_.model_fields_set and not input_.image:
        yield "denoise", "needs `image`: without one, everything is drawn"
    if images.find(input_.sampler) is None and _comfy_sampler(input_.sampler) is None:
        names = {sampler.v1.lower(): sampler.v1 for sampler in images.SAMPLERS}
        near = get_close_matches(input_.sampler[:100].lower(), names, n=1)
        meant = f"; did you mean {names[near[0]]}?" if near else f"; one of {', '.join(names.values())}"
        yield "sampler", f"is {input_.sampler[:40]!r}, which is not a scheduler{meant}"
    for index, reference in enumerate(input_.references):
        if not reference:
            yield f"references[{index}]", "is empty; leave it out, or name one"
    if input_.size_of_reference and not input_.references:
        yield "size_of_reference", "needs `references`"


def _comfy_sampler(name: str) -> str | None:
    """Return ComfyUI's sampler of this name, which may be an old one; None if there is none."""
    repaired = images.repaired_sampler(name.lower())
    return repaired if repaired in images.COMFY_SAMPLERS else None


def _complete_network(
    network: NetworkInput,
    resolver: ResourceResolver,
    path: str,
    checkpoint: Resource,
    row: FamilyMatch | None,
) -> tuple[NetworkInput, Resource]:
    if not network.air:
        raise InvalidInput.at(path, "has an empty `air`; name the network's AIR")
    resource = resolver.resource(path, network.air)
    kind = type_of_word(network.type) if network.type else resource.air.type or "lora"
    if kind not in NETWORK_TYPES:
        instead = _INSTEAD.get(kind, f"a network is one of {', '.join(NETWORK_TYPES)}")
        raise InvalidInput.at(
            path, f"is of the type {kind[:40]}, which is no network of a picture; {instead}"
        )
    _check_type(path, resource.air, kind)
    if kind in ENCODER_TYPES and row is not None and row.variant.text_encoder is None:
        raise InvalidInput.at(
            path, f"is a text encoder, and models of the family {checkpoint.family} bring theirs"
        )
    _check_family(path, resource, checkpoint, shared=kind == "vae" or kind in ENCODER_TYPES)
    named = network.model_copy(update={"air": str(resource.air), "type": kind, "path": resource.path})
    return named, resource


def _refuse_repeats(given: Sequence[NetworkInput], completed: Sequence[NetworkInput], path: str) -> None:
    """Raise `InvalidInput` for a network that is there twice, perhaps under two names."""
    seen: dict[str, str] = {}
    for named, network in zip(given, completed, strict=True):
        key = parse(network.air).key
        if key in seen:
            raise InvalidInput.at(
                f"{path}additionalNetworks[{named.air!r}]",
                f"is there twice, also as {seen[key]}; name it once, with one strength",
            )
        seen[key] = named.air


def _check_type(path: str, air: Air, kind: str) -> None:
    if air.type and air.type not in _UNSPECIFIC and _group(air.type) != _group(kind):
        raise InvalidInput.at(path, f"names an AIR of the type {air.type}, not {kind[:40]}")


def _check_family(path: str, resource: Resource, checkpoint: Resource, *, shared: bool = False) -> None:
    """Raise `InvalidInput` for a model of another family. ``shared``: newer families use its kind of file of
    each other, as several share a VAE."""
    family, wanted = resource.family, checkpoint.family
    if not takes_networks_of(wanted, family) and not (shared and not {family, wanted} <= set(BUILT)):
        raise InvalidInput.at(
            path,
            f"is for models of the family {family} and has no effect on those of {wanted}, as the model is",
        )


def _group(kind: str) -> str:
    """Return one name for all types that are loaded in the same way."""
    if kind in CHECKPOINT_TYPES and kind not in _UNSPECIFIC:
        return "checkpoint"
    return "lora" if kind in LORA_TYPES else "text encoder" if kind in ENCODER_TYPES else kind


def _complete_control(
    control: ControlInput, resolver: ResourceResolver, path: str, checkpoint: Resource
) -> ControlInput:
    model = resolver.resource(f"{path}model", control.model) if control.model else None
    if model is not None:
        _check_type(f"{path}model", model.air, "controlnet")
        _check_family(f"{path}model", model, checkpoint)
    return control.model_copy(
        update={
            "image": resolver.picture(f"{path}image", control.image) if control.image else None,
            "model": str(model.air) if model else None,
            "model_path": model.path if model else None,
        }
    )


def plan(input_: TextToImage) -> Plan:
    spec = image_spec(input_)
    return Plan(
        work=spec,
        outputs=spec.count,
        # With an upscaler, its own factor decides the size.
        size=None if spec.upscale or spec.size_of_reference else (input_.width, input_.height),
        parameters=parameters_text(spec, input_.sampler),
        inputs=_sources(input_),
        # Nodes save PNG, whatever format was requested.
        transform=None if spec.format == "png" else ConvertFormat(spec.format),
    )


def image_spec(input_: TextToImage) -> ImageSpec:
    """Return the render specification of a complete input."""
    air = parse(input_.model)
    named = images.find(input_.sampler)
    sampler = named or images.DEFAULT
    return ImageSpec(
        prompt=input_.prompt,
        negative_prompt=input_.negative_prompt,
        model=input_.model,
        model_path=input_.model_path or air.path,
        family=input_.family or air.family,
        width=input_.width,
        height=input_.height,
        steps=input_.steps,
        cfg_scale=input_.cfg_scale,
        sampler=sampler.sampler if named else _comfy_sampler(input_.sampler) or sampler.sampler,
        scheduler=input_.scheduler or (sampler.scheduler if named else "normal"),
        seed=input_.seed or 0,
        clip_skip=input_.clip_skip,
        count=input_.count,
        networks=_networks(input_),
        image="image" if input_.image else None,
        mask="mask" if input_.mask else None,
        denoise=input_.denoise if input_.image else 1.0,
        controls=_controls(input_),
        upscale=Upscale(input_.upscaler, input_.upscaler_path or "") if input_.upscaler else None,
        guidance=input_.guidance,
        format=input_.format,
        background=input_.background,
        variant=input_.variant or "",
        references=tuple([f"reference-{index}" for index in range(len(input_.references))]),
        size_of_reference=input_.size_of_reference,
    )


def _networks(input_: TextToImage) -> tuple[Network, ...]:
    return tuple(
        [Network(n.air, n.type or "lora", n.strength, n.trigger_word, n.path) for n in input_.networks]
    )


def _controls(input_: TextToImage) -> tuple[Control, ...]:
    return tuple(
        [
            Control(
                image=f"control-{index}",
                model=control.model or "",
                model_path=control.model_path or "",
                preprocessor=control.preprocessor,
                weight=control.weight,
                start=control.start,
                end=control.end,
            )
            for index, control in enumerate(input_.controls)
            if control.image
        ]
    )


def _sources(input_: TextToImage) -> dict[str, str]:
    """Return the sources of the pictures, by the names that `image_spec` gives them."""
    if not (input_.image or input_.mask or input_.controls or input_.references):
        return {}
    named = {"image": input_.image, "mask": input_.mask}
    named |= {f"control-{index}": control.image for index, control in enumerate(input_.controls)}
    named |= {f"reference-{index}": source for index, source in enumerate(input_.references)}
    return {name: source for name, source in named.items() if source}


def parameters_text(spec: ImageSpec, sampler_name: str) -> str:
    """Return the generation parameters in the text format that image tools read."""
    lines = [spec.prompt]
    if spec.negative_prompt:
        lines.append(f"Negative prompt: {spec.negative_prompt}")
    facts = (
        f"Steps: {spec.steps}, Sampler: {sampler_name}, CFG scale: {spec.cfg_scale}, Seed: {spec.seed}, "
        f"Size: {spec.width}x{spec.height}, Model: {spec.model}"
    )
    lines.append(f"{facts}, Clip skip: {spec.clip_skip}" if spec.clip_skip > 1 else facts)
    return "\n".join(lines)


def get_texts(input_: TextToImage) -> PromptTexts:
    triggers = (network.trigger_word for network in input_.networks if network.trigger_word)
    return PromptTexts(input_.prompt, input_.negative_prompt, ", ".join(triggers))


def replace_texts(input_: TextToImage, texts: PromptTexts) -> TextToImage:
    return input_.model_copy(update={"prompt": texts.prompt, "negative_prompt": texts.negative})


PUBLIC_RATE = Rate(megapixel_step=1 / (0.64 * 0.64 * 20))
"""0.96 credits for 768 x 512 at 20 steps, as recorded from the public service; grows with pixels and steps.
"""


def build_recipe(settings: "Settings") -> Recipe:
    """Return the recipe with the table of model families of the data folder."""
    families = load_families(settings.data_dir)
    return Recipe(
        name="textToImage",
        input=TextToImage,
        complete=partial(complete, families=families),
        plan=plan,
        model=lambda input_: input_.model.lower(),
        rate=PUBLIC_RATE,
        get_texts=get_texts,
        replace_texts=replace_texts,
        prompt_field="prompt",
        summary="Pictures from a prompt by a model of any family, with LoRAs, ControlNets, source and "
        "reference pictures and an upscaler.",
        example={"model": "urn:air:sd1:checkpoint:civitai:4384@128713", "prompt": "a lighthouse at dusk"},
    )
