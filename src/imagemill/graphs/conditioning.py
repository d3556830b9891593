"""Trace the conditioning of a graph from its samplers back to the texts it was made of.

Between a sampler and the text encoders there may be nodes that take a positive and a negative conditioning
and return both. The output that returns the negative one is known by its name in the node's catalogue;
without a catalogue by the outputs that are in use, as all nodes return the positive one first.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Any, Literal

from imagemill.domain.dataclass import dataclass
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.graph import TEXT_INPUTS, find_value
from imagemill.graphs.json_access import mapping, number
from imagemill.graphs.validate import parse_link

Target = tuple[str, str]
"""(node id, input)."""
Link = tuple[str, int]
Side = Literal["positive", "negative"]

_CONDITIONING = re.compile(
    r"(?:.*_)?(?:positive|negative|conditioning|cond|uncond)(?:[_\d].*)?", re.IGNORECASE
)
_PROMPT = re.compile(r"(?:positive|negative)(?:_?\d)?", re.IGNORECASE)
"""Inputs of loaders that encode the prompts themselves."""
_NEGATIVE = re.compile(r"neg|uncond", re.IGNORECASE)
_SAMPLING = re.compile(r"Guider|Sampler", re.IGNORECASE)
"""Classes whose ``conditioning`` is drawn; elsewhere it is passed on."""
_PART = re.compile(
    r"(?:string|text|prompt|source|value|f_string|on_true|on_false|input|any)[ _]?[a-z\d]{0,2}(?:\.\w+)?",
    re.IGNORECASE,
)
"""Inputs that hold a text in nodes that join, replace, choose or rewrite texts."""
_ABOUT_PROMPTS = re.compile(r"prompt", re.IGNORECASE)
_MOST_NAMES = 4096
"""Names of inputs that are remembered with the answer; graphs repeat the same few."""
_LONGEST_CHAIN = 64
"""Nodes between a sampler and a text; each takes some of the stack."""


@dataclass(frozen=True, slots=True)
class Prompts:
    positive: tuple[Target, ...]
    negative: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class ConditioningTracer:
    """Traces one graph, whose nodes all have inputs."""

    graph: Mapping[str, Mapping[str, Any]]
    catalogue: Catalogue | None = None
    """The classes of a server that knows those of the graph, if there is one."""
    users: Mapping[str, list[tuple[int, str, str]]] = field(init=False)
    """Node id -> (output, node that takes it, its input)."""

    def __post_init__(self) -> None:
        users: dict[str, list[tuple[int, str, str]]] = {}
        for id_ in self.graph:
            for name, value in self.inputs(id_).items():
                if (link := parse_link(value)) is not None:
                    users.setdefault(link[0], []).append((link[1], id_, name))
        object.__setattr__(self, "users", users)

    def inputs(self, id_: str) -> Mapping[str, Any]:
        return self.graph[id_]["inputs"] if id_ in self.graph else {}

    def class_of(self, id_: str) -> str:
        return str(self.graph[id_].get("class_type") or "") if id_ in self.graph else ""

    def side_of(self, id_: str, output: int) -> Side | None:
        """The conditioning that an output of a node with both returns; None if that cannot be determined."""
        known = self.catalogue.node_class(self.class_of(id_)) if self.catalogue else None
        if known is not None and known.outputs is not None:
            name = known.output_names[output].lower() if output < len(known.output_names) else ""
            if "pos" in name or name.endswith("+"):
                return "positive"
            if "neg" in name or name.endswith("-"):
                return "negative"
            return _by_rank([i for i, type_ in enumerate(known.outputs) if type_ == "CONDITIONING"], output)
        users = self.users.get(id_, [])
        used = sorted({slot for slot, _, name in users if is_conditioning(name)})
        if len(used) > 1:
            return _by_rank(used, output)
        gives_model = any(slot == 0 and "model" in name for slot, _, name in users)
        first = int(gives_model or (0 not in used and "model" in self.inputs(id_)))
        return _by_rank([first, first + 1], output)

    # The texts of a graph, by side.

    def prompts(self, ids: Sequence[str]) -> Prompts:
        """The texts that these nodes' samplers draw; a text that is drawn on both sides is positive."""
        found: dict[Side, dict[Target, None]] = {"positive": {}, "negative": {}}
        candidates = {id_: ends for id_ in ids if (ends := list(self._ends(id_)))}
        passed: dict[str, set[str]] = {}
        texts: dict[str, list[tuple[Side, Target]]] = {}
        for id_, ends in candidates.items():
            seen: set[tuple[str, int, Side]] = set()
            texts[id_] = [
                (side, target)
                for side, name in ends
                for target in self._input_texts(id_, name, side, seen, 0)
            ]
            passed[id_] = {node for node, _, _ in seen}
        # A node whose conditioning another one takes is no end: it does not decide which text is which.
        inner = {node for id_, nodes in passed.items() for node in nodes if node != id_}
        for id_, its in texts.items():
            if id_ not in inner or inner >= candidates.keys():
                for side, target in its:
                    found[side][target] = None
        positive = tuple(found["positive"])
        return Prompts(positive, tuple(target for target in found["negative"] if target not in positive))

    def _ends(self, id_: str) -> Iterator[tuple[Side, str]]:
        """(side, input) of the conditioning that a node draws, or of the prompts that a loader encodes."""
        if "positive" in self.inputs(id_) or _SAMPLING.search(self.class_of(id_)):
            for name in self._conditioning_inputs(id_):
                yield ("negative" if _NEGATIVE.search(name) else "positive"), name

    def _conditioning_inputs(self, id_: str) -> list[str]:
        return [
            name
            for name, value in self.inputs(id_).items()
            if (is_conditioning(name) and parse_link(value) is not None)
            or (isinstance(value, str) and _PROMPT.fullmatch(name))
        ]

    def _input_texts(
        self, id_: str, name: str, side: Side, seen: set[tuple[str, int, Side]], depth: int
    ) -> Iterator[Target]:
        """The texts that an input for conditioning, or for a prompt, is made of."""
        value = self.inputs(id_)[name]
        link = parse_link(value)
        if link is None:
            if isinstance(value, str):
                yield id_, name
            return
        found = list(self._output_texts(link, side, seen, depth + 1))
        if not found and not self._conditioning_inputs(link[0]):
            found = self.text_parts(id_, name)
        yield from found

    def _output_texts(
        self, link: Link, side: Side, seen: set[tuple[str, int, Side]], depth: int
    ) -> Iterator[Target]:
        """The texts that an output was made of."""
        id_, output = link
        if (id_, output, side) in seen or id_ not in self.graph or depth > _LONGEST_CHAIN:
            return
        seen.add((id_, output, side))
        inputs = self.inputs(id_)
        own = [target for name in TEXT_INPUTS if name in inputs for target in self.text_parts(id_, name)]
        if own:
            yield from own
            return
        names = self._conditioning_inputs(id_)
        negative = [name for name in names if _NEGATIVE.search(name)]
        if negative and len(negative) < len(names):
            side = self.side_of(id_, output) or side
            names = [name for name in names if (name in negative) == (side == "negative")]
        elif not names:
            names = [name for name, value in inputs.items() if _PART.fullmatch(name) and parse_link(value)]
        for name in names:
            yield from self._input_texts(id_, name, side, seen, depth)

    def text_parts(self, id_: str, name: str) -> list[Target]:
        """The places of the texts that an input is made of, the likeliest prompt first.

        It is one place unless a node joins or rewrites texts in between.
        """
        return [place for place in self._text_parts(id_, name, set()) if self._is_text(place)]

    def _text_parts(self, id_: str, name: str, seen: set[str]) -> list[Target]:
        held = find_value(self.graph, id_, name)
        link = parse_link(self.inputs(id_).get(name))
        if held is not None or link is None:
            return [held] if held is not None else []
        source = link[0]
        if source not in self.graph or source in seen or len(seen) > _LONGEST_CHAIN:
            return []
        seen.add(source)
        parts = [
            part
            for inner, value in self.inputs(source).items()
            if _PART.fullmatch(inner) and (isinstance(value, str) or parse_link(value) is not None)
            for part in self._text_parts(source, inner, seen)
        ]
        written = [part for part in parts if self._value(part)] or parts[:1]
        return sorted(dict.fromkeys(written), key=lambda part: self._doubt(part, source))

    def _doubt(self, part: Target, joint: str) -> tuple[bool, bool]:
        """The sort key of a text among those that a node joins: the likeliest to be edited is first."""
        title = mapping(mapping(self.graph[part[0]]).get("_meta")).get("title") or ""
        return not _ABOUT_PROMPTS.search(f"{title} {part[1]}"), part[0] == joint

    def _value(self, place: Target) -> Any:
        return self.inputs(place[0]).get(place[1])

    def _is_text(self, place: Target) -> bool:
        return isinstance(self._value(place), str)

    # The nodes whose texts are drawn as negative only.

    def is_drawn_negative(self, id_: str) -> bool:
        """Whether all samplers certainly avoid the conditioning at the negative input of this node.

        A sampler with a CFG below 1 draws the negative prompt.
        """
        return self._is_drawn_negative(id_, {})

    def _is_drawn_negative(self, id_: str, verdicts: dict[str, bool]) -> bool:
        if id_ in verdicts or len(verdicts) > 2 * _LONGEST_CHAIN:
            return verdicts.get(id_, False)
        verdicts[id_] = False  # of a circle of nodes
        users = [user for user in self.users.get(id_, []) if is_conditioning(user[2])]
        if not users:
            takers = {
                user for _, user, _ in self.users.get(id_, [])
            }  # of a pipe that has the conditioning in it
            verdicts[id_] = all(map(self._avoids_negative, [id_] if self._samples(id_) else takers or [id_]))
            return verdicts[id_]
        has_both = len({output for output, _, _ in users}) > 1
        verdicts[id_] = all(
            (has_both and self.side_of(id_, output) == "positive")
            or (is_negative(name) and self._is_drawn_negative(user, verdicts))
            for output, user, name in users
        )
        return verdicts[id_]

    def _samples(self, id_: str) -> bool:
        return bool(self._strengths(id_) or _SAMPLING.search(self.class_of(id_)))

    def _strengths(self, id_: str) -> list[str]:
        return [name for name in self.inputs(id_) if "cfg" in name.lower()]

    def _avoids_negative(self, id_: str) -> bool:
        held = (find_value(self.graph, id_, name) for name in self._strengths(id_))
        given = [number(self._value(place)) if place is not None else None for place in held]
        return self._samples(id_) and all(each is not None and each >= 1 for each in given)


@lru_cache(_MOST_NAMES)
def is_conditioning(name: str) -> bool:
    """Whether an input of this name takes conditioning, or the prompt it is made of."""
    return _CONDITIONING.fullmatch(name) is not None


@lru_cache(_MOST_NAMES)
def is_negative(name: str) -> bool:
    """Whether an input of this name takes the negative conditioning."""
    return is_conditioning(name) and _NEGATIVE.search(name) is not None


def _by_rank(outputs: Sequence[int], output: int) -> Side | None:
    """The side of an output among those that return conditioning: the positive one is the first."""
    ranks: dict[int, Side] = dict(zip(outputs, ("positive", "negative"), strict=False))
    return ranks.get(output)
