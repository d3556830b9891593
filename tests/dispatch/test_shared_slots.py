"""All slots of a backend on one thread: which are offered, and which have threads of their own."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from imagemill.backends.base import Node
from imagemill.dispatch.base import Offers
from imagemill.dispatch.idle_slots import IdleSlots
from imagemill.dispatch.inline import InlineDispatcher
from imagemill.dispatch.shared_slots import SharedSlots, SlotGroup
from imagemill.dispatch.slots import SlotPool
from imagemill.domain.jobs import LaneKey
from imagemill.domain.scheduling import LaneHead, Offer, QueuedJob
from tests.service.build import FakeBackend, wait_until


def node(name: str, slots: int = 1, **changes: Any) -> Node:
    return Node(name, "fake", frozenset({"gpu"}), slots, **changes)


def attempt_on(name: str) -> Any:
    job = SimpleNamespace(node=name)
    return SimpleNamespace(claim=SimpleNamespace(id="job-1", job=job))


class Jobs:
    """Stands for `InstantRunner`: jobs that take no time, and jobs that take as long as a test wants."""

    backends = frozenset({"fake"})
    quick_backends = frozenset[str]()

    def __init__(self) -> None:
        self.quick = 0
        self.slow: list[str] = []
        """The nodes that get a job which takes time."""
        self.go = threading.Event()
        self.offered: list[list[str]] = []
        self.ran: list[str] = []
        self.failures = 0

    def run_all(
        self,
        offers: Callable[[Iterable[Any]], Sequence[Offer]],
        claimed: Callable[[], None],
        hand_over: Callable[[Any], None],
    ) -> int:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError
        free = [offer.node for offer in offers(())]
        self.offered.append(free)
        slow, self.slow = self.slow, []
        done = min(self.quick, len(free))
        self.quick -= done
        for name in slow:
            hand_over(attempt_on(name))
        if done or slow:
            claimed()
        return done + len(slow)

    def run_on(self, attempt: Any, following: Callable[[], Offer | None]) -> None:
        assert self.go.wait(30)
        offer = following()
        self.ran.append(offer.node if offer is not None else "")


class Hall:
    def __init__(self, *nodes: Node) -> None:
        self.backend = FakeBackend()
        self.there = [*nodes]
        self.backend.nodes = lambda: [*self.there]  # type: ignore[method-assign]
        self.jobs = Jobs()
        self.heads: list[LaneHead] = []
        self.dispatcher = InlineDispatcher(
            lambda offer, claimed: pytest.fail("a slot has a thread of its own"),
            {"fake": self.backend},
            worker="w",
            queues=None,
            heads=lambda: self.heads,
            poll_s=0.01,
            shared=self.jobs,
        )
        self.dispatcher.start()
        wait_until(lambda: self.jobs.offered)

    def wake(self) -> list[str]:
        """Wake the slots; return the nodes of the free ones."""
        before = len(self.jobs.offered)
        self.dispatcher.wake("gpu")
        wait_until(lambda: len(self.jobs.offered) > before)
        return self.jobs.offered[before]


@pytest.fixture
def hall() -> Iterator[Callable[..., Hall]]:
    made: list[Hall] = []

    def make(*nodes: Node) -> Hall:
        made.append(Hall(*nodes))
        return made[-1]

    yield make
    for each in made:
        each.jobs.go.set()
        each.dispatcher.close()


def test_all_free_slots_are_offered_the_first_of_each_node_first(hall: Any):
    assert hall(node("a", 2), node("b", 1), node("c", 3)).wake() == ["a", "b", "c", "a", "c", "c"]


def test_so_many_slots_at_most_claim_together(hall: Any):
    assert len(hall(node("a", 100)).wake()) == 16


def test_nodes_that_take_no_jobs_offer_none(hall: Any):
    it = hall(node("a"), node("b", draining=True), node("c", healthy=False))
    assert it.wake() == ["a"]
    it.there[0] = node("a", draining=True)
    assert it.wake() == []


def test_slots_whose_nodes_all_drain_are_woken_once_one_takes_jobs_again(hall: Any):
    it = hall(node("a", draining=True))
    asked = len(it.jobs.offered)
    it.dispatcher.wake("gpu")
    time.sleep(0.1)
    assert len(it.jobs.offered) == asked

    it.there[0] = node("a")
    wait_until(lambda: ["a"] in it.jobs.offered)


def test_a_node_that_takes_jobs_again_while_it_is_asked_for_is_not_forgotten() -> None:
    backend, jobs, idle, closed = FakeBackend(), Jobs(), IdleSlots(), threading.Event()
    states = [node("a", draining=True)]

    def return_meanwhile() -> list[Node]:
        if states:
            idle.wake_nodes([("fake", "")])
        return [states.pop()] if states else [node("a")]

    backend.nodes = return_meanwhile  # type: ignore[method-assign]
    offers = Offers({"fake": backend}, worker="w", served_queues=None)
    states.append(node("a", draining=True))  # that of before was for the offers
    slots = SharedSlots(
        jobs,
        backend,
        offers,
        idle,
        on_claim=lambda *_: None,
        on_refusal=lambda *_: None,
        closed=closed,
    )
    slots.start()
    wait_until(lambda: jobs.offered)
    time.sleep(0.05)
    idle.wake("gpu")
    wait_until(lambda: len(jobs.offered) == 2)
    closed.set()
    idle.close()
    slots.join()


def test_a_slot_whose_job_takes_time_is_not_offered_until_it_is_done(hall: Any):
    it = hall(node("a", 2), node("b", 1))
    it.jobs.slow = ["a"]
    it.wake()
    wait_until(lambda: it.jobs.offered[-1] == ["a", "b"])
    it.jobs.slow = ["a", "b"]
    it.wake()
    wait_until(lambda: it.jobs.offered[-1] == [])
    it.jobs.go.set()
    wait_until(lambda: len(it.jobs.ran) == 3)
    # The threads go on with their own slots.
    assert sorted(it.jobs.ran) == ["a", "a", "b"]
    wait_until(lambda: it.wake() == ["a", "b", "a"])


def test_a_wake_up_while_jobs_run_is_not_lost(hall: Any):
    it = hall(node("a"))
    it.jobs.quick = 50
    it.wake()
    wait_until(lambda: it.jobs.quick == 0)


def test_a_bug_does_not_end_the_slots(hall: Any):
    it = hall(node("a"))
    it.jobs.failures = 1
    it.jobs.quick = 1
    it.dispatcher.wake("gpu")
    wait_until(lambda: it.jobs.failures == 0)
    wait_until(lambda: it.wake() == ["a"] and it.jobs.quick == 0)


def test_work_without_a_wake_up_is_found_by_the_poll(hall: Any):
    it = hall(node("a"))
    before = len(it.jobs.offered)
    it.heads = [LaneHead(1, LaneKey("gpu", "m"), QueuedJob(1.0, 0, 1.0))]
    wait_until(lambda: len(it.jobs.offered) > before)


def test_closing_waits_for_jobs_that_take_time(hall: Any):
    it = hall(node("a"))
    it.jobs.slow = ["a"]
    it.wake()
    closing = threading.Thread(target=it.dispatcher.close)
    closing.start()
    wait_until(lambda: it.dispatcher.is_closed)
    it.jobs.go.set()
    closing.join(30)
    assert not closing.is_alive()
    # A closing slot asks for no more.
    assert it.jobs.ran == [""]


# A pool that messages wake


class Pool:
    def __init__(self, *nodes: Node, max_jobs: int | None = None) -> None:
        self.backend = FakeBackend()
        self.backend.nodes = lambda: [*nodes]  # type: ignore[method-assign]
        backends: Any = {"fake": self.backend}
        self.jobs = Jobs()
        self.pool = SlotPool(
            lambda offer, claimed: pytest.fail("a slot has a thread of its own"),
            Offers(backends, worker="w", served_queues=None),
            set,
            wakeup_s=60,
            poll_s=60,
            max_jobs=max_jobs,
            shared=self.jobs,
        )


def test_a_wake_up_gets_all_free_slots_of_the_backend() -> None:
    it = Pool(node("a", 2), node("b", 1))
    it.jobs.quick = 2
    assert it.pool.work() == (2, False)
    assert it.jobs.offered == [["a", "b", "a"]]


def test_jobs_that_take_no_time_are_claimed_together_beyond_the_bound_of_a_pool() -> None:
    it = Pool(node("a", 4), max_jobs=1)
    it.jobs.quick = 6
    assert it.pool.work() == (4, False)
    assert it.pool.work() == (2, False)


def test_after_a_job_that_took_time_no_more_are_claimed_than_the_bound_of_a_pool() -> None:
    it = Pool(node("a", 4), max_jobs=3)
    it.jobs.slow = ["a"]
    assert it.pool.work() == (1, False)
    it.jobs.quick = 5
    assert it.pool.work() == (2, False), "one slot is in use"
    it.jobs.go.set()
    it.pool.close()


def test_a_pool_with_as_many_jobs_that_take_time_as_it_may_have_claims_none() -> None:
    it = Pool(node("a", 4), max_jobs=2)
    later: list[list[Offer]] = []
    run_all = it.jobs.run_all

    def claim_again(offers: Callable[[Iterable[Any]], Sequence[Offer]], *others: Any) -> int:
        ran = run_all(offers, *others)
        later.append([*offers(())])
        return ran

    it.jobs.run_all = claim_again  # type: ignore[method-assign]
    it.jobs.slow = ["a", "a"]
    assert it.pool.work() == (2, False)
    assert later == [[]], "of the four slots that were taken two are left"
    it.jobs.go.set()
    it.pool.close()


def test_a_slot_whose_job_takes_time_is_not_woken_until_it_is_done() -> None:
    it = Pool(node("a", 2))
    it.jobs.slow = ["a"]
    assert it.pool.work() == (1, False)
    it.jobs.quick = 2
    assert it.pool.work() == (1, False)
    it.jobs.go.set()
    it.pool.close()
    assert it.jobs.ran == [""]


def test_without_work_a_wake_up_frees_its_slots() -> None:
    it = Pool(node("a", 2))
    assert it.pool.work() == (0, False)
    it.jobs.quick = 2
    assert it.pool.work() == (2, False)


def test_where_no_thread_can_be_started_the_job_is_run_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Pool(node("a", 2))
    it.jobs.slow = ["a"]
    it.jobs.go.set()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert it.pool.work() == (1, False)
    assert it.jobs.ran == ["a"]
    it.jobs.quick = 2
    assert it.pool.work() == (2, False)


# The slots of a quick node on one thread


class Prompts:
    """Stands for `InstantRunner`: each of ``rounds`` says which of the offered slots get a job that takes
    time; the others get one that does not."""

    backends = frozenset[str]()
    quick_backends = frozenset({"fake"})

    def __init__(self, *rounds: list[bool]) -> None:
        self.rounds = [*rounds]
        self.offered: list[int] = []
        self.threads: list[threading.Thread] = []
        self.following: list[bool] = []

    def run_all(
        self,
        offers: Callable[[Iterable[Any]], Sequence[Offer]],
        claimed: Callable[[], None],
        hand_over: Callable[[Any], None],
    ) -> int:
        count = 0
        while free := offers(()):
            self.offered.append(len(free))
            jobs = self.rounds.pop(0) if self.rounds else []
            if not jobs:
                break
            claimed()
            count += len(jobs)
            for takes_time in jobs:
                if takes_time:
                    hand_over(attempt_on("a"))
        return count

    def run_on(self, attempt: Any, following: Callable[[], Offer | None]) -> None:
        self.threads.append(threading.current_thread())
        self.following.append(following() is not None)


def test_a_slot_that_is_alone_runs_what_takes_time_in_its_own_thread_and_goes_on() -> None:
    jobs = Prompts([True])
    assert SlotGroup(jobs, lambda: [offer_of("a")]).run_all(lambda: None)
    assert jobs.threads == [threading.current_thread()]
    assert jobs.following == [True]


def test_where_others_wait_what_takes_time_gets_a_thread_and_no_more_is_claimed_until_it_is_done() -> None:
    jobs = Prompts([False, True, True], [False])
    claims: list[None] = []
    slots = SlotGroup(jobs, lambda: [offer_of("a")] * 4)
    assert slots.run_all(lambda: claims.append(None))
    assert threading.current_thread() not in jobs.threads
    assert jobs.following == [False, False]
    # Afterwards it has claimed for all of its slots until there was no more.
    assert jobs.offered == [4, 4, 4]
    assert len(claims) == 2


def test_a_slot_whose_node_has_become_quick_leaves_its_next_jobs_to_be_claimed_together() -> None:
    jobs = Prompts([True], [False, False])
    widths = [1, 4, 4, 4]
    assert SlotGroup(jobs, lambda: [offer_of("a")] * widths.pop(0)).run_all(lambda: None)
    assert jobs.following == [False]
    assert jobs.offered == [1, 4, 4]


def test_without_a_job_there_was_none() -> None:
    assert not SlotGroup(Prompts(), lambda: [offer_of("a")]).run_all(lambda: None)
    assert not SlotGroup(Prompts(), list).run_all(lambda: None)


def offer_of(name: str) -> Offer:
    return Offer("w", name, "fake", frozenset({"gpu"}))


def test_the_threads_of_a_quick_node_share_its_slots() -> None:
    backend, prompts = FakeBackend(), Prompts()
    backend.nodes = lambda: [node("a", 10, at_once=4)]  # type: ignore[method-assign]
    dispatcher = InlineDispatcher(
        lambda offer, claimed: pytest.fail("a slot has a thread of its own"),
        {"fake": backend},
        worker="w",
        queues=None,
        heads=list,
        poll_s=60,
        shared=prompts,
    )
    dispatcher.start()
    try:
        wait_until(lambda: len(prompts.offered) == 3)
        assert sorted(prompts.offered) == [2, 4, 4]
    finally:
        dispatcher.close()
