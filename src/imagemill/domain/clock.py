"""Time and identifiers. Instants are whole microseconds since the epoch, UTC."""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

SECOND = 1_000_000
"""Microseconds in a second."""


class SteadyClock:
    """The time of a system's clock, which may be set back while jobs, leases and retries wait for instants.

    After that it runs at half speed until the system's clock has caught up, so that no wait takes longer than
    twice its own length, instead of as long as the clock was set back. ``correction`` is added to the
    system's clock: the database's clock is the same for all machines. All in microseconds.
    """

    def __init__(self, wall: Callable[[], int], monotonic: Callable[[], int]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._latest = 0
        self._behind: tuple[int, int] | None = None
        """The monotonic and the shown time when the system's clock was found to be set back."""
        self.correction = 0

    def now(self) -> int:
        wall = self._wall() + self.correction
        behind = self._behind
        if behind is None:
            if wall >= self._latest:
                self._latest = wall
                return wall
            behind = self._behind = (self._monotonic(), self._latest)
        slowed = behind[1] + (self._monotonic() - behind[0]) // 2
        if wall < slowed:
            return slowed
        self._behind, self._latest = None, wall
        return wall


_clock = SteadyClock(lambda: time.time_ns() // 1000, lambda: time.monotonic_ns() // 1000)


def now_us() -> int:
    return _clock.now()


def correct_clock(correction_us: int) -> None:
    """Set what is added to the clock of this machine, so that all machines have the time of the database."""
    _clock.correction = correction_us


def to_datetime(instant_us: int) -> datetime:
    return datetime.fromtimestamp(instant_us / SECOND, UTC)


def from_datetime(moment: datetime) -> int:
    """Convert a datetime to an instant; one without a time zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * SECOND)


_random_pool = threading.local()
_POOL_BYTES = 8192


def random_bytes(count: int) -> bytes:
    """Return random bytes of the system's generator, at most 8192; not for secrets that are stored.

    They come from a pool that each thread fills in advance, as each call of the generator releases the
    interpreter lock.
    """
    pool: bytes = getattr(_random_pool, "pool", b"")
    if len(pool) < count:
        pool = os.urandom(_POOL_BYTES)
    _random_pool.pool = pool[count:]
    return pool[:count]


def random_below(limit: int) -> int:
    """Return a whole number from 0 to ``limit`` - 1; its bias is below 2^-64 for a limit of up to 64 bits."""
    return int.from_bytes(random_bytes(16)) % limit


def random_fraction() -> float:
    """Return a number from 0 to below 1, for jitter.

    The generator of the module `random` is left alone, as its sequence belongs to whoever seeds it.
    """
    return random_below(2**53) / 2**53


def _clear_random_pool() -> None:
    _random_pool.__dict__.clear()


os.register_at_fork(after_in_child=_clear_random_pool)


def uuid7(instant_us: int | None = None) -> str:
    """Return a canonical UUID of version 7 (RFC 9562) with 74 random bits; it sorts by creation time.

    Millisecond order is enough here: ids of the same millisecond sort at random.
    """
    milliseconds = (now_us() if instant_us is None else instant_us) // 1000
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random_bytes(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return _uuid_text(value)


def _uuid_text(value: int) -> str:
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def least_uuid7(instant_us: int) -> str:
    """Return the smallest UUID of version 7 of an instant, to compare ids with a time."""
    value = max(0, instant_us // 1000) << 80 | 0x7 << 76 | 0x2 << 62
    return _uuid_text(value)


def uuid7_us(text: str) -> int:
    """Return the creation time of a UUID of version 7: microseconds since the epoch, exact to the ms."""
    return int(text[:8] + text[9:13], 16) * 1000


def new_trace() -> str:
    """Return a new W3C traceparent without the sampled flag: ``00-{32 hex}-{16 hex}-00``."""
    drawn = random_bytes(24).hex()
    return f"00-{drawn[:32]}-{drawn[32:]}-00"
