"""What a process is for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Roles:
    """What a process does. `serve` is all three."""

    api: bool = True
    scheduler: bool = True
    worker: bool = True
    queues: frozenset[str] | None = None
    """Queues a worker serves; None: all."""
    hosted: bool = False
    """Celery's own command runs this process and brings the wake-ups."""
    slots: int | None = None
    """Jobs at once in a hosted process; None: as many as its nodes have slots."""

    @property
    def alone(self) -> bool:
        return self.api and self.scheduler and self.worker
