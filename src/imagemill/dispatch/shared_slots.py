"""All slots of a backend on one thread, for renders that take no time."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Protocol

from imagemill.backends.base import Backend
from imagemill.dispatch.base import Offers
from imagemill.dispatch.idle_slots import IdleSlots, NodeKey
from imagemill.domain.errors import StorageError
from imagemill.domain.scheduling import Offer
from imagemill.jobs.attempt import Attempt

log = logging.getLogger(__name__)

MOST_AT_ONCE = 16
"""Jobs that are claimed together; bounds how long the first waits until the last is done."""
_AFTER_ERROR_S = 1.0


class RunShared(Protocol):
    """`imagemill.jobs.instant.InstantRunner`."""

    @property
    def backends(self) -> frozenset[str]: ...

    @property
    def quick_backends(self) -> frozenset[str]: ...

    def run_all(
        self,
        offers: Callable[[Iterable[Attempt]], Sequence[Offer]],
        claimed: Callable[[], None],
        hand_over: Callable[[Attempt], None],
        /,
    ) -> int: ...

    def run_on(self, attempt: Attempt, following: Callable[[], Offer | None], /) -> None: ...


def in_turns(rows: Sequence[Sequence[Offer]]) -> list[Offer]:
    """Return the offers of nodes' slots, the first of all nodes first, as many as claim together."""
    return [offer for column in zip_longest(*rows) for offer in column if offer][:MOST_AT_ONCE]


class AttemptThreads:
    """Threads for attempts that take time: each runs one to its end, and then goes on with its slot.

    ``following`` returns the offer of a node's slot for its next job. ``release`` is called with the node
    once there is no more, and whether a bug has ended the thread before it had looked.
    """

    def __init__(
        self,
        runner: RunShared,
        following: Callable[[str], Offer | None],
        release: Callable[[str, bool], None],
    ) -> None:
        self._runner = runner
        self._following = following
        self._release = release
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def start(self, attempt: Attempt) -> None:
        node = attempt.claim.job.node or ""
        name = f"imagemill-{node}-{attempt.claim.id[-4:]}"
        thread = threading.Thread(target=self._run, args=(attempt, node), name=name, daemon=True)
        with self._lock:
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            log.warning("no thread can be started for a job; this one runs it")
            self._run(attempt, node)
            with self._lock:
                self._threads.discard(thread)

    def join(self) -> None:
        while threads := self._running():
            for thread in threads:
                thread.join()

    def _running(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads)

    def _run(self, attempt: Attempt, node: str) -> None:
        is_bug = False
        try:
            self._runner.run_on(attempt, lambda: self._following(node))
        except Exception:
            log.exception("running a job on a slot of %s failed; the slot continues", node)
            is_bug = True
        finally:
            self._release(node, is_bug)
            with self._lock:
                self._threads.discard(threading.current_thread())


class SlotGroup:
    """The slots of a node that one thread serves: one slot, or several while the node is quick.

    ``offers`` returns the offers of all of these slots as they are now; it is called before each claim.
    """

    def __init__(self, runner: RunShared, offers: Callable[[], Sequence[Offer]]) -> None:
        self._runner = runner
        self._offers = offers
        self._is_alone = True
        """Whether no other job can have been claimed with the last one."""
        self._has_slow = False
        self._slow = AttemptThreads(runner, lambda _: None, lambda _, __: None)

    def run_all(self, claimed: Callable[[], None]) -> bool:
        """Run jobs until there is none for these slots; return False when there was none at all."""
        count, ran = 0, True
        while ran:
            self._has_slow = False
            try:
                count += self._runner.run_all(self._free, claimed, self._hand_over)
            finally:
                self._slow.join()
            # Jobs may wait that were not claimed, as one before them took time.
            ran = self._has_slow
        return count > 0

    def _free(self, waiting: Iterable[Attempt]) -> Sequence[Offer]:
        if self._has_slow:
            return ()
        offers, busy = self._offers(), len([*waiting])
        self._is_alone = len(offers) <= 1 and not busy
        return offers[busy:]

    def _hand_over(self, attempt: Attempt) -> None:
        """Run an attempt that takes time: here where no other waits for it, and else in a thread of its
        own, while this one claims no more."""
        if self._is_alone:
            self._runner.run_on(attempt, self._following)
        else:
            self._has_slow = True
            self._slow.start(attempt)

    def _following(self) -> Offer | None:
        offers = self._offers()
        return offers[0] if len(offers) == 1 else None


