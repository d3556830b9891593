"""The table of imageGen's engines of other vendors: their fields, and the endpoints of fal that run them."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field

from imagemill.dialects.civitai_v2.steps.fields import MAX_PROMPT, Seed, StepFields
from imagemill.dialects.civitai_v2.steps.leaves import CREATE, EDIT
from imagemill.domain.dataclass import dataclass
from imagemill.web.body_fields import Real, Whole, one_of

Definition = tuple[Any, Any]
"""A field's type, and its default or `pydantic.Field`."""
ARGUMENTS = {"steps": "num_inference_steps", "size": "image_size"}
"""Field -> fal's argument, where the names differ."""
VALUES: dict[str, dict[Any, Any]] = {"acceleration": {"fast": "regular", "faster": "regular"}}
"""Field -> value -> fal's value, where they differ."""
_IMAGE_SIZES = (
    "square_hd",
    "square",
    "portrait_4_3",
    "portrait_16_9",
    "landscape_4_3",
    "landscape_16_9",
)
_RATIOS = ("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16")


@dataclass(frozen=True, slots=True)
class Vendor:
    """One model of an engine."""

    engine: str
    model: str
    endpoints: Mapping[str, str]
    """Operation -> path at fal; ``{size}`` in it is the field ``size``. Empty where fal has no such model."""
    fields: Mapping[str, Definition] = field(default_factory=dict[str, Definition])
    model_field: Literal["model", "version"] = "model"
    has_operation: bool = True
    """Whether the body names its operation; else it is an edit if there are pictures."""
    is_default: bool = False
    """Whether it is meant when the model is left out."""
    quantity_field: Literal["quantity", "num_images"] = "quantity"
    most: int = 4
    """The most pictures."""
    most_images: int = 10
    """The most reference pictures."""
    ignored: tuple[str, ...] = ()
    """Fields that the endpoint has no argument for; they have no effect."""
    one_picture: str = ""
    """The endpoint's argument for a single picture, if it is not ``image_urls``."""
    several: str = ""
    """Appended to the path for several pictures, which are ``image_urls`` there."""
    prompt_chars: int = MAX_PROMPT
    factors: Mapping[str, float] = field(default_factory=dict[str, float])
    """Resolution -> factor of the price."""

    @property
    def title(self) -> str:
        return f"{self.engine} {self.model}"

    @property
    def air(self) -> str:
        """The AIR by which settings can name another path for its first endpoint."""
        path = next(iter(self.endpoints.values()), "")
        return f"urn:air:{self.engine}:checkpoint:fal:{path.replace('{size}', 'medium')}"


class StyleReference(StepFields):
    image_url: str
    strength: Real = Field(1.0, ge=-2, le=2, allow_inf_nan=False)


def _optional(kind: Any) -> Definition:
    return kind | None, None


def _choice(*words: str, default: str | None = None) -> Definition:
    kind: Any = Annotated[str, one_of(words)]
    return (kind, default) if default is not None else _optional(kind)


def _real(least: float, most: float, default: float) -> Definition:
    return Real, Field(default, ge=least, le=most, allow_inf_nan=False)


def _whole(least: int, most: int, default: int) -> Definition:
    return Whole, Field(default, ge=least, le=most)


def _text(most: int) -> Definition:
    return _optional(Annotated[str, Field(max_length=most)])


def _sides(least: int, most: int) -> dict[str, Definition]:
    side = _optional(Annotated[Whole, Field(ge=least, le=most)])
    return {"width": side, "height": side}


_SEED: dict[str, Definition] = {"seed": _optional(Seed)}
_EXPANSION: dict[str, Definition] = {"enable_prompt_expansion": (bool, False)}
_CHECKER: dict[str, Definition] = {"enable_safety_checker": (bool, False)}
_RATIO: dict[str, Definition] = {"aspect_ratio": _choice(*_RATIOS, default="1:1")}
_RESOLUTION: dict[str, Definition] = {"resolution": _choice("1K", "2K", "4K", default="1K")}
_STYLES: Any = Annotated[list[StyleReference], Field(max_length=10)]
_KREA: dict[str, Definition] = {
    "aspect_ratio": _choice("1:1", "4:3", "3:2", "16:9", "2.35:1", "4:5", "2:3", "9:16", default="1:1"),
    "creativity": _choice("raw", "low", "medium", "high", default="medium"),
    "image_style_references": _optional(_STYLES),
    **_SEED,
}
_WAN: dict[str, Definition] = {
    "provider": _choice("fal"),
    "negative_prompt": _text(MAX_PROMPT),
    "image_size": _choice(*_IMAGE_SIZES, default="square_hd"),
    "guidance_scale": _real(1, 10, 3.5),
    **_SEED,
    **_EXPANSION,
    **_CHECKER,
}


def _paths(create: str, edit: str = "") -> dict[str, str]:
    return {CREATE: create, **({EDIT: edit} if edit else {})}


