"""Map a backend-neutral render to a fal request: its path, input and cost, and the reasons why fal cannot
do it."""

import base64
import io
import math
from collections.abc import Mapping
from typing import Any

from imagemill.backends.fal.settings import FalModel, FalSettings, is_path
from imagemill.backends.paid_calls import MILLIONTHS
from imagemill.domain.air import InvalidAir, parse
from imagemill.domain.dataclass import dataclass
from imagemill.domain.images import ImageSpec, RemoteCall, RenderSpec, WorkerSpec
from imagemill.graphs.json_access import is_array, is_object, mapping
from imagemill.media.intake import parse as parse_layout
from imagemill.media.layout import ORIENTATION

SOURCE = "fal"
"""Source of an AIR whose id is a fal path: ``urn:air:flux1:checkpoint:fal:fal-ai/flux/dev``."""
_PREFIX = "fal:"


@dataclass(frozen=True, slots=True)
class FalRequest:
    """One request, ready to be sent."""

    path: str
    arguments: Mapping[str, Any]
    cost: int | None
    """Expected cost in millionths of a dollar; None if the path's price is not known."""


def model_of(settings: FalSettings, air: str) -> FalModel | None:
    """The fal model for a checkpoint; None if there is none."""
    try:
        parsed = parse(air)
    except InvalidAir:
        return None
    if not parsed.is_checkpoint:
        return None
    for name, model in settings.known_models.items():
        if _key(name) == parsed.key:
            return model
    if parsed.source.lower() == SOURCE:
        return _model_of_path(settings, parsed.id)
    return settings.known_models.get(parsed.family)


def _key(name: str) -> str:
    """Return the key of a model that the settings name by its AIR; another name as it is."""
    try:
        return parse(name).key
    except InvalidAir:
        return name


def _model_of_path(settings: FalSettings, path: str) -> FalModel | None:
    known = (model for model in settings.known_models.values() if model.path == path)
    return next(known, FalModel(path=path, image_path=f"{path}/image-to-image") if is_path(path) else None)


def unsupported_reason(settings: FalSettings, work: RenderSpec) -> str | None:
    """The reason why fal cannot render this, in one sentence; None if it can."""
    if isinstance(work, WorkerSpec):
        return f"fal does not run {work.title}"
    if not isinstance(work, ImageSpec):
        return "fal does not support ComfyUI graphs"
    if work.remote is not None:
        return _too_expensive(settings, path_for(settings, work) or "", work, priced=True)
    model = model_of(settings, work.model)
    if model is None:
        return (
            f"fal has no path for {work.model}: set one in IMAGEMILL_FAL__MODELS, or use a checkpoint whose "
            "AIR has the source fal"
        )
    if path_of(model, work) is None:
        return f"fal's {model.path} has no image-to-image: set its image_path in IMAGEMILL_FAL__MODELS"
    return (
        _unsupported_feature(work)
        or _unsupported_size(settings, work)
        or _too_expensive(settings, path_of(model, work) or "", work)
    )


def _unsupported_feature(work: ImageSpec) -> str | None:
    if work.networks:
        return f"additional networks are not supported on fal, and the job has {work.networks[0].air}"
    if work.mask:
        return "masks are not supported on fal"
    if work.controls:
        return "ControlNets are not supported on fal"
    if work.upscale:
        return "upscalers are not supported on fal"
    if work.format not in ("png", "jpeg"):
        return f"fal makes png and jpeg, not {work.format}"
    return None


def _unsupported_size(settings: FalSettings, work: ImageSpec) -> str | None:
    low, high, step = settings.smallest_side, settings.largest_side, settings.side_step
    for side, name in ((work.width, "width"), (work.height, "height")):
        if not low <= side <= high:
            return f"sides on fal must be from {low} to {high} pixels, and the {name} is {side}"
        if side % step:
            return f"sides on fal must be multiples of {step} pixels, and the {name} is {side}"
    if work.count > settings.images:
        return f"a request to fal has at most {settings.images} pictures, not {work.count}"
    return None


def _too_expensive(settings: FalSettings, path: str, work: ImageSpec, *, priced: bool = False) -> str | None:
    """``priced``: a price must be known even if costs are not limited."""
    cost = cost_of(settings, path, work)
    most = settings.cost_per_job
    if cost is None and priced:
        return f"the price of fal's {path} is not known: set it in IMAGEMILL_FAL__PRICES"
    if cost is None:
        if most is None and settings.cost_per_day is None:
            return None
        return (
            f"the price of fal's {path} is not known, and costs are limited: set it in IMAGEMILL_FAL__PRICES"
        )
    ceilings = [each for each in (most, settings.cost_per_day) if each is not None]
    if ceilings and cost > round(min(ceilings) * MILLIONTHS):
        return (
            f"fal would cost {cost / MILLIONTHS:.4f} dollars, above the limit of {min(ceilings):.4f} in "
            "IMAGEMILL_FAL__COST_PER_JOB and IMAGEMILL_FAL__COST_PER_DAY"
        )
    return None


