"""Jobs: what one is, which states it has, and which changes of state exist.

             ^---- retry ----+
waiting -> queued -> running -> succeeded | failed | canceled
waiting, queued -> canceled | expired;  waiting -> failed is not: a lost dependency cancels
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from imagemill.domain.failures import Failure
from imagemill.domain.moderation import ModerationRecord


class JobStatus(StrEnum):
    WAITING = "waiting"
    """Has dependencies that are not finished."""
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        return not TRANSITIONS[self]

    def may_become(self, other: "JobStatus") -> bool:
        return other in TRANSITIONS[self]


TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.WAITING: frozenset({JobStatus.QUEUED, JobStatus.CANCELED, JobStatus.EXPIRED}),
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELED, JobStatus.EXPIRED}),
    JobStatus.RUNNING: frozenset(
        {JobStatus.QUEUED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED}
    ),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELED: frozenset(),
    JobStatus.EXPIRED: frozenset(),
}

TERMINAL = frozenset(status for status in JobStatus if status.is_terminal)
OPEN = frozenset(JobStatus) - TERMINAL
IDLE = frozenset({JobStatus.WAITING, JobStatus.QUEUED})
"""Not finished and in nobody's hands: may be cancelled or expired at once."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A validated job on its way into the store.

    ``input`` is what the recipe needs, complete (seed drawn, AIRs expanded); ``client`` is what the dialect
    wants back and nobody else reads; ``properties`` is the client's own index.
    """

    id: str
    recipe: str
    queue: str
    lane: "LaneKey"
    input: Mapping[str, Any]
    expires_at: int
    trace: str
    estimate_s: float
    """Expected seconds of work: what fairness between owners is counted in."""
    cost: float = 0.0
    """The price shown to the client."""
    megapixels: float = 0.0
    """Of all its pictures: what limits count."""
    priority: int = 0
    max_failures: int = 5
    timeout_s: float | None = None
    name: str | None = None
    dialect: str = "native"
    client: Mapping[str, Any] = field(default_factory=dict[str, Any])
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])
    callback_url: str | None = None
    depends_on: tuple[str, ...] = ()
    """Ids of the jobs that must succeed first."""
    judgements: tuple[ModerationRecord, ...] = ()
    """What checks said of its texts, when they said something."""
    unique_key: str = ""
    """Names work that is not done twice: while a job of the owner with this name is open or has succeeded, no
    other is accepted. Empty: any number."""


@dataclass(frozen=True, slots=True)
class LaneKey:
    """What all jobs of a lane have in common for a claim: any slot that can take one can take them all."""

    queue: str
    model: str = ""
    """The checkpoint's AIR in lower case; empty when the job needs none."""
    backends: tuple[str, ...] = ()
    """Backends that may take it; empty: any."""
    labels: tuple[str, ...] = ()
    """Labels a node must carry, sorted."""
    memory_mb: int = 0
    """Memory a node must have; set when a job ran out of it on a smaller one."""
    requirements: tuple[str, ...] = ()
    """What not every node has when the job comes in: LoRA files, custom node classes. Sorted."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the jobs table. Instants are microseconds since the epoch."""

    id: str
    batch: str
    owner: str
    recipe: str
    queue: str
    lane: int
    status: JobStatus
    priority: int
    tag: float
    estimate_s: float
    cost: float
    attempt: int
    failures: int
    max_failures: int
    timeout_s: float | None
    name: str | None
    dialect: str
    input: Mapping[str, Any]
    client: Mapping[str, Any]
    properties: Mapping[str, Any]
    callback_url: str | None
    trace: str
    worker: str | None
    node: str | None
    backend: str | None
    backend_ref: str | None
    reason: str | None
    error: Failure | None
    lease_until: int | None
    run_after: int | None
    """Set while a retry waits; the job cannot be claimed before."""
    cancel_requested_at: int | None
    created_at: int
    started_at: int | None
    """Start of the latest attempt."""
    finished_at: int | None
    expires_at: int
    last_seq: int
    """Sequence number of the job's latest event."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to finish one attempt of a job; void once the job's attempt has moved on."""

    job: Job

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def attempt(self) -> int:
        return self.job.attempt


@dataclass(frozen=True, slots=True)
class Artifact:
    """One delivered file of a job."""

    id: str
    job_id: str
    position: int
    attempt: int
    blob_key: str
    """Where the bytes are in the blob store: ``jobs/{job}/{attempt}/{position}.{ext}``; empty: gone."""
    media_type: str
    size: int
    width: int
    height: int
    sha256: str
    seed: int | None
    created_at: int

    @property
    def available(self) -> bool:
        """Whether its file is kept; it may be deleted before the job is."""
        return bool(self.blob_key)


@dataclass(frozen=True, slots=True)
class Succeeded:
    artifacts: tuple[Artifact, ...]
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the terminal event tells: stage times, the graph, counts."""
    record: object | None = None
    """What is written besides the job."""


@dataclass(frozen=True, slots=True)
class Failed:
    failure: Failure
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Retried:
    """The attempt failed and the job goes back to its queue."""

    failure: Failure
    run_after: int | None
    avoid_node: str | None = None
    avoid_until: int | None = None
    """Without ``avoid_node``: until then only the node it was on may take the job."""
    memory_mb: int | None = None
    """Memory a node must have from now on; None: as before."""
    counts: bool = True
    """Whether it uses up one of the job's own tries (a lost worker or a shutdown does not)."""


@dataclass(frozen=True, slots=True)
class Canceled:
    reason: str = "canceled by its owner"


Outcome = Succeeded | Failed | Retried | Canceled
