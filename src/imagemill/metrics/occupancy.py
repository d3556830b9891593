"""How long each node had something to do for this process."""

import threading
import time
from dataclasses import dataclass


@dataclass(slots=True)
class _Node:
    jobs: int = 0
    busy_s: float = 0.0
    since: float = 0.0
    """When it last began to have one."""


class Occupancy:
    """``busy_s`` grows while a node has at least one job, however many."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._lock = threading.Lock()

    def enter(self, node: str) -> None:
        with self._lock:
            state = self._nodes.setdefault(node, _Node())
            if state.jobs == 0:
                state.since = time.monotonic()
            state.jobs += 1

    def leave(self, node: str) -> None:
        with self._lock:
            state = self._nodes[node]
            state.jobs -= 1
            if state.jobs == 0:
                state.busy_s += time.monotonic() - state.since

    def look(self) -> dict[str, tuple[int, float]]:
        """For each node that ever had a job: how many it has, and for how many seconds it had some."""
        now = time.monotonic()
        with self._lock:
            return {
                name: (state.jobs, state.busy_s + (now - state.since if state.jobs else 0.0))
                for name, state in self._nodes.items()
            }
