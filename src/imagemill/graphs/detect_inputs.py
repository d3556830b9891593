"""Make a workflow of a graph: detect its inputs from the classes, links and titles of its nodes."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.conditioning import ConditioningTracer
from imagemill.graphs.files import file_kind
from imagemill.graphs.graph import (
    TEXT_INPUTS,
    Graph,
    Link,
    find_value,
    is_seed,
    outputs,
    titles,
    whole_number,
)
from imagemill.graphs.json_access import number
from imagemill.graphs.manifest import Input, Target, Workflow
from imagemill.graphs.node_classes import InputSpec
from imagemill.graphs.validate import parse_link, reachable_ids

_MAX_LINKS = 64
"""Links that are followed in a row; protects from cycles."""
_VALUES: tuple[tuple[str, str, str, str], ...] = (
    # input of a node, name, type, help
    ("steps", "steps", "integer", "Steps of the sampler."),
    ("cfg", "cfg", "number", "How closely the prompt is followed."),
    ("guidance", "guidance", "number", "How closely the prompt is followed."),
    ("sampler_name", "sampler", "choice", "The sampler."),
    ("scheduler", "scheduler", "choice", "How the steps are spaced."),
    ("denoise", "denoise", "number", "Denoising strength: 0 keeps the picture, 1 ignores it."),
    ("batch_size", "count", "integer", "Pictures in one batch."),
    ("ckpt_name", "checkpoint", "model", "The checkpoint."),
    ("unet_name", "diffusion_model", "model", "The diffusion model."),
    *((f"clip_name{n}", "text_encoder", "model", "A text encoder.") for n in ("", "1", "2", "3", "4")),
    ("text_encoder", "text_encoder", "model", "A text encoder."),
    ("vae_name", "vae", "model", "The VAE."),
    ("lora_name", "lora", "model", "A LoRA of the workflow's own."),
    ("strength_model", "lora_strength", "number", "How strongly that LoRA acts."),
    ("control_net_name", "controlnet", "model", "The ControlNet."),
)
_MASK_CLASSES = ("LoadImageMask",)
_IMAGE_CLASSES = ("LoadImage", "LoadImageOutput", *_MASK_CLASSES)
_LORA = re.compile("lora", re.IGNORECASE)
_SIZES = re.compile(r"empty|latent|resolution|size", re.IGNORECASE)
_ABOUT_PROMPTS = re.compile(r"prompt", re.IGNORECASE)
_NEGATIVE = re.compile(r"negative", re.IGNORECASE)
_HUGE = 2**31
"""Limits from here on are those of a number type, not useful to a person."""


# Follow links: the place for LoRAs.


def natural_key(id_: str) -> list[tuple[int, int | str]]:
    """A sort key that puts 9 before 10 and 4:2 before 4:10: names must not depend on the order of the
    file."""
    parts = re.findall(r"\d+|\D+", id_)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def lora_targets(graph: Graph) -> tuple[Target, ...]:
    """The inputs where LoRAs can be inserted: after the loader and its LoRAs, for the model and text
    encoder."""
    model = next(iter(_ends(graph, "model", _samples)), None)
    if model is None:
        return ()
    clip = next(iter(_ends(graph, "clip", _encodes)), None)
    targets = _targets_of(graph, model, "model")
    return (*targets, *(_targets_of(graph, clip, "clip") if clip is not None else ()))


def _samples(graph: Graph, id_: str) -> bool:
    inputs = graph[id_]["inputs"]
    return "model" in inputs and not inputs.keys().isdisjoint(
        ("seed", "noise_seed", "conditioning", "positive")
    )


def _encodes(graph: Graph, id_: str) -> bool:
    inputs = graph[id_]["inputs"]
    return "clip" in inputs and any(name in inputs for name in TEXT_INPUTS)


def _ends(graph: Graph, name: str, takes: Callable[[Graph, str], bool]) -> Iterator[Link]:
    for id_ in sorted(graph, key=natural_key):
        link = parse_link(graph[id_]["inputs"].get(name)) if takes(graph, id_) else None
        if link is not None and (end := _trace_to_loader(graph, link, name)) is not None:
            yield end


def _trace_to_loader(graph: Graph, link: Link, name: str) -> Link | None:
    """Trace back through nodes that patch a model, to the last LoRA or to the loader."""
    for _ in range(_MAX_LINKS):
        if link[0] not in graph:
            return None
        node = graph[link[0]]
        is_lora = _LORA.search(node["class_type"]) or any(
            file_kind(node["class_type"], input_) == "lora" for input_ in node["inputs"]
        )
        following = parse_link(node["inputs"].get(name))
        if is_lora or following is None:
            return link
        link = following
    return None


def _targets_of(graph: Graph, source: Link, name: str) -> tuple[Target, ...]:
    return tuple(
        (id_, input_)
        for id_ in sorted(graph, key=natural_key)
        for input_, value in graph[id_]["inputs"].items()
        if parse_link(value) == source and name in input_.lower()
    )


# Detect the inputs of a workflow.


@dataclass(frozen=True, slots=True)
class _GraphView:
    graph: Graph
    catalogue: Catalogue | None
    titles: dict[str, str]
    ids: tuple[str, ...]
    """The ids of the nodes that an output depends on, sorted."""

    def value(self, target: Target) -> Any:
        return self.graph[target[0]]["inputs"][target[1]]

    def declared(self, target: Target) -> InputSpec | None:
        class_type = self.graph[target[0]]["class_type"]
        return self.catalogue.declared(class_type, target[1]) if self.catalogue else None

    def targets(self, name: str) -> Iterator[Target]:
        """The places that hold the values of all inputs of a name, without repeats."""
        held = (find_value(self.graph, id_, name) for id_ in self.ids if name in self.graph[id_]["inputs"])
        yield from dict.fromkeys(target for target in held if target is not None)


def read(graph: Graph, catalogue: Catalogue | None, *, name: str = "workflow", title: str = "") -> Workflow:
    """The workflow of a normalised graph: ranges and choices from the catalogue, defaults from the graph.

    Names are unique and stable: prompt, negative_prompt, seed, width, ..., image, image_2.
    """
    kept = outputs(graph, catalogue)
    ids = reachable_ids(graph, list(kept)) or list(graph)
    view = _GraphView(graph, catalogue, titles(graph), tuple(sorted(ids, key=natural_key)))
    found: list[Input] = []
    for one in _detect(view):
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


def _detect(view: _GraphView) -> Iterator[Input]:
    yield from _prompts(view)
    yield from _pictures(view)
    yield from _seeds(view)
    yield from _sizes(view)
    for source, name, type_, help_ in _VALUES:
        for target in view.targets(source):
            one = _value_input(view, target, name, type_, help_)
            if one is not None:
                yield one
    targets = lora_targets(view.graph)
    if targets and (view.catalogue is None or "LoraLoader" in view.catalogue.classes):
        yield Input("loras", "loras", targets, help="In the order in which they are applied.")


def _prompts(view: _GraphView) -> Iterator[Input]:
    found = ConditioningTracer(view.graph, view.catalogue).prompts(view.ids)
    for name, targets in (("prompt", found.positive), ("negative_prompt", found.negative)):
        for same in _group_equal_texts(view, targets):
            yield _text(view, same, name)
    for id_ in view.ids:
        for input_, value in view.graph[id_]["inputs"].items():
            about = _ABOUT_PROMPTS.search(input_) or (
                input_ in (*TEXT_INPUTS, "value", "string") and _ABOUT_PROMPTS.search(view.titles[id_])
            )
            if about and isinstance(value, str):
                is_negative = _NEGATIVE.search(f"{input_} {view.titles[id_]}")
                yield _text(view, ((id_, input_),), "negative_prompt" if is_negative else "prompt")


def _group_equal_texts(view: _GraphView, targets: Sequence[Target]) -> list[tuple[Target, ...]]:
    """Group equal texts: an encoder takes a text twice, and a base model and its refiner share it."""
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(view.value(target), []).append(target)
    return [tuple(group) for group in groups.values()]


def _text(view: _GraphView, targets: tuple[Target, ...], name: str) -> Input:
    value = view.value(targets[0])
    is_prompt = name == "prompt"
    help_ = "What the picture shows." if is_prompt else "What it must not show."
    empty = is_prompt and not value
    return Input(name, "text", targets, None if empty else value, help=help_, required=empty)


def _pictures(view: _GraphView) -> Iterator[Input]:
    for id_ in view.ids:
        node = view.graph[id_]
        for input_ in node["inputs"]:
            target = (id_, input_)
            declared = view.declared(target)
            is_upload = declared is not None and bool(declared.settings.get("image_upload"))
            known = node["class_type"] in _IMAGE_CLASSES and input_ == "image"
            if (is_upload or known) and isinstance(view.value(target), str):
                kind = "mask" if _is_mask(view, id_) else "image"
                yield Input(kind, kind, (target,), help=view.titles[id_], required=True)


def _is_mask(view: _GraphView, id_: str) -> bool:
    """Whether the node loads a mask, by its class, its title, or as only its mask output is linked."""
    if view.graph[id_]["class_type"] in _MASK_CLASSES or "mask" in view.titles[id_].lower():
        return True
    links = (parse_link(value) for other in view.ids for value in view.graph[other]["inputs"].values())
    return {link[1] for link in links if link is not None and link[0] == id_} == {1}


def _seeds(view: _GraphView) -> Iterator[Input]:
    """One input for all seeds that have the same value."""
    names = dict.fromkeys(name for id_ in view.ids for name in view.graph[id_]["inputs"] if is_seed(name))
    groups: dict[int, list[Target]] = {}
    for target in (target for name in names for target in view.targets(name)):
        value = whole_number(view.value(target))
        if value is not None:
            groups.setdefault(value, []).append(target)
    for targets in groups.values():
        yield Input("seed", "seed", tuple(targets), help="The same seed gives the same picture.")


def _sizes(view: _GraphView) -> Iterator[Input]:
    """Width and height of the nodes that make an empty picture, else of the nodes that scale one."""
    sized = [id_ for id_ in view.ids if {"width", "height"} <= view.graph[id_]["inputs"].keys()]
    making = [id_ for id_ in sized if _SIZES.search(view.graph[id_]["class_type"])] or sized
    for id_ in making:
        for side in ("width", "height"):
            target = find_value(view.graph, id_, side)
            one = _value_input(view, target, side, "integer", "Pixels.") if target else None
            if one is not None:
                yield one


def _value_input(view: _GraphView, target: Target, name: str, type_: str, help_: str) -> Input | None:
    """An input with its range or choices; None if the value is not of the type."""
    value, declared = view.value(target), view.declared(target)
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
        minimum=_useful_limit(low, value, below=True),
        maximum=_useful_limit(high, value, below=False),
        step=number(declared.settings.get("step")) if declared else None,
        help=help_,
    )


def _useful_limit(limit: int | float | None, value: int | float, *, below: bool) -> int | float | None:
    """The limit if the graph's own value is within it and it is not just a number type's; else None."""
    if limit is None or abs(limit) >= _HUGE:
        return None
    return limit if (limit <= value if below else limit >= value) else None
