"""The sender thread, so that commits and renders do not wait for the network; and the listener thread."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence

from imagemill.backends.base import Progress
from imagemill.net.loops import new_event_loop
from imagemill.pubsub.base import ClusterEvent, EventHandlers, PubSub
from imagemill.pubsub.codec import merge

log = logging.getLogger(__name__)

_MAX_PENDING = 10_000
"""Maximum number of unsent events; further ones are dropped, as all of them can be read from the database."""
_AFTER_ERROR_S = 1.0

Send = Callable[[ClusterEvent, dict[str, Progress]], None]
"""Sends an event and the latest progress by job. Raises `PublishFailed`."""


class PublishFailed(Exception):
    """A message could not be sent; the cause is in the message."""


class SenderThread:
    """Collects events and progress, and sends them from one thread."""

    def __init__(self, send: Send, *, name: str) -> None:
        self._send = send
        self._condition = threading.Condition()
        self._events: list[ClusterEvent] = []
        self._progress: dict[str, Progress] = {}
        self._closed = False
        self._is_failing = False
        self._thread = threading.Thread(target=self._serve, name=f"imagemill-{name}", daemon=True)
        self._thread.start()

    def publish(self, events: Sequence[ClusterEvent]) -> None:
        with self._condition:
            if len(self._events) < _MAX_PENDING:
                self._events.extend(events)
            self._condition.notify()

    def publish_progress(self, job_id: str, progress: Progress) -> None:
        with self._condition:
            self._progress[job_id] = progress
            self._condition.notify()

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed or self._events or self._progress)
                events, self._events = self._events, []
                progress, self._progress = self._progress, {}
                if not (events or progress):
                    return
            try:
                self._send(merge(events), progress)
                self._is_failing = False
            except PublishFailed as error:
                if not self._is_failing:
                    log.warning("events cannot be sent, other processes poll the database: %s", error)
                self._is_failing = True
                if self._closed:
                    return
                # The events are not sent again: the other processes poll the database meanwhile.
                time.sleep(_AFTER_ERROR_S)
            except Exception:
                log.exception("events could not be sent; other processes poll the database")


class ListenerThread:
    """Runs `PubSub.listen` on an event loop in a thread of its own."""

    def __init__(self, pubsub: PubSub, handlers: EventHandlers) -> None:
        self._pubsub = pubsub
        self._handlers = handlers
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="imagemill-listener", daemon=True)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = self._loop.create_task(self._pubsub.listen(self._handlers))
        self._thread.start()

    def call(self, act: Callable[[], object]) -> None:
        """Run ``act`` soon on the listener's event loop."""
        self._loop.call_soon_threadsafe(act)

    def close(self) -> None:
        if self._task is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self._loop.close()

    def _serve(self) -> None:
        assert self._task is not None  # noqa: S101 - set before the thread starts
        self._loop.run_until_complete(asyncio.wait([self._task]))
