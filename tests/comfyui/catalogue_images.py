"""The classes that take or give pictures and masks, and the answer to /object_info."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.comfyui.catalogue import (
    BATCH,
    CONDITIONING,
    CROP,
    EITHER,
    GROWING,
    LARGEST_SIDE,
    LATENTS,
    LOADERS,
    NEW_SAMPLERS,
    OFFSET,
    ON_OFF,
    PIXELS,
    PREFIX,
    RESAMPLING,
    RESIZING,
    SAMPLING,
    SEED,
    SOLID_PIXELS,
    TEXT,
    UP,
    Choice,
    Config,
    Declared,
    Files,
    Models,
    NodeClass,
    core,
    extra,
    real,
    whole,
)
from tests.comfyui.catalogue_families import FAMILY_CLASSES
from tests.comfyui.catalogue_packs import PACKS
from tests.comfyui.catalogue_tools import TOOLS

PICTURE = Files("input", {"image_upload": True})
HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
EDGE = real(0.4, 0.01, 0.99)

IMAGES = {
    "LoadImage": core({"image": PICTURE}, "IMAGE MASK"),
    "LoadImageMask": core({"image": PICTURE, "channel": Choice(("alpha", "red", "green", "blue"))}, "MASK"),
    "SaveImage": core(
        {"images": "IMAGE", "filename_prefix": PREFIX}, "IMAGE", names="images", output_node=True
    ),
    "PreviewAny": extra("preview_any", {"source": "*"}, "*", names="source", output_node=True),
    "PreviewImage": core({"images": "IMAGE"}, "IMAGE", names="images", output_node=True),
    "SaveImageWebsocket": core(
        {"images": "IMAGE"}, module="custom_nodes.websocket_image_save", output_node=True
    ),
    "SaveAnimatedWEBP": extra(
        "images",
        {
            "images": "IMAGE",
            "filename_prefix": PREFIX,
            "fps": real(6.0, 0.01, 1000.0),
            "lossless": ON_OFF,
            "quality": whole(80, 0, 100, None),
            "method": Choice(("default", "fastest", "slowest")),
        },
        "IMAGE",
        names="images",
        output_node=True,
    ),
    "LabPartnerImage": core({"prompt": TEXT, "seed": SEED}, "IMAGE", module="comfy_api_nodes.nodes_lab"),
    "EmptyImage": core(
        {
            "width": SOLID_PIXELS,
            "height": SOLID_PIXELS,
            "batch_size": BATCH,
            "color": whole(0, 0, 0xFFFFFF, display="color"),
        },
        "IMAGE",
    ),
    "ImageScale": core(
        {
            "image": "IMAGE",
            "upscale_method": Choice(RESAMPLING),
            "width": PIXELS,
            "height": PIXELS,
            "crop": CROP,
        },
        "IMAGE",
    ),
    "ImageScaleBy": core({"image": "IMAGE", "upscale_method": Choice(RESAMPLING), "scale_by": UP}, "IMAGE"),
    "ImageScaleToTotalPixels": extra(
        "post_processing",
        {"image": "IMAGE", "upscale_method": Choice(RESAMPLING), "megapixels": real(1.0, 0.01, 16.0)},
        "IMAGE",
        added={"resolution_steps": whole(1, 1, 256, None, advanced=True)},
    ),
    "ImageInvert": core({"image": "IMAGE"}, "IMAGE"),
    "ImageUpscaleWithModel": extra(
        "upscale_model", {"upscale_model": "UPSCALE_MODEL", "image": "IMAGE"}, "IMAGE"
    ),
    "ImageBatch": core({"image1": "IMAGE", "image2": "IMAGE"}, "IMAGE"),
    "BatchImagesNode": extra("post_processing", {"images": GROWING}, "IMAGE", since_new=True),
    "ResizeImageMaskNode": extra(
        "post_processing",
        {"input": EITHER, "resize_type": RESIZING, "scale_method": Choice(RESAMPLING)},
        "COMFY_MATCHTYPE_V3",
        names="resized",
        since_new=True,
    ),
    "ImageFromBatch": extra(
        "images",
        {
            "image": "IMAGE",
            "batch_index": whole(0, -LARGEST_SIDE, LARGEST_SIDE, None),
            "length": whole(1, 1, 4096, None),
        },
        "IMAGE",
    ),
    "ImageCrop": extra(
        "images",
        {"image": "IMAGE", "width": SOLID_PIXELS, "height": SOLID_PIXELS, "x": OFFSET, "y": OFFSET},
        "IMAGE",
    ),
    "ImagePadForOutpaint": core(
        {
            "image": "IMAGE",
            **{side: whole(0, 0, LARGEST_SIDE, 8) for side in ("left", "top", "right", "bottom")},
            "feathering": whole(40, 0, LARGEST_SIDE, advanced=True),
        },
        "IMAGE MASK",
    ),
    "ImageCompositeMasked": extra(
        "mask",
        {"destination": "IMAGE", "source": "IMAGE", "x": OFFSET, "y": OFFSET, "resize_source": ON_OFF},
        "IMAGE",
        optional={"mask": "MASK"},
    ),
    "Canny": extra(
        "canny", {"image": "IMAGE", "low_threshold": EDGE, "high_threshold": real(0.8, 0.01, 0.99)}, "IMAGE"
    ),
    "ImageToMask": extra(
        "mask", {"image": "IMAGE", "channel": Choice(("red", "green", "blue", "alpha"))}, "MASK"
    ),
    "MaskToImage": extra("mask", {"mask": "MASK"}, "IMAGE"),
    "JoinImageWithAlpha": extra("mask/compositing", {"image": "IMAGE", "alpha": "MASK"}, "IMAGE"),
    "InvertMask": extra("mask", {"mask": "MASK"}, "MASK"),
    "LoadBackgroundRemovalModel": extra(
        "bg_removal",
        {"bg_removal_name": Files("background_removal")},
        "BACKGROUND_REMOVAL",
        names="bg_model",
        since_new=True,
    ),
    "RemoveBackground": extra(
        "bg_removal", {"bg_removal_model": "BACKGROUND_REMOVAL", "image": "IMAGE"}, "MASK", since_new=True
    ),
    "GrowMask": extra(
        "mask",
        {"mask": "MASK", "expand": whole(0, -LARGEST_SIDE, LARGEST_SIDE), "tapered_corners": ON_OFF},
        "MASK",
    ),
    "SolidMask": extra(
        "mask", {"value": real(1.0, 0.0, 1.0), "width": SOLID_PIXELS, "height": SOLID_PIXELS}, "MASK"
    ),
    "PrimitiveInt": extra("primitive", {"value": ["INT", {"min": -(2**63) + 1, "max": 2**63 - 1}]}, "INT"),
    "PrimitiveString": extra("primitive", {"value": ["STRING", {"multiline": False}]}, "STRING"),
}
CLASSES: Mapping[str, NodeClass] = {
    **LOADERS,
    **CONDITIONING,
    **SAMPLING,
    **LATENTS,
    **IMAGES,
    **FAMILY_CLASSES,
    **TOOLS,
}


class Catalogue:
    """The classes of one release, with the files that a server has."""

    def __init__(self, new: bool, models: Models, pictures: Sequence[str] = ()) -> None:
        self.new = new
        self._files = {**models, "input": sorted(pictures)}
        classes = dict(CLASSES)
        for pack in models.get("custom_nodes", ()):
            classes |= PACKS.get(pack, {})
        self._known = {name: known for name, known in classes.items() if new or not known.since_new}
        self._inputs = {name: self._spelled(known) for name, known in self._known.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def outputs(self, name: str) -> tuple[str, ...]:
        return self._known[name].outputs

    def is_output(self, name: str) -> bool:
        return self._known[name].output_node

    def inputs(self, name: str) -> Mapping[str, Mapping[str, Config]]:
        """Section (`required`, `optional`) to input to its configuration, in the declared order."""
        return self._inputs[name]

    def names(self) -> Iterator[str]:
        return iter(self._known)

    def describe(self, name: str) -> dict[str, Any]:
        """The entry of /object_info for a class."""
        known = self._known[name]
        inputs: dict[str, Any] = {section: dict(given) for section, given in self._inputs[name].items()}
        if known.output_node and known.module == "nodes":
            inputs["hidden"] = HIDDEN
        # The older release's saving nodes give nothing on.
        outputs = known.outputs if self.new or not known.output_node else ()
        return {
            "input": inputs,
            "input_order": {section: list(given) for section, given in inputs.items()},
            **({"is_input_list": False} if self.new else {}),
            "output": list(outputs),
            "output_is_list": [False] * len(outputs),
            "output_name": list(known.names[: len(outputs)]),
            "name": name,
            "display_name": name,
            "description": "",
            "python_module": known.module,
            "category": "test",
            "output_node": known.output_node,
            **({"api_node": True} if known.module.startswith("comfy_api_nodes") else {}),
            **({"has_intermediate_output": False, "search_aliases": []} if self.new else {}),
        }

    def _spelled(self, known: NodeClass) -> dict[str, dict[str, Config]]:
        required = {**known.required, **(known.added if self.new else {})}
        sections = {"required": required, **({"optional": known.optional} if known.optional else {})}
        return {
            section: {name: self._config(given, known.typed) for name, given in inputs.items()}
            for section, inputs in sections.items()
        }

    def _config(self, given: Declared, typed: bool) -> Config:
        if isinstance(given, str):
            return [given, {}] if typed else [given]
        if isinstance(given, list):
            return given
        options = self._words(given) if isinstance(given, Choice) else self._listed(given)
        if typed and self.new:
            return ["COMBO", {**given.extra, "multiselect": False, "options": options}]
        return [options, dict(given.extra)] if given.extra else [options]

    def _words(self, given: Choice) -> list[str]:
        return [word for word in given.options if self.new or word not in NEW_SAMPLERS]

    def _listed(self, given: Files) -> list[str]:
        return [*sorted(self._files.get(given.folder, ())), *given.built_in]