class SharedSlots:
    """The slots of a backend: one thread claims for all that are free and runs what takes no time.

    An attempt that takes time gets a thread of its own, which keeps the slot until there is no more job for
    it. ``on_claim`` and ``on_refusal`` are called as by a slot of its own.
    """

    def __init__(
        self,
        runner: RunShared,
        backend: Backend,
        offers: Offers,
        idle: IdleSlots,
        *,
        on_claim: Callable[[NodeKey, frozenset[str]], None],
        on_refusal: Callable[[frozenset[str], bool], None],
        closed: threading.Event,
    ) -> None:
        self._runner = runner
        self._backend = backend
        self._offers = offers
        self._idle = idle
        self._on_claim = on_claim
        self._on_refusal = on_refusal
        self._closed = closed
        self._key = (backend.name, "")
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        """Slots with a thread of their own, by node."""
        self._slow = AttemptThreads(runner, self._following, self._release)
        self._thread = threading.Thread(target=self._serve, name=f"imagemill-{backend.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait until all slots are idle; they must have been closed."""
        if self._thread.is_alive():
            self._thread.join()
        self._slow.join()

    def _serve(self) -> None:
        was_woken = False
        while not self._closed.is_set():
            roused = self._idle.count_wakeups(())
            # While all are draining, as those of a paused simulator, wake-ups are for others.
            nodes = [node for node in self._backend.nodes() if not node.draining]
            queues = frozenset[str]().union(*(node.queues for node in nodes))
            wakeups_seen = self._idle.count_wakeups(queues)
            if self._idle.count_wakeups(()) != roused:
                continue  # as its nodes take jobs again, perhaps since they were asked for
            try:
                ran = self._runner.run_all(
                    self._free, lambda queues=queues: self._on_claim(self._key, queues), self._hand_over
                )
            except StorageError as error:
                log.warning("the slots of %s cannot claim jobs: %s", self._backend.name, error)
                self._closed.wait(_AFTER_ERROR_S)
                continue
            except Exception:
                log.exception("running jobs on slots of %s failed; they continue", self._backend.name)
                ran = False
            if not ran:
                self._on_refusal(queues, was_woken)
                self._idle.wait(self._key, queues, wakeups_seen)
            was_woken = not ran

    def _free(self, waiting: Iterable[Attempt]) -> list[Offer]:
        """Return the offer of each slot that neither these attempts nor threads use, the first slots of all
        nodes first."""
        if self._closed.is_set():
            return []
        rows: list[list[Offer]] = []
        with self._lock:
            busy = self._busy.copy()
        busy.update(attempt.claim.job.node or "" for attempt in waiting)
        for node in self._backend.nodes():
            free = node.slots - busy[node.name]
            offer = self._offers.find(self._backend.name, node.name) if free > 0 else None
            if offer is not None:
                rows.append([offer] * free)
        return in_turns(rows)

    def _hand_over(self, attempt: Attempt) -> None:
        with self._lock:
            self._busy[attempt.claim.job.node or ""] += 1
        self._slow.start(attempt)

    def _following(self, node: str) -> Offer | None:
        return None if self._closed.is_set() else self._offers.find(self._backend.name, node)

    def _release(self, node: str, is_bug: bool) -> None:
        with self._lock:
            self._busy[node] -= 1
        if is_bug:
            # It has not looked for another job.
            self._idle.wake_nodes((self._key,))
