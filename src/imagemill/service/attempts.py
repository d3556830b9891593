"""Counting attempts to guess: so many in a window, for each of several keys at once, by all processes."""

import math
import time
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import TooManyAttempts
from imagemill.store.tries import Tries, Try

_REMEMBER_S = 1.0
"""So long a refusal is repeated without asking the database again: what is refused may come in floods."""
_MOST_REMEMBERED = 10_000


class Attempts:
    def __init__(self, tries: Tries, *, window_s: float) -> None:
        self._tries = tries
        self._window_us = round(window_s * SECOND)
        self._full: dict[str, tuple[float, int]] = {}
        """Keys that have had their number: since when that is known, and until when it holds."""

    def count(self, limits: Mapping[str, int]) -> None:
        """One attempt for each key, or none and `TooManyAttempts` when one of them has had its number.

        Writes to the database."""
        now, at = now_us(), time.monotonic()
        found = {key: self._full[key] for key in limits if key in self._full}
        full = {key: until for key, (since, until) in found.items() if at - since < _REMEMBER_S}
        if not full:
            full = self._tries.count(Try(limits, now, now + self._window_us))
            if len(self._full) >= _MOST_REMEMBERED:
                self._full.clear()
            self._full.update({key: (at, until) for key, until in full.items()})
        if full:
            wait_s = max(1, math.ceil((max(full.values()) - now) / SECOND))
            raise TooManyAttempts(f"too many attempts; try again in {wait_s} s", after_s=wait_s)

    def forgive(self, *keys: str) -> None:
        """The attempts were no guesses: take them back."""
        self._tries.forgive(keys)


def network(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the 64 bits of IPv6 that one customer has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
