"""Dispatch in this process: a thread for each slot of each node, and a poll for work without a wake-up."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from imagemill.backends.base import Backend, Node
from imagemill.dispatch.base import Offers, find
from imagemill.dispatch.idle_slots import IdleSlots, NodeKey
from imagemill.dispatch.shared_slots import RunShared, SharedSlots, SlotGroup
from imagemill.dispatch.slots import RunAll
from imagemill.domain.errors import StorageError
from imagemill.domain.scheduling import LaneHead, Offer

log = logging.getLogger(__name__)

_LONGEST_POLL_S = 2.0
"""Longest interval between retries of work that no slot could take. Time alone may change that: a node is
avoided only for a while, and a model is loaded only for jobs that have waited long enough."""
_AFTER_ERROR_S = 1.0
_NODE_REFRESH_S = 1.0
"""Seconds between two reads of the list of nodes, which is in memory."""
_RELAYED_POLL_S = 2.0
"""Seconds between two polls while other processes report their work: reports may be lost, and during an
update a process of an earlier version makes none."""
_GATHER_S = 0.002
"""Seconds in which the slots that were woken first may claim, before more are."""

_SlotKey = tuple[str, str, int]
"""Backend, node, number of the thread, which serves one slot, or some of a quick node."""


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

    @property
    def queues_with_work(self) -> frozenset[str]:
        """The queues that had work at the last call which a slot of this process may take later."""
        heads = self._last_state[0] if self._last_state is not None else ()
        return frozenset(head.key.queue for head in heads)

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
    slots. While ``is_relayed`` returns that wake-ups of other processes arrive, these checks are rare, and
    follow a wake-up for which no slot took a job. ``paused``: see `Offers`. ``shared`` runs the jobs of its
    backends, all slots of each on one thread, and those of its quick backends, some slots of a node on one.
    """

    def __init__(
        self,
        run_all: RunAll,
        backends: Mapping[str, Backend],
        *,
        worker: str,
        queues: frozenset[str] | None,
        heads: Callable[[], Sequence[LaneHead]],
        poll_s: float,
        paused: Callable[[str], bool] = lambda _: False,
        is_relayed: Callable[[], bool] = lambda: False,
        shared: RunShared | None = None,
    ) -> None:
        self._run_all = run_all
        self._backends = backends
        self._offers = Offers(backends, worker=worker, served_queues=queues, paused=paused)
        self._heads = heads
        self._poller = WorkPoller(heads, self._offers, poll_s)
        self._poll_s = poll_s
        self._is_relayed = is_relayed
        self._condition = threading.Condition()
        """Wakes the monitor."""
        self._idle = IdleSlots()
        self._closed = threading.Event()
        self._slots: dict[_SlotKey, threading.Thread] = {}
        self._shared = self._share(shared) if shared is not None else {}
        self._together = shared
        self._quick = shared.quick_backends if shared is not None else frozenset[str]()
        self._polled_at = -math.inf
        self._is_work_waiting = True
        """Whether work may wait that no slot took, so that it is polled for at the shorter interval."""
        self._to_wake_more: set[str] = set()
        """Queues whose wake-up was answered by a slot, while nodes are idle that were not asked."""
        self._monitor = threading.Thread(target=self._run_monitor, name="imagemill-monitor", daemon=True)

    def wake(self, queue: str) -> None:
        """Wake slots of nodes that have the queue; the claim decides which of them fits the job. An empty one
        has the monitor look for work of any queue."""
        if queue:
            self._idle.wake(queue)
            return
        with self._condition:
            self._is_work_waiting, self._polled_at = True, -math.inf
            self._condition.notify()

    def wake_own(self, queue: str) -> None:
        self.wake(queue)

    def start(self) -> None:
        self._start_slots()
        for slots in self._shared.values():
            slots.start()
        self._monitor.start()

    @property
    def is_closed(self) -> bool:
        """Whether it claims no more jobs."""
        return self._closed.is_set()

    def stop_accepting(self) -> None:
        self._closed.set()
        with self._condition:
            self._condition.notify_all()
        self._idle.close()

    def close(self) -> None:
        self.stop_accepting()
        with self._condition:
            slots = list(self._slots.values())
        if self._monitor.is_alive():
            self._monitor.join()
        for thread in slots:
            thread.join()
        for shared in self._shared.values():
            shared.join()

    def offers(self) -> list[Offer]:
        """Return the current offer of each node."""
        return self._offers.all()

    # The monitor

    def _run_monitor(self) -> None:
        refreshed_at, error_pause_s = time.monotonic(), 0.0
        known: list[tuple[Node, bool]] = []
        while not self._closed.is_set():
            self._wait_for_task(refreshed_at + _NODE_REFRESH_S, error_pause_s)
            error_pause_s = 0.0
            try:
                if time.monotonic() >= refreshed_at + _NODE_REFRESH_S:
                    refreshed_at = time.monotonic()
                    self._start_slots()
                    before, known = known, self._offers.states()
                    if known != before:
                        self._is_work_waiting = True
                        self._wake_returned(before, known)
                self._wake_more()
                self._poll()
            except StorageError as error:
                log.warning("cannot read the queued work: %s", error)
                self._is_work_waiting, error_pause_s = True, _AFTER_ERROR_S
            except Exception:
                log.exception("polling for idle slots failed; it continues")
                self._is_work_waiting, error_pause_s = True, self._poll_s

    def _wake_returned(self, before: Sequence[tuple[Node, bool]], now: Sequence[tuple[Node, bool]]) -> None:
        """Wake the slots of nodes that take jobs now and did not before."""
        took = {(node.backend, node.name) for node, takes_jobs in before if takes_jobs}
        takes = {(node.backend, node.name) for node, takes_jobs in now if takes_jobs}
        returned = takes - took
        shared = {(backend, "") for backend, _ in returned if backend in self._shared}
        self._idle.wake_nodes(returned | shared)

    def _wait_for_task(self, refresh_at: float, least_s: float) -> None:
        """Wait until more slots should be woken, or the next refresh or poll is due."""
        if least_s:
            self._closed.wait(least_s)
        with self._condition:
            self._condition.wait_for(
                lambda: self._closed.is_set() or self._to_wake_more or time.monotonic() >= self._poll_at(),
                max(0.0, min(refresh_at, self._poll_at()) - time.monotonic()),
            )
        if self._to_wake_more:
            self._closed.wait(_GATHER_S)

    def _poll_at(self) -> float:
        is_rare = not self._is_work_waiting and self._is_relayed()
        return self._polled_at + (max(self._poll_s, _RELAYED_POLL_S) if is_rare else self._poll_s)

    def _poll(self) -> None:
        if time.monotonic() < self._poll_at():
            return
        self._polled_at = time.monotonic()
        self._is_work_waiting = False
        queues = self._poller.should_wake()
        # Busy slots claim again by themselves, but an idle one may have to wait until a job fits.
        self._is_work_waiting |= any(self._idle.has(queue) for queue in self._poller.queues_with_work)
        for queue in queues:
            self._idle.wake_each_node(queue)

    def _wake_more(self) -> None:
        with self._condition:
            queues, self._to_wake_more = self._to_wake_more, set()
        if queues:
            for queue in queues & {head.key.queue for head in self._heads()}:
                self._idle.wake_more(queue)

    def _on_claim(self, node: NodeKey, queues: frozenset[str]) -> None:
        """Have the monitor wake more slots, if some are idle, as more jobs may wait."""
        self._idle.note_claim(node)
        if more := {queue for queue in queues if self._idle.has_unasked(queue)}:
            self._wake_monitor(more)

    def _on_refusal(self, queues: frozenset[str], was_woken: bool) -> None:
        """Have the monitor ask other nodes, and poll soon: a job may wait that this slot could not take."""
        more = {queue for queue in queues if self._idle.has_unasked(queue)} if was_woken else set[str]()
        is_first, self._is_work_waiting = not self._is_work_waiting, True
        if is_first or more:
            self._wake_monitor(more)

    def _wake_monitor(self, to_wake_more: set[str]) -> None:
        with self._condition:
            self._to_wake_more |= to_wake_more
            self._condition.notify()

    # The slots

    def _share(self, runner: RunShared) -> dict[str, SharedSlots]:
        """Return the slots of the backends whose slots share a thread."""
        return {
            name: SharedSlots(
                runner,
                self._backends[name],
                self._offers,
                self._idle,
                on_claim=self._on_claim,
                on_refusal=self._on_refusal,
                closed=self._closed,
            )
            for name in runner.backends
        }

    def _start_slots(self) -> None:
        """Start a thread for each new slot, and wake the threads whose slot is gone so that they end."""
        slots: dict[_SlotKey, Backend] = {
            (backend.name, node.name, number): backend
            for backend in self._backends.values()
            if backend.name not in self._shared
            for node in backend.nodes()
            for number in range(self._threads_of(backend, node))
        }
        with self._condition:
            for slot in () if self._closed.is_set() else slots.keys() - self._slots.keys():
                name = f"imagemill-{slot[1]}-{slot[2]}"
                arguments = (slots[slot], slot)
                thread = threading.Thread(target=self._serve, args=arguments, name=name, daemon=True)
                self._slots[slot] = thread
                thread.start()
            superfluous = self._slots.keys() - slots.keys()
        if superfluous:
            self._idle.wake_nodes({slot[:2] for slot in superfluous})

    def _threads_of(self, backend: Backend, node: Node) -> int:
        return math.ceil(node.slots / node.at_once) if backend.name in self._quick else node.slots

    def _serve(self, backend: Backend, slot: _SlotKey) -> None:
        key, was_woken = slot[:2], False
        while (node := self._needed_by(backend, slot)) is not None:
            queues, wakeups_seen = node.queues, self._idle.count_wakeups(node.queues)
            try:
                ran, wakeups_seen = self._run_jobs(slot, queues)
            except StorageError as error:
                log.warning("a slot of %s cannot claim a job: %s", slot[1], error)
                self._closed.wait(_AFTER_ERROR_S)
                continue
            except Exception:
                log.exception("running a job on a slot of %s failed; the slot continues", slot[1])
                ran = False
            self._on_refusal(queues, was_woken and not ran)
            self._idle.wait(key, queues, wakeups_seen)
            was_woken = True

    def _needed_by(self, backend: Backend, slot: _SlotKey) -> Node | None:
        """Return the node that the slot is of; None removes the slot, as it is no longer needed."""
        node = find(backend, slot[1])
        if not self._closed.is_set() and node is not None and slot[2] < self._threads_of(backend, node):
            return node
        with self._condition:
            self._slots.pop(slot, None)
        if not self._closed.is_set():
            # It may have been woken for a job; the slots that the node still has look for it.
            self._idle.wake_nodes({slot[:2]})
        return None

    def _run_jobs(self, slot: _SlotKey, queues: frozenset[str]) -> tuple[bool, int]:
        """Run jobs until a claim finds none. Return whether there was one, and how many wake-ups there were
        before that claim: without a later one the next claim would find none, either."""
        wakeups_seen = self._idle.count_wakeups(queues)

        def offers() -> list[Offer]:
            nonlocal wakeups_seen
            wakeups_seen = self._idle.count_wakeups(queues)
            return [] if self._closed.is_set() else self._offers.of_thread(*slot)

        def offer() -> Offer | None:
            nonlocal wakeups_seen
            wakeups_seen = self._idle.count_wakeups(queues)
            return None if self._closed.is_set() else self._offers.find(*slot)

        claimed = partial(self._on_claim, slot[:2], queues)
        if self._together is not None and slot[0] in self._quick:
            return SlotGroup(self._together, offers).run_all(claimed), wakeups_seen
        ran = self._run_all(offer, claimed)
        return ran, wakeups_seen
