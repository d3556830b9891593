"""What the classes that take faces and subjects from pictures do."""

from PIL import Image, ImageOps

from tests.comfyui.pictures import Picture
from tests.comfyui.rendering import WORK, Inputs, Outputs, Run, does
from tests.comfyui.values import Conditioning

__all__ = ("WORK",)
"""With these classes and all others."""
KONTEXT_SIZES = (
    (672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104),
    (1024, 1024), (1104, 944), (1184, 880), (1248, 832), (1328, 800), (1392, 752), (1456, 720), (1504, 688),
    (1568, 672),
)  # fmt: skip


@does("FluxKontextImageScale")
def scale_for_kontext(run: Run, given: Inputs) -> Outputs:
    """To the size with the nearest shape, cut around the middle."""
    width, height = given["image"][0].size
    size = min(KONTEXT_SIZES, key=lambda size: abs(width / height - size[0] / size[1]))
    return ([Picture(ImageOps.fit(one.image, size, Image.Resampling.LANCZOS)) for one in given["image"]],)


@does("TextEncodeQwenImageEdit", "TextEncodeQwenImageEditPlus")
def encode_with_pictures(run: Run, given: Inputs) -> Outputs:
    seen = [(name, given[name][0].digest()) for name in sorted(given) if name.startswith("image")]
    return (Conditioning(f"{given['prompt']}|{given['clip']}|{seen}"),)


@does("FluxKontextMultiReferenceLatentMethod")
def choose_method(run: Run, given: Inputs) -> Outputs:
    return (given["conditioning"].with_more(given["reference_latents_method"]),)


@does("IPAdapterUnifiedLoaderFaceID")
def load_adapter(run: Run, given: Inputs) -> Outputs:
    return given["model"].changed(given["preset"], given["lora_strength"]), given["preset"]


@does("IPAdapterFaceID")
def adapt_to_face(run: Run, given: Inputs) -> Outputs:
    face, mask = given["image"], given.get("attn_mask")
    area = Picture(mask[0].convert("RGB")).digest() if mask else None
    weights = (given["weight"], given["weight_faceidv2"], given["weight_type"])
    return given["model"].changed(given["ipadapter"], face[0].digest(), area, *weights), face
