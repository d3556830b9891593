"""What a ComfyUI server says of its node classes, in small: both spellings of a choice, unfolding inputs."""

from typing import Any

from imagemill.domain.images import SAMPLERS

CHECKPOINTS = ["sd1\\Fox.safetensors", "sdxl/owl.safetensors", "flux1-all.safetensors"]
UNETS = ["flux1-dev.safetensors", "flux1-schnell.safetensors"]
ENCODERS = ["clip_l.safetensors", "t5xxl_fp8_e4m3fn.safetensors", "t5xxl_fp16.safetensors"]
VAES = ["ae.safetensors", "sd-vae.pt"]
LORAS = ["ink.safetensors", "style/paper.safetensors", "flux/line.safetensors"]
SAMPLER_NAMES = sorted({row.sampler for row in SAMPLERS})
SCHEDULERS = ["simple", "karras", "exponential", "normal"]


def listed(*options: str) -> list[Any]:
    """A choice in the older spelling."""
    return [list(options), {}]


def combo(*options: str) -> list[Any]:
    """A choice in the newer spelling."""
    return ["COMBO", {"options": list(options)}]


def whole(default: int, low: int, high: int, **more: Any) -> list[Any]:
    return ["INT", {"default": default, "min": low, "max": high} | more]


def real(default: float, low: float, high: float) -> list[Any]:
    return ["FLOAT", {"default": default, "min": low, "max": high, "step": 0.01}]


def link(kind: str) -> list[Any]:
    return [kind, {}]


def node(required: dict[str, Any], *output: str, is_output: bool = False, **optional: Any) -> dict[str, Any]:
    sections = {"required": required} | ({"optional": optional} if optional else {})
    return {
        "input": sections,
        "input_order": {name: list(section) for name, section in sections.items()},
        "output": list(output),
        "output_node": is_output,
    }


SEED = whole(0, 0, 2**64 - 1, control_after_generate=True)
SIZE = whole(512, 16, 16384, step=8)
TEXT = ["STRING", {"multiline": True}]


def loaders() -> dict[str, Any]:
    encoders = listed(*ENCODERS)
    model, strength = link("MODEL"), real(1, -100, 100)
    return {
        "CheckpointLoaderSimple": node({"ckpt_name": listed(*CHECKPOINTS)}, "MODEL", "CLIP", "VAE"),
        "UNETLoader": node({"unet_name": listed(*UNETS), "weight_dtype": listed("default", "fp8")}, "MODEL"),
        "DualCLIPLoader": node(
            {"clip_name1": encoders, "clip_name2": encoders, "type": listed("sdxl", "flux")}, "CLIP"
        ),
        "VAELoader": node({"vae_name": listed(*VAES)}, "VAE"),
        "LoraLoader": node(
            {"model": model, "clip": link("CLIP"), "lora_name": listed(*LORAS),
             "strength_model": strength, "strength_clip": strength}, "MODEL", "CLIP",
        ),
        "LoraLoaderModelOnly": node(
            {"model": model, "lora_name": listed(*LORAS), "strength_model": strength}, "MODEL"
        ),
        "HypernetworkLoader": node(
            {"model": model, "hypernetwork_name": combo("thick.pt"), "strength": real(1, -10, 10)}, "MODEL"
        ),
        "ControlNetLoader": node({"control_net_name": listed("canny.safetensors")}, "CONTROL_NET"),
        "UpscaleModelLoader": node({"model_name": combo("4x.pth")}, "UPSCALE_MODEL"),
        "LoadImage": node({"image": [["old.png"], {"image_upload": True}]}, "IMAGE", "MASK"),
    }  # fmt: skip


