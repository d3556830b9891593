"""A job's events as they happen: server-sent events, resumable, with live progress in between."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from imagemill.backends.base import Progress
from imagemill.domain.clock import to_datetime
from imagemill.domain.events import Event
from imagemill.service.hub import Hub, Watcher
from imagemill.store.store import Store

KEEP_ALIVE_S = 15.0
"""Below the idle time-outs of usual proxies."""
_PAGE = 500


def event_body(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "type": event.type.value,
        "at": to_datetime(event.at).isoformat(),
        "attempt": event.attempt,
        "data": event.data,
    }


def progress_body(progress: Progress) -> dict[str, Any]:
    body: dict[str, Any] = {
        "step": progress.step,
        "total": progress.total,
        "progress": round(progress.fraction, 4),
        "note": progress.note,
    }
    if progress.preview is not None:
        encoded = base64.b64encode(progress.preview).decode()
        body["preview"] = f"data:{progress.preview_type};base64,{encoded}"
    return body


class EventStream(Response):
    """A job's events after ``after``. Raises `TooManyStreams` before a byte is sent."""

    media_type = "text/event-stream"

    def __init__(self, store: Store, hub: Hub, job_id: str, after: int) -> None:
        super().__init__()
        self._source = (store, hub, job_id, after)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        store, hub, job_id, after = self._source
        with hub.watch([job_id]) as watcher:
            response = StreamingResponse(
                job_events(store, watcher, job_id, after),
                media_type=self.media_type,
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
            await response(scope, receive, send)


async def job_events(
    store: Store, watcher: Watcher, job_id: str, after: int, *, keep_alive_s: float = KEEP_ALIVE_S
) -> AsyncIterator[bytes]:
    """Durable events carry their sequence number as the id; progress has none, as it cannot be resumed.

    Ends after the terminal event.
    """
    yield b"retry: 2000\n\n"
    seq = after
    while True:
        events = await asyncio.to_thread(store.events_after, job_id, seq, _PAGE)
        for event in events:
            seq = event.seq
            yield _frame(event.type.value, event_body(event), seq)
            if event.type.is_terminal:
                return
        if not events:
            if watcher.closed or not await _is_open(store, job_id, seq):
                return
            async for frame in _live(watcher, job_id, seq, keep_alive_s):
                yield frame


async def _live(watcher: Watcher, job_id: str, seq: int, keep_alive_s: float) -> AsyncIterator[bytes]:
    """Progress until there is a newer event than ``seq``."""
    while not watcher.closed and watcher.seen.get(job_id, 0) <= seq:
        if not await watcher.wait(keep_alive_s):
            yield b": keep-alive\n\n"
            return
        for progress in watcher.take_live().values():
            yield _frame("progress", progress_body(progress), None)


async def _is_open(store: Store, job_id: str, seq: int) -> bool:
    """False once the reader has seen the last event, or the job was deleted."""
    found = (await asyncio.to_thread(store.progress_of, [job_id])).get(job_id)
    return found is not None and not (found[1] and found[0] <= seq)


def _frame(name: str, body: dict[str, Any], seq: int | None) -> bytes:
    id_line = b"" if seq is None else b"id: %d\n" % seq
    return id_line + b"event: " + name.encode() + b"\ndata: " + to_json(body) + b"\n\n"
