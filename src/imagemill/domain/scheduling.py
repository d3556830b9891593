"""What a slot offers, what a lane wants, and the fair order between jobs.

Order: start-time fair queueing. At submit a job gets ``tag = max(queue's virtual time, owner's last finish)
+ offset(priority)``, and the owner's last finish moves on by the job's estimated seconds over the owner's
weight. The smallest tag is next, so owners share by cost, urgent jobs overtake by a bounded stretch, and a
job that waits is overtaken ever more rarely.

Place, which job of the fair order goes to which node, is `imagemill.domain.placement`.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass

from imagemill.domain.clock import SECOND
from imagemill.domain.jobs import LaneKey

PRIORITY_STEP_S = 6.0
"""Virtual seconds a job is moved back for each step of priority; a smaller number is more urgent."""
PRIORITY_BOUND = 100
NAMED_PRIORITIES = {"high": -10, "normal": 0, "low": 10}

SHARED_RUN_S = 60.0
"""A job that runs longer than this no longer holds the virtual time back: an owner who comes then would be
given what others have used meanwhile."""


REMOTE = "remote"
"""The queue of jobs that only remote nodes can do; see `imagemill.backends.base.Node.remote`."""


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
    loaded_models: frozenset[str] = frozenset()
    """Checkpoints loaded now, AIRs in lower case."""
    available: Container[str] | None = None
    """Checkpoints the node could load, and needs of jobs it meets; None: all."""
    capacity: int | None = None
    """Jobs the node may have in flight, over all workers; None: unbounded."""
    load_s: float | None = None
    """Seconds the node takes to load a checkpoint; 0: it has none to load; None: unknown."""
    local_first_s: float = 0.0
    """How long it leaves jobs to its ``rivals``."""
    local_offers: "tuple[Offer, ...]" = ()
    """Of a remote node: what the local nodes that are well could take, in whichever process."""
    remote_nodes: frozenset[str] = frozenset()
    """Names of the remote nodes: nothing is loaded there, and no local job is left to them."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A claimable job as far as the choice needs it."""

    tag: float
    since: int
    """When it was submitted, microseconds."""
    estimate_s: float
    priority: int = 0


@dataclass(frozen=True, slots=True)
class LaneHead:
    """The first claimable job of a lane."""

    lane: int
    key: LaneKey
    job: QueuedJob
    held: bool = False
    """Whether it was left to the node that may still have its render, for a while."""

    @property
    def order(self) -> tuple[float, int, int]:
        return self.job.tag, self.job.since, self.lane


def mismatch_reason(offer: Offer, key: LaneKey) -> str | None:
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
    absent = [
        need for need in key.requirements if offer.available is not None and need not in offer.available
    ]
    if absent:
        return f"does not have {', '.join(absent)}"
    return None


def open_to_remote_since(offer: Offer, key: LaneKey, now: int) -> int | None:
    """The instant by which a job of this lane must have come in for the slot to take it; None: any.

    A slot with patience leaves what a local node could do to the local nodes for so long.
    """
    if offer.local_first_s <= 0 or all(
        mismatch_reason(rival, key) is not None for rival in offer.local_offers
    ):
        return None
    return now - round(offer.local_first_s * SECOND)


def virtual_time(running: Iterable[tuple[float, float]]) -> float | None:
    """Where fair order stands: the smallest start among the jobs that run, given as (start, seconds run).

    A node that stays with its model may be far ahead of the others: the smallest is what owners who come now
    have to be measured by. None when nothing tells.
    """
    return min([start for start, run_s in running if run_s <= SHARED_RUN_S], default=None)
