"""Metrics that are read at each scrape (queues from the database, state of the nodes), and the metrics
server."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError, StorageError

log = logging.getLogger(__name__)

FRESH_S = 2.0
"""Seconds for which scrapes share one query of the database."""


@dataclass(frozen=True, slots=True)
class QueueSample:
    """Jobs of a queue by state. ``oldest_s``: seconds since the submission of the oldest claimable job, 0 if
    none."""

    queue: str
    queued: int
    retrying: int
    running: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class NodeSample:
    name: str
    backend: str
    slots: int
    healthy: bool
    draining: bool


class QueueCollector(Collector):
    """Reads the queues. When the database is unavailable, a metric says so, and the scrape still succeeds."""

    def __init__(self, read: Callable[[], Sequence[QueueSample]], *, fresh_s: float = FRESH_S) -> None:
        self._read = read
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._samples: Sequence[QueueSample] | None = None
        self._until = 0.0

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registration does not query the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        states = self._fresh()
        up = GaugeMetricFamily("imagemill_database_up", "Whether the database responded to this scrape.")
        up.add_metric((), 0.0 if states is None else 1.0)
        yield up
        jobs = GaugeMetricFamily(
            "imagemill_queue_jobs", "Jobs by queue and state.", labels=("queue", "state")
        )
        oldest = GaugeMetricFamily(
            "imagemill_queue_oldest_seconds", "Age of the oldest claimable job.", labels=("queue",)
        )
        for state in states or ():
            jobs.add_metric((state.queue, "queued"), state.queued)
            jobs.add_metric((state.queue, "retrying"), state.retrying)
            jobs.add_metric((state.queue, "running"), state.running)
            oldest.add_metric((state.queue,), state.oldest_s)
        yield jobs
        yield oldest

    def _fresh(self) -> Sequence[QueueSample] | None:
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._samples = self._read()
                except StorageError as error:
                    log.warning("cannot read the queues for metrics: %s", error)
                    self._samples = None
                self._until = time.monotonic() + self._fresh_s
            return self._samples


class NodeCollector(Collector):
    """Reads the nodes. ``occupancy`` is `imagemill.observability.metrics.NodeUtilization.snapshot`."""

    def __init__(
        self,
        read: Callable[[], Iterable[NodeSample]],
        occupancy: Callable[[], Mapping[str, tuple[int, float]]],
    ) -> None:
        self._read = read
        self._occupancy = occupancy

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        labels = ("node", "backend")
        healthy = GaugeMetricFamily("imagemill_node_healthy", "1 if the node is healthy.", labels=labels)
        draining = GaugeMetricFamily("imagemill_node_draining", "1 if it takes no new jobs.", labels=labels)
        slots = GaugeMetricFamily("imagemill_node_slots", "Maximum number of jobs in flight.", labels=labels)
        for state in self._read():
            values = (state.name, state.backend)
            healthy.add_metric(values, float(state.healthy))
            draining.add_metric(values, float(state.draining))
            slots.add_metric(values, state.slots)
        yield from (healthy, draining, slots)
        jobs = GaugeMetricFamily(
            "imagemill_node_in_flight", "Jobs this process has on the node.", labels=("node",)
        )
        busy = CounterMetricFamily(
            "imagemill_node_busy_seconds",
            "Time in which this process had a job on the node.",
            labels=("node",),
        )
        for name, (count, seconds) in self._occupancy().items():
            jobs.add_metric((name,), count)
            busy.add_metric((name,), seconds)
        yield from (jobs, busy)


class MetricsPortTaken(ImagemillError):
    code = "metrics_port_taken"


class MetricsServer:
    """Serves the metrics from its creation until `close`. Raises `MetricsPortTaken`."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise MetricsPortTaken(
                f"IMAGEMILL_METRICS__PORT: {host} port {port} cannot be listened on: "
                f"{error.strerror or error}; each process needs a port of its own, 0 takes any free one"
            ) from error

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
