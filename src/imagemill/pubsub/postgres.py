"""News over PostgreSQL's LISTEN and NOTIFY, where there is no Redis. Progress is too large for it.

Needs a session of its own, which a pooler in transaction mode does not give: each listener is called by its
own process now and then, and one that does not hear it counts as deaf, so that events are polled as before.
The call comes from another session, as a pooler does hand a client what its own transaction notified.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from imagemill.backends.base import Progress
from imagemill.pubsub.base import ClusterEvent, EventHandlers
from imagemill.pubsub.codec import pack, unpack
from imagemill.pubsub.threads import PublishFailed, SenderThread

log = logging.getLogger(__name__)

_CHANNEL = "imagemill_news"
_MOST_NOTICES = 100
"""A payload may have 8,000 bytes; a notice takes about 50."""
_CHECK_S = 10.0
_ECHO_S = 3.0
_RETRY_S, _RETRY_CAP_S = 0.5, 10.0
_NOTIFY = "SELECT pg_notify(%s, %s)"


class PostgresPubSub:
    """``url``: as psycopg takes it. ``sender`` names this process."""

    def __init__(self, url: str, sender: str) -> None:
        self._url = url
        self._sender = sender
        self._is_connected = False
        self._writer: Any = None
        self._sender_thread = SenderThread(self._send, name="notify")

    @property
    def is_connected(self) -> bool:
        return self._is_connected

    def publish(self, events: Sequence[ClusterEvent]) -> None:
        self._sender_thread.publish(events)

    def publish_progress(self, job_id: str, progress: Progress) -> None:
        del job_id, progress  # the log has it once a second; see the module

    def subscribe(self, ids: Iterable[str]) -> None:
        del ids

    def unsubscribe(self, ids: Iterable[str]) -> None:
        del ids

    def close(self) -> None:
        self._sender_thread.close()
        if self._writer is not None:
            self._writer.close()

    def _send(self, news: ClusterEvent, progress: dict[str, Progress]) -> None:
        del progress
        try:
            if self._writer is None or self._writer.closed:
                self._writer = psycopg.connect(self._url, autocommit=True, connect_timeout=2)
            for part in _split(news):
                self._writer.execute(_NOTIFY, (_CHANNEL, pack(self._sender, part).decode()))
        except psycopg.Error as error:
            self._writer = None
            raise PublishFailed(str(error)) from error

    async def listen(self, handlers: EventHandlers) -> None:
        pause_s, told = _RETRY_S, False
        while True:
            try:
                await self._session(handlers)
            except (psycopg.Error, OSError, TimeoutError) as error:
                if self._is_connected:
                    pause_s, told = _RETRY_S, False
                if not told:
                    told = True
                    log.warning("news of other processes are looked up until they are heard: %s", error)
            finally:
                self._is_connected = False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _RETRY_CAP_S)

    async def _session(self, handlers: EventHandlers) -> None:
        """Raises `TimeoutError` once it does not hear itself."""
        connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=2)
        async with connection:
            await connection.execute(f"LISTEN {_CHANNEL}")  # pyright: ignore[reportArgumentType] - a constant
            while True:
                await self._notify_self()
                await self._listen_until_next_check(connection, handlers)

    async def _notify_self(self) -> None:
        """A session for a moment: a third one to hold for this would be idle nearly always."""
        async with await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=2
        ) as caller:
            await caller.execute(_NOTIFY, (_CHANNEL, pack(self._sender, ClusterEvent()).decode()))

    async def _listen_until_next_check(self, connection: Any, handlers: EventHandlers) -> None:
        """Until it is time to call oneself again."""
        called, heard = time.monotonic(), False
        while (elapsed_s := time.monotonic() - called) < _CHECK_S:
            if not heard and elapsed_s >= _ECHO_S:
                raise TimeoutError("the connection delivers no notifications; is it through a pooler?")
            async for notify in connection.notifies(timeout=_ECHO_S, stop_after=1):
                sender, news = unpack(notify.payload)
                if sender != self._sender:
                    if news:  # else it only calls itself
                        handlers.on_event(news)
                elif not heard:
                    heard = True
                    self._set_connected(handlers)

    def _set_connected(self, handlers: EventHandlers) -> None:
        if not self._is_connected:
            self._is_connected = True
            handlers.on_connect()


def _split(news: ClusterEvent) -> list[ClusterEvent]:
    """The same news, each part small enough for a payload."""
    first = replace(news, events=news.events[:_MOST_NOTICES])
    more = range(_MOST_NOTICES, len(news.events), _MOST_NOTICES)
    return [part for part in (first, *(_slice(news, start) for start in more)) if part]


def _slice(news: ClusterEvent, start: int) -> ClusterEvent:
    return ClusterEvent(news.events[start : start + _MOST_NOTICES])
