"""Dispatch over a broker: tokens wake workers anywhere, the claim in the database picks the job."""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from imagemill.dispatch.base import route
from imagemill.dispatch.inline import InlineDispatcher
from imagemill.dispatch.slots import SlotPool
from imagemill.domain.errors import StorageError

log = logging.getLogger(__name__)

_AGAIN_S = 1.0
_AGAIN_CAP_S = 15.0
"""How long a broker that does not answer is left alone, at first and at most."""


class BrokerUnavailable(Exception):
    """The broker does not answer or refuses; the cause is in the message."""


class Broker(Protocol):
    def pending(self, queue: str) -> int:
        """Messages nobody has taken yet. Raises `BrokerUnavailable`."""
        ...

    def post(self, queue: str) -> None:
        """Raises `BrokerUnavailable`."""
        ...

    def close(self) -> None: ...


class WakeupSender:
    """One pending token a queue is enough: it is taken at once where a slot is idle, and while none is, busy
    slots look for themselves. Whoever claims by a token calls `more`, which wakes the next idle slot.

    ``waits``: the queues that have claimable jobs; reads the database.
    """

    def __init__(self, broker: Broker, waits: Callable[[], set[str]]) -> None:
        self._broker = broker
        self._waits = waits
        self._news = threading.Condition()
        self._wanted: set[str] = set()
        self._asked: set[str] = set()
        """Queues to be woken only if they have claimable jobs."""
        self._closed = False
        self._away = False
        self._thread = threading.Thread(target=self._serve, name="imagemill-tokens", daemon=True)
        self._thread.start()

    def wake(self, queue: str) -> None:
        """A job of this queue can be claimed. Never blocks."""
        with self._news:
            self._wanted.add(route(queue))
            self._news.notify()

    def more(self, name: str) -> None:
        """A job was claimed by a token of this broker's queue: should somebody else look, too?"""
        with self._news:
            self._asked.add(name)
            self._news.notify()

    @property
    def broker_is_away(self) -> bool:
        return self._away

    def close(self) -> None:
        """What is wanted now is still sent, if the broker answers."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()
        self._broker.close()

    def _serve(self) -> None:
        pause_s = _AGAIN_S
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or self._wanted or self._asked)
                wanted, self._wanted = self._wanted, set()
                asked, self._asked = self._asked, set()
                if not (wanted or asked):
                    return
            try:
                self._send(wanted, asked)
            except BrokerUnavailable as error:
                self._tell_away(error)
                if self._closed:
                    return
                self._rest(wanted | asked, pause_s)
                pause_s = min(pause_s * 2, _AGAIN_CAP_S)
            except StorageError as error:
                log.warning("it cannot be read which queues have work: %s", error)
            except Exception:
                log.exception("a bug kept a wake-up from being sent; the sweep sends another")
            else:
                pause_s = _AGAIN_S

    def _send(self, wanted: set[str], asked: set[str]) -> None:
        idle = {name for name in sorted(wanted | asked) if not self._broker.pending(name)}
        if idle - wanted:
            waiting = {route(queue) for queue in self._waits()}
            idle &= wanted | waiting
        for name in sorted(idle):
            self._broker.post(name)
        if self._away:
            self._away = False
            log.info("the broker answers again")

    def _tell_away(self, error: BrokerUnavailable) -> None:
        if not self._away:
            log.warning("the broker is away, workers look by themselves until it is back: %s", error)
        self._away = True

    def _rest(self, unsent: set[str], pause_s: float) -> None:
        with self._news:
            self._wanted |= unsent
            self._news.wait_for(lambda: self._closed, pause_s)


class Component(Protocol):
    """Something that works in this process; see `imagemill.dispatch.base.Dispatcher`."""

    def start(self) -> None: ...

    def stop_accepting(self) -> None: ...

    def close(self) -> None: ...


class FleetDispatcher:
    """``waits``: queues with claimable jobs; ``call``: ask all other workers to look into this queue."""

    def __init__(
        self,
        wakeups: WakeupSender,
        waits: Callable[[], set[str]],
        call: Callable[[str], None],
        *,
        inline: InlineDispatcher | None = None,
        pool: SlotPool | None = None,
    ) -> None:
        self._wakeups = wakeups
        self._waits = waits
        self._call = call
        self._inline = inline
        self._pool = pool
        self._parts: list[Component] = [part for part in (inline, pool) if part is not None]

    def attach_consumer(self, consumer: Component) -> None:
        """What takes tokens in this process, where Celery itself does not run it."""
        self._parts.append(consumer)

    def wake(self, queue: str) -> None:
        if self._inline is not None:
            self._inline.wake(queue)
        self._wakeups.wake(queue)

    def check_queues(self) -> None:
        """Idle slots of this process should see for themselves."""
        if self._inline is not None:
            self._inline.wake("")
        if self._pool is not None:
            self._pool.check_queues()

    def work(self, name: str) -> int:
        """What a token of the broker's queue ``name`` does; how many jobs it ran.

        A database that is away ends the token: the sweep sends another one for what waits.
        """
        if self._pool is None:
            return 0
        try:
            ran, more = self._pool.work(lambda: self._wakeups.more(name))
            if more:
                self._wakeups.more(name)
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

    def stop_accepting(self) -> None:
        for part in reversed(self._parts):
            part.stop_accepting()

    def close(self) -> None:
        self.stop_accepting()
        for part in reversed(self._parts):
            part.close()
        self._wakeups.close()
