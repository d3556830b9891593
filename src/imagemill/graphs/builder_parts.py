"""Parts of a built graph besides the model's own: control maps, faces, crop and upscale, and video files.

These functions change the graph they are given.
"""

from typing import Any

from imagemill.domain.images import Control, ImageSpec, VideoLength
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.graph import Graph, Link, add
from imagemill.graphs.model_files import resolve_file

SAVE = "9"
_CROP, _UPSCALER, _UPSCALE = "40", "41", "42"
_DETAIL, _DETECTOR = "50", "51"
_VIDEO, _FIRST_FRAME, _POSTER = "65", "66", "67"

DETAILER, PROVIDER = "FaceDetailer", "UltralyticsDetectorProvider"
_DENOISE = 0.4
"""Strength of the face pass: enough to redraw a blurred face, too little to turn it into another one."""

CORE_PREPROCESSORS: dict[str, str | None] = {
    "": None,
    "none": None,
    "tile": None,
    "canny": "Canny",
    "invert": "ImageInvert",
}
"""The client's name of a preprocessor -> the core node; None if the image is already a map or used as is."""

_PREPROCESSOR_INPUTS: dict[str, dict[str, Any]] = {
    # ComfyUI's own defaults, written out as its validator requires the inputs.
    "Canny": {"low_threshold": 0.4, "high_threshold": 0.8},
    "ImageInvert": {},
}


def add_control_map(graph: Graph, first: int, control: Control, file: str, size: tuple[Any, Any]) -> Link:
    """Add the control image, scaled and cropped to the picture's size, and its preprocessor; link to the
    map."""
    load, fit, make = (str(first + step) for step in (1, 2, 3))
    add(graph, load, "LoadImage", "Control image", image=file)
    scale = {"image": (load, 0), "upscale_method": "lanczos", "crop": "center"}
    add(graph, fit, "ImageScale", "Fit control image", **scale, width=size[0], height=size[1])
    node = CORE_PREPROCESSORS[control.preprocessor.lower()]
    if node is None:
        return (fit, 0)
    add(graph, make, node, f"Control map: {node}", image=(fit, 0), **_PREPROCESSOR_INPUTS[node])
    return (make, 0)


def face_detector_model(catalogue: Catalogue | None) -> str | None:
    """The model with which the node detects faces; None if it cannot."""
    if catalogue is None or not {DETAILER, PROVIDER} <= catalogue.classes:
        return None
    models = catalogue.options(PROVIDER, "model_name") or ()
    return next((name for name in models if "bbox" in name.lower() and "face" in name.lower()), None)


def add_face_pass(
    graph: Graph, spec: ImageSpec, catalogue: Catalogue | None, picture: Link, **inputs: Any
) -> Link:
    """Add a second pass over the faces by the Impact pack, if the request wants it and the node has it.

    Core nodes have nothing similar, so a node without the pack delivers the picture without this pass.
    ``inputs``: model, clip, vae, conditionings and cfg. Return the link to the picture.
    """
    model = face_detector_model(catalogue) if spec.faces else None
    node_class = catalogue.node_class(DETAILER) if catalogue is not None else None
    if model is None or node_class is None:
        return picture
    add(graph, _DETECTOR, PROVIDER, "Face detector", model_name=model)
    # Defaults for further inputs that the installed version of the pack requires.
    usual = {
        each.name: each.default for each in node_class.inputs.values() if each.required and each.is_widget
    }
    own = {
        "image": picture,
        "bbox_detector": (_DETECTOR, 0),
        "seed": spec.seed,
        "steps": spec.steps,
        "sampler_name": spec.sampler,
        "scheduler": spec.scheduler,
        "denoise": _DENOISE,
    }
    return (add(graph, _DETAIL, DETAILER, "Face detail", **(usual | own | inputs)), 0)


def crop_and_upscale(
    graph: Graph, spec: ImageSpec, catalogue: Catalogue | None, picture: Link, rendered: tuple[int, int]
) -> Link:
    """Crop a picture of the rendered size to the exact one, then upscale it."""
    spare = rendered[0] - spec.width, rendered[1] - spec.height
    if any(spare):
        box = {"width": spec.width, "height": spec.height, "x": spare[0] // 2, "y": spare[1] // 2}
        picture = (add(graph, _CROP, "ImageCrop", "Crop to size", image=picture, **box), 0)
    if spec.upscale is not None:
        place = ("UpscaleModelLoader", "model_name")
        file = resolve_file(catalogue, place, "upscaler", spec.upscale.model_path)
        add(graph, _UPSCALER, "UpscaleModelLoader", "Upscaler", model_name=file)
        inputs = {"upscale_model": (_UPSCALER, 0), "image": picture}
        picture = (add(graph, _UPSCALE, "ImageUpscaleWithModel", "Upscale", **inputs), 0)
    return picture


def save_video(graph: Graph, video: VideoLength, frames: Link, prefix: str) -> None:
    """Save the frames as a video, and the first one as its poster."""
    add(graph, _VIDEO, "CreateVideo", "Video", images=frames, fps=video.fps)
    # Newer servers read the codec from an input of the container's choice, older ones from its own.
    container = {"format": "auto", "format.codec": "auto", "codec": "auto"}
    add(graph, SAVE, "SaveVideo", "Save", video=(_VIDEO, 0), filename_prefix=prefix, **container)
    first = {"image": frames, "batch_index": 0, "length": 1}
    add(graph, _FIRST_FRAME, "ImageFromBatch", "First frame", **first)
    add(graph, _POSTER, "SaveImage", "Poster", images=(_FIRST_FRAME, 0), filename_prefix=f"{prefix}_poster")
