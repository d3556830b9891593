"""ComfyUI servers as an `imagemill.backends.base.Backend`."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imagemill.backends.base import (
    BackendContext,
    Node,
    RenderCanceled,
    RenderControl,
    RenderRequest,
    RenderResult,
)
from imagemill.backends.comfyui import doctor, submit, temporary
from imagemill.backends.comfyui.errors import NODE_FAILURES, ComfyError, Interrupted, failure
from imagemill.backends.comfyui.follow import PromptFollower
from imagemill.backends.comfyui.health import NodeHealthMonitor
from imagemill.backends.comfyui.loop import NodeLoop
from imagemill.backends.comfyui.node import SLOW_S, NodeConnection, NodeInventory, PathOf
from imagemill.backends.comfyui.partner import PartnerNodes, partner_nodes
from imagemill.backends.comfyui.prompt import PromptRun
from imagemill.backends.comfyui.settings import ComfySettings, configured_nodes
from imagemill.backends.paid_calls import CANCELED, MILLIONTHS, SUCCEEDED, UNKNOWN, PaidCalls
from imagemill.domain.errors import BackendError, NotFound
from imagemill.domain.events import Stage
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec, RenderSpec, WorkerSpec
from imagemill.domain.nodes import Finding, NodeConfig, NodeReport
from imagemill.graphs import builder
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import InvalidGraph
from imagemill.graphs.families.table import Families, built_in, load_families
from imagemill.graphs.graph import normalise
from imagemill.graphs.node_models import NodeModels
from imagemill.graphs.requirements import Requirement, requirements_of
from imagemill.net.breaker import Clock

if TYPE_CHECKING:
    from imagemill.config import Settings

REMEMBERED = 4096
"""Number of sent references that are remembered: sent again, they are searched on the node first."""
REFRESH_S = 3.0
"""Seconds for which a refusal waits until the nodes' models have been read again."""
MOST_REQUIREMENTS = 5
"""Missing requirements named in one refusal."""


def build(settings: "Settings", context: BackendContext) -> "ComfyUI":
    """The factory of this backend. It starts without nodes: settings and table are configured together."""
    families = load_families(settings.data_dir)
    own = settings.comfyui.model_copy(update={"urls": ()})
    return ComfyUI(own, context.path_of, families=families, calls=context.calls)


