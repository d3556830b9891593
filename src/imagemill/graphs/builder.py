"""Build a graph of ComfyUI's core nodes for a backend-neutral image request.

The row of the model's family says which nodes there are (`imagemill.graphs.family_graph`); here are the
requests that it refuses, the prompts, and the steps after the picture is decoded.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from imagemill.domain.images import ImageSpec, Network
from imagemill.graphs.background import remove_background
from imagemill.graphs.builder_parts import (
    CORE_PREPROCESSORS,
    SAVE,
    add_face_pass,
    crop_and_upscale,
    save_video,
)
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import MissingFile, Unsupported
from imagemill.graphs.families.table import Families, FamilyMatch, built_in
from imagemill.graphs.family_graph import LORA_TYPES, FamilyGraph, round_up
from imagemill.graphs.graph import Graph, add

__all__ = (
    "LORA_TYPES",
    "build",
    "build_prompts",
    "family_of",
    "picture_names",
    "refusals",
    "unsupported_reason",
)

MODEL_EXTENSIONS = (".safetensors", ".pt", ".bin", ".ckpt")


def build(
    spec: ImageSpec,
    catalogue: Catalogue | None,
    *,
    prefix: str,
    images: Mapping[str, str],
    families: Families | None = None,
    prompts: tuple[str, str] | None = None,
) -> Graph:
    """Build the graph of a request.

    ``prefix``: the filename prefix of SaveImage. ``images``: an input's name -> the name the node gave the
    file. Without a catalogue, file names are used unchanged; without ``families``, the package's own rows.
    ``prompts``: the positive and the negative one, where they are not those of `build_prompts`.
    Raises `MissingFile` for a file that the node lacks and `Unsupported` for a request that no node can
    fulfil.
    """
    families = families or built_in()
    reason, found = unsupported_reason(spec, families), family_of(spec, families)
    if reason is not None or found is None:
        raise Unsupported(reason or "")
    positive, negative = prompts or build_prompts(spec, lambda file: _embedding(catalogue, file))
    drawn = FamilyGraph(spec, found, catalogue, images, positive, negative)
    picture, graph = drawn.draw(), drawn.graph
    parts = {name: drawn.slots[name] for name in ("model", "clip", "vae", "positive", "cfg")}
    negative_side = drawn.slots.get("negative") or drawn.slots["positive"]
    picture = add_face_pass(graph, spec, catalogue, picture, **parts, negative=negative_side)
    if spec.cutout:
        picture = remove_background(graph, catalogue, picture)
    sides = (spec.width, spec.height)
    multiple = 1 if drawn.follows_reference else found.variant.size.multiple
    rendered = round_up(sides[0], multiple), round_up(sides[1], multiple)
    picture = crop_and_upscale(graph, spec, catalogue, picture, rendered)
    if spec.video is not None:
        save_video(graph, spec.video, picture, prefix)
        return graph
    add(graph, SAVE, "SaveImage", "Save", images=picture, filename_prefix=prefix)
    return graph


def family_of(spec: ImageSpec, families: Families) -> FamilyMatch | None:
    """Return the row of the request's model; None for an unknown family."""
    return families.find(spec.family, spec.model_path, spec.model, variant=spec.variant)


def unsupported_reason(spec: ImageSpec, families: Families | None = None) -> str | None:
    """The reason why no node could fulfil the request with core nodes, in a sentence; None if one could."""
    families = families or built_in()
    found = family_of(spec, families)
    if found is None:
        family = f"of the family {spec.family}" if spec.family else "whose AIR names no family"
        return (
            f"models {family} are not drawn from a prompt alone, only {', '.join(families.names())}: add "
            "ComfyUI's own template for the model as a workflow (`imagemill workflows add`) and run that, or "
            "a row to families.toml in the data folder"
        )
    for field, reason in refusals(spec, found):
        return reason if field == "model" else f"`{field}` {reason}"
    for control in spec.controls:
        if control.preprocessor.lower() not in CORE_PREPROCESSORS:
            return (
                f"the ControlNet preprocessor {control.preprocessor} is not a core node of ComfyUI; send a "
                "finished control map and leave the preprocessor empty, or use canny"
            )
    return None


def refusals(spec: ImageSpec, found: FamilyMatch) -> Iterator[tuple[str, str]]:
    """(field of the request, reason) of what the family cannot do."""
    variant, title, row = found.variant, found.title, found.variant.references
    if found.family.kind == "video" and spec.video is None:
        yield "model", f"{title} makes videos; use the recipe video"
    if found.family.kind == "image" and spec.video is not None:
        yield "model", f"{title} makes pictures; for a video name a model such as WAN 2.2 5B or LTX-Video"
    if spec.controls and not variant.controls:
        yield "controls", f"cannot guide {title}: ComfyUI has no core node for it; leave it out"
    if spec.mask is not None and spec.image is None:
        yield "mask", "needs a source image to draw into"
    if spec.image is not None and not variant.source:
        yield "image", f"cannot be the start for {title}; leave it out"
    if spec.mask is not None and not variant.mask:
        yield "mask", f"has no effect on {title}; leave it out"
    if variant.needs_mask and spec.mask is None:
        yield "mask", f"is required, with `image`: {title} only fills masks"
    if spec.references and row is None:
        yield "references", f"cannot guide {title}; leave it out"
    if row is not None and row.required and not spec.references:
        yield "references", f"is required: {title} only changes pictures; name at least one"
    if row is not None and len(spec.references) > row.max:
        most = "1 picture" if row.max == 1 else f"{row.max} pictures"
        yield "references", f"has {len(spec.references)} pictures, and {title} takes at most {most}"
    if any(network.type == "hypernet" for network in spec.networks) and not variant.hypernetworks:
        yield "networks", f"has a hypernetwork, which {title} cannot use; leave it out"


def picture_names(spec: ImageSpec) -> tuple[str, ...]:
    """The names of the input pictures the node needs for the request, without repeats."""
    named = (spec.image, spec.mask, *(control.image for control in spec.controls), *spec.references)
    return tuple(dict.fromkeys(name for name in named if name is not None))


def _embedding(catalogue: Catalogue | None, file: str) -> str:
    found = catalogue.embedding(file) if catalogue else file
    if found is None:
        raise MissingFile("embedding", file)
    return found


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
