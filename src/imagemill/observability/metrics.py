"""Counters and histograms that are updated as things happen. Every label has a bounded set of values.

Children are looked up once and kept, as a lookup by label costs as much as the count itself.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import Job

_FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Buckets for databases, files and HTTP: a millisecond when healthy, seconds when not."""
_RENDER_S = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
"""Buckets for stages: from writing a graph to rendering a video, up to the default timeout of a job."""
_WAIT_S = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
"""Buckets for waits: from an idle node to the default expiry of a job."""
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_Child = TypeVar("_Child", Counter, Histogram)


@dataclass(slots=True)
class _NodeUse:
    jobs: int = 0
    busy_s: float = 0.0
    since: float = 0.0
    """Monotonic time at which the node last became busy."""


class NodeUtilization:
    """Busy time by node: it grows while a node has at least one job, however many."""

    def __init__(self) -> None:
        self._nodes: dict[str, _NodeUse] = {}
        self._lock = threading.Lock()

    def enter(self, node: str) -> None:
        with self._lock:
            state = self._nodes.setdefault(node, _NodeUse())
            if state.jobs == 0:
                state.since = time.monotonic()
            state.jobs += 1

    def leave(self, node: str) -> None:
        with self._lock:
            state = self._nodes[node]
            state.jobs -= 1
            if state.jobs == 0:
                state.busy_s += time.monotonic() - state.since

    def snapshot(self) -> dict[str, tuple[int, float]]:
        """Return node -> (jobs now, busy seconds so far), for each node that ever had a job."""
        now = time.monotonic()
        with self._lock:
            return {
                name: (state.jobs, state.busy_s + (now - state.since if state.jobs else 0.0))
                for name, state in self._nodes.items()
            }


class _Family(Generic[_Child]):
    """A metric whose children are found by a tuple of label values."""

    def __init__(self, metric: _Child) -> None:
        self._metric = metric
        self._children: dict[tuple[str, ...], _Child] = {}

    def __call__(self, *values: str) -> _Child:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(*values)
        return child


class Metrics:
    """The metrics of one process, in a registry of their own. Thread-safe, and cheap on the hot path.

    ``label_of`` returns the label for a node's name, where the name itself would differ with every start.
    """

    def __init__(self, *, label_of: Callable[[str], str] = str) -> None:
        # Else each counter has a second series, imagemill_jobs_created, which looks like a count of jobs.
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.occupancy = NodeUtilization()
        self._label_of = label_of
        self._jobs = self._counter("jobs", "Jobs that ended.", "recipe", "end")
        self._failures = self._counter(
            "failures", "Attempts that failed; retried: whether the job is retried.", "type", "retried"
        )
        self._loads = self._counter("model_loads", "Claims that made a node load a model.", "node")
        self._waits = self._timer(
            "queue_wait", "Time from a job's submission to its first claim.", _WAIT_S, "queue"
        )
        self._claims = self._timer(
            "claim", "Time from the request for work to the committed claim of a job.", _FAST_S, "queue"
        )
        self._stages = self._timer(
            "stage",
            "Time from the end of the former stage to the end of this one.",
            _RENDER_S,
            "backend",
            "stage",
        )
        self._blobs = self._timer("blob", "Time of blob store operations.", _FAST_S, "operation", "result")
        self._http = self._timer(
            "http_request",
            "Time from a request to the first byte of its response.",
            _FAST_S,
            "method",
            "route",
            "status",
        )
        self._callbacks = self._counter("callbacks", "Attempts to deliver a callback.", "result")
        self._webhooks = self._counter("webhooks", "Attempts to deliver a webhook.", "result")
        self._calls = self._counter(
            "provider_calls", "Requests to paid providers that ended.", "provider", "outcome"
        )
        self._held_back = self._counter(
            "provider_held_back", "Requests not sent because of a rate limit or a cost ceiling.", "provider"
        )
        self._spent = self._counter(
            "provider_cost", "Expected cost of ended requests, in the provider's currency.", "provider"
        )
        self._called = self._timer(
            "provider_call", "Time from a request to a paid provider to its end.", _RENDER_S, "provider"
        )
        for result in ("delivered", "failed", "given_up"):
            self._webhooks(result)
            self._callbacks(result)  # rate() ignores the first count of a series that did not exist before
        registry = self.registry
        self._batch = Histogram(
            "imagemill_commit_writes",
            "Number of writes in a transaction that changed a job.",
            buckets=_BATCH,
            registry=registry,
        )

    def begin(self, job: Job) -> None:
        """Record the claim of an attempt."""
        claimed_at = job.started_at or 0
        self._claims(job.queue).observe(max(0, now_us() - claimed_at) / SECOND)
        if job.attempt == 1:
            self._waits(job.queue).observe(max(0, claimed_at - job.created_at) / SECOND)
        self.occupancy.enter(self._label_of(job.node or ""))

    def end(self, job: Job, stages: Sequence[Mapping[str, Any]]) -> None:
        """Record the end of an attempt; ``stages`` as in the job's last event."""
        backend = job.backend or ""
        for stage in stages:
            self._stages(backend, stage["stage"]).observe(stage["ms"] / 1000)
        self.occupancy.leave(self._label_of(job.node or ""))

    def ended(self, recipe: str, end: str) -> None:
        self._jobs(recipe, end).inc()

    def failed(self, type: str, *, retried: bool) -> None:
        self._failures(type, "true" if retried else "false").inc()

    def loaded(self, node: str) -> None:
        self._loads(self._label_of(node)).inc()

    def committed(self, writes: int) -> None:
        self._batch.observe(writes)

    def blob(self, operation: str, result: str, seconds: float) -> None:
        self._blobs(operation, result).observe(seconds)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        known = method if method in _METHODS else "other"
        self._http(known, route, str(status)).observe(seconds)

    def callback_sent(self, result: str) -> None:
        self._callbacks(result).inc()

    def webhook_sent(self, result: str) -> None:
        """Count an attempt to deliver a webhook message."""
        self._webhooks(result).inc()

    def called(self, provider: str, outcome: str, seconds: float, cost: float) -> None:
        """Record the end of a request to a paid provider; ``outcome`` as in the table ``provider_calls``."""
        self._calls(provider, outcome).inc()
        self._called(provider).observe(max(0.0, seconds))
        self._spent(provider).inc(cost)

    def held_back(self, provider: str) -> None:
        self._held_back(provider).inc()

    def _counter(self, name: str, help: str, *labels: str) -> _Family[Counter]:
        return _Family(Counter(f"imagemill_{name}", help, labels, registry=self.registry))

    def _timer(self, name: str, help: str, buckets: tuple[float, ...], *labels: str) -> _Family[Histogram]:
        metric = Histogram(f"imagemill_{name}_seconds", help, labels, buckets=buckets, registry=self.registry)
        return _Family(metric)
