"""The node classes the test node knows, and the /object_info answer made from them for either release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Config = list[Any]
Models = Mapping[str, Sequence[str]]


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SAMPLERS = words(
    """
    euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 exp_heun_2_x0
    exp_heun_2_x0_sde dpm_2 dpm_2_ancestral lms dpm_fast dpm_adaptive dpmpp_2s_ancestral
    dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_cfg_pp dpmpp_2m_sde
    dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm
    ipndm ipndm_v deis res_multistep res_multistep_cfg_pp res_multistep_ancestral
    res_multistep_ancestral_cfg_pp gradient_estimation gradient_estimation_cfg_pp er_sde seeds_2
    seeds_3 sa_solver sa_solver_pece ddim uni_pc uni_pc_bh2
    """
)
SCHEDULERS = words(
    """
    simple sgm_uniform karras exponential ddim_uniform beta normal linear_quadratic kl_optimal
    """
)
ENCODER_TYPES = words(
    """
    stable_diffusion stable_cascade sd3 stable_audio mochi ltxv pixart cosmos lumina2 wan hidream chroma ace
    omnigen2 qwen_image hunyuan_image flux2 ovis longcat_image cogvideox lens pixeldit ideogram4 boogu krea2
    joyimage mage minimax
    """
)
DUAL_ENCODER_TYPES = words(
    """
    sdxl sd3 flux hunyuan_video hidream hunyuan_image hunyuan_video_15 kandinsky5 kandinsky5_image ltxv newbie
    ace
    """
)
RESAMPLING = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
LATENT_RESAMPLING = (*RESAMPLING[:-1], "bislerp")
LARGEST_SEED = 2**64 - 1
LARGEST_SIDE = 16384
FOLDERS = words(
    """
    checkpoints configs loras vae text_encoders diffusion_models clip_vision style_models embeddings
    diffusers vae_approx controlnet gligen upscale_models custom_nodes hypernetworks photomaker classifiers
    model_patches audio_encoders
    """
)
NEW_FOLDERS = words("latent_upscale_models datasets background_removal frame_interpolation detection")
NEW_SAMPLERS = frozenset({"exp_heun_2_x0", "exp_heun_2_x0_sde"})


@dataclass(frozen=True)
class Choice:
    """One of fixed words."""

    options: tuple[str, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Files:
    """One of the files in a model folder, or of the input pictures (`input`)."""

    folder: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    built_in: tuple[str, ...] = ()


Declared = str | Config | Choice | Files


@dataclass(frozen=True)
class NodeClass:
    """What a class takes and gives. `since_new` classes and `added` inputs exist on 0.33 only."""

    required: Mapping[str, Declared]
    outputs: tuple[str, ...]
    names: tuple[str, ...]
    module: str
    optional: Mapping[str, Declared]
    output_node: bool = False
    since_new: bool = False
    added: Mapping[str, Declared] = field(default_factory=dict)

    @property
    def typed(self) -> bool:
        """Declared by the newer, typed interface, which spells combos as `COMBO` with options."""
        return self.module.startswith("comfy_extras")


def whole(default: int, least: int, most: int, step: int | None = 1, **more: Any) -> Config:
    extent = {"default": default, "min": least, "max": most}
    return ["INT", {**extent, **({"step": step} if step else {}), **more}]


def real(default: float, least: float, most: float, step: float = 0.01, **more: Any) -> Config:
    return ["FLOAT", {"default": default, "min": least, "max": most, "step": step, **more}]


SEED = whole(0, 0, LARGEST_SEED, None, control_after_generate=True)
STEPS = whole(20, 1, 10000, None)
CFG = real(8.0, 0.0, 100.0, 0.1, round=0.01)
DENOISE = real(1.0, 0.0, 1.0)
TEXT: Config = ["STRING", {"multiline": True, "dynamicPrompts": True}]
PREFIX: Config = ["STRING", {"default": "ComfyUI"}]
ON_OFF: Config = ["BOOLEAN", {"default": True}]
SIDE = whole(512, 16, LARGEST_SIDE, 8)
BIG_SIDE = whole(1024, 16, LARGEST_SIDE, 16)
PIXELS = whole(512, 0, LARGEST_SIDE)
SOLID_PIXELS = whole(512, 1, LARGEST_SIDE)
OFFSET = whole(0, 0, LARGEST_SIDE)
BATCH = whole(1, 1, 4096, None)
UP = real(1.0, 0.01, 8.0)
SAMPLER = Choice(SAMPLERS)
SCHEDULER = Choice(SCHEDULERS)
CROP = Choice(("disabled", "center"))
DEVICE = Choice(("default", "cpu"), {"advanced": True})
CLIP_FILE = Files("text_encoders")
LORA = Files("loras")
STRENGTH = real(1.0, -100.0, 100.0)
CONTROL = {
    "control_net": "CONTROL_NET",
    "image": "IMAGE",
    "strength": real(1.0, 0.0, 10.0),
}
TILES = {"overlap": whole(64, 0, 4096, 32), "temporal_size": whole(64, 8, 4096, 4)}
GUIDED = {"positive": "CONDITIONING", "negative": "CONDITIONING"}
GROWING: Config = [
    "COMFY_AUTOGROW_V3",
    {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1, "max": 50}},
]
RESIZING: Config = [
    "COMFY_DYNAMICCOMBO_V3",
    {
        "options": [
            {"key": "scale dimensions", "inputs": {"required": {"width": PIXELS, "height": PIXELS}}},
            {"key": "scale by multiplier", "inputs": {"required": {"multiplier": UP}}},
            {"key": "scale longer dimension", "inputs": {"required": {"longer_size": PIXELS}}},
            {"key": "scale total pixels", "inputs": {"required": {"megapixels": real(1.0, 0.01, 16.0)}}},
        ]
    },
]
EITHER: Config = [
    "COMFY_MATCHTYPE_V3",
    {"template": {"template_id": "input_type", "allowed_types": "IMAGE,MASK"}},
]


def core(required: Mapping[str, Declared], outputs: str = "", *, names: str = "", **more: Any) -> NodeClass:
    given = tuple(outputs.split())
    settings = {"module": "nodes", "optional": {}, **more}
    return NodeClass(required, given, tuple(names.split()) or given, **settings)


def extra(module: str, required: Mapping[str, Declared], outputs: str = "", **more: Any) -> NodeClass:
    return core(required, outputs, module=f"comfy_extras.nodes_{module}", **more)


LOADERS = {
    "CheckpointLoaderSimple": core({"ckpt_name": Files("checkpoints")}, "MODEL CLIP VAE"),
    "UNETLoader": core(
        {
            "unet_name": Files("diffusion_models"),
            "weight_dtype": Choice(
                ("default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"), {"advanced": True}
            ),
        },
        "MODEL",
    ),
    "CLIPLoader": core(
        {"clip_name": CLIP_FILE, "type": Choice(ENCODER_TYPES)},
        "CLIP",
        optional={"device": DEVICE},
    ),
    "DualCLIPLoader": core(
        {
            "clip_name1": CLIP_FILE,
            "clip_name2": CLIP_FILE,
            "type": Choice(DUAL_ENCODER_TYPES),
        },
        "CLIP",
        optional={"device": DEVICE},
    ),
    "TripleCLIPLoader": extra("sd3", {f"clip_name{position}": CLIP_FILE for position in (1, 2, 3)}, "CLIP"),
    "VAELoader": core({"vae_name": Files("vae", built_in=("pixel_space",))}, "VAE"),
    "LoraLoader": core(
        {
            "model": "MODEL",
            "clip": "CLIP",
            "lora_name": LORA,
            "strength_model": STRENGTH,
            "strength_clip": STRENGTH,
        },
        "MODEL CLIP",
    ),
    "LoraLoaderModelOnly": core({"model": "MODEL", "lora_name": LORA, "strength_model": STRENGTH}, "MODEL"),
    "HypernetworkLoader": extra(
        "hypernetwork",
        {"model": "MODEL", "hypernetwork_name": Files("hypernetworks"), "strength": real(1.0, -10.0, 10.0)},
        "MODEL",
    ),
    "ControlNetLoader": core({"control_net_name": Files("controlnet")}, "CONTROL_NET"),
    "UpscaleModelLoader": extra("upscale_model", {"model_name": Files("upscale_models")}, "UPSCALE_MODEL"),
}
CONDITIONING = {
    "CLIPTextEncode": core({"text": TEXT, "clip": "CLIP"}, "CONDITIONING"),
    "CLIPTextEncodeFlux": extra(
        "flux",
        {"clip": "CLIP", "clip_l": TEXT, "t5xxl": TEXT, "guidance": real(3.5, 0.0, 100.0, 0.1)},
        "CONDITIONING",
    ),
    "CLIPTextEncodeSDXL": extra(
        "clip_sdxl",
        {
            "clip": "CLIP",
            "width": whole(1024, 0, LARGEST_SIDE, None),
            "height": whole(1024, 0, LARGEST_SIDE, None),
            "crop_w": whole(0, 0, LARGEST_SIDE, None),
            "crop_h": whole(0, 0, LARGEST_SIDE, None),
            "target_width": whole(1024, 0, LARGEST_SIDE, None),
            "target_height": whole(1024, 0, LARGEST_SIDE, None),
            "text_g": TEXT,
            "text_l": TEXT,
        },
        "CONDITIONING",
    ),
    "CLIPSetLastLayer": core(
        {"clip": "CLIP", "stop_at_clip_layer": whole(-1, -24, -1, advanced=True)}, "CLIP"
    ),
    "FluxGuidance": extra(
        "flux", {"conditioning": "CONDITIONING", "guidance": real(3.5, 0.0, 100.0, 0.1)}, "CONDITIONING"
    ),
    "ConditioningZeroOut": core({"conditioning": "CONDITIONING"}, "CONDITIONING"),
    "ConditioningCombine": core(
        {"conditioning_1": "CONDITIONING", "conditioning_2": "CONDITIONING"}, "CONDITIONING"
    ),
    "ControlNetApply": core({"conditioning": "CONDITIONING", **CONTROL}, "CONDITIONING"),
    "ControlNetApplyAdvanced": core(
        {
            **GUIDED,
            **CONTROL,
            "start_percent": real(0.0, 0.0, 1.0, 0.001),
            "end_percent": real(1.0, 0.0, 1.0, 0.001),
        },
        "CONDITIONING CONDITIONING",
        names="positive negative",
        optional={"vae": "VAE"},
    ),
    "SetUnionControlNetType": extra(
        "controlnet",
        {
            "control_net": "CONTROL_NET",
            "type": Choice(("auto", "openpose", "depth", "normal", "segment", "tile")),
        },
        "CONTROL_NET",
    ),
    "InpaintModelConditioning": core(
        {**GUIDED, "vae": "VAE", "pixels": "IMAGE", "mask": "MASK", "noise_mask": ON_OFF},
        "CONDITIONING CONDITIONING LATENT",
        names="positive negative latent",
    ),
}
SAMPLING = {
    "KSampler": core(
        {
            "model": "MODEL",
            "seed": SEED,
            "steps": STEPS,
            "cfg": CFG,
            "sampler_name": SAMPLER,
            "scheduler": SCHEDULER,
            **GUIDED,
            "latent_image": "LATENT",
            "denoise": DENOISE,
        },
        "LATENT",
    ),
    "KSamplerAdvanced": core(
        {
            "model": "MODEL",
            "add_noise": Choice(("enable", "disable"), {"advanced": True}),
            "noise_seed": SEED,
            "steps": STEPS,
            "cfg": CFG,
            "sampler_name": SAMPLER,
            "scheduler": SCHEDULER,
            **GUIDED,
            "latent_image": "LATENT",
            "start_at_step": whole(0, 0, 10000, None, advanced=True),
            "end_at_step": whole(10000, 0, 10000, None, advanced=True),
            "return_with_leftover_noise": Choice(("disable", "enable"), {"advanced": True}),
        },
        "LATENT",
    ),
    "SamplerCustomAdvanced": extra(
        "custom_sampler",
        {
            "noise": "NOISE",
            "guider": "GUIDER",
            "sampler": "SAMPLER",
            "sigmas": "SIGMAS",
            "latent_image": "LATENT",
        },
        "LATENT LATENT",
        names="output denoised_output",
    ),
    "BasicGuider": extra("custom_sampler", {"model": "MODEL", "conditioning": "CONDITIONING"}, "GUIDER"),
    "CFGGuider": extra("custom_sampler", {"model": "MODEL", **GUIDED, "cfg": CFG}, "GUIDER"),
    "BasicScheduler": extra(
        "custom_sampler",
        {"model": "MODEL", "scheduler": SCHEDULER, "steps": STEPS, "denoise": DENOISE},
        "SIGMAS",
    ),
    "KSamplerSelect": extra("custom_sampler", {"sampler_name": SAMPLER}, "SAMPLER"),
    "RandomNoise": extra("custom_sampler", {"noise_seed": SEED}, "NOISE"),
    "DisableNoise": extra("custom_sampler", {}, "NOISE"),
    "ModelSamplingFlux": core(
        {
            "model": "MODEL",
            "max_shift": real(1.15, 0.0, 100.0, advanced=True),
            "base_shift": real(0.5, 0.0, 100.0, advanced=True),
            "width": whole(1024, 16, LARGEST_SIDE, 8),
            "height": whole(1024, 16, LARGEST_SIDE, 8),
        },
        "MODEL",
        module="comfy_extras.nodes_model_advanced",
    ),
    "ModelSamplingSD3": core(
        {"model": "MODEL", "shift": real(3.0, 0.0, 100.0)},
        "MODEL",
        module="comfy_extras.nodes_model_advanced",
    ),
    "DifferentialDiffusion": extra(
        "differential_diffusion", {"model": "MODEL"}, "MODEL", optional={"strength": DENOISE}
    ),
}
LATENTS = {
    "EmptyLatentImage": core({"width": SIDE, "height": SIDE, "batch_size": BATCH}, "LATENT"),
    "EmptySD3LatentImage": extra(
        "sd3", {"width": BIG_SIDE, "height": BIG_SIDE, "batch_size": BATCH}, "LATENT"
    ),
    "VAEDecode": core({"samples": "LATENT", "vae": "VAE"}, "IMAGE"),
    "VAEDecodeTiled": core(
        {
            "samples": "LATENT",
            "vae": "VAE",
            "tile_size": whole(512, 64, 4096, 32),
            **TILES,
            "temporal_overlap": whole(8, 4, 4096, 4),
        },
        "IMAGE",
    ),
    "VAEEncode": core({"pixels": "IMAGE", "vae": "VAE"}, "LATENT"),
    "VAEEncodeForInpaint": core(
        {"pixels": "IMAGE", "vae": "VAE", "mask": "MASK", "grow_mask_by": whole(6, 0, 64)}, "LATENT"
    ),
    "SetLatentNoiseMask": core({"samples": "LATENT", "mask": "MASK"}, "LATENT"),
    "LatentUpscale": core(
        {
            "samples": "LATENT",
            "upscale_method": Choice(LATENT_RESAMPLING),
            "width": whole(512, 0, LARGEST_SIDE, 8),
            "height": whole(512, 0, LARGEST_SIDE, 8),
            "crop": CROP,
        },
        "LATENT",
    ),
    "LatentUpscaleBy": core(
        {"samples": "LATENT", "upscale_method": Choice(LATENT_RESAMPLING), "scale_by": real(1.5, 0.01, 8.0)},
        "LATENT",
    ),
    "RepeatLatentBatch": core({"samples": "LATENT", "amount": whole(1, 1, 64, None)}, "LATENT"),
    "LatentFromBatch": core(
        {
            "samples": "LATENT",
            "batch_index": whole(0, -LARGEST_SIDE, LARGEST_SIDE, None),
            "length": whole(1, 1, 64, None),
        },
        "LATENT",
    ),
}
