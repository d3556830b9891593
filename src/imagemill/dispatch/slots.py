"""The slots of a worker that messages wake: which are free, and the work that a wake-up does on one."""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from imagemill.backends.base import Node
from imagemill.dispatch.base import Offers, route
from imagemill.dispatch.shared_slots import MOST_AT_ONCE, AttemptThreads, RunShared, in_turns
from imagemill.domain.errors import StorageError
from imagemill.domain.scheduling import Offer
from imagemill.jobs.attempt import Attempt

log = logging.getLogger(__name__)

_MAX_POLL_THREADS = 64
"""Maximum number of threads that polling starts; the number of slots limits it well before."""

_AFTER_SLOW_S = 60.0
"""Seconds after a job that took time in which no more are claimed at once than may run at once."""

_Node = tuple[str, str]
"""Backend, name."""


class RunAll(Protocol):
    """`imagemill.jobs.runner.Runner.run_all`."""

    def __call__(self, offer: Callable[[], Offer | None], claimed: Callable[[], None], /) -> bool: ...


class SlotPool:
    """The free slots of this process, and the work on them.

    ``wakeup_s``: seconds for which one wake-up continues to claim jobs. ``max_jobs``: concurrent jobs in this
    process; None means the number of its nodes' slots. ``poll_s``: seconds between two checks for work
    without a wake-up. ``queues_with_work`` is read first, so that idle slots cost a single query.
    ``shared`` runs the jobs of its backends: a wake-up that gets a slot of one gets all that are free, even
    beyond ``max_jobs`` while their renders take no time, as these run one after the other.
    """

    def __init__(
        self,
        run_all: RunAll,
        offers: Offers,
        queues_with_work: Callable[[], set[str]],
        *,
        wakeup_s: float,
        poll_s: float,
        max_jobs: int | None = None,
        shared: RunShared | None = None,
    ) -> None:
        self._run_all = run_all
        self._offers = offers
        self._queues_with_work = queues_with_work
        self._wakeup_s = wakeup_s
        self._poll_s = poll_s
        self._max_jobs = max_jobs
        self._shared = shared
        self._slow: dict[str, AttemptThreads] = {}
        """Threads of attempts that take time, by backend."""
        for name in shared.backends if shared is not None else ():
            self._slow[name] = self._threads_of(name)
        self._slow_at = -math.inf
        """When a job of these backends took time last, on the monotonic clock."""
        self._lock = threading.Lock()
        self._busy: Counter[_Node] = Counter()
        self._stop = threading.Event()
        self._pollers = ThreadPoolExecutor(_MAX_POLL_THREADS, thread_name_prefix="imagemill-poll")
        self._poller = threading.Thread(target=self._poll, name="imagemill-poll", daemon=True)

    @property
    def slots(self) -> int:
        """Number of slots; at least one, as nodes may be added later."""
        return self._max_jobs or max(1, sum(node.slots for _, node in self._offers.nodes()))

    def has_free_slot(self, name: str = "") -> bool:
        """Whether a slot is free that may take jobs of this broker queue; an empty one means any."""
        with self._lock:
            return any(not name or name in map(route, node.queues) for _, node in self._free())

    def start(self) -> None:
        self._poller.start()

    def stop_accepting(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self._stop.set()
        if self._poller.is_alive():
            self._poller.join()
        self._pollers.shutdown(wait=True)
        for threads in self._slow.values():
            threads.join()

    def check_queues(self) -> None:
        """Let a free slot check for work. Callable from any thread; does not wait for the check."""
        if not self._stop.is_set():
            self._pollers.submit(self._work_quietly)

    def work(
        self, claimed: Callable[[], None] = lambda: None, waiting: Set[str] | None = None
    ) -> tuple[int, bool]:
        """Run jobs on a free slot until there is none or the wake-up's time is over.

        ``claimed`` is called after each claim. ``waiting``: the queues with work, whose nodes alone are
        asked; None asks all. Returns the number of jobs and whether there may be more.
        """
        until = time.monotonic() + self._wakeup_s
        tried: set[_Node] = set()
        while not self._stop.is_set() and (node := self._acquire(tried, waiting)):
            if node[0] in self._slow:
                ran, spent = self._run_shared(node, until, claimed, waiting)
                tried.update(
                    (each.name, other.name) for each, other in self._offers.nodes() if each.name == node[0]
                )
            else:
                try:
                    ran, spent = self._run_on(node, until, claimed)
                finally:
                    self._release(node)
            if ran:
                return ran, spent
            tried.add(node)
        return 0, self._stop.is_set()

    def _run_on(self, node: _Node, until: float, claimed: Callable[[], None]) -> tuple[int, bool]:
        """Return the number of jobs that ran, and whether it ended because the time was over."""
        calls, spent = 0, False

        def offer() -> Offer | None:
            nonlocal calls, spent
            calls += 1
            spent = self._stop.is_set() or (calls > 1 and time.monotonic() >= until)
            return None if spent else self._offers.find(*node)

        ran = self._run_all(offer, claimed)
        # `offer` is called before the first claim and once after each job, but not while the runner stops.
        return (max(1, calls - 1) if ran else 0), spent

    def _run_shared(
        self, node: _Node, until: float, claimed: Callable[[], None], waiting: Set[str] | None
    ) -> tuple[int, bool]:
        """Run jobs on a slot of the node, which is reserved, and on all free slots of its backend."""
        assert self._shared is not None  # noqa: S101 - else it has no such backend
        taken = Counter((node, *self._acquire_more(node[0], waiting)))
        calls, spent = 0, False

        def offers(waiting: Iterable[Attempt]) -> Sequence[Offer]:
            nonlocal calls, spent
            calls += 1
            spent = self._stop.is_set() or (calls > 1 and time.monotonic() >= until)
            if spent or self._is_full(taken.total()):
                return ()
            free = taken.copy()
            free.subtract((node[0], attempt.claim.job.node or "") for attempt in waiting)
            found = ((self._offers.find(*key), count) for key, count in free.items() if count > 0)
            return in_turns([[offer] * count for offer, count in found if offer is not None])

        def hand_over(attempt: Attempt) -> None:
            taken[node[0], attempt.claim.job.node or ""] -= 1
            self._slow_at = time.monotonic()
            self._slow[node[0]].start(attempt)

        try:
            ran = self._shared.run_all(offers, claimed, hand_over)
        finally:
            for key in taken.elements():
                self._release(key)
        return ran, spent

    def _threads_of(self, backend: str) -> AttemptThreads:
        assert self._shared is not None  # noqa: S101 - its backends alone have them

        def following(node: str) -> Offer | None:
            return None if self._stop.is_set() else self._offers.find(backend, node)

        def release(node: str, is_bug: bool) -> None:
            self._release((backend, node))
            if is_bug:
                self.check_queues()  # it has not looked for another job

        return AttemptThreads(self._shared, following, release)

    def _acquire_more(self, backend: str, waiting: Set[str] | None) -> list[_Node]:
        """Reserve the free slots of a backend."""
        taken: list[_Node] = []
        while len(taken) + 1 < MOST_AT_ONCE and (node := self._acquire(set(), waiting, backend)):
            taken.append(node)
        return taken

    def _is_full(self, own: int) -> bool:
        """Whether other threads have as many slots as this process may have jobs; ``own``: the caller's."""
        with self._lock:
            return self._max_jobs is not None and self._busy.total() - own >= self._max_jobs

    def _acquire(self, tried: set[_Node], waiting: Set[str] | None, of_backend: str = "") -> _Node | None:
        """Reserve a slot on the node with the smallest share of busy slots, of any backend.

        ``of_backend``: a further slot of this one, whose jobs run one after the other if they take no time.
        """
        with self._lock:
            free = [
                (self._busy[key] / node.slots, key)
                for key, node in self._free(of_backend)
                if key not in tried and (waiting is None or not waiting.isdisjoint(node.queues))
            ]
            if not free:
                return None
            chosen = min(free)[1]
            self._busy[chosen] += 1
            return chosen

    def _free(self, of_backend: str = "") -> list[tuple[_Node, Node]]:
        """Return the nodes with a free slot that may be used; call with the lock."""
        is_bounded = not of_backend or time.monotonic() - self._slow_at < _AFTER_SLOW_S
        if is_bounded and self._max_jobs is not None and self._busy.total() >= self._max_jobs:
            return []
        return [
            (key, node)
            for backend, node in self._offers.nodes()
            if self._busy[key := (backend.name, node.name)] < node.slots
            if node.healthy and not node.draining
            if not of_backend or backend.name == of_backend
        ]

    def _release(self, node: _Node) -> None:
        with self._lock:
            self._busy[node] -= 1
            if not self._busy[node]:
                del self._busy[node]

    def _poll(self) -> None:
        while not self._stop.wait(self._poll_s):
            self._log_errors(self._poll_once)

    def _poll_once(self) -> None:
        if not self._queues_with_work().isdisjoint(self._offers.queues()):
            self.check_queues()

    def _work_quietly(self) -> None:
        def look() -> None:
            if waiting := self._queues_with_work():
                # When one slot found work, there may be some for the next.
                self.work(self.check_queues, waiting)

        self._log_errors(look)

    def _log_errors(self, look: Callable[[], object]) -> None:
        try:
            look()
        except StorageError as error:
            log.warning("an idle slot cannot claim a job: %s", error)
        except Exception:
            log.exception("work on an idle slot failed; the slot continues")
