"""Time and identity: instants are whole microseconds since the epoch, UTC."""

import os
import threading
import time
import uuid
from datetime import UTC, datetime

SECOND = 1_000_000
"""Microseconds in a second."""


def now_us() -> int:
    return time.time_ns() // 1000


def to_datetime(instant_us: int) -> datetime:
    return datetime.fromtimestamp(instant_us / SECOND, UTC)


def from_datetime(moment: datetime) -> int:
    """A naive moment is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * SECOND)


_drawn = threading.local()
_DRAW = 8192


def random_bytes(count: int) -> bytes:
    """From the system's generator, drawn ahead: each call of it would let go of the interpreter lock.

    At most 8192 at once; not for secrets that are kept.
    """
    pool: bytes = getattr(_drawn, "pool", b"")
    if len(pool) < count:
        pool = os.urandom(_DRAW)
    _drawn.pool = pool[count:]
    return pool[:count]


def random_below(limit: int) -> int:
    """A whole number from 0 to ``limit`` - 1, with a bias below 2^-64 for what fits 64 bits."""
    return int.from_bytes(random_bytes(16)) % limit


def _forget_drawn() -> None:
    _drawn.__dict__.clear()


os.register_at_fork(after_in_child=_forget_drawn)


def uuid7(instant_us: int | None = None) -> str:
    """A canonical UUID of version 7 (RFC 9562): sorts by creation, 74 random bits.

    Millisecond order is enough here: equal milliseconds sort at random.
    """
    milliseconds = (now_us() if instant_us is None else instant_us) // 1000
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random_bytes(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def uuid7_us(text: str) -> int:
    """When a canonical UUID of version 7 was made, to the millisecond; microseconds since the epoch."""
    return int(text[:8] + text[9:13], 16) * 1000


def new_trace() -> str:
    """A W3C traceparent, not sampled: ``00-{32 hex}-{16 hex}-00``."""
    drawn = random_bytes(24).hex()
    return f"00-{drawn[:32]}-{drawn[32:]}-00"
