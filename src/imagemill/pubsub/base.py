"""The seam to whatever carries news between processes; losing them costs delay, never a fact."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from imagemill.backends.base import Progress
from imagemill.domain.events import Notice


@dataclass(frozen=True, slots=True)
class News:
    """What a commit of one process means to the others."""

    notices: tuple[Notice, ...] = ()
    stopped: tuple[str, ...] = ()
    """Running jobs that somebody wants cancelled."""
    woken: tuple[str, ...] = ()
    """Queues that got claimable jobs, where nothing else wakes the slots of other processes."""
    called_back: bool = False
    """Whether the outbox has something new to deliver."""

    def __bool__(self) -> bool:
        return bool(self.notices or self.stopped or self.woken or self.called_back)


@dataclass(frozen=True, slots=True)
class Ears:
    """Who listens in this process; all are called on the listener's event loop and must not block."""

    hear: Callable[[News], None]
    see: Callable[[str, Progress], None]
    """Where the render of a followed job stands now."""
    begin: Callable[[], None]
    """News are heard from now on; what was told before was missed."""


class Fanout(Protocol):
    @property
    def hears(self) -> bool:
        """Whether news of other processes arrive now."""
        ...

    def tell(self, news: Sequence[News]) -> None:
        """From any thread; never blocks."""
        ...

    def show(self, job_id: str, progress: Progress) -> None:
        """From any thread; never blocks. Only the latest of a job is sent."""
        ...

    def follow(self, ids: Iterable[str]) -> None:
        """Hear of the progress of these jobs; on the listener's event loop."""
        ...

    def unfollow(self, ids: Iterable[str]) -> None: ...

    async def listen(self, ears: Ears) -> None:
        """Until cancelled; connects again by itself."""
        ...

    def close(self) -> None:
        """What was told is still sent, if somebody takes it."""
        ...
