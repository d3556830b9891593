"""The choice of the next job."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.domain.clock import SECOND
from imagemill.domain.jobs import LaneKey
from imagemill.domain.scheduling import (
    NAMED_PRIORITIES,
    PRIORITY_BOUND,
    PRIORITY_STEP_S,
    Choice,
    Head,
    Offer,
    choose,
    explain_wait,
    mismatch,
    priority_offset_s,
)

OFFER = Offer("w", "node-1", "comfyui", frozenset({"gpu"}))


def head(lane: int, tag: float, since_s: float = 0.0, **key: Any) -> Head:
    return Head(lane, LaneKey(**{"queue": "gpu", **key}), tag, round(since_s * SECOND))


def chosen(offer: Offer, *heads: Head, bound: float = 15.0) -> Choice:
    choice = choose(offer, heads, affinity_bound_s=bound)
    assert choice is not None
    assert choice.reason
    return choice


def test_nothing_is_chosen_from_nothing():
    assert choose(OFFER, [], affinity_bound_s=15) is None


def test_the_smallest_tag_is_next():
    assert chosen(OFFER, head(1, 9.0), head(2, 3.0), head(3, 5.0)).lane == 2


def test_of_equal_tags_the_older_is_next():
    assert chosen(OFFER, head(1, 3.0, 9), head(2, 3.0, 5)).lane == 2


def test_a_resident_model_is_preferred_within_the_bound():
    offer = replace(OFFER, resident=frozenset({"b"}))
    choice = chosen(offer, head(1, 0.0, model="a"), head(2, 14.0, model="b"))
    assert choice.lane == 2
    assert "b is resident" in choice.reason


def test_beyond_the_bound_by_tag_fairness_wins():
    offer = replace(OFFER, resident=frozenset({"b"}))
    choice = chosen(offer, head(1, 0.0, model="a"), head(2, 15.1, model="b"))
    assert choice.lane == 1
    assert choice.reason.startswith("fairness")
    assert "loads a" in choice.reason


def test_beyond_the_bound_by_age_fairness_wins():
    offer = replace(OFFER, resident=frozenset({"b"}))
    assert chosen(offer, head(1, 1.0, 0, model="a"), head(2, 2.0, 20, model="b")).lane == 1


def test_exactly_at_the_bound_the_model_stays():
    offer = replace(OFFER, resident=frozenset({"b"}))
    assert chosen(offer, head(1, 0.0, model="a"), head(2, 15.0, 15, model="b")).lane == 2


def test_with_a_bound_of_zero_the_order_is_strictly_fair():
    offer = replace(OFFER, resident=frozenset({"b"}))
    assert chosen(offer, head(1, 0.0, model="a"), head(2, 0.1, model="b"), bound=0).lane == 1


def test_a_job_without_a_model_needs_nothing_loaded():
    offer = replace(OFFER, resident=frozenset({"b"}))
    choice = chosen(offer, head(1, 0.0, model="a"), head(2, 5.0))
    assert choice.lane == 2


def test_loading_a_model_is_said_in_the_reason():
    offer = replace(OFFER, resident=frozenset({"b"}))
    assert chosen(offer, head(1, 0.0, model="a")).reason == "next in fair order; loads a"


def test_among_resident_models_the_smallest_tag_is_next():
    offer = replace(OFFER, resident=frozenset({"b", "c"}))
    lanes = (head(1, 0.0, model="a"), head(2, 6.0, model="b"), head(3, 5.0, model="c"))
    assert chosen(offer, *lanes).lane == 3


REFUSALS = [
    ({"queue": "render"}, {}, "serves gpu, not queue render"),
    ({"backends": ("fal",)}, {}, "is a comfyui node; the job wants fal"),
    ({"labels": ("eu", "fast")}, {"labels": frozenset({"fast"})}, "lacks the label eu"),
    ({"memory_mb": 9000}, {"memory_mb": 8000}, "has 8000 MB; the job needs 9000 MB"),
    ({"model": "a"}, {"available": frozenset({"b"})}, "does not have a"),
]


@pytest.mark.parametrize(("key", "offer", "reason"), REFUSALS, ids=[row[2] for row in REFUSALS])
def test_a_slot_that_cannot_take_a_job_says_why(key: dict[str, Any], offer: dict[str, Any], reason: str):
    wanted = head(1, 0.0, **key)
    assert mismatch(replace(OFFER, **offer), wanted.key) == reason
    assert choose(replace(OFFER, **offer), [wanted], affinity_bound_s=15) is None


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
    assert chosen(replace(OFFER, **offer), head(1, 0.0, **key)).lane == 1


def test_what_does_not_fit_does_not_hold_up_what_does():
    assert chosen(OFFER, head(1, 0.0, labels=("x",)), head(2, 50.0)).lane == 2


@given(
    tags=st.lists(
        st.tuples(st.floats(0, 100), st.integers(0, 100), st.sampled_from(["", "a", "b", "c"])),
        min_size=1,
        max_size=8,
    ),
    resident=st.frozensets(st.sampled_from(["a", "b"])),
    bound=st.floats(0, 50),
)
def test_no_choice_is_further_from_fair_order_than_the_bound(
    tags: list[tuple[float, int, str]], resident: frozenset[str], bound: float
):
    heads = [head(lane, tag, since, model=model) for lane, (tag, since, model) in enumerate(tags)]
    choice = chosen(replace(OFFER, resident=resident), *heads, bound=bound)
    taken = heads[choice.lane]
    assert taken.tag - min(each.tag for each in heads) <= bound


@given(st.integers(-(10**9), 10**9))
def test_the_stretch_a_priority_moves_a_job_is_bounded(priority: int):
    assert abs(priority_offset_s(priority)) <= PRIORITY_BOUND * PRIORITY_STEP_S


@given(st.integers(-200, 200))
def test_a_smaller_number_is_never_less_urgent(priority: int):
    assert priority_offset_s(priority) <= priority_offset_s(priority + 1)


def test_named_priorities_are_in_order():
    assert NAMED_PRIORITIES["high"] < NAMED_PRIORITIES["normal"] == 0 < NAMED_PRIORITIES["low"]


def test_a_wait_without_workers_is_explained():
    assert explain_wait([], LaneKey("gpu")) == "no worker is connected"


def test_a_wait_for_a_slot_is_explained():
    other = replace(OFFER, node="node-2", queues=frozenset({"render"}))
    assert explain_wait([other, OFFER], LaneKey("gpu")) == "waits for a free slot"


def test_a_wait_no_node_can_end_is_explained_node_by_node():
    other = replace(OFFER, node="node-2", queues=frozenset({"render"}))
    text = explain_wait([other, OFFER], LaneKey("gpu", labels=("eu",)))
    assert text == (
        "no node can take it: node-1 lacks the label eu; node-2 serves render, not queue gpu"
    )  # fmt: skip
