"""Measure the pictures that a graph makes: prices, quotas and the fair order count them."""

import re
from collections.abc import Mapping
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.domain.images import PAGE_STEPS, ImageSpec, PageSpec, RenderSize, RenderSpec, TaskSpec
from imagemill.graphs.graph import Graph, executed, find_value, outputs, whole_number
from imagemill.graphs.json_access import mapping, number
from imagemill.graphs.validate import parse_link

_ASSUMED_MEGAPIXELS = 1.0
"""Megapixels of a graph whose size is unknown."""
_LARGEST_SIDE = 16_384
"""ComfyUI's own limit for the width and height of a latent, in pixels."""
_LARGEST_BATCH = 4096
_LARGEST_FACTOR = 16.0
_MOST_STEPS = 10_000
_MOST_PICTURES = 1e9
"""Pictures that are counted: repeats of repeats exceed every number type."""

_WIDTH, _HEIGHT = ("width", "empty_latent_width"), ("height", "empty_latent_height")
_BATCH = ("batch_size",)
_REPEAT = {"RepeatLatentBatch": "amount", "RepeatImageBatch": "amount"}
_SLICE = {"ImageFromBatch": "length", "LatentFromBatch": "length"}
_JOIN = re.compile(
    r"(?:Image|Latent|Mask)Batch|Batch(?:Images|Latents|Masks)Node|JoinImage|.*MakeImageBatch.*"
)
_NO_PICTURES = re.compile(
    r"(?:.*_)?(?:model|clip|vae|positive|negative|conditioning|guider|sampler|sigmas|noise)"
)
"""Inputs that take no pictures."""


FRAMES_A_LATENT = 4
"""Frames of a video that are sampled as one; models have 4 or 8."""


@dataclass(frozen=True, slots=True)
class _Batch:
    pixels: float = 0.0
    """Pixels of one picture; 0 if unknown."""
    count: float = 1.0