def _flux2(model: str, **fields: Definition) -> Vendor:
    path = f"fal-ai/flux-2-{model}"
    shared = {**_sides(512, 2048), **_SEED, **fields}
    return Vendor("flux2", model, _paths(path, f"{path}/edit"), shared, prompt_chars=1000)


def _kontext(model: str, path: str) -> Vendor:
    ratio = _choice("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21")
    return Vendor(
        "flux1-kontext",
        model,
        _paths(f"{path}/text-to-image", path),
        {"aspect_ratio": ratio, "guidance_scale": _real(1, 20, 3.5), **_SEED},
        has_operation=False,
        one_picture="image_url",
        several="/multi",
        most_images=4,
        prompt_chars=1000,
    )


def _google(model: str, path: str, fields: Mapping[str, Definition], **more: Any) -> Vendor:
    """A model that is edited with when there are pictures."""
    shared = {"has_operation": False, "quantity_field": "num_images", "prompt_chars": 50_000}
    return Vendor("google", model, _paths(path, f"{path}/edit"), {**_RATIO, **fields}, **{**shared, **more})


def _openai(model: str, create: str, edit: str, sizes: tuple[str, ...], **more: Any) -> Vendor:
    fields: dict[str, Definition] = {
        "size": _choice(*sizes, default=sizes[0]),
        "quality": _choice("auto", "low", "medium", "high", default="high"),
        "background": _choice("auto", "transparent", "opaque", default="auto"),
    }
    return Vendor("openai", model, _paths(create, edit), fields, prompt_chars=32_000, **more)


def _seedream(version: str, path: str, *, edits: bool = True, **fields: Definition) -> Vendor:
    return Vendor(
        "seedream",
        version,
        _paths(f"{path}/text-to-image", f"{path}/edit" if edits else ""),
        {**_sides(256, 4096), "guidance_scale": _real(1, 10, 2.5), **_SEED, **_CHECKER, **fields},
        model_field="version",
        has_operation=False,
        most=12,
        ignored=("guidance_scale",) if version != "v3" else (),
    )


def _wan(version: str, path: str, **fields: Definition) -> Vendor:
    return Vendor(
        "wan",
        version,
        _paths(f"{path}/text-to-image"),
        {**_WAN, **fields},
        model_field="version",
        has_operation=False,
        is_default=version == "v2.2",
        most=10,
        ignored=("provider",) if version.startswith("v2.2") else ("provider", "guidance_scale"),
    )


def _grok(version: str, create: str, edit: str) -> Vendor:
    ratio = _choice(
        "2:1", "20:9", "19.5:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:19.5", "9:20", "1:2"
    )
    return Vendor(
        "grok",
        version,
        _paths(create, edit),
        {"aspect_ratio": ratio},
        model_field="version",
        is_default=version == "v1.0",
        most_images=3,
    )


def _krea(model: str, path: str) -> Vendor:
    level = _choice("low", "medium", "high")
    ignored = ("intensity", "complexity", "movement")
    fields = {**_KREA, **dict.fromkeys(ignored, level)}
    return Vendor("krea", model, _paths(path), fields, has_operation=False, most=10, ignored=ignored)


_GPT_SIZES = ("1024x1024", "1536x1024", "1024x1536")
_QWEN2: dict[str, Definition] = {
    "negative_prompt": _text(500),
    "image_size": _choice(*_IMAGE_SIZES, default="square_hd"),
    "enable_prompt_expansion": (bool, True),
    **_CHECKER,
    **_SEED,
}