class ComfyUI:
    """The ComfyUI backend. Thread-safe.

    It starts with the nodes of the settings; `configure` changes them at any time. ``path_of`` maps a
    checkpoint's AIR in lower case to the file it should have.
    """

    def __init__(
        self,
        settings: ComfySettings,
        path_of: PathOf = lambda _: None,
        *,
        clock: Clock = time.monotonic,
        name: str = "comfyui",
        families: Families | None = None,
        calls: PaidCalls | None = None,
    ) -> None:
        self._settings = settings
        self._partner = PartnerNodes(settings, calls)
        self._path_of = path_of
        self._families = families or built_in()
        self._clock = clock
        self._name = name
        self._lock = threading.Lock()
        self._monitors: dict[str, NodeHealthMonitor] = {}
        self._retired: list[NodeHealthMonitor] = []
        self._connections: tuple[NodeConnection, ...] = ()
        self._sent: OrderedDict[str, NodeConnection] = OrderedDict()
        self._loop = NodeLoop()
        self._known_requirements: tuple[RenderSpec | None, tuple[Requirement, ...]] = (None, ())
        """The render that was last asked about, and its requirements."""
        self.configure(tuple(configured_nodes(settings)))

    @property
    def name(self) -> str:
        return self._name

    def configure(self, nodes: Sequence[NodeConfig]) -> None:
        """Replace the nodes by exactly these. Prompts on a removed node may finish."""
        with self._lock:
            before, self._monitors = self._monitors, {}
            for config in nodes:
                monitor = before.get(config.name)
                if monitor is not None and monitor.connection.reconfigure(config):
                    self._monitors[config.name] = before.pop(config.name)
                else:
                    self._monitors[config.name] = self._new(config)
            self._connections = tuple(monitor.connection for monitor in self._monitors.values())
            self._retired += before.values()
            fresh = [monitor for monitor in self._monitors.values() if not monitor.started]
        for monitor in fresh:
            monitor.start()
        self._close_idle()

    def _new(self, config: NodeConfig) -> NodeHealthMonitor:
        return NodeHealthMonitor(
            NodeConnection(
                config,
                self._settings,
                self._path_of,
                self._clock,
                self._loop,
                self._families,
                self._partner,
            ),
            lambda: self._connections,
            self._loop,
        )

    def _close_idle(self) -> None:
        """Close removed nodes that have no prompts in flight."""
        with self._lock:
            idle = [monitor for monitor in self._retired if not monitor.connection.prompt_runs]
            self._retired = [monitor for monitor in self._retired if monitor not in idle]
        for monitor in idle:
            monitor.connection.retired = True
            monitor.stop()

    @property
    def survives_worker(self) -> bool:
        return True

    @property
    def stage_names(self) -> tuple[Stage, Stage]:
        return Stage.SENT_TO_COMFY, Stage.COMFY_RESULT

    @property
    def renders_in_process(self) -> bool:
        return False

    def nodes(self) -> Sequence[Node]:
        return [connection.view(self._name) for connection in self._connections]

    def reports(self) -> list[NodeReport]:
        return [connection.report() for connection in self._connections]

    def examine(self, name: str) -> Iterator[Finding]:
        """Return the findings about a node as they come, which takes seconds. Raises `NotFound`."""
        return doctor.examine(self._connection(name))

    def catalogues(self) -> list[Catalogue]:
        """The catalogues of the nodes whose inventory has been read."""
        return [
            connection.inventory.catalogue
            for connection in self._connections
            if connection.inventory is not None
        ]

    def models(self) -> list[NodeModels]:
        """The model files of each node."""
        return [connection.models() for connection in self._connections]

    def unsupported_reason(self, work: RenderSpec) -> str | None:
        """Why no node can render this. What seems to be missing is looked for again, for some seconds."""
        if isinstance(work, WorkerSpec):
            return f"ComfyUI nodes do not run {work.title}"
        if isinstance(work, ImageSpec) and work.remote is not None:
            return f"no ComfyUI node has the model of {work.remote.path}"
        if not self._connections:
            return "no ComfyUI node is configured: add one with `imagemill nodes add`"
        impossible = builder.unsupported_reason(work, self._families) if isinstance(work, ImageSpec) else None
        if impossible is not None:
            return impossible
        try:
            requirements = self._requirements_of(work)
        except InvalidGraph as error:
            return str(error)
        missing = self._missing(requirements)
        if missing is not None and self._refresh():
            missing = self._missing(requirements)
        return missing or self._partner.refusal(partner_nodes(work, self.catalogues()))

    def partner_classes(self, work: RenderSpec) -> Sequence[str]:
        """The node classes of a graph that a paid service runs, sorted."""
        return sorted(partner_nodes(work, self.catalogues()))

    def bill(self, work: RenderSpec) -> float | None:
        """The dollars for the partner nodes of a graph; None when a price is not known."""
        cost = self._partner.cost(partner_nodes(work, self.catalogues()))
        return None if cost is None else cost / MILLIONTHS

    def _refresh(self) -> bool:
        """Read old inventories again, in the threads of the nodes; return whether any has been read."""
        asked_at = self._clock()
        old = [each for each in self._connections if each.expire_inventory(age_s=submit.STALE_INVENTORY_S)]
        end = time.monotonic() + REFRESH_S
        read = [each.wait_for_inventory(asked_at, max(0.0, end - time.monotonic())) for each in old]
        return any(read)

    def _missing(self, requirements: Sequence[Requirement]) -> str | None:
        """The requirements that no node meets as a whole, in a sentence; None if one does."""
        inventories = {connection.name: connection.inventory for connection in self._connections}
        lacking: dict[Requirement, list[str]] = {}
        for name, inventory in inventories.items():
            missing = [
                requirement
                for requirement in requirements
                if inventory is not None and not inventory.meets(requirement)
            ]
            if not missing:
                return None
            for requirement in missing:
                lacking.setdefault(requirement, []).append(name)
        sentences = [
            _missing_sentence(requirement, names, list(inventories))
            + _remedy(requirement, inventories.values())
            for requirement, names in lacking.items()
        ]
        more = (
            f"; and {len(sentences) - MOST_REQUIREMENTS} more" if len(sentences) > MOST_REQUIREMENTS else ""
        )
        return "; ".join(sentences[:MOST_REQUIREMENTS]) + more

    def requirements(self, work: RenderSpec) -> tuple[str, ...]:
        inventories = [
            connection.inventory for connection in self._connections if connection.inventory is not None
        ]
        try:
            requirements = [
                requirement for requirement in self._requirements_of(work) if requirement.kind != "checkpoint"
            ]
        except InvalidGraph:
            return ()  # `unsupported_reason` reports it
        return tuple(
            sorted({str(n) for n in requirements if not all(inventory.meets(n) for inventory in inventories)})
        )

    def _requirements_of(self, work: RenderSpec) -> tuple[Requirement, ...]:
        """The requirements of a render. Raises `InvalidGraph`.

        A submission asks twice for the same one; of a large graph they take a millisecond.
        """
        known, requirements = self._known_requirements
        if known is not work:
            normal = replace(work, graph=normalise(work.graph)) if isinstance(work, GraphSpec) else work
            requirements = requirements_of(normal, self._families)
            self._known_requirements = work, requirements
        return requirements

    def validate_hints(self, properties: Mapping[str, Any]) -> str | None:
        """Always None, as this backend has no hints."""
        del properties
        return None

    def send(self, request: RenderRequest) -> str:
        connection = self._connection_of(request)
        known = request.attempt > 1 or request.reference in self._sent
        _send(connection, request, known=known)
        with self._lock:
            self._sent[request.reference] = connection
            if len(self._sent) > REMEMBERED:
                self._sent.popitem(last=False)
        return request.reference

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        rendered = self._follow(request, reference, control)
        assert rendered is not None  # noqa: S101 - it was followed without a limit
        return rendered

    def follow_briefly(
        self, request: RenderRequest, reference: str, control: RenderControl
    ) -> RenderResult | None:
        is_quick = self._connection_of(request).is_quick
        return self._follow(request, reference, control, briefly_s=SLOW_S) if is_quick else None

    def _follow(
        self,
        request: RenderRequest,
        reference: str,
        control: RenderControl,
        *,
        briefly_s: float | None = None,
    ) -> RenderResult | None:
        """Follow the render; None where it goes on after so many seconds."""
        connection, prompt_run = self._take_run(request, reference)
        outcome, goes_on = UNKNOWN, False
        try:
            rendered = PromptFollower(connection, prompt_run, request, control).run(briefly_s)
            goes_on = rendered is None
        except ComfyError as error:
            lost = failure(connection.name, error)
            _record_failure(connection, lost)
            raise lost from error
        except BackendError as error:
            outcome = error.code
            _record_failure(connection, error)
            raise
        except RenderCanceled:
            outcome = "" if control.detached else CANCELED
            raise
        else:
            if rendered is not None:
                outcome = SUCCEEDED
                connection.breaker.succeed()
            return rendered
        finally:
            if goes_on:
                connection.leave(prompt_run)
            else:
                self._end(connection, prompt_run, request, outcome)

    def _end(
        self, connection: NodeConnection, prompt_run: PromptRun, request: RenderRequest, outcome: str
    ) -> None:
        """Forget a prompt. An empty outcome: it was left running for another attempt."""
        if outcome:
            self._partner.ended(prompt_run.paid_call, outcome)
        connection.release(prompt_run)
        if request.leaves_nothing and outcome:
            temporary.erase(connection, request, submit.SUBFOLDER)
        elif request.leaves_nothing:
            connection.leftovers.pop(prompt_run.reference, None)
        if self._retired:
            self._close_idle()

    def close(self) -> None:
        with self._lock:
            monitors = [*self._monitors.values(), *self._retired]
            self._monitors, self._retired, self._connections = {}, [], ()
        for monitor in monitors:
            monitor.stop()
        for monitor in monitors:
            monitor.join()
        self._loop.close()

    def _connection_of(self, request: RenderRequest) -> NodeConnection:
        """The node that already got the render, else the requested node."""
        known = self._sent.get(request.reference)
        if known is not None and known.name == request.node and not known.retired:
            return known
        try:
            return self._connection(request.node)
        except NotFound as error:
            raise BackendError(FailureCode.NODE_LOST, str(error)) from error

    def _connection(self, name: str) -> NodeConnection:
        for connection in self._connections:
            if connection.name == name:
                return connection
        present = ", ".join(connection.name for connection in self._connections) or "none"
        raise NotFound(f"{name} is not a configured ComfyUI node; configured: {present}")

    def _take_run(self, request: RenderRequest, reference: str) -> tuple[NodeConnection, PromptRun]:
        """The node and the prompt's run, shared with all other followers of the prompt."""
        connection = self._connection_of(request)
        with connection.lock:
            prompt_run = connection.prompt_runs.get(reference)
            if prompt_run is not None:
                prompt_run.followers += 1
                return connection, prompt_run
        prompt_run = _send(connection, request, known=True)
        with connection.lock:
            prompt_run.followers += 1
        return connection, prompt_run


def _send(connection: NodeConnection, request: RenderRequest, *, known: bool) -> PromptRun:
    try:
        return submit.send(connection, request, known=known)
    except BackendError as error:
        _record_failure(connection, error)
        raise


def _record_failure(connection: NodeConnection, error: BackendError) -> None:
    if error.counts and not isinstance(error, Interrupted) and error.failure in NODE_FAILURES:
        connection.breaker.fail(str(error))


def _missing_sentence(requirement: Requirement, lacking: list[str], all_: list[str]) -> str:
    present = [name for name in all_ if name not in lacking]
    where = f"{requirement} is missing on {_join_names(lacking)}"
    return f"{where}, present on {_join_names(present)}" if present else where


def _remedy(requirement: Requirement, inventories: Iterable[NodeInventory | None]) -> str:
    known = (inventory for inventory in inventories if inventory is not None)
    return next((f": {remedy}" for each in known if (remedy := each.remedy(requirement))), "")


def _join_names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
