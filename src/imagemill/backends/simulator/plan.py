"""An order, understood: which pictures, which checkpoint, which fault; and the files it gives in the end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from imagemill.backends.base import Output, RenderRequest
from imagemill.backends.simulator import painter
from imagemill.backends.simulator.faults import FaultHint, InjectedFault, choose, read_hint
from imagemill.backends.simulator.graphs import read_graph
from imagemill.backends.simulator.settings import Fault, FaultRule, SimulatorSettings
from imagemill.backends.simulator.timing import RenderClock
from imagemill.domain import air
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec, RenderSpec
from imagemill.graphs import builder
from imagemill.graphs.builder_parts import CORE_PREPROCESSORS

LARGEST_SIDE = 16_384
"""Px; beyond it the memory for one picture is several gigabytes."""

SLOW_LOAD_FACTOR, SLOW_LOAD_MS = 10.0, 5_000.0
"""A slow load takes so many times the usual one, and at least so long."""


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """An order, understood."""

    pictures: tuple[tuple[ImageSpec, int], ...]
    model: str
    """Key of the checkpoint; empty: none is loaded."""
    steps: int
    request: Mapping[str, Any]
    hint: FaultHint
    strike: InjectedFault | None

    @property
    def fault(self) -> Fault | None:
        return self.strike.fault if self.strike else None


class SimulatedModels:
    """The checkpoints the nodes have; none named: any."""

    def __init__(self, models: Sequence[str]) -> None:
        self._models = tuple(models)
        self._keys = _model_keys(models)

    def key(self, model: str) -> str:
        """The one spelling of a checkpoint, asked for by AIR or by file."""
        return self._keys.get(model.lower(), model.lower())

    def unsupported_reason(self, models: Sequence[str]) -> str | None:
        if not self._models:
            return None
        absent = next((model for model in models if model.lower() not in self._keys), None)
        if absent is None:
            return None
        return f"{absent} is on no simulated node; present: {', '.join(self._models)}"


def models_of(work: RenderSpec) -> tuple[str, ...]:
    return (work.model,) if isinstance(work, ImageSpec) else work.models


def make_plan(
    order: RenderRequest, catalogue: SimulatedModels, rules: Sequence[FaultRule], seed: int
) -> RenderPlan:
    """Raise `BackendError` for what a server refuses at once: see `Simulator.send`."""
    hint = read_hint(order.properties)
    refusal = catalogue.unsupported_reason(models_of(order.work))
    if refusal is not None:
        raise BackendError(FailureCode.MISSING_MODEL, refusal)
    if isinstance(order.work, GraphSpec):
        graph = read_graph(order.work)
        pictures, model, steps, request = graph.pictures, graph.model, graph.steps, dict(order.work.graph)
    else:
        spec = _checked(order.work)
        pictures = tuple((spec, index) for index in range(spec.count))
        model, steps, request = spec.model, max(1, spec.steps), request_of(spec)
    strike = choose(rules, hint, order, model=model, prompt=pictures[0][0].prompt, seed=seed)
    return RenderPlan(pictures, catalogue.key(model), steps, request, hint, strike)


def request_of(spec: ImageSpec) -> Mapping[str, Any]:
    """The graph a ComfyUI server would be sent, with all names as they are.

    Preprocessors that are no core node of ComfyUI count as done: here each of the wire contract works.
    """
    controls = tuple(
        control if control.preprocessor.lower() in CORE_PREPROCESSORS else replace(control, preprocessor="")
        for control in spec.controls
    )
    spec = replace(spec, controls=controls) if controls != spec.controls else spec
    pictures = {name: name for name in builder.picture_names(spec)}
    return builder.build(spec, None, prefix="imagemill", images=pictures)


def outputs_of(plan: RenderPlan, pace: RenderClock) -> Iterator[Output]:
    """The files, with the faults that show in them."""
    pictures = plan.pictures[:-1] if plan.fault is Fault.PARTIAL else plan.pictures
    for spec, index in pictures:
        pace.check()
        if plan.fault is Fault.WRONG_SIZE:
            spec = replace(spec, width=max(1, spec.width // 2), height=max(1, spec.height // 2))
        data = painter.blank(spec) if plan.fault is Fault.BLANK else painter.paint(spec, index)
        if plan.fault is Fault.CORRUPT:
            data = data[: len(data) // 2]
        yield Output(data, painter.MEDIA_TYPES[spec.format.lower()], spec.seed)


def load_ms_of(settings: SimulatorSettings, plan: RenderPlan) -> float:
    usual = settings.load_ms if plan.hint.load_ms is None else plan.hint.load_ms
    if plan.strike is None or plan.strike.fault is not Fault.SLOW_LOAD:
        return usual
    if plan.strike.load_ms is not None:
        return plan.strike.load_ms
    return max(SLOW_LOAD_MS, SLOW_LOAD_FACTOR * usual)


def _checked(spec: ImageSpec) -> ImageSpec:
    """Raise `BackendError` for what cannot be painted at all."""
    problem = None
    if spec.format.lower() not in painter.MEDIA_TYPES:
        problem = f"the format {spec.format[:20]!r} is none of {', '.join(sorted(painter.MEDIA_TYPES))}"
    elif not (1 <= spec.width <= LARGEST_SIDE and 1 <= spec.height <= LARGEST_SIDE):
        problem = f"{spec.width} x {spec.height} is not a size from 1 to {LARGEST_SIDE} px a side"
    elif spec.count < 1:
        problem = f"a batch of {spec.count} has no picture"
    elif spec.background is not None:
        problem = painter.colour_complaint(spec.background)
    if problem is not None:
        raise BackendError(FailureCode.BACKEND_REJECTED, problem)
    return spec


def _model_keys(models: Sequence[str]) -> dict[str, str]:
    """Under what names a checkpoint may be asked for (its AIR, its file), in lower case, to its AIR's key."""
    keys: dict[str, str] = {}
    for model in models:
        key = model.lower()
        keys[key] = key
        try:
            keys[air.parse(model).path.lower()] = key
        except air.InvalidAir:
            continue
    return keys
