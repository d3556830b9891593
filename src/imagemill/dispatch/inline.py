"""Dispatch in this process: a thread for each slot of each node, and a poll for work without a wake-up."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from imagemill.backends.base import Backend, Node
from imagemill.dispatch.base import Offers, find
from imagemill.domain.errors import StorageError
from imagemill.domain.scheduling import LaneHead, Offer

log = logging.getLogger(__name__)

_LONGEST_POLL_S = 2.0
"""Longest interval between retries of work that no slot could take. Time alone may change that: a node is
avoided only for a while, and a model is loaded only for jobs that have waited long enough."""
_AFTER_ERROR_S = 1.0
_NODE_REFRESH_S = 1.0
"""Seconds between two reads of the list of nodes."""

_SlotKey = tuple[str, str, int]
"""Backend, node, number of the slot."""


class WorkPoller:
    """Decides when idle slots should claim without a wake-up.

    ``heads`` returns the first claimable job of each lane. ``poll_s``: seconds between two calls of it.
    """

    def __init__(self, heads: Callable[[], Sequence[LaneHead]], offers: Offers, poll_s: float) -> None:
        self._heads = heads
        self._offers = offers
        self._poll_s = poll_s
        self._last_state: tuple[list[LaneHead], list[Offer]] | None = None
        self._pause_s = poll_s
        self._next_poll = 0.0

    def should_wake(self) -> frozenset[str]:
        """Return the queues whose slots to wake: at once when work or nodes have changed, else at growing
        intervals."""
        heads = self._heads()
        offers = self._offers.all() if heads else []
        served = frozenset[str]().union(*(offer.queues for offer in offers))
        waiting = [head for head in heads if head.key.queue in served]
        if not waiting:
            self._last_state = None
            return frozenset()
        seen = (waiting, offers)
        if seen != self._last_state:
            self._last_state, self._pause_s = seen, self._poll_s
        elif time.monotonic() < self._next_poll:
            return frozenset()
        else:
            self._pause_s = min(self._pause_s * 2, max(self._poll_s, _LONGEST_POLL_S))
        self._next_poll = time.monotonic() + self._pause_s
        return frozenset(head.key.queue for head in waiting)


class InlineDispatcher:
    """Runs jobs on threads of this process.

    ``run_all`` claims and runs jobs for a slot until there is none, and returns whether there was one.
    ``poll_s``: seconds between two checks for work without a wake-up; each is one query (``heads``) for all
    slots. ``paused``: see `Offers`.
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
        paused: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._run_all = run_all
        self._backends = backends
        self._offers = Offers(backends, worker=worker, served_queues=queues, paused=paused)
        self._poller = WorkPoller(heads, self._offers, poll_s)
        self._poll_s = poll_s
        self._lock = threading.RLock()
        self._condition = threading.Condition(self._lock)
        """Wakes the monitor and whoever waits for the slots to end."""
        self._sleepers: dict[frozenset[str], threading.Condition] = {}
        """Where the slots wait, by the queues of their nodes. Waking a thread costs a wait for the
        interpreter's lock, so a wake-up wakes none of other queues."""
        self._wakeups: Counter[str] = Counter()
        """The wake-ups so far, by queue; the empty one is for all slots."""
        self._closed = False
        self._slots: dict[_SlotKey, threading.Thread] = {}
        self._monitor = threading.Thread(target=self._run_monitor, name="imagemill-monitor", daemon=True)

    def wake(self, queue: str) -> None:
        """Wake the slots of the nodes that have the queue; the claim decides which of them fits the job. An
        empty one wakes all."""
        with self._lock:
            self._wakeups[queue] += 1
            self._notify(queue)

    def wake_own(self, queue: str) -> None:
        self.wake(queue)

    def start(self) -> None:
        self._start_slots()
        self._monitor.start()

    def stop_accepting(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            self._notify()

    def close(self) -> None:
        self.stop_accepting()
        with self._condition:
            slots = list(self._slots.values())
        if self._monitor.is_alive():
            self._monitor.join()
        for thread in slots:
            thread.join()

    def offers(self) -> list[Offer]:
        """Return the current offer of each node."""
        return self._offers.all()

    def _notify(self, queue: str = "") -> None:
        """Wake the slots of a queue, or all; call with the lock."""
        for queues, sleepers in self._sleepers.items():
            if not queue or queue in queues:
                sleepers.notify_all()

    def _count_wakeups(self, queues: Iterable[str]) -> int:
        """Return the number of wake-ups so far that concern the slots of these queues."""
        return self._wakeups[""] + sum(self._wakeups[queue] for queue in queues)

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
                for queue in self._poller.should_wake():
                    self.wake(queue)
            except StorageError as error:
                log.warning("cannot read the queued work: %s", error)
                pause_s = max(pause_s, _AFTER_ERROR_S)
            except Exception:
                log.exception("polling for idle slots failed; it continues")

    def _start_slots(self) -> None:
        """Start a thread for each new slot, and wake the threads whose slot is gone so that they end."""
        slots: dict[_SlotKey, Backend] = {
            (backend.name, node.name, number): backend
            for backend in self._backends.values()
            for node in backend.nodes()
            for number in range(node.slots)
        }
        with self._condition:
            for slot in () if self._closed else slots.keys() - self._slots.keys():
                name = f"imagemill-{slot[1]}-{slot[2]}"
                arguments = (slots[slot], slot)
                thread = threading.Thread(target=self._serve, args=arguments, name=name, daemon=True)
                self._slots[slot] = thread
                thread.start()
            superfluous = self._slots.keys() - slots.keys()
        if superfluous:
            self.wake("")

    def _serve(self, backend: Backend, slot: _SlotKey) -> None:
        while (node := self._needed_by(backend, slot)) is not None:
            queues, wakeups_seen = node.queues, self._count_wakeups(node.queues)
            try:
                ran = self._run_jobs(backend, slot[1])
            except StorageError as error:
                log.warning("a slot of %s cannot claim a job: %s", slot[1], error)
                self._wait_for_wakeup(queues, wakeups_seen, _AFTER_ERROR_S)
                continue
            except Exception:
                log.exception("running a job on a slot of %s failed; the slot continues", slot[1])
                ran = False
            if not ran:
                self._wait_for_wakeup(queues, wakeups_seen, None)

    def _needed_by(self, backend: Backend, slot: _SlotKey) -> Node | None:
        """Return the node that the slot is of; None removes the slot, as it is no longer needed."""
        node = find(backend, slot[1])
        if not self._closed and node is not None and slot[2] < node.slots:
            return node
        with self._condition:
            self._slots.pop(slot, None)
        return None

    def _run_jobs(self, backend: Backend, node_name: str) -> bool:
        def offer() -> Offer | None:
            return None if self._closed else self._offers.find(backend.name, node_name)

        return self._run_all(offer)

    def _wait_for_wakeup(self, queues: frozenset[str], wakeups_seen: int, seconds: float | None) -> None:
        """Sleep until a wake-up, at most for ``seconds``; one since ``wakeups_seen`` was read counts too."""
        with self._lock:
            sleepers = self._sleepers.setdefault(queues, threading.Condition(self._lock))
            sleepers.wait_for(lambda: self._closed or self._count_wakeups(queues) != wakeups_seen, seconds)
