"""Pauses: what an operator keeps from starting, and why."""

from enum import StrEnum

from imagemill.domain.dataclass import dataclass

PARKED = 240_000_000_000_000_000
"""A job of a paused owner or recipe cannot be claimed before this instant plus the one of its retry. It is in
the year 9575, so that a worker of any version keeps off the job, and can show it as a time."""


class PauseScope(StrEnum):
    ALL = "all"
    OWNER = "owner"
    RECIPE = "recipe"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Pause:
    """No job that it concerns starts while it lasts; running ones go on."""

    id: str
    scope: PauseScope
    name: str
    """The owner, recipe or node; empty for all."""
    reason: str
    by: str
    """The account that made it."""
    since: int

    @property
    def text(self) -> str:
        """Why a job waits: ``paused by anna: new graphics card``."""
        return f"paused by {self.by}" + (f": {self.reason}" if self.reason else "")


def is_parked(run_after: int | None) -> bool:
    """Whether this is the time of a job whose owner or recipe is paused."""
    return run_after is not None and run_after >= PARKED
