"""How many jobs a process begins in a minute, over all its slots."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

MINUTE_S = 60.0
_T = TypeVar("_T")


class Pace:
    """Thread-safe. ``most``: jobs within any minute; None: any number."""

    def __init__(self, most: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._begun: deque[float] = deque()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether a slot may begin a job now; it is counted. To be followed by `kept`."""
        if self._most is None:
            return True
        with self._lock:
            now = self._clock()
            while self._begun and self._begun[0] <= now - MINUTE_S:
                self._begun.popleft()
            if len(self._begun) >= self._most:
                return False
            self._begun.append(now)
            return True

    def kept(self, claim: _T | None) -> _T | None:
        """The claim as it is; none does not count."""
        if claim is None and self._most is not None:
            with self._lock:
                if self._begun:
                    self._begun.pop()
        return claim