def measure(work: RenderSpec) -> RenderSize:
    """Return the size of a render: its pictures, the pixels of the largest, and the most steps of a sampler.

    A task has no size; page work has that of its pages. A graph's pictures are those that are saved, or those
    of its largest batch if they are more. A video counts as a picture for each latent frame.
    """
    if isinstance(work, TaskSpec):
        return RenderSize(0.0, 0)
    if isinstance(work, PageSpec):
        return RenderSize(work.megapixels, PAGE_STEPS, work.pages)
    if isinstance(work, ImageSpec):
        frames = work.video.frames if work.video is not None else 1
        return RenderSize(
            work.width * work.height / 1e6, work.steps, work.count * -(-frames // FRAMES_A_LATENT)
        )
    return _GraphSize(work.graph).measure()


def rendered_pixels(graph: Mapping[str, Any]) -> float:
    """Return the pixels of a graph's largest batch; 0 if its size is unknown. The graph need not be valid."""
    return _GraphSize(graph).rendered()


def picture_counts(graph: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of pictures that each output node of a graph gets, by its id."""
    return _GraphSize(graph).counts()


class _GraphSize:
    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._graph: Graph = {
            id_: {
                "class_type": str(mapping(node).get("class_type") or ""),
                "inputs": mapping(mapping(node).get("inputs")),
            }
            for id_, node in graph.items()
        }
        self._batches: dict[str, _Batch] = {}
        self._links: dict[str, list[tuple[str, int]]] = {}
        self._ids = executed(self._graph)
        for id_ in self._ids:
            self._trace(id_)

    def rendered(self) -> float:
        return max((self._batches[id_].pixels * self._batches[id_].count for id_ in self._ids), default=0.0)

    def counts(self) -> dict[str, int]:
        kept = (id_ for id_ in outputs(self._graph) if id_ in self._batches)
        return {id_: round(self._batches[id_].count) for id_ in kept}

    def measure(self) -> RenderSize:
        ids = self._ids
        found = [self._batches[id_] for id_ in ids]
        pixels = max((each.pixels for each in found), default=0.0)
        largest = max((each.count for each in found), default=1.0)
        steps = max((self._whole(id_, ("steps",), _MOST_STEPS) or 0 for id_ in ids), default=0)
        return RenderSize(pixels / 1e6 or _ASSUMED_MEGAPIXELS, steps, round(max(self._saved(ids), largest)))

    def _saved(self, ids: list[str]) -> float:
        """The number of pictures that are kept: previews count only where nothing is saved."""
        kept = [id_ for id_ in outputs(self._graph) if id_ in set(ids)]
        saving = [id_ for id_ in kept if not self._class(id_).startswith("Preview")] or kept
        sources = {link for id_ in saving for link in self._picture_links(id_)}
        return sum(self._batches[id_].count for id_, _ in sources if id_ in self._batches)

    def _trace(self, start: str) -> None:
        """Measure a node after the nodes that it takes pictures of."""
        pending, entered = [start], set[str]()
        while pending:
            id_ = pending[-1]
            missing: list[str] = []
            if id_ not in entered:
                entered.add(id_)
                missing = [source for source, _ in self._picture_links(id_) if source not in entered]
                pending += missing
            if not missing:
                pending.pop()
                if id_ not in self._batches:
                    self._batches[id_] = self._batch_of(id_)

    def _batch_of(self, id_: str) -> _Batch:
        kind = self._class(id_)
        sources = [self._batches.get(source, _Batch()) for source, _ in self._picture_links(id_)]
        count = max((each.count for each in sources), default=1.0)
        if kind in _REPEAT:
            count *= self._whole(id_, (_REPEAT[kind],), _LARGEST_BATCH) or 1
        elif kind in _SLICE:
            count = min(count, self._whole(id_, (_SLICE[kind],), _LARGEST_BATCH) or count)
        elif _JOIN.fullmatch(kind):
            count = sum(each.count for each in sources) or 1.0
        if not kind.startswith("Rebatch"):
            count *= self._whole(id_, _BATCH, _LARGEST_BATCH) or 1
        pixels = self._pixels(id_, max((each.pixels for each in sources), default=0.0))
        return _Batch(pixels, min(count, _MOST_PICTURES))

    def _pixels(self, id_: str, taken: float) -> float:
        """The pixels of a picture that a node makes of one with ``taken`` pixels."""
        if self._only_tells_sizes(id_):
            return taken
        width, height = self._whole(id_, _WIDTH, _LARGEST_SIDE), self._whole(id_, _HEIGHT, _LARGEST_SIDE)
        if width and height:
            return float(width * height)
        factor = self._number(id_, ("scale_by", "upscale_by"))
        return taken * min(factor, _LARGEST_FACTOR) ** 2 if factor is not None and factor > 0 else taken

    def _only_tells_sizes(self, id_: str) -> bool:
        """Whether a node's width and height are for a text encoder or a schedule, not those of a picture."""
        inputs = self._graph[id_]["inputs"]
        encodes = "clip" in inputs and any(name.startswith(("text", "prompt")) for name in inputs)
        return encodes or self._class(id_).startswith("ModelSampling")

    def _class(self, id_: str) -> str:
        return self._graph[id_]["class_type"]

    def _picture_links(self, id_: str) -> list[tuple[str, int]]:
        known = self._links.get(id_)
        if known is None:
            inputs: Mapping[str, Any] = self._graph[id_]["inputs"] if id_ in self._graph else {}
            links = (
                parse_link(value)
                for name, value in inputs.items()
                if type(value) in (list, tuple) and not _NO_PICTURES.fullmatch(name)
            )
            known = [link for link in links if link is not None and link[0] in self._graph]
            self._links[id_] = known
        return known

    def _value(self, id_: str, names: tuple[str, ...]) -> Any:
        inputs = self._graph[id_]["inputs"]
        for name in names:
            place = find_value(self._graph, id_, name) if name in inputs else None
            if place is not None:
                return self._graph[place[0]]["inputs"][place[1]]
        return None

    def _whole(self, id_: str, names: tuple[str, ...], largest: int) -> int | None:
        """A whole number of a node, as a text too, or from a node that holds it; None if it is unusable."""
        value = whole_number(self._value(id_, names))
        return value if value is not None and 0 < value <= largest else None

    def _number(self, id_: str, names: tuple[str, ...]) -> float | None:
        value = number(self._value(id_, names))
        return float(value) if value is not None else None
