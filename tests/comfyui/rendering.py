"""What each class does: it really follows the links, and its pictures depend on what it was given."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from PIL import Image

from tests.comfyui import pictures
from tests.comfyui.files import Folders
from tests.comfyui.pictures import Picture
from tests.comfyui.values import (
    FEW_CHANNELS,
    MANY_CHANNELS,
    Conditioning,
    Guider,
    Images,
    Latent,
    Model,
    NodeFailed,
    Sigmas,
    Vae,
)


class Run(Protocol):
    """What a node may ask of the run it is in."""

    files: Folders

    async def load(self, model: str) -> None:
        """Bring a model into memory; takes time unless it is there."""
        ...

    async def sample(self, steps: int, latent: Latent, result: Picture) -> None:
        """Spend the time of the steps and tell of them; out of memory when it is too much."""
        ...

    def pay(self) -> None:
        """Call a paid service with the prompt's key; it fails without one."""
        ...


Inputs = dict[str, Any]
Outputs = tuple[Any, ...]
Work = Callable[[Run, Inputs], Outputs | Awaitable[Outputs]]
WORK: dict[str, Work] = {}


def does(*names: str) -> Callable[[Work], Work]:
    def keep(work: Work) -> Work:
        WORK.update(dict.fromkeys(names, work))
        return work

    return keep


@does("CheckpointLoaderSimple")
async def load_checkpoint(run: Run, given: Inputs) -> Outputs:
    name = given["ckpt_name"]
    await run.load(name)
    return Model(name), name, Vae(name)


@does("UNETLoader")
async def load_diffusion_model(run: Run, given: Inputs) -> Outputs:
    await run.load(given["unet_name"])
    return (Model(given["unet_name"]),)


