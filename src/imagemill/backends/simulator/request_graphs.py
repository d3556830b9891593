"""The graphs of requests, as a ComfyUI server would be sent them.

Most requests differ in their prompts and their seed alone. So do their graphs: one is built, kept, and then
filled in, which takes a twentieth of the time.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

from imagemill.backends.simulator.graphs import NodeParts, parts_of
from imagemill.domain.dataclass import dataclass
from imagemill.domain.images import ImageSpec
from imagemill.graphs import builder
from imagemill.graphs.builder_parts import CORE_PREPROCESSORS
from imagemill.graphs.families.table import Families

MOST_KEPT = 256
"""Most graphs that are kept, some 5 KB each; all are dropped when there are more."""

_VARYING = ("prompt", "negative_prompt", "seed")
"""The fields of a request that are filled in. All others may decide which nodes there are."""
_same_graph: Callable[[ImageSpec], tuple[object, ...]] = attrgetter(
    *(field.name for field in fields(ImageSpec) if field.name not in _VARYING)
)
"""Returns what two requests with the same graph have in common."""

# They stand for the values that are filled in, and are found by their identity.
_POSITIVE, _NEGATIVE, _SEED = "the prompt", "the negative prompt", 2**70


@dataclass(frozen=True, slots=True)
class RequestGraph:
    graph: Mapping[str, Any]
    """Shares nodes with other graphs; it must not be changed."""
    parts: NodeParts


@dataclass(frozen=True, slots=True)
class _Template:
    graph: Mapping[str, Any]
    parts: NodeParts
    places: tuple[tuple[str, str, int], ...]
    """A node, its input, and which value it gets: the positive prompt, the negative one or the seed."""


class RequestGraphs:
    """Builds graphs by the rows of these families, and keeps them. Thread-safe, as entries never change."""

    def __init__(self, families: Families) -> None:
        self._families = families
        self._kept: dict[tuple[object, ...], _Template] = {}

    def graph_of(self, spec: ImageSpec) -> RequestGraph:
        """Return what `request_of` does, and its parts. Raises `imagemill.graphs.errors.Unsupported`."""
        if spec.remote is not None:  # its arguments have no hash
            graph = request_of(spec, self._families)
            return RequestGraph(graph, parts_of(graph))
        key = _same_graph(spec)
        template = self._kept.get(key)
        if template is None:
            template = _template(spec, self._families)
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = template
        return _filled(template, spec)


def request_of(
    spec: ImageSpec, families: Families | None = None, prompts: tuple[str, str] | None = None
) -> Mapping[str, Any]:
    """The graph that a ComfyUI server would be sent, with all file names unchanged.

    Preprocessors that are not core nodes of ComfyUI are treated as already applied: here all of them work.
    ``prompts``: other ones than the request has.
    """
    spec = without_preprocessors(spec)
    pictures = {name: name for name in builder.picture_names(spec)}
    return builder.build(spec, None, prefix="imagemill", images=pictures, families=families, prompts=prompts)


def without_preprocessors(spec: ImageSpec) -> ImageSpec:
    """The same request, with those of its control pictures as they are that no core node prepares."""
    if not spec.controls:
        return spec
    controls = tuple(
        control if control.preprocessor.lower() in CORE_PREPROCESSORS else replace(control, preprocessor="")
        for control in spec.controls
    )
    return replace(spec, controls=controls) if controls != spec.controls else spec


def _template(spec: ImageSpec, families: Families) -> _Template:
    graph = request_of(replace(spec, seed=_SEED), families, (_POSITIVE, _NEGATIVE))
    stands_for = (_POSITIVE, _NEGATIVE, _SEED)
    places = tuple(
        (node, name, which)
        for node, content in graph.items()
        for name, value in content["inputs"].items()
        for which, sign in enumerate(stands_for)
        if value is sign
    )
    return _Template(graph, parts_of(graph), places)


def _filled(template: _Template, spec: ImageSpec) -> RequestGraph:
    values = (*builder.build_prompts(spec, lambda file: file), spec.seed)
    graph = dict(template.graph)
    for id_, name, which in template.places:
        node = graph[id_]
        graph[id_] = {**node, "inputs": {**node["inputs"], name: values[which]}}
    return RequestGraph(graph, template.parts)
