"""The feed of all jobs as server-sent events; see `imagemill.jobs.job_feed`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from imagemill.domain.clock import random_fraction, to_datetime
from imagemill.domain.events import Notice
from imagemill.jobs.job_feed import Audience, Changes, Feed, FeedReader, LatestProgress
from imagemill.web.sse import KEEP_ALIVE_S, progress_body

_LIFE_S = 600.0
"""Seconds after which a feed ends, so that a client whose key was revoked is refused when it resumes."""


class FeedFrames:
    """The frames of the feed. Readers at the same position share them, so each is encoded once."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._tick = 0
        self._changes: dict[tuple[Audience, int], tuple[Changes, bytes]] = {}
        self._progress: dict[tuple[str, str | None, int], tuple[int, bytes]] = {}

    def take(self, reader: FeedReader) -> bytes:
        """Return the frames of what the reader has not read, and count it as read; empty for nothing."""
        if self._tick != self.feed.ticks:
            self._tick = self.feed.ticks
            self._changes.clear()
            self._progress.clear()
        key = (reader.audience, reader.position)
        if key not in self._changes:
            changes = self.feed.changes(*key)
            self._changes[key] = (changes, self._encode(changes))
        changes, frames = self._changes[key]
        reader.position = changes.position
        progress_key = (reader.audience.owner, reader.preview_owner, reader.progress_position)
        if progress_key not in self._progress:
            number, found = self.feed.latest_progress(reader.audience, reader.progress_position)
            items = [progress_change(id_, each, reader.preview_owner) for id_, each in found.items()]
            self._progress[progress_key] = (number, _frame("progress", {"progress": items}) if items else b"")
        reader.progress_position, progress = self._progress[progress_key]
        return frames + progress

    def _encode(self, changes: Changes) -> bytes:
        id_ = self.feed.id(changes.position)
        frames: list[bytes] = []
        if changes.is_reset:
            frames.append(_frame("reset", {}, id_))
        if changes.notices:
            frames.append(_frame("jobs", {"jobs": [job_change(each) for each in changes.notices]}, id_))
        frames += [_frame(name.value, {}, id_) for name in changes.lists]
        return b"".join(frames)

    async def stream(self, reader: FeedReader, *, keep_alive_s: float = KEEP_ALIVE_S) -> AsyncIterator[bytes]:
        """Yield what a reader is sent until the feed ends."""
        loop = asyncio.get_running_loop()
        # Not all at once: they would all be opened again at the same moment.
        end = loop.time() + _LIFE_S * (1 + random_fraction() / 5)
        yield b"retry: 2000\n" + self._mark(reader)
        while not self.feed.closed and loop.time() < end:
            if not await reader.wait(keep_alive_s):
                yield self._mark(reader)
            elif frames := self.take(reader):
                yield frames

    def _mark(self, reader: FeedReader) -> bytes:
        """Return the id of a reader's position without an event: a keep-alive from which it can resume."""
        return b"id: " + self.feed.id(reader.position).encode() + b"\n\n" if reader.position else b"\n"


class FeedStream(Response):
    """The response with the feed after the change ``last_id``.

    ``payer``: the owner whose open streams it counts to. Raises `TooManyStreams`, `TooManyOwnStreams` before
    a byte is sent.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: FeedFrames,
        audience: Audience,
        last_id: str | None,
        payer: str,
        preview_owner: str | None = None,
    ) -> None:
        super().__init__()
        self._frames = frames
        self._reader = frames.feed.reader(audience, last_id, payer, preview_owner=preview_owner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._reader as reader:
            response = StreamingResponse(
                self._frames.stream(reader),
                media_type=self.media_type,
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
            await response(scope, receive, send)


def job_change(notice: Notice) -> dict[str, Any]:
    assert notice.type is not None  # noqa: S101 - those of unknown owners are read from the database
    assert notice.status is not None  # noqa: S101 - likewise
    return {
        "id": notice.job_id,
        "owner": notice.owner,
        "seq": notice.seq,
        "type": notice.type.value,
        "status": notice.status.value,
        "recipe": notice.recipe,
        "at": to_datetime(notice.at).isoformat(),
    }


def progress_change(job_id: str, latest: LatestProgress, preview_owner: str | None = None) -> dict[str, Any]:
    return {"id": job_id, **progress_body(latest.progress, preview=latest.owner == preview_owner)}


def _frame(name: str, body: Mapping[str, Any], id_: str | None = None) -> bytes:
    id_line = b"" if id_ is None else b"id: " + id_.encode() + b"\n"
    return id_line + b"event: " + name.encode() + b"\ndata: " + to_json(body) + b"\n\n"
