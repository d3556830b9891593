"""Graphs that make a picture of a picture: control pictures, enlargement, removal of the background.

Control pictures need the node pack comfyui_controlnet_aux. Its classes have defaults for what is not given,
but some fail without certain inputs.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.graphs.graph import Graph, add

_SWITCH = ("enable", "disable")


@dataclass(frozen=True, slots=True)
class PreprocessorOption:
    """One option of a kind: its input on the node, and the values it may have."""

    input: str
    choices: tuple[str, ...] = ()
    """The texts it may be; empty for a number or a truth value."""
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    """Whether it is a whole number."""
    is_switch: bool = False
    """Whether it is true or false here, and enable or disable on the node."""

    def value(self, given: Any) -> Any:
        """Return the value as the node expects it. Raises `ValueError` with what it should be."""
        if self.is_switch:
            if not isinstance(given, bool):
                raise ValueError("should be true or false")
            return _SWITCH[0] if given else _SWITCH[1]
        if self.choices:
            if given not in self.choices:
                raise ValueError(f"should be one of {', '.join(self.choices)}")
            return _SPELLINGS.get(given, given)
        is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
        if not is_number or not self.low <= given <= self.high or (self.whole and given != int(given)):
            kind = "a whole number" if self.whole else "a number"
            raise ValueError(f"should be {kind} from {self.low:g} to {self.high:g}")
        return int(given) if self.whole else float(given)


_SPELLINGS = {"lineart_realistic": "lineart_realisitic"}
"""Values that the pack spells in its own way."""


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """One kind: its class, its options by name, and the inputs without which it fails."""

    class_type: str
    options: Mapping[str, PreprocessorOption] = field(default_factory=dict[str, PreprocessorOption])
    needed: Mapping[str, Any] = field(default_factory=dict[str, Any])


def _number(name: str, low: float, high: float, *, whole: bool = False) -> PreprocessorOption:
    return PreprocessorOption(name, low=low, high=high, whole=whole)


def _choice(name: str, *choices: str) -> PreprocessorOption:
    return PreprocessorOption(name, choices)


_SAFE = {"safe": _choice("safe", *_SWITCH)}
_IS_SAFE = {"safe": "enable"}
_PARTS = {
    f"detect_{part}": PreprocessorOption(f"detect_{part}", is_switch=True)
    for part in ("hand", "body", "face")
}
_BOXES = (
    "yolox_l.onnx",
    "yolox_l.torchscript.pt",
    "yolo_nas_l_fp16.onnx",
    "yolo_nas_m_fp16.onnx",
    "yolo_nas_s_fp16.onnx",
)
_POSES = ("dw-ll_ucoco_384_bs5.torchscript.pt", "dw-ll_ucoco_384.onnx", "dw-ll_ucoco.onnx")
_ANIMAL_POSES = ("rtmpose-m_ap10k_256_bs5.torchscript.pt", "rtmpose-m_ap10k_256.onnx")
_MIDAS = {
    "a": _number("a", 0, 15.7),
    "background_threshold": _number("bg_threshold", 0, 1),
}
_METRIC = {
    "backbone": _choice("backbone", "vit-small", "vit-large", "vit-giant2"),
    "fx": _number("fx", 1, 16_384, whole=True),
    "fy": _number("fy", 1, 16_384, whole=True),
}
_DENSEPOSE = {
    "model": _choice("model", "densepose_r50_fpn_dl.torchscript", "densepose_r101_fpn_dl.torchscript"),
    "colormap": _choice("cmap", "Viridis (MagicAnimate)", "Parula (CivitAI)"),
}
_ANYLINE = {
    "merge_with_lineart": _choice(
        "merge_with_lineart", "lineart_standard", "lineart_realistic", "lineart_anime", "manga_line"
    ),
    "lineart_lower_bound": _number("lineart_lower_bound", 0, 1),
    "lineart_upper_bound": _number("lineart_upper_bound", 0, 1),
    "object_min_size": _number("object_min_size", 1, 16_384, whole=True),
    "object_connectivity": _number("object_connectivity", 1, 16_384, whole=True),
}
_LERES = {
    "remove_nearest": _number("rm_nearest", 0, 100),
    "remove_background": _number("rm_background", 0, 100),
    "boost": _choice("boost", *_SWITCH),
}

PREPROCESSORS: Mapping[str, Preprocessor] = {
    "animal-pose": Preprocessor(
        "AnimalPosePreprocessor",
        {
            "bbox_detector": _choice("bbox_detector", *_BOXES),
            "pose_estimator": _choice("pose_estimator", *_ANIMAL_POSES),
        },
    ),
    "anyline": Preprocessor("AnyLineArtPreprocessor_aux", _ANYLINE),
    "bae-normal": Preprocessor("BAE-NormalMapPreprocessor"),
    "densepose": Preprocessor("DensePosePreprocessor", _DENSEPOSE),
    "depth-anything": Preprocessor(
        "DepthAnythingPreprocessor",
        {"checkpoint": _choice("ckpt_name", *(f"depth_anything_vit{size}14.pth" for size in "lbs"))},
    ),
    "depth-anything-v2": Preprocessor(
        "DepthAnythingV2Preprocessor",
        {"checkpoint": _choice("ckpt_name", *(f"depth_anything_v2_vit{size}.pth" for size in "glbs"))},
    ),
    "dsine-normal": Preprocessor(
        "DSINE-NormalMapPreprocessor",
        {"fov": _number("fov", 0, 365), "iterations": _number("iterations", 1, 20, whole=True)},
    ),
    "dwpose": Preprocessor(
        "DWPreprocessor",
        {
            **_PARTS,
            "bbox_detector": _choice("bbox_detector", *_BOXES),
            "pose_estimator": _choice("pose_estimator", *_POSES),
        },
    ),
    "fake-scribble": Preprocessor("FakeScribblePreprocessor", _SAFE, _IS_SAFE),
    "hed": Preprocessor("HEDPreprocessor", _SAFE, _IS_SAFE),
    "leres-depth": Preprocessor("LeReS-DepthMapPreprocessor", _LERES),
    "lineart-anime": Preprocessor("AnimeLineArtPreprocessor"),
    "lineart-manga": Preprocessor("Manga2Anime_LineArt_Preprocessor"),
    "lineart-realistic": Preprocessor(
        "LineArtPreprocessor", {"coarse": _choice("coarse", *_SWITCH)}, {"coarse": "disable"}
    ),
    "lineart-standard": Preprocessor(
        "LineartStandardPreprocessor",
        {
            "gaussian_sigma": _number("guassian_sigma", 0, 100),
            "intensity_threshold": _number("intensity_threshold", 0, 16, whole=True),
        },
    ),
    "mediapipe-face": Preprocessor(
        "MediaPipe-FaceMeshPreprocessor",
        {
            "max_faces": _number("max_faces", 1, 50, whole=True),
            "min_confidence": _number("min_confidence", 0.1, 1),
        },
    ),
    "metric3d-depth": Preprocessor("Metric3D-DepthMapPreprocessor", _METRIC),
    "metric3d-normal": Preprocessor("Metric3D-NormalMapPreprocessor", _METRIC),
    "midas-depth": Preprocessor("MiDaS-DepthMapPreprocessor", _MIDAS),
    "midas-normal": Preprocessor("MiDaS-NormalMapPreprocessor", _MIDAS),
    "mlsd": Preprocessor(
        "M-LSDPreprocessor",
        {
            "score_threshold": _number("score_threshold", 0.01, 2),
            "distance_threshold": _number("dist_threshold", 0.01, 20),
        },
        {"score_threshold": 0.1, "dist_threshold": 0.1},
    ),
    "oneformer-ade20k": Preprocessor("OneFormer-ADE20K-SemSegPreprocessor"),
    "oneformer-coco": Preprocessor("OneFormer-COCO-SemSegPreprocessor"),
    "openpose": Preprocessor("OpenposePreprocessor", _PARTS),
    "pidinet": Preprocessor("PiDiNetPreprocessor", _SAFE, _IS_SAFE),
    "scribble": Preprocessor("ScribblePreprocessor"),
    "scribble-pidinet": Preprocessor("Scribble_PiDiNet_Preprocessor", _SAFE),
    "scribble-xdog": Preprocessor(
        "Scribble_XDoG_Preprocessor", {"threshold": _number("threshold", 1, 64, whole=True)}
    ),
    "teed": Preprocessor("TEEDPreprocessor", {"safe_steps": _number("safe_steps", 0, 10, whole=True)}),
    "uniformer": Preprocessor("UniFormer-SemSegPreprocessor"),
    "zoe-depth": Preprocessor("Zoe-DepthMapPreprocessor"),
    "zoe-depth-anything": Preprocessor(
        "Zoe_DepthAnythingPreprocessor", {"environment": _choice("environment", "indoor", "outdoor")}
    ),
}


def build_preprocessor(kind: str, resolution: int, options: Mapping[str, Any], image: str) -> Graph:
    """Return the graph that makes the control picture of the picture named ``image``."""
    chosen = PREPROCESSORS[kind]
    inputs = {
        chosen.options[name].input: chosen.options[name].value(given) for name, given in options.items()
    }
    graph: Graph = {}
    add(graph, "1", "LoadImage", "Picture", image=image)
    source = {"image": ("1", 0), "resolution": resolution}
    add(graph, "2", chosen.class_type, f"Preprocessor: {kind}", **source, **{**chosen.needed, **inputs})
    add(graph, "3", "SaveImage", "Save", images=("2", 0), filename_prefix="imagemill")
    return graph


def build_upscaler(file: str, repeats: int, image: str) -> Graph:
    """Return the graph that enlarges the picture named ``image`` this many times by an upscaler model."""
    graph: Graph = {}
    add(graph, "1", "LoadImage", "Picture", image=image)
    add(graph, "2", "UpscaleModelLoader", "Upscaler", model_name=file)
    picture = ("1", 0)
    for number in range(repeats):
        inputs = {"upscale_model": ("2", 0), "image": picture}
        picture = (add(graph, str(3 + number), "ImageUpscaleWithModel", f"Upscale {number + 1}", **inputs), 0)
    add(graph, "9", "SaveImage", "Save", images=picture, filename_prefix="imagemill")
    return graph


def build_background_removal(file: str, image: str) -> Graph:
    """Return the graph of core nodes that removes the background of the picture named ``image``."""
    graph: Graph = {}
    add(graph, "1", "LoadImage", "Picture", image=image)
    add(graph, "2", "LoadBackgroundRemovalModel", "Background removal model", bg_removal_name=file)
    add(graph, "3", "RemoveBackground", "Remove background", bg_removal_model=("2", 0), image=("1", 0))
    # Alpha in ComfyUI is 1 where a picture is transparent.
    add(graph, "4", "InvertMask", "Invert mask", mask=("3", 0))
    add(graph, "5", "JoinImageWithAlpha", "Join alpha", image=("1", 0), alpha=("4", 0))
    add(graph, "6", "SaveImage", "Save", images=("5", 0), filename_prefix="imagemill")
    return graph
