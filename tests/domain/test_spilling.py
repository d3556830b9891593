"""Remote nodes take what local ones leave: by choice alone, and replayed on a virtual clock."""

import random
from dataclasses import dataclass, field, replace

import pytest

from imagemill.domain.clock import SECOND
from imagemill.domain.jobs import LaneKey
from imagemill.domain.placement import Fleet, choose
from imagemill.domain.scheduling import LaneHead, Offer, QueuedJob, open_to_remote_since
from tests.domain.test_placing import NOW_S, RULES, Queue

PATIENCE_S = 30.0
LOCAL = Offer(
    "w",
    "gpu-1",
    "comfyui",
    frozenset({"gpu"}),
    loaded_models=frozenset({"a"}),
    remote_nodes=frozenset({"fal"}),
)
FAL = Offer(
    "w",
    "fal",
    "fal",
    frozenset({"gpu", "remote"}),
    load_s=0.0,
    local_first_s=PATIENCE_S,
    local_offers=(LOCAL,),
    remote_nodes=frozenset({"fal"}),
)


@pytest.mark.parametrize(("waited_s", "taken"), [(0.0, False), (29.9, False), (30.0, True), (300.0, True)])
def test_a_job_that_a_local_node_could_do_is_left_to_it_for_a_while(waited_s: float, taken: bool) -> None:
    queue = Queue().add(1, since_s=NOW_S - waited_s, model="a")
    assert (queue.ask(FAL) is not None) is taken


def test_what_no_local_node_can_do_goes_at_once() -> None:
    lacking = replace(LOCAL, available=frozenset({"b"}))
    assert Queue().add(1, model="a").ask(replace(FAL, local_offers=(lacking,))) is not None
    assert Queue().add(1, model="a").ask(replace(FAL, local_offers=())) is not None
    assert Queue().add(1, queue="remote").ask(FAL) is not None
    assert Queue().add(1, backends=("fal",)).ask(FAL) is not None


def test_the_reason_says_why_it_was_not_made_at_home() -> None:
    queue = Queue().add(1, since_s=NOW_S - 45, model="a")
    assert queue.reason(FAL) == "waited 45 s for a local node (bound 30 s)"
    assert queue.reason(replace(FAL, local_offers=())) == "no local node can do it"


def test_one_able_local_node_among_others_is_enough_to_wait_for() -> None:
    lacking = replace(LOCAL, node="gpu-2", available=frozenset({"b"}))
    assert Queue().add(1, model="a").ask(replace(FAL, local_offers=(lacking, LOCAL))) is None


def test_of_many_lanes_it_sees_those_that_have_waited() -> None:
    queue = Queue().add(1, model="a").add(2, since_s=NOW_S - 60, model="b")
    assert queue.model(FAL) == "b"


def test_a_job_kept_off_by_its_lane_is_never_seen() -> None:
    assert Queue().add(1, since_s=0, backends=("comfyui",)).ask(FAL) is None
    assert Queue().add(1, since_s=0, backends=("comfyui",)).ask(replace(FAL, local_offers=())) is None


def test_without_patience_nothing_is_asked() -> None:
    assert open_to_remote_since(LOCAL, LaneKey("gpu"), 0) is None


def test_local_nodes_do_not_count_on_remote_ones() -> None:
    """Neither as idle nor as holding a model."""
    busy = replace(LOCAL, loaded_models=frozenset({"b"}))
    holding = {"gpu-1": frozenset({"b"}), "fal": frozenset({"a"})}
    queue = Queue().add(1, model="a", jobs=8)
    choice = queue.ask(busy, models_by_node=holding, busy=frozenset({"gpu-1", "fal"}))
    assert choice is not None
    assert choice.loads
    assert "fal" not in choice.reason
    idle = queue.ask(busy, models_by_node=holding, busy=frozenset({"gpu-1"}))
    assert idle is not None


@dataclass
class World:
    """One local GPU and so many slots at fal, on a clock of its own; 4 s a picture on both."""

    slots: int
    render_s: float = 4.0
    now_s: float = 0.0
    queue: list[float] = field(default_factory=list)
    """When those that wait came in."""
    local: float = 0.0
    remote: list[float] = field(default_factory=list)
    by_fal: list[float] = field(default_factory=list)
    """How long each waited before fal took it."""

    def play(self, arrivals: list[float]) -> "World":
        self.remote = [0.0] * self.slots
        pending = sorted(arrivals)
        while pending or self.queue:
            while pending and pending[0] <= self.now_s:
                self.queue.append(pending.pop(0))
            self._step()
            self.now_s = round(self.now_s + 0.25, 2)
        return self

    def _step(self) -> None:
        if self.local <= self.now_s and self._take(LOCAL) is not None:
            self.local = self.now_s + self.render_s
        for slot, free in enumerate(self.remote):
            if free <= self.now_s and (waited := self._take(FAL)) is not None:
                self.remote[slot] = self.now_s + self.render_s
                self.by_fal.append(waited)

    def _take(self, offer: Offer) -> float | None:
        if not self.queue:
            return None
        since = self.queue[0]
        head = LaneHead(0, LaneKey("gpu", "a"), QueuedJob(since, round(since * SECOND), self.render_s))
        fleet = Fleet(round(self.now_s * SECOND), {"gpu-1": frozenset({"a"})})
        if choose(offer, [head], fleet, lambda lanes, count: {0: [head.job]}, RULES) is None:
            return None
        return self.now_s - self.queue.pop(0)


def test_a_trickle_is_made_at_home_to_the_last_picture() -> None:
    assert World(slots=4).play([second * 5.0 for second in range(200)]).by_fal == []


def test_a_rush_spills_after_the_bound_and_no_sooner() -> None:
    rng = random.Random(5)
    rush = [rng.random() * 120 for _ in range(300)]
    world = World(slots=4).play(rush)
    assert min(world.by_fal) >= PATIENCE_S
    assert 150 < len(world.by_fal) < 290
    alone = World(slots=0).play(rush)
    assert world.now_s < alone.now_s / 3


BUSY = Offer(
    "w",
    "gpu-2",
    "comfyui",
    frozenset({"gpu"}),
    loaded_models=frozenset({"a"}),
    local_first_s=PATIENCE_S,
    local_offers=(LOCAL,),
    backlog=3,
)


@pytest.mark.parametrize(("waited_s", "taken"), [(0.0, False), (29.9, False), (30.0, True)])
def test_a_node_with_prompts_of_others_leaves_jobs_to_one_without(waited_s: float, taken: bool) -> None:
    queue = Queue().add(1, since_s=NOW_S - waited_s, model="a")
    assert (queue.ask(BUSY) is not None) is taken


def test_a_node_with_prompts_of_others_takes_at_once_what_only_it_can_do() -> None:
    lacking = replace(LOCAL, available=frozenset({"b"}))
    assert Queue().add(1, model="a").ask(replace(BUSY, local_offers=(lacking,))) is not None


def test_a_node_with_prompts_of_others_still_prefers_its_loaded_model() -> None:
    queue = Queue().add(1, since_s=NOW_S - 60, model="b").add(2, since_s=NOW_S - 60, model="a")
    assert queue.model(BUSY) == "a"
