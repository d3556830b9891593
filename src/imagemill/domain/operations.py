"""Operations: one action on all jobs that match a filter."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import IDLE, OPEN, JobStatus

SAMPLES = 20
"""The reasons of an operation's failures that are kept."""


class OperationAction(StrEnum):
    CANCEL = "cancel"
    REPLAY = "replay"
    DELETE = "delete"
    PRIORITY = "priority"


class OperationState(StrEnum):
    SCHEDULED = "scheduled"
    """It starts at ``starts_at``; until then it can be cancelled without an effect."""
    RUNNING = "running"
    DONE = "done"
    CANCELED = "canceled"

    @property
    def is_open(self) -> bool:
        return self in (OperationState.SCHEDULED, OperationState.RUNNING)


class Ineligible(StrEnum):
    """Why an operation leaves a job alone."""

    ENDED = "ended"
    """It has ended, and can no longer be cancelled."""
    OPEN = "open"
    """It has not ended yet: it can be neither repeated nor deleted."""
    NOT_WAITING = "notWaiting"
    """It runs or has ended, so its priority has no effect."""
    REPLAYED = "replayed"
    """It failed and was submitted again already."""


def ineligible(action: OperationAction, status: JobStatus, replays: int) -> Ineligible | None:
    """Return why the action leaves a job alone, or None for one that it concerns."""
    match action:
        case OperationAction.CANCEL:
            return None if status in OPEN else Ineligible.ENDED
        case OperationAction.PRIORITY:
            return None if status in IDLE else Ineligible.NOT_WAITING
        case OperationAction.DELETE:
            return Ineligible.OPEN if status in OPEN else None
        case OperationAction.REPLAY:
            if status in OPEN:
                return Ineligible.OPEN
            return Ineligible.REPLAYED if status is JobStatus.FAILED and replays else None


@dataclass(frozen=True, slots=True)
class Override:
    """The changes of a job that is submitted again."""

    model: str | None = None
    labels: tuple[str, ...] | None = None
    """Labels that the node must carry; None keeps those of the job."""
    input: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the recipe's input, such as the size."""

    def __bool__(self) -> bool:
        return self.model is not None or self.labels is not None or bool(self.input)


@dataclass(frozen=True, slots=True)
class JobProblem:
    """A job on which the action failed."""

    job: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class OperationProgress:
    """How far an operation is."""

    total: int
    """Jobs that matched when it was asked for; of very many, those that were counted."""
    done: int = 0
    skipped: int = 0
    """Jobs that the action does not concern."""
    failed: int = 0
    samples: tuple[JobProblem, ...] = ()
