"""From a graph to a workflow: its inputs found by the classes, links and titles of its nodes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from imagemill.workflows.catalogue import Catalogue
from imagemill.workflows.checking import linked, reached
from imagemill.workflows.declarations import Declared
from imagemill.workflows.graphs import SEED_INPUTS, Graph, outputs, titles
from imagemill.workflows.loose import number
from imagemill.workflows.manifest import Input, Target, Workflow
from imagemill.workflows.tracing import TEXT_INPUTS, holder, lora_targets, natural, prompts

_VALUES: tuple[tuple[str, str, str, str], ...] = (
    # input of a node, name, type, help
    ("steps", "steps", "integer", "Steps of the sampler."),
    ("cfg", "cfg", "number", "How closely the prompt is followed."),
    ("guidance", "guidance", "number", "How closely the prompt is followed."),
    ("sampler_name", "sampler", "choice", "The sampler."),
    ("scheduler", "scheduler", "choice", "How the steps are spaced."),
    ("denoise", "denoise", "number", "How much is drawn anew: 0 nothing, 1 everything."),
    ("batch_size", "count", "integer", "Pictures in one batch."),
    ("ckpt_name", "checkpoint", "model", "The checkpoint."),
    ("unet_name", "diffusion_model", "model", "The diffusion model."),
    ("vae_name", "vae", "model", "The VAE."),
    ("lora_name", "lora", "model", "A LoRA of the workflow's own."),
    ("strength_model", "lora_strength", "number", "How strongly that LoRA acts."),
    ("control_net_name", "controlnet", "model", "The ControlNet."),
)
_MASK_CLASSES = ("LoadImageMask",)
_IMAGE_CLASSES = ("LoadImage", "LoadImageOutput", *_MASK_CLASSES)
_SIZES = re.compile(r"empty|latent|resolution|size", re.IGNORECASE)
_ABOUT_PROMPTS = re.compile(r"prompt", re.IGNORECASE)
_NEGATIVE = re.compile(r"negative", re.IGNORECASE)
_HUGE = 2**31
"""Limits beyond this are a type's, not a person's."""


@dataclass(frozen=True, slots=True)
class _Reading:
    graph: Graph
    catalogue: Catalogue | None
    titles: dict[str, str]
    ids: tuple[str, ...]
    """Of the nodes that an output depends on, sorted."""

    def value(self, target: Target) -> Any:
        return self.graph[target[0]]["inputs"][target[1]]

    def declared(self, target: Target) -> Declared | None:
        class_type = self.graph[target[0]]["class_type"]
        return self.catalogue.declared(class_type, target[1]) if self.catalogue else None

    def targets(self, name: str) -> Iterator[Target]:
        """Where the values of all inputs of a name are held, each once."""
        held = (holder(self.graph, id_, name) for id_ in self.ids if name in self.graph[id_]["inputs"])
        yield from dict.fromkeys(target for target in held if target is not None)


def read(graph: Graph, catalogue: Catalogue | None, *, name: str = "workflow", title: str = "") -> Workflow:
    """The workflow of a normal graph; ranges and choices are told by the catalogue, defaults by the graph.

    Names are unique and the same each time: prompt, negative_prompt, seed, width, ..., image, image_2.
    """
    kept = outputs(graph, catalogue)
    ids = reached(graph, list(kept)) or list(graph)
    reading = _Reading(graph, catalogue, titles(graph), tuple(sorted(ids, key=natural)))
    found: list[Input] = []
    for one in _found(reading):
        taken = {target for other in found for target in other.targets}
        targets = tuple(target for target in one.targets if target not in taken)
        if targets or not one.targets:
            found.append(replace(one, targets=targets, name=_unique(one.name, found)))
    return Workflow(name, title or name, "", graph, tuple(found), kept)


def _unique(name: str, found: list[Input]) -> str:
    taken = {one.name for one in found}
    if name not in taken:
        return name
    number_ = 2
    while f"{name}_{number_}" in taken:
        number_ += 1
    return f"{name}_{number_}"


def _found(reading: _Reading) -> Iterator[Input]:
    yield from _prompts(reading)
    yield from _pictures(reading)
    yield from _seeds(reading)
    yield from _sizes(reading)
    for source, name, type_, help_ in _VALUES:
        for target in reading.targets(source):
            one = _valued(reading, target, name, type_, help_)
            if one is not None:
                yield one
    targets = lora_targets(reading.graph)
    if targets and (reading.catalogue is None or "LoraLoader" in reading.catalogue.classes):
        yield Input("loras", "loras", targets, help="In the order in which they are applied.")


def _prompts(reading: _Reading) -> Iterator[Input]:
    found = prompts(reading.graph)
    reachable = set(reading.ids)
    for name, targets in (("prompt", found.positive), ("negative_prompt", found.negative)):
        for same in _alike(reading, [target for target in targets if target[0] in reachable]):
            yield _text(reading, same, name)
    for id_ in reading.ids:
        for input_, value in reading.graph[id_]["inputs"].items():
            about = _ABOUT_PROMPTS.search(input_) or (
                input_ in (*TEXT_INPUTS, "value", "string") and _ABOUT_PROMPTS.search(reading.titles[id_])
            )
            if about and isinstance(value, str):
                is_negative = _NEGATIVE.search(f"{input_} {reading.titles[id_]}")
                yield _text(reading, ((id_, input_),), "negative_prompt" if is_negative else "prompt")


def _alike(reading: _Reading, targets: list[Target]) -> list[tuple[Target, ...]]:
    """The texts of one node that are the same text are one input (encoders take it twice)."""
    groups: dict[tuple[str, Any], list[Target]] = {}
    for target in targets:
        groups.setdefault((target[0], reading.value(target)), []).append(target)
    return [tuple(group) for group in groups.values()]


def _text(reading: _Reading, targets: tuple[Target, ...], name: str) -> Input:
    value = reading.value(targets[0])
    is_prompt = name == "prompt"
    help_ = "What the picture shows." if is_prompt else "What it must not show."
    empty = is_prompt and not value
    return Input(name, "text", targets, None if empty else value, help=help_, required=empty)


def _pictures(reading: _Reading) -> Iterator[Input]:
    for id_ in reading.ids:
        node = reading.graph[id_]
        for input_ in node["inputs"]:
            target = (id_, input_)
            declared = reading.declared(target)
            is_upload = declared is not None and bool(declared.settings.get("image_upload"))
            known = node["class_type"] in _IMAGE_CLASSES and input_ == "image"
            if (is_upload or known) and isinstance(reading.value(target), str):
                kind = "mask" if _is_mask(reading, id_) else "image"
                yield Input(kind, kind, (target,), help=reading.titles[id_], required=True)


def _is_mask(reading: _Reading, id_: str) -> bool:
    """By its class, its title, or because nothing takes its picture and something its mask."""
    if reading.graph[id_]["class_type"] in _MASK_CLASSES or "mask" in reading.titles[id_].lower():
        return True
    links = (linked(value) for other in reading.ids for value in reading.graph[other]["inputs"].values())
    return {link[1] for link in links if link is not None and link[0] == id_} == {1}


def _seeds(reading: _Reading) -> Iterator[Input]:
    """Seeds that are the same number now are one input."""
    groups: dict[int, list[Target]] = {}
    for name in SEED_INPUTS:
        for target in reading.targets(name):
            value = reading.value(target)
            if type(value) is int:
                groups.setdefault(value, []).append(target)
    for targets in groups.values():
        yield Input("seed", "seed", tuple(targets), help="The same seed gives the same picture.")


def _sizes(reading: _Reading) -> Iterator[Input]:
    """Of the nodes that make an empty picture; of those that scale one where none does."""
    sized = [id_ for id_ in reading.ids if {"width", "height"} <= reading.graph[id_]["inputs"].keys()]
    making = [id_ for id_ in sized if _SIZES.search(reading.graph[id_]["class_type"])] or sized
    for id_ in making:
        for side in ("width", "height"):
            target = holder(reading.graph, id_, side)
            one = _valued(reading, target, side, "integer", "Pixels.") if target else None
            if one is not None:
                yield one


def _valued(reading: _Reading, target: Target, name: str, type_: str, help_: str) -> Input | None:
    """An input with its range or choices; None where the value is not of the type."""
    value, declared = reading.value(target), reading.declared(target)
    if type_ in ("choice", "model"):
        if not isinstance(value, str):
            return None
        choices = tuple(map(str, declared.choices)) if declared and declared.choices else ()
        if type_ == "model" or value not in choices:
            return Input(name, "model" if type_ == "model" else "text", (target,), value, help=help_)
        return Input(name, "choice", (target,), value, choices=choices, help=help_)
    if number(value) is None or (type_ == "integer" and value != int(value)):
        return None
    low, high = (declared.minimum, declared.maximum) if declared else (None, None)
    return Input(
        name,
        type_,
        (target,),
        value,
        minimum=_told(low, value, below=True),
        maximum=_told(high, value, below=False),
        step=number(declared.settings.get("step")) if declared else None,
        help=help_,
    )


def _told(limit: int | float | None, value: int | float, *, below: bool) -> int | float | None:
    """A limit worth telling: one that the graph's own value keeps and that is no type's largest number."""
    if limit is None or abs(limit) >= _HUGE:
        return None
    return limit if (limit <= value if below else limit >= value) else None
