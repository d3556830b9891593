"""The table of imageGen's bodies that nodes can run: their fields, ranges, defaults and model families."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, create_model
from pydantic.alias_generators import to_camel

from imagemill.dialects.civitai_v2.steps.fields import (
    MAX_PROMPT,
    LoraStrengths,
    OutputFormat,
    Seed,
    StepControlNet,
    StepFields,
)
from imagemill.domain import images
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput
from imagemill.web.body_fields import Real, Whole, one_of

CREATE, VARIANT, EDIT = "createImage", "createVariant", "editImage"
OPERATIONS = (CREATE, VARIANT, EDIT)
AIR = "AIR"
"""In place of a word for the model: the body names a checkpoint by its AIR."""

Bounds = tuple[float, float, float]
"""Least, most and default."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One kind of body. Numbers are (least, most, default)."""

    engine: str
    group: str
    """The word in `group_field`."""
    operations: tuple[str, ...]
    """Empty: there is no field ``operation``, and reference pictures are optional."""
    group_field: Literal["ecosystem", "model"] = "ecosystem"
    model: str = ""
    """The word in the field ``model``, `AIR` for an AIR; empty: there is no such field."""
    model_field: str = "model"
    """The field of that word."""
    model_required: bool = False
    is_default: bool = False
    """Whether it is meant when the word is left out."""
    family: str = ""
    """Its name in the table of model families."""
    variant: str = ""
    """The variant's name there; empty means the family's default one."""
    model_from: str = ""
    """The field that may name another model file by its AIR."""
    steps: Bounds = (1, 150, 30)
    cfg: Bounds = (0, 30, 7)
    sides: Bounds | None = (64, 2048, 1024)
    """Range and default of width and height; None where the picture has the first reference's size."""
    most: int = 12
    """The most pictures."""
    prompt_chars: int = MAX_PROMPT
    negative: bool = True
    clip_skip: bool = False
    controls: bool = False
    most_images: int = 0
    """The most reference pictures."""
    own: tuple[str, ...] = ()
    """Further fields, of `OWN`."""
    cfg_field: str = "cfg_scale"
    steps_field: str = "steps"
    """Empty: there is no such field."""
    lora_list: bool = False
    """Whether LoRAs are a list of objects, not strengths by AIR."""
    sampling: Literal["comfy", "sampler", "sdcpp", ""] = ""
    """Its fields for the sampler: ComfyUI's two, only the first of them, or stable-diffusion.cpp's two."""

    @property
    def title(self) -> str:
        """The words for messages: "comfy ernie turbo"."""
        named = "" if self.model in ("", AIR) else self.model
        return " ".join(word for word in (self.engine, self.group, named) if word)


class LoraItem(StepFields):
    air: str
    strength: Real = Field(1.0, ge=-10, le=10, allow_inf_nan=False)


LoraItems = Annotated[list[LoraItem], Field(max_length=64)]


def _repaired(value: Any) -> Any:
    return images.repaired_sampler(value) if isinstance(value, str) else value


def _picture(value: Any) -> Any:
    """Return the URL of a picture that is written as an object."""
    if isinstance(value, dict) and set(value) == {"url"}:
        return cast("dict[str, Any]", value)["url"]
    return value


Picture = Annotated[str, BeforeValidator(_picture)]
ComfySampler = Annotated[str, one_of(images.COMFY_SAMPLERS), BeforeValidator(_repaired)]
SCHEDULERS = ("normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta")


def _optional(kind: Any, note: str = "", alias: str | None = None) -> tuple[Any, Any]:
    """A field that may be absent."""
    return kind | None, Field(None, alias=alias, description=note or None)


OWN: dict[str, Any] = {
    "vae_model": _optional(str, "AIR of a VAE instead of the checkpoint's."),
    "embeddings": _optional(Annotated[list[str], Field(max_length=64)]),
    "u_cache": _optional(Annotated[str, one_of(("off", "normal"))], "Has no effect."),
    "diffuser_model": (str, Field(description="AIR of the diffusion model.")),
    "clip_l_model": _optional(str, "AIR of the CLIP-L text encoder; else the node's own.", "clipLModel"),
    "t5_xxl_model": _optional(str, "AIR of the T5 text encoder; else the node's own.", "t5XXLModel"),
    "flux1_vae_model": _optional(str, "AIR of the VAE; else the node's own.", "vaeModel"),
    "qwen_create": (Annotated[str, one_of(("latest", "2509", "2512"))], Field("latest", alias="version")),
    "qwen_edit": (Annotated[str, one_of(("latest", "2509", "2511"))], Field("latest", alias="version")),
    "unconditional_diffusion_model": _optional(str),
    "enable_prompt_expansion": _optional(bool, "Has no effect on nodes."),
    "aspect_ratio": _optional(
        Annotated[str, one_of(("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"))]
    ),
}
"""Field -> type and default of the fields that few bodies have."""
_CFG_1 = (0, 30, 1)
_DIFFUSION = "diffusion_model"
_KLEIN = ("4b", "4b-base", "9b", "9b-base", "9b-kv")


