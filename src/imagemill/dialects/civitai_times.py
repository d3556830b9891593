"""Instants and durations as both versions of Civitai's API write them."""

import re
from functools import lru_cache

from imagemill.domain.clock import SECOND, to_datetime

_TIMESPAN = re.compile(r"(?:(\d{1,4})\.)?(\d{1,2}):([0-5]?\d):([0-5]?\d)(?:\.(\d{1,7}))?")


def date_time(instant_us: int) -> str:
    """Return ``2025-09-06T18:18:30.7074758Z``: UTC, seven decimals."""
    second, fraction = divmod(instant_us, SECOND)
    return f"{_second(second)}.{fraction:06}0Z"


@lru_cache(maxsize=64)
def _second(second: int) -> str:
    """Return a second as text. The instants of an answer, and of those around it, are of few seconds."""
    return f"{to_datetime(second * SECOND):%Y-%m-%dT%H:%M:%S}"


def time_span(microseconds: int) -> str:
    """Return ``00:00:58.8000000``: always with a fraction, without which a published client misreads it."""
    seconds, fraction = divmod(max(0, microseconds), SECOND)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    prefix = f"{days}." if days else ""
    return f"{prefix}{hours:02}:{minutes:02}:{seconds:02}.{fraction:06}0"


def parse_time_span(text: str) -> float | None:
    """Return the seconds of a time span such as ``00:10:00``; None if it is none."""
    match = _TIMESPAN.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds, fraction = match.groups()
    whole = int(days or 0) * 86_400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + (float(f"0.{fraction}") if fraction else 0.0)
