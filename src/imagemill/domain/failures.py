"""Failure codes and their retry policies: whether, where and how often a job is retried."""

from enum import StrEnum

from imagemill.domain.dataclass import dataclass


class FailureCode(StrEnum):
    OUT_OF_MEMORY = "out_of_memory"
    MISSING_MODEL = "missing_model"
    MISSING_NODE = "missing_node"
    INVALID_GRAPH = "invalid_graph"
    BACKEND_REJECTED = "backend_rejected"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    TIMEOUT = "timeout"
    NODE_LOST = "node_lost"
    NODE_BROKEN = "node_broken"
    DEVICE_ERROR = "device_error"
    WORKER_LOST = "worker_lost"
    BAD_OUTPUT = "bad_output"
    OUTPUT_LIMIT = "output_limit"
    BAD_INPUT = "bad_input"
    STORAGE = "storage"
    CONTENT_BLOCKED = "content_blocked"
    DEPENDENCY = "dependency"
    BUG = "bug"


class RetryTarget(StrEnum):
    """The nodes on which a failed job may be retried."""

    NEVER = "never"
    ANYWHERE = "anywhere"
    ELSEWHERE = "elsewhere"
    """Retry on another node first, and on the same node only after the avoidance window."""


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    where: RetryTarget
    advice: str
    """A sentence that says how the user can solve the problem."""
    tries: int | None = None
    """Attempts after which the job fails for good; None means the job's own ``max_failures``."""


WORKER_LOST_TRIES = 20
"""A lost worker does not count towards ``max_failures``, as the job is not its cause. This bound stops a job
that kills every process which runs it."""

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
        RetryTarget.ANYWHERE, "Wait: the backend is busy or failing; the job is retried automatically."
    ),
    FailureCode.TIMEOUT: FailurePolicy(
        RetryTarget.ELSEWHERE, "Ask for fewer steps or pixels, or raise the job's timeout.", tries=2
    ),
    FailureCode.NODE_LOST: FailurePolicy(
        RetryTarget.ELSEWHERE, "Check the node: it stopped answering while it rendered."
    ),
    FailureCode.NODE_BROKEN: FailurePolicy(
        RetryTarget.ELSEWHERE,
        "Restart the node: it stopped executing prompts while it ran this job. If a second node did, too, "
        "change the job's graph.",
        tries=2,
    ),
    FailureCode.DEVICE_ERROR: FailurePolicy(
        RetryTarget.ELSEWHERE,
        "Restart the node: its GPU driver failed while it ran this job. If a second node's did, too, change "
        "the job's graph or its size.",
        tries=2,
    ),
    FailureCode.WORKER_LOST: FailurePolicy(
        RetryTarget.ANYWHERE,
        "Check the worker's log: its process ended while it ran the job.",
        tries=WORKER_LOST_TRIES,
    ),
    FailureCode.BAD_OUTPUT: FailurePolicy(
        RetryTarget.ELSEWHERE, "Check the node: it delivered a picture that is damaged or has a wrong size."
    ),
    FailureCode.OUTPUT_LIMIT: FailurePolicy(
        RetryTarget.NEVER, "Ask for fewer or smaller pictures in one job."
    ),
    FailureCode.BAD_INPUT: FailurePolicy(
        RetryTarget.ANYWHERE,
        "Check that the input picture can be fetched from its address and is a PNG, JPEG or WebP.",
        tries=3,
    ),
    FailureCode.STORAGE: FailurePolicy(
        RetryTarget.ANYWHERE, "Check the blob store: free space, permissions, network."
    ),
    FailureCode.CONTENT_BLOCKED: FailurePolicy(
        RetryTarget.NEVER, "Change the prompt: its content is not allowed."
    ),
    FailureCode.DEPENDENCY: FailurePolicy(RetryTarget.NEVER, "Check the job that this one depended on."),
    FailureCode.BUG: FailurePolicy(RetryTarget.ANYWHERE, "Report it with the job's trace id.", tries=2),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why an attempt or a whole job failed."""

    code: FailureCode
    message: str

    @property
    def policy(self) -> FailurePolicy:
        return POLICIES[self.code]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off in seconds; jitter picks a value between half and the whole delay."""

    base_s: float = 1.0
    cap_s: float = 60.0

    def delay_s(self, failures: int, jitter: float) -> float:
        """Return the delay after ``failures`` failures (at least 1); ``jitter`` is drawn from [0, 1)."""
        whole = min(self.cap_s, self.base_s * 2 ** min(failures - 1, 30))
        return whole * (0.5 + 0.5 * jitter)


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry after ``delay_s``, but not on ``avoid_node`` during the avoidance window."""

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
    """Return the retry after this failure, or None when the job has failed for good.

    ``failures`` includes this one and all earlier ones that count; ``attempt`` counts every start.
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
