"""A job's events as they happen, resumable, with live progress in between.

They are sent as server-sent events here, and over a WebSocket in `imagemill.web.websockets`. Both send the
items of `job_news` in the form of `streamed_event`.
"""

import base64
from collections.abc import AsyncIterator
from enum import Enum, auto
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from imagemill.backends.base import Progress
from imagemill.domain.clock import to_datetime
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import Event
from imagemill.jobs.hub import Hub, Watcher
from imagemill.jobs.store.store import JobStore
from imagemill.net import pools

KEEP_ALIVE_S = 15.0
"""Seconds between keep-alives, below the idle time-outs of common proxies."""
_PAGE = 500


class StreamEnd(Enum):
    """The reason why a stream of events ends."""

    FINISHED = auto()
    GONE = auto()
    """The job was deleted."""
    STOPPED = auto()
    """The process is stopping; the job may continue."""


News = Event | Progress | StreamEnd | None
"""An item of a stream. None means that nothing has happened for the time of a keep-alive."""


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """An event or progress in the form clients read. Progress has no number, since it is not stored."""

    name: str
    body: dict[str, Any]
    seq: int | None = None


def event_body(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "type": event.type.value,
        "at": to_datetime(event.at).isoformat(),
        "attempt": event.attempt,
        "data": event.data,
    }


def progress_body(progress: Progress, *, preview: bool = True) -> dict[str, Any]:
    body: dict[str, Any] = {
        "step": progress.step,
        "total": progress.total,
        "progress": round(progress.fraction, 4),
        "note": progress.note,
    }
    if preview and progress.preview is not None:
        encoded = base64.b64encode(progress.preview).decode()
        body["preview"] = f"data:{progress.preview_type};base64,{encoded}"
    return body


def streamed_event(news: Event | Progress, *, preview: bool = True) -> StreamedEvent:
    if isinstance(news, Event):
        return StreamedEvent(news.type.value, event_body(news), news.seq)
    return StreamedEvent("progress", {"type": "progress", **progress_body(news, preview=preview)})


class EventStream(Response):
    """The response with a job's events after ``after``, for a reader who is ``owner``.

    Raises `TooManyStreams` and `TooManyOwnStreams` before a byte is sent.
    """

    media_type = "text/event-stream"

    def __init__(self, store: JobStore, hub: Hub, job_id: str, after: int, owner: str) -> None:
        super().__init__()
        self._source = (store, hub, job_id, after, owner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        store, hub, job_id, after, owner = self._source
        with hub.watch([job_id], owner) as watcher:
            response = StreamingResponse(
                job_events(store, watcher, job_id, after),
                media_type=self.media_type,
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
            await response(scope, receive, send)


async def job_events(
    store: JobStore, watcher: Watcher, job_id: str, after: int, *, keep_alive_s: float = KEEP_ALIVE_S
) -> AsyncIterator[bytes]:
    """Yield a job's events, with sequence numbers as ids, and progress. Ends after the terminal event."""
    yield b"retry: 2000\n\n"
    async for news in job_news(store, watcher, job_id, after, keep_alive_s=keep_alive_s):
        if news is None:
            yield b": keep-alive\n\n"
        elif not isinstance(news, StreamEnd):
            yield _frame(streamed_event(news))


async def job_news(
    store: JobStore, watcher: Watcher, job_id: str, after: int, *, keep_alive_s: float = KEEP_ALIVE_S
) -> AsyncIterator[News]:
    """Yield every event after ``after`` in order, the latest progress in between, and last the reason of the
    end.

    Nothing is buffered for a slow reader: events are read from the log as it takes them, and only the latest
    progress is kept.
    """
    seq = after
    while True:
        events = await pools.read(store.events_after, job_id, seq, _PAGE)
        for event in events:
            seq = event.seq
            yield event
            if event.type.is_terminal:
                yield StreamEnd.FINISHED
                return
        if not events:
            end = StreamEnd.STOPPED if watcher.closed else await _end(store, job_id, seq)
            if end is not None:
                yield end
                return
            async for news in _live(watcher, job_id, seq, keep_alive_s):
                yield news


async def _live(
    watcher: Watcher, job_id: str, seq: int, keep_alive_s: float
) -> AsyncIterator[Progress | None]:
    """Yield progress until there is an event newer than ``seq``."""
    while not watcher.closed and watcher.seen.get(job_id, 0) <= seq:
        if not await watcher.wait(keep_alive_s):
            yield None
            return
        for progress in watcher.take_live().values():
            yield progress


async def _end(store: JobStore, job_id: str, seq: int) -> StreamEnd | None:
    """Return the reason to end the stream after event ``seq``, or None if there is none yet."""
    found = (await pools.read(store.progress_of, [job_id])).get(job_id)
    if found is None:
        return StreamEnd.GONE
    return StreamEnd.FINISHED if found[1] and found[0] <= seq else None


def _frame(news: StreamedEvent) -> bytes:
    id_line = b"" if news.seq is None else b"id: %d\n" % news.seq
    return id_line + b"event: " + news.name.encode() + b"\ndata: " + to_json(news.body) + b"\n\n"
