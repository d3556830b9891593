"""The feed: the changes of all jobs, for readers of one owner or of all owners.

The newest changes are kept in memory with growing numbers, so that a client that lost its connection
resumes where it was. A reader buffers nothing, it has only the number up to which it has read: a slow one
skips to the newest state of each job, and one that is further behind than what is kept is asked to read its
lists again.
"""

import asyncio
import secrets
import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import field
from itertools import islice

from imagemill.backends.base import Progress
from imagemill.domain.access import EVERY_OWNER
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput, StorageError
from imagemill.domain.events import ChangedList, EventType, ListName, Notice, terminal_event
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.hub import Hub
from imagemill.jobs.store.queries import JobSnapshot
from imagemill.jobs.store.store import JobStore
from imagemill.net import pools

_KEPT = 4096
"""Changes that are kept for readers that are behind, about 2 MB of memory."""
_PAUSE_S = 0.09
"""Least seconds between two frames of a reader; the first change after a pause is sent at once."""
_PAUSE_OF_READER_S = 0.0005
"""Seconds by which each open feed makes the pause longer, once they are more than fit into it."""
_MOST_RUNNING = 10_000
_POLL_S = 2.0
"""Seconds between polls for changes of other processes, while these do not arrive by a relay."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Which changes a reader may see."""

    owner: str
    """`EVERY_OWNER` for those of all owners."""
    nodes: bool = False
    """Whether it may see that nodes have changed."""

    def sees(self, owner: str) -> bool:
        return self.owner in (owner, EVERY_OWNER)

    def sees_list(self, changed: ChangedList) -> bool:
        if changed.name is ListName.NODES and not self.nodes:
            return False
        return not changed.owner or self.sees(changed.owner)


@dataclass(frozen=True, slots=True)
class LatestProgress:
    """The latest report of a running job."""

    number: int
    """Grows with each report of any job."""
    owner: str
    progress: Progress
    is_live: bool
    """Whether it came from the render itself, and not once a second from the event log."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that a reader has not read yet."""

    position: int
    is_reset: bool
    """Whether some changes are not kept any more."""
    notices: Sequence[Notice] = ()
    """The last notice of each job."""
    lists: Sequence[ListName] = ()

    def __bool__(self) -> bool:
        return bool(self.is_reset or self.notices or self.lists)


@dataclass(slots=True, eq=False)
class FeedReader:
    """A reader of the feed; used on its own event loop only."""

    audience: Audience
    position: int
    """The number of the last change that it has read."""
    preview_owner: str | None = None
    """The owner whose previews it shows."""
    progress_position: int = 0
    _update: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for changes (True) or for ``timeout_s`` seconds (False)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._update.wait()
        changed = self._update.is_set()
        self._update.clear()
        return changed

    def wake(self) -> None:
        self._update.set()


