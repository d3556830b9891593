"""The seam to whatever starts work: a wake-up carries no job, only "there is something in this queue"."""

from typing import Protocol


class Dispatcher(Protocol):
    def wake(self, queue: str) -> None:
        """Some slot that serves the queue should look. Never blocks; losing one costs delay, not a job."""
        ...

    def start(self) -> None: ...

    def leave(self) -> None:
        """Take no more wake-ups; what runs goes on. Never blocks."""
        ...

    def close(self) -> None:
        """Start no more work; return once all slots are idle."""
        ...
