"""Bodies of imageGen for models of other vendors: one job a picture, made by an endpoint of fal."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, create_model
from pydantic.alias_generators import to_camel

from imagemill.api.base import Services
from imagemill.dialects.civitai_v1.requests import seed_of
from imagemill.dialects.civitai_v2.steps.base import ParsedStep, RecipeInput
from imagemill.dialects.civitai_v2.steps.fields import (
    FORMATS,
    OutputFormat,
    StepFields,
    check_prompts,
    drawn_seed,
    read_fields,
)
from imagemill.dialects.civitai_v2.steps.leaves import CREATE, EDIT, known_word
from imagemill.dialects.civitai_v2.vendor_recipe import NAME
from imagemill.dialects.civitai_v2.vendors import ARGUMENTS, VALUES, StyleReference, Vendor
from imagemill.domain.errors import InvalidInput
from imagemill.web.body_fields import Whole

_FAL = "fal"
"""The name of the backend."""
_UNSENT = frozenset({"width", "height", "negative_prompt"})
_MODELS: dict[tuple[str, str], type[StepFields]] = {}
_PIXELS_ONLY = "openai/gpt-image-2"
"""The beginning of the paths that take a size as an object only."""


def parse_vendor(vendor: Vendor, raw: Mapping[str, Any], path: str, services: Services) -> ParsedStep:
    operation = _operation(vendor, raw, path)
    model = vendor_fields(vendor, operation)
    given = read_fields(model, {**raw, **_spelled(vendor, operation)}, path)
    values = {name: getattr(given, name) for name in model.model_fields}
    check_prompts(
        path, {"prompt": values["prompt"], "negativePrompt": values.get("negative_prompt")}, services
    )
    endpoint, arguments, pictures = _call(vendor, operation, values)
    _check_configured(vendor, endpoint, path, services)
    seed = drawn_seed(values.get("seed"))
    wanted: dict[str, Any] = {
        "endpoint": endpoint,
        "prompt": values["prompt"],
        "negative_prompt": values.get("negative_prompt"),
        "arguments": arguments,
        "pictures": pictures or None,
        "format": FORMATS[values["output_format"]] if values["output_format"] else None,
    }
    base = {name: value for name, value in wanted.items() if value is not None}
    names = {
        "negative_prompt": "negativePrompt",
        "pictures": "images",
        "format": "outputFormat",
        "endpoint": to_camel(vendor.model_field) if vendor.model else "engine",
        "model": "engine",
    }
    jobs = tuple(
        RecipeInput(NAME, {**base, "seed": seed_of(seed, index)}, names)
        for index in range(values[vendor.quantity_field])
    )
    shown = given.shown()
    return ParsedStep({**shown, "seed": seed} if "seed" in vendor.fields else shown, jobs)


def _operation(vendor: Vendor, raw: Mapping[str, Any], path: str) -> str:
    if not vendor.endpoints:
        raise InvalidInput.at(
            f"{path}.{vendor.model_field}",
            f"names {vendor.title}, which fal.ai does not have; it runs the models of other vendors here",
        )
    if vendor.has_operation:
        return known_word(raw, "operation", tuple(vendor.endpoints), path)
    return EDIT if raw.get("images") and EDIT in vendor.endpoints else CREATE


def _is_edit(operation: str) -> bool:
    return "edit" in operation.lower()


def _spelled(vendor: Vendor, operation: str) -> dict[str, str]:
    """Return the words that choose a body, in the spelling of the API."""
    words = {"engine": vendor.engine}
    if vendor.model:
        words[vendor.model_field] = vendor.model
    if vendor.has_operation:
        words["operation"] = operation
    return words


def vendor_fields(vendor: Vendor, operation: str) -> type[StepFields]:
    """Return the model of a body."""
    key = (vendor.title, operation)
    if key not in _MODELS:
        _MODELS[key] = _made_fields(vendor, operation)
    return _MODELS[key]


def _made_fields(vendor: Vendor, operation: str) -> type[StepFields]:
    pictures: Any = Annotated[list[str], Field(min_length=1, max_length=vendor.most_images)]
    format_: Any = OutputFormat
    fields: dict[str, Any] = {
        **dict.fromkeys(_spelled(vendor, operation), (str, ...)),
        "prompt": (Annotated[str, Field(min_length=1, max_length=vendor.prompt_chars)], ...),
        vendor.quantity_field: (Whole, Field(1, ge=1, le=vendor.most)),
        "output_format": (format_ | None, None),
        "image_metadata": (str | None, None),
        **vendor.fields,
    }
    if _is_edit(operation):
        fields["images"] = (pictures, ...)
    return create_model(f"ImageGen {vendor.title} {operation}", __base__=StepFields, **fields)


def _call(vendor: Vendor, operation: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any], list[str]]:
    """Return the endpoint's path, its arguments, and the pictures that they name."""
    path = vendor.endpoints[operation].replace("{size}", str(values.get("size")))
    pictures: list[str] = list(values.get("images") or ())
    marks = [f"{{picture-{index}}}" for index in range(len(pictures))]
    arguments: dict[str, Any] = {}
    if pictures and vendor.one_picture and len(pictures) == 1:
        arguments[vendor.one_picture] = marks[0]
    elif pictures:
        path += vendor.several
        arguments["image_urls"] = marks
    for name in vendor.fields:
        value = values[name]
        if (
            value is None
            or name in {*vendor.ignored, *_UNSENT}
            or f"{{{name}}}" in vendor.endpoints[operation]
        ):
            continue
        if name == "image_style_references":
            value = [_style(each, pictures) for each in value]
        elif name == "size" and path.startswith(_PIXELS_ONLY):
            value = dict(zip(("width", "height"), map(int, value.split("x")), strict=True))
        elif name in VALUES:
            value = VALUES[name].get(value, value)
        arguments[ARGUMENTS.get(name, name)] = value
    if "seed" in vendor.fields:
        arguments["seed"] = 0  # the job's own takes its place
    if values.get("width") and values.get("height"):
        arguments["image_size"] = {"width": values["width"], "height": values["height"]}
    return path, arguments, pictures


def _style(reference: StyleReference, pictures: list[str]) -> dict[str, Any]:
    pictures.append(reference.image_url)
    return {"image_url": f"{{picture-{len(pictures) - 1}}}", "strength": reference.strength}


def _check_configured(vendor: Vendor, endpoint: str, path: str, services: Services) -> None:
    if _FAL not in services.backends:
        raise InvalidInput.at(
            f"{path}.engine",
            f"{vendor.title} is run by fal.ai, which is not configured here: set IMAGEMILL_FAL__KEY, and the "
            f"price of {endpoint} in IMAGEMILL_FAL__PRICES",
        )
