"""The meters of a process, connected to what they look at."""

import logging

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

from imagemill.dispatch.offers import Offers
from imagemill.domain.clock import now_us
from imagemill.groups import MetricsSettings
from imagemill.metrics.looking import Nodes, NodeState, Queues, QueueState
from imagemill.metrics.meters import Meters
from imagemill.metrics.serving import Endpoint, MetricsPortTaken
from imagemill.store.commits import Committed
from imagemill.store.store import Store

log = logging.getLogger(__name__)


class Metering:
    """``own_suffix``: what names of this process's own nodes end in, which no other start shares."""

    def __init__(self, settings: MetricsSettings, own_suffix: str) -> None:
        self._settings = settings
        self._suffix = own_suffix
        self._endpoint: Endpoint | None = None
        self.meters = Meters(shown=self.shown)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.meters.registry)

    @property
    def port(self) -> int | None:
        """Of its own endpoint, while there is one."""
        return self._endpoint.port if self._endpoint is not None else None

    def look_at(self, offers: Offers, store: Store | None) -> None:
        """``store``: None in processes that leave the queues to others, so that a fleet does not ask for
        the same as many times as it has workers."""
        self._look_at_nodes(offers)
        if store is not None:
            self._look_at_queues(store)

    def _look_at_queues(self, store: Store) -> None:
        def look() -> list[QueueState]:
            return [
                QueueState(queue, depth.queued, depth.retrying, depth.running, depth.oldest_s)
                for queue, depth in store.measure(now_us()).items()
            ]

        self.meters.registry.register(Queues(look))

    def _look_at_nodes(self, offers: Offers) -> None:
        def look() -> list[NodeState]:
            return [
                NodeState(self.shown(node.name), node.backend, node.slots, node.healthy, node.draining)
                for _, node in offers.nodes()
            ]

        self.meters.registry.register(Nodes(look, self.meters.occupancy.look))

    def note(self, committed: Committed) -> None:
        """What a transaction made true."""
        meters = self.meters
        meters.committed(committed.writes)
        for node in committed.loads:
            meters.loaded(node)
        for move in committed.moves:
            if move.to.is_terminal:
                meters.ended(move.recipe, move.to.value)
            if move.failure is not None:
                meters.failed(move.failure.value, retried=not move.to.is_terminal)

    def start(self, *, needed: bool) -> None:
        """Answer on a port of our own, if one is set. Raises `MetricsPortTaken` where it is ``needed``:
        an API answers on its own port too, and of the processes of a Celery pool only one can have it."""
        if self._settings.port is None:
            return
        try:
            self._endpoint = Endpoint(self._settings.host, self._settings.port, self.meters.registry)
        except MetricsPortTaken as error:
            if needed:
                raise
            log.warning("metrics have no port of their own here: %s", error)
        else:
            log.info("metrics on %s port %d", self._settings.host, self._endpoint.port)

    def close(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None

    def shown(self, node: str) -> str:
        return node.removesuffix(f".{self._suffix}")
