"""Dispatch in this process: a thread for each slot of each node, as nodes come and go."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from imagemill.backends.base import Backend
from imagemill.dispatch.base import Offers, find
from imagemill.domain.errors import StorageError
from imagemill.domain.scheduling import LaneHead, Offer

_LONGEST_POLL_S = 2.0
"""Slots look for what waits and cannot be taken once in so long: time alone may have made it takeable, as a
node is avoided for a while and a model loaded only for what has waited long enough."""


class WorkPoller:
    """``heads``: the first claimable job of each lane. ``poll_s``: how often it is asked."""

    def __init__(self, heads: Callable[[], Sequence[LaneHead]], offers: Offers, poll_s: float) -> None:
        self._heads = heads
        self._offers = offers
        self._poll_s = poll_s
        self._last_state: tuple[list[LaneHead], list[Offer]] | None = None
        self._pause_s = poll_s
        self._next_poll = 0.0

    def should_wake(self) -> bool:
        """Whether all should look: at once where work or nodes have changed, else ever more seldom."""
        heads = self._heads()
        offers = self._offers.all() if heads else []
        served = frozenset[str]().union(*(offer.queues for offer in offers))
        waiting = [head for head in heads if head.key.queue in served]
        if not waiting:
            self._last_state = None
            return False
        seen = (waiting, offers)
        if seen != self._last_state:
            self._last_state, self._pause_s = seen, self._poll_s
        elif time.monotonic() < self._next_poll:
            return False
        else:
            self._pause_s = min(self._pause_s * 2, max(self._poll_s, _LONGEST_POLL_S))
        self._next_poll = time.monotonic() + self._pause_s
        return True


log = logging.getLogger(__name__)

_AFTER_ERROR_S = 1.0
_NODE_REFRESH_S = 1.0
"""How often it is looked which nodes there are."""

_SlotKey = tuple[str, str, int]
"""Backend, node, number of the slot."""


class InlineDispatcher:
    """``run_all`` claims and runs jobs for a slot until there is none, and says whether there was one.

    ``poll_s``: how often is looked for work nobody told of, by one question (``heads``) for all idle slots.
    """

    def __init__(
        self,
        run_all: Callable[[Callable[[], Offer | None]], bool],
        backends: Mapping[str, Backend],
        *,
        worker: str,
        queues: frozenset[str] | None,
        heads: Callable[[], Sequence[LaneHead]],
        poll_s: float,
    ) -> None:
        self._run_all = run_all
        self._backends = backends
        self._offers = Offers(backends, worker=worker, served_queues=queues)
        self._poller = WorkPoller(heads, self._offers, poll_s)
        self._poll_s = poll_s
        self._condition = threading.Condition()
        self._wakeups = 0
        self._closed = False
        self._slots: dict[_SlotKey, threading.Thread] = {}
        self._monitor = threading.Thread(target=self._run_monitor, name="imagemill-watch", daemon=True)

    def wake(self, queue: str) -> None:
        del queue  # all slots look: which of them fits the job is the claim's to say
        self._wake_all()

    def start(self) -> None:
        self._start_slots()
        self._monitor.start()

    def stop_accepting(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def close(self) -> None:
        self.stop_accepting()
        with self._condition:
            slots = list(self._slots.values())
        if self._monitor.is_alive():
            self._monitor.join()
        for thread in slots:
            thread.join()

    def offers(self) -> list[Offer]:
        """What each node can take now."""
        return self._offers.all()

    def _wake_all(self) -> None:
        with self._condition:
            self._wakeups += 1
            self._condition.notify_all()

    def _run_monitor(self) -> None:
        called = time.monotonic()
        pause_s = self._poll_s
        while not self._closed:
            with self._condition:
                self._condition.wait_for(lambda: self._closed, pause_s)
            pause_s = self._poll_s
            try:
                if time.monotonic() >= called + _NODE_REFRESH_S:
                    called = time.monotonic()
                    self._start_slots()
                if self._poller.should_wake():
                    self._wake_all()
            except StorageError as error:
                log.warning("it cannot be seen what waits: %s", error)
                pause_s = max(pause_s, _AFTER_ERROR_S)
            except Exception:
                log.exception("the watch over idle slots met a bug and goes on")

    def _start_slots(self) -> None:
        """A thread for each slot that has none; those without a slot are told to leave."""
        places: dict[_SlotKey, Backend] = {
            (backend.name, node.name, number): backend
            for backend in self._backends.values()
            for node in backend.nodes()
            for number in range(node.slots)
        }
        with self._condition:
            for place in () if self._closed else places.keys() - self._slots.keys():
                name = f"imagemill-{place[1]}-{place[2]}"
                arguments = (places[place], place)
                thread = threading.Thread(target=self._serve, args=arguments, name=name, daemon=True)
                self._slots[place] = thread
                thread.start()
            superfluous = self._slots.keys() - places.keys()
        if superfluous:
            self._wake_all()

    def _serve(self, backend: Backend, place: _SlotKey) -> None:
        while not self._remove_if_unneeded(backend, place):
            rings = self._wakeups
            try:
                ran = self._run_jobs(backend, place[1])
            except StorageError as error:
                log.warning("a slot of %s cannot claim: %s", place[1], error)
                self._wait_for_wakeup(rings, _AFTER_ERROR_S)
                continue
            except Exception:
                log.exception("a slot of %s met a bug and goes on", place[1])
                ran = False
            if not ran:
                self._wait_for_wakeup(rings, None)

    def _remove_if_unneeded(self, backend: Backend, place: _SlotKey) -> bool:
        """Whether the slot is no longer needed; then it gives its place up."""
        node = find(backend, place[1])
        if not self._closed and node is not None and place[2] < node.slots:
            return False
        with self._condition:
            self._slots.pop(place, None)
        return True

    def _run_jobs(self, backend: Backend, node_name: str) -> bool:
        def offer() -> Offer | None:
            return None if self._closed else self._offers.find(backend.name, node_name)

        return self._run_all(offer)

    def _wait_for_wakeup(self, rings: int, seconds: float | None) -> None:
        """Sleep until somebody rings, so long at most; a ring since ``rings`` was read counts."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._wakeups != rings, seconds)
