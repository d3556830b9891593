"""What becomes of a finished render: a craft makes files of it, in a confined child process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a render is finished."""

    job_id: str
    made_at: int
    """Microseconds since the epoch: the start of the attempt."""
    attempt: int
    seed: int | None
    model: str
    owner_mark: str


@dataclass(frozen=True, slots=True)
class Made:
    """One file made of a render's output."""

    data: bytes
    media_type: str
    width: int
    height: int
    key: str = ""
    """Where it lies in the blob store; empty: under the job."""
    role: str = "picture"
    """``picture``, ``thumbnail`` or ``original``."""


class Craft(Protocol):
    """Can be pickled: a function of a module, or a frozen dataclass with ``__call__``."""

    def __call__(self, data: bytes, facts: Facts) -> Sequence[Made]:
        """Raises `imagemill.media.layout.BadPicture`."""
        ...
