"""The simulator backend: nodes that load models, take time, fail on demand and deliver real pictures."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field, replace
from random import Random
from typing import TYPE_CHECKING, Any

from imagemill.backends.base import (
    BackendContext,
    Node,
    Output,
    Progress,
    RenderControl,
    RenderRequest,
    RenderResult,
)
from imagemill.backends.simulator import painter
from imagemill.backends.simulator.faults import (
    PROPERTY,
    REJECTED_AT_SUBMIT,
    ActiveFaultRule,
    Scenario,
    check_hint,
    failure,
    load_scenario,
)
from imagemill.backends.simulator.graphs import GraphClock
from imagemill.backends.simulator.plan import (
    RenderPlan,
    SimulatedModels,
    load_ms_of,
    make_plan,
    models_of,
    outputs_of,
)
from imagemill.backends.simulator.request_graphs import RequestGraphs, without_preprocessors
from imagemill.backends.simulator.settings import Fault, SimulatorSettings
from imagemill.backends.simulator.timing import Clock, FifoLock, RenderClock, Sleep, pause
from imagemill.backends.simulator.tuning import Tuning
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.events import Stage
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import ImageSpec, RenderSpec, WorkerSpec
from imagemill.graphs import builder
from imagemill.graphs.families.table import Families, built_in, load_families
from imagemill.media.pictures import PIXEL_WORK

if TYPE_CHECKING:
    from imagemill.config import Settings

PREVIEWS = 20
"""Most previews of a render."""

REMEMBERED = 256
"""Number of finished renders whose references are kept, so that they can be followed again."""

INSTANT_PIXELS = 256 * 256
"""Pixels of a render up to which it is painted in a few milliseconds."""

MOST_OPEN = 4096
"""Most references that were sent and not followed to their end; far more than slots can be in flight."""


def build(settings: "Settings", context: BackendContext) -> "Simulator | None":
    """The factory of this backend; None if it is disabled."""
    if settings.simulator.enabled == "never":
        return None
    families = load_families(settings.data_dir)
    return Simulator(settings.simulator, suffix=context.suffix, families=families)


@dataclass(frozen=True, slots=True)
class NodeStats:
    """The counters of a node since it was built."""

    loads: int
    """Checkpoints loaded."""
    busy_s: float
    """Seconds spent loading and rendering, including failed renders."""
    renders: int
    """Renders finished."""


@dataclass(slots=True)
class _Render:
    """A reference that was sent: the first follower that acquires the lock renders."""

    plan: RenderPlan | None
    lock: FifoLock = field(default_factory=FifoLock)
    finished: bool = False


@dataclass(slots=True)
class _SimulatedNode:
    """A node, changed only under its lock. ``view`` and ``stats`` are replaced whole, so reading needs no
    lock."""

    view: Node
    loaded: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])
    stats: NodeStats = NodeStats(0, 0.0, 0)
    lock: FifoLock = field(default_factory=FifoLock)

    def update_view(self) -> None:
        self.view = replace(self.view, loaded_models=frozenset(self.loaded))


class Simulator:
    """An `imagemill.backends.base.Backend` without a GPU.

    A node renders one request at a time; the others wait in the order in which they are followed. Tests
    pass their own ``clock`` (seconds) and ``sleep`` (which returns True when the control is stopped).
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = pause,
        name: str = "simulator",
        suffix: str = "",
        families: Families | None = None,
    ) -> None:
        scenario = load_scenario(settings.scenario) if settings.scenario else Scenario()
        self.tuning = Tuning(settings, scenario)
        self._families = families or built_in()
        self._graphs = RequestGraphs(self._families)
        self._clock = clock
        self._sleep = sleep
        self._name = name
        self._catalogue = SimulatedModels(settings.models)
        self._nodes = {node.name: _SimulatedNode(node) for node in _node_views(settings, name, suffix)}
        self._paused = False
        self._shown: tuple[object, tuple[Node, ...]] = ((), ())
        """The state that was last asked for, and its nodes; each request asks for them."""
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Render] = OrderedDict()
        self._finished: OrderedDict[str, None] = OrderedDict()

    @property
    def name(self) -> str:
        return self._name

    def pause(self, paused: bool) -> None:
        """Take no more jobs, as there are real nodes; or take jobs again."""
        self._paused = paused

    @property
    def _settings(self) -> SimulatorSettings:
        return self.tuning.settings

    @property
    def is_paused(self) -> bool:
        return self._paused

    @property
    def survives_worker(self) -> bool:
        return False

    @property
    def stage_names(self) -> tuple[Stage, Stage]:
        return Stage.SENT_TO_BACKEND, Stage.BACKEND_RESULT

    @property
    def renders_in_process(self) -> bool:
        return True

    def nodes(self) -> Sequence[Node]:
        state = (self._paused, self._settings, *[node.view for node in self._nodes.values()])
        if state != self._shown[0]:
            self._shown = state, _views(*state, is_tuned=self._settings is not self.tuning.base)
        return self._shown[1]

    def stats(self) -> dict[str, NodeStats]:
        """Node name -> its counters."""
        return {name: node.stats for name, node in self._nodes.items()}

    def unsupported_reason(self, work: RenderSpec) -> str | None:
        if isinstance(work, WorkerSpec):
            return f"the simulator does not run {work.title}"
        if isinstance(work, ImageSpec) and work.remote is not None:
            return f"the simulator does not draw for {work.remote.path}"
        if self._paused:
            return "the simulator is paused, as there are ComfyUI nodes (see IMAGEMILL_SIMULATOR__ENABLED)"
        if isinstance(work, ImageSpec):
            impossible = builder.unsupported_reason(without_preprocessors(work), self._families)
            if impossible is not None:
                return impossible
        return self._catalogue.unsupported_reason(models_of(work))

    def requirements(self, work: RenderSpec) -> tuple[str, ...]:
        """Always empty, as all simulated nodes have the same models."""
        del work
        return ()

    def validate_hints(self, properties: Mapping[str, Any]) -> str | None:
        """The error in a ``simulate`` property."""
        hint = properties.get(PROPERTY)
        return None if hint is None else check_hint(hint)

    def send(self, request: RenderRequest) -> str:
        """Register the request under its reference; nothing is rendered before `follow`.

        Rejects what a real server rejects at submit: an unknown node, an invalid graph, a malformed hint,
        an absent model, and the faults that simulate such answers. A known reference is attached to.
        """
        with self._lock:
            if request.reference in self._open or request.reference in self._finished:
                return request.reference
        rules = self.tuning.rules
        plan = self._plan(request, rules)
        if plan.injected is not None and plan.injected.position is not None:
            self.tuning.count(rules[plan.injected.position])
        if plan.injected is not None and plan.injected.fault in REJECTED_AT_SUBMIT:
            raise failure(plan.injected.fault, request.node, plan.model)
        with self._lock:
            self._open.setdefault(request.reference, _Render(plan))
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return request.reference

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        """Render in the caller's thread, for at most ``request.timeout_s`` including the wait for the
        node.

        Following a finished reference again delivers the same outputs at once. Only the reference is kept,
        as the same request always draws the same bytes.
        """
        clock = self._render_clock(request, control)
        with self._lock:
            render = self._open.get(reference)
            finished = reference in self._finished
        if render is None and not finished:
            raise BackendError(FailureCode.NODE_LOST, f"{request.node}: the render {reference} is not known")
        if render is None:
            return self._redraw(request, clock)
        with render.lock.held(clock.check):
            if render.finished:
                return self._redraw(request, clock)
            turn = self._nodes[request.node].lock.held(clock.check)
            return self._render_once(request, reference, render, clock, turn)

    def follow_at_once(
        self, request: RenderRequest, reference: str, control: RenderControl
    ) -> RenderResult | None:
        """Render small pictures that need no simulated time, while nothing else uses the node."""
        with self._lock:
            render = self._open.get(reference)
        node = self._nodes[request.node]
        if render is None or not self._takes_no_time(render.plan, node):
            return None
        if not render.lock.acquire_at_once():
            return None
        try:
            if render.finished or not node.lock.acquire_at_once():
                return None
            try:
                clock = self._render_clock(request, control)
                return self._render_once(request, reference, render, clock, nullcontext())
            finally:
                node.lock.release()
        finally:
            render.lock.release()

    def _takes_no_time(self, plan: RenderPlan | None, node: _SimulatedNode) -> bool:
        if plan is None or plan.fault is not None:
            return False
        settings = self._settings
        is_quick = not (settings.step_ms if plan.hint.step_ms is None else plan.hint.step_ms)
        is_loaded = not plan.model or plan.model in node.loaded or not load_ms_of(settings, plan)
        pixels = 0
        for spec, _ in plan.pictures:
            pixels += INSTANT_PIXELS + 1 if spec.video is not None else spec.width * spec.height
        return is_quick and is_loaded and pixels <= INSTANT_PIXELS

    def close(self) -> None:
        with self._lock:
            self._open.clear()
            self._finished.clear()

    def _render_clock(self, request: RenderRequest, control: RenderControl) -> RenderClock:
        deadline = self._clock() + request.timeout_s
        return RenderClock(control, self._clock, self._sleep, deadline, request.timeout_s)

    def _render_once(
        self,
        request: RenderRequest,
        reference: str,
        render: _Render,
        clock: RenderClock,
        turn: AbstractContextManager[None],
    ) -> RenderResult:
        """Render while the node's lock is held by ``turn``."""
        try:
            plan = render.plan or self._plan(request)
            with turn:
                rendered = self._render(request, plan, clock)
        except BaseException:
            self._forget(reference, render)
            raise
        self._finish(reference, render)
        return rendered

    def _finish(self, reference: str, render: _Render) -> None:
        with self._lock:
            render.finished, render.plan = True, None
            self._open.pop(reference, None)
            self._finished[reference] = None
            if len(self._finished) > REMEMBERED:
                self._finished.popitem(last=False)

    def _forget(self, reference: str, render: _Render) -> None:
        """Drop a render that failed or was stopped: sent again, it starts from the beginning."""
        with self._lock:
            if self._open.get(reference) is render:
                del self._open[reference]

    def _plan(self, request: RenderRequest, rules: Sequence[ActiveFaultRule] | None = None) -> RenderPlan:
        if request.node not in self._nodes:
            present = ", ".join(self._nodes)
            message = f"{request.node} is not a simulated node; present: {present}"
            raise BackendError(FailureCode.NODE_LOST, message)
        found = [each.rule for each in (self.tuning.rules if rules is None else rules)]
        return make_plan(request, self._catalogue, found, self._settings.seed, self._graphs)

    def _render(self, request: RenderRequest, plan: RenderPlan, clock: RenderClock) -> RenderResult:
        """Render on the node, whose lock is held."""
        node = self._nodes[request.node]
        clock.check()
        started = self._clock()
        renders = 0
        try:
            jitter = self._jitter_factors(request)
            times = GraphClock(plan.parts)
            times.begin("load", started)
            loaded = self._load(node, plan, clock, jitter)
            if not loaded:
                times.skip("load")
            times.begin("sample", self._clock())
            self._sample(node, plan, clock, jitter)
            times.begin("save", self._clock())
            outputs = _paint(plan, clock)
            times.end(self._clock())
            renders = 1
        finally:
            stats = node.stats
            busy_s = stats.busy_s + self._clock() - started
            node.stats = NodeStats(stats.loads, busy_s, stats.renders + renders)
        details = self._details(node, request, plan, loaded, len(outputs))
        return RenderResult(outputs, {**details, **times.details(started)})

    def _redraw(self, request: RenderRequest, clock: RenderClock) -> RenderResult:
        """The outputs of a finished render, drawn again without using the node."""
        plan = self._plan(request)
        outputs = _paint(plan, clock)
        return RenderResult(
            outputs, self._details(self._nodes[request.node], request, plan, False, len(outputs))
        )

    def _details(
        self, node: _SimulatedNode, request: RenderRequest, plan: RenderPlan, loaded: bool, outputs: int
    ) -> dict[str, Any]:
        return {
            "prompt_request": plan.request,
            "prompt_response": {"prompt_id": request.reference, "outputs": outputs, "node_errors": {}},
            "node": request.node,
            "loads": node.stats.loads,
            "loaded": loaded,
        }

    def _jitter_factors(self, request: RenderRequest) -> Iterator[float]:
        """Random factors around 1, the same for the same seed, job and attempt."""
        jitter = self._settings.jitter
        if jitter == 0:
            while True:
                yield 1.0
        random = Random(f"{self._settings.seed}/{request.job_id}/{request.attempt}")  # noqa: S311 - repeatable
        while True:
            yield 1 + jitter * (2 * random.random() - 1)

    def _load(
        self, node: _SimulatedNode, plan: RenderPlan, clock: RenderClock, jitter: Iterator[float]
    ) -> bool:
        """Load the model if it is not loaded; return whether it had to be loaded."""
        if not plan.model:
            return False
        slow = plan.fault is Fault.SLOW_LOAD
        if plan.model in node.loaded and not slow:
            node.loaded.move_to_end(plan.model)
            return False
        load_s = load_ms_of(self._settings, plan) / 1000 * next(jitter)
        node.loaded.pop(plan.model, None)
        while len(node.loaded) >= self._settings.resident_models:
            node.loaded.popitem(last=False)
        node.update_view()
        if load_s > 0:
            if plan.fault is not Fault.SILENT:
                clock.control.progress(Progress(0, plan.steps, note=f"loads {plan.model}"))
            clock.sleep(load_s)
        node.loaded[plan.model] = None
        node.update_view()
        node.stats = replace(node.stats, loads=node.stats.loads + 1)
        return True

    def _sample(
        self, node: _SimulatedNode, plan: RenderPlan, clock: RenderClock, jitter: Iterator[float]
    ) -> None:
        """Run the steps and report each; an instant render reports the last one only."""
        if plan.fault is Fault.OUT_OF_MEMORY:
            raise failure(plan.fault, node.view.name, plan.model)
        step_ms = self._settings.step_ms if plan.hint.step_ms is None else plan.hint.step_ms
        last = max(1, plan.steps // 2) if plan.fault in (Fault.CRASH, Fault.HANG) else plan.steps
        every = max(1, -(-plan.steps // PREVIEWS))
        for step in range(1 if step_ms else last, last + 1):
            if step_ms:
                clock.sleep(step_ms / 1000 * next(jitter))
            if plan.fault is Fault.SILENT:
                continue
            shown = bool(self._settings.previews and step_ms and step % every == 0)
            picture = painter.preview(*plan.pictures[0], step / plan.steps) if shown else None
            clock.control.progress(Progress(step, plan.steps, note="samples", preview=picture))
        if plan.fault is Fault.CRASH:
            node.loaded.clear()
            node.update_view()
            raise failure(plan.fault, node.view.name, plan.model)
        while plan.fault is Fault.HANG:
            clock.sleep(3600.0)
        if plan.fault is Fault.CONTENT:
            raise failure(plan.fault, node.view.name, plan.model)


def _paint(plan: RenderPlan, clock: RenderClock) -> tuple[Output, ...]:
    with PIXEL_WORK:
        return tuple(outputs_of(plan, clock))


def _node_views(settings: SimulatorSettings, backend: str, suffix: str) -> Iterator[Node]:
    for number in range(1, settings.nodes + 1):
        yield Node(
            name=f"sim-{number}.{suffix}" if suffix else f"sim-{number}",
            backend=backend,
            queues=frozenset({"gpu"}),
            slots=settings.slots,
            labels=frozenset(settings.labels),
            memory_mb=settings.memory_mb,
            load_s=settings.load_ms / 1000,
            available=frozenset(model.lower() for model in settings.models) or None,
        )


def _views(paused: bool, settings: SimulatorSettings, *nodes: Node, is_tuned: bool) -> tuple[Node, ...]:
    """Return the nodes as they are shown. ``is_tuned``: the settings are other than at the start."""
    if is_tuned:
        nodes = tuple(replace(node, load_s=settings.load_ms / 1000) for node in nodes)
    return tuple(replace(node, draining=True) for node in nodes) if paused else nodes
