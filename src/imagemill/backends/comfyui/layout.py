"""What following a prompt needs to know of its graph."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imagemill.workflows.loose import mapping, number, sequence

SENDER = "SaveImageWebsocket"
"""Delivers its pictures over the socket, without a file."""

_MEGAPIXEL = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    titles: Mapping[str, str]
    """Node id to what a person calls it."""
    steps: Mapping[str, float]
    """Sampler nodes and the steps each will take."""
    senders: frozenset[str]
    """Nodes that deliver over the socket."""
    load: float
    """Steps x megapixels x pictures: what rendering time grows with; at least a little."""


def layout_of(graph: Mapping[str, Any]) -> Layout:
    """Tolerates nodes of any shape: the node's own validation judges the graph."""
    nodes = {node_id: mapping(node) for node_id, node in graph.items()}
    steps = dict(_samplers(nodes))
    return Layout(
        titles={node_id: title_of(node) for node_id, node in nodes.items()},
        steps=steps,
        senders=frozenset(node_id for node_id, node in nodes.items() if node.get("class_type") == SENDER),
        load=max(1.0, sum(steps.values())) * _megapixels(nodes),
    )


def title_of(node: Mapping[str, Any]) -> str:
    """Its own title, else its class."""
    return str(mapping(node.get("_meta")).get("title") or node.get("class_type") or "")


def _samplers(nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """A sampler has its steps as an input, or gets them from the node that makes its sigmas."""
    for node_id, node in nodes.items():
        if "Sampler" not in str(node.get("class_type")):
            continue
        inputs = mapping(node.get("inputs"))
        steps = _positive(inputs.get("steps"))
        sigmas = sequence(inputs.get("sigmas"))
        if steps is None and sigmas:
            source = mapping(nodes.get(str(sigmas[0])))
            steps = _positive(mapping(source.get("inputs")).get("steps"))
        if steps is not None:
            yield node_id, steps


def _megapixels(nodes: Mapping[str, Mapping[str, Any]]) -> float:
    """Of the largest batch the graph makes; a quarter where it does not say."""
    largest = 0.0
    for node in nodes.values():
        inputs = mapping(node.get("inputs"))
        width, height = _positive(inputs.get("width")), _positive(inputs.get("height"))
        if width and height:
            largest = max(largest, width * height * (_positive(inputs.get("batch_size")) or 1.0))
    return largest / _MEGAPIXEL or 0.25


def _positive(value: object) -> float | None:
    found = number(value)
    return float(found) if found is not None and found > 0 else None
