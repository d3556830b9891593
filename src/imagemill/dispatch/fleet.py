"""Dispatch over a broker: tokens wake workers anywhere, the claim in the database picks the job."""

import logging
from collections.abc import Callable
from typing import Protocol

from imagemill.dispatch.floor import Floor
from imagemill.dispatch.inline import InlineDispatcher
from imagemill.dispatch.queues import route
from imagemill.dispatch.tokens import Tokens
from imagemill.domain.errors import StorageError

log = logging.getLogger(__name__)


class Part(Protocol):
    """Something that works in this process; see `imagemill.dispatch.base.Dispatcher`."""

    def start(self) -> None: ...

    def leave(self) -> None: ...

    def close(self) -> None: ...


class FleetDispatcher:
    """``waits``: queues with claimable jobs; ``call``: ask all other workers to look into this queue."""

    def __init__(
        self,
        tokens: Tokens,
        waits: Callable[[], set[str]],
        call: Callable[[str], None],
        *,
        inline: InlineDispatcher | None = None,
        floor: Floor | None = None,
    ) -> None:
        self._tokens = tokens
        self._waits = waits
        self._call = call
        self._inline = inline
        self._floor = floor
        self._parts: list[Part] = [part for part in (inline, floor) if part is not None]

    def take_from(self, consumer: Part) -> None:
        """What takes tokens in this process, where Celery itself does not run it."""
        self._parts.append(consumer)

    def wake(self, queue: str) -> None:
        if self._inline is not None:
            self._inline.wake(queue)
        self._tokens.wake(queue)

    def look(self) -> None:
        """Idle slots of this process should see for themselves."""
        if self._inline is not None:
            self._inline.wake("")
        if self._floor is not None:
            self._floor.look()

    def work(self, name: str) -> int:
        """What a token of the broker's queue ``name`` does; how many jobs it ran.

        A database that is away ends the token: the sweep sends another one for what waits.
        """
        if self._floor is None:
            return 0
        try:
            ran, more = self._floor.work(lambda: self._tokens.more(name))
            if more:
                self._tokens.more(name)
            elif not ran and name in map(route, self._waits()):
                # Taken by a worker that can do none of it; another one may.
                self._call(name)
        except StorageError as error:
            log.warning("a wake-up came to nothing: %s", error)
            return 0
        return ran

    def start(self) -> None:
        for part in self._parts:
            part.start()

    def leave(self) -> None:
        for part in reversed(self._parts):
            part.leave()

    def close(self) -> None:
        self.leave()
        for part in reversed(self._parts):
            part.close()
        self._tokens.close()
