"""Offers of slots, requirements of lanes, and the fair order between jobs.

The fair order is start-time fair queueing. At submission a job gets ``tag = max(queue's virtual time, owner's
last finish) + offset(priority)``, and the owner's last finish advances by the job's estimated seconds divided
by the owner's weight. The job with the smallest tag is next. So owners share by cost, an urgent job overtakes
by a bounded amount, and a waiting job is overtaken ever more rarely.

`imagemill.domain.placement` decides which job of the fair order goes to which node.
"""

from collections.abc import Container, Iterable

from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import LaneKey

PRIORITY_STEP_S = 6.0
"""Virtual seconds by which each step of priority moves a job back; a smaller priority is more urgent."""
PRIORITY_BOUND = 100
NAMED_PRIORITIES = {"high": -10, "normal": 0, "low": 10}

SHARED_RUN_S = 60.0
"""A job that runs longer than this no longer holds the virtual time back; otherwise a new owner would get the
time that others have used since the job started."""

RENDER = "render"
"""The queue of jobs for the CPU of a worker; see `imagemill.domain.images.PageSpec`."""

REMOTE = "remote"
"""The queue of jobs that only remote nodes can do; see `imagemill.backends.base.Node.remote`."""

TASKS = "tasks"
"""The queue of jobs that workers do themselves, without a node; see `imagemill.domain.images.TaskSpec`. Every
worker serves it."""


def priority_offset_s(priority: int) -> float:
    """Return the virtual seconds that a priority adds to a job's tag."""
    return max(-PRIORITY_BOUND, min(PRIORITY_BOUND, priority)) * PRIORITY_STEP_S


@dataclass(frozen=True, slots=True)
class Offer:
    """The jobs that an idle slot can take."""

    worker: str
    """Id of the process, which will hold the lease."""
    node: str
    backend: str
    queues: frozenset[str]
    labels: frozenset[str] = frozenset()
    memory_mb: int | None = None
    """Megabytes of memory the node has in all; None means unknown, and then any job is taken."""
    loaded_models: frozenset[str] = frozenset()
    """AIRs of the checkpoints that are loaded now, in lower case."""
    available: Container[str] | None = None
    """Checkpoints the node can load and job requirements it meets; None means all."""
    capacity: int | None = None
    """Maximum number of jobs in flight on the node, over all workers; None means unlimited."""
    load_s: float | None = None
    """Seconds the node takes to load a checkpoint; 0 when it loads none, None when unknown."""
    local_first_s: float = 0.0
    """Seconds for which the slot leaves jobs to the ``local_offers``."""
    local_offers: "tuple[Offer, ...]" = ()
    """For a remote node: the offers of all healthy local nodes, in whichever process. For a node with a
    backlog: those of the nodes without."""
    backlog: int = 0
    """Prompts of other clients on the node, if another node has none."""
    remote_nodes: frozenset[str] = frozenset()
    """Names of the remote nodes. Nothing is loaded on them, and no local job is left to them."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A claimable job, with the fields that the choice needs."""

    tag: float
    since: int
    """Time of submission, microseconds since the epoch."""
    estimate_s: float
    priority: int = 0


@dataclass(frozen=True, slots=True)
class LaneHead:
    """The first claimable job of a lane."""

    lane: int
    key: LaneKey
    job: QueuedJob
    held: bool = False
    """Whether the job is reserved for a while for the node that may still have its render."""

    @property
    def order(self) -> tuple[float, int, int]:
        return self.job.tag, self.job.since, self.lane


def mismatch_reason(offer: Offer, key: LaneKey) -> str | None:
    """Return the reason why this slot cannot take jobs of this lane, or None when it can."""
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
    """Return the latest submission time of a job of this lane that the slot may take; None means any.

    The slot leaves a job that one of its ``local_offers`` could do to those nodes for ``local_first_s``
    seconds.
    """
    if offer.local_first_s <= 0 or all(
        mismatch_reason(rival, key) is not None for rival in offer.local_offers
    ):
        return None
    return now - round(offer.local_first_s * SECOND)


def virtual_time(running: Iterable[tuple[float, float]]) -> float | None:
    """Return the smallest start tag of the running jobs, given as (start tag, seconds run); None without one.

    A node that stays with its model may be far ahead of the others, so new owners start from the smallest.
    """
    return min([start for start, run_s in running if run_s <= SHARED_RUN_S], default=None)