def _comfy(
    ecosystem: str, operations: tuple[str, ...] = (CREATE, VARIANT), *, sampling: Any = "comfy", **more: Any
) -> Leaf:
    return Leaf("comfy", ecosystem, operations, sampling=sampling, **{"family": ecosystem, **more})


def _sdcpp(ecosystem: str, operations: tuple[str, ...], **more: Any) -> Leaf:
    return Leaf("sdcpp", ecosystem, operations, sampling="sdcpp", **{"family": ecosystem, **more})


def _words(
    ecosystem: str, words: dict[str, tuple[str, float, float]], *, most_images: int = 2, **more: Any
) -> Iterator[Leaf]:
    """The comfy bodies of models that are named by a word: word -> (operation, steps, CFG scale)."""
    met: set[str] = set()
    for word, (operation, steps, cfg) in words.items():
        is_edit = operation == EDIT
        yield _comfy(
            ecosystem,
            (operation,),
            model=word,
            is_default=operation not in met,
            variant=_variant_name(word),
            steps=(1, 150, steps),
            cfg=(0, 30, cfg),
            **({"most": 4, "most_images": most_images} if is_edit else {}),
            **{
                "model_from": _DIFFUSION,
                **more,
                **({"sides": None} if is_edit and ecosystem == "boogu" else {}),
            },
        )
        met.add(operation)


def _variant_name(word: str) -> str:
    """Return the table's name of a variant: ``editTurbo`` is edit-turbo."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in word)


def _klein(words: tuple[str, ...], defaults: Mapping[str, tuple[int, int]], **more: Any) -> Iterator[Leaf]:
    """The bodies of Flux.2 Klein. ``defaults``: the end of a version's name -> (steps, CFG scale)."""
    for word in words:
        steps, cfg = defaults["base" if word.endswith("base") else ""]
        yield Leaf(
            **more,
            model=word,
            model_field="model_version",
            is_default=word == "4b",
            family="flux2-klein",
            variant=word,
            steps=(4, 50, steps),
            cfg=(1, 20, cfg),
            sides=(512, 2048, 1024),
            most=4,
            prompt_chars=1000,
            sampling="sdcpp",
        )


_FLUX2: dict[str, Any] = {
    "family": "flux2",
    "steps": (4, 50, 20),
    "cfg": (1, 20, 1),
    "sides": (512, 2048, 1024),
    "most": 4,
    "prompt_chars": 1000,
}
_QWEN: dict[str, Any] = {"model": "20b", "model_required": True, "steps": (1, 150, 20), "cfg": (0, 30, 2.5)}
_ANIMA: dict[str, Any] = {"cfg": (0, 30, 4), "model_from": "diffuser_model"}
_ONE_AIR: dict[str, Any] = {"model": AIR, "model_required": True}

