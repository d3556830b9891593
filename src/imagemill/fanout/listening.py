"""Listening in a process that has no event loop of its own."""

import asyncio
import threading
from collections.abc import Callable

from imagemill.fanout.base import Ears, Fanout


class Listening:
    def __init__(self, fanout: Fanout, ears: Ears) -> None:
        self._fanout = fanout
        self._ears = ears
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="imagemill-news", daemon=True)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = self._loop.create_task(self._fanout.listen(self._ears))
        self._thread.start()

    def call(self, act: Callable[[], object]) -> None:
        """On the listener's event loop, soon."""
        self._loop.call_soon_threadsafe(act)

    def close(self) -> None:
        if self._task is None:
            return
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self._loop.close()

    def _serve(self) -> None:
        assert self._task is not None  # noqa: S101 - set before the thread starts
        self._loop.run_until_complete(asyncio.wait([self._task]))