class Feed:
    """The changes of all jobs that this process knows, and its readers.

    ``relayed`` returns whether changes of other processes arrive by themselves.
    """

    def __init__(self, store: JobStore, hub: Hub, relayed: Callable[[], bool]) -> None:
        self._store = store
        self._hub = hub
        self._relayed = relayed
        self.boot = secrets.token_hex(4)
        self.closed = False
        self._lock = threading.Lock()
        self._numbers: deque[int] = deque(maxlen=_KEPT)
        self._kept: deque[Notice | ChangedList] = deque(maxlen=_KEPT)
        self._number = now_us()
        self._floor = self._number
        """Readers at an earlier position have missed something."""
        self._running: OrderedDict[str, str] = OrderedDict()
        """Running job -> owner."""
        self._progress: dict[str, LatestProgress] = {}
        self._progress_number = 0
        self._unknown: set[str] = set()
        """Jobs of notices without an owner."""
        self._readers: set[FeedReader] = set()
        self._changed: set[str] = set()
        """Owners with changes since the last tick; `EVERY_OWNER` when all readers are concerned."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_scheduled = False
        self._ticked_at = 0.0
        self._ticked = self._number
        """The position up to which all concerned readers have been woken."""
        self.ticks = 0
        self._states: dict[str, tuple[JobStatus, int]] = {}
        """The status and attempt of jobs at the last poll; empty before the first one."""
        self._tasks: set[asyncio.Task[None]] = set()
        hub.listen(self.on_progress)

    # Publishing, from any thread

    def publish(self, notices: Sequence[Notice], lists: Collection[ChangedList] = ()) -> None:
        """Add committed changes; thread-safe."""
        with self._lock:
            for notice in notices:
                self._add(notice)
            for changed in lists:
                self._append(changed)
                self._changed.add(changed.owner or EVERY_OWNER)
            self._wake()

    def on_progress(self, job_id: str, progress: Progress) -> None:
        """Keep the latest progress of a render; thread-safe."""
        with self._lock:
            owner = self._running.get(job_id)
            if owner is not None:
                self._keep(job_id, owner, progress, is_live=True)
                self._wake()

    def lose(self) -> None:
        """Make all readers read their lists again, since changes of other processes may have been lost."""
        with self._lock:
            self._forget()
            self._changed.add(EVERY_OWNER)
            self._wake()

    def close(self) -> None:
        """End all feeds; thread-safe."""
        self.closed = True
        with self._lock:
            self._changed.add(EVERY_OWNER)
            self._wake()

    def _forget(self) -> None:
        self._number = self._floor = max(self._number + 1, now_us())
        self._numbers.clear()
        self._kept.clear()

    def _add(self, notice: Notice) -> None:
        if not notice.owner or notice.status is None:
            if self._readers:
                self._unknown.add(notice.job_id)
            else:
                self._forget()
            return
        if notice.type is EventType.UPDATED:
            self._run(notice)
            latest = self._progress.get(notice.job_id)
            if notice.progress is not None and not (latest is not None and latest.is_live):
                self._keep(notice.job_id, notice.owner, Progress(*notice.progress), is_live=False)
            return
        if notice.status is JobStatus.RUNNING:
            self._run(notice)
        else:
            self._running.pop(notice.job_id, None)
            self._progress.pop(notice.job_id, None)
        self._append(notice)
        self._changed.add(notice.owner)

    def _run(self, notice: Notice) -> None:
        self._running[notice.job_id] = notice.owner
        if len(self._running) > _MOST_RUNNING:  # the notices of their ends were lost
            lost, _ = self._running.popitem(last=False)
            self._progress.pop(lost, None)

    def _append(self, change: Notice | ChangedList) -> None:
        if len(self._numbers) == _KEPT:
            self._floor = self._numbers[0]
        # Numbers are times, so that their growth does not show how much others do.
        self._number = max(self._number + 1, now_us())
        self._numbers.append(self._number)
        self._kept.append(change)

    def _keep(self, job_id: str, owner: str, progress: Progress, *, is_live: bool) -> None:
        self._progress_number += 1
        self._progress[job_id] = LatestProgress(self._progress_number, owner, progress, is_live)
        self._changed.add(owner)

    def _wake(self) -> None:
        """Schedule a tick; the lock is held."""
        if self._is_scheduled or not self._readers or self._loop is None:
            return
        self._is_scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._schedule)
        except RuntimeError:  # the loop is closed: the server has stopped
            self._is_scheduled = False

    # Ticks, on the event loop

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = max(_PAUSE_S, len(self._readers) * _PAUSE_OF_READER_S)
        wait_s = self._ticked_at + pause_s - loop.time()
        if wait_s > 0:
            loop.call_later(wait_s, self._tick)
        else:
            self._tick()

    def _tick(self) -> None:
        with self._lock:
            self._is_scheduled = False
            changed, self._changed = self._changed, set()
            unknown, self._unknown = self._unknown, set()
            running = dict(self._running)
            before, self._ticked = self._ticked, self._number
        self.ticks += 1
        self._ticked_at = asyncio.get_running_loop().time()
        self._follow(running)
        for reader in self._readers:
            owner = reader.audience.owner
            if changed and (owner == EVERY_OWNER or EVERY_OWNER in changed or owner in changed):
                reader.wake()
            elif reader.position >= before:
                reader.position = self._ticked  # what it has not read concerns others
        if unknown:
            task = asyncio.create_task(self._resolve(unknown))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _follow(self, running: Mapping[str, str]) -> None:
        """Receive the previews of the running jobs of those who see them."""
        owners = {reader.preview_owner for reader in self._readers} - {None}
        if owners or self._hub.followed:
            wanted = {job_id for job_id, owner in running.items() if owner in owners}
            self._hub.unfollow(self._hub.followed - wanted)
            self._hub.follow(wanted)

    async def _resolve(self, ids: set[str]) -> None:
        """Read the jobs of notices that do not name their owner."""
        try:
            states = await pools.read(self._store.states, sorted(ids))
        except StorageError:
            self.lose()
        else:
            self.publish([_notice(state) for state in states])

    async def poll(self) -> None:
        """Poll for changes of other processes while no relay brings them; runs as long as the server does."""
        while True:
            await asyncio.sleep(_POLL_S)
            if self._relayed() or not self._readers:
                self._states.clear()
                continue
            known, is_first = self._states, not self._states
            unfinished = [id_ for id_, (status, _) in known.items() if not status.is_terminal]
            try:
                found = await pools.read(self._store.recent_states, unfinished[-1000:])
            except StorageError:
                continue
            self._states = {state.id: (state.status, state.attempt) for state in found}
            if not is_first:
                changed = [each for each in found if known.get(each.id) != (each.status, each.attempt)]
                self.publish([_notice(state) for state in changed if not self._knows(state)])

    def _knows(self, state: JobSnapshot) -> bool:
        """Whether the last kept notice of the job says the same, as this process made the change itself."""
        with self._lock:
            for change in reversed(self._kept):
                if isinstance(change, Notice) and change.job_id == state.id:
                    return change.status is state.status
        return False

    # Reading, on the event loop

    @contextmanager
    def reader(
        self, audience: Audience, last_id: str | None, payer: str, *, preview_owner: str | None = None
    ) -> Generator[FeedReader]:
        """Open a reader that continues after ``last_id``, or begins now. ``payer``: whose streams it counts
        to.

        Raises `TooManyStreams`, `TooManyOwnStreams`.
        """
        reader = FeedReader(audience, self.position(last_id), preview_owner)
        with ExitStack() as stack:
            stack.enter_context(self._hub.place(payer))
            if preview_owner is not None:
                stack.enter_context(self._hub.previews_of(preview_owner))
            self._loop = asyncio.get_running_loop()
            self.ticks += 1  # without readers there were none, so frames kept since the last one are old
            self._readers.add(reader)
            reader.wake()
            try:
                yield reader
            finally:
                self._readers.discard(reader)

    def position(self, last_id: str | None) -> int:
        """Return the position of an id; 0 for one of another boot. Raises `InvalidInput`."""
        if not last_id:
            return self._number
        boot, _, number = last_id.partition("-")
        if not (len(boot) == 8 and number.isascii() and number.isdigit() and len(number) < 20):
            raise InvalidInput.at(
                "Last-Event-ID", f"is {last_id[:40]!r}; write the id of the last event seen"
            )
        return int(number) if boot == self.boot and int(number) <= self._number else 0

    def id(self, position: int) -> str:
        return f"{self.boot}-{position}"

    def changes(self, audience: Audience, after: int) -> Changes:
        """Return the changes after a position, the last one of each job."""
        with self._lock:
            if after < self._floor:
                return Changes(self._number, True)
            first = bisect_right(self._numbers, after)
            notices: dict[str, Notice] = {}
            lists: dict[ListName, None] = {}
            for change in islice(self._kept, first, None):
                if isinstance(change, ChangedList):
                    if audience.sees_list(change):
                        lists[change.name] = None
                elif audience.sees(change.owner):
                    notices.pop(change.job_id, None)
                    notices[change.job_id] = change
            return Changes(self._number, False, list(notices.values()), list(lists))

    def latest_progress(self, audience: Audience, after: int = 0) -> tuple[int, dict[str, LatestProgress]]:
        """Return the latest progress of each running job that was reported after a position, and the new
        position."""
        with self._lock:
            found = {
                job_id: each
                for job_id, each in self._progress.items()
                if each.number > after and audience.sees(each.owner)
            }
            return self._progress_number, found


def _notice(state: JobSnapshot) -> Notice:
    """Return the notice that led to a state, as far as it can be told."""
    status = state.status
    if status.is_terminal:
        type_ = terminal_event(status)
    elif status is JobStatus.RUNNING:
        type_ = EventType.CLAIMED
    else:
        type_ = EventType.REJECTED if state.attempt else EventType.INITIALIZED
    return Notice(state.id, state.seq, status.is_terminal, state.owner, state.recipe, type_, status, now_us())