@does("CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "QuadrupleCLIPLoader")
def load_text_encoder(run: Run, given: Inputs) -> Outputs:
    return ("+".join(value for name, value in given.items() if name.startswith("clip_name")),)


@does("VAELoader")
def load_vae(run: Run, given: Inputs) -> Outputs:
    return (Vae(given["vae_name"]),)


@does("ControlNetLoader", "LoadBackgroundRemovalModel", "UpscaleModelLoader")
def load_by_name(run: Run, given: Inputs) -> Outputs:
    return (next(iter(given.values())),)


@does("SetUnionControlNetType")
def set_type(run: Run, given: Inputs) -> Outputs:
    return (f"{given['control_net']}:{given['type']}",)


@does("LoraLoader")
def apply_lora(run: Run, given: Inputs) -> Outputs:
    changed = given["model"].changed(given["lora_name"], given["strength_model"])
    return changed, f"{given['clip']}<{given['lora_name']}:{given['strength_clip']}>"


@does(
    "LoraLoaderModelOnly",
    "HypernetworkLoader",
    "ModelSamplingFlux",
    "ModelSamplingSD3",
    "ModelSamplingAuraFlow",
    "CFGNorm",
    "DifferentialDiffusion",
)
def change_model(run: Run, given: Inputs) -> Outputs:
    return (given["model"].changed(*(value for name, value in given.items() if name != "model")),)


@does("CLIPTextEncode", "CLIPTextEncodeFlux", "CLIPTextEncodeSDXL")
def encode_text(run: Run, given: Inputs) -> Outputs:
    return (Conditioning(repr(sorted(given.items()))),)


@does("CLIPSetLastLayer")
def set_last_layer(run: Run, given: Inputs) -> Outputs:
    return (f"{given['clip']}@{given['stop_at_clip_layer']}",)


@does("FluxGuidance")
def guide(run: Run, given: Inputs) -> Outputs:
    return (given["conditioning"].with_more(given["guidance"]),)


@does("ReferenceLatent")
def refer_to(run: Run, given: Inputs) -> Outputs:
    seen = [one.digest() for one in given["latent"].pictures] if "latent" in given else []
    return (given["conditioning"].with_more(*seen),)


@does("ConditioningZeroOut")
def zero_out(run: Run, given: Inputs) -> Outputs:
    return (Conditioning(""),)


@does("ConditioningCombine")
def combine(run: Run, given: Inputs) -> Outputs:
    return (given["conditioning_1"].with_more(given["conditioning_2"].said),)


@does("ControlNetApply")
def control(run: Run, given: Inputs) -> Outputs:
    return (
        given["conditioning"].with_more(given["control_net"], given["image"][0].digest(), given["strength"]),
    )


@does("ControlNetApplyAdvanced")
def control_both(run: Run, given: Inputs) -> Outputs:
    how = (given["control_net"], given["image"][0].digest(), given["strength"], given["start_percent"])
    return given["positive"].with_more(how, given["end_percent"]), given["negative"].with_more(how)


@does("InpaintModelConditioning")
def inpaint_conditioning(run: Run, given: Inputs) -> Outputs:
    latent = _encoded(given["pixels"], given["vae"], given["mask"][0] if given["noise_mask"] else None)
    return given["positive"], given["negative"], latent


@does("KSampler")
async def sample(run: Run, given: Inputs) -> Outputs:
    said = _key(given, "seed", "cfg", "sampler_name", "scheduler", "steps")
    guider = Guider(given["model"], f"{given['positive'].said}|{given['negative'].said}|{said}")
    return (await _sampled(run, guider, given["steps"], given["denoise"], given["latent_image"]),)


@does("KSamplerAdvanced")
async def sample_part(run: Run, given: Inputs) -> Outputs:
    said = _key(
        given, "noise_seed", "cfg", "sampler_name", "scheduler", "steps", "start_at_step", "end_at_step"
    )
    guider = Guider(given["model"], f"{given['positive'].said}|{given['negative'].said}|{said}")
    steps = max(1, min(given["end_at_step"], given["steps"]) - given["start_at_step"])
    return (await _sampled(run, guider, steps, steps / given["steps"], given["latent_image"]),)


@does("SamplerCustomAdvanced")
async def sample_custom(run: Run, given: Inputs) -> Outputs:
    sigmas: Sigmas = given["sigmas"]
    guider: Guider = given["guider"]
    said = f"{guider.said}|{given['noise']}|{given['sampler']}|{sigmas}"
    latent = await _sampled(
        run, Guider(guider.model, said), sigmas.steps, sigmas.denoise, given["latent_image"]
    )
    return latent, latent


@does("BasicGuider")
def guide_basically(run: Run, given: Inputs) -> Outputs:
    return (Guider(given["model"], given["conditioning"].said),)


@does("CFGGuider")
def guide_by_cfg(run: Run, given: Inputs) -> Outputs:
    return (Guider(given["model"], f"{given['positive'].said}|{given['negative'].said}|{given['cfg']}"),)


@does("Flux2Scheduler")
def schedule_by_size(run: Run, given: Inputs) -> Outputs:
    return (Sigmas(given["steps"], 1.0, "flux2"),)


@does("BasicScheduler")
def schedule(run: Run, given: Inputs) -> Outputs:
    return (Sigmas(given["steps"], given["denoise"], given["scheduler"]),)


@does("KSamplerSelect", "RandomNoise", "PrimitiveInt", "PrimitiveString")
def pass_value(run: Run, given: Inputs) -> Outputs:
    return (next(iter(given.values())),)


@does("DisableNoise")
def no_noise(run: Run, given: Inputs) -> Outputs:
    return ("no noise",)


@does("EmptyLatentImage")
def empty_latent(run: Run, given: Inputs) -> Outputs:
    return (Latent(given["width"] // 8 * 8, given["height"] // 8 * 8, given["batch_size"], FEW_CHANNELS),)


@does("EmptySD3LatentImage", "EmptyFlux2LatentImage")
def empty_wide_latent(run: Run, given: Inputs) -> Outputs:
    return (Latent(given["width"] // 8 * 8, given["height"] // 8 * 8, given["batch_size"], MANY_CHANNELS),)


@does("Wan22ImageToVideoLatent", "EmptyLTXVLatentVideo")
def empty_video(run: Run, given: Inputs) -> Outputs:
    """A frame a picture, so that the decoded video has as many."""
    width, height = given["width"] // 32 * 32, given["height"] // 32 * 32
    return (Latent(width, height, given["length"], FEW_CHANNELS),)


@does("VAEDecode", "VAEDecodeTiled")
def decode(run: Run, given: Inputs) -> Outputs:
    latent: Latent = given["samples"]
    wanted = given["vae"].channels
    if wanted is not None and wanted != latent.channels:
        shape = f"{latent.batch}, {latent.channels}, {latent.height // 8}, {latent.width // 8}"
        raise NodeFailed(
            "RuntimeError",
            f"Given groups=1, weight of size [64, {wanted}, 3, 3], expected input[{shape}] to have {wanted}"
            f" channels, but got {latent.channels} channels instead\n",
        )
    grey = pictures.flat(latent.width, latent.height, 0x7F7F7F)
    return (list(latent.pictures) or [grey] * latent.batch,)


@does("VAEEncode")
def encode(run: Run, given: Inputs) -> Outputs:
    return (_encoded(given["pixels"], given["vae"], None),)


@does("VAEEncodeForInpaint")
def encode_with_hole(run: Run, given: Inputs) -> Outputs:
    return (_encoded(given["pixels"], given["vae"], given["mask"][0]),)


@does("SetLatentNoiseMask")
def set_noise_mask(run: Run, given: Inputs) -> Outputs:
    latent: Latent = given["samples"]
    return (
        Latent(latent.width, latent.height, latent.batch, latent.channels, latent.pictures, given["mask"][0]),
    )


@does("LatentUpscale")
def upscale_latent(run: Run, given: Inputs) -> Outputs:
    return (_resized_latent(given["samples"], given["width"], given["height"]),)


@does("LatentUpscaleBy")
def upscale_latent_by(run: Run, given: Inputs) -> Outputs:
    latent, factor = given["samples"], given["scale_by"]
    return (_resized_latent(latent, round(latent.width * factor), round(latent.height * factor)),)


@does("RepeatLatentBatch")
def repeat_latent(run: Run, given: Inputs) -> Outputs:
    latent, times = given["samples"], given["amount"]
    return (
        Latent(latent.width, latent.height, latent.batch * times, latent.channels, latent.pictures * times),
    )


@does("LatentFromBatch")
def part_of_latent(run: Run, given: Inputs) -> Outputs:
    latent, first = given["samples"], given["batch_index"]
    length = min(given["length"], latent.batch - first)
    kept = latent.pictures[first : first + length]
    return (Latent(latent.width, latent.height, length, latent.channels, kept),)


def _key(given: Inputs, *names: str) -> str:
    return repr([given[name] for name in names])


def _encoded(images: Images, vae: Vae, mask: Image.Image | None) -> Latent:
    width, height = (side // 8 * 8 for side in images[0].size)
    cut = tuple(
        one if one.size == (width, height) else Picture(one.image.crop((0, 0, width, height)))
        for one in images
    )
    return Latent(width, height, len(cut), vae.channels or FEW_CHANNELS, cut, mask)


def _resized_latent(latent: Latent, width: int, height: int) -> Latent:
    width, height = width // 8 * 8, height // 8 * 8
    grown = tuple(Picture(one.image.resize((width, height))) for one in latent.pictures)
    mask = latent.mask.resize((width, height)) if latent.mask else None
    return Latent(width, height, latent.batch, latent.channels, grown, mask)


async def _sampled(run: Run, guider: Guider, steps: int, denoise: float, latent: Latent) -> Latent:
    """What is empty takes the model's channels; what is not must have them."""
    channels = guider.model.channels
    if latent.pictures and latent.channels not in (channels, FEW_CHANNELS):
        raise NodeFailed(
            "RuntimeError", f"expected {channels} channels, but got {latent.channels} channels instead\n"
        )
    await run.load(guider.model.name)
    results = tuple(_result(guider, denoise, latent, place) for place in range(latent.batch))
    await run.sample(steps, latent, results[0])
    return Latent(latent.width, latent.height, latent.batch, channels, results, latent.mask)


def _result(guider: Guider, denoise: float, latent: Latent, place: int) -> Picture:
    source = latent.pictures[place] if latent.pictures else None
    before = source.digest() if source else ""
    key = hashlib.blake2b(f"{guider}|{denoise}|{before}|{place}".encode(), digest_size=16).hexdigest()
    imagined = pictures.imagined(latent.width, latent.height, key)
    if source is None or (denoise >= 1.0 and latent.mask is None):
        return imagined
    mixed = Image.blend(source.image, imagined.image, denoise)
    if latent.mask is None:
        return Picture(mixed)
    return Picture(Image.composite(mixed, source.image, latent.mask.resize(source.size)))
