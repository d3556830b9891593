"""Changing how the nodes of a graph are linked. These functions change the graph they are given."""

from collections.abc import Container
from typing import Any

from imagemill.workflows.checking import linked
from imagemill.workflows.graphs import Graph
from imagemill.workflows.loose import is_tuple

Link = tuple[str, int]
"""A node's id and the number of its output."""

FIRST_LORA = 100
"""LoRAs have ids from here on; the built-in graphs' own nodes have smaller ones."""


def add(graph: Graph, id_: str, class_type: str, title: str, **inputs: Any) -> str:
    """Add a node under an id that is free; a link may be given as a `Link`."""
    made = {name: _written(value) for name, value in inputs.items()}
    graph[id_] = {"class_type": class_type, "inputs": made, "_meta": {"title": title}}
    return id_


def _written(value: Any) -> Any:
    return list(value) if is_tuple(value) else value


def free_id(graph: Graph, start: int) -> str:
    number = start
    while str(number) in graph:
        number += 1
    return str(number)


def repoint(graph: Graph, old: Link, new: Link, *, but: Container[str] = ()) -> None:
    """Let all that takes the one output take the other, except the nodes named."""
    for id_, node in graph.items():
        if id_ not in but:
            for name, value in node["inputs"].items():
                if linked(value) == old:
                    node["inputs"][name] = list(new)


def remove(graph: Graph, id_: str, instead: Link) -> None:
    """Take a node out; what took its first output takes ``instead``."""
    repoint(graph, (id_, 0), instead, but=(id_,))
    del graph[id_]


def insert_lora(
    graph: Graph, model: Link, clip: Link | None, file: str, strength: float, clip_strength: float
) -> tuple[Link, Link | None]:
    """A LoRA on the model, and on the text encoder where there is one; the links to go on with."""
    id_ = free_id(graph, FIRST_LORA)
    number = int(id_) - FIRST_LORA + 1
    if clip is None:
        only = {"model": model, "lora_name": file, "strength_model": strength}
        add(graph, id_, "LoraLoaderModelOnly", f"LoRA {number}", **only)
        return (id_, 0), None
    both = {"model": model, "clip": clip, "lora_name": file}
    strengths = {"strength_model": strength, "strength_clip": clip_strength}
    add(graph, id_, "LoraLoader", f"LoRA {number}", **both, **strengths)
    return (id_, 0), (id_, 1)
