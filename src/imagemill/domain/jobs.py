"""Jobs: their fields, their states, the transitions between states, and the outcomes of an attempt.

             ^---- retry ----+
waiting -> queued -> running -> succeeded | failed | canceled
waiting, queued -> canceled | expired

A waiting job never fails: when a dependency does not succeed, the job is cancelled.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.domain.failures import Failure
from imagemill.domain.moderation import ModerationRecord


class JobStatus(StrEnum):
    WAITING = "waiting"
    """The job has dependencies that are not finished."""
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

SIMULATOR = "simulator"
"""The name of the backend whose pictures are drawn without a model."""
PARTNER = "partnerNodes"
"""The key in `Job.client` of the permission to use partner nodes of ComfyUI."""

REPLAY_OF = "replayOf"
"""The key in `Job.client` of the id of the job that this one repeats."""

TERMINAL = frozenset(status for status in JobStatus if status.is_terminal)
OPEN = frozenset(JobStatus) - TERMINAL
IDLE = frozenset({JobStatus.WAITING, JobStatus.QUEUED})
"""States without a worker: such a job can be cancelled or can expire at once."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A validated job that is not stored yet.

    ``input`` is the recipe's complete input (seed drawn, AIRs expanded). ``client`` holds data that only the
    dialect reads. ``properties`` are the client's own search keys.
    """

    id: str
    recipe: str
    queue: str
    lane: "LaneKey"
    input: Mapping[str, Any]
    expires_at: int
    trace: str
    estimate_s: float
    """Expected seconds of work; fairness between owners counts these."""
    cost: float = 0.0
    """The price shown to the client."""
    megapixels: float = 0.0
    """Megapixels of all its pictures together; quotas count these."""
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
    moderation: tuple[ModerationRecord, ...] = ()
    """Results of the checks that did not simply allow its texts."""
    unique_key: str = ""
    """Prevents duplicates: while a job of the owner with this key is open or has succeeded, another one is
    not accepted. An empty key allows any number."""
    replay_of: str = ""
    """Id of the job that it repeats; empty for none."""
    bills: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    """The dollars that each paid backend which may make it would be billed; None where unknown. Not stored.
    """


@dataclass(frozen=True, slots=True)
class LaneKey:
    """The requirements that all jobs of a lane share: a slot that can take one of them can take all."""

    queue: str
    model: str = ""
    """The checkpoint's AIR in lower case; empty when the job needs none."""
    backends: tuple[str, ...] = ()
    """Backends that may take the job; empty means any."""
    labels: tuple[str, ...] = ()
    """Labels a node must carry, sorted."""
    memory_mb: int = 0
    """Megabytes of memory a node must have; set after a job ran out of memory on a smaller node."""
    requirements: tuple[str, ...] = ()
    """LoRA files and custom node classes that not every node had at submission; sorted."""


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
    """The job cannot be claimed before this instant: it waits for a retry, or is parked by a pause."""
    cancel_requested_at: int | None
    created_at: int
    started_at: int | None
    """Start of the latest attempt."""
    finished_at: int | None
    expires_at: int
    last_seq: int
    """Sequence number of the job's latest event."""
    replays: int = 0
    """How often it was submitted again."""

    @property
    def simulated(self) -> bool:
        """Whether its latest attempt is drawn without a model."""
        return self.backend == SIMULATOR


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to finish one attempt of a job. It is void once the job has a newer attempt."""

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
    """Key in the blob store: ``jobs/{job}/{attempt}/{position}.{ext}``; empty once the file is deleted."""
    media_type: str
    size: int
    width: int
    height: int
    sha256: str
    seed: int | None
    created_at: int

    @property
    def available(self) -> bool:
        """Whether the file still exists; it may be deleted before the job."""
        return bool(self.blob_key)


@dataclass(frozen=True, slots=True)
class Succeeded:
    artifacts: tuple[Artifact, ...]
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Data of the terminal event: stage times, the graph, counts."""
    record: object | None = None
    """A record to write in the same transaction as the job; see `Plan.record`."""


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
    """End of the avoidance window. Without ``avoid_node``, only the former node may take the job until then.
    """
    memory_mb: int | None = None
    """Megabytes of memory a node must have from now on; None leaves the requirement unchanged."""
    counts: bool = True
    """Whether the attempt counts towards ``max_failures``; a lost worker or a shutdown does not."""
    may_be_found: bool = False
    """Whether the node may still finish the render, so that an attempt on it looks for the result first."""


@dataclass(frozen=True, slots=True)
class Canceled:
    reason: str = "canceled by its owner"


Outcome = Succeeded | Failed | Retried | Canceled
