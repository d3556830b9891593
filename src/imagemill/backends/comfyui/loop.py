"""The event loop of all nodes: one thread for their WebSockets and timers, and threads for their checks."""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from imagemill.net.loops import new_event_loop

log = logging.getLogger(__name__)

CLOSE_S = 2.0
"""Longest wait for the end of the loop's tasks."""
FEW = 4
"""Threads for the checks of nodes that answer; a check takes milliseconds every few seconds."""
GROW_S = 0.25
"""Interval in which threads are added while work waits and none is taken."""
IDLE_S = 30.0
"""Seconds after which a thread without work ends."""


class NodeLoop:
    """One asyncio loop in a thread of its own, started with the first task. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._threads = CheckThreads("imagemill-comfyui-check")
        self._grows = False

    def start_task(self, work: Coroutine[Any, Any, None]) -> "Future[None] | None":
        """Run a coroutine on the loop; None after `close`."""
        with self._lock:
            if self._closed:
                work.close()
                return None
            if self._loop is None:
                self._loop = new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="imagemill-comfyui-loop", daemon=True
                )
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, call: Callable[[], None]) -> None:
        """Call it soon on the loop, if that runs."""
        loop = self._loop
        if loop is not None:
            # The loop may be closed meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(call)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call it after some seconds. Only for code that runs on the loop; it must not block."""
        asyncio.get_running_loop().call_later(seconds, call)

    async def in_thread(self, work: Callable[[], None]) -> None:
        """Run blocking work in a thread and wait for its end."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def run() -> None:
            try:
                work()
            finally:
                # The loop may have been closed meanwhile.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(done.set)

        if self._threads.run(run) and not self._grows:
            self._grows = True
            loop.call_later(GROW_S, self._grow)
        await done.wait()

    def _grow(self) -> None:
        self._grows = self._threads.grow()
        if self._grows:
            asyncio.get_running_loop().call_later(GROW_S, self._grow)

    def close(self) -> None:
        """Cancel all tasks and end the thread."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        self._threads.close()
        if loop is None or thread is None or not thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(_end_tasks(), loop).add_done_callback(lambda _: _stop(loop))
        if thread is not threading.current_thread():
            thread.join(CLOSE_S)
        if not loop.is_running():
            loop.close()


async def _end_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(loop.stop)


class CheckThreads:
    """Runs blocking work in few threads, and in more when all of them hang, so that none waits for long.

    A thread without work ends after a while. Thread-safe; `grow` is to be called while work waits.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._condition = threading.Condition()
        self._work: deque[Callable[[], None]] = deque()
        self._idle = self._count = 0
        self._closed = False
        self._taken = self._taken_before = 0
        """Work that was taken by now, and when `grow` was called last."""

    def run(self, work: Callable[[], None]) -> bool:
        """Have the work done; return whether it may have to wait."""
        with self._condition:
            self._work.append(work)
            if self._idle >= len(self._work):
                self._condition.notify()
                return False
            if self._count >= FEW:
                return True
            self._count += 1
        self._start()
        return False

    def grow(self) -> bool:
        """Double the threads if none has taken work since the last call; return whether work still waits."""
        with self._condition:
            hangs, self._taken_before = self._taken == self._taken_before, self._taken
            waiting = len(self._work)
            more = min(waiting, self._count) if hangs else 0
            self._count += more
        for _ in range(more):
            self._start()
        return waiting > 0

    def close(self) -> None:
        """Let the threads end, each after the work that it does."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _start(self) -> None:
        threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except Exception:
                log.exception("a bug in a check of a node; the checks continue")

    def _next(self) -> Callable[[], None] | None:
        with self._condition:
            self._idle += 1
            self._condition.wait_for(lambda: self._work or self._closed, IDLE_S)
            self._idle -= 1
            if self._work:
                self._taken += 1
                return self._work.popleft()
            self._count -= 1
            return None
