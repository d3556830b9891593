"""Waiting before a retry: delays that double, and the Retry-After header."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MOST_DOUBLINGS = 30
"""Beyond it a delay of any base has long reached its cap; it keeps the power from overflowing."""


def doubled_s(base_s: float, doublings: int, cap_s: float) -> float:
    """Return ``base_s`` doubled so often, at most ``cap_s``; seconds."""
    return min(cap_s, base_s * 2 ** max(0, min(doublings, _MOST_DOUBLINGS)))


def retry_after_s(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date; None if it holds neither."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
