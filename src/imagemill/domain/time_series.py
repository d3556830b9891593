"""Time series of an installation's own counters: buckets of a minute or an hour, and the figures of them.

A bucket counts what happened in a span of time. Buckets can be added up, so minutes become hours and the
steps of a chart. Durations are kept as histograms whose buckets grow by a quarter of an octave, so a
percentile is exact to about 9 %.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass

MINUTE_S, HOUR_S = 60, 3600
ALL_OWNERS = "*"
"""The owner of the buckets that count the jobs of all owners."""
OTHER = "(other)"
"""The key of what is beyond `MOST_KEYS`."""
MOST_KEYS = 20
"""Most models, recipes or errors of an owner that a minute counts one by one."""
MOST_NODES = 100
MOST_OWNERS = 200
"""Most owners that a minute counts one by one; the others are in the total only."""
DIMENSIONS = ("recipe", "model", "node", "error")
TOTAL = ""
"""The dimension of the buckets that count everything of their owner."""

_PER_OCTAVE = 4

SUBMITTED, FINISHED, FAILED, CANCELED, EXPIRED = "submitted", "finished", "failed", "canceled", "expired"
MODEL_LOADS, WEBHOOKS_SENT, WEBHOOKS_FAILED = "model_loads", "webhooks_sent", "webhooks_failed"
WAITING, RUNNING, STAGE = "waiting", "running", "stage:"
QUEUE_AGE, QUEUED, RUNNING_JOBS, BUSY_S = "queue_age", "queued", "running_jobs", "busy_s"

Histogram = dict[int, int]


def _slot(ms: float) -> int:
    return round(_PER_OCTAVE * math.log2(max(1.0, ms)))


def percentile(histogram: Mapping[int, int], share: float) -> float | None:
    """Return the seconds below which this share of the durations lies; None without one."""
    total = sum(histogram.values())
    if not total:
        return None
    rank, seen = max(1, math.ceil(share * total)), 0
    for slot in sorted(histogram):
        seen += histogram[slot]
        if seen >= rank:
            return 2 ** (slot / _PER_OCTAVE) / 1000
    return None


@dataclass(slots=True)
class Bucket:
    """The counters and durations of a span of time."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    durations: dict[str, Histogram] = field(default_factory=dict[str, Histogram])
    """Name -> durations; stages have the prefix `STAGE`."""
    gauges: dict[str, float] = field(default_factory=dict[str, float])
    """Figures at the end of the minute. Of several minutes: `QUEUE_AGE` is the largest, others are means."""
    sampled: int = 0
    """The minutes that have gauges."""
    busy_s: float = 0.0
    """Seconds in which the node, or each node, had a job, added up."""

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def observe(self, name: str, ms: float) -> None:
        histogram, slot = self.durations.setdefault(name, {}), _slot(ms)
        histogram[slot] = histogram.get(slot, 0) + 1

    def sample(self, gauges: Mapping[str, float]) -> None:
        self.gauges, self.sampled = dict(gauges), 1

    def add(self, other: "Bucket") -> None:
        """Add a bucket of the same minutes: another key of the same owner."""
        for name, count in other.counts.items():
            self.count(name, count)
        for name, histogram in other.durations.items():
            own = self.durations.setdefault(name, {})
            for slot, count in histogram.items():
                own[slot] = own.get(slot, 0) + count
        self.busy_s += other.busy_s

    def append(self, later: "Bucket") -> None:
        """Add a bucket of other minutes."""
        self.add(later)
        sampled = self.sampled + later.sampled
        for name, value in later.gauges.items():
            had = self.gauges.get(name)
            if had is None or name == QUEUE_AGE:
                self.gauges[name] = max(had or 0.0, value)
            else:
                self.gauges[name] = (had * self.sampled + value * later.sampled) / max(1, sampled)
        self.sampled = sampled

    def to_data(self) -> dict[str, Any]:
        """Return the bucket as JSON; what is empty is left out."""
        data = {
            "counts": self.counts,
            "durations": {
                name: {str(k): n for k, n in sorted(h.items())} for name, h in self.durations.items()
            },
            "gauges": self.gauges,
            "sampled": self.sampled,
            "busyS": round(self.busy_s, 3),
        }
        return {name: value for name, value in data.items() if value}

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> "Bucket":
        return Bucket(
            dict(data.get("counts", {})),
            {name: {int(k): n for k, n in h.items()} for name, h in data.get("durations", {}).items()},
            dict(data.get("gauges", {})),
            data.get("sampled", 0),
            data.get("busyS", 0.0),
        )


# The figures of a bucket


@dataclass(frozen=True, slots=True)
class SeriesKind:
    unit: str
    """``jobs``, ``seconds``, ``loads``, ``deliveries`` or ``share`` (0 to 1)."""
    text: str


