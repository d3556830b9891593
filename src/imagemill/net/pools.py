"""Thread pools for calls that block, one for each purpose, so that one that hangs does not stop the others.

The event loop's own pool is small and shared: six writes that wait for a locked database would hold up every
read, upload and health check. A pool starts its threads when they are needed.
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

from imagemill.domain.errors import StorageError

log = logging.getLogger(__name__)

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
read = BlockingPool("reads", 8)
"""Queries of the database."""
write = BlockingPool("writes", 16)
"""Writes of the database, which wait for a commit; few use the processor meanwhile."""
blob = BlockingPool("blobs", 8)
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