def path_of(model: FalModel, work: ImageSpec) -> str | None:
    return model.image_path if work.image else model.path


def path_for(settings: FalSettings, work: ImageSpec) -> str | None:
    """The path that a render is sent to; None if fal has none for its model."""
    if work.remote is not None:
        return _own_path(settings, work.model) or work.remote.path
    model = model_of(settings, work.model)
    return path_of(model, work) if model is not None else None


def _own_path(settings: FalSettings, air: str) -> str | None:
    """The path that the settings name for a model by its AIR; None if they do not name it."""
    named = (model.path for name, model in settings.models.items() if name.lower() == air.lower())
    return next(named, None)


def cost_of(settings: FalSettings, path: str, work: ImageSpec) -> int | None:
    """Expected cost in millionths of a dollar, rounded up like a bill; None if the price is not known."""
    price = settings.price_of(path)
    if price is None:
        return None
    megapixels = math.ceil(work.width * work.height / 1e6)
    each = price.per_image + price.per_megapixel * megapixels
    factor = work.remote.cost_factor if work.remote is not None else 1.0
    return math.ceil(round(each * factor * work.count * MILLIONTHS, 3))


def fal_request(settings: FalSettings, work: ImageSpec, inputs: Mapping[str, bytes]) -> FalRequest:
    """The request for a render. Raises ValueError if it is unsupported."""
    if work.remote is not None:
        return _remote_request(settings, work, work.remote, inputs)
    model, path = model_of(settings, work.model), path_for(settings, work)
    if model is None or path is None:
        raise ValueError(unsupported_reason(settings, work))
    arguments: dict[str, Any] = {
        **model.extra,
        "prompt": work.prompt,
        "image_size": {"width": work.width, "height": work.height},
        "num_inference_steps": work.steps,
        "seed": work.seed,
        "guidance_scale": work.cfg_scale if work.guidance is None else work.guidance,
        "num_images": work.count,
        "enable_safety_checker": settings.safety_checker,
        "output_format": work.format,
    }
    if model.negative_prompt and work.negative_prompt:
        arguments["negative_prompt"] = work.negative_prompt
    if work.image:
        arguments["image_url"] = _fit_source(inputs[work.image], work.width, work.height)
        arguments["strength"] = work.denoise
    return FalRequest(path, arguments, cost_of(settings, path, work))


def _remote_request(
    settings: FalSettings, work: ImageSpec, remote: RemoteCall, inputs: Mapping[str, bytes]
) -> FalRequest:
    urls = {f"{{{name}}}": _data_url(inputs[name]) for name in remote.pictures}
    path = path_for(settings, work) or remote.path
    arguments: dict[str, Any] = {**_filled(remote.arguments, urls), "prompt": work.prompt}
    if work.negative_prompt:
        arguments["negative_prompt"] = work.negative_prompt
    if "seed" in arguments:
        arguments["seed"] = work.seed
    if "enable_safety_checker" in arguments:
        arguments["enable_safety_checker"] = settings.safety_checker
    return FalRequest(path, arguments, cost_of(settings, path, work))


def _filled(value: Any, urls: Mapping[str, str]) -> Any:
    """Return a JSON value with URLs in place of the texts that are their keys."""
    if isinstance(value, str):
        return urls.get(value, value)
    if is_object(value):
        return {name: _filled(each, urls) for name, each in mapping(value).items()}
    return [_filled(each, urls) for each in value] if is_array(value) else value


def _data_url(data: bytes) -> str:
    return f"data:{parse_layout(data).media_type};base64,{base64.b64encode(data).decode()}"


def _fit_source(data: bytes, width: int, height: int) -> str:
    """The source scaled and cropped to the requested size, as a data URL: fal would keep the source's
    size."""
    from PIL import Image, ImageOps

    from imagemill.media.pixels import on_white, plain

    with Image.open(io.BytesIO(data)) as source:
        source.load()
        shown = on_white(plain(source, data))
        shown.getexif().update({ORIENTATION: source.getexif().get(ORIENTATION, 1)})
    upright = ImageOps.exif_transpose(shown)
    file = io.BytesIO()
    ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS).save(file, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


# References: ``fal:path:request id``.


def reference_of(path: str, request_id: str) -> str:
    return f"{_PREFIX}{path}:{request_id}"


def request_of(reference: str) -> tuple[str, str] | None:
    """Path and request id of a reference; None for Imagemill's own id, before anything was sent."""
    if not reference.startswith(_PREFIX):
        return None
    path, separator, request_id = reference.removeprefix(_PREFIX).partition(":")
    return (path, request_id) if separator and path and request_id else None