LEAVES: tuple[Leaf, ...] = (
    _comfy("sd1", **_ONE_AIR, sides=(64, 1024, 512), clip_skip=True, controls=True, own=("vae_model",)),
    _comfy("sdxl", **_ONE_AIR, controls=True, own=("vae_model",)),
    _comfy(
        "flux1", **_ONE_AIR, steps=(1, 150, 20), cfg=(0, 30, 3.5), negative=False, controls=True,
        own=("vae_model",),
    ),
    _comfy("flux2Dev", (CREATE, EDIT), most_images=9, **_FLUX2),
    _comfy("anima", controls=True, own=("vae_model",), **_ANIMA),
    *_words(
        "ernie", {"ernie": (CREATE, 20, 4), "turbo": (CREATE, 8, 1)},
        model_required=True,
    ),
    *_words(
        "krea2", {"raw": (CREATE, 20, 4), "turbo": (CREATE, 8, 1), "edit": (EDIT, 10, 1)},
    ),
    *_words(
        "lens", {"normal": (CREATE, 20, 4), "turbo": (CREATE, 4, 1)},
    ),
    *_words(
        "boogu",
        {
            "base": (CREATE, 20, 4), "turbo": (CREATE, 4, 1),
            "edit": (EDIT, 25, 3.5), "editTurbo": (EDIT, 4, 1),
        },
    ),
    *_words(
        "mageflow",
        {
            "4b": (CREATE, 20, 5), "4b-turbo": (CREATE, 4, 1),
            "4b-edit": (EDIT, 30, 5), "4b-edit-turbo": (EDIT, 4, 1),
        },
        most_images=16,
        sides=(512, 2048, 1024),
    ),
    *(
        _comfy(
            "hidream-o1", (CREATE, EDIT), model=word, is_default=not word.endswith("dev"), variant=variant,
            model_from="checkpoint_model", steps=(1, 150, steps), cfg=(0, 30, cfg), sides=(64, 2048, 2048),
            most=4, most_images=3, sampling="",
        )
        for word, variant, steps, cfg in (
            ("HiDream-O1-Image", "full", 40, 5),
            ("HiDream-O1-Image-dev", "dev", 28, 1),
        )
    ),
    _comfy(
        "ideogram4", (CREATE,),
        model_from=_DIFFUSION, steps=(1, 150, 12), negative=False, sampling="sampler",
        own=("unconditional_diffusion_model",),
    ),
    _sdcpp(
        "sd1", (CREATE, VARIANT), **_ONE_AIR, steps=(1, 150, 20), sides=(64, 2048, 512), clip_skip=True,
        own=("vae_model", "embeddings", "u_cache"),
    ),
    _sdcpp(
        "sdxl", (CREATE, VARIANT), **_ONE_AIR, steps=(1, 150, 20), own=("vae_model", "embeddings", "u_cache")
    ),
    _sdcpp(
        "flux1", OPERATIONS, steps=(4, 50, 28), cfg=(1, 20, 3.5), sides=(832, 1216, 1024), most=4,
        prompt_chars=1000, most_images=2,
        own=("diffuser_model", "flux1_vae_model", "clip_l_model", "t5_xxl_model"),
    ),
    _sdcpp("flux2Dev", OPERATIONS, most_images=2, **_FLUX2),
    *_klein(
        _KLEIN[:4], {"": (20, 5), "base": (20, 5)}, engine="sdcpp", group="flux2Klein",
        operations=OPERATIONS, most_images=2,
    ),
    _sdcpp("qwen", (CREATE,), own=("qwen_create",), **_QWEN),
    _sdcpp("qwen", (VARIANT,), sides=(0, 2048, 0), own=("qwen_create",), **_QWEN),
    _sdcpp(
        "qwen", (EDIT,), family="qwen-edit", sides=(0, 2048, 0),
        most_images=10, own=("qwen_edit",), **_QWEN,
    ),
    _sdcpp(
        "zImage", (CREATE,), model="turbo", model_required=True, family="zimage", variant="turbo",
        controls=True, model_from="diffuser_model", steps=(1, 150, 9), cfg=_CFG_1,
    ),
    _sdcpp(
        "zImage", (CREATE,), model="base", model_required=True, family="zimage", variant="base",
        controls=True, model_from="diffuser_model", steps=(1, 150, 20), cfg=(0, 30, 4),
    ),
    _sdcpp("anima", (CREATE, VARIANT), **_ANIMA),
    Leaf(
        "flux2", "dev", (CREATE, EDIT), "model", cfg_field="guidance_scale",
        steps_field="num_inference_steps", lora_list=True, negative=False, most_images=9,
        own=("enable_prompt_expansion",), **_FLUX2 | {"cfg": (0, 20, 2.5), "steps": (4, 50, 28)},
    ),
    *_klein(
        _KLEIN, {"": (8, 1), "base": (30, 7)}, engine="flux2", group="klein", group_field="model",
        operations=(CREATE, EDIT), most_images=9, own=("enable_prompt_expansion",),
    ),
    Leaf(
        "flux1-kontext", "dev", (), "model", family="flux1-kontext", cfg=(1, 20, 3.5),
        cfg_field="guidance_scale", steps_field="", sides=None, most=4, negative=False, most_images=4,
        own=("aspect_ratio",),
    ),
)  # fmt: skip


