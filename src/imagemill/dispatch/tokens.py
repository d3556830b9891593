"""Sending wake-ups to a broker: few, in the background, and never in anybody's way."""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from imagemill.dispatch.queues import route
from imagemill.domain.errors import StorageError

log = logging.getLogger(__name__)

_AGAIN_S = 1.0
_AGAIN_CAP_S = 15.0
"""How long a broker that does not answer is left alone, at first and at most."""


class BrokerAway(Exception):
    """The broker does not answer or refuses; the cause is in the message."""


class Broker(Protocol):
    def pending(self, queue: str) -> int:
        """Messages nobody has taken yet. Raises `BrokerAway`."""
        ...

    def post(self, queue: str) -> None:
        """Raises `BrokerAway`."""
        ...

    def close(self) -> None: ...


class Tokens:
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
            except BrokerAway as error:
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

    def _tell_away(self, error: BrokerAway) -> None:
        if not self._away:
            log.warning("the broker is away, workers look by themselves until it is back: %s", error)
        self._away = True

    def _rest(self, unsent: set[str], pause_s: float) -> None:
        with self._news:
            self._wanted |= unsent
            self._news.wait_for(lambda: self._closed, pause_s)
