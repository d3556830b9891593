"""Who shows keys that nobody has: what that costs is bounded, for each address.

A wrong key has to be looked up like a right one. Whoever shows many different ones is soon looked up no more;
whose key was right a while ago does not notice, from the same address either.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from imagemill.domain.errors import TooManyAttempts
from imagemill.service.attempts import network

_BURST = 50
"""Wrong keys of an address that are looked up at once: many people may share one."""
_A_SECOND = 5.0
_MOST_ADDRESSES = 10_000


class Strangers:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By address: how many more wrong keys, and when that was so."""

    def check(self, address: str) -> None:
        """Raises `TooManyAttempts` where a key that was never right is not looked up now."""
        if self._left and self._now(network(address)) < 1:
            raise TooManyAttempts("too many keys that are not known here; try again in 1 s", after_s=1.0)

    def note(self, address: str) -> None:
        """It showed one that is not known."""
        key = network(address)
        with self._lock:
            self._left[key] = (max(0.0, self._now(key) - 1), self._clock())
            self._left.move_to_end(key)
            if len(self._left) > _MOST_ADDRESSES:
                self._left.popitem(last=False)

    def _now(self, key: str) -> float:
        left, at = self._left.get(key, (_BURST, 0.0))
        return min(_BURST, left + (self._clock() - at) * _A_SECOND)
