"""The seam to whatever carries news between processes; losing them costs delay, never a fact."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from imagemill.backends.base import Progress
from imagemill.domain.events import Notice


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """What a commit of one process means to the others."""

    events: tuple[Notice, ...] = ()
    cancelled_jobs: tuple[str, ...] = ()
    """Running jobs that somebody wants cancelled."""
    queues_with_work: tuple[str, ...] = ()
    """Queues that got claimable jobs, where nothing else wakes the slots of other processes."""
    has_deliveries: bool = False
    """Whether the outbox has something new to deliver."""

    def __bool__(self) -> bool:
        return bool(self.events or self.cancelled_jobs or self.queues_with_work or self.has_deliveries)


@dataclass(frozen=True, slots=True)
class EventHandlers:
    """Who listens in this process; all are called on the listener's event loop and must not block."""

    on_event: Callable[[ClusterEvent], None]
    on_progress: Callable[[str, Progress], None]
    """Where the render of a followed job stands now."""
    on_connect: Callable[[], None]
    """News are heard from now on; what was told before was missed."""


class PubSub(Protocol):
    @property
    def is_connected(self) -> bool:
        """Whether news of other processes arrive now."""
        ...

    def publish(self, events: Sequence[ClusterEvent]) -> None:
        """From any thread; never blocks."""
        ...

    def publish_progress(self, job_id: str, progress: Progress) -> None:
        """From any thread; never blocks. Only the latest of a job is sent."""
        ...

    def subscribe(self, ids: Iterable[str]) -> None:
        """Hear of the progress of these jobs; on the listener's event loop."""
        ...

    def unsubscribe(self, ids: Iterable[str]) -> None: ...

    async def listen(self, handlers: EventHandlers) -> None:
        """Until cancelled; connects again by itself."""
        ...

    def close(self) -> None:
        """What was told is still sent, if somebody takes it."""
        ...
