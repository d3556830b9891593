"""Wake-ups over a broker: how few are sent, and what a slot does with one; with a broker that is a fake."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from imagemill.backends.base import Node
from imagemill.bootstrap.build import consumed
from imagemill.dispatch.base import Offers, served_queues
from imagemill.dispatch.fleet import BrokerUnavailable, FleetDispatcher, WakeupSender
from imagemill.dispatch.slots import SlotPool
from imagemill.domain.scheduling import Offer
from tests.service.build import FakeBackend, wait_until


class FakeBroker:
    """Messages stay until a test takes them."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.waiting: Counter[str] = Counter()
        self.away = False

    def pending(self, queue: str) -> int:
        if self.away:
            raise BrokerUnavailable("it is away")
        return self.waiting[queue]

    def post(self, queue: str) -> None:
        self.posted.append(queue)
        self.waiting[queue] += 1

    def close(self) -> None:
        self.away = True


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def waits() -> set[str]:
    """Queues with claimable jobs."""
    return set()


@pytest.fixture
def tokens(broker: FakeBroker, waits: set[str]) -> Iterator[WakeupSender]:
    tokens = WakeupSender(broker, lambda: waits)
    yield tokens
    tokens.close()


def settled(tokens: WakeupSender, broker: FakeBroker) -> list[str]:
    """What was sent for all that was asked before."""
    tokens.wake("render")
    wait_until(lambda: "render" in broker.posted)
    broker.waiting["render"] = 0
    return [queue for queue in broker.posted if queue != "render"]


def test_no_second_token_is_sent_while_one_is_pending(tokens: WakeupSender, broker: FakeBroker):
    tokens.wake("gpu")
    wait_until(lambda: broker.posted)
    for _ in range(100):
        tokens.wake("gpu")
    assert settled(tokens, broker) == ["gpu"]


def test_a_queue_nobody_named_is_woken_by_the_fallback(tokens: WakeupSender, broker: FakeBroker):
    tokens.wake("video")
    assert settled(tokens, broker) == ["celery"]


def test_whoever_claims_wakes_the_next_slot_only_if_more_waits(
    tokens: WakeupSender, broker: FakeBroker, waits: set[str]
):
    tokens.wake_another("gpu")
    assert settled(tokens, broker) == []
    broker.posted.clear()
    waits.add("gpu")
    tokens.wake_another("gpu")
    assert settled(tokens, broker) == ["gpu"]


def test_a_wake_up_is_sent_once_the_broker_is_back(tokens: WakeupSender, broker: FakeBroker):
    broker.away = True
    tokens.wake("gpu")
    wait_until(lambda: tokens.is_broker_unavailable)
    broker.away = False
    wait_until(lambda: broker.posted == ["gpu"])


