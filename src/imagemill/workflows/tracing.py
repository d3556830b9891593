"""Following a graph's links backwards: which texts feed a sampler, where its model comes from."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imagemill.workflows.checking import linked
from imagemill.workflows.files import file_kind
from imagemill.workflows.graphs import Graph
from imagemill.workflows.manifest import Target
from imagemill.workflows.wiring import Link

TEXT_INPUTS = ("text", "text_g", "text_l", "clip_l", "t5xxl", "prompt", "positive_prompt", "tags", "caption")
"""Inputs under which text encoders take their text."""
_CARRIERS = ("value", "seed", "noise_seed", "text", "string", "int", "float", "number", "prompt", "ckpt_name")
"""Inputs under which nodes that only hold a value have it."""
_LONGEST = 64

_LORA = re.compile("lora", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prompts:
    positive: tuple[Target, ...]
    negative: tuple[Target, ...]


def natural(id_: str) -> list[tuple[int, int | str]]:
    """Sorts 9 before 10 and 4:2 before 4:10: names must not change with the order of a file."""
    parts = re.findall(r"\d+|\D+", id_)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def holder(graph: Graph, id_: str, name: str) -> Target | None:
    """Where an input's value is held: there, or in a node that only holds values; None: it is computed."""
    for _ in range(_LONGEST):
        link = linked(graph[id_]["inputs"].get(name))
        if link is None:
            return (id_, name) if name in graph[id_]["inputs"] else None
        id_ = link[0]
        if id_ not in graph:
            return None
        inputs = graph[id_]["inputs"]
        carried = [carrier for carrier in (name, *_CARRIERS) if carrier in inputs]
        if not carried or len(inputs) > 2:  # more than a value and what is done with it: it computes
            return None
        name = carried[0]
    return None


def prompts(graph: Graph) -> Prompts:
    """The texts behind every ``positive`` and ``negative``; one that is behind both is positive."""
    found: dict[str, dict[Target, None]] = {"positive": {}, "negative": {}}
    for id_ in sorted(graph, key=natural):
        inputs = graph[id_]["inputs"]
        ends = {"positive": inputs.get("positive"), "negative": inputs.get("negative")}
        if "Guider" in graph[id_]["class_type"] and ends["positive"] is None:
            ends["positive"] = inputs.get("conditioning", inputs.get("cond1"))
        for side, value in ends.items():
            link = linked(value)
            if link is not None:
                found[side].update(dict.fromkeys(_texts(graph, link, side, set())))
    positive = tuple(found["positive"])
    return Prompts(positive, tuple(target for target in found["negative"] if target not in positive))


def _texts(graph: Graph, link: Link, side: str, seen: set[tuple[Link, str]]) -> Iterator[Target]:
    """Back from a conditioning to the texts it was made of."""
    if (link, side) in seen or link[0] not in graph:
        return
    seen.add((link, side))
    inputs = graph[link[0]]["inputs"]
    own = [target for name in TEXT_INPUTS if name in inputs and (target := _text(graph, link[0], name))]
    if own:
        yield from own
        return
    both = "positive" in inputs and "negative" in inputs
    if both:
        side = "negative" if link[1] == 1 else "positive" if link[1] == 0 else side
    for name, value in inputs.items():
        source = linked(value)
        passes = name == side if both else name.startswith(("conditioning", "positive", "negative", "cond"))
        if source is not None and passes:
            yield from _texts(graph, source, side, seen)


def _text(graph: Graph, id_: str, name: str) -> Target | None:
    target = holder(graph, id_, name)
    if target is None:
        return None
    value = graph[target[0]]["inputs"][target[1]]
    return target if isinstance(value, str) else None


def lora_targets(graph: Graph) -> tuple[Target, ...]:
    """Where LoRAs go in: after the loader and the LoRAs that follow it, on the model and its text encoder."""
    model = next(iter(_ends(graph, "model", _samples)), None)
    if model is None:
        return ()
    clip = next(iter(_ends(graph, "clip", _encodes)), None)
    targets = _takers(graph, model, "model")
    return (*targets, *(_takers(graph, clip, "clip") if clip is not None else ()))


def _samples(graph: Graph, id_: str) -> bool:
    inputs = graph[id_]["inputs"]
    return "model" in inputs and not inputs.keys().isdisjoint(
        ("seed", "noise_seed", "conditioning", "positive")
    )


def _encodes(graph: Graph, id_: str) -> bool:
    inputs = graph[id_]["inputs"]
    return "clip" in inputs and any(name in inputs for name in TEXT_INPUTS)


def _ends(graph: Graph, name: str, takes: Callable[[Graph, str], bool]) -> Iterator[Link]:
    for id_ in sorted(graph, key=natural):
        link = linked(graph[id_]["inputs"].get(name)) if takes(graph, id_) else None
        if link is not None and (end := _loaded(graph, link, name)) is not None:
            yield end


def _loaded(graph: Graph, link: Link, name: str) -> Link | None:
    """Back through what patches a model, to the last LoRA or to the loader."""
    for _ in range(_LONGEST):
        if link[0] not in graph:
            return None
        node = graph[link[0]]
        is_lora = _LORA.search(node["class_type"]) or any(
            file_kind(node["class_type"], input_) == "lora" for input_ in node["inputs"]
        )
        following = linked(node["inputs"].get(name))
        if is_lora or following is None:
            return link
        link = following
    return None


def _takers(graph: Graph, source: Link, name: str) -> tuple[Target, ...]:
    return tuple(
        (id_, input_)
        for id_ in sorted(graph, key=natural)
        for input_, value in graph[id_]["inputs"].items()
        if linked(value) == source and name in input_.lower()
    )
