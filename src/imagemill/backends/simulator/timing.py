"""Simulated time: a clock that respects the render's control and deadline, and a lock in order of arrival."""

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

from imagemill.backends.base import RenderCanceled, RenderControl
from imagemill.backends.simulator.settings import SimulatorSettings
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode

Clock = Callable[[], float]
"""Seconds since an arbitrary time."""

Sleep = Callable[[RenderControl, float], bool]
"""Sleeps that many seconds; returns True at once when the control is stopped."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Durations by the names of their settings (`SimulatorSettings`)."""

    step_ms: float
    load_ms: float
    jitter: float

    @staticmethod
    def of(settings: SimulatorSettings) -> "Speed":
        return Speed(settings.step_ms, settings.load_ms, settings.jitter)


SPEEDS = {
    "instant": Speed(0.0, 0.0, 0.0),
    "fast": Speed(40.0, 400.0, 0.0),
    "consumer": Speed(150.0, 5000.0, 0.1),
    "slow": Speed(1000.0, 20_000.0, 0.2),
}
"""Speeds by name, from no time at all to an old GPU: 20 steps take 0, 0.8, 3 and 20 s."""


POLL_S = 0.01
"""Interval at which a waiting render checks whether it should stop: 10 ms are not noticed."""


def pause(control: RenderControl, seconds: float) -> bool:
    """The real `Sleep`."""
    return control.wait(seconds)


@dataclass(frozen=True, slots=True)
class RenderClock:
    """The remaining time of one follower."""

    control: RenderControl
    clock: Clock
    sleep_once: Sleep
    deadline: float
    allowed_s: float

    def check(self) -> None:
        """Raise `RenderCanceled` when the control is stopped, `BackendError` when the time is over."""
        if self.control.stopped:
            raise RenderCanceled
        if self.clock() >= self.deadline:
            raise self._timeout()

    def sleep(self, seconds: float) -> None:
        """Sleep that many seconds; raises like `check`, at once."""
        left = self.deadline - self.clock()
        if self.sleep_once(self.control, max(0.0, min(seconds, left))):
            raise RenderCanceled
        if seconds >= left:
            raise self._timeout()

    def _timeout(self) -> BackendError:
        return BackendError(FailureCode.TIMEOUT, f"not finished after {self.allowed_s:g} s (simulated)")


class FifoLock:
    """A lock that is acquired in the order of arrival; a waiter may give up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def held(self, check: Callable[[], None]) -> Generator[None]:
        """Hold the lock. ``check`` is called repeatedly while waiting; an exception of it ends the wait."""
        self._enter(check)
        try:
            yield
        finally:
            self._leave()

    def acquire_at_once(self) -> bool:
        """Take the lock if it is free now, and return whether it was. Call `release` afterwards."""
        with self._lock:
            was_free = not self._taken
            self._taken = True
        return was_free

    def release(self) -> None:
        """Hand the lock to the next who waits for it."""
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
        # The lock was handed over at the moment of giving up.
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
