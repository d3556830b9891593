"""What is added to a built-in graph: other loaders, a VAE, hypernetworks, ControlNets, crop and upscale.

These functions change the graph they are given; the ids are those of the built-in workflows.
"""

from collections.abc import Mapping
from typing import Any

from imagemill.domain.images import Control, ImageSpec
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.graph import Graph, Link, add, repoint
from imagemill.graphs.model_files import VAE, CompanionFiles, control_file, spelled

MODEL_LOADER, TEXT_ENCODERS, VAE_LOADER = "1", "2", "3"
POSITIVE, NEGATIVE, GUIDANCE, SAMPLER, DECODE, SAVE, GUIDER = "4", "5", "5", "7", "8", "9", "23"
"""Flux has guidance where the others have a negative prompt."""
OWN_VAE, CLIP_SKIP, CROP, UPSCALER, UPSCALE = "30", "31", "40", "41", "42"
FIRST_HYPERNETWORK, FIRST_CONTROL = 200, 300
"""LoRAs are numbered from 100 on."""

PIXELS_A_LATENT = 8
"""A latent stands for so many pixels a side: other sizes are drawn larger and cropped."""

CORE_PREPROCESSORS: dict[str, str | None] = {
    "": None,
    "none": None,
    "tile": None,
    "canny": "Canny",
    "invert": "ImageInvert",
}
"""By the client's name: the core node; None: the image is a map already (a tile's is the picture itself)."""

_PREPROCESSOR_INPUTS: dict[str, dict[str, Any]] = {
    # ComfyUI's own defaults; a validator wants them said.
    "Canny": {"low_threshold": 0.4, "high_threshold": 0.8},
    "ImageInvert": {},
}


def drawn(side: int) -> int:
    """The pixels a side is drawn with."""
    return -(-side // PIXELS_A_LATENT) * PIXELS_A_LATENT


def load_as_checkpoint(graph: Graph, file: str) -> None:
    """One loader in place of the three of a diffusion model's own file."""
    del graph[TEXT_ENCODERS], graph[VAE_LOADER]
    add(graph, MODEL_LOADER, "CheckpointLoaderSimple", "Checkpoint", ckpt_name=file)
    repoint(graph, (TEXT_ENCODERS, 0), (MODEL_LOADER, 1))
    repoint(graph, (VAE_LOADER, 0), (MODEL_LOADER, 2))


def load_companions(graph: Graph, found: CompanionFiles) -> None:
    graph[TEXT_ENCODERS]["inputs"] |= {"clip_name1": found.clip_l, "clip_name2": found.t5}
    graph[VAE_LOADER]["inputs"]["vae_name"] = found.vae


def own_vae(graph: Graph, spec: ImageSpec, catalogue: Catalogue | None) -> None:
    """Put the request's VAE, if it names one, in place of the checkpoint's."""
    own = next((network for network in spec.networks if network.type == "vae"), None)
    if own is not None:
        file = spelled(catalogue, VAE, "vae", own.path or own.air)
        add(graph, OWN_VAE, "VAELoader", "VAE", vae_name=file)
        repoint(graph, (MODEL_LOADER, 2), (OWN_VAE, 0))


def hypernetworks(graph: Graph, spec: ImageSpec, catalogue: Catalogue | None) -> None:
    """After the LoRAs, on all that takes the model they give."""
    place = ("HypernetworkLoader", "hypernetwork_name")
    for number, network in enumerate(n for n in spec.networks if n.type == "hypernet"):
        file = spelled(catalogue, place, "hypernet", network.path or network.air)
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


def controls(graph: Graph, spec: ImageSpec, catalogue: Catalogue | None, images: Mapping[str, str]) -> None:
    """Chain the ControlNets on both prompts; Flux has one, and its ControlNets see the map by the VAE."""
    is_flux = GUIDER in graph
    sampling = GUIDER if is_flux else SAMPLER
    taken = ("conditioning", "conditioning") if is_flux else ("positive", "negative")
    for number, control in enumerate(spec.controls):
        first = FIRST_CONTROL + 10 * number
        picture = _control_map(graph, first, spec, control, images[control.image])
        file = control_file(catalogue, control, spec.family)
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
        # Last the positive one: where there is only one input, it is for that.
        for output, input_ in ((1, taken[1]), (0, taken[0])):
            graph[sampling]["inputs"][input_] = [apply, output]


def _control_map(graph: Graph, first: int, spec: ImageSpec, control: Control, file: str) -> Link:
    """The control image, fitted to the picture as its source is, as a map."""
    load, fit, make = (str(first + step) for step in (1, 2, 3))
    add(graph, load, "LoadImage", "Control image", image=file)
    size = {"width": drawn(spec.width), "height": drawn(spec.height)}
    scale = {"image": (load, 0), "upscale_method": "lanczos", "crop": "center"}
    add(graph, fit, "ImageScale", "Fit control image", **scale, **size)
    node = CORE_PREPROCESSORS[control.preprocessor.lower()]
    if node is None:
        return (fit, 0)
    add(graph, make, node, f"Control map: {node}", image=(fit, 0), **_PREPROCESSOR_INPUTS[node])
    return (make, 0)


def finish(graph: Graph, spec: ImageSpec, catalogue: Catalogue | None, picture: Link) -> None:
    """Crop ``picture`` to the exact size, then enlarge."""
    spare = drawn(spec.width) - spec.width, drawn(spec.height) - spec.height
    if any(spare):
        box = {"width": spec.width, "height": spec.height, "x": spare[0] // 2, "y": spare[1] // 2}
        picture = (add(graph, CROP, "ImageCrop", "Crop to size", image=picture, **box), 0)
    if spec.upscale is not None:
        place = ("UpscaleModelLoader", "model_name")
        file = spelled(catalogue, place, "upscaler", spec.upscale.model_path)
        add(graph, UPSCALER, "UpscaleModelLoader", "Upscaler", model_name=file)
        inputs = {"upscale_model": (UPSCALER, 0), "image": picture}
        picture = (add(graph, UPSCALE, "ImageUpscaleWithModel", "Upscale", **inputs), 0)
    graph[SAVE]["inputs"]["images"] = list(picture)


def _link(graph: Graph, id_: str, name: str) -> Link:
    source, output = graph[id_]["inputs"][name]
    return source, output
