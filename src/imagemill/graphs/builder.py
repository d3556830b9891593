"""Build a graph of ComfyUI's core nodes for a backend-neutral image request.

The built-in workflows are the base. Functions change what a manifest cannot express: the way the model is
loaded, chains of LoRAs and ControlNets, and the steps after the picture is decoded.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from imagemill.domain.images import ImageSpec, Network
from imagemill.graphs import builder_parts
from imagemill.graphs.background import remove_background
from imagemill.graphs.builder_parts import (
    CORE_PREPROCESSORS,
    DECODE,
    GUIDANCE,
    NEGATIVE,
    POSITIVE,
    SAMPLER,
    SAVE,
    round_to_latents,
)
from imagemill.graphs.builtin import builtin
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import MissingFile, Unsupported
from imagemill.graphs.graph import Graph, Link, add, remove
from imagemill.graphs.manifest import apply
from imagemill.graphs.model_files import find_companions, model_file, resolve_file

FAMILIES = ("sd1", "sd2", "sdxl", "flux1")
"""Model families that graphs are built for."""
LORA_TYPES = ("lora", "lycoris", "dora")
MODEL_EXTENSIONS = (".safetensors", ".pt", ".bin", ".ckpt")
DETAILER, PROVIDER = "FaceDetailer", "UltralyticsDetectorProvider"
_DETAIL, _DETECTOR = "50", "51"
_DENOISE = 0.4
"""Strength of the face pass: enough to redraw a blurred face, too little to turn it into another one."""


def build(spec: ImageSpec, catalogue: Catalogue | None, *, prefix: str, images: Mapping[str, str]) -> Graph:
    """Build the graph of a request.

    ``prefix``: the filename prefix of SaveImage. ``images``: an input's name -> the name the node gave the
    file. Without a catalogue, file names are used unchanged. Raises `MissingFile` for a file that the node
    lacks and `Unsupported` for a request that no node can fulfil.
    """
    reason = unsupported_reason(spec)
    if reason is not None:
        raise Unsupported(reason)
    form, model = model_file(spec, catalogue)
    is_flux = spec.family == "flux1"
    workflow = builtin(f"{'flux' if is_flux else 'sd'}-{_mode(spec)}")
    values = _values(spec, catalogue) | {"model": model}
    graph = apply(workflow, values, _pictures(spec, images))
    graph[SAVE]["inputs"]["filename_prefix"] = prefix
    if is_flux and form == "checkpoint":
        builder_parts.load_as_checkpoint(graph, model)
    elif is_flux:
        builder_parts.load_companions(graph, find_companions(spec, catalogue))
    if is_flux and is_schnell(spec):
        remove(graph, GUIDANCE, (POSITIVE, 0))
    if form == "checkpoint":
        builder_parts.use_own_vae(graph, spec, catalogue)
    builder_parts.add_hypernetworks(graph, spec, catalogue)
    if spec.clip_skip > 1 and not is_flux:
        builder_parts.skip_clip_layers(graph, spec.clip_skip)
    builder_parts.add_controlnets(graph, spec, catalogue, images)
    picture = add_face_pass(graph, spec, catalogue)
    if spec.cutout:
        picture = remove_background(graph, catalogue, picture)
    builder_parts.crop_and_upscale(graph, spec, catalogue, picture)
    return graph


def unsupported_reason(spec: ImageSpec) -> str | None:
    """The reason why no node could fulfil the request with core nodes, in a sentence; None if one could."""
    if spec.family not in FAMILIES:
        family = f"of the family {spec.family}" if spec.family else "whose AIR names no family"
        return (
            f"models {family} are not drawn from a prompt alone yet, only {', '.join(FAMILIES)}: add "
            "ComfyUI's own template for the model as a workflow (`imagemill workflows add`) and run that"
        )
    for control in spec.controls:
        if control.preprocessor.lower() not in CORE_PREPROCESSORS:
            return (
                f"the ControlNet preprocessor {control.preprocessor} is not a core node of ComfyUI; send a "
                "finished control map and leave the preprocessor empty, or use canny"
            )
    if spec.mask is not None and spec.image is None:
        return "a mask needs a source image to draw into"
    return None


def picture_names(spec: ImageSpec) -> tuple[str, ...]:
    """The names of the input pictures the node needs for the request, without repeats."""
    named = (spec.image, spec.mask, *(control.image for control in spec.controls))
    return tuple(dict.fromkeys(name for name in named if name is not None))


def is_schnell(spec: ImageSpec) -> bool:
    """Whether the model is Flux schnell, which is distilled without guidance; only its name shows that."""
    return "schnell" in spec.model_path.lower() or "schnell" in spec.model.lower()


def _mode(spec: ImageSpec) -> str:
    if spec.image is None:
        return "text"
    return "inpaint" if spec.mask is not None else "image"


def _pictures(spec: ImageSpec, images: Mapping[str, str]) -> dict[str, str]:
    named = {"image": spec.image, "mask": spec.mask}
    return {input_: images[name] for input_, name in named.items() if name is not None}


def _values(spec: ImageSpec, catalogue: Catalogue | None) -> dict[str, Any]:
    positive, negative = build_prompts(spec, lambda file: _embedding(catalogue, file))
    values: dict[str, Any] = {
        "prompt": positive,
        "width": round_to_latents(spec.width),
        "height": round_to_latents(spec.height),
        "seed": spec.seed,
        "steps": spec.steps,
        "sampler": spec.sampler,
        "scheduler": spec.scheduler,
        "denoise": spec.denoise,
        "count": spec.count,
        "loras": [_lora(network, catalogue) for network in spec.networks if network.type in LORA_TYPES],
    }
    if spec.family != "flux1":
        return values | {"negative_prompt": negative, "cfg": spec.cfg_scale}
    if spec.scheduler == "normal":
        # Clients' tables use ``normal`` for "none chosen". It spaces the steps over the timesteps of a
        # discrete model; Flux is a flow model, made to be sampled with ``simple``.
        values["scheduler"] = "simple"
    guidance = spec.guidance if spec.guidance is not None else (spec.cfg_scale or None)
    return values | {"guidance": guidance}


def _lora(network: Network, catalogue: Catalogue | None) -> dict[str, Any]:
    place_ = ("LoraLoader", "lora_name")
    file = resolve_file(catalogue, place_, "lora", network.path or network.air)
    return {"file": file, "strength": network.strength}


def _embedding(catalogue: Catalogue | None, file: str) -> str:
    found = catalogue.embedding(file) if catalogue else file
    if found is None:
        raise MissingFile("embedding", file)
    return found


# The face pass: a second pass over the faces of a picture by the Impact pack. Core nodes have nothing
# similar, so a node without the pack delivers the picture without this pass.


def face_detector_model(catalogue: Catalogue | None) -> str | None:
    """The model with which the node detects faces; None if it cannot."""
    if catalogue is None or not {DETAILER, PROVIDER} <= catalogue.classes:
        return None
    models = catalogue.options(PROVIDER, "model_name") or ()
    return next((name for name in models if "bbox" in name.lower() and "face" in name.lower()), None)


def add_face_pass(graph: Graph, spec: ImageSpec, catalogue: Catalogue | None) -> Link:
    """Add the face pass if the request wants it and the node has it; return the link to the picture."""
    model = face_detector_model(catalogue) if spec.faces and SAMPLER in graph else None
    node_class = catalogue.node_class(DETAILER) if catalogue is not None else None
    if model is None or node_class is None:
        return (DECODE, 0)
    add(graph, _DETECTOR, PROVIDER, "Face detector", model_name=model)
    inputs: dict[str, Any] = {
        # Defaults for further inputs that the installed version of the pack requires.
        **{
            name: each.default for name, each in node_class.inputs.items() if each.required and each.is_widget
        },
        "image": (DECODE, 0),
        "model": tuple(graph[SAMPLER]["inputs"]["model"]),
        "clip": tuple(graph[POSITIVE]["inputs"]["clip"]),
        "vae": tuple(graph[DECODE]["inputs"]["vae"]),
        "positive": (POSITIVE, 0),
        "negative": (NEGATIVE, 0),
        "bbox_detector": (_DETECTOR, 0),
        "seed": spec.seed,
        "steps": spec.steps,
        "cfg": spec.cfg_scale,
        "sampler_name": spec.sampler,
        "scheduler": spec.scheduler,
        "denoise": _DENOISE,
    }
    return (add(graph, _DETAIL, DETAILER, "Face detail", **inputs), 0)


# Prompts.


def build_prompts(spec: ImageSpec, embedding: Callable[[str], str]) -> tuple[str, str]:
    """The positive and the negative prompt of the request, with trigger words and embeddings added.

    ``embedding`` gives the node's name of an embedding's file. An embedding replaces its trigger word or name
    in either prompt; if neither occurs, it is appended to the positive prompt.
    """
    positive, negative = spec.prompt, spec.negative_prompt
    for network in spec.networks:
        if network.type == "embedding":
            positive, negative = _with_embedding(positive, negative, network, embedding)
        elif network.trigger_word and not _word(network.trigger_word).search(positive):
            positive = append_words(positive, network.trigger_word)
    return positive, negative


def append_words(prompt: str, words: str) -> str:
    kept = prompt.rstrip().rstrip(",")
    return f"{kept}, {words}" if kept else words


def _with_embedding(
    positive: str, negative: str, network: Network, embedding: Callable[[str], str]
) -> tuple[str, str]:
    name = _without_extension(embedding(network.path or network.air))
    token = f"embedding:{name}" if network.strength == 1 else f"(embedding:{name}:{network.strength:g})"
    base = name.rsplit("/", 1)[-1]
    written = (f"embedding:{name}", f"embedding:{base}")
    if any(_occurs(word, prompt) for prompt in (positive, negative) for word in written):
        return positive, negative
    for word in filter(None, (network.trigger_word, name, base)):
        for_word = _word(word)
        if for_word.search(positive):
            return for_word.sub(lambda _: token, positive, count=1), negative
        if for_word.search(negative):
            return positive, for_word.sub(lambda _: token, negative, count=1)
    return append_words(positive, token), negative


def _word(text: str) -> re.Pattern[str]:
    """A pattern of the text that is no part of a longer word, nor of an embedding's name."""
    return re.compile(rf"(?<![\w:]){re.escape(text.strip())}(?!\w)", re.IGNORECASE)


def _occurs(word: str, prompt: str) -> bool:
    return re.search(rf"{re.escape(word)}(?![\w/])", prompt, re.IGNORECASE) is not None


def _without_extension(file: str) -> str:
    """The name with forward slashes: in a prompt a backslash escapes the next character."""
    name = file.replace("\\", "/")
    extension = next((end for end in MODEL_EXTENSIONS if name.lower().endswith(end)), "")
    return name[: len(name) - len(extension)]
