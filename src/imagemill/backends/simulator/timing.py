"""Simulated time: sleeping that obeys the watch and the deadline, and a gate that lets one render in."""

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from imagemill.backends.base import RenderCanceled, RenderControl
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode

Clock = Callable[[], float]
"""Seconds, from any zero."""

Sleep = Callable[[RenderControl, float], bool]
"""Sleep that long, or return True at once when the watch says stop."""


def pause(control: RenderControl, seconds: float) -> bool:
    """The real `Sleep`."""
    return control.wait(seconds)


POLL_S = 0.01
"""How often a waiting render looks whether it should stop: nobody notices 10 ms."""


@dataclass(frozen=True, slots=True)
class RenderClock:
    """The time one follower has."""

    control: RenderControl
    clock: Clock
    sleep_once: Sleep
    deadline: float
    allowed_s: float

    def check(self) -> None:
        """Raise `RenderCanceled` when told to stop, `BackendError` when the time is up."""
        if self.control.stopped:
            raise RenderCanceled
        if self.clock() >= self.deadline:
            raise self._timeout()

    def sleep(self, seconds: float) -> None:
        """Let that much time pass; raises as `check` does, at once."""
        left = self.deadline - self.clock()
        if self.sleep_once(self.control, max(0.0, min(seconds, left))):
            raise RenderCanceled
        if seconds >= left:
            raise self._timeout()

    def _timeout(self) -> BackendError:
        return BackendError(FailureCode.TIMEOUT, f"not finished after {self.allowed_s:g} s (simulated)")


class FifoLock:
    """Lets one in at a time, the others in the order they came; a waiter may give up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def passed(self, check: Callable[[], None]) -> Generator[None]:
        """``check`` is called now and then while waiting; the wait ends with what it raises."""
        self._enter(check)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, check: Callable[[], None]) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            while not turn.wait(POLL_S):
                check()
        except BaseException:
            self._withdraw(turn)
            raise

    def _withdraw(self, turn: threading.Event) -> None:
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return
        # The gate was handed over in the very moment of giving up.
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
