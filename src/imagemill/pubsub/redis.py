"""Events and progress over Redis's publish and subscribe; nothing is stored there.

The events of all jobs share one channel: they are small, and a process that subscribes at its start misses
none between a submission and its response. Requests to act have a second channel, for processes that no
client waits on: reading every event of the whole fleet costs more than sending it. Progress has a channel for
each job, so that previews go only to processes that show them.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.exceptions import RedisError

from imagemill.backends.base import Progress
from imagemill.pubsub.base import ClusterEvent, EventHandlers
from imagemill.pubsub.codec import pack, pack_progress, unpack, unpack_progress
from imagemill.pubsub.threads import PublishFailed, SenderThread

log = logging.getLogger(__name__)

_CONNECT_S = 2.0
_ANSWER_S = 5.0
_CHECK_S = 10.0
"""Seconds between two health checks of an idle subscription."""
_RETRY_S, _RETRY_CAP_S = 0.5, 10.0


class RedisPubSub:
    """``sender`` is the id of this process. ``job_events``: whether it receives events of jobs."""

    def __init__(self, url: str, sender: str, *, job_events: bool = True) -> None:
        self._url = url
        self._sender = sender
        # Installations on one Redis have different database numbers; channels are shared, so the name has it.
        database = urlsplit(url).path.strip("/") or "0"
        self._event_channel = f"imagemill/{database}/news"
        self._action_channel = f"imagemill/{database}/calls"
        self._subscribed_channel = self._event_channel if job_events else self._action_channel
        self._progress_prefix = f"imagemill/{database}/live/"
        self._client: Any = redis.Redis.from_url(
            url, socket_connect_timeout=_CONNECT_S, socket_timeout=_ANSWER_S, socket_keepalive=True
        )
        self._watched: set[str] = set()
        """Jobs whose last progress had a subscriber; only their progress is sent with the preview."""
        self._followed: set[str] = set()
        self._pubsub: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sender_thread = SenderThread(self._send, name="redis")

    @property
    def is_connected(self) -> bool:
        return self._pubsub is not None

    def publish(self, events: Sequence[ClusterEvent]) -> None:
        self._sender_thread.publish(events)

    def publish_progress(self, job_id: str, progress: Progress) -> None:
        self._sender_thread.publish_progress(job_id, progress)

    def close(self) -> None:
        self._sender_thread.close()
        self._client.close()

    def _send(self, event: ClusterEvent, progress: dict[str, Progress]) -> None:
        pipeline: Any = self._client.pipeline(transaction=False)
        for job_id, latest in progress.items():
            whole = job_id in self._watched
            pipeline.publish(self._progress_prefix + job_id, pack_progress(self._sender, latest, whole=whole))
        if event:
            pipeline.publish(self._event_channel, pack(self._sender, event))
        if actions := replace(event, events=()):
            pipeline.publish(self._action_channel, pack(self._sender, actions))
        try:
            receivers: list[int] = pipeline.execute()
        except (RedisError, OSError) as error:
            raise PublishFailed(str(error)) from error
        for job_id, count in zip(progress, receivers, strict=False):
            (self._watched.add if count else self._watched.discard)(job_id)
        self._watched -= {notice.job_id for notice in event.events if notice.terminal}

    def subscribe(self, ids: Iterable[str]) -> None:
        fresh = set(ids) - self._followed
        self._followed |= fresh
        if self._pubsub is not None and fresh:
            self._run_in_background(
                self._pubsub.subscribe(*(self._progress_prefix + job_id for job_id in fresh))
            )

    def unsubscribe(self, ids: Iterable[str]) -> None:
        gone = self._followed & set(ids)
        self._followed -= gone
        if self._pubsub is not None and gone:
            self._run_in_background(
                self._pubsub.unsubscribe(*(self._progress_prefix + job_id for job_id in gone))
            )

    async def listen(self, handlers: EventHandlers) -> None:
        pause_s = _RETRY_S
        while True:
            try:
                await self._session(handlers)
            except (RedisError, OSError) as error:
                if self._pubsub is not None:
                    pause_s = _RETRY_S
                    log.warning("events of other processes are polled until Redis is back: %s", error)
            finally:
                self._pubsub = None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _RETRY_CAP_S)

    async def _session(self, handlers: EventHandlers) -> None:
        client: Any = redis.asyncio.Redis.from_url(
            self._url,
            socket_connect_timeout=_CONNECT_S,
            socket_keepalive=True,
            health_check_interval=_CHECK_S,
        )
        async with client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(
                self._subscribed_channel, *(self._progress_prefix + job_id for job_id in self._followed)
            )
            self._pubsub = pubsub
            handlers.on_connect()
            while True:
                message = await pubsub.get_message(timeout=_CHECK_S / 2)
                if message is not None:
                    self._handle(message, handlers)

    def _handle(self, message: dict[str, Any], handlers: EventHandlers) -> None:
        channel: str = message["channel"].decode()
        try:
            if channel == self._subscribed_channel:
                sender, event = unpack(message["data"])
                if sender != self._sender:
                    handlers.on_event(event)
                return
            sender, progress = unpack_progress(message["data"])
        except (ValueError, KeyError, TypeError) as error:
            log.warning("a message on the Redis channel %s cannot be read: %s", channel, error)
            return
        if sender != self._sender:
            handlers.on_progress(channel.removeprefix(self._progress_prefix), progress)

    def _run_in_background(self, change: Any) -> None:
        async def run() -> None:
            try:
                await change
            except (RedisError, OSError) as error:
                # The session ends with the same error, and the next one subscribes to everything again.
                log.debug("a subscription could not be changed: %s", error)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