VENDORS: tuple[Vendor, ...] = (
    _flux2(
        "flex",
        guidance_scale=_real(0, 20, 3.5),
        num_inference_steps=_whole(4, 50, 28),
        enable_prompt_expansion=(bool, False),
    ),
    _flux2("pro"),
    _flux2("max"),
    _kontext("pro", "fal-ai/flux-pro/kontext"),
    _kontext("max", "fal-ai/flux-pro/kontext/max"),
    Vendor(
        "google",
        "imagen4",
        _paths("fal-ai/imagen4/preview"),
        {
            "negative_prompt": _text(1000),
            "aspect_ratio": _choice("1:1", "16:9", "9:16", "3:4", "4:3", default="1:1"),
            **_SEED,
        },
        has_operation=False,
        quantity_field="num_images",
        prompt_chars=1000,
    ),
    _google("nano-banana-pro", "fal-ai/nano-banana-pro", _RESOLUTION, factors={"4K": 2.0}),
    _google(
        "nano-banana-2",
        "fal-ai/nano-banana-2",
        {
            **_RESOLUTION,
            **_SEED,
            "enable_web_search": (bool, False),
            "enable_google_search": (bool, False),
        },
        factors={"2K": 1.5, "4K": 2.0},
        ignored=("enable_google_search",),
    ),
    _google("nano-banana-2-lite", "google/nano-banana-2-lite", _SEED),
    Vendor(
        "gemini",
        "2.5-flash",
        _paths("fal-ai/gemini-25-flash-image", "fal-ai/gemini-25-flash-image/edit"),
        most_images=4,
    ),
    Vendor("openai", "dall-e-2", {}, {"size": _choice("1024x1024", "512x512", "256x256")}),
    Vendor("openai", "dall-e-3", {}, {"size": _choice("1024x1024", "1792x1024", "1024x1792")}),
    _openai(
        "gpt-image-1",
        "fal-ai/gpt-image-1/text-to-image",
        "fal-ai/gpt-image-1/edit-image",
        _GPT_SIZES,
        most=10,
    ),
    _openai("gpt-image-1.5", "fal-ai/gpt-image-1.5", "fal-ai/gpt-image-1.5/edit", _GPT_SIZES),
    _openai("gpt-image-2", "openai/gpt-image-2", "openai/gpt-image-2/edit", _GPT_SIZES),
    _seedream("v3", "fal-ai/bytedance/seedream/v3", edits=False),
    _seedream("v4", "fal-ai/bytedance/seedream/v4"),
    _seedream("v4.5", "fal-ai/bytedance/seedream/v4.5"),
    _seedream("v5.0-lite", "bytedance/seedream/v5/lite"),
    _seedream("v5.0-pro", "bytedance/seedream/v5/pro"),
    _wan(
        "v2.2",
        "fal-ai/wan/v2.2-a14b",
        steps=_whole(2, 40, 27),
        acceleration=_choice("none", "fast", "faster"),
    ),
    _wan("v2.2-5b", "fal-ai/wan/v2.2-5b", steps=_whole(2, 50, 40), shift=_real(1, 10, 2)),
    _wan("v2.5", "fal-ai/wan-25-preview"),
    _wan("v2.7", "fal-ai/wan/v2.7"),
    Vendor(
        "fal",
        "krea2",
        _paths("krea/v2/{size}/text-to-image"),
        {**_KREA, "size": _choice("medium", "large", default="medium")},
        most=10,
        prompt_chars=5000,
    ),
    Vendor(
        "fal",
        "maiImage",
        _paths("microsoft/mai-image-2.5"),
        {"aspect_ratio": _choice("auto", *_RATIOS, default="auto")},
        prompt_chars=5000,
    ),
    Vendor("fal", "museImage", _paths("meta/muse-image", "meta/muse-image/edit")),
    Vendor(
        "fal",
        "qwen2",
        {
            CREATE: "fal-ai/qwen-image-2/text-to-image",
            "proCreateImage": "fal-ai/qwen-image-2/pro/text-to-image",
            EDIT: "fal-ai/qwen-image-2/edit",
            "proEditImage": "fal-ai/qwen-image-2/pro/edit",
        },
        _QWEN2,
        most=10,
        most_images=3,
    ),
    Vendor(
        "fal",
        "reve",
        _paths("fal-ai/reve/text-to-image", "fal-ai/reve/edit"),
        {"aspect_ratio": _choice("16:9", "9:16", "3:2", "2:3", "4:3", "3:4", "1:1")},
        one_picture="image_url",
        most_images=1,
    ),
    Vendor(
        "qwen",
        "",
        _paths("fal-ai/qwen-image"),
        {
            "negative_prompt": _text(500),
            "width": (Whole, Field(ge=512, le=2048)),
            "height": (Whole, Field(ge=512, le=2048)),
            "prompt_extend": _optional(bool),
            "watermark": _optional(bool),
            **_SEED,
        },
        has_operation=False,
        ignored=("prompt_extend", "watermark"),
    ),
    _grok("v1.0", "xai/grok-imagine-image", "xai/grok-imagine-image/edit"),
    _grok("v2.0", "xai/grok-imagine-image/v2.0/text-to-image", "xai/grok-imagine-image/v2.0/edit"),
    _krea("krea2-medium", "krea/v2/medium/text-to-image"),
    _krea("krea2-large", "krea/v2/large/text-to-image"),
    _krea("krea2-medium-turbo", "krea/v2/medium/turbo/text-to-image"),
)

SIZES = ("medium", "large")
"""The words for ``{size}`` in a path."""


def endpoints() -> dict[str, Vendor]:
    """Return every path at fal with the model that it runs."""
    found: dict[str, Vendor] = {}
    for vendor in VENDORS:
        for path in vendor.endpoints.values():
            for end in {"", vendor.several}:
                found |= {(path + end).replace("{size}", size): vendor for size in SIZES}
    return found


def argument_names(vendor: Vendor) -> frozenset[str]:
    """Return the names of the arguments that a model's endpoints may be sent."""
    names = {ARGUMENTS.get(name, name) for name in vendor.fields if name not in vendor.ignored}
    pictures = {"image_urls", vendor.one_picture} if EDIT in vendor.endpoints else set[str]()
    sized = {"image_size"} if "width" in vendor.fields else set[str]()
    return frozenset((names | pictures | sized) - {"", "width", "height", "negative_prompt"})
