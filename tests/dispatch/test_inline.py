"""The inline dispatcher: a thread for each slot, as nodes come and go."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imagemill.backends.base import Node
from imagemill.dispatch.inline import InlineDispatcher
from imagemill.domain.jobs import LaneKey
from imagemill.domain.scheduling import LaneHead, Offer, QueuedJob
from tests.service.build import FakeBackend, wait_until


class Nodes(FakeBackend):
    """Nodes that a test adds, changes and removes."""

    def __init__(self, *nodes: Node) -> None:
        super().__init__()
        self.there = list(nodes)

    def nodes(self) -> list[Node]:
        return list(self.there)


def node(name: str, slots: int = 1, **changes: Any) -> Node:
    return Node(name, "fake", frozenset({"gpu"}), slots, **changes)


def head(tag: float = 1.0, queue: str = "gpu") -> LaneHead:
    return LaneHead(1, LaneKey(queue, "m"), QueuedJob(tag, 0, 1.0))


class Floor:
    """Counts who asks for work, and gives none. At each poll another job waits, or what a test says."""

    def __init__(
        self,
        *nodes: Node,
        heads: list[LaneHead] | None = None,
        is_relayed: bool = False,
        poll_s: float = 0.01,
    ) -> None:
        self.backend = Nodes(*nodes)
        self.heads = heads
        self.takers: set[str] = set()
        """Nodes that take the jobs of `heads`, one each."""
        self.took: list[str] = []
        self.polls = 0
        self.busy: threading.Event | None = None
        """Until it is set, a slot that asked is busy."""
        self.asked: list[str] = []
        self.dispatcher = InlineDispatcher(
            self._run_all,
            {"fake": self.backend},
            worker="w",
            queues=None,
            heads=self._heads,
            poll_s=poll_s,
            is_relayed=lambda: is_relayed,
        )

    def _heads(self) -> list[LaneHead]:
        self.polls += 1
        return [head(self.polls)] if self.heads is None else self.heads

    def polled(self, times: int = 20) -> None:
        """Wait for so many polls to come."""
        before = self.polls
        wait_until(lambda: self.polls >= before + times)

    def _run_all(self, offer: Callable[[], Offer | None], claimed: Callable[[], None]) -> bool:
        given = offer()
        if given is not None:
            self.asked.append(given.node)
            if self.busy is not None:
                self.busy.wait()
            if self.heads and given.node in self.takers:
                self.takers.remove(given.node)
                self.heads.pop()
                self.took.append(given.node)
                claimed()
                return True
        return False

    def threads(self, name: str) -> int:
        return sum(thread.name.startswith(f"imagemill-{name}-") for thread in threading.enumerate())


@pytest.fixture
def pool() -> Iterator[Floor]:
    pool = Floor(node("dispatch-a", slots=2))
    pool.dispatcher.start()
    yield pool
    pool.dispatcher.close()


def test_each_slot_of_a_node_asks_for_work(pool: Floor):
    wait_until(lambda: pool.asked.count("dispatch-a") >= 2)
    assert pool.threads("dispatch-a") == 2


def test_a_node_that_joins_is_served(pool: Floor):
    pool.backend.there.append(node("dispatch-b"))
    wait_until(lambda: "dispatch-b" in pool.asked)


def test_a_node_that_leaves_is_served_no_more(pool: Floor):
    pool.backend.there.clear()
    wait_until(lambda: pool.threads("dispatch-a") == 0)


def test_a_node_that_gets_more_slots_gets_more_threads(pool: Floor):
    pool.backend.there[:] = [node("dispatch-a", slots=4)]
    wait_until(lambda: pool.threads("dispatch-a") == 4)
    pool.backend.there[:] = [node("dispatch-a", slots=1)]
    wait_until(lambda: pool.threads("dispatch-a") == 1)


@pytest.mark.parametrize("state", [{"healthy": False}, {"draining": True}])
def test_a_node_that_takes_nothing_offers_nothing(pool: Floor, state: dict[str, bool]):
    pool.backend.there[:] = [node("dispatch-a", **state), node("dispatch-c")]
    wait_until(lambda: pool.asked.count("dispatch-c") > 2)
    before = pool.asked.count("dispatch-a")
    wait_until(lambda: pool.asked.count("dispatch-c") > 10)
    assert pool.asked.count("dispatch-a") - before <= 1
    assert [offer.node for offer in pool.dispatcher.offers()] == ["dispatch-c"]


def test_nothing_is_asked_for_once_it_is_closed():
    pool = Floor(node("dispatch-d"))
    pool.dispatcher.start()
    wait_until(lambda: pool.asked)
    pool.dispatcher.close()
    assert pool.threads("dispatch-d") == 0


@pytest.fixture
def many() -> Iterator[Floor]:
    """A hundred idle nodes that have looked once, and nothing that waits."""
    pool = Floor(*(node(f"dispatch-{number}") for number in range(100)), heads=[])
    pool.dispatcher.start()
    wait_until(lambda: len(pool.asked) == 100)
    yield pool
    pool.dispatcher.close()


def test_idle_slots_are_looked_out_for_by_one_question(many: Floor):
    many.polled()
    assert len(many.asked) == 100


def test_a_job_nobody_told_of_is_seen_by_the_next_poll(many: Floor):
    many.heads = [head()]
    many.polled(5)
    wait_until(lambda: len(many.asked) >= 200)


def test_a_job_of_a_queue_nobody_serves_wakes_no_slot(many: Floor):
    many.heads = [head(queue="render")]
    many.polled()
    assert len(many.asked) == 100


def test_a_job_that_none_can_take_is_looked_at_ever_more_seldom(many: Floor):
    many.heads = [head()]
    many.polled(100)
    assert 200 <= len(many.asked) <= 100 * 12


def test_a_node_that_becomes_healthy_looks_at_what_waits(many: Floor):
    many.backend.there.append(node("dispatch-ill", healthy=False))
    many.heads = [head()]
    wait_until(lambda: many.threads("dispatch-ill") == 1)
    many.polled(60)
    many.backend.there[-1] = node("dispatch-ill")
    many.polled(5)
    wait_until(lambda: "dispatch-ill" in many.asked)


@pytest.fixture
def relayed() -> Iterator[Floor]:
    """A hundred idle nodes, in a process that is told of the work of others."""
    nodes = (node(f"dispatch-{number}", slots=2) for number in range(100))
    pool = Floor(*nodes, heads=[], is_relayed=True)
    pool.dispatcher.start()
    wait_until(lambda: len(pool.asked) == 200)
    yield pool
    pool.dispatcher.close()


def test_idle_slots_poll_nothing_while_wake_ups_arrive(relayed: Floor):
    wait_until(lambda: relayed.polls)
    threading.Event().wait(0.2)  # 20 polls otherwise
    assert relayed.polls <= 3


def test_a_wake_up_wakes_a_few_slots_as_long_as_one_takes_the_job(relayed: Floor):
    relayed.takers = {f"dispatch-{number}" for number in range(100)}
    for number in range(10):
        assert relayed.heads is not None
        relayed.heads.append(head())
        relayed.dispatcher.wake("gpu")
        wait_until(lambda number=number: len(relayed.took) == number + 1)
    assert len(relayed.asked) <= 200 + 10 * 25


def test_a_job_that_one_node_alone_can_take_reaches_it_without_a_poll():
    pool = Floor(*(node(f"dispatch-{number}") for number in range(100)), heads=[], is_relayed=True, poll_s=60)
    pool.dispatcher.start()
    wait_until(lambda: len(pool.asked) == 100)
    pool.takers, pool.heads = {"dispatch-3"}, [head()]
    pool.dispatcher.wake("gpu")
    wait_until(lambda: pool.took == ["dispatch-3"])
    pool.dispatcher.close()


def test_many_jobs_of_one_wake_up_fill_all_idle_slots():
    pool = Floor(*(node(f"dispatch-{number}") for number in range(100)), heads=[], is_relayed=True, poll_s=60)
    pool.dispatcher.start()
    wait_until(lambda: len(pool.asked) == 100)
    pool.takers, pool.heads = {f"dispatch-{number}" for number in range(100)}, [head() for _ in range(100)]
    pool.dispatcher.wake("gpu")
    wait_until(lambda: len(pool.took) == 100)
    pool.dispatcher.close()


def test_what_no_slot_took_is_polled_for_although_wake_ups_arrive(relayed: Floor):
    relayed.heads = [head()]
    relayed.dispatcher.wake("gpu")
    wait_until(lambda: len(relayed.asked) >= 300)
    relayed.takers = {"dispatch-3"}
    wait_until(lambda: relayed.took == ["dispatch-3"])


def test_work_that_waits_for_busy_slots_is_not_polled_for_often():
    pool = Floor(node("dispatch-a"), heads=[head()], is_relayed=True)
    leave = threading.Event()
    pool.busy = leave
    pool.dispatcher.start()
    wait_until(lambda: pool.asked == ["dispatch-a"])
    pool.polled(1)
    before = pool.polls
    assert not leave.wait(0.5)
    assert pool.polls <= before + 1
    leave.set()
    pool.dispatcher.close()


def test_after_missed_wake_ups_one_question_finds_what_waits():
    pool = Floor(*(node(f"dispatch-{number}") for number in range(100)), heads=[], is_relayed=True, poll_s=60)
    pool.dispatcher.start()
    wait_until(lambda: len(pool.asked) == 100 and pool.polls == 1)
    pool.dispatcher.wake_own("")
    wait_until(lambda: pool.polls == 2)
    assert len(pool.asked) == 100
    pool.takers, pool.heads = {"dispatch-3"}, [head()]
    pool.dispatcher.wake_own("")
    wait_until(lambda: pool.took == ["dispatch-3"])
    pool.dispatcher.close()


def test_a_job_that_wakes_a_slot_the_node_has_no_more_is_taken_by_another():
    """A node may have had a slot only for a while."""
    pool = Floor(node("dispatch-e", slots=8), heads=[], is_relayed=True, poll_s=60)
    pool.dispatcher._start_slots()  # pyright: ignore[reportPrivateUsage] - without the monitor, which polls
    wait_until(lambda: len(pool.asked) == 8)
    pool.backend.there[:] = [node("dispatch-e")]
    pool.takers, pool.heads = {"dispatch-e"}, [head()]
    pool.dispatcher.wake("gpu")
    wait_until(lambda: pool.took == ["dispatch-e"])
    pool.dispatcher.close()
