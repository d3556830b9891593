"""A circuit breaker: after repeated failures no calls pass for a while."""

import threading
from collections.abc import Callable

from imagemill.net.backoff import doubled_s

Clock = Callable[[], float]
"""Monotonic seconds."""


class Breaker:
    """A circuit breaker with exponential back-off. Thread-safe.

    Closed: calls pass. After ``failures`` failures in a row it opens: no calls pass until the pause is over
    *and* a health check has succeeded. Then it is half-open: the next failure opens it for twice as long,
    a success closes it. The pauses grow from ``base_s`` up to ``cap_s`` seconds.
    """

    def __init__(self, *, failures: int, base_s: float, cap_s: float, clock: Clock) -> None:
        self._most, self._base_s, self._cap_s = failures, base_s, cap_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened = 0
        """The number of times the breaker opened since the last success."""
        self._open_until: float | None = None
        self.cause = ""

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    def succeed(self) -> None:
        with self._lock:
            self._failures = self._opened = 0
            self._open_until = None

    def fail(self, cause: str) -> None:
        with self._lock:
            self._failures += 1
            self.cause = cause
            if self._failures < self._most or self._open_until is not None:
                return
            pause_s = doubled_s(self._base_s, self._opened, self._cap_s)
            self._opened += 1
            self._open_until = self._clock() + pause_s

    def probe(self) -> None:
        """Record a successful health check: after the pause the breaker is half-open."""
        with self._lock:
            if self._open_until is not None and self._clock() >= self._open_until:
                self._open_until = None
                self._failures = self._most - 1
