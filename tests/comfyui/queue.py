"""The queue and the history of a server."""

import heapq
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

HISTORY_LENGTH = 10_000
Entry = tuple[float, str, dict[str, Any], dict[str, Any], list[str]]  # number, id, graph, extra data, outputs


@dataclass
class Queue:
    """A heap of entries, compared as tuples: two of one number and id compare their graphs, which fails."""

    on_change: Callable[[], object] = lambda: None
    pending: list[Entry] = field(default_factory=list)
    running: Entry | None = None
    history: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict)
    counter: int = 0
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)  # id to its keys, which nobody is shown

    @property
    def remaining(self) -> int:
        return len(self.pending) + (self.running is not None)

    def next_number(self, explicit: Any, front: bool) -> float:
        """An explicit number stays what it is, as a float; all others count up, negative at the front."""
        taken = self.counter
        self.counter += 1
        if explicit is not None:
            return float(explicit)
        return -taken if front else taken

    def put(self, entry: Entry) -> None:
        """Raises TypeError when the tie is met here already; the entry is in the heap all the same."""
        heapq.heappush(self.pending, entry)
        self.on_change()

    def take(self) -> Entry:
        """Raises TypeError on a tie, which leaves an entry lost and ends the worker."""
        self.running = heapq.heappop(self.pending)
        self.on_change()
        return self.running

    def finish(self, record: dict[str, Any]) -> None:
        entry, self.running = self.running, None
        assert entry is not None
        if len(self.history) >= HISTORY_LENGTH:
            self.history.popitem(last=False)
        # A second run of an id takes the place of the first.
        self.history[entry[1]] = {"prompt": list(entry), **record}
        self.on_change()

    def delete(self, prompt_id: str) -> bool:
        for place, entry in enumerate(self.pending):
            if entry[1] == prompt_id:
                del self.pending[place]
                heapq.heapify(self.pending)
                self.on_change()
                return True
        return False

    def clear(self) -> None:
        self.pending.clear()
        self.on_change()

    def page(self, most: int | None, offset: int) -> dict[str, Any]:
        """The last `most` of the history, or those from an offset."""
        names = list(self.history)
        start = offset if offset >= 0 else max(0, len(names) - most) if most is not None else 0
        chosen = names[start:] if most is None else names[start : start + most]
        return {name: self.history[name] for name in chosen}