def sampling() -> dict[str, Any]:
    conditioning, latent, model = link("CONDITIONING"), link("LATENT"), link("MODEL")
    empty = {"width": SIZE, "height": SIZE, "batch_size": whole(1, 1, 4096)}
    return {
        "CLIPTextEncode": node({"text": TEXT, "clip": link("CLIP")}, "CONDITIONING"),
        "CLIPSetLastLayer": node({"clip": link("CLIP"), "stop_at_clip_layer": whole(-1, -24, -1)}, "CLIP"),
        "ConditioningZeroOut": node({"conditioning": conditioning}, "CONDITIONING"),
        "FluxGuidance": node({"conditioning": conditioning, "guidance": real(3.5, 0, 100)}, "CONDITIONING"),
        "EmptyLatentImage": node(empty, "LATENT"),
        "EmptySD3LatentImage": node(empty, "LATENT"),
        "KSampler": node(
            {"model": model, "seed": SEED, "steps": whole(20, 1, 10000), "cfg": real(8, 0, 100),
             "sampler_name": listed(*SAMPLER_NAMES), "scheduler": listed(*SCHEDULERS),
             "positive": conditioning, "negative": conditioning, "latent_image": latent,
             "denoise": real(1, 0, 1)}, "LATENT",
        ),
        "RandomNoise": node({"noise_seed": SEED}, "NOISE"),
        "KSamplerSelect": node({"sampler_name": combo(*SAMPLER_NAMES)}, "SAMPLER"),
        "BasicScheduler": node(
            {"model": model, "scheduler": combo(*SCHEDULERS), "steps": whole(20, 1, 10000),
             "denoise": real(1, 0, 1)}, "SIGMAS",
        ),
        "BasicGuider": node({"model": model, "conditioning": conditioning}, "GUIDER"),
        "SamplerCustomAdvanced": node(
            {"noise": link("NOISE"), "guider": link("GUIDER"), "sampler": link("SAMPLER"),
             "sigmas": link("SIGMAS"), "latent_image": latent}, "LATENT", "LATENT",
        ),
        "ControlNetApplyAdvanced": node(
            {"positive": conditioning, "negative": conditioning, "control_net": link("CONTROL_NET"),
             "image": link("IMAGE"), "strength": real(1, 0, 10), "start_percent": real(0, 0, 1),
             "end_percent": real(1, 0, 1)}, "CONDITIONING", "CONDITIONING", vae=link("VAE"),
        ),
    }  # fmt: skip


def pictures() -> dict[str, Any]:
    image, latent, vae = link("IMAGE"), link("LATENT"), link("VAE")
    return {
        "VAEDecode": node({"samples": latent, "vae": vae}, "IMAGE"),
        "VAEEncode": node({"pixels": image, "vae": vae}, "LATENT"),
        "RepeatLatentBatch": node({"samples": latent, "amount": whole(1, 1, 64)}, "LATENT"),
        "SetLatentNoiseMask": node({"samples": latent, "mask": link("MASK")}, "LATENT"),
        "ImageScale": node(
            {"image": image, "upscale_method": listed("bilinear", "lanczos"), "width": whole(512, 0, 16384),
             "height": whole(512, 0, 16384), "crop": listed("disabled", "center")}, "IMAGE",
        ),
        "ImageCrop": node(
            {"image": image, "width": whole(512, 1, 16384), "height": whole(512, 1, 16384),
             "x": whole(0, 0, 16384), "y": whole(0, 0, 16384)}, "IMAGE",
        ),
        "ImageToMask": node({"image": image, "channel": combo("red", "green")}, "MASK"),
        "ImageInvert": node({"image": image}, "IMAGE"),
        "Canny": node(
            {"image": image, "low_threshold": real(0.4, 0.01, 0.99), "high_threshold": real(0.8, 0.01, 0.99)},
            "IMAGE",
        ),
        "ImageUpscaleWithModel": node({"upscale_model": link("UPSCALE_MODEL"), "image": image}, "IMAGE"),
        "EmptyImage": node({"width": SIZE, "height": SIZE}, "IMAGE"),
        "SaveImage": node(
            {"images": image, "filename_prefix": ["STRING", {"default": "x"}]}, is_output=True
        ),
        "PreviewImage": node({"images": image}, is_output=True),
    }  # fmt: skip


def unfolding() -> dict[str, Any]:
    """Classes whose inputs depend on a choice, or grow."""
    sides = {"width": whole(512, 0, 9999), "height": whole(512, 0, 9999)}
    ways = [
        {"key": "to a size", "inputs": {"required": sides}},
        {"key": "by a factor", "inputs": {"required": {"factor": real(1, 0.01, 8)}}},
    ]
    any_picture = {"template": {"template_id": "one", "allowed_types": "IMAGE,MASK"}}
    entry = {"input": {"required": {"image": link("IMAGE")}}, "prefix": "image", "min": 1, "max": 3}
    return {
        "Resize": node(
            {"input": ["COMFY_MATCHTYPE_V3", any_picture],
             "way": ["COMFY_DYNAMICCOMBO_V3", {"options": ways}], "method": combo("area", "lanczos")},
            "COMFY_MATCHTYPE_V3",
        ),
        "Batch": node({"images": ["COMFY_AUTOGROW_V3", {"template": entry}]}, "IMAGE"),
        "PrimitiveInt": node({"value": whole(0, -(2**63), 2**63 - 1)}, "INT"),
        "PrimitiveString": node({"value": TEXT}, "STRING"),
        "StyleLoader": node({"style_name": combo("pastel.safetensors")}, "STYLE_MODEL"),
    }  # fmt: skip


def object_info() -> dict[str, Any]:
    return loaders() | sampling() | pictures() | unfolding()
