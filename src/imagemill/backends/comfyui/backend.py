"""ComfyUI servers as a `imagemill.backends.base.Backend`."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imagemill.backends.base import BackendContext, Node, RenderControl, RenderRequest, RenderResult
from imagemill.backends.comfyui import doctor, submit
from imagemill.backends.comfyui.errors import NODE_FAILURES, ComfyError, failure
from imagemill.backends.comfyui.follow import Interrupted, PromptFollower
from imagemill.backends.comfyui.health import NodeHealthMonitor
from imagemill.backends.comfyui.node import NodeConnection, PathOf
from imagemill.backends.comfyui.prompt import PromptRun
from imagemill.backends.comfyui.settings import ComfySettings, configured
from imagemill.domain.errors import BackendError, NotFound
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec, RenderSpec
from imagemill.domain.nodes import Finding, NodeConfig, NodeReport
from imagemill.graphs import builder
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import InvalidGraph
from imagemill.graphs.graph import normalise
from imagemill.graphs.requirements import Requirement, requirements_of
from imagemill.net.breaker import Clock

if TYPE_CHECKING:
    from imagemill.config import Settings

REMEMBERED = 4096
"""References that were sent by this process: sent again, they are looked for on the node first."""
MOST_NEEDS = 5
"""Missing things named in one refusal."""


class ComfyUI:
    """Thread-safe. Starts with the nodes of the settings; `configure` changes them at any time.

    ``path_of`` gives the file a checkpoint should have, by its AIR in lower case.
    """

    def __init__(
        self,
        settings: ComfySettings,
        path_of: PathOf = lambda _: None,
        *,
        clock: Clock = time.monotonic,
        name: str = "comfyui",
    ) -> None:
        self._settings = settings
        self._path_of = path_of
        self._clock = clock
        self._name = name
        self._lock = threading.Lock()
        self._checkups: dict[str, NodeHealthMonitor] = {}
        self._retired: list[NodeHealthMonitor] = []
        self._connections: tuple[NodeConnection, ...] = ()
        self._sent: OrderedDict[str, NodeConnection] = OrderedDict()
        self.configure(tuple(configured(settings)))

    @property
    def name(self) -> str:
        return self._name

    def configure(self, nodes: Sequence[NodeConfig]) -> None:
        """From now on exactly these. Prompts on a node that is no longer named are let finish."""
        with self._lock:
            before, self._checkups = self._checkups, {}
            for config in nodes:
                checkup = before.get(config.name)
                if checkup is not None and checkup.connection.reconfigure(config):
                    self._checkups[config.name] = before.pop(config.name)
                else:
                    self._checkups[config.name] = self._new(config)
            self._connections = tuple(checkup.connection for checkup in self._checkups.values())
            self._retired += before.values()
            fresh = [checkup for checkup in self._checkups.values() if not checkup.started]
        for checkup in fresh:
            checkup.start()
        self._drop()

    def _new(self, config: NodeConfig) -> NodeHealthMonitor:
        return NodeHealthMonitor(
            NodeConnection(config, self._settings, self._path_of, self._clock), lambda: self._connections
        )

    def _drop(self) -> None:
        """Close what was removed and has nothing in flight any more."""
        with self._lock:
            idle = [checkup for checkup in self._retired if not checkup.connection.flights]
            self._retired = [checkup for checkup in self._retired if checkup not in idle]
        for checkup in idle:
            checkup.connection.retired = True
            checkup.stop()

    @property
    def survives_worker(self) -> bool:
        return True

    def nodes(self) -> Sequence[Node]:
        return [connection.view(self._name) for connection in self._connections]

    def reports(self) -> list[NodeReport]:
        return [connection.report() for connection in self._connections]

    def examine(self, name: str) -> list[Finding]:
        """Look at a node closely; takes seconds. Raises `NotFound`."""
        return list(doctor.examine(self._connection(name)))

    def catalogues(self) -> list[Catalogue]:
        """What the nodes that have told it list."""
        return [
            connection.inventory.catalogue
            for connection in self._connections
            if connection.inventory is not None
        ]

    def unsupported_reason(self, work: RenderSpec) -> str | None:
        connections = self._connections
        if not connections:
            return "no ComfyUI node is configured: add one with `imagemill nodes add`"
        impossible = builder.unsupported_reason(work) if isinstance(work, ImageSpec) else None
        if impossible is not None:
            return impossible
        try:
            needs = _needs(work)
        except InvalidGraph as error:
            return str(error)
        stocks = {connection.name: connection.inventory for connection in connections}
        lacking: dict[Requirement, list[str]] = {}
        for name, inventory in stocks.items():
            missing = [need for need in needs if inventory is not None and not inventory.meets(need)]
            if not missing:
                return None
            for need in missing:
                lacking.setdefault(need, []).append(name)
        sentences = [_missing(need, names, list(stocks)) for need, names in lacking.items()]
        more = f"; and {len(sentences) - MOST_NEEDS} more" if len(sentences) > MOST_NEEDS else ""
        return "; ".join(sentences[:MOST_NEEDS]) + more

    def requirements(self, work: RenderSpec) -> tuple[str, ...]:
        stocks = [
            connection.inventory for connection in self._connections if connection.inventory is not None
        ]
        try:
            needs = [need for need in _needs(work) if need.kind != "checkpoint"]
        except InvalidGraph:
            return ()  # the refusal says so
        return tuple(sorted({str(n) for n in needs if not all(inventory.meets(n) for inventory in stocks)}))

    def validate_hints(self, properties: Mapping[str, Any]) -> str | None:
        """None: it takes no hints."""
        del properties
        return None

    def send(self, request: RenderRequest) -> str:
        connection = self._connection_of(request)
        known = request.attempt > 1 or request.reference in self._sent
        _sent(connection, request, known=known)
        with self._lock:
            self._sent[request.reference] = connection
            if len(self._sent) > REMEMBERED:
                self._sent.popitem(last=False)
        return request.reference

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        connection, prompt_run = self._take_run(request, reference)
        try:
            rendered = PromptFollower(connection, prompt_run, request, control).run()
        except ComfyError as error:
            lost = failure(connection.name, error)
            _blame(connection, lost)
            raise lost from error
        except BackendError as error:
            _blame(connection, error)
            raise
        else:
            connection.breaker.succeed()
            return rendered
        finally:
            connection.release(prompt_run)
            if self._retired:
                self._drop()

    def close(self) -> None:
        with self._lock:
            checkups = [*self._checkups.values(), *self._retired]
            self._checkups, self._retired, self._connections = {}, [], ()
        for checkup in checkups:
            checkup.stop()
        for checkup in checkups:
            checkup.join()

    def _connection_of(self, request: RenderRequest) -> NodeConnection:
        """Where the order was sent already, else its node."""
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
        raise NotFound(f"{name} is no configured ComfyUI node; there are: {present}")

    def _take_run(self, request: RenderRequest, reference: str) -> tuple[NodeConnection, PromptRun]:
        """Together with everybody else who follows it."""
        connection = self._connection_of(request)
        with connection.lock:
            prompt_run = connection.flights.get(reference)
            if prompt_run is not None:
                prompt_run.followers += 1
                return connection, prompt_run
        prompt_run = _sent(connection, request, known=True)
        with connection.lock:
            prompt_run.followers += 1
        return connection, prompt_run


def _sent(connection: NodeConnection, request: RenderRequest, *, known: bool) -> PromptRun:
    try:
        return submit.send(connection, request, known=known)
    except BackendError as error:
        _blame(connection, error)
        raise


def _blame(connection: NodeConnection, error: BackendError) -> None:
    if error.failure in NODE_FAILURES and not isinstance(error, Interrupted):
        connection.breaker.fail(str(error))


def _needs(work: RenderSpec) -> tuple[Requirement, ...]:
    """Raises `InvalidGraph`."""
    return requirements_of(
        replace(work, graph=normalise(work.graph)) if isinstance(work, GraphSpec) else work
    )


def _missing(need: Requirement, lacking: list[str], all_: list[str]) -> str:
    present = [name for name in all_ if name not in lacking]
    where = f"{need} is missing on {_and(lacking)}"
    return f"{where}, present on {_and(present)}" if present else where


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def build(settings: "Settings", surroundings: BackendContext) -> ComfyUI:
    """Without nodes as yet: those of the settings and of the table are configured together."""
    return ComfyUI(settings.comfyui.model_copy(update={"urls": ()}), surroundings.path_of)
