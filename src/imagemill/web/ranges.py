"""Ranges of bytes (RFC 9110, 14)."""

import re

_RANGE = re.compile(
    r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})(?:, ?(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18}))*"
)


class OutsideError(Exception):
    """No byte of the file lies in the range that was asked for."""


def is_range(value: str) -> bool:
    """Whether it can be understood; what cannot is no range (14.2)."""
    if not _RANGE.fullmatch(value):
        return False
    spans = (span.strip().split("-") for span in value.removeprefix("bytes=").split(","))
    return all(not (first and last) or int(first) <= int(last) for first, last in spans)


def span(value: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None for the whole. Raises `OutsideError`.

    Of several ranges the whole is sent, as a server may.
    """
    if not is_range(value) or "," in value:
        return None
    first, _, last = value.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        raise OutsideError
    return start, stop
