"""Parts added to a built-in graph: other loaders, a VAE, hypernetworks, ControlNets, crop and upscale.

These functions change the graph they are given. The ids are those of the built-in workflows.
"""

from collections.abc import Mapping
from typing import Any

from imagemill.domain.images import Control, ImageSpec
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.graph import Graph, Link, add, repoint
from imagemill.graphs.model_files import VAE, CompanionFiles, find_controlnet, resolve_file

MODEL_LOADER, TEXT_ENCODERS, VAE_LOADER = "1", "2", "3"
POSITIVE, NEGATIVE, GUIDANCE, SAMPLER, DECODE, SAVE, GUIDER = "4", "5", "5", "7", "8", "9", "23"
"""Flux has a guidance node under the id of the others' negative prompt."""
OWN_VAE, CLIP_SKIP, CROP, UPSCALER, UPSCALE = "30", "31", "40", "41", "42"
FIRST_HYPERNETWORK, FIRST_CONTROL = 200, 300
"""First ids of hypernetworks and ControlNets; LoRAs start at 100."""

PIXELS_A_LATENT = 8
"""Pixels a side of one latent: other sizes are rendered larger and cropped."""

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


def round_to_latents(side: int) -> int:
    """The pixels a side is rendered with: rounded up to a whole number of latents."""
    return -(-side // PIXELS_A_LATENT) * PIXELS_A_LATENT


def load_as_checkpoint(graph: Graph, file: str) -> None:
    """Replace the three loaders for a diffusion model in a separate file by a checkpoint loader."""
    del graph[TEXT_ENCODERS], graph[VAE_LOADER]
    add(graph, MODEL_LOADER, "CheckpointLoaderSimple", "Checkpoint", ckpt_name=file)
    repoint(graph, (TEXT_ENCODERS, 0), (MODEL_LOADER, 1))
    repoint(graph, (VAE_LOADER, 0), (MODEL_LOADER, 2))


def load_companions(graph: Graph, found: CompanionFiles) -> None:
    graph[TEXT_ENCODERS]["inputs"] |= {"clip_name1": found.clip_l, "clip_name2": found.t5}
    graph[VAE_LOADER]["inputs"]["vae_name"] = found.vae


def use_own_vae(graph: Graph, spec: ImageSpec, catalogue: Catalogue | None) -> None:
    """Replace the checkpoint's VAE by the request's, if it names one."""
    own = next((network for network in spec.networks if network.type == "vae"), None)
    if own is not None:
        file = resolve_file(catalogue, VAE, "vae", own.path or own.air)
        add(graph, OWN_VAE, "VAELoader", "VAE", vae_name=file)
        repoint(graph, (MODEL_LOADER, 2), (OWN_VAE, 0))


def add_hypernetworks(graph: Graph, spec: ImageSpec, catalogue: Catalogue | None) -> None:
    """Add the hypernetworks after the LoRAs, for all nodes that take the model."""
    place = ("HypernetworkLoader", "hypernetwork_name")
    for number, network in enumerate(n for n in spec.networks if n.type == "hypernet"):
        file = resolve_file(catalogue, place, "hypernet", network.path or network.air)
        model = _link(graph, GUIDER if GUIDER in graph else SAMPLER, "model")
        id_ = str(FIRST_HYPERNETWORK + number)
        inputs = {"model": model, "hypernetwork_name": file, "strength": network.strength}
        add(graph, id_, "HypernetworkLoader", f"Hypernetwork {number + 1}", **inputs)
        repoint(graph, model, (id_, 0), but=(id_,))


def skip_clip_layers(graph: Graph, layers: int) -> None:
    clip = _link(graph, POSITIVE, "clip")
    add(graph, CLIP_SKIP, "CLIPSetLastLayer", "Clip skip", clip=clip, stop_at_clip_layer=-layers)
    for encoder in (POSITIVE, NEGATIVE):
        graph[encoder]["inputs"]["clip"] = [CLIP_SKIP, 0]


def add_controlnets(
    graph: Graph, spec: ImageSpec, catalogue: Catalogue | None, images: Mapping[str, str]
) -> None:
    """Chain the ControlNets on both prompts; Flux has one prompt, and its ControlNets need the VAE."""
    is_flux = GUIDER in graph
    sampling = GUIDER if is_flux else SAMPLER
    taken = ("conditioning", "conditioning") if is_flux else ("positive", "negative")
    for number, control in enumerate(spec.controls):
        first = FIRST_CONTROL + 10 * number
        picture = _control_map(graph, first, spec, control, images[control.image])
        file = find_controlnet(catalogue, control, spec.family)
        add(graph, str(first), "ControlNetLoader", f"ControlNet {number + 1}", control_net_name=file)
        inputs: dict[str, Any] = {
            "positive": _link(graph, sampling, taken[0]),
            "negative": _link(graph, sampling, taken[1]),
            "control_net": (str(first), 0),
            "image": picture,
            "strength": control.weight,
            "start_percent": control.start,
            "end_percent": control.end,
        }
        if is_flux:
            inputs["vae"] = _link(graph, DECODE, "vae")
        apply = add(
            graph, str(first + 4), "ControlNetApplyAdvanced", f"Apply ControlNet {number + 1}", **inputs
        )
        # The positive output last: where there is only one input, it must get that one.
        for output, input_ in ((1, taken[1]), (0, taken[0])):
            graph[sampling]["inputs"][input_] = [apply, output]


def _control_map(graph: Graph, first: int, spec: ImageSpec, control: Control, file: str) -> Link:
    """Add the control image, scaled and cropped to the picture's size, and its preprocessor; link to the
    map."""
    load, fit, make = (str(first + step) for step in (1, 2, 3))
    add(graph, load, "LoadImage", "Control image", image=file)
    size = {"width": round_to_latents(spec.width), "height": round_to_latents(spec.height)}
    scale = {"image": (load, 0), "upscale_method": "lanczos", "crop": "center"}
    add(graph, fit, "ImageScale", "Fit control image", **scale, **size)
    node = CORE_PREPROCESSORS[control.preprocessor.lower()]
    if node is None:
        return (fit, 0)
    add(graph, make, node, f"Control map: {node}", image=(fit, 0), **_PREPROCESSOR_INPUTS[node])
    return (make, 0)


def crop_and_upscale(graph: Graph, spec: ImageSpec, catalogue: Catalogue | None, picture: Link) -> None:
    """Crop ``picture`` to the exact size, then upscale it and save it."""
    spare = round_to_latents(spec.width) - spec.width, round_to_latents(spec.height) - spec.height
    if any(spare):
        box = {"width": spec.width, "height": spec.height, "x": spare[0] // 2, "y": spare[1] // 2}
        picture = (add(graph, CROP, "ImageCrop", "Crop to size", image=picture, **box), 0)
    if spec.upscale is not None:
        place = ("UpscaleModelLoader", "model_name")
        file = resolve_file(catalogue, place, "upscaler", spec.upscale.model_path)
        add(graph, UPSCALER, "UpscaleModelLoader", "Upscaler", model_name=file)
        inputs = {"upscale_model": (UPSCALER, 0), "image": picture}
        picture = (add(graph, UPSCALE, "ImageUpscaleWithModel", "Upscale", **inputs), 0)
    graph[SAVE]["inputs"]["images"] = list(picture)


def _link(graph: Graph, id_: str, name: str) -> Link:
    source, output = graph[id_]["inputs"][name]
    return source, output