def find_leaf(raw: Mapping[str, Any], path: str) -> tuple[Leaf, str]:
    """Return the kind of a body, and its operation. Raises `InvalidInput` with the known words.

    The body's words may be in any case.
    """
    engine = known_word(raw, "engine", [leaf.engine for leaf in LEAVES], path)
    leaves = [leaf for leaf in LEAVES if leaf.engine == engine]
    group_field = leaves[0].group_field
    group = known_word(raw, group_field, [leaf.group for leaf in leaves], path)
    leaves = [leaf for leaf in leaves if leaf.group == group]
    operation = ""
    if leaves[0].operations:
        known = [operation for leaf in leaves for operation in leaf.operations]
        operation = known_word(raw, "operation", known, path)
    able = [leaf for leaf in leaves if not operation or operation in leaf.operations]
    field = able[0].model_field
    if able[0].model in ("", AIR):
        return able[0], operation
    alias = to_camel(field)
    if raw.get(alias) is None and not able[0].model_required:
        return next((leaf for leaf in able if leaf.is_default), able[0]), operation
    every = known_word(raw, alias, [leaf.model for leaf in leaves], path)
    chosen = next((leaf for leaf in able if leaf.model == every), None)
    if chosen is None:
        words = ", ".join(leaf.model for leaf in able)
        raise InvalidInput.at(f"{path}.{alias}", f"is {every}, which has no {operation}; one of {words}")
    return chosen, operation


def known_word(raw: Mapping[str, Any], field: str, known: Sequence[str], path: str) -> str:
    """Return the known spelling of a word in a body. Raises `InvalidInput`."""
    names = list(dict.fromkeys(known))
    given = raw.get(field)
    if given is None:
        raise InvalidInput.at(f"{path}.{field}", f"is required; one of {', '.join(names)}")
    found = next((name for name in names if isinstance(given, str) and name.lower() == given.lower()), None)
    if found is None:
        raise InvalidInput.at(f"{path}.{field}", f"is {str(given)[:40]!r}; one of {', '.join(names)}")
    return found


@cache
def fields_of(leaf: Leaf, operation: str) -> type[StepFields]:
    """Return the model of a body."""
    fields: dict[str, Any] = {
        "engine": (str, ...),
        leaf.group_field: (str, ...),
        **({"operation": (str, ...)} if operation else {}),
        **({leaf.model_field: (str, ...)} if leaf.model else {}),
        "prompt": (Annotated[str, Field(max_length=leaf.prompt_chars)], ...),
        **(
            {"negative_prompt": _optional(Annotated[str, Field(max_length=leaf.prompt_chars)])}
            if leaf.negative
            else {}
        ),
        **({leaf.model_from: _optional(str)} if leaf.model_from else {}),
        "quantity": (Whole, Field(1, ge=1, le=leaf.most)),
        "seed": _optional(Seed),
        **({leaf.steps_field: _number(Whole, leaf.steps)} if leaf.steps_field else {}),
        leaf.cfg_field: _number(Real, leaf.cfg),
        "loras": _optional(LoraItems if leaf.lora_list else LoraStrengths),
        "output_format": _optional(OutputFormat),
        "image_metadata": _optional(str),
        **({"clip_skip": (Whole, Field(2, ge=-1, le=12))} if leaf.clip_skip else {}),
        **_picture_fields(leaf, operation),
        **_sampling_fields(leaf),
        **{name: OWN[name] for name in leaf.own},
    }
    if leaf.sides is not None:
        fields |= {"width": _number(Whole, leaf.sides), "height": _number(Whole, leaf.sides)}
    if leaf.controls:
        fields["control_nets"] = _optional(Annotated[list[StepControlNet], Field(max_length=16)])
    return create_model(f"ImageGen {leaf.title} {operation}".rstrip(), __base__=StepFields, **fields)


def _picture_fields(leaf: Leaf, operation: str) -> dict[str, Any]:
    if operation == VARIANT:
        strength = ("denoise_strength", 0.75) if leaf.engine == "comfy" else ("strength", 0.7)
        return {"image": (Picture, ...), strength[0]: _number(Real, (0, 1, strength[1]))}
    if operation == EDIT:
        return {"images": (list[str], Field(min_length=1, max_length=leaf.most_images))}
    if not leaf.operations:
        return {"images": _optional(Annotated[list[str], Field(max_length=leaf.most_images)])}
    return {}


def _sampling_fields(leaf: Leaf) -> dict[str, Any]:
    if leaf.sampling == "sdcpp":
        methods, schedules = tuple(images.SDCPP_METHODS), tuple(images.SDCPP_SCHEDULES)
        return {
            "sample_method": _optional(Annotated[str, one_of(methods)]),
            "schedule": _optional(Annotated[str, one_of(schedules)]),
        }
    sampler = _optional(ComfySampler)
    if leaf.sampling == "comfy":
        return {"sampler": sampler, "scheduler": _optional(Annotated[str, one_of(SCHEDULERS)])}
    return {"sampler": sampler} if leaf.sampling else {}


def _number(kind: Any, bounds: Bounds) -> tuple[Any, Any]:
    least, most, default = bounds
    if kind is Real:
        return Real, Field(default, ge=least, le=most, allow_inf_nan=False)
    return kind, Field(default, ge=least, le=most)
