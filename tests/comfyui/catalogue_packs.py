"""The classes of node packs. A server has a pack if it is in the folder custom_nodes."""

from collections.abc import Mapping

from tests.comfyui.catalogue import LARGEST_SIDE, Choice, Declared, Files, NodeClass, core, real, whole

AUX = "comfyui_controlnet_aux"
IPADAPTER = "comfyui_ipadapter_plus"
_RESOLUTION = whole(512, 64, LARGEST_SIDE, 64)
_SAFE = Choice(("enable", "disable"))


def _preprocessor(**options: Declared) -> NodeClass:
    """All inputs but the picture are optional, as the pack declares them."""
    return core(
        {"image": "IMAGE"},
        "IMAGE",
        optional={**options, "resolution": _RESOLUTION},
        module=f"custom_nodes.{AUX}",
    )


def _adapter(required: Mapping[str, Declared], outputs: str, names: str = "", **more: Declared) -> NodeClass:
    return core(required, outputs, names=names, optional=more, module=f"custom_nodes.{IPADAPTER}")


_WEIGHT_TYPES = Choice(
    (
        "linear",
        "ease in",
        "ease out",
        "ease in-out",
        "reverse in-out",
        "weak input",
        "weak output",
        "weak middle",
        "strong middle",
        "style transfer",
        "composition",
        "strong style transfer",
        "style and composition",
        "style transfer precise",
        "composition precise",
    )
)
_COMBINATIONS = Choice(("concat", "add", "subtract", "average", "norm average"))
_SCALINGS = Choice(("V only", "K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty"))
_PRESETS = Choice(
    (
        "FACEID",
        "FACEID PLUS - SD1.5 only",
        "FACEID PLUS V2",
        "FACEID PORTRAIT (style transfer)",
        "FACEID PORTRAIT UNNORM - SDXL only (strong)",
    )
)
_SHARE = real(0.0, 0.0, 1.0, 0.001)

PACKS: Mapping[str, Mapping[str, NodeClass]] = {
    AUX: {
        "DepthAnythingV2Preprocessor": _preprocessor(
            ckpt_name=Choice(("depth_anything_v2_vitl.pth", "depth_anything_v2_vits.pth"))
        ),
        "HEDPreprocessor": _preprocessor(safe=_SAFE),
        "M-LSDPreprocessor": _preprocessor(
            score_threshold=real(0.1, 0.01, 2.0), dist_threshold=real(0.1, 0.01, 20.0)
        ),
    },
    IPADAPTER: {
        "IPAdapterUnifiedLoaderFaceID": _adapter(
            {
                "model": "MODEL",
                "preset": _PRESETS,
                "lora_strength": real(0.6, 0, 1),
                "provider": Choice(("CPU", "CUDA", "ROCM", "DirectML", "OpenVINO", "CoreML")),
            },
            "MODEL IPADAPTER",
            "MODEL ipadapter",
            ipadapter="IPADAPTER",
        ),
        "IPAdapterModelLoader": _adapter({"ipadapter_file": Files("ipadapter")}, "IPADAPTER"),
        "IPAdapterInsightFaceLoader": _adapter(
            {
                "provider": Choice(("CPU", "CUDA", "ROCM")),
                "model_name": Choice(("buffalo_l", "antelopev2")),
            },
            "INSIGHTFACE",
        ),
        "IPAdapterFaceID": _adapter(
            {
                "model": "MODEL",
                "ipadapter": "IPADAPTER",
                "image": "IMAGE",
                "weight": real(1.0, -1, 3, 0.05),
                "weight_faceidv2": real(1.0, -1, 5.0, 0.05),
                "weight_type": _WEIGHT_TYPES,
                "combine_embeds": _COMBINATIONS,
                "start_at": _SHARE,
                "end_at": real(1.0, 0.0, 1.0, 0.001),
                "embeds_scaling": _SCALINGS,
            },
            "MODEL IMAGE",
            "MODEL face_image",
            image_negative="IMAGE",
            attn_mask="MASK",
            clip_vision="CLIP_VISION",
            insightface="INSIGHTFACE",
        ),
        "IPAdapterAdvanced": _adapter(
            {
                "model": "MODEL",
                "ipadapter": "IPADAPTER",
                "image": "IMAGE",
                "weight": real(1.0, -1, 5, 0.05),
                "weight_type": _WEIGHT_TYPES,
                "combine_embeds": _COMBINATIONS,
                "start_at": _SHARE,
                "end_at": real(1.0, 0.0, 1.0, 0.001),
                "embeds_scaling": _SCALINGS,
            },
            "MODEL",
            image_negative="IMAGE",
            attn_mask="MASK",
            clip_vision="CLIP_VISION",
        ),
    },
}
