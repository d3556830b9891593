"""Which job a slot takes next: fair order by tag, then place by model.

Order: start-time fair queueing. At submit a job gets ``tag = max(queue's virtual time, owner's last finish)
+ offset(priority)``, and the owner's last finish moves on by the job's estimated seconds over the owner's
weight. The smallest tag is next, so owners share by cost, urgent jobs overtake by a bounded stretch, and a
job that waits is overtaken ever more rarely.

Place: a slot prefers a model it has resident, unless another lane's head is behind by more than a bound.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from imagemill.domain.clock import SECOND
from imagemill.domain.jobs import LaneKey

PRIORITY_STEP_S = 6.0
"""Virtual seconds a job is moved back for each step of priority; a smaller number is more urgent."""
PRIORITY_BOUND = 100
NAMED_PRIORITIES = {"high": -10, "normal": 0, "low": 10}


def priority_offset_s(priority: int) -> float:
    return max(-PRIORITY_BOUND, min(PRIORITY_BOUND, priority)) * PRIORITY_STEP_S


@dataclass(frozen=True, slots=True)
class Offer:
    """What an idle slot can do."""

    worker: str
    """Names the process; it is the holder of the lease."""
    node: str
    backend: str
    queues: frozenset[str]
    labels: frozenset[str] = frozenset()
    memory_mb: int | None = None
    """Memory the node has in all; None: unknown, take anything."""
    resident: frozenset[str] = frozenset()
    """Checkpoints loaded now, AIRs in lower case."""
    available: Container[str] | None = None
    """Checkpoints the node could load, and needs of jobs it meets; None: all."""
    capacity: int | None = None
    """Jobs the node may have in flight, over all workers; None: unbounded."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first claimable job of a lane."""

    lane: int
    key: LaneKey
    tag: float
    since: int
    """When it was submitted, microseconds."""


@dataclass(frozen=True, slots=True)
class Choice:
    lane: int
    reason: str


def mismatch(offer: Offer, key: LaneKey) -> str | None:
    """Why this slot cannot take jobs of this lane, or None when it can."""
    if key.queue not in offer.queues:
        return f"serves {', '.join(sorted(offer.queues))}, not queue {key.queue}"
    if key.backends and offer.backend not in key.backends:
        return f"is a {offer.backend} node; the job wants {' or '.join(key.backends)}"
    missing = [label for label in key.labels if label not in offer.labels]
    if missing:
        return f"lacks the label {', '.join(missing)}"
    if offer.memory_mb is not None and key.memory_mb > offer.memory_mb:
        return f"has {offer.memory_mb} MB; the job needs {key.memory_mb} MB"
    if key.model and offer.available is not None and key.model not in offer.available:
        return f"does not have {key.model}"
    absent = [need for need in key.needs if offer.available is not None and need not in offer.available]
    if absent:
        return f"does not have {', '.join(absent)}"
    return None


def choose(offer: Offer, heads: Iterable[Head], *, affinity_bound_s: float) -> Choice | None:
    """The lane this slot should take from, and why; None when no head fits it."""
    fitting = [head for head in heads if mismatch(offer, head.key) is None]
    if not fitting:
        return None
    first = min(fitting, key=_order)
    resident = [head for head in fitting if _is_resident(offer, head)]
    if not resident:
        if offer.resident and first.key.model:
            return Choice(first.lane, f"next in fair order; loads {first.key.model}")
        return Choice(first.lane, "next in fair order")
    stay = min(resident, key=_order)
    if stay.lane == first.lane:
        return Choice(first.lane, _resident_reason(first, "next in fair order"))
    behind_s = max(stay.tag - first.tag, (stay.since - first.since) / SECOND)
    if behind_s > affinity_bound_s:
        model = first.key.model or "no model"
        return Choice(
            first.lane,
            f"fairness: {behind_s:.0f} s before the resident model's next job "
            f"(bound {affinity_bound_s:.0f} s); loads {model}",
        )
    return Choice(
        stay.lane, _resident_reason(stay, f"resident, within {affinity_bound_s:.0f} s of fair order")
    )


def explain_wait(offers: Sequence[Offer], key: LaneKey) -> str:
    """Why a queued job of this lane is not running, as far as the present slots tell."""
    if not offers:
        return "no worker is connected"
    reasons = {offer.node: mismatch(offer, key) for offer in offers}
    if any(reason is None for reason in reasons.values()):
        return "waits for a free slot"
    return "no node can take it: " + "; ".join(f"{node} {reason}" for node, reason in sorted(reasons.items()))


def _order(head: Head) -> tuple[float, int, int]:
    return head.tag, head.since, head.lane


def _is_resident(offer: Offer, head: Head) -> bool:
    return not head.key.model or head.key.model in offer.resident


def _resident_reason(head: Head, order: str) -> str:
    return f"{order}; {head.key.model} is resident" if head.key.model else order
