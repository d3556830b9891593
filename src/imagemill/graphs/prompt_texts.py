"""The texts of a graph: what a picture is made of, as far as it is said in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from imagemill.domain.moderation import PromptTexts
from imagemill.graphs.files import names_a_file
from imagemill.graphs.graph import is_air
from imagemill.graphs.json_access import is_array, is_object, mapping, sequence
from imagemill.graphs.validate import linked

_NEGATIVE = "negative"
"""The input's name by which samplers take what shall not be in the picture."""


def graph_texts(graph: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> PromptTexts:
    """Of a graph, sound or not. ``values``: further texts by name."""
    negative = _negative_only(graph)
    said: list[str] = []
    unsaid: list[str] = []
    for id_, node in graph.items():
        for name, value in mapping(mapping(node).get("inputs")).items():
            (unsaid if id_ in negative else said).extend(_strings(name, value))
    for name, value in (values or {}).items():
        (unsaid if _NEGATIVE in name else said).extend(_strings(name, value))
    return PromptTexts("\n".join(said), "\n".join(unsaid))


def _strings(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if not names_a_file(name, value) and not is_air(value) and not value.startswith(_NO_TEXT):
            yield value
    elif is_object(value):
        for key, item in mapping(value).items():
            yield from _strings(str(key), item)
    elif is_array(value) and linked(value) is None:
        for item in sequence(value):
            yield from _strings(name, item)


_NO_TEXT = ("data:", "http://", "https://", "blob:")


def _negative_only(graph: Mapping[str, Any]) -> set[str]:
    """Nodes that nothing but a negative input draws on."""
    drawn: list[str] = []
    feeds: dict[str, set[str]] = {}
    for id_, node in graph.items():
        for name, value in mapping(mapping(node).get("inputs")).items():
            link = linked(value)
            if link is None:
                continue
            if name == _NEGATIVE:
                drawn.append(link[0])
            else:
                feeds.setdefault(id_, set()).add(link[0])
    unsaid = _upstream(drawn, feeds)
    ends = [id_ for id_ in graph if id_ not in unsaid]
    return unsaid - _upstream([source for id_ in ends for source in feeds.get(id_, ())], feeds)


def _upstream(starts: list[str], feeds: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        id_ = waiting.pop()
        if id_ not in found:
            found.add(id_)
            waiting.extend(feeds.get(id_, ()))
    return found
