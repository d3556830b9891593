"""Failures are typed: each type says whether, where and how often a job is tried again."""

from dataclasses import dataclass
from enum import StrEnum


class FailureCode(StrEnum):
    OUT_OF_MEMORY = "out_of_memory"
    MISSING_MODEL = "missing_model"
    MISSING_NODE = "missing_node"
    INVALID_GRAPH = "invalid_graph"
    BACKEND_REJECTED = "backend_rejected"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    TIMEOUT = "timeout"
    NODE_LOST = "node_lost"
    WORKER_LOST = "worker_lost"
    BAD_OUTPUT = "bad_output"
    BAD_INPUT = "bad_input"
    STORAGE = "storage"
    CONTENT_BLOCKED = "content_blocked"
    DEPENDENCY = "dependency"
    BUG = "bug"


class RetryTarget(StrEnum):
    """Where a failed job may be tried again."""

    NEVER = "never"
    ANYWHERE = "anywhere"
    ELSEWHERE = "elsewhere"
    """On another node first; the same node is open again after the avoidance window."""


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    where: RetryTarget
    advice: str
    """What the user can do about it, one sentence."""
    tries: int | None = None
    """Attempts after which the job fails for good; None: the job's own ``max_failures``."""


# A lost worker is our fault, not the job's: it does not use up the job's own retries. The bound stops a
# job that kills every process which touches it.
WORKER_LOST_TRIES = 20

POLICIES: dict[FailureCode, FailurePolicy] = {
    FailureCode.OUT_OF_MEMORY: FailurePolicy(
        RetryTarget.ELSEWHERE, "Ask for a smaller picture or batch, or add a node with more memory."
    ),
    FailureCode.MISSING_MODEL: FailurePolicy(
        RetryTarget.ELSEWHERE,
        "Install the model's file on a node, or choose a model that a node lists.",
        tries=2,
    ),
    FailureCode.MISSING_NODE: FailurePolicy(
        RetryTarget.ELSEWHERE, "Install the custom node on a server, or use a graph of core nodes.", tries=2
    ),
    FailureCode.INVALID_GRAPH: FailurePolicy(
        RetryTarget.NEVER, "Correct the graph: the message names the node."
    ),
    FailureCode.BACKEND_REJECTED: FailurePolicy(
        RetryTarget.NEVER, "Change the request: the backend refused it."
    ),
    FailureCode.BACKEND_UNAVAILABLE: FailurePolicy(
        RetryTarget.ANYWHERE, "Wait: the backend is busy or failing, and the job is tried again by itself."
    ),
    FailureCode.TIMEOUT: FailurePolicy(
        RetryTarget.ELSEWHERE, "Ask for fewer steps or pixels, or raise the job's timeout."
    ),
    FailureCode.NODE_LOST: FailurePolicy(
        RetryTarget.ELSEWHERE, "Look at the node: it stopped answering while it rendered."
    ),
    FailureCode.WORKER_LOST: FailurePolicy(
        RetryTarget.ANYWHERE,
        "Look at the worker's log: its process ended while it ran the job.",
        tries=WORKER_LOST_TRIES,
    ),
    FailureCode.BAD_OUTPUT: FailurePolicy(
        RetryTarget.ELSEWHERE, "Look at the node: it delivered a picture that is damaged or of a wrong size."
    ),
    FailureCode.BAD_INPUT: FailurePolicy(
        RetryTarget.ANYWHERE,
        "Check that the input picture can be fetched from its address and is a PNG, JPEG or WebP.",
        tries=3,
    ),
    FailureCode.STORAGE: FailurePolicy(
        RetryTarget.ANYWHERE, "Check the blob store: space, rights, reachability."
    ),
    FailureCode.CONTENT_BLOCKED: FailurePolicy(
        RetryTarget.NEVER, "Change the prompt: its content is not allowed."
    ),
    FailureCode.DEPENDENCY: FailurePolicy(RetryTarget.NEVER, "Look at the job this one depended on."),
    FailureCode.BUG: FailurePolicy(RetryTarget.ANYWHERE, "Report it with the job's trace id.", tries=2),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt, or a whole job, failed."""

    code: FailureCode
    message: str

    @property
    def policy(self) -> FailurePolicy:
        return POLICIES[self.code]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full-range jitter between half and the whole delay; seconds."""

    base_s: float = 1.0
    cap_s: float = 60.0

    def delay_s(self, failures: int, jitter: float) -> float:
        """``failures`` so far (1 or more); ``jitter`` drawn from [0, 1)."""
        whole = min(self.cap_s, self.base_s * 2 ** min(failures - 1, 30))
        return whole * (0.5 + 0.5 * jitter)


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after ``delay_s``, not on ``avoid_node`` while the avoidance window lasts."""

    delay_s: float
    avoid_node: str | None


def next_try(
    failure: Failure,
    *,
    failures: int,
    attempt: int,
    max_failures: int,
    node: str | None,
    backoff: Backoff,
    jitter: float,
) -> Retry | None:
    """The retry this failure earns, or None when the job has failed for good.

    ``failures`` counts this one and all before it that were the job's own; ``attempt`` counts every start.
    """
    policy = failure.policy
    if policy.where is RetryTarget.NEVER:
        return None
    if failure.code is FailureCode.WORKER_LOST:
        return Retry(0.0, None) if attempt < WORKER_LOST_TRIES else None
    limit = max_failures if policy.tries is None else min(policy.tries, max_failures)
    if failures >= limit:
        return None
    avoid = node if policy.where is RetryTarget.ELSEWHERE else None
    return Retry(backoff.delay_s(failures, jitter), avoid)
