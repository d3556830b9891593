"""Collect the prompt texts of a graph, positive and negative, for moderation."""

from collections.abc import Iterator, Mapping
from typing import Any

from imagemill.domain.moderation import PromptTexts
from imagemill.graphs.conditioning import ConditioningTracer, is_negative
from imagemill.graphs.files import names_a_file
from imagemill.graphs.graph import is_air
from imagemill.graphs.json_access import is_array, is_object, mapping, sequence
from imagemill.graphs.validate import parse_link

_NEGATIVE = "negative"
"""Part of the names of a workflow's inputs for the negative prompt."""
_NO_TEXT = ("data:", "http://", "https://", "blob:")


def graph_texts(graph: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> PromptTexts:
    """The prompt texts of a graph, which need not be valid. ``values``: further texts by name."""
    inputs = {id_: mapping(mapping(node).get("inputs")) for id_, node in graph.items()}
    tracer = ConditioningTracer({id_: {**mapping(graph[id_]), "inputs": its} for id_, its in inputs.items()})
    negative = _negative_only(tracer)
    positives: list[str] = []
    negatives: list[str] = []
    for id_, its in inputs.items():
        for name, value in its.items():
            is_avoided = id_ in negative or (is_negative(name) and tracer.is_drawn_negative(id_))
            (negatives if is_avoided else positives).extend(_strings(name, value))
    for name, value in (values or {}).items():
        (negatives if _NEGATIVE in name else positives).extend(_strings(name, value))
    return PromptTexts("\n".join(positives), "\n".join(negatives))


def _strings(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if not names_a_file(name, value) and not is_air(value) and not value.startswith(_NO_TEXT):
            yield value
    elif is_object(value):
        for key, item in mapping(value).items():
            yield from _strings(str(key), item)
    elif is_array(value) and parse_link(value) is None:
        for item in sequence(value):
            yield from _strings(name, item)


def _negative_only(tracer: ConditioningTracer) -> set[str]:
    """The nodes on which nothing depends but what the samplers avoid."""
    sources: list[str] = []
    feeds: dict[str, set[str]] = {}
    for id_ in tracer.graph:
        for name, value in tracer.inputs(id_).items():
            link = parse_link(value)
            if link is None:
                continue
            if is_negative(name) and tracer.is_drawn_negative(id_):
                sources.append(link[0])
            else:
                feeds.setdefault(id_, set()).add(link[0])
    negatives = _upstream(sources, feeds)
    others = [id_ for id_ in tracer.graph if id_ not in negatives]
    return negatives - _upstream([source for id_ in others for source in feeds.get(id_, ())], feeds)


def _upstream(starts: list[str], feeds: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    pending = list(starts)
    while pending:
        id_ = pending.pop()
        if id_ not in found:
            found.add(id_)
            pending.extend(feeds.get(id_, ()))
    return found
