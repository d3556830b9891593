"""What happens to pictures of characters, over WebSockets: of one job, or of all that a user has.

Messages of the log have ``jobId`` and ``seq``; with ``cursor`` whoever listens to all of theirs resumes. What
was told within `_OVERLAP_S` before a cursor is told again: commits that overlap are not ordered in time.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from imagemill.backends.base import Progress
from imagemill.domain.clock import SECOND, now_us, to_datetime
from imagemill.domain.events import Event, EventType
from imagemill.domain.jobs import Job
from imagemill.jobs.hub import Hub, Watcher
from imagemill.jobs.store.store import JobStore
from imagemill.products.characters.store import CharacterStore
from imagemill.web.sse import StreamEnd, job_news, progress_body
from imagemill.web.websockets import ENDS, Fed, Message, Previews, messages_of

_OVERLAP_S = 10.0
"""Longer than a transaction that others may overtake."""
_LOOK_S = 1.0
"""How often a user's jobs are looked for that another process accepted."""
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
"""The status of a job as its route answers it; None: it is gone."""


class NewJobNotifier:
    """Who listens to all jobs of an owner, to be told of one this process accepted. On one event loop."""

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
    """Writes messages. ``status``: of a job that has ended."""

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
    """One job, from the event after ``after`` on."""

    job_id: str
    after: int
    teller: MessageEncoder

    async def feed(self, store: JobStore, hub: Hub) -> AsyncGenerator[Fed, None]:
        with hub.watch([self.job_id]) as watcher:
            async for news in job_news(store, watcher, self.job_id, self.after):
                if isinstance(news, StreamEnd):
                    yield ENDS[news]
                elif isinstance(news, Event):
                    yield await self.teller.event(news)
                else:
                    yield [] if news is None else self.teller.live(self.job_id, news)


@dataclass(slots=True)
class UserFeed:
    """All jobs of an owner that came in by a dialect. ``since``: microseconds; None: from now on."""

    owner: str
    dialect: str
    since: int | None
    teller: MessageEncoder
    arrivals: NewJobNotifier
    images: CharacterStore
    _from: int = 0
    _seen: dict[str, int] = field(default_factory=dict[str, int])
    """The last event that was told, by job."""

    async def feed(self, store: JobStore, hub: Hub) -> AsyncGenerator[Fed, None]:
        self._from = now_us() if self.since is None else self.since - round(_OVERLAP_S * SECOND)
        while True:
            since = self._from - round(_OVERLAP_S * SECOND)
            jobs = await asyncio.to_thread(self.images.jobs, self.owner, self.dialect, since)
            self._seen = {job.id: self._seen[job.id] for job in jobs if job.id in self._seen}
            with hub.watch(job.id for job in jobs) as watcher, self.arrivals.joined(self.owner, watcher):
                behind = [job.id for job in reversed(jobs) if self._seen.get(job.id, 0) < job.last_seq]
                async for messages in self._told(store, behind):
                    yield messages
                async for messages in self._live(store, watcher, jobs):
                    yield messages
                if watcher.closed:
                    yield ENDS[StreamEnd.STOPPED]
                    return

    async def _live(self, store: JobStore, watcher: Watcher, jobs: Sequence[Job]) -> AsyncIterator[Fed]:
        """What happens to these jobs, until it is time to look whether there are others."""
        known = {job.id for job in jobs}
        loop = asyncio.get_running_loop()
        end = loop.time() + _LOOK_S
        while not watcher.closed and (left_s := end - loop.time()) > 0:
            if not await watcher.wait(left_s):
                break
            for job_id, progress in watcher.take_live().items():
                yield self.teller.live(job_id, progress)
            fresh = [
                id_ for id_, seq in watcher.seen.items() if seq > self._seen.get(id_, 0) and id_ in known
            ]
            if not fresh and not watcher.live:
                break  # nudged: there is a job the hub does not watch for us
            async for messages in self._told(store, fresh):
                yield messages
        yield []

    async def _told(self, store: JobStore, ids: Sequence[str]) -> AsyncIterator[Fed]:
        for job_id in ids:
            for event in await asyncio.to_thread(store.events_after, job_id, self._seen.get(job_id, 0)):
                self._seen[job_id] = event.seq
                if event.at > self._from:
                    yield await self.teller.event(event)
