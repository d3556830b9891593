"""The metrics and the tracer of a process, connected to their sources."""

import logging
from collections.abc import Mapping
from typing import Self

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

import imagemill
from imagemill.config import Settings
from imagemill.db.group_commit import CommitSummary
from imagemill.dispatch.base import Offers
from imagemill.domain.clock import now_us
from imagemill.domain.errors import ImagemillError
from imagemill.domain.failures import FailureCode
from imagemill.jobs.leadership import ProcessLock
from imagemill.jobs.store.store import JobStore
from imagemill.observability.collectors import (
    MetricsPortTaken,
    MetricsServer,
    NodeCollector,
    NodeSample,
    QueueCollector,
    QueueSample,
)
from imagemill.observability.metrics import Metrics
from imagemill.observability.settings import OtelSettings
from imagemill.observability.trace_history import EventReader
from imagemill.observability.tracing import Tracer
from imagemill.settings import MetricsSettings


class MissingOtel(ImagemillError):
    code = "missing_extra"


def open_tracer(settings: OtelSettings, resource: Mapping[str, str], store: EventReader) -> Tracer | None:
    """Return the tracer, not connected yet; None without an endpoint. ``resource`` names this process."""
    if settings.endpoint is None:
        return None
    try:
        from imagemill.observability.otlp import Otlp
    except ModuleNotFoundError as error:
        raise MissingOtel(
            f"{error.name} is not installed; IMAGEMILL_OTEL__ENDPOINT needs: pip install 'imagemill[otel]'"
        ) from error
    named = {"service.name": settings.service_name, **resource}
    out = Otlp(settings.endpoint, settings.given_headers, named, settings.timeout_s)
    return Tracer(out, settings.ratio, store)


log = logging.getLogger(__name__)


class Observer:
    """Metrics and traces. ``own_suffix``: the random end of the names of this process's own nodes."""

    @classmethod
    def of(cls, settings: Settings, process_lock: ProcessLock, store: JobStore) -> Self:
        named = {"service.version": imagemill.__version__, "service.instance.id": process_lock.worker}
        return cls(settings.metrics, process_lock.suffix, open_tracer(settings.otel, named, store))

    def __init__(self, settings: MetricsSettings, own_suffix: str, tracer: Tracer | None = None) -> None:
        self._settings = settings
        self._suffix = own_suffix
        self._endpoint: MetricsServer | None = None
        self.metrics = Metrics(label_of=self.shown)
        self.tracer = tracer
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.metrics.registry)

    @property
    def port(self) -> int | None:
        """The port of its own endpoint; None without one."""
        return self._endpoint.port if self._endpoint is not None else None

    def collect_from(self, offers: Offers, store: JobStore | None) -> None:
        """Collect samples of nodes, and of queues if ``store`` is given.

        It is None in most processes, so that not every worker of a fleet measures the same queues.
        """
        self._collect_nodes(offers)
        if store is not None:
            self._collect_queues(store)

    def _collect_queues(self, store: JobStore) -> None:
        def look() -> list[QueueSample]:
            return [
                QueueSample(queue, depth.queued, depth.retrying, depth.running, depth.oldest_s)
                for queue, depth in store.measure(now_us()).items()
            ]

        self.metrics.registry.register(QueueCollector(look))

    def _collect_nodes(self, offers: Offers) -> None:
        def look() -> list[NodeSample]:
            return [
                NodeSample(self.shown(node.name), node.backend, node.slots, node.healthy, node.draining)
                for _, node in offers.nodes()
                if node.runs == "pictures"
            ]

        self.metrics.registry.register(NodeCollector(look, self.metrics.occupancy.snapshot))

    def on_commit(self, committed: CommitSummary) -> None:
        """Record the changes of a transaction."""
        meters = self.metrics
        meters.committed(committed.writes)
        for node in committed.model_loads:
            meters.loaded(node)
        for move in committed.status_changes:
            if move.to.is_terminal:
                meters.ended(move.recipe, move.to.value)
            if move.failure is not None:
                meters.failed(move.failure.value, retried=not move.to.is_terminal)
        if self.tracer is not None:
            _trace(self.tracer, committed)

    def blob(self, operation: str, result: str, seconds: float) -> None:
        """Record an operation of the blob store that has ended."""
        self.metrics.blob(operation, result, seconds)
        if self.tracer is not None:
            self.tracer.blob(operation, result, seconds)

    def start(self, *, needed: bool) -> None:
        """Serve metrics on their own port, if one is set. Raises `MetricsPortTaken` if that is ``needed``.

        It is not needed for an API, which serves them on its port too, nor in a Celery pool, where only one
        process can have the port.
        """
        if self._settings.port is None:
            return
        try:
            self._endpoint = MetricsServer(self._settings.host, self._settings.port, self.metrics.registry)
        except MetricsPortTaken as error:
            if needed:
                raise
            log.warning("metrics are not served on their own port: %s", error)
        else:
            log.info("metrics on %s port %d", self._settings.host, self._endpoint.port)

    def close(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None
        if self.tracer is not None:
            self.tracer.close()

    def shown(self, node: str) -> str:
        return node.removesuffix(f".{self._suffix}")


def _trace(tracer: Tracer, committed: CommitSummary) -> None:
    """Trace the ends and retries of jobs. A job that ended here is in ``committed``; others are read."""
    views = committed.views
    ended = [move.job for move in committed.status_changes if move.to.is_terminal and move.job not in views]
    lost = [move.job for move in committed.status_changes if move.failure is FailureCode.WORKER_LOST]
    tracer.changed([view.job for view in views.values()], ended, lost)
