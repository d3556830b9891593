"""Delays before a retry."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from imagemill.net.backoff import doubled_s, retry_after_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("", None),
        (None, None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_a_header_holds_seconds_or_nothing_that_is_used(text: str | None, seconds: float | None):
    assert retry_after_s(text) == seconds


def test_a_header_may_hold_a_date():
    now = datetime.now(UTC)
    assert 50 < (retry_after_s(format_datetime(now + timedelta(seconds=60), usegmt=True)) or 0) <= 60
    assert retry_after_s(format_datetime(now - timedelta(days=1), usegmt=True)) == 0.0


def test_a_delay_doubles_up_to_its_cap():
    assert [doubled_s(0.5, times, 3.0) for times in (-1, 0, 1, 2, 3, 10_000)] == [
        0.5,
        0.5,
        1.0,
        2.0,
        3.0,
        3.0,
    ]
