"""Buckets of statistics: what they count, how they add up, and how many there may be."""

import pytest

from imagemill.domain.clock import SECOND
from imagemill.domain.time_series import (
    ALL_OWNERS,
    FAILED,
    FINISHED,
    KINDS,
    MOST_KEYS,
    MOST_OWNERS,
    OTHER,
    QUEUE_AGE,
    QUEUED,
    TOTAL,
    WAITING,
    Bucket,
    bounded,
    figure,
    percentile,
    stage_p95,
    stages,
    steps_of,
)


def bucket(**counts: int) -> Bucket:
    made = Bucket()
    for name, count in counts.items():
        made.count(name, count)
    return made


@pytest.mark.parametrize("seconds", [0.02, 0.9, 7.0, 480.0])
def test_a_percentile_is_exact_to_a_tenth(seconds: float) -> None:
    made = Bucket()
    for number in range(100):
        made.observe(WAITING, seconds * 1000 if number >= 90 else 1)

    assert figure("waiting_p95", made, 60) == pytest.approx(seconds, rel=0.1)
    assert figure("waiting_p50", made, 60) == pytest.approx(0.001)


def test_nothing_measured_is_no_value_and_nothing_counted_is_zero() -> None:
    assert percentile({}, 0.95) is None
    assert {name: figure(name, None, 60) for name in ("finished", "waiting_p95", "failure_rate")} == {
        "finished": 0.0,
        "waiting_p95": None,
        "failure_rate": None,
    }


def test_the_failure_rate_is_of_the_jobs_that_ended_by_themselves() -> None:
    assert figure("failure_rate", bucket(finished=3, failed=1, canceled=5), 60) == 0.25


def test_a_bucket_is_the_same_after_it_was_stored() -> None:
    made = bucket(finished=2)
    made.observe("stage:render", 812)
    made.sample({QUEUE_AGE: 3.5, QUEUED: 4})
    made.busy_s = 12.5

    assert Bucket.from_data(made.to_data()) == made


def test_minutes_add_up_to_a_step() -> None:
    minutes: list[tuple[int, Bucket]] = []
    for number, (age, queued) in enumerate([(10.0, 2), (40.0, 4), (20.0, 6)]):
        each = bucket(finished=1, failed=number)
        each.sample({QUEUE_AGE: age, QUEUED: queued})
        each.busy_s = 30.0
        minutes.append((number * 60 * SECOND, each))

    first, second = steps_of(minutes, 0, 180, 2)

    assert first is not None
    assert (first.counts[FINISHED], first.counts[FAILED]) == (3, 3)
    assert (figure(QUEUE_AGE, first, 180), figure(QUEUED, first, 180)) == (40.0, 4.0)
    assert figure("node_busy", first, 180) == 0.5
    assert second is None


def test_stages_come_in_the_order_of_an_attempt() -> None:
    made = Bucket()
    for name in ("store", "prepare", "render"):
        made.observe(f"stage:{name}", 100)

    assert stages([made]) == ["prepare", "render", "store"]
    assert stage_p95("render", made) == pytest.approx(0.1, rel=0.1)
    assert stage_p95("send", made) is None


def test_rare_keys_are_added_up_and_rare_owners_are_in_the_total_only() -> None:
    places = {(ALL_OWNERS, TOTAL, ""): bucket(finished=1000)}
    places |= {("ann", "model", f"model-{number}"): bucket(finished=number + 1) for number in range(30)}
    places |= {(f"owner-{number}", TOTAL, ""): bucket(finished=1) for number in range(MOST_OWNERS + 9)}
    places["ann", TOTAL, ""] = bucket(finished=465)

    kept = bounded(places)

    models = {
        key: each.counts[FINISHED] for (_, dimension, key), each in kept.items() if dimension == "model"
    }
    assert len(models) == MOST_KEYS + 1
    assert models["model-29"] == 30
    assert models[OTHER] == sum(range(1, 11))
    assert len([place for place in kept if place[1] == TOTAL]) == MOST_OWNERS + 1


def test_every_series_has_a_figure() -> None:
    made = bucket(finished=1)
    for name in KINDS.keys() - {"stage_p95"}:
        figure(name, made, 60)