class Jobs:
    """A store of nothing but a number: `run_all` of a runner whose jobs take no time."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.asked = 0
        self.claims = 0
        self.ran_on: list[str] = []
        self.hold = threading.Event()
        self.hold.set()
        self._lock = threading.Lock()

    def waits(self) -> set[str]:
        self.asked += 1
        return {"gpu"} if self.left else set()

    def run_all(self, offer: Callable[[], Offer | None], claimed: Callable[[], None], /) -> bool:
        ran = False
        while (given := offer()) is not None and self._take(given):
            if not ran:
                claimed()
            ran = True
            self.hold.wait(30)
        return ran

    def _take(self, offer: Offer) -> bool:
        with self._lock:
            self.claims += 1
            if not self.left or "gpu" not in offer.queues:
                return False
            self.left -= 1
            self.ran_on.append(offer.node)
            return True


class Nodes(FakeBackend):
    def __init__(self, *there: Node) -> None:
        super().__init__()
        self.there = there

    def nodes(self) -> tuple[Node, ...]:
        return self.there


def floor_of(jobs: Jobs, *nodes: Node, **changes: float) -> SlotPool:
    offers = Offers({"fake": Nodes(*nodes)}, worker="w", served_queues=None)
    values = {"wakeup_s": 10.0, "poll_s": 60.0, **changes}
    return SlotPool(jobs.run_all, offers, jobs.waits, wakeup_s=values["wakeup_s"], poll_s=values["poll_s"])


def node(name: str, slots: int = 1, queue: str = "gpu") -> Node:
    return Node(name, "fake", frozenset({queue}), slots)


def test_a_token_goes_on_until_there_is_nothing_left():
    assert floor_of(Jobs(3), node("a")).work() == (3, False)


def test_a_spent_token_says_that_there_may_be_more():
    assert floor_of(Jobs(3), node("a"), wakeup_s=0.0).work() == (1, True)


def test_a_node_that_can_do_nothing_is_passed_over():
    jobs = Jobs(1)
    assert floor_of(jobs, node("a", queue="render"), node("b")).work() == (1, False)
    assert jobs.ran_on == ["b"]


def test_as_many_tokens_work_at_once_as_there_are_slots():
    jobs = Jobs(10)
    jobs.hold.clear()
    pool = floor_of(jobs, node("a", slots=2), node("b"))
    threads = [threading.Thread(target=pool.work) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(jobs.ran_on) == 3)
    assert Counter(jobs.ran_on) == {"a": 2, "b": 1}
    assert pool.work() == (0, False)
    jobs.hold.set()
    for thread in threads:
        thread.join(30)
    assert jobs.left == 0


def test_an_idle_worker_finds_work_though_nobody_told_it():
    jobs = Jobs(4)
    jobs.hold.clear()
    pool = floor_of(jobs, node("a", slots=3), poll_s=0.01)
    pool.start()
    wait_until(lambda: len(jobs.ran_on) == 3)
    jobs.hold.set()
    wait_until(lambda: jobs.left == 0)
    pool.close()


def test_an_idle_worker_asks_once_for_all_its_nodes():
    jobs = Jobs(0)
    pool = floor_of(jobs, *(node(f"n{number}") for number in range(200)), poll_s=0.01)
    pool.start()
    wait_until(lambda: jobs.asked >= 10)
    pool.close()
    assert jobs.claims == 0


def test_a_worker_serves_its_own_queues_and_with_the_fallback_those_nobody_named():
    offered = frozenset({"gpu", "render", "video"})
    assert served_queues(offered, None) == offered
    assert served_queues(offered, frozenset({"gpu"})) == {"gpu"}
    assert served_queues(offered, frozenset({"gpu", "celery"})) == {"gpu", "video"}
    assert served_queues(offered, frozenset({"video"})) == {"video"}
    assert consumed(frozenset({"video", "gpu"})) == {"gpu", "celery", "tasks"}
    assert "generator_queue" not in consumed(None)


def test_every_worker_serves_tasks_but_not_the_process_for_tasks_of_applications():
    offered = frozenset({"gpu", "tasks"})
    assert served_queues(offered, frozenset({"render"})) == {"tasks"}
    assert served_queues(offered, frozenset({"generator_queue"})) == frozenset()


def test_a_token_asks_the_nodes_of_its_queue_only():
    jobs = Jobs(1)
    pool = floor_of(jobs, node("a", queue="tasks"), node("b"))
    assert pool.work(waiting={"gpu"}) == (1, False)
    assert (jobs.ran_on, jobs.claims) == (["b"], 2)


def dispatcher_of(jobs: Jobs, pool: SlotPool) -> tuple[FleetDispatcher, list[str]]:
    """Return it and the queues that it asks other workers to look at."""
    asked: list[str] = []
    return FleetDispatcher(WakeupSender(FakeBroker(), set[str]), jobs.waits, asked.append, pool=pool), asked


def test_a_token_that_comes_too_late_claims_nothing():
    jobs = Jobs(0)
    dispatcher, asked = dispatcher_of(jobs, floor_of(jobs, node("a")))
    assert dispatcher.work("gpu") == 0
    assert (jobs.asked, jobs.claims, asked) == (1, 0, [])
    dispatcher.close()


def test_a_busy_worker_passes_its_token_on_without_a_query():
    jobs = Jobs(2)
    jobs.hold.clear()
    pool = floor_of(jobs, node("a"), node("b", queue="render"))
    dispatcher, asked = dispatcher_of(jobs, pool)
    busy = threading.Thread(target=pool.work)
    busy.start()
    wait_until(lambda: jobs.ran_on == ["a"])
    assert dispatcher.work("gpu") == 0
    assert (jobs.asked, asked) == (0, ["gpu"])
    dispatcher.wake_own("gpu")
    assert jobs.asked == 0
    dispatcher.wake_own("")
    wait_until(lambda: jobs.asked == 1)
    jobs.hold.set()
    busy.join(30)
    dispatcher.close()
    assert jobs.left == 0
