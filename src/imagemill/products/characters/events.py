"""The events of pictures of characters over WebSockets: of one job, or of all jobs of a user.

Messages of the event log have ``jobId`` and ``seq``; a client of all jobs resumes by ``cursor``. Messages of
the last `_OVERLAP_S` seconds before a cursor are sent again, since commits that overlap are not ordered in
time.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from imagemill.backends.base import Progress
from imagemill.domain.clock import SECOND, now_us, to_datetime
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import Event, EventType
from imagemill.domain.jobs import Job
from imagemill.jobs.hub import Hub, Watcher
from imagemill.jobs.store.store import JobStore
from imagemill.net import pools
from imagemill.products.characters.store import CharacterStore
from imagemill.web.sse import StreamEnd, job_news, progress_body
from imagemill.web.websockets import ENDS, Fed, Message, Previews, messages_of

_OVERLAP_S = 10.0
"""Seconds, longer than a transaction that others may overtake."""
_LOOK_S = 1.0
"""Seconds between polls for a user's jobs that another process accepted."""
_TYPES = {
    EventType.INITIALIZED: "queued",
    EventType.CLAIMED: "active",
    EventType.UPDATED: "progress",
    EventType.REJECTED: "retrying",
    EventType.CLAIM_EXPIRED: "retrying",
    EventType.SUCCEEDED: "image",
    EventType.FAILED: "failed",
    EventType.CANCELED: "failed",
    EventType.EXPIRED: "failed",
}
Ended = Callable[[str], Awaitable[dict[str, Any] | None]]
"""Returns the status of a job as its route does; None for a deleted job."""


class NewJobNotifier:
    """Wakes the watchers of an owner for a new job of this process. Used on one event loop."""

    def __init__(self) -> None:
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)

    @contextmanager
    def joined(self, owner: str, watcher: Watcher) -> Iterator[None]:
        self._watchers[owner].add(watcher)
        try:
            yield
        finally:
            self._watchers[owner].discard(watcher)
            if not self._watchers[owner]:
                del self._watchers[owner]

    def tell(self, owner: str) -> None:
        for watcher in self._watchers.get(owner, ()):
            watcher.wake()


@dataclass(frozen=True, slots=True)
class MessageEncoder:
    """Encodes messages. ``status`` returns the status of a job that has ended."""

    status: Ended
    previews: Previews

    async def event(self, event: Event) -> list[Message]:
        body: dict[str, Any] = {
            "type": _TYPES[event.type],
            "jobId": event.job_id,
            "seq": event.seq,
            "cursor": str(event.at),
            "at": to_datetime(event.at).isoformat(),
        }
        if event.type is EventType.UPDATED:
            body |= {name: event.data.get(name) for name in ("step", "total", "progress")}
        if event.type.is_terminal:
            status = await self.status(event.job_id)
            if status is not None:
                body |= {name: status[name] for name in ("state", "data", "result", "failedReason", "error")}
        return list(messages_of(body, None, self.previews))

    def live(self, job_id: str, progress: Progress) -> list[Message]:
        body = progress_body(progress, preview=self.previews == "base64")
        shown = "preview" if progress.preview is not None and self.previews != "none" else "progress"
        return list(messages_of({"type": shown, "jobId": job_id, **body}, progress, self.previews))


@dataclass(frozen=True, slots=True)
class JobFeed:
    """The events of one job after ``after``, for its owner."""

    owner: str
    job_id: str
    after: int
    teller: MessageEncoder

    async def feed(self, store: JobStore, hub: Hub) -> AsyncGenerator[Fed, None]:
        with hub.watch([self.job_id], self.owner) as watcher:
            async for news in job_news(store, watcher, self.job_id, self.after):
                if isinstance(news, StreamEnd):
                    yield ENDS[news]
                elif isinstance(news, Event):
                    yield await self.teller.event(news)
                else:
                    yield [] if news is None else self.teller.live(self.job_id, news)


@dataclass(slots=True)
class UserFeed:
    """The events of an owner's jobs of a dialect after ``since`` microseconds; None means from now on."""

    owner: str
    dialect: str
    since: int | None
    teller: MessageEncoder
    arrivals: NewJobNotifier
    images: CharacterStore
    _from: int = 0
    _seen: dict[str, int] = field(default_factory=dict[str, int])
    """The number of the last event that was sent, by job."""
    _shown: dict[str, Progress] = field(default_factory=dict[str, Progress])
    """The progress that was last sent, by job: a new watcher begins with the latest of each job."""

    async def feed(self, store: JobStore, hub: Hub) -> AsyncGenerator[Fed, None]:
        self._from = now_us() if self.since is None else self.since - round(_OVERLAP_S * SECOND)
        while True:
            since = self._from - round(_OVERLAP_S * SECOND)
            jobs = await pools.read(self.images.jobs, self.owner, self.dialect, since)
            self._seen = {job.id: self._seen[job.id] for job in jobs if job.id in self._seen}
            self._shown = {job.id: self._shown[job.id] for job in jobs if job.id in self._shown}
            with (
                hub.watch((job.id for job in jobs), self.owner) as watcher,
                self.arrivals.joined(self.owner, watcher),
            ):
                behind = [job.id for job in reversed(jobs) if self._seen.get(job.id, 0) < job.last_seq]
                async for messages in self._events_of(store, behind):
                    yield messages
                async for messages in self._live(store, watcher, jobs):
                    yield messages
                if watcher.closed:
                    yield ENDS[StreamEnd.STOPPED]
                    return

    async def _live(self, store: JobStore, watcher: Watcher, jobs: Sequence[Job]) -> AsyncIterator[Fed]:
        """Yield events and progress of these jobs, until it is time to look for new ones."""
        known = {job.id for job in jobs}
        loop = asyncio.get_running_loop()
        end = loop.time() + _LOOK_S
        while not watcher.closed and (left_s := end - loop.time()) > 0:
            if not await watcher.wait(left_s):
                break
            live = watcher.take_live()
            for job_id, progress in live.items():
                if self._shown.get(job_id) is not progress:
                    self._shown[job_id] = progress
                    yield self.teller.live(job_id, progress)
            fresh = [
                id_ for id_, seq in watcher.seen.items() if seq > self._seen.get(id_, 0) and id_ in known
            ]
            if not fresh and not live:
                break  # woken for a job that the watcher does not include
            async for messages in self._events_of(store, fresh):
                yield messages
        yield []

    async def _events_of(self, store: JobStore, ids: Sequence[str]) -> AsyncIterator[Fed]:
        for job_id in ids:
            for event in await pools.read(store.events_after, job_id, self._seen.get(job_id, 0)):
                self._seen[job_id] = event.seq
                if event.at > self._from:
                    yield await self.teller.event(event)
