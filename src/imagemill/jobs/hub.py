"""Notify waiting requests and streams of this process of job events, without a thread for each.

The event log is the source of truth; the hub only signals that there is something to read. Notices of this
process's own commits arrive at once, those of other processes over the relay, where there is one, and by a
poll of the watched jobs. Progress and previews are ephemeral: only the latest of each job is kept, in memory.
"""

import asyncio
import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence, Set
from dataclasses import field
from typing import Protocol, Self

from imagemill.backends.base import Progress
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError, StorageError
from imagemill.domain.events import Notice
from imagemill.jobs.store.queries import View
from imagemill.net import pools

log = logging.getLogger(__name__)


class TooManyStreams(ImagemillError):
    code = "too_many_streams"
    retryable = True


class TooManyOwnStreams(ImagemillError):
    """One owner has as many open streams as it may; others still get theirs."""

    code = "too_many_own_streams"
    retryable = True


@dataclass(slots=True, eq=False)
class Watcher:
    """One request that waits for events of some jobs; used on its own event loop only."""

    ids: frozenset[str]
    loop: asyncio.AbstractEventLoop
    _hub: "Hub"
    owner: str
    _update: asyncio.Event = field(default_factory=asyncio.Event)
    seen: dict[str, int] = field(default_factory=dict[str, int])
    """The newest sequence number the watcher was notified of, by job."""
    finished: set[str] = field(default_factory=set[str])
    live: dict[str, Progress] = field(default_factory=dict[str, Progress])
    """Progress that `take_live` has not returned yet, by job."""
    views: dict[str, View] = field(default_factory=dict[str, View])
    """Finished jobs that need not be read from the database again, by id."""
    ends_only: bool = False
    """Whether only the ends of jobs matter now: other events and progress are not passed on."""
    wants_progress: bool = True
    """Whether progress ever matters; without it other processes need not send any."""
    closed: bool = False
    """Whether the process is stopping: requests answer with the current state."""
    _goal: asyncio.Future[bool] | None = None

    async def wait(self, timeout_s: float) -> bool:
        """Wait for an event or progress (True) or for ``timeout_s`` seconds (False)."""
        if not self._update.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._update.wait()
            except TimeoutError:
                return False
        self._update.clear()
        return True

    async def wait_finished(self, timeout_s: float) -> bool:
        """Wait until all jobs are finished (True) or for ``timeout_s`` seconds (False)."""
        if self.finished >= self.ids or self.closed:
            return self.finished >= self.ids
        self.ends_only = True
        self._goal = self.loop.create_future()
        timer = self.loop.call_later(timeout_s, self._end_wait, False)
        try:
            return await self._goal
        finally:
            timer.cancel()
            self._goal = None
            self.ends_only = not self.wants_progress

    def _end_wait(self, finished: bool) -> None:
        if self._goal is not None and not self._goal.done():
            self._goal.set_result(finished)

    def take_live(self) -> dict[str, Progress]:
        taken, self.live = self.live, {}
        return taken

    def on_event(self, notice: Notice, view: View | None) -> None:
        if view is not None:
            self.views[notice.job_id] = view
        self.seen[notice.job_id] = max(notice.seq, self.seen.get(notice.job_id, 0))
        if notice.terminal:
            self.finished.add(notice.job_id)
            if self.finished >= self.ids:
                self._end_wait(True)
        self._update.set()

    def on_progress(self, job_id: str, progress: Progress) -> None:
        self.live[job_id] = progress
        self._update.set()

    def wake(self) -> None:
        """Wake the watcher for something the hub does not know of; call on its event loop."""
        self._update.set()

    def close(self) -> None:
        self.closed = True
        self._end_wait(False)
        self._update.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hub.leave(self)


ReadProgress = Callable[[Sequence[str]], dict[str, tuple[int, bool]]]
"""Reads from the database the newest sequence number of each job and whether it is finished."""


class Relay(Protocol):
    """A channel of live progress between processes; `imagemill.pubsub.base.PubSub` is one."""

    @property
    def is_connected(self) -> bool: ...

    def publish_progress(self, job_id: str, progress: Progress) -> None: ...

    def subscribe(self, ids: Iterable[str]) -> None: ...

    def unsubscribe(self, ids: Iterable[str]) -> None: ...


ProgressListener = Callable[[str, Progress], None]
"""Receives a job's id and latest progress, in any thread; it must not block."""


