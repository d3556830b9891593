"""Counting attempts to guess: so many in a window, for each of several keys at once."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address

from imagemill.domain.errors import TooManyAttempts

_MOST_KEYS = 100_000


class Attempts:
    """In memory of this process: several API processes count each for itself."""

    def __init__(self, *, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._lock = threading.Lock()
        self._counted: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, limits: Mapping[str, int]) -> None:
        """One attempt for each key, or none and `TooManyAttempts` when one of them has had its number."""
        now = self._clock()
        with self._lock:
            spans = {key: self._span(key, now) for key in limits}
            waits = [spans[key][0] - now for key, most in limits.items() if spans[key][1] >= most]
            if waits:
                wait_s = math.ceil(max(waits))
                raise TooManyAttempts(f"too many attempts; try again in {wait_s} s", after_s=wait_s)
            for key, (end, number) in spans.items():
                self._counted[key] = (end, number + 1)
                self._counted.move_to_end(key)
            while len(self._counted) > _MOST_KEYS:
                self._counted.popitem(last=False)

    def forgive(self, *keys: str) -> None:
        """The attempt was no guess: take it back."""
        with self._lock:
            for key in keys:
                if (found := self._counted.get(key)) is not None:
                    self._counted[key] = (found[0], max(found[1] - 1, 0))

    def _span(self, key: str, now: float) -> tuple[float, int]:
        found = self._counted.get(key)
        return found if found is not None and found[0] > now else (now + self._window_s, 0)


def network(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the 64 bits of IPv6 that one customer has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
