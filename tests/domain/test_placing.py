"""Which job an idle slot takes: fair order against loads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.domain.clock import SECOND
from imagemill.domain.jobs import LaneKey
from imagemill.domain.placement import DWELL_LOADS, Choice, Fleet, PlacementRules, choose
from imagemill.domain.scheduling import LaneHead, Offer, QueuedJob

OFFER = Offer("w", "node-1", "comfyui", frozenset({"gpu"}))
HAS_A = replace(OFFER, loaded_models=frozenset({"a"}))
RULES = PlacementRules(load_s=10.0, bound_s=120.0, horizon_s=400.0)
NOW_S = 1000.0


@dataclass
class Queue:
    """Lanes of jobs that wait."""

    keys: list[LaneKey] = field(default_factory=list[LaneKey])
    jobs: list[list[QueuedJob]] = field(default_factory=list[list[QueuedJob]])
    looks: int = 0

    def add(self, tag: float, since_s: float = NOW_S, jobs: int = 1, **more: Any) -> "Queue":
        """A lane; each further job of it is one estimate behind."""
        estimate_s, priority = more.pop("estimate_s", 4.0), more.pop("priority", 0)
        self.keys.append(LaneKey(**{"queue": "gpu", **more}))
        since = round(since_s * SECOND)
        self.jobs.append(
            [QueuedJob(tag + n * estimate_s, since, estimate_s, priority) for n in range(jobs)]
        )  # fmt: skip
        return self

    def heads(self) -> list[LaneHead]:
        return [
            LaneHead(lane, key, jobs[0])
            for lane, (key, jobs) in enumerate(zip(self.keys, self.jobs, strict=True))
            if jobs
        ]

    def peek(self, lanes: Sequence[int], count: int) -> Mapping[int, Sequence[QueuedJob]]:
        self.looks += 1
        return {lane: self.jobs[lane][:count] for lane in lanes}

    def ask(self, offer: Offer = OFFER, rules: PlacementRules = RULES, **fleet: Any) -> Choice | None:
        now = round(fleet.pop("now_s", NOW_S) * SECOND)
        return choose(offer, self.heads(), Fleet(now, **fleet), self.peek, rules)

    def model(self, offer: Offer = OFFER, **fleet: Any) -> str:
        choice = self.ask(offer, **fleet)
        assert choice is not None
        return self.keys[choice.lane].model

    def reason(self, offer: Offer = OFFER, **fleet: Any) -> str:
        choice = self.ask(offer, **fleet)
        assert choice is not None
        return choice.reason


def test_nothing_is_chosen_from_nothing():
    assert Queue().ask() is None


def test_without_models_the_smallest_tag_is_next():
    queue = Queue().add(9).add(3, labels=("x",)).add(5)
    choice = queue.ask(replace(OFFER, labels=frozenset({"x"})))
    assert choice == Choice(1, "next by fair share")


def test_of_equal_tags_the_older_is_next():
    choice = Queue().add(3, since_s=9).add(3, since_s=5, labels=("x",)).ask(
        replace(OFFER, labels=frozenset({"x"}))
    )  # fmt: skip
    assert choice is not None
    assert choice.lane == 1


def test_what_does_not_fit_does_not_hold_up_what_does():
    assert Queue().add(0, model="b", labels=("x",)).add(50, model="c").model() == "c"


def test_the_loaded_model_is_kept_for_work_that_is_a_little_behind():
    queue = Queue().add(0, model="b").add(60, model="a")
    assert queue.reason(HAS_A) == "worth more than any load; a is loaded"


def test_a_loaded_model_first_in_fair_order_needs_no_second_look():
    queue = Queue().add(0, model="a").add(1, jobs=50, model="b")
    assert queue.reason(HAS_A) == "next by fair share; a is loaded"
    assert queue.looks == 0


def test_a_model_with_much_urgent_work_is_loaded_when_the_loaded_one_has_only_late_work():
    queue = Queue().add(0, jobs=8, model="b").add(600, jobs=20, model="a")
    assert queue.reason(HAS_A) == "loads b: at least 8 jobs wait for it (32 s), no other node serves it"


def test_one_urgent_job_is_not_worth_what_many_are():
    queue = Queue().add(0, model="b").add(600, jobs=20, model="a").add(5, jobs=8, model="c")
    assert queue.model(HAS_A) == "c"


def test_a_long_load_has_to_pay_more():
    queue = Queue().add(0, jobs=8, model="b").add(250, jobs=20, model="a")
    assert queue.model(replace(HAS_A, load_s=1.0)) == "b"
    assert queue.model(replace(HAS_A, load_s=60.0)) == "a"


def test_a_node_that_loads_nothing_serves_in_strictly_fair_order():
    queue = Queue().add(0, model="b").add(0.1, jobs=20, model="a")
    assert queue.reason(replace(HAS_A, load_s=0.0)) == "next by fair share"


def test_an_idle_node_loads_the_model_with_the_most_urgent_work():
    assert Queue().add(0, model="a").add(4, jobs=6, model="b").model() == "b"


def test_lanes_of_one_model_are_weighed_together():
    queue = Queue().add(0, jobs=3, model="b").add(0, jobs=2, model="c").add(0, jobs=2, model="c", memory_mb=1)
    assert queue.model() == "c"


def test_work_that_another_node_would_begin_sooner_is_left_to_it():
    queue = Queue().add(0, jobs=3, model="a")
    assert queue.ask(models_by_node={"node-2": frozenset({"a"})}) is None


def test_work_beyond_what_the_other_node_can_begin_is_helped_with():
    queue = Queue().add(0, jobs=9, model="a")
    reason = queue.reason(models_by_node={"node-2": frozenset({"a"})})
    assert reason == "loads a: 9 jobs wait for it (36 s), node-2 would not get to it sooner"


def test_however_many_nodes_serve_a_model_a_long_queue_gets_one_more():
    holding = {f"other-{number}": frozenset({"a"}) for number in range(60)}
    assert Queue().add(0, jobs=900, model="a").model(models_by_node=holding) == "a"


def test_a_job_its_node_did_not_come_to_is_taken_once_a_load_would_have_been_over():
    queue = Queue().add(0, since_s=NOW_S, model="a")
    holding = {"node-2": frozenset({"a"})}
    assert queue.ask(models_by_node=holding, now_s=NOW_S + 10) is None
    assert queue.model(models_by_node=holding, now_s=NOW_S + 10.1) == "a"


def test_a_busy_node_leaves_a_load_to_an_idle_one_for_the_time_of_a_load():
    queue = Queue().add(0, since_s=NOW_S, jobs=9, model="b")
    fleet = {
        "models_by_node": {"node-1": frozenset({"a"}), "node-2": frozenset({"c"})},
        "busy": frozenset({"node-1"}),
    }
    assert queue.ask(HAS_A, **fleet) is None
    assert queue.model(HAS_A, **fleet, now_s=NOW_S + 10.1) == "b"
    assert queue.model(replace(OFFER, node="node-2", loaded_models=frozenset({"c"})), **fleet) == "b"


def test_a_second_slot_follows_what_the_node_is_loading_and_not_what_it_leaves():
    queue = Queue().add(0, jobs=5, model="a").add(20, jobs=5, model="b")
    busy = {"models_by_node": {"node-1": frozenset({"b"})}, "busy": frozenset({"node-1"})}
    assert queue.model(HAS_A, **busy) == "b"


def overdue(since_s: float = 0.0, tag: float = 0.0, priority: int = 0) -> Queue:
    """One job of a rare model, and a flood of the loaded one."""
    return Queue().add(tag, since_s=since_s, model="rare", priority=priority).add(9, jobs=500, model="a")


def test_beyond_the_bound_the_load_is_forced():
    assert overdue().reason(HAS_A) == (
        "fairness: first in fair order and waits for 1000 s (bound 120 s); loads rare"
    )


@pytest.mark.parametrize(
    "queue", [overdue(since_s=NOW_S - 120), overdue(tag=10)], ids=["not old enough", "not its turn"]
)
def test_within_the_bound_nothing_is_forced(queue: Queue):
    assert queue.model(HAS_A) == "a"


def test_a_higher_priority_shortens_the_bound_and_a_lower_one_stretches_it():
    assert overdue(since_s=NOW_S - 61, priority=-10).model(HAS_A) == "rare"
    assert overdue(since_s=NOW_S - 179, priority=10).model(HAS_A) == "a"


def test_a_job_some_node_serves_forces_nothing():
    assert overdue().model(HAS_A, models_by_node={"node-2": frozenset({"rare"})}) == "a"


def test_a_node_that_has_just_loaded_is_not_forced_again_before_the_load_is_worked_off():
    dwell_s = (1 + DWELL_LOADS) * RULES.load_s
    assert overdue().model(HAS_A, loaded_at={"node-1": round((NOW_S - dwell_s + 1) * SECOND)}) == "a"
    assert overdue().model(HAS_A, loaded_at={"node-1": round((NOW_S - dwell_s) * SECOND)}) == "rare"


@given(
    flood=st.integers(1, 4),
    render_s=st.integers(1, 60),
    load_s=st.integers(1, 60),
    bound_s=st.integers(0, 300),
)
def test_a_lone_job_gets_its_turn_within_the_bound_under_any_flood(
    flood: int, render_s: int, load_s: int, bound_s: int
):
    """One node, one owner's endless work for ``flood`` models, one job of another owner for a rare one."""
    now_s, loaded, loaded_at = 0, "m0", dict[str, int]()
    tags = [float(number * render_s) for number in range(flood)]
    # Until it is overdue; then one dwell for each model that may be overdue before it, and its own.
    latest_s = bound_s + (flood + 1) * ((1 + DWELL_LOADS) * load_s + render_s)
    while True:
        queue = Queue().add(0.5, since_s=0, model="rare", estimate_s=render_s)
        for number, first in enumerate(tags):
            queue.add(first, since_s=0, jobs=20, model=f"m{number}", estimate_s=render_s * flood)
        fleet = Fleet(now_s * SECOND, loaded_at=loaded_at)
        offer = replace(OFFER, loaded_models=frozenset({loaded}))
        choice = choose(offer, queue.heads(), fleet, queue.peek, PlacementRules(load_s, bound_s, 400.0))
        assert choice is not None
        model = queue.keys[choice.lane].model
        if model == "rare":
            break
        tags[int(model[1:])] += flood * render_s
        if choice.loads:
            loaded, loaded_at = model, {"node-1": now_s * SECOND}
            now_s += load_s
        now_s += render_s
    assert now_s <= latest_s
