"""What a slot can take, and the fair order."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.domain.jobs import LaneKey
from imagemill.domain.scheduling import (
    NAMED_PRIORITIES,
    PRIORITY_BOUND,
    PRIORITY_STEP_S,
    SHARED_RUN_S,
    Offer,
    mismatch_reason,
    priority_offset_s,
    virtual_time,
)

OFFER = Offer("w", "node-1", "comfyui", frozenset({"gpu"}))


REFUSALS = [
    ({"queue": "render"}, {}, "serves gpu, not queue render"),
    ({"backends": ("fal",)}, {}, "is a comfyui node; the job wants fal"),
    ({"labels": ("eu", "fast")}, {"labels": frozenset({"fast"})}, "lacks the label eu"),
    ({"memory_mb": 9000}, {"memory_mb": 8000}, "has 8000 MB; the job needs 9000 MB"),
    ({"model": "a"}, {"available": frozenset({"b"})}, "does not have a"),
]


@pytest.mark.parametrize(("key", "offer", "reason"), REFUSALS, ids=[row[2] for row in REFUSALS])
def test_a_slot_that_cannot_take_a_job_says_why(key: dict[str, Any], offer: dict[str, Any], reason: str):
    assert mismatch_reason(replace(OFFER, **offer), LaneKey(**{"queue": "gpu", **key})) == reason


@pytest.mark.parametrize(
    ("key", "offer"),
    [
        ({"backends": ("fal", "comfyui")}, {}),
        ({"labels": ("fast",)}, {"labels": frozenset({"fast", "eu"})}),
        ({"memory_mb": 8000}, {"memory_mb": 8000}),
        ({"memory_mb": 8000}, {"memory_mb": None}),
        ({"model": "a"}, {"available": frozenset({"a"})}),
        ({"model": ""}, {"available": frozenset({"b"})}),
        ({"model": "a"}, {"available": None}),
    ],
)
def test_a_slot_that_fits_takes_the_job(key: dict[str, Any], offer: dict[str, Any]):
    assert mismatch_reason(replace(OFFER, **offer), LaneKey("gpu", **key)) is None


@given(st.integers(-(10**9), 10**9))
def test_the_stretch_a_priority_moves_a_job_is_bounded(priority: int):
    assert abs(priority_offset_s(priority)) <= PRIORITY_BOUND * PRIORITY_STEP_S


@given(st.integers(-200, 200))
def test_a_smaller_number_is_never_less_urgent(priority: int):
    assert priority_offset_s(priority) <= priority_offset_s(priority + 1)


def test_named_priorities_are_in_order():
    assert NAMED_PRIORITIES["high"] < NAMED_PRIORITIES["normal"] == 0 < NAMED_PRIORITIES["low"]


def test_fair_order_stands_where_the_least_far_job_stands():
    assert virtual_time([(7.0, 1.0), (3.0, 2.0), (90.0, 0.0)]) == 3.0


def test_a_job_that_runs_for_long_does_not_hold_fair_order_back():
    assert virtual_time([(7.0, 1.0), (3.0, SHARED_RUN_S + 1)]) == 7.0


def test_nothing_that_runs_tells_nothing():
    assert virtual_time([]) is None
