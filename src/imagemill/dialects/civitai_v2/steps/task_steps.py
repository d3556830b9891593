"""The step types that need no checkpoint: conversion, control pictures, enlargement, hashes, archives, ..."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from pydantic.alias_generators import to_camel, to_snake

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.steps.base import JobResult, ParsedStep, RecipeInput, StepType
from imagemill.dialects.civitai_v2.steps.fields import StepFields, read_fields
from imagemill.domain.blob_urls import archive_url
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.media.conversion import MOST_FRAMES
from imagemill.media.hashes import HASH_TYPES
from imagemill.recipes.tasks.convert import LARGEST_SIDE, MOST_REGIONS, MOST_STEPS
from imagemill.recipes.tasks.file_tasks import MOST_ENTRIES
from imagemill.recipes.tasks.picture_tasks import DEFAULT_UPSCALER
from imagemill.recipes.tasks.preprocess import ALL_KINDS, options_of
from imagemill.recipes.unions import branch, told_by
from imagemill.web.body_fields import Real, Whole, one_of

_PICTURE_TEXT = re.compile(r"(?:data:|https?://|blob:|output:|urn:air:)", re.IGNORECASE)
PictureText = Annotated[str, Field(min_length=1)]
"""A URL, data URL, ``blob:KEY`` or ``output:ID``."""


def as_picture(text: str) -> str:
    """Return a picture's text; base64 without the head of a data URL gets one."""
    return text if _PICTURE_TEXT.match(text) else f"data:image/png;base64,{text}"


def _blob(name: str) -> Callable[[Sequence[JobResult]], Mapping[str, Any]]:
    """Return the output of a step with one file, in this field."""

    def output(results: Sequence[JobResult]) -> Mapping[str, Any]:
        found = next((dict(blob) for result in results for blob in result.blobs), None)
        return ({name: found} if found is not None else {}) | errors_of(results)

    return output


def errors_of(results: Sequence[JobResult]) -> dict[str, Any]:
    """Return the field with the reasons of failures, if there are any."""
    errors = [result.error for result in results if result.error]
    return {"errors": errors} if errors else {}


def values_output(results: Sequence[JobResult]) -> Mapping[str, Any]:
    """Return the values of a step's only job."""
    return dict(results[0].values) | errors_of(results)


# echo, imageUpload


class EchoFields(StepFields):
    message: str


