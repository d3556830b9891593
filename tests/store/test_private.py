"""A private job never reaches a remote node, whatever is tried, lost and moved in between."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from imagemill.backends.base import Node
from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate
from imagemill.dispatch.base import Offers
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import InvalidInput
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.jobs import Claim, Retried
from imagemill.jobs.inputs import OwnerResources
from imagemill.jobs.store.claim import ClaimRequest
from imagemill.jobs.store.finish import Finish, ReclaimLeases
from imagemill.jobs.submit import JobRequest, SubmitDefaults, Submitter
from imagemill.model_registry.registry import Registry
from tests.service.build import FakeBackend, inputs, recipe
from tests.store.build import RULES, fresh_id, opened

PATIENCE_S = 5.0
_names = itertools.count()


class Remote(FakeBackend):
    def nodes(self) -> Sequence[Node]:
        queues = frozenset({"gpu", "remote"})
        return [Node("fal", "fal", queues, 4, load_s=0.0, remote=True, local_first_s=PATIENCE_S)]


class Local(FakeBackend):
    well = True

    def nodes(self) -> Sequence[Node]:
        return [Node("gpu-1", "local", frozenset({"gpu"}), 2, memory_mb=8_000, healthy=self.well)]


class Shop:
    """A local node and a remote one on one store, on a clock that we move."""

    def __init__(self, store: Stores, *, private_owners: frozenset[str] = frozenset()) -> None:
        self.store = store
        self.local, self.fal = Local(name="local"), Remote(name="fal")
        backends = {"local": self.local, "fal": self.fal}
        registry = Registry(store.resources, strict=True, is_available=lambda key: False)
        self.resolver = partial(OwnerResources, registry, inputs(store))
        self.defaults = SubmitDefaults(3600.0, 5, 10, private_owners)
        self.submitter = Submitter(store.jobs, self.resolver, {"square": recipe()}, backends, self.defaults)
        self.offers = Offers(backends, worker="w", served_queues=None)
        self.now = now_us()

    def submit(self, *, owner: str = "ann", **job_request: object) -> str:
        wishes = [JobRequest("square", {}, **job_request)]  # pyright: ignore[reportArgumentType]
        job = self.submitter.submit(owner, self.submitter.prepare(owner, wishes, dialect="native")).jobs[0]
        return job.id

    def claim(self, node: str) -> Claim | None:
        backend = self.local if node == "gpu-1" else self.fal
        offer = self.offers.offer_of(backend.nodes()[0])
        return self.store.jobs.claim_next(
            ClaimRequest(offer, fresh_id(), self.now, self.now + 30 * SECOND, RULES)
        )


class Private(RuleBasedStateMachine):
    open_store: Callable[[], Stores]

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop(self.open_store(), private_owners=frozenset({"bob"}))
        self.private: set[str] = set()
        self.running: list[Claim] = []
        self.remotely: set[str] = set()

    @rule(private=st.booleans(), owner=st.sampled_from(["ann", "bob"]))
    def submit(self, private: bool, owner: str) -> None:
        job = self.shop.submit(private=private, owner=owner)
        if private or owner == "bob":
            self.private.add(job)

    @rule()
    def replay(self) -> None:
        if self.running:
            job = self.running[0].job
            (again,) = self.shop.submitter.resubmit(job).jobs
            if job.id in self.private:
                self.private.add(again.id)

    @rule(node=st.sampled_from(["gpu-1", "fal"]))
    def claim(self, node: str) -> None:
        claim = self.shop.claim(node)
        if claim is not None:
            self.running.append(claim)
            if claim.job.backend == "fal":
                self.remotely.add(claim.id)

    @rule(code=st.sampled_from(FailureCode), memory_mb=st.none() | st.just(16_000), avoid=st.booleans())
    def retry(self, code: FailureCode, memory_mb: int | None, avoid: bool) -> None:
        if self.running:
            claim = self.running.pop()
            until = self.shop.now + 20 * SECOND
            node = claim.job.node if avoid else None
            outcome = Retried(Failure(code, "it failed"), None, node, until, memory_mb)
            self.shop.store.jobs.finish(Finish(claim, outcome, self.shop.now))

    @rule()
    def lose_all(self) -> None:
        self.running.clear()
        lost = ReclaimLeases(self.shop.now + 60 * SECOND, outliving=frozenset({"fal"}), reattach_us=SECOND)
        self.shop.store.jobs.reclaim_leases(lost)

    @rule(seconds=st.sampled_from([1, 10, 100]))
    def wait(self, seconds: int) -> None:
        self.shop.now += seconds * SECOND

    @rule(well=st.booleans())
    def break_or_mend(self, well: bool) -> None:
        self.shop.local.well = well

    @invariant()
    def nothing_private_was_sent_away(self) -> None:
        assert not self.private & self.remotely

    def teardown(self) -> None:
        self.shop.store.close()


def test_no_story_sends_a_private_job_away(tmp_path: Path) -> None:
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    migrate.upgrade(empty)

    class OnSqlite(Private):
        @staticmethod
        def open_store() -> Stores:
            path = tmp_path / f"{next(_names)}.db"
            path.write_bytes((tmp_path / "empty.db").read_bytes())
            store = build_stores(opened(f"sqlite:///{path}"))
            for owner in ("ann", "bob"):
                store.jobs.ensure_owner(owner, now_us())
            return store

    run_state_machine_as_test(
        OnSqlite,
        settings=settings(
            max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.fixture
def shop(store: Stores) -> Shop:
    store.jobs.ensure_owner("ann", now_us())
    return Shop(store)


def test_a_job_goes_away_once_it_has_waited(shop: Shop) -> None:
    job = shop.submit()
    assert shop.claim("fal") is None
    shop.now += round((PATIENCE_S + 1) * SECOND)
    claim = shop.claim("fal")
    assert claim is not None
    assert claim.id == job


def test_younger_jobs_of_the_lane_stay_when_the_oldest_keeps_off(shop: Shop) -> None:
    """The choice is of a lane: the statement that takes a job looks at its age again."""
    first = shop.submit()
    shop.now += round((PATIENCE_S + 1) * SECOND)
    claim = shop.claim("fal")
    assert claim is not None
    failure = Failure(FailureCode.BACKEND_UNAVAILABLE, "fal answers 500")
    shop.store.jobs.finish(Finish(claim, Retried(failure, None, "fal", shop.now + 60 * SECOND), shop.now))
    shop.submit()
    shop.now = now_us() + SECOND
    assert shop.claim("fal") is None
    local = shop.claim("gpu-1")
    assert local is not None
    assert local.id == first


def test_while_no_local_node_is_well_jobs_go_at_once_and_private_ones_wait(shop: Shop) -> None:
    shop.local.well = False
    private, other = shop.submit(private=True), shop.submit()
    claim = shop.claim("fal")
    assert claim is not None
    assert claim.id == other
    shop.now += 1000 * SECOND
    assert shop.claim("fal") is None
    shop.local.well = True
    claim = shop.claim("gpu-1")
    assert claim is not None
    assert claim.id == private


def test_what_only_a_remote_node_can_do_is_queued_for_it_alone(shop: Shop) -> None:
    shop.local.refuses = "knows no such model"
    job = shop.submit()
    assert shop.store.jobs.job(job).queue == "remote"
    assert shop.claim("gpu-1") is None
    claim = shop.claim("fal")
    assert claim is not None
    assert claim.id == job


def test_what_a_remote_node_cannot_do_it_never_gets(shop: Shop) -> None:
    shop.fal.refuses = "takes no graphs"
    shop.submit()
    shop.now += 1000 * SECOND
    assert shop.claim("fal") is None
    assert shop.claim("gpu-1") is not None


def test_what_local_nodes_need_for_it_is_asked_of_them_all_the_same(shop: Shop) -> None:
    shop.local.needed = ("text encoder t5",)
    job = shop.store.jobs.job(shop.submit())
    assert shop.store.jobs.lane(job.lane).requirements == ("text encoder t5",)


def test_a_private_job_that_no_local_node_can_do_is_refused(shop: Shop) -> None:
    shop.local.refuses = "the node knows no such model"
    with pytest.raises(InvalidInput, match="no such model"):
        shop.submit(private=True)
    with pytest.raises(InvalidInput, match="local nodes only; fal is not local"):
        shop.submit(private=True, backends=("fal",))


def test_a_private_job_stays_when_a_remote_backend_is_added_while_it_waits(shop: Shop) -> None:
    before = Submitter(
        shop.store.jobs, shop.resolver, {"square": recipe()}, {"local": shop.local}, shop.defaults
    )
    drafts = before.prepare("ann", [JobRequest("square", {}, private=True)], dialect="native")
    job = before.submit("ann", drafts).jobs[0]
    shop.local.well = False
    shop.now += 1000 * SECOND
    assert shop.claim("fal") is None
    assert shop.store.jobs.lane(job.lane).backends == ("local",)


def test_a_worker_serves_remote_nodes_by_their_queue_alone(shop: Shop) -> None:
    backends = {"local": shop.local, "fal": shop.fal}
    for chosen, served in (("gpu", {"gpu-1"}), ("remote", {"fal"})):
        offers = Offers(backends, worker="w", served_queues=frozenset({chosen})).all()
        assert {offer.node for offer in offers if offer.queues} == served
