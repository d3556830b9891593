"""Thread pools for calls that block, one for each purpose, so that one that hangs does not stop the others.

The event loop's own pool is small and shared: six writes that wait for a locked database would hold up every
read, upload and health check. A pool starts its threads when they are needed.
"""

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from imagemill.domain.errors import StorageError

log = logging.getLogger(__name__)

_PATIENCE_S = 0.002
_P = ParamSpec("_P")
_R = TypeVar("_R")


class BlockingPool:
    """Runs blocking calls in at most ``threads`` threads; further calls wait for their turn."""

    def __init__(self, name: str, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, f"imagemill-{name}")

    async def __call__(self, do: Callable[_P, _R], *args: _P.args, **named: _P.kwargs) -> _R:
        """Call ``do`` in a thread of the pool, with the context variables of the caller."""
        call = partial(contextvars.copy_context().run, do, *args, **named)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def start(self, do: Callable[[], object]) -> None:
        """Call ``do`` soon in a thread of the pool; its result is ignored."""
        self._executor.submit(do)


class _QuickCall:
    def __init__(self, loop: asyncio.AbstractEventLoop, do: Callable[[], object]) -> None:
        self._loop = loop
        self._do = do
        self._context = contextvars.copy_context()
        self.done: asyncio.Future[Any] = loop.create_future()

    def run(self) -> None:
        """Make the call in this thread, unless nobody waits for it any more."""
        if self.done.cancelled():
            return
        try:
            result, error = self._context.run(self._do), None
        except BaseException as raised:  # noqa: BLE001 - raised in the caller's task
            result, error = None, raised
        # A loop that is closed has no request left that waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell, result, error)

    def _tell(self, result: object, error: BaseException | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


class QuickPool(BlockingPool):
    """A pool for calls that take less than a millisecond as a rule. One thread makes all that wait.

    Threads that compete for the interpreter cost more than such calls do. Others help as soon as a call has
    been the first to wait for `_PATIENCE_S`, as the call before it takes long or hangs.
    """

    def __init__(self, name: str, threads: int) -> None:
        super().__init__(name, threads)
        self._threads = threads
        self._lock = threading.Lock()
        self._waiting: deque[_QuickCall] = deque()
        self._serving = 0
        """The threads that make calls or are about to."""
        self._watch: asyncio.AbstractEventLoop | None = None
        """The loop that looks for calls that wait long, if any."""
        self._first: _QuickCall | None = None
        """The first to wait when it looked last."""

    async def __call__(self, do: Callable[_P, _R], *args: _P.args, **named: _P.kwargs) -> _R:
        """Call ``do`` in a thread of the pool, with the context variables of the caller."""
        loop = asyncio.get_running_loop()
        call = _QuickCall(loop, partial(do, *args, **named))
        with self._lock:
            self._waiting.append(call)
            is_idle = self._serving == 0
            self._serving += is_idle
        if is_idle:
            self._start_serving()
        elif self._watch is not loop:
            self._watch = loop
            loop.call_later(_PATIENCE_S, self._look, loop)
        return await call.done

    def _start_serving(self) -> None:
        """Have a thread that was counted make calls. Raises `RuntimeError` where none can be started."""
        try:
            self._executor.submit(self._serve)
        except RuntimeError:
            with self._lock:
                self._serving = max(0, self._serving - 1)
            raise

    def _serve(self) -> None:
        """Make calls until none waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    # Not below 0: the pool keeps the work of a thread that could not be started for another.
                    self._serving = max(0, self._serving - 1)
                    return
                call = self._waiting.popleft()
            call.run()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have another thread help if the first that waits is still the same; look again while any waits."""
        with self._lock:
            first = self._waiting[0] if self._waiting else None
            needs_help = first is not None and first is self._first and self._serving < self._threads
            self._serving += needs_help
            self._first = first
        if needs_help:
            self._start_serving()
        if first is not None:
            loop.call_later(_PATIENCE_S, self._look, loop)
        elif self._watch is loop:
            self._watch = None


async def result_of(future: Future[_R]) -> _R:
    """Wait for a future of another thread; return its result.

    It costs less than `asyncio.wrap_future`, and does not cancel the work when the caller is cancelled.
    """
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def call(_: Future[_R]) -> None:
        # A loop that is closed has no request left that waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(call)
    await done
    return future.result()


authenticate = BlockingPool("auth", 4)
"""Checks of keys and sessions, and their rate limits."""
read = QuickPool("reads", 8)
"""Queries of the database."""
write = BlockingPool("writes", 16)
"""Writes of the database, which wait for a commit; few use the processor meanwhile."""
blob = QuickPool("blobs", 8)
"""Reads and writes of stored files."""
decode = BlockingPool("decodes", 4)
"""Decoding of clients' pictures, and other work of the processor."""
call = BlockingPool("calls", 8)
"""Calls of other servers."""
measure = BlockingPool("metrics", 2)
"""Metrics, which read the database."""
lifecycle = BlockingPool("lifecycle", 2)
"""The start and the stop of the process."""
probe = BlockingPool("probes", 8)
"""Health checks, which must answer while the others hang."""


class HealthProbe:
    """A check of a part of the server, bounded in time. Requests at the same time share one run."""

    def __init__(self, part: str, check: Callable[[], None], *, limit_s: float = 5.0) -> None:
        """``check`` raises `StorageError` when the part does not work; its reason is logged, once."""
        self._part = part
        self._check = check
        self._problem = ""
        self._limit_s = limit_s
        self._running: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Raise `StorageError` when the part does not work, or does not answer in time."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(probe(self._check))
        try:
            await asyncio.wait_for(asyncio.shield(self._running), self._limit_s)
        except (TimeoutError, StorageError) as error:
            late = isinstance(error, TimeoutError)
            problem = f"no answer within {self._limit_s:g} s" if late else str(error)
            self._log(problem)
            raise StorageError(problem) from error
        self._log("")

    def _log(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("health: %s: %s", self._part, problem)
        elif self._problem and not problem:
            log.info("health: %s: works again", self._part)
        self._problem = problem


def health_probes(**checks: Callable[[], None]) -> dict[str, HealthProbe]:
    """Return a probe for each part, by its name."""
    return {part: HealthProbe(part, check) for part, check in checks.items()}
