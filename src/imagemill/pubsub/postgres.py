"""Events over PostgreSQL's LISTEN and NOTIFY, for installations without Redis. Progress is too large for it.

LISTEN needs a session of its own, which a pooler in transaction mode does not provide. So each process
notifies itself every 10 s; when the notification does not arrive, it counts as disconnected and events are
polled. The notification is sent from another session, as a pooler does deliver what a client's own
transaction notified.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from imagemill.backends.base import Progress
from imagemill.db.engine import postgres_options
from imagemill.pubsub.base import ClusterEvent, EventHandlers
from imagemill.pubsub.codec import pack, unpack
from imagemill.pubsub.threads import PublishFailed, SenderThread

log = logging.getLogger(__name__)

_CHANNEL = "imagemill_news"
_MOST_NOTICES = 25
"""Maximum number of notices in a payload: it may have 8,000 bytes, and a notice takes up to 300."""
_CHECK_S = 10.0
"""Seconds between two notifications to itself."""
_ECHO_S = 3.0
"""Seconds within which such a notification must arrive."""
_RETRY_S, _RETRY_CAP_S = 0.5, 10.0
_LIMITS: dict[str, Any] = {**postgres_options({}), "connect_timeout": 2}
"""A connection whose packets are lost is given up after seconds."""
_NOTIFY = "SELECT pg_notify(%s, %s)"


class PostgresPubSub:
    """``url`` is in psycopg's format. ``sender`` is the id of this process."""

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
        del job_id, progress  # the event log has it once a second; see the module's docstring

    def subscribe(self, ids: Iterable[str]) -> None:
        del ids

    def unsubscribe(self, ids: Iterable[str]) -> None:
        del ids

    def close(self) -> None:
        self._sender_thread.close()
        if self._writer is not None:
            self._writer.close()

    def _send(self, event: ClusterEvent, progress: dict[str, Progress]) -> None:
        del progress
        try:
            if self._writer is None or self._writer.closed:
                self._writer = psycopg.connect(self._url, autocommit=True, **_LIMITS)
            for part in _split(event):
                self._writer.execute(_NOTIFY, (_CHANNEL, pack(self._sender, part).decode()))
        except psycopg.Error as error:
            self._writer = None
            raise PublishFailed(str(error)) from error

    async def listen(self, handlers: EventHandlers) -> None:
        pause_s, warned = _RETRY_S, False
        while True:
            try:
                await self._session(handlers)
            except (psycopg.Error, OSError, TimeoutError) as error:
                if self._is_connected:
                    pause_s, warned = _RETRY_S, False
                if not warned:
                    warned = True
                    log.warning("events of other processes are polled until they arrive again: %s", error)
            finally:
                self._is_connected = False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _RETRY_CAP_S)

    async def _session(self, handlers: EventHandlers) -> None:
        """Listen on a new connection. Raises `TimeoutError` when a notification to itself does not arrive."""
        connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, **_LIMITS)
        async with connection:
            await connection.execute(f"LISTEN {_CHANNEL}")  # pyright: ignore[reportArgumentType] - a constant
            while True:
                await self._notify_self()
                await self._listen_until_next_check(connection, handlers)

    async def _notify_self(self) -> None:
        """Notify this process from a short session; a permanent third one would be idle nearly always."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True, **_LIMITS) as connection:
            await connection.execute(_NOTIFY, (_CHANNEL, pack(self._sender, ClusterEvent()).decode()))

    async def _listen_until_next_check(self, connection: Any, handlers: EventHandlers) -> None:
        """Handle notifications until the next notification to itself is due."""
        started, arrived = time.monotonic(), False
        while (elapsed_s := time.monotonic() - started) < _CHECK_S:
            if not arrived and elapsed_s >= _ECHO_S:
                raise TimeoutError("the connection delivers no notifications; is it through a pooler?")
            async for notify in connection.notifies(timeout=_ECHO_S, stop_after=1):
                sender, event = unpack(notify.payload)
                if sender != self._sender:
                    if event:  # an empty one is another process's notification to itself
                        handlers.on_event(event)
                elif not arrived:
                    arrived = True
                    self._set_connected(handlers)

    def _set_connected(self, handlers: EventHandlers) -> None:
        if not self._is_connected:
            self._is_connected = True
            handlers.on_connect()


def _split(event: ClusterEvent) -> list[ClusterEvent]:
    """Split an event into parts that fit a payload."""
    first = replace(event, events=event.events[:_MOST_NOTICES])
    more = range(_MOST_NOTICES, len(event.events), _MOST_NOTICES)
    return [part for part in (first, *(_slice(event, start) for start in more)) if part]


def _slice(event: ClusterEvent, start: int) -> ClusterEvent:
    return ClusterEvent(event.events[start : start + _MOST_NOTICES])
