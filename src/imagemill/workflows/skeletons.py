"""From a neutral image request to a graph of core nodes.

The built-in workflows are the base; functions change what a table cannot say: how the model is loaded, and
chains of LoRAs, ControlNets and what follows the picture.
"""

from collections.abc import Mapping
from typing import Any

from imagemill.domain.images import ImageSpec, Network
from imagemill.workflows import attachments, faces
from imagemill.workflows.attachments import CORE_PREPROCESSORS, GUIDANCE, POSITIVE, SAVE, drawn
from imagemill.workflows.binding import place
from imagemill.workflows.builtin import builtin
from imagemill.workflows.catalogue import Catalogue
from imagemill.workflows.errors import MissingFile, Unsupported
from imagemill.workflows.graphs import Graph
from imagemill.workflows.prompting import prompts
from imagemill.workflows.shelves import companions, model_file, spelled
from imagemill.workflows.wiring import remove

LORA_TYPES = ("lora", "lycoris", "dora")


def build(spec: ImageSpec, catalogue: Catalogue | None, *, prefix: str, images: Mapping[str, str]) -> Graph:
    """``prefix``: SaveImage's, as it is; ``images``: an input's name -> the name the node gave the file.

    Without a catalogue, names are taken as they are. Raises `MissingFile` for what the node lacks and
    `Unsupported` for what no node can do.
    """
    said = refusal(spec)
    if said is not None:
        raise Unsupported(said)
    form, model = model_file(spec, catalogue)
    is_flux = spec.family == "flux1"
    workflow = builtin(f"{'flux' if is_flux else 'sd'}-{_mode(spec)}")
    values = _values(spec, catalogue) | {"model": model}
    graph = place(workflow, values, _pictures(spec, images))
    graph[SAVE]["inputs"]["filename_prefix"] = prefix
    if is_flux and form == "checkpoint":
        attachments.load_as_checkpoint(graph, model)
    elif is_flux:
        attachments.load_companions(graph, companions(spec, catalogue))
    if is_flux and is_schnell(spec):
        remove(graph, GUIDANCE, (POSITIVE, 0))
    if form == "checkpoint":
        attachments.own_vae(graph, spec, catalogue)
    attachments.hypernetworks(graph, spec, catalogue)
    if spec.clip_skip > 1 and not is_flux:
        attachments.skip_clip_layers(graph, spec.clip_skip)
    attachments.controls(graph, spec, catalogue, images)
    attachments.finish(graph, spec, catalogue, faces.detail(graph, spec, catalogue))
    return graph


def refusal(spec: ImageSpec) -> str | None:
    """Why no node could do it with core nodes, in a sentence; None when one could."""
    for control in spec.controls:
        if control.preprocessor.lower() not in CORE_PREPROCESSORS:
            return (
                f"the ControlNet preprocessor {control.preprocessor} is no core node of ComfyUI; send a "
                "finished control map and leave the preprocessor empty, or use canny"
            )
    if spec.mask is not None and spec.image is None:
        return "a mask needs a source image to draw into"
    return None


def picture_names(spec: ImageSpec) -> tuple[str, ...]:
    """The input pictures the request needs on the node, each once."""
    named = (spec.image, spec.mask, *(control.image for control in spec.controls))
    return tuple(dict.fromkeys(name for name in named if name is not None))


def is_schnell(spec: ImageSpec) -> bool:
    """Flux schnell is distilled without guidance; only its name tells."""
    return "schnell" in spec.model_path.lower() or "schnell" in spec.model.lower()


def _mode(spec: ImageSpec) -> str:
    if spec.image is None:
        return "text"
    return "inpaint" if spec.mask is not None else "image"


def _pictures(spec: ImageSpec, images: Mapping[str, str]) -> dict[str, str]:
    named = {"image": spec.image, "mask": spec.mask}
    return {input_: images[name] for input_, name in named.items() if name is not None}


def _values(spec: ImageSpec, catalogue: Catalogue | None) -> dict[str, Any]:
    positive, negative = prompts(spec, lambda file: _embedding(catalogue, file))
    values: dict[str, Any] = {
        "prompt": positive,
        "width": drawn(spec.width),
        "height": drawn(spec.height),
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
        # In clients' tables ``normal`` stands for "none chosen". It spaces the steps over the timesteps of a
        # discrete model; Flux is a flow model, made to be sampled with ``simple``.
        values["scheduler"] = "simple"
    guidance = spec.guidance if spec.guidance is not None else (spec.cfg_scale or None)
    return values | {"guidance": guidance}


def _lora(network: Network, catalogue: Catalogue | None) -> dict[str, Any]:
    place_ = ("LoraLoader", "lora_name")
    file = spelled(catalogue, place_, "lora", network.path or network.air)
    return {"file": file, "strength": network.strength}


def _embedding(catalogue: Catalogue | None, file: str) -> str:
    found = catalogue.embedding(file) if catalogue else file
    if found is None:
        raise MissingFile("embedding", file)
    return found
