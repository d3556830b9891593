"""The forecast: the scheduler's own choice on a copy, with measured speeds."""

from typing import Any

import pytest

from imagemill.domain.clock import SECOND
from imagemill.domain.forecast import (
    FinishedWork,
    Forecast,
    NodeWork,
    WaitingJob,
    forecast,
    measure_speeds,
)
from imagemill.domain.jobs import LaneKey
from imagemill.domain.placement import Fleet, PlacementRules, score
from imagemill.domain.scheduling import LaneHead, Offer, QueuedJob

NOW = 1_800_000_000 * SECOND
A, B = "urn:air:sd1:checkpoint:file:a", "urn:air:sd1:checkpoint:file:b"
KEYS = {1: LaneKey("gpu", A), 2: LaneKey("gpu", B), 3: LaneKey("gpu", A, labels=("fast",))}


def job(id_: str, lane: int = 1, tag: float = 0.0, seconds: float = 10.0, **more: Any) -> WaitingJob:
    return WaitingJob(id_, lane, QueuedJob(tag, NOW - SECOND, seconds), **more)


def node(name: str = "attic", *, loaded: str = A, slots: int = 1, **more: Any) -> NodeWork:
    offer = Offer("", name, "comfyui", frozenset({"gpu"}), loaded_models=frozenset({loaded}))
    return NodeWork(offer, slots, **{"load_s": 5.0, **more})


def expected(waiting: list[WaitingJob], *nodes: NodeWork) -> Forecast:
    return forecast(NOW, waiting, KEYS, nodes, PlacementRules())


def starts(found: Forecast) -> dict[str, float]:
    return {id_: (start.at - NOW) / SECOND for id_, start in found.starts.items()}


def test_jobs_start_one_after_the_other_in_fair_order() -> None:
    found = expected([job("second", tag=1), job("first", tag=0), job("third", tag=2)], node())

    assert starts(found) == {"first": 0, "second": 10, "third": 20}
    assert found.done_at == NOW + 30 * SECOND
    assert found.complete


def test_a_node_that_renders_one_at_a_time_is_no_faster_with_two_slots() -> None:
    assert starts(expected([job("one"), job("two", tag=1)], node(slots=2))) == {"one": 0, "two": 10}
    assert starts(expected([job("one"), job("two", tag=1)], node(slots=2, serial=False))) == {
        "one": 0,
        "two": 0,
    }


def test_running_jobs_speed_and_retries_delay_a_start() -> None:
    waiting = [job("soon"), job("retry", tag=1, ready_at=NOW + 100 * SECOND)]

    found = expected(waiting, node(running_s=(7.0,), speed=2.0))

    assert starts(found) == {"soon": 7, "retry": 100}
    assert found.starts["soon"].end_at == NOW + 27 * SECOND


def test_a_drained_node_makes_the_others_wait() -> None:
    waiting = [job(str(number), tag=number) for number in range(4)]
    both = expected(waiting, node("attic"), node("cellar"))
    one = expected(waiting, node("cellar"))

    assert both.done_at == NOW + 20 * SECOND
    assert one.done_at == NOW + 40 * SECOND
    assert {start.node for start in one.starts.values()} == {"cellar"}


def test_a_model_is_loaded_where_it_is_worth_it() -> None:
    found = expected([job("a", 1), job("b", 2, tag=1)], node("attic", loaded=A), node("cellar", loaded=B))

    assert {id_: (start.node, start.loads) for id_, start in found.starts.items()} == {
        "a": ("attic", False),
        "b": ("cellar", False),
    }
    alone = expected([job("b", 2)], node("attic", loaded=A))
    assert alone.starts["b"].loads
    assert alone.starts["b"].end_at == NOW + 15 * SECOND


def test_a_job_that_no_node_can_take_has_the_reason() -> None:
    found = expected([job("fast", 3), job("any")], node())

    assert found.impossible == {"fast": "attic lacks the label fast"}
    assert starts(found) == {"any": 0}
    assert expected([job("any")]).impossible == {"any": "no node takes jobs now"}


def test_every_job_of_a_long_queue_has_a_start() -> None:
    waiting = [job(f"{number:03}", 1 + number % 2, tag=number / 10) for number in range(500)]

    found = expected(waiting, node("attic"), node("cellar", loaded=B), node("shed"))

    assert found.complete
    assert len(found.starts) == 500
    assert found.done_at is not None
    assert found.done_at - NOW >= 500 * 10 / 3 * SECOND


def test_the_speed_is_the_time_that_jobs_cover_without_loads() -> None:
    def done(name: str, start: float, end: float, *, has_loaded: bool = False) -> FinishedWork:
        return FinishedWork(name, round(start * SECOND), round(end * SECOND), 10.0, has_loaded)

    work = [done("attic", 0, 25, has_loaded=True), done("attic", 10, 45), done("attic", 30, 65)]

    speeds = measure_speeds([*work, done("cellar", 0, 99)], {"attic": 5.0})

    assert speeds.by_node == {"attic": pytest.approx(2.0)}
    assert speeds.of("cellar") == pytest.approx(2.0)
    assert measure_speeds([], {}).of("attic") == 1.0


def weighed(loaded: str, head: int) -> Any:
    heads = [LaneHead(lane, KEYS[lane], QueuedJob(0.0, NOW, 10.0)) for lane in (1, 2)]
    offer = Offer("", "attic", "comfyui", frozenset({"gpu"}), loaded_models=frozenset({loaded}), load_s=10.0)
    fleet = Fleet(NOW, {"attic": frozenset({loaded})})
    waiting = {1: [QueuedJob(0.0, NOW, 10.0)] * 3, 2: [QueuedJob(0.0, NOW, 10.0)]}
    return score(offer, head, heads, fleet, lambda lanes, count: waiting, PlacementRules())


def test_a_loaded_model_scores_its_whole_work_and_another_one_pays_for_its_load() -> None:
    here, away = weighed(A, 1), weighed(A, 2)

    assert (here.worth, here.is_loaded, here.load_s) == (1.0, True, 0.0)
    assert here.choice is not None
    assert here.choice.lane == 1
    assert away.worth == pytest.approx(10 / (10 + 1.5 * 10))
    assert (away.is_loaded, away.load_s, away.best) == (False, 10.0, 1.0)


def test_a_node_that_cannot_take_the_job_has_no_score() -> None:
    heads = [LaneHead(3, KEYS[3], QueuedJob(0.0, NOW, 10.0))]
    offer = Offer("", "attic", "comfyui", frozenset({"gpu"}))

    found = score(offer, 3, heads, Fleet(NOW), lambda lanes, count: {}, PlacementRules())

    assert (found.mismatch, found.worth) == ("lacks the label fast", None)
