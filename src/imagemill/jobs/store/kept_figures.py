"""Figures of a long queue, which are kept for a while since reading them takes long."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_R = TypeVar("_R")

READ_EACH_TIME = 20_000
"""Rows up to which a figure is read each time it is asked for, in about 5 ms."""
_ROWS_A_SECOND = 50_000
"""Rows for each second that a figure is kept. They are read in 5 to 20 ms, so that a process uses at most a
fiftieth of a core for a figure, however long the queue is and however often it is asked for."""
_MOST = 64
"""Figures of different filters that are kept."""


class KeptFigures:
    """Thread-safe; while a figure is read, others who ask for it wait for the same one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._reading: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, read: Callable[[], tuple[_R, int]]) -> _R:
        """Return a kept figure, or read it. ``read`` returns the figure and the number of rows it read."""
        with self._lock:
            reading = self._reading.setdefault(key, threading.Lock())
        try:
            with reading:
                until, value = self._kept.get(key, (0.0, None))
                if self._clock() < until:
                    return value
                value, rows = read()
                self._keep(key, value, rows)
                return value
        finally:
            with self._lock:
                self._reading.pop(key, None)

    def _keep(self, key: Hashable, value: Any, rows: int) -> None:
        with self._lock:
            self._kept.pop(key, None)
            if rows > READ_EACH_TIME:
                self._kept[key] = (self._clock() + rows / _ROWS_A_SECOND, value)
                while len(self._kept) > _MOST:
                    self._kept.popitem(last=False)