def parse_echo(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(EchoFields, raw, path)
    return ParsedStep(given.shown(), (RecipeInput("echo", {"message": given.message}),))


def parse_image_upload(raw: Any, path: str, services: Services) -> ParsedStep:
    """Read a picture's text, which is the whole input."""
    del services
    if not isinstance(raw, str) or not raw:
        raise InvalidInput.at(path, "should be a text: a URL, a data URL, or the picture in base64")
    return ParsedStep(raw, (RecipeInput("imageUpload", {"image": as_picture(raw)}),))


# convertImage


class ResizeFields(StepFields):
    type: Annotated[str, one_of(("resize",))]
    target_width: Whole | None = Field(None, ge=1, le=4096)


class RegionFields(StepFields):
    x1: Real = Field(allow_inf_nan=False)
    y1: Real = Field(allow_inf_nan=False)
    x2: Real = Field(allow_inf_nan=False)
    y2: Real = Field(allow_inf_nan=False)


class BlurFields(StepFields):
    type: Annotated[str, one_of(("blur",))]
    blur: Whole = Field(ge=1, le=100)
    mode: Annotated[str, one_of(("include", "exclude"))] = "include"
    regions: list[RegionFields] | None = Field(None, max_length=MOST_REGIONS)


class FormatFields(StepFields):
    hide_metadata: bool = False


class JpegFields(FormatFields):
    format: Annotated[str, one_of(("jpeg",))]
    quality: Whole = Field(85, ge=1, le=100)


class PngFields(FormatFields):
    format: Annotated[str, one_of(("png",))]


class WebpFields(FormatFields):
    format: Annotated[str, one_of(("webp",))]
    quality: Whole = Field(85, ge=1, le=100)
    lossless: bool = False
    max_frames: Whole | None = Field(None, ge=1)


class GifFields(FormatFields):
    format: Annotated[str, one_of(("gif",))]
    max_frames: Whole | None = Field(None, ge=1)


_Transform = Annotated[
    Annotated[ResizeFields, branch("resize")] | Annotated[BlurFields, branch("blur")],
    told_by("type", "resize", "blur"),
]
_Format = Annotated[
    Annotated[JpegFields, branch("jpeg")]
    | Annotated[PngFields, branch("png")]
    | Annotated[WebpFields, branch("webp")]
    | Annotated[GifFields, branch("gif")],
    told_by("format", "jpeg", "png", "webp", "gif"),
]


class ConvertFields(StepFields):
    image: PictureText
    transforms: list[_Transform] | None = Field(None, max_length=MOST_STEPS)
    output: _Format
    public: bool | None = Field(None, description="Has no effect.")


def parse_convert(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(ConvertFields, raw, path)
    transforms = list(given.transforms or ())
    # One that changes nothing stays, so that errors name the others by their numbers.
    steps = [_resize(each) if isinstance(each, ResizeFields) else _blur(each) for each in transforms]
    output = given.output
    wanted: dict[str, Any] = {
        "image": as_picture(given.image),
        "transforms": steps,
        "format": output.format,
        "hide_metadata": output.hide_metadata,
    }
    if isinstance(output, (JpegFields, WebpFields)):
        wanted["quality"] = output.quality
    if isinstance(output, WebpFields):
        wanted["lossless"] = output.lossless
    if isinstance(output, (WebpFields, GifFields)) and output.max_frames is not None:
        wanted["max_frames"] = min(output.max_frames, MOST_FRAMES)
    own = ("format", "quality", "lossless", "max_frames", "hide_metadata")
    names: dict[str, str] = {name: "output" for name in own}  # noqa: C420 - the type of the names
    return ParsedStep(given.shown(), (RecipeInput("convertImage", wanted, names),))


def _resize(given: ResizeFields) -> dict[str, Any]:
    return {"type": "resize"} | ({} if given.target_width is None else {"width": given.target_width})


def _blur(given: BlurFields) -> dict[str, Any]:
    regions = [
        {name: min(max(value, 0), LARGEST_SIDE) for name, value in region.model_dump().items()}
        for region in given.regions or ()
    ]
    return {"type": "blur", "blur": given.blur, "mode": given.mode, "regions": regions}


# imageUpscaler, imageBackgroundRemoval


class UpscalerFields(StepFields):
    image: PictureText
    model: str = Field(DEFAULT_UPSCALER, min_length=1)
    number_of_repeats: Whole = Field(1, ge=1, le=3)


def parse_upscaler(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(UpscalerFields, raw, path)
    wanted = {"image": as_picture(given.image), "model": given.model, "repeats": given.number_of_repeats}
    names = {"repeats": "numberOfRepeats"}
    return ParsedStep(given.shown(), (RecipeInput("imageUpscaler", wanted, names),))


class BackgroundRemovalFields(StepFields):
    image: PictureText
    format: Annotated[str, one_of(("png", "webp"))] = "png"


def parse_background_removal(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(BackgroundRemovalFields, raw, path)
    wanted = {"image": as_picture(given.image), "format": given.format}
    return ParsedStep(given.shown(), (RecipeInput("imageBackgroundRemoval", wanted),))


def removal_output(results: Sequence[JobResult]) -> Mapping[str, Any]:
    """Return the picture under its name of today, ``image``, and under its former one, ``blob``."""
    output = dict(_blob("image")(results))
    return output | ({"blob": output["image"]} if "image" in output else {})


# preprocessImage


class PreprocessFields(StepFields):
    kind: Annotated[str, one_of(ALL_KINDS)]
    image: PictureText
    resolution: Whole = Field(512, ge=64, le=4096)


def parse_preprocess(raw: Any, path: str, services: Services) -> ParsedStep:
    """Read the common fields, and the options of the kind beside them."""
    del services
    common = {*PreprocessFields.model_fields, "preprocessorType"}
    given = raw if isinstance(raw, dict) else {}
    basic = {name: value for name, value in given.items() if name in PreprocessFields.model_fields}
    fields = read_fields(PreprocessFields, basic if isinstance(raw, dict) else raw, path)
    others = {name: value for name, value in given.items() if name not in common and value is not None}
    options = _options(fields.kind, others, path)
    wanted = {
        "kind": fields.kind,
        "image": as_picture(fields.image),
        "resolution": fields.resolution,
        "options": options,
    }
    shown = {**fields.shown(), **others}
    return ParsedStep(shown, (RecipeInput("preprocessImage", wanted),))


def _options(kind: str, given: Mapping[str, Any], path: str) -> dict[str, Any]:
    known = options_of(kind)
    errors: list[FieldError] = []
    options: dict[str, Any] = {}
    for name, value in given.items():
        option = known.get(to_snake(name))
        if option is None or to_camel(to_snake(name)) != name:
            there = ", ".join(map(to_camel, known)) or "none"
            message = f"is not a field of {kind}, whose options are: {there}"
            errors.append(FieldError(f"{path}.{name[:40]}", message))
            continue
        try:
            option.value(value)
        except ValueError as error:
            errors.append(FieldError(f"{path}.{name}", str(error)))
        options[to_snake(name)] = value
    if errors:
        raise InvalidInput(errors)
    return options


# mediaHash, blobArchive


class HashFields(StepFields):
    media_url: PictureText
    hash_types: list[Annotated[str, one_of(HASH_TYPES)]] = Field(min_length=1, max_length=10)


def parse_hash(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(HashFields, raw, path)
    wanted = {"image": as_picture(given.media_url), "types": list(dict.fromkeys(given.hash_types))}
    names = {"image": "mediaUrl", "types": "hashTypes"}
    return ParsedStep(given.shown(), (RecipeInput("mediaHash", wanted, names),))


class ArchiveEntryFields(StepFields):
    blob_id: str = Field(min_length=1, max_length=200)
    file_name: str | None = Field(None, max_length=1000)


class ArchiveFields(StepFields):
    entries: list[ArchiveEntryFields] = Field(min_length=1, max_length=MOST_ENTRIES)
    archive_name: str | None = Field(None, max_length=200)
    format: Annotated[str, one_of(("zip", "tar"))] = "zip"


def parse_archive(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(ArchiveFields, raw, path)
    entries = [
        # A reference has become the picture's source.
        {
            "image": each.blob_id if _PICTURE_TEXT.match(each.blob_id) else f"blob:{each.blob_id}",
            "name": each.file_name or each.blob_id,
        }
        for each in given.entries
    ]
    wanted = {"entries": entries, "format": given.format, "name": given.archive_name or ""}
    names = {"name": "archiveName"}
    return ParsedStep(given.shown(), (RecipeInput("blobArchive", wanted, names),))


def archive_output(results: Sequence[JobResult]) -> Mapping[str, Any]:
    result = results[0]
    blob = result.blobs[0] if result.blobs else {}
    if "url" not in blob:
        return errors_of(results)
    values = result.values
    return {
        "url": archive_url(blob["url"], values["name"]),
        "entryCount": values["entryCount"],
        "format": values["format"],
        "expiresAt": blob["urlExpiresAt"],
    }


# prepareResource


class PrepareFields(StepFields):
    resource: str = Field(min_length=1, max_length=512)


def parse_prepare(raw: Any, path: str, services: Services) -> ParsedStep:
    del services
    given = read_fields(PrepareFields, raw, path)
    return ParsedStep(given.shown(), (RecipeInput("prepareResource", {"resource": given.resource}),))


def prepare_output(results: Sequence[JobResult]) -> Mapping[str, Any]:
    output = dict(values_output(results))
    if "preparedAt" in output:
        output["preparedAt"] = str(output["preparedAt"]).replace("+00:00", "Z")
    return output


STEPS: tuple[StepType, ...] = (
    StepType("blobArchive", parse_archive, archive_output),
    StepType("convertImage", parse_convert, _blob("blob")),
    StepType("echo", parse_echo, values_output),
    StepType("imageBackgroundRemoval", parse_background_removal, removal_output),
    StepType("imageUpload", parse_image_upload, _blob("blob")),
    StepType("imageUpscaler", parse_upscaler, _blob("blob")),
    StepType("mediaHash", parse_hash, values_output),
    StepType("prepareResource", parse_prepare, prepare_output),
    StepType("preprocessImage", parse_preprocess, _blob("blob")),
)
