"""The step type ``imageGen``: bodies of many engines and models, read by the table of `leaves`."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel

from imagemill.api.base import Services
from imagemill.dialects.civitai_v1.requests import seed_of
from imagemill.dialects.civitai_v2.steps.base import ParsedStep, RecipeInput, StepType
from imagemill.dialects.civitai_v2.steps.fields import (
    FORMATS,
    StepFields,
    check_prompts,
    control_inputs,
    drawn_seed,
    find_model_family,
    pictures_output,
    read_fields,
)
from imagemill.dialects.civitai_v2.steps.leaves import (
    AIR,
    LEAVES,
    VARIANT,
    Leaf,
    LoraItem,
    fields_of,
    find_leaf,
    known_word,
)
from imagemill.dialects.civitai_v2.steps.vendor_images import parse_vendor
from imagemill.dialects.civitai_v2.vendors import VENDORS, Vendor
from imagemill.domain import images
from imagemill.domain.air import file_air
from imagemill.domain.errors import InvalidInput
from imagemill.graphs.families.rows import matches, normalise_name
from imagemill.model_registry.registry import DEFAULT_TAG, Registry

_AREA = 1024 * 1024
"""Pixels of a picture whose body has only an aspect ratio."""
_GRID = 16
_VERSIONS = {
    "qwen_create": {"latest": "2512", "2512": "2512", "2509": "original"},
    "qwen_edit": {"latest": "2511", "2511": "2511", "2509": "2509"},
}
"""Field -> version -> variant of the family."""


def parse_image_gen(raw: Any, path: str, services: Services) -> ParsedStep:
    if not isinstance(raw, Mapping):
        raise InvalidInput.at(path, "must be an object")
    vendor = _vendor(raw, path)
    if vendor is not None:
        return parse_vendor(vendor, raw, path, services)
    leaf, operation = find_leaf(raw, path)
    model = fields_of(leaf, operation)
    spelled = {"engine": leaf.engine, leaf.group_field: leaf.group}
    if operation:
        spelled["operation"] = operation
    if leaf.model not in ("", AIR):
        spelled[model.model_fields[leaf.model_field].alias or leaf.model_field] = leaf.model
    given = read_fields(model, {**raw, **spelled}, path)
    values = {name: getattr(given, name) for name in model.model_fields}
    check_prompts(
        path, {"prompt": values["prompt"], "negativePrompt": values.get("negative_prompt")}, services
    )
    seed = drawn_seed(values["seed"])
    base = _recipe_input(leaf, operation, values, path, services)
    names = _names(leaf, model)
    jobs = tuple(
        RecipeInput("textToImage", {**base, "seed": seed_of(seed, index)}, names)
        for index in range(values["quantity"])
    )
    return ParsedStep({**given.shown(), "seed": seed}, jobs)


def _vendor(raw: Mapping[str, Any], path: str) -> Vendor | None:
    """Return the model of another vendor that a body names; None for one that nodes can run.

    Raises `InvalidInput` with the known engines, and the models of an engine.
    """
    engine = known_word(raw, "engine", [each.engine for each in (*LEAVES, *VENDORS)], path)
    vendors = [each for each in VENDORS if each.engine == engine]
    if not vendors or not vendors[0].model:
        return vendors[0] if vendors else None
    field = vendors[0].model_field
    usual = next((each for each in vendors if each.is_default), None)
    if raw.get(field) is None and usual is not None:
        return usual
    local = [leaf.group for leaf in LEAVES if leaf.engine == engine]
    model = known_word(raw, field, [*local, *(each.model for each in vendors)], path)
    return next((each for each in vendors if each.model == model), None)


def _recipe_input(
    leaf: Leaf, operation: str, values: Mapping[str, Any], path: str, services: Services
) -> dict[str, Any]:
    steps = values[leaf.steps_field] if leaf.steps_field else None
    wanted: dict[str, Any] = {
        "model": _model(leaf, values, path, services),
        "prompt": values["prompt"],
        "negative_prompt": values.get("negative_prompt"),
        "steps": steps,
        "cfg_scale": values[leaf.cfg_field],
        "networks": _networks(leaf, values),
        "controls": control_inputs(f"{path}.controlNets", values.get("control_nets"), steps or 30),
        "format": FORMATS[values["output_format"]] if values["output_format"] else None,
        "image": values.get("image"),
        "references": values.get("images"),
        **_size(leaf, values),
        **_sampling(values),
    }
    if operation == VARIANT:
        wanted["denoise"] = values.get("denoise_strength", values.get("strength"))
    if leaf.clip_skip:
        wanted["clip_skip"] = max(values["clip_skip"], 0)
    return {name: value for name, value in wanted.items() if value is not None}


def _model(leaf: Leaf, values: Mapping[str, Any], path: str, services: Services) -> str:
    """Return the AIR of the model. Raises `InvalidInput` for one of another family than the ecosystem's."""
    if values.get("unconditional_diffusion_model"):
        raise InvalidInput.at(
            f"{path}.unconditionalDiffusionModel",
            "cannot be chosen: the node's own file of the unconditional model is used; leave it out",
        )
    field = _air_field(leaf)
    air = values.get(field) if field else None
    if air is None:
        version = next((name for name in leaf.own if name in _VERSIONS), None)
        variant = _VERSIONS[version][values[version]] if version else leaf.variant
        return choose_model(services.registry, leaf, variant, path)
    found = find_model_family(services, f"{path}.{to_camel(field)}", air)
    if leaf.model == AIR and found is not None and found.family.name != leaf.family:
        raise InvalidInput.at(
            f"{path}.{to_camel(field)}",
            f"is of the family {found.family.name}, and the ecosystem is {leaf.group}",
        )
    return air


