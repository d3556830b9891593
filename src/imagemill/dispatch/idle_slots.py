"""The idle slots of a process, woken a few at a time.

Each slot that is woken tries to claim: with 1,000 idle slots a single job would cost 80 ms of the processor.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from itertools import islice

_WOKEN_AT_ONCE = 8
"""Slots that a wake-up wakes at first."""

NodeKey = tuple[str, str]
"""Backend, node."""


class _Sleeper:
    """An idle slot's thread; it sleeps until it can take the lock."""

    __slots__ = ("lock", "queues")

    def __init__(self, queues: frozenset[str]) -> None:
        self.queues = queues
        self.lock = threading.Lock()
        self.lock.acquire()


class IdleSlots:
    """Where slots wait for wake-ups, without a time limit. Callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[NodeKey, list[_Sleeper]] = {}
        """The nodes with idle slots, the longest idle first."""
        self._asked: dict[str, set[NodeKey]] = {}
        """The nodes that were asked since the last wake-up of a queue, and claimed nothing."""
        self._wakeups: Counter[str] = Counter()
        """The wake-ups so far, by queue; the empty one is for all slots."""
        self._is_closed = False

    def count_wakeups(self, queues: Iterable[str]) -> int:
        """Return the number of wake-ups so far that concern slots of these queues."""
        return self._wakeups[""] + sum(self._wakeups[queue] for queue in queues)

    def wait(self, node: NodeKey, queues: frozenset[str], wakeups_seen: int) -> None:
        """Sleep until a wake-up; one since ``wakeups_seen`` was read counts, too."""
        with self._lock:
            if self._is_closed or self.count_wakeups(queues) != wakeups_seen:
                return
            sleeper = _Sleeper(queues)
            # At the end: a node that was busy last may have the models that the next job needs.
            self._idle[node] = [*self._idle.pop(node, ()), sleeper]
        sleeper.lock.acquire()

    def wake(self, queue: str) -> None:
        """Wake a slot of some nodes that have the queue. `wake_more` wakes others: of other nodes if these
        claim nothing, of the same ones if more jobs wait."""
        with self._lock:
            self._wakeups[queue] += 1
            self._asked[queue] = set()
            self._wake(queue, _WOKEN_AT_ONCE, each_once=True)

    def wake_more(self, queue: str) -> None:
        """Wake slots of nodes that were not asked yet, as many as were before."""
        with self._lock:
            asked = self._asked.setdefault(queue, set())
            self._wake(queue, max(_WOKEN_AT_ONCE, len(asked)))

    def wake_each_node(self, queue: str) -> None:
        """Wake a slot of each node that has the queue."""
        with self._lock:
            self._wakeups[queue] += 1
            self._asked[queue] = set()
            self._wake(queue, len(self._idle), each_once=True)

    def wake_nodes(self, nodes: Iterable[NodeKey]) -> None:
        """Wake all slots of these nodes."""
        with self._lock:
            self._wakeups[""] += 1
            for node in nodes:
                for sleeper in self._idle.pop(node, ()):
                    sleeper.lock.release()

    def wake_all(self) -> None:
        with self._lock:
            self._wakeups[""] += 1
            for sleepers in self._idle.values():
                for sleeper in sleepers:
                    sleeper.lock.release()
            self._idle.clear()

    def close(self) -> None:
        """Wake all; no slot sleeps any more."""
        self._is_closed = True
        self.wake_all()

    def note_claim(self, node: NodeKey) -> None:
        """Note that a node took a job: its other slots may take one, too."""
        with self._lock:
            for asked in self._asked.values():
                asked.discard(node)

    def has(self, queue: str) -> bool:
        """Whether a slot that has the queue is idle."""
        with self._lock:
            return any(queue in sleepers[-1].queues for sleepers in self._idle.values())

    def has_unasked(self, queue: str) -> bool:
        """Whether there are idle slots of nodes that were not asked since the last wake-up of the queue."""
        with self._lock:
            return bool(self._unasked(queue, 1))

    def _unasked(self, queue: str, most: int) -> list[NodeKey]:
        """Return nodes with the queue that were not asked, the last used first; call with the lock."""
        asked = self._asked.get(queue, ())
        nodes = (
            node
            for node, sleepers in reversed(self._idle.items())
            if node not in asked and queue in sleepers[-1].queues
        )
        return list(islice(nodes, most))

    def _wake(self, queue: str, most: int, *, each_once: bool = False) -> None:
        """Wake up to ``most`` slots, of as many nodes as possible; call with the lock."""
        nodes = self._unasked(queue, most)
        self._asked[queue].update(nodes)
        while nodes and most > 0:
            for node in nodes[:most]:
                sleepers = self._idle[node]
                sleepers.pop().lock.release()
                most -= 1
                if not sleepers:
                    del self._idle[node]
            nodes = [] if each_once else [node for node in nodes if node in self._idle]
