"""Throttling of guesses: login attempts, counted for all processes, and requests with unknown API keys."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address

import sqlalchemy as sa

from imagemill.db.database import Database
from imagemill.db.group_commit import Tx, Write
from imagemill.db.statements import BoundStatement, Statement, run_together
from imagemill.domain.access import digest
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import TooManyAttempts

# Counting attempts
#
# Each key has a limit in a window of time; an attempt counts for several keys at once, for example an address
# and an account. The counts are rows of `counters` with the digest of the key: no address or name is stored.

_MOST_KEYS = 100_000
"""The most keys that are kept, about 20 MB; beyond it those that expire first are deleted."""
_DELETE_EVERY = 1000
"""Old keys are deleted whenever this number of keys was added, which takes about 30 ms."""
_REMEMBER_S = 1.0
"""Seconds for which a refusal is cached, so that a flood of attempts does not load the database."""
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class CountAttempt:
    limits: Mapping[str, int]
    """The most attempts in a window, by key."""
    now: int
    until: int
    """The end of windows that begin with this attempt."""


class AttemptCounter:
    """The counts of attempts in the database. ``most``: the most keys that are kept."""

    def __init__(self, database: Database, *, most: int = _MOST_KEYS) -> None:
        self._write = database.write
        self._most = most
        self._fresh = 0
        # Bound once: the group commit distinguishes kinds of writes by identity.
        self.counting: Write = self._count_all

    def count(self, request: CountAttempt) -> Mapping[str, int]:
        """Count one attempt for each key and return nothing.

        When keys are at their limit, count none and return these keys with the ends of their windows.
        """
        return self._write(self.counting, request)

    def reset(self, keys: Sequence[str]) -> None:
        """Take one attempt of each key back, since it was not a guess."""
        self._write(reset_attempts, tuple(keys))

    def _count_all(self, tx: Tx, requests: Sequence[CountAttempt]) -> list[Mapping[str, int]]:
        answers = [self._count_one(tx, request) for request in requests]
        if self._fresh >= min(_DELETE_EVERY, self._most):
            self._fresh = 0
            now = max(request.now for request in requests)
            run_together(
                tx.conn, _DELETE_EXPIRED.call({"now": now}), _DELETE_SURPLUS.call({"most": self._most})
            )
        return answers

    def _count_one(self, tx: Tx, request: CountAttempt) -> Mapping[str, int]:
        keys = {digest(key): key for key in request.limits}
        amounts = _count_attempts(tx, {hidden: request.limits[key] for hidden, key in keys.items()}, request)
        if len(amounts) == len(keys):
            self._fresh += sum(amount == 1 for amount in amounts.values())
            return {}
        _take_back(tx, [hidden for hidden in keys if hidden in amounts])
        full = [hidden for hidden in keys if hidden not in amounts]
        return {keys[hidden]: until for hidden, until in _UNTIL.run(tx.conn, {"ids": full})}


_COUNT = Statement(
    sa.text(
        "INSERT INTO counters (owner, kind, span, amount, until) VALUES (:key, 'tries', 0, 1, :until) "
        "ON CONFLICT (owner, kind, span) DO UPDATE SET "
        "amount = CASE WHEN counters.until <= :now THEN 1 ELSE counters.amount + 1 END, "
        "until = CASE WHEN counters.until <= :now THEN :until ELSE counters.until END "
        "WHERE counters.until <= :now OR counters.amount + 1 <= :most RETURNING amount"
    )
)
_TAKE_BACK = Statement(
    sa.text(
        "UPDATE counters SET amount = amount - 1 "
        "WHERE owner = :key AND kind = 'tries' AND span = 0 AND amount >= 1"
    )
)
_UNTIL = Statement(
    sa.text(
        "SELECT owner, until FROM counters WHERE kind = 'tries' AND span = 0 AND owner IN :ids"
    ).bindparams(sa.bindparam("ids", expanding=True))
)
_DELETE_EXPIRED = Statement(sa.text("DELETE FROM counters WHERE kind = 'tries' AND until <= :now"))
_DELETE_SURPLUS = Statement(
    sa.text(
        "DELETE FROM counters WHERE kind = 'tries' AND until <= (SELECT until FROM counters "
        "WHERE kind = 'tries' ORDER BY until DESC LIMIT 1 OFFSET :most)"
    )
)
_LOCK = Statement(sa.text("SELECT pg_advisory_xact_lock(hashtext('tries'))"))


def _count_attempts(tx: Tx, limits: Mapping[str, int], request: CountAttempt) -> dict[str, int]:
    """Count one attempt for each key; return the new counts, without the keys at their limit."""
    rows = [
        {"key": key, "most": most, "now": request.now, "until": request.until} for key, most in limits.items()
    ]
    begun = run_together(tx.conn, *_locked(tx), *map(_COUNT.call, rows))[-len(rows) :]
    found = {key: call.rows() for key, call in zip(limits, begun, strict=True)}
    return {key: round(its[0][0]) for key, its in found.items() if its}


def _take_back(tx: Tx, digests: Sequence[str]) -> None:
    if digests:
        run_together(tx.conn, *_locked(tx), _TAKE_BACK.call_many([{"key": key} for key in digests]))


def reset_attempts(tx: Tx, requests: Sequence[Sequence[str]]) -> list[None]:
    for keys in requests:
        _take_back(tx, [digest(key) for key in keys])
    return [None] * len(requests)


def _locked(tx: Tx) -> list[BoundStatement]:
    """Return the lock for PostgreSQL: transactions that count keys in any order must not run at once."""
    return [] if tx.conn.dialect.name == "sqlite" else [_LOCK.call()]


class AttemptLimiter:
    """Limits attempts in windows of ``window_s`` seconds."""

    def __init__(self, tries: AttemptCounter, *, window_s: float) -> None:
        self._tries = tries
        self._window_us = round(window_s * SECOND)
        self._full: dict[str, tuple[float, int]] = {}
        """Keys at their limit: when that was read (monotonic clock), and the end of the window in
        microseconds."""

    def count(self, limits: Mapping[str, int]) -> None:
        """Count one attempt for each key; writes to the database.

        Raises `TooManyAttempts` and counts none when one of the keys is at its limit.
        """
        now, at = now_us(), time.monotonic()
        found = {key: self._full[key] for key in limits if key in self._full}
        full = {key: until for key, (since, until) in found.items() if at - since < _REMEMBER_S}
        if not full:
            full = self._tries.count(CountAttempt(limits, now, now + self._window_us))
            if len(self._full) >= _MOST_REMEMBERED:
                self._full.clear()
            self._full.update({key: (at, until) for key, until in full.items()})
        if full:
            wait_s = max(1, math.ceil((max(full.values()) - now) / SECOND))
            raise TooManyAttempts(f"too many attempts; try again in {wait_s} s", after_s=wait_s)

    def reset(self, *keys: str) -> None:
        """Take one attempt of each key back, since it was not a guess."""
        self._tries.reset(keys)


def network(address: str) -> str:
    """Return the part of an address that is one caller: all of IPv4, the first 64 bits of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


# Unknown API keys
#
# They are throttled by address: a wrong key costs a look-up like a right one, so an address that sends many
# different unknown keys is soon refused without a look-up. Keys that were valid a while ago are not affected.

_BURST = 50
"""Unknown keys that an address may send at once; it is high, since many users may share an address."""
_PER_SECOND = 5.0
"""Unknown keys that an address may send in each further second."""
_MOST_ADDRESSES = 10_000


class UnknownKeyThrottle:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By address: the unknown keys that were left, and the time of that count."""

    def check(self, address: str) -> None:
        """Raise `TooManyAttempts` when the address may send no unknown key now."""
        if self._left and self._now(network(address)) < 1:
            raise TooManyAttempts("too many unknown keys; try again in 1 s", after_s=1.0)

    def note(self, address: str) -> None:
        """Count an unknown key of the address."""
        key = network(address)
        with self._lock:
            self._left[key] = (max(0.0, self._now(key) - 1), self._clock())
            self._left.move_to_end(key)
            if len(self._left) > _MOST_ADDRESSES:
                self._left.popitem(last=False)

    def _now(self, key: str) -> float:
        left, at = self._left.get(key, (_BURST, 0.0))
        return min(_BURST, left + (self._clock() - at) * _PER_SECOND)
