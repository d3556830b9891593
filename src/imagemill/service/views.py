"""Loading many jobs' views at once: requests that end in the same moment share one read."""

import asyncio
from collections.abc import Iterable

from imagemill.store.reading import View
from imagemill.store.store import Store


class ViewLoader:
    """Used on one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: dict[str, list[asyncio.Future[View | None]]] = {}
        self._running: asyncio.Task[None] | None = None

    async def load(self, ids: Iterable[str]) -> list[View]:
        """In the order of ``ids``; jobs that are gone are left out."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[View | None]] = []
        for id_ in ids:
            future: asyncio.Future[View | None] = loop.create_future()
            self._wanted.setdefault(id_, []).append(future)
            futures.append(future)
        if self._running is None:
            self._running = loop.create_task(self._read())
        views = [await future for future in futures]
        return [view for view in views if view is not None]

    async def _read(self) -> None:
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, {}
                try:
                    found = await asyncio.to_thread(self._store.views_by_id, wanted)
                except Exception as error:  # noqa: BLE001 - handed on to all who wait
                    for future in (future for futures in wanted.values() for future in futures):
                        if not future.done():
                            future.set_exception(error)
                    continue
                for id_, futures in wanted.items():
                    for future in futures:
                        if not future.done():
                            future.set_result(found.get(id_))
        finally:
            self._running = None
