"""Dispatch over a broker: wake-ups reach workers on any machine, the claim in the database picks the job."""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from imagemill.dispatch.base import route
from imagemill.dispatch.inline import InlineDispatcher
from imagemill.dispatch.slots import SlotPool
from imagemill.domain.errors import StorageError

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_RETRY_CAP_S = 15.0
"""Seconds before the next attempt to reach an unavailable broker, at first and at most."""


class BrokerUnavailable(Exception):
    """The broker does not respond or refuses; the cause is in the message."""


class Broker(Protocol):
    def pending(self, queue: str) -> int:
        """Return the number of messages that no consumer has taken yet. Raises `BrokerUnavailable`."""
        ...

    def post(self, queue: str) -> None:
        """Send a wake-up. Raises `BrokerUnavailable`."""
        ...

    def close(self) -> None: ...


class WakeupSender:
    """Sends wake-ups from a thread of its own.

    One pending wake-up a queue is enough: an idle slot takes it at once, and while no slot is idle, busy
    slots check for work themselves. Whoever claims a job by a wake-up calls `wake_another` for the next idle
    slot. ``queues_with_work`` reads the queues with claimable jobs from the database.
    """

    def __init__(self, broker: Broker, queues_with_work: Callable[[], set[str]]) -> None:
        self._broker = broker
        self._queues_with_work = queues_with_work
        self._condition = threading.Condition()
        self._to_send: set[str] = set()
        self._to_check: set[str] = set()
        """Broker queues that get a wake-up only if they have claimable jobs."""
        self._closed = False
        self._is_unavailable = False
        self._thread = threading.Thread(target=self._serve, name="imagemill-wakeups", daemon=True)
        self._thread.start()

    def wake(self, queue: str) -> None:
        """Send a wake-up, as a job of this queue can be claimed. Never blocks."""
        with self._condition:
            self._to_send.add(route(queue))
            self._condition.notify()

    def wake_another(self, name: str) -> None:
        """Send another wake-up to this broker queue if it still has claimable jobs. Never blocks."""
        with self._condition:
            self._to_check.add(name)
            self._condition.notify()

    @property
    def is_broker_unavailable(self) -> bool:
        return self._is_unavailable

    def close(self) -> None:
        """Stop; wake-ups requested so far are still sent if the broker responds."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()
        self._broker.close()

    def _serve(self) -> None:
        pause_s = _RETRY_S
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed or self._to_send or self._to_check)
                to_send, self._to_send = self._to_send, set()
                to_check, self._to_check = self._to_check, set()
                if not (to_send or to_check):
                    return
            try:
                self._send(to_send, to_check)
            except BrokerUnavailable as error:
                self._log_unavailable(error)
                if self._closed:
                    return
                self._wait(to_send | to_check, pause_s)
                pause_s = min(pause_s * 2, _RETRY_CAP_S)
            except StorageError as error:
                log.warning("cannot read which queues have work: %s", error)
            except Exception:
                log.exception("a wake-up could not be sent; the sweeper will send another")
            else:
                pause_s = _RETRY_S

    def _send(self, to_send: set[str], to_check: set[str]) -> None:
        idle = {name for name in sorted(to_send | to_check) if not self._broker.pending(name)}
        if idle - to_send:
            waiting = {route(queue) for queue in self._queues_with_work()}
            idle &= to_send | waiting
        for name in sorted(idle):
            self._broker.post(name)
        if self._is_unavailable:
            self._is_unavailable = False
            log.info("the broker is available again")

    def _log_unavailable(self, error: BrokerUnavailable) -> None:
        if not self._is_unavailable:
            log.warning("the broker is unavailable, workers poll the database until it is back: %s", error)
        self._is_unavailable = True

    def _wait(self, unsent: set[str], pause_s: float) -> None:
        with self._condition:
            self._to_send |= unsent
            self._condition.wait_for(lambda: self._closed, pause_s)


class Component(Protocol):
    """A part with a life cycle in this process; see `imagemill.dispatch.base.Dispatcher`."""

    def start(self) -> None: ...

    def stop_accepting(self) -> None: ...

    def close(self) -> None: ...


class FleetDispatcher:
    """Wakes slots in this process and, over the broker, in others.

    ``queues_with_work`` reads the queues with claimable jobs; ``ask_workers`` asks all other workers to check
    a queue.
    """

    def __init__(
        self,
        wakeups: WakeupSender,
        queues_with_work: Callable[[], set[str]],
        ask_workers: Callable[[str], None],
        *,
        inline: InlineDispatcher | None = None,
        pool: SlotPool | None = None,
    ) -> None:
        self._wakeups = wakeups
        self._queues_with_work = queues_with_work
        self._ask_workers = ask_workers
        self._inline = inline
        self._pool = pool
        self._parts: list[Component] = [part for part in (inline, pool) if part is not None]

    def attach_consumer(self, consumer: Component) -> None:
        """Add the consumer of wake-ups in this process, where Celery's own command does not run it."""
        self._parts.append(consumer)

    def wake(self, queue: str) -> None:
        if self._inline is not None:
            self._inline.wake(queue)
        self._wakeups.wake(queue)

    def wake_own(self, queue: str) -> None:
        """Let the idle slots of this process check for work of this queue; an empty one means any."""
        if self._inline is not None:
            self._inline.wake("")
        if self._pool is not None and self._pool.has_free_slot(route(queue) if queue else ""):
            self._pool.check_queues()

    def work(self, name: str) -> int:
        """Handle a wake-up of the broker queue ``name``; return the number of jobs it ran.

        An unavailable database ends the wake-up; the sweeper sends another one for queued jobs.
        """
        if self._pool is None:
            return 0
        try:
            if not self._pool.has_free_slot(name):
                # Its slots claim again themselves; meanwhile those of another worker may be free.
                self._ask_workers(name)
                return 0
            waiting = {queue for queue in self._queues_with_work() if route(queue) == name}
            if not waiting:  # busy slots have taken the jobs before the message was here
                return 0
            ran, more = self._pool.work(lambda: self._wakeups.wake_another(name), waiting)
            if more:
                self._wakeups.wake_another(name)
            elif not ran and name in map(route, self._queues_with_work()):
                # This worker can do none of the jobs; another one may.
                self._ask_workers(name)
        except StorageError as error:
            log.warning("a wake-up could not be handled: %s", error)
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
