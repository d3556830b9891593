"""Reads of the database that requests at the same time share."""

import asyncio
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from imagemill.jobs.store.queries import View
from imagemill.jobs.store.store import JobStore
from imagemill.net import pools

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class SharedReads(Generic[_K, _V]):
    """Loads values by their keys. Requests that arrive during one read share the next.

    Used on one event loop.

    ``read`` is called in a thread; keys that it does not find are left out of what it returns.
    """

    def __init__(self, read: Callable[[Collection[_K]], Mapping[_K, _V]]) -> None:
        self._read_all = read
        self._wanted: dict[_K, list[asyncio.Future[_V | None]]] = {}
        self._running: asyncio.Task[None] | None = None

    async def load(self, keys: Iterable[_K]) -> list[_V]:
        """Return the values in the order of ``keys``, without those that are not found."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[_V | None]] = []
        for key in keys:
            future: asyncio.Future[_V | None] = loop.create_future()
            self._wanted.setdefault(key, []).append(future)
            futures.append(future)
        if self._running is None:
            self._running = loop.create_task(self._read())
        values = [await future for future in futures]
        return [value for value in values if value is not None]

    async def _read(self) -> None:
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, {}
                try:
                    found = await pools.read(self._read_all, wanted)
                except Exception as error:  # noqa: BLE001 - set on every waiting future
                    for future in (future for futures in wanted.values() for future in futures):
                        if not future.done():
                            future.set_exception(error)
                    continue
                for key, futures in wanted.items():
                    for future in futures:
                        if not future.done():
                            future.set_result(found.get(key))
        finally:
            self._running = None


class ViewLoader(SharedReads[str, View]):
    """Loads finished jobs by their ids, without those that were deleted."""

    def __init__(self, store: JobStore) -> None:
        super().__init__(store.views_by_id)