KINDS: Mapping[str, SeriesKind] = {
    SUBMITTED: SeriesKind("jobs", "jobs submitted"),
    FINISHED: SeriesKind("jobs", "jobs that succeeded"),
    FAILED: SeriesKind("jobs", "jobs that failed"),
    CANCELED: SeriesKind("jobs", "jobs that were canceled"),
    EXPIRED: SeriesKind("jobs", "jobs that expired before they started"),
    "failure_rate": SeriesKind("share", "failed jobs divided by failed and succeeded ones"),
    "waiting_p50": SeriesKind("seconds", "median time from submission to start, of jobs that ended"),
    "waiting_p95": SeriesKind("seconds", "95th percentile of the time from submission to start"),
    "running_p95": SeriesKind("seconds", "95th percentile of the time from start to end"),
    "stage_p95": SeriesKind("seconds", "95th percentile of the time of each stage of succeeded jobs"),
    QUEUE_AGE: SeriesKind("seconds", "age of the oldest job that could start; for all owners only"),
    QUEUED: SeriesKind("jobs", "jobs that could start; for all owners only"),
    RUNNING_JOBS: SeriesKind("jobs", "jobs that run; for all owners only"),
    "node_busy": SeriesKind("share", "share of the time in which each node had a job; for all owners only"),
    MODEL_LOADS: SeriesKind("loads", "checkpoints that were loaded for a job"),
    WEBHOOKS_SENT: SeriesKind("deliveries", "webhook messages that were delivered"),
    WEBHOOKS_FAILED: SeriesKind("deliveries", "attempts to deliver a webhook message that failed"),
}
"""The series there are, with their unit and meaning."""
OF_ALL_OWNERS = frozenset({QUEUE_AGE, QUEUED, RUNNING_JOBS, "node_busy"})
"""The series about the installation as a whole."""
_PERCENTILES = {
    "waiting_p50": (WAITING, 0.5),
    "waiting_p95": (WAITING, 0.95),
    "running_p95": (RUNNING, 0.95),
}


def figure(series: str, bucket: Bucket | None, span_s: float) -> float | None:
    """Return the value of a series in a bucket of ``span_s`` seconds; None where nothing was measured."""
    if series in _PERCENTILES:
        name, share = _PERCENTILES[series]
        return None if bucket is None else _rounded(percentile(bucket.durations.get(name, {}), share))
    if series in (QUEUE_AGE, QUEUED, RUNNING_JOBS):
        return None if bucket is None else _rounded(bucket.gauges.get(series))
    if series == "failure_rate":
        failed = bucket.counts.get(FAILED, 0) if bucket else 0
        ended = failed + (bucket.counts.get(FINISHED, 0) if bucket else 0)
        return _rounded(failed / ended) if ended else None
    if series == "node_busy":
        return _rounded(min(1.0, bucket.busy_s / span_s)) if bucket and span_s > 0 else 0.0
    return float(bucket.counts.get(series, 0)) if bucket else 0.0


def stages(buckets: Iterable[Bucket]) -> list[str]:
    """Return the stages that the buckets have measured, in the order of an attempt."""
    names = {
        name.removeprefix(STAGE) for each in buckets for name in each.durations if name.startswith(STAGE)
    }
    return sorted(names, key=lambda name: (_STAGE_ORDER.get(name, len(_STAGE_ORDER)), name))


def stage_p95(stage: str, bucket: Bucket | None) -> float | None:
    return None if bucket is None else _rounded(percentile(bucket.durations.get(f"{STAGE}{stage}", {}), 0.95))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


STAGES = {
    "PROMPT_PREPARED": "prepare",
    "SENT_TO_COMFY": "send",
    "SENT_TO_BACKEND": "send",
    "COMFY_RESULT": "render",
    "BACKEND_RESULT": "render",
    "STORED": "store",
}
"""Stage of an attempt -> what was done to get there, as series and charts name it."""
_STAGE_ORDER = {name: number for number, name in enumerate(("prepare", "send", "render", "store"))}


# Minutes


def floor_to(instant: int, span_s: int) -> int:
    """Return the beginning of the span that the instant lies in; both in microseconds since the epoch."""
    return instant - instant % (span_s * SECOND)


Place = tuple[str, str, str]
"""Owner, dimension and key of a bucket."""


def bounded(buckets: Mapping[Place, Bucket]) -> dict[Place, Bucket]:
    """Return the buckets of a minute with at most `MOST_OWNERS` owners and `MOST_KEYS` keys a dimension.

    Keys beyond that are added up as `OTHER`.
    """
    totals = [(place[0], bucket) for place, bucket in buckets.items() if place[1] == TOTAL]
    owners = [owner for owner, _ in sorted(totals, key=lambda pair: -_weight(pair[1]))]
    kept = {ALL_OWNERS, *[owner for owner in owners if owner != ALL_OWNERS][:MOST_OWNERS]}
    found: dict[Place, Bucket] = {}
    groups: dict[tuple[str, str], list[tuple[str, Bucket]]] = {}
    for (owner, dimension, key), bucket in buckets.items():
        if owner in kept:
            groups.setdefault((owner, dimension), []).append((key, bucket))
    for (owner, dimension), members in groups.items():
        ranked = sorted(members, key=lambda pair: (-_weight(pair[1]), pair[0]))
        for rank, (key, bucket) in enumerate(ranked):
            place = (owner, dimension, key if rank < _most_keys(dimension) else OTHER)
            if place in found:
                found[place].add(bucket)
            else:
                found[place] = bucket
    return found


def _most_keys(dimension: str) -> int:
    return MOST_NODES if dimension == "node" else MOST_KEYS


def _weight(bucket: Bucket) -> float:
    return sum(bucket.counts.values()) + bucket.busy_s / MINUTE_S


# Steps


def steps_of(
    buckets: Sequence[tuple[int, Bucket]], start: int, step_s: int, count: int
) -> list[Bucket | None]:
    """Return the buckets added up to ``count`` steps from ``start`` on; None for a step without one."""
    found: list[Bucket | None] = [None] * count
    for at, bucket in buckets:
        number = (at - start) // (step_s * SECOND)
        if 0 <= number < count:
            had = found[number]
            if had is None:
                found[number] = had = Bucket()
            had.append(bucket)
    return found
