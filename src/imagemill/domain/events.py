"""The event log of a job. Events are numbered from 1 without a gap; the last one is terminal."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import JobStatus


class EventType(StrEnum):
    INITIALIZED = "Initialized"
    CLAIMED = "Claimed"
    UPDATED = "Updated"
    """Coarse progress, at most one event a second."""
    REJECTED = "Rejected"
    """The attempt failed; the job will be retried."""
    CLAIM_EXPIRED = "ClaimExpired"
    """The worker was lost; the job will be retried."""
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    EXPIRED = "Expired"

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL_EVENTS.values()


_TERMINAL_EVENTS = {
    JobStatus.SUCCEEDED: EventType.SUCCEEDED,
    JobStatus.FAILED: EventType.FAILED,
    JobStatus.CANCELED: EventType.CANCELED,
    JobStatus.EXPIRED: EventType.EXPIRED,
}


def terminal_event(status: JobStatus) -> EventType:
    """The event that closes a job in this terminal status."""
    return _TERMINAL_EVENTS[status]


class Stage(StrEnum):
    """The stages of an attempt, as events and logs name them."""

    CLAIMED = "CLAIMED"
    PROMPT_PREPARED = "PROMPT_PREPARED"
    SENT_TO_COMFY = "SENT_TO_COMFY"
    SENT_TO_BACKEND = "SENT_TO_BACKEND"
    COMFY_RESULT = "COMFY_RESULT"
    BACKEND_RESULT = "BACKEND_RESULT"
    STORED = "STORED"


@dataclass(frozen=True, slots=True)
class Event:
    job_id: str
    seq: int
    type: EventType
    at: int
    """Microseconds since the epoch."""
    attempt: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """A short event sent to the listeners of this process after a commit.

    A lost notice only causes a delay: the event log in the database is complete. Processes of earlier
    versions send the first three fields only.
    """

    job_id: str
    seq: int
    terminal: bool
    owner: str = ""
    """Empty where it is unknown."""
    recipe: str = ""
    type: EventType | None = None
    status: JobStatus | None = None
    """The job's status after the event."""
    at: int = 0
    """Microseconds since the epoch."""
    progress: tuple[int, int] | None = None
    """The step and the number of steps of an ``Updated`` event."""


class ListName(StrEnum):
    """The lists besides jobs whose changes processes and the feed announce."""

    PAUSES = "pauses"
    OPERATIONS = "operations"
    NODES = "nodes"


@dataclass(frozen=True, slots=True)
class ChangedList:
    """A list that has changed; how, it does not say."""

    name: ListName
    owner: str = ""
    """The owner whose list it is; empty for a list of the whole installation."""