def _air_field(leaf: Leaf) -> str:
    """Return the field with the AIR of the model; empty where there is none."""
    if leaf.model == AIR:
        return leaf.model_field
    return "diffuser_model" if "diffuser_model" in leaf.own else leaf.model_from


def choose_model(registry: Registry, leaf: Leaf, variant: str, path: str) -> str:
    """Return the AIR of a file of a model family's variant, one that a node has if any has one.

    Files with the tag ``default`` come first, then the names under which the variant is published. Without a
    file on a node, it is the published one, which the job's refusal names.
    """
    families = registry.installed.families
    family = families.get(leaf.family)
    wanted = family.variants.get(variant or family.default) if family is not None else None
    if family is None or wanted is None:
        raise InvalidInput.at(
            f"{path}.{to_camel(_model_field(leaf))}", f"names {leaf.title}, of which no graph is known here"
        )
    name = variant or family.default
    there = [
        model.file.name
        for model in registry.installed.all()
        if model.file.kind == "checkpoint"
        and (found := families.find(leaf.family, model.file.name)) is not None
        and matches(family.match, normalise_name(model.file.name))
        and (found.family.name, found.variant_name) == (family.name, name)
    ]
    published = [file.lower() for file in wanted.files]

    def rank(file: str) -> tuple[bool, int, str]:
        base = file.replace("\\", "/").rsplit("/", 1)[-1].lower()
        known = published.index(base) if base in published else len(published)
        registered = registry.of_file(file)
        tags = registered.body.get("tags") or () if registered is not None else ()
        return DEFAULT_TAG not in tags, known, file

    chosen = min(there, key=rank, default=wanted.files[0])
    ecosystem = next(iter((*wanted.ecosystems, *family.ecosystems)), family.name)
    return str(file_air(chosen, "checkpoint", ecosystem))


def _networks(leaf: Leaf, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    loras = values["loras"] or {}
    strengths = (
        {item.air: item.strength for item in loras if isinstance(item, LoraItem)}
        if leaf.lora_list
        else dict(loras)
    )
    found: list[dict[str, Any]] = [{"air": air, "strength": strength} for air, strength in strengths.items()]
    found += [{"air": air, "type": "embedding"} for air in values.get("embeddings") or ()]
    for name, kind in (
        ("vae_model", "vae"),
        ("flux1_vae_model", "vae"),
        ("clip_l_model", "text_encoders"),
        ("t5_xxl_model", "text_encoders"),
    ):
        if values.get(name):
            found.append({"air": values[name], "type": kind})
    return found


def _size(leaf: Leaf, values: Mapping[str, Any]) -> dict[str, int]:
    """Return the size; empty where the picture gets that of its source."""
    if "aspect_ratio" in leaf.own:
        ratio = values["aspect_ratio"] or (None if values.get("images") else "1:1")
        return sides_of(ratio) if ratio else {}
    width, height = values.get("width"), values.get("height")
    return {"width": width, "height": height} if width and height else {}


def sides_of(ratio: str) -> dict[str, int]:
    """Return width and height of a picture of one megapixel with an aspect ratio such as ``16:9``."""
    across, down = (int(part) for part in ratio.split(":"))
    width = math.sqrt(_AREA * across / down)
    return {
        "width": _GRID * round(width / _GRID),
        "height": _GRID * round(_AREA / width / _GRID),
    }


def _sampling(values: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    if method := values.get("sample_method"):
        found["sampler"] = images.SDCPP_METHODS[method]
    if schedule := values.get("schedule"):
        found["scheduler"] = images.SDCPP_SCHEDULES[schedule]
    if sampler := values.get("sampler"):
        found["sampler"] = sampler
    if scheduler := values.get("scheduler"):
        found["scheduler"] = scheduler
    return found


def _names(leaf: Leaf, model: type[StepFields]) -> dict[str, str]:
    """Return field of the recipe -> field of the body, where they differ."""
    own = {
        "negative_prompt": "negative_prompt",
        "cfg_scale": leaf.cfg_field,
        "steps": leaf.steps_field or leaf.group_field,
        "denoise": "denoise_strength" if leaf.engine == "comfy" else "strength",
        "controls": "control_nets",
        "format": "output_format",
        "clip_skip": "clip_skip",
        "references": "images",
        "networks": "loras",
        "additionalNetworks": "loras",
        "sampler": "sample_method" if leaf.sampling == "sdcpp" else "sampler",
        "scheduler": "schedule" if leaf.sampling == "sdcpp" else "scheduler",
        "model": _model_field(leaf),
    }
    found = {field: _alias(model, name) for field, name in own.items()}
    return {field: name for field, name in found.items() if field != name}


def _model_field(leaf: Leaf) -> str:
    """Return the field that a refusal of the model is about."""
    if leaf.model == AIR or "diffuser_model" in leaf.own:
        return _air_field(leaf)
    return leaf.model_field if leaf.model else leaf.group_field


def _alias(model: type[StepFields], name: str) -> str:
    field = model.model_fields.get(name)
    return (field.alias or name) if field is not None else name


STEPS = (StepType("imageGen", parse_image_gen, pictures_output),)
