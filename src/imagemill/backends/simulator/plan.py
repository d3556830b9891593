"""Plan a simulated render: its pictures, its checkpoint, its fault; and make its output files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imagemill.backends.base import Output, RenderRequest
from imagemill.backends.simulator import painter
from imagemill.backends.simulator.faults import FaultHint, InjectedFault, choose, read_hint
from imagemill.backends.simulator.graphs import NodeParts, parts_of, read_graph
from imagemill.backends.simulator.request_graphs import RequestGraphs
from imagemill.backends.simulator.settings import Fault, FaultRule, SimulatorSettings
from imagemill.backends.simulator.timing import RenderClock
from imagemill.domain import air
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec, PageSpec, RenderSpec, TaskSpec, WorkerSpec

LARGEST_SIDE = 16_384
"""Most pixels a side; a larger picture would take several gigabytes of memory."""

SLOW_LOAD_FACTOR, SLOW_LOAD_MS = 10.0, 5_000.0
"""Duration of a slow load: a multiple of the usual one, and at least these milliseconds."""


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """A planned render."""

    pictures: tuple[tuple[ImageSpec, int], ...]
    """Each picture's request and its index in the batch."""
    model: str
    """Key of the checkpoint; empty if none is loaded."""
    steps: int
    request: Mapping[str, Any]
    parts: NodeParts
    hint: FaultHint
    injected: InjectedFault | None

    @property
    def fault(self) -> Fault | None:
        return self.injected.fault if self.injected else None


class SimulatedModels:
    """The checkpoints the nodes have; an empty list means any."""

    def __init__(self, models: Sequence[str]) -> None:
        self._models = tuple(models)
        self._keys = _model_keys(models)

    def key(self, model: str) -> str:
        """The key of a checkpoint that is requested by AIR or by file."""
        return self._keys.get(model.lower(), model.lower())

    def unsupported_reason(self, models: Sequence[str]) -> str | None:
        if not self._models:
            return None
        absent = next((model for model in models if model.lower() not in self._keys), None)
        if absent is None:
            return None
        return f"{absent} is on no simulated node; present: {', '.join(self._models)}"


def models_of(work: RenderSpec) -> tuple[str, ...]:
    match work:
        case ImageSpec():
            return (work.model,)
        case GraphSpec():
            return work.models
        case TaskSpec() | PageSpec():
            return ()


def make_plan(
    order: RenderRequest,
    catalogue: SimulatedModels,
    rules: Sequence[FaultRule],
    seed: int,
    graphs: RequestGraphs,
) -> RenderPlan:
    """Plan a render. Raises `BackendError` for what a server rejects at submit: see `Simulator.send`."""
    hint = read_hint(order.properties)
    refusal = catalogue.unsupported_reason(models_of(order.work))
    if refusal is not None:
        raise BackendError(FailureCode.MISSING_MODEL, refusal)
    if isinstance(order.work, WorkerSpec):
        raise BackendError(FailureCode.INVALID_GRAPH, f"{order.work.title} is for a worker, not for a node")
    if isinstance(order.work, GraphSpec):
        graph = read_graph(order.work)
        pictures, model, steps, request = graph.pictures, graph.model, graph.steps, dict(order.work.graph)
        parts = parts_of(request)
    else:
        spec = _check_spec(order.work)
        pictures = tuple((spec, index) for index in range(spec.count))
        model, steps, drawn = spec.model, max(1, spec.steps), graphs.graph_of(spec)
        request, parts = drawn.graph, drawn.parts
    strike = choose(rules, hint, order, model=model, prompt=pictures[0][0].prompt, seed=seed)
    return RenderPlan(pictures, catalogue.key(model), steps, request, parts, hint, strike)


def outputs_of(plan: RenderPlan, clock: RenderClock) -> Iterator[Output]:
    """The output files, with the faults that affect them."""
    pictures = plan.pictures[:-1] if plan.fault is Fault.PARTIAL else plan.pictures
    for spec, index in pictures:
        clock.check()
        if spec.video is not None:
            yield Output(
                painter.animate(spec, spec.video), painter.MEDIA_TYPES["webp"], spec.seed, "video.webp"
            )
        if plan.fault is Fault.WRONG_SIZE:
            spec = replace(spec, width=max(1, spec.width // 2), height=max(1, spec.height // 2))
        data = painter.blank(spec) if plan.fault is Fault.BLANK else painter.paint(spec, index)
        if plan.fault is Fault.CORRUPT:
            data = data[: len(data) // 2]
        yield Output(data, painter.MEDIA_TYPES[spec.format.lower()], spec.seed)


def load_ms_of(settings: SimulatorSettings, plan: RenderPlan) -> float:
    usual = settings.load_ms if plan.hint.load_ms is None else plan.hint.load_ms
    if plan.injected is None or plan.injected.fault is not Fault.SLOW_LOAD:
        return usual
    if plan.injected.load_ms is not None:
        return plan.injected.load_ms
    return max(SLOW_LOAD_MS, SLOW_LOAD_FACTOR * usual)


def _check_spec(spec: ImageSpec) -> ImageSpec:
    """Raise `BackendError` for a picture that cannot be drawn."""
    problem = None
    if spec.format.lower() not in painter.MEDIA_TYPES:
        problem = f"the format {spec.format[:20]!r} is none of {', '.join(sorted(painter.MEDIA_TYPES))}"
    elif not (1 <= spec.width <= LARGEST_SIDE and 1 <= spec.height <= LARGEST_SIDE):
        problem = f"{spec.width} x {spec.height} is not a size from 1 to {LARGEST_SIDE} px a side"
    elif spec.count < 1:
        problem = f"a batch of {spec.count} has no picture"
    elif spec.background is not None:
        problem = painter.colour_error(spec.background)
    if problem is not None:
        raise BackendError(FailureCode.BACKEND_REJECTED, problem)
    return spec


def _model_keys(models: Sequence[str]) -> dict[str, str]:
    """A checkpoint's AIR or file in lower case -> its key, the AIR in lower case."""
    keys: dict[str, str] = {}
    for model in models:
        key = model.lower()
        keys[key] = key
        try:
            keys[air.parse(model).path.lower()] = key
        except air.InvalidAir:
            continue
    return keys
