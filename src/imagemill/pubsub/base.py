"""The publish/subscribe protocol between processes. A lost message causes a delay; the database has the
facts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, Self

from imagemill.backends.base import Progress
from imagemill.db.group_commit import CommitSummary
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import ChangedList, Notice


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """The effects of one process's commits that matter to the other processes."""

    events: tuple[Notice, ...] = ()
    cancelled_jobs: tuple[str, ...] = ()
    """Running jobs for which cancellation was requested."""
    queues_with_work: tuple[str, ...] = ()
    """Queues that got claimable jobs, when nothing else wakes the slots of other processes."""
    has_deliveries: bool = False
    """Whether the outbox has new messages to deliver."""
    changed_lists: tuple[ChangedList, ...] = ()
    """See `imagemill.db.group_commit.CommitSummary`."""
    advances: bool = False
    """Whether a product may have to submit what follows; see `imagemill.products.base.ProductParts.advance`.
    """

    @classmethod
    def of(cls, committed: CommitSummary, *, advances: bool, wakes_slots: bool) -> Self:
        """Return the event of a commit. ``wakes_slots``: whether no broker wakes the slots of others."""
        return cls(
            events=tuple(committed.events),
            cancelled_jobs=tuple(committed.cancelled_jobs),
            queues_with_work=tuple(sorted(committed.queues_with_work)) if wakes_slots else (),
            has_deliveries=committed.has_deliveries,
            changed_lists=tuple(committed.changed_lists),
            advances=advances,
        )

    def __bool__(self) -> bool:
        return bool(
            self.events
            or self.cancelled_jobs
            or self.queues_with_work
            or self.has_deliveries
            or self.changed_lists
            or self.advances
        )


@dataclass(frozen=True, slots=True)
class EventHandlers:
    """Callbacks of this process; they are called on the listener's event loop and must not block."""

    on_event: Callable[[ClusterEvent], None]
    on_progress: Callable[[str, Progress], None]
    """Called with a subscribed job's id and its current progress."""
    on_connect: Callable[[], None]
    """Called when events start to arrive; earlier ones were missed."""


class PubSub(Protocol):
    @property
    def is_connected(self) -> bool:
        """Whether events of other processes arrive now."""
        ...

    def publish(self, events: Sequence[ClusterEvent]) -> None:
        """Send events. Callable from any thread; never blocks."""
        ...

    def publish_progress(self, job_id: str, progress: Progress) -> None:
        """Send a job's latest progress; an unsent older one is dropped. Callable from any thread; never
        blocks."""
        ...

    def subscribe(self, ids: Iterable[str]) -> None:
        """Receive the progress of these jobs. Only to be called on the listener's event loop."""
        ...

    def unsubscribe(self, ids: Iterable[str]) -> None: ...

    async def listen(self, handlers: EventHandlers) -> None:
        """Receive messages until cancelled; reconnects automatically."""
        ...

    def close(self) -> None:
        """Stop; published messages are still sent if the server takes them."""
        ...
