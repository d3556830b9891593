"""Who may have a sender now: bounds that keep a slow or dead receiver from delaying anybody else.

A delivery belongs to a lane: what one account calls at one receiver. A lane that just failed, or was slow,
is a suspect; one that was never called is unproven. Suspects share few of the senders and unproven lanes
leave some free, so a receiver that is well always finds one, however many others hang. A lane that fails
again and again rests for a while: a dead receiver costs a try a minute, not one for each message that waits.
"""

import threading
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

SENDERS = 32
_UNPROVEN = 24
"""Senders that lanes may hold together which are not known to be well."""
_SUSPECTS = 8
_OF_ACCOUNT = 8
_OF_RECEIVER = 8
_OF_LANE = 4
_SLOW_S = 1.0
"""An answer that takes longer makes a lane a suspect: it holds a sender where others need milliseconds."""
_RESTS_AFTER = 3
"""Failures in a row: one or two may be the fault of a message."""
_LONGEST_REST_S = 60.0
_MOST_KNOWN = 20_000
"""Lanes that are remembered."""


@dataclass(frozen=True, slots=True)
class Lane:
    account: str
    receiver: str
    """Scheme, host and port of its URL."""
    target: str = ""
    """What tells one thing that is called there from others, where they are known apart."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What gets no sender now; None: of any."""

    account: str | None = None
    receiver: str | None = None
    target: str | None = None

    def covers(self, lane: Lane) -> bool:
        return (
            self.account in (None, lane.account)
            and self.receiver in (None, lane.receiver)
            and self.target in (None, lane.target)
        )


@dataclass(slots=True)
class _Record:
    failures: int = 0
    is_slow: bool = False
    rests_until: float = 0.0

    @property
    def is_suspect(self) -> bool:
        return self.is_slow or self.failures > 0


class Senders:
    """Times are seconds of a monotonic clock. ``rest_s``: the first rest of a lane; each next one doubles."""

    def __init__(self, *, rest_s: float) -> None:
        self._rest_s = rest_s
        self._lock = threading.Lock()
        self._busy: dict[Hashable, Lane] = {}
        self._known: dict[Lane, _Record] = {}

    @property
    def are_all_busy(self) -> bool:
        return len(self._busy) >= SENDERS

    def is_busy(self, key: Hashable) -> bool:
        return key in self._busy

    def take(self, key: Hashable, lane: Lane, now: float) -> Hold | None:
        """Hold a sender for ``key``; what has to wait when there is none for it."""
        with self._lock:
            hold = self._hold(lane, now)
            if hold is None:
                self._busy[key] = lane
            return hold

    def is_held(self, lane: Lane, now: float) -> bool:
        """Whether there is no sender for the lane now."""
        with self._lock:
            return self._hold(lane, now) is not None

    def give_back(self, key: Hashable, *, well: bool, took_s: float, now: float) -> None:
        with self._lock:
            lane = self._busy.pop(key)
            if len(self._known) >= _MOST_KNOWN and lane not in self._known:
                self._known.clear()
            record = self._known.setdefault(lane, _Record())
            record.is_slow = took_s > _SLOW_S
            record.failures = 0 if well else record.failures + 1
            over = record.failures - _RESTS_AFTER
            rest_s = min(_LONGEST_REST_S, self._rest_s * 2 ** max(0, min(over, 30)))
            record.rests_until = now + rest_s if over >= 0 else 0.0

    def rouse(self, lane: Lane) -> None:
        """It need not rest any longer. What is known of it stays: nobody gets more senders by saying so."""
        with self._lock:
            if lane in self._known:
                self._known[lane].rests_until = 0.0

    def _hold(self, lane: Lane, now: float) -> Hold | None:
        busy, known = self._busy.values(), self._known.get(lane)
        suspect = known is not None and known.is_suspect
        whole = Hold(lane.account, lane.receiver, lane.target)
        if known is not None and now < known.rests_until:
            return whole
        if sum(each == lane for each in busy) >= (1 if suspect else _OF_LANE):
            return whole
        if Counter(each.account for each in busy)[lane.account] >= _OF_ACCOUNT:
            return Hold(account=lane.account)
        if Counter(each.receiver for each in busy)[lane.receiver] >= _OF_RECEIVER:
            return Hold(receiver=lane.receiver)
        if known is None or suspect:
            records = [self._known.get(each) for each in busy]
            suspects = sum(record is not None and record.is_suspect for record in records)
            unproven = suspects + sum(record is None for record in records)
            if unproven >= _UNPROVEN or (suspect and suspects >= _SUSPECTS):
                return whole
        return whole if len(self._busy) >= SENDERS else None