class Hub:
    """The watchers of this process and the latest progress of each job.

    Watched jobs are polled for events of other processes: every ``poll_s`` seconds, or every ``rest_s``
    seconds while the relay is connected. ``most``: how many watchers there may be; ``most_of_owner``: how
    many of one owner, except ``free_owner``.
    """

    def __init__(
        self,
        read: ReadProgress,
        *,
        poll_s: float,
        most: int,
        most_of_owner: int | None = None,
        free_owner: str = "",
        relay: Relay | None = None,
        rest_s: float = 2.0,
    ) -> None:
        self._read = read
        self._poll_s = poll_s
        self._most = most
        self._most_of_owner = most_of_owner if most_of_owner is not None else most
        self._free_owner = free_owner
        self._by_owner: Counter[str] = Counter()
        self._relay = relay
        self._rest_s = rest_s
        self._alarm = asyncio.Event()
        self._lock = threading.Lock()
        self._watchers: dict[str, set[Watcher]] = {}
        self._count = 0
        self._live: dict[str, Progress] = {}
        self._followed: set[str] = set()
        """Jobs of other processes whose progress the listener receives, too."""
        self._listener: ProgressListener | None = None
        self._preview_owners: Counter[str] = Counter()
        """The owners whose previews some stream shows for all of their jobs."""
        self._foreign: set[str] = set()
        """Jobs of `_live` that other processes run; kept only while they are watched."""

    def watch(self, ids: Iterable[str], owner: str, *, ends_only: bool = False) -> Watcher:
        """Return a watcher of these jobs, to be used as a context manager; call on the event loop.

        ``owner``: the owner of the request, whose watchers are counted. ``ends_only``: it is never told of
        anything but the ends of the jobs. Read the database after this call and not before, or an event in
        between is missed. Raises `TooManyStreams`, `TooManyOwnStreams`.
        """
        watcher = Watcher(
            frozenset(ids),
            asyncio.get_running_loop(),
            self,
            owner,
            ends_only=ends_only,
            wants_progress=not ends_only,
        )
        with self._lock:
            self._take_place(owner)
            fresh = self._without_progress(watcher)
            for job_id in watcher.ids:
                self._watchers.setdefault(job_id, set()).add(watcher)
                if job_id in self._live and not ends_only:
                    watcher.on_progress(job_id, self._live[job_id])
        if self._relay is not None and fresh:
            self._relay.subscribe(fresh)
        return watcher

    def _without_progress(self, watcher: Watcher) -> set[str]:
        """Return the jobs of a watcher whose progress no other watcher wants; call with the lock."""
        if not watcher.wants_progress:
            return set()
        return {
            job_id
            for job_id in watcher.ids
            if not any(each.wants_progress for each in self._watchers.get(job_id, ()) if each is not watcher)
        }

    @contextlib.contextmanager
    def place(self, owner: str) -> Generator[None]:
        """Count a stream that watches no particular job. Raises `TooManyStreams`, `TooManyOwnStreams`."""
        with self._lock:
            self._take_place(owner)
        try:
            yield
        finally:
            with self._lock:
                self._leave_place(owner)

    @contextlib.contextmanager
    def previews_of(self, owner: str) -> Generator[None]:
        """Ask for the previews of all jobs of an owner, as if each were watched."""
        with self._lock:
            self._preview_owners[owner] += 1
        try:
            yield
        finally:
            with self._lock:
                self._preview_owners[owner] -= 1
                if not self._preview_owners[owner]:
                    del self._preview_owners[owner]

    def follow(self, ids: Iterable[str]) -> None:
        """Receive the progress, with previews, of renders of other processes; call on the event loop."""
        with self._lock:
            fresh = set(ids) - self._followed
            self._followed |= fresh
            unknown = fresh - self._shown()
        if self._relay is not None:
            self._relay.subscribe(unknown)

    @property
    def followed(self) -> Set[str]:
        return self._followed

    def unfollow(self, ids: Iterable[str]) -> None:
        with self._lock:
            gone = self._followed & set(ids)
            self._followed -= gone
            unwanted = gone - self._shown()
        if self._relay is not None:
            self._relay.unsubscribe(unwanted)

    def _shown(self) -> set[str]:
        """Return the jobs whose progress a watcher wants; call with the lock."""
        return {
            job_id
            for job_id, watchers in self._watchers.items()
            if any(each.wants_progress for each in watchers)
        }

    def listen(self, listener: ProgressListener) -> None:
        """Call ``listener`` with the progress of all renders that this process knows."""
        self._listener = listener

    def _take_place(self, owner: str) -> None:
        self._check_places(owner)
        self._count += 1
        self._by_owner[owner] += 1

    def _leave_place(self, owner: str) -> None:
        self._count -= 1
        self._by_owner[owner] -= 1
        if not self._by_owner[owner]:
            del self._by_owner[owner]

    def _check_places(self, owner: str) -> None:
        if self._count >= self._most:
            raise TooManyStreams(f"{self._most} requests are waiting for events already")
        if owner != self._free_owner and self._by_owner[owner] >= self._most_of_owner:
            raise TooManyOwnStreams(
                f"you have {self._most_of_owner} open event streams and waiting requests already; close some"
            )

    def leave(self, watcher: Watcher) -> None:
        with self._lock:
            self._leave_place(watcher.owner)
            left = self._without_progress(watcher) - self._followed
            for job_id in watcher.ids:
                others = self._watchers.get(job_id, set())
                others.discard(watcher)
                if not others:
                    self._watchers.pop(job_id, None)
            if self._relay is not None:
                for job_id in left & self._foreign:
                    self._live.pop(job_id, None)
                self._foreign -= left
        if self._relay is not None and left:
            self._relay.unsubscribe(left)

    def publish(self, notices: Sequence[Notice], views: Mapping[str, View] | None = None) -> None:
        """Notify watchers of committed events; thread-safe. ``views``: the finished jobs among them, if
        known."""
        known = views or {}
        with self._lock:
            for notice in notices:
                if notice.terminal:
                    self._live.pop(notice.job_id, None)
                    self._foreign.discard(notice.job_id)
            addressed = [
                (watcher, notice)
                for notice in notices
                for watcher in self._watchers.get(notice.job_id, ())
                if notice.terminal or not watcher.ends_only
            ]
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Watcher, Notice]]] = {}
        for watcher, notice in addressed:
            by_loop.setdefault(watcher.loop, []).append((watcher, notice))
        for loop, pairs in by_loop.items():
            _call(loop, lambda pairs=pairs: [w.on_event(n, known.get(n.job_id)) for w, n in pairs])

    def publish_progress(self, job_id: str, progress: Progress) -> None:
        """Pass on the progress of a render of this process; thread-safe. Only the latest is kept."""
        self._keep(job_id, progress)
        if self._relay is not None:
            self._relay.publish_progress(job_id, progress)

    def on_progress(self, job_id: str, progress: Progress) -> None:
        """Accept the progress of a watched render of another process; thread-safe."""
        with self._lock:
            if job_id not in self._watchers and job_id not in self._followed:
                return
            self._foreign.add(job_id)
        self._keep(job_id, progress)

    def _keep(self, job_id: str, progress: Progress) -> None:
        with self._lock:
            self._live[job_id] = progress
            watchers = [w for w in self._watchers.get(job_id, ()) if not w.ends_only]
        if self._listener is not None:
            self._listener(job_id, progress)
        for watcher in watchers:
            _call(watcher.loop, lambda watcher=watcher: watcher.on_progress(job_id, progress))

    def forget(self, job_id: str) -> None:
        """Drop the progress of a job whose render has ended in this process."""
        with self._lock:
            self._live.pop(job_id, None)

    def progress(self, job_id: str) -> Progress | None:
        with self._lock:
            return self._live.get(job_id)

    def is_watched(self, job_id: str, owner: str) -> bool:
        """Whether a stream of this process shows the job's progress; a request for its end does not."""
        with self._lock:
            return owner in self._preview_owners or any(
                not watcher.ends_only for watcher in self._watchers.get(job_id, ())
            )

    def close(self) -> None:
        """Make waiting requests answer with the current state and streams end; thread-safe."""
        with self._lock:
            watchers = {watcher for group in self._watchers.values() for watcher in group}
        for watcher in watchers:
            _call(watcher.loop, watcher.close)

    def look(self) -> None:
        """Poll now, since notices of other processes may have been lost; call on the event loop."""
        self._alarm.set()

    async def poll(self) -> None:
        """Poll watched jobs for events of other processes; runs as long as the server does."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._alarm.wait()
            self._alarm.clear()
            with self._lock:
                ids = list(self._watchers)
            for start in range(0, len(ids), 500):
                chunk = ids[start : start + 500]
                try:
                    found = await pools.read(self._read, chunk)
                except StorageError as error:
                    log.warning(
                        "events of other processes are delayed, the database cannot be read: %s", error
                    )
                    break
                notices = [Notice(id_, seq, done) for id_, (seq, done) in found.items()]
                self.publish([notice for notice in notices if self._is_news(notice)])

    def _pause_s(self) -> float:
        return self._rest_s if self._relay is not None and self._relay.is_connected else self._poll_s

    def _is_news(self, notice: Notice) -> bool:
        with self._lock:
            watchers = self._watchers.get(notice.job_id, ())
            return any(watcher.seen.get(notice.job_id, 0) < notice.seq for watcher in watchers)


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        # The loop is closed: the server is stopping and no request waits on that loop any more.
        return
