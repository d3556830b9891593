"""A graph that may become a workflow: its inputs, what nodes lack for it, and its difference from another."""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.graphs import manifest
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.detect_inputs import read
from imagemill.graphs.errors import MissingFile
from imagemill.graphs.graph import Graph, file_inputs, resolve_files
from imagemill.graphs.manifest import Input, Workflow
from imagemill.graphs.validate import GraphFault
from imagemill.media.png import SIGNATURE

_MOST_FAULTS = 50
_MOST_CHUNKS = 1000


@dataclass(frozen=True, slots=True)
class GraphNeed:
    """A node class or a model file that the graph needs."""

    kind: str
    name: str
    is_missing: bool
    """Whether the node that lacks least lacks it; False while no node is known."""


@dataclass(frozen=True, slots=True)
class Proposal:
    workflow: Workflow
    text: str
    """The manifest."""
    needs: tuple[GraphNeed, ...]
    faults: tuple[GraphFault, ...]
    """The reasons for which that node would refuse the graph."""


def propose(
    graph: Graph,
    catalogues: Sequence[Catalogue],
    nearest: Catalogue | None,
    name: str,
    title: str,
    description: str,
    inputs: Sequence[Input] | None,
) -> Proposal:
    """Return the workflow of a graph, with the inputs found in it or those given. Raises `InvalidInput`."""
    found = read(graph, nearest)
    if inputs is not None:
        found = replace(found, inputs=tuple(inputs))
    workflow = replace(found, name=name, title=title or name, description=description or found.description)
    if problems := manifest.check(workflow):
        raise InvalidInput([FieldError(*_split(problem)) for problem in problems])
    best = min(catalogues, key=lambda each: len(_lacking(graph, each)), default=None)
    faults = best.faults(_spelled(graph, best)) if best is not None else []
    return Proposal(
        workflow, manifest.to_text(workflow), tuple(_needs(graph, best)), tuple(faults[:_MOST_FAULTS])
    )


def _split(problem: str) -> tuple[str, str]:
    path, _, message = problem.partition(": ")
    return path, message


def _needs(graph: Graph, catalogue: Catalogue | None) -> Iterator[GraphNeed]:
    lacking: set[tuple[str, str]] = set() if catalogue is None else _lacking(graph, catalogue)
    for kind, name in sorted({*_classes(graph), *_files(graph)}):
        yield GraphNeed(kind, name, (kind, name) in lacking)


def _lacking(graph: Graph, catalogue: Catalogue) -> set[tuple[str, str]]:
    absent = {(kind, name) for kind, name in _classes(graph) if name not in catalogue.classes}
    return absent | {(kind, name) for kind, name in _files(graph) if catalogue.find(kind, name) is None}


def _classes(graph: Graph) -> set[tuple[str, str]]:
    return {("class", node["class_type"]) for node in graph.values()}


def _files(graph: Graph) -> set[tuple[str, str]]:
    return {(kind, name) for _, _, kind, name in file_inputs(graph)}


def _spelled(graph: Graph, catalogue: Catalogue) -> Graph:
    try:
        return resolve_files(graph, catalogue)
    except MissingFile:
        return graph  # the faults name it


def read_picture(data: bytes) -> Any:
    """Return the graph that ComfyUI has stored in a PNG, the one in API format where there are both.

    The beginning of the file is enough. Raises `InvalidInput` at ``picture``.
    """
    if not data.startswith(SIGNATURE):
        raise InvalidInput.at("picture", "is no PNG; give a picture as ComfyUI has saved it, or its graph")
    texts = dict(_texts(data))
    for keyword in ("prompt", "workflow"):
        if keyword in texts:
            try:
                return json.loads(texts[keyword], parse_constant=lambda _: None)
            except (ValueError, RecursionError):
                continue
    raise InvalidInput.at(
        "picture", "holds no graph: it is not from ComfyUI, or another program has removed its metadata"
    )


def _texts(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the keywords and texts of the uncompressed text chunks; ComfyUI writes no others."""
    position = len(SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        if position + 8 > len(data):
            return
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        keyword, _, rest = body.partition(b"\0")
        if kind == b"tEXt":
            yield keyword.decode("latin-1"), rest.decode("latin-1")
        elif kind == b"iTXt" and rest[:1] == b"\0":  # not compressed; then language and translated keyword
            yield keyword.decode("latin-1"), rest[2:].split(b"\0", 2)[-1].decode(errors="replace")
        position += 12 + length


@dataclass(frozen=True, slots=True)
class WorkflowDifference:
    part: Literal["text", "input", "node"]
    name: str
    """``title``, the name of an input, or the id and class of a node."""
    before: Any
    """None where it was added."""
    after: Any
    """None where it was removed."""


def compare(before: Workflow, after: Workflow) -> Iterator[WorkflowDifference]:
    for name in ("title", "description"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield WorkflowDifference("text", name, old, new)
    yield from _compare("input", _inputs_of(before), _inputs_of(after))
    yield from _compare("node", _nodes_of(before), _nodes_of(after))


def _compare(
    part: Literal["input", "node"], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[WorkflowDifference]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield WorkflowDifference(part, name, before.get(name), after.get(name))


def _inputs_of(workflow: Workflow) -> Mapping[str, Any]:
    return {
        one.name: {k: v for k, v in asdict(one).items() if v not in (None, "", ())} for one in workflow.inputs
    }


def _nodes_of(workflow: Workflow) -> Mapping[str, Any]:
    return {f"{id_} {node['class_type']}": node["inputs"] for id_, node in workflow.graph.items()}
