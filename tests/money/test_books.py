"""Any story of jobs and postings, told to the ledger and to a simple model of it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db.engine import open_engines
from imagemill.domain.clock import SECOND
from imagemill.domain.credits import amount_of
from imagemill.domain.errors import CreditsInsufficient, Superseded
from imagemill.domain.jobs import Claim, JobStatus
from imagemill.jobs.store.finish import ReleaseRetries
from imagemill.jobs.store.queries import Filter
from tests.databases import empty, sqlite_database
from tests.money.build import add_owner, buy, grant, purse, transfer
from tests.store.build import T0, ask, cancel, draft, expire, fail, reclaim, retry, succeed

OWNERS = ("ann", "ann:zoe", "bob")
_names = count()


@dataclass
class Paid:
    """What the model knows of a job."""

    owner: str
    amount: int
    delivered: int = 0


class Books(RuleBasedStateMachine):
    """``open_store`` gives an empty store. What an owner has is what it was given, less what it bought and
    what its open jobs hold: whichever way they got there."""

    open_store: Callable[[], Stores]
    claims = Bundle("claims")
    ids = Bundle("ids")

    @initialize()
    def begin(self) -> None:
        self.now = T0
        self.store = type(self).open_store()
        self.given = dict.fromkeys(OWNERS, 0)
        self.jobs: dict[str, Paid] = {}
        for owner in OWNERS:
            add_owner(self.store, owner)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    @rule(owner=st.sampled_from(OWNERS), amount=st.integers(-5_000, 20_000).filter(bool))
    def grant(self, owner: str, amount: int) -> None:
        if self.available(owner) + amount < 0:
            with pytest.raises(CreditsInsufficient):
                grant(self.store, owner, amount)
            return
        grant(self.store, owner, amount)
        self.given[owner] += amount

    @rule(pair=st.permutations(OWNERS), amount=st.integers(1, 8_000))
    def transfer(self, pair: list[str], amount: int) -> None:
        sender, recipient = pair[:2]
        if amount > self.available(sender):
            with pytest.raises(CreditsInsufficient):
                transfer(self.store, sender, recipient, amount)
            return
        transfer(self.store, sender, recipient, amount)
        self.given[sender] -= amount
        self.given[recipient] += amount

    @rule(
        target=ids,
        owner=st.sampled_from(OWNERS),
        costs=st.lists(st.sampled_from([0.0, 0.0004, 0.96, 2.0, 5.0]), min_size=1, max_size=3),
        chained=st.booleans(),
        life_s=st.sampled_from([30, 10_000]),
    )
    def submit(self, owner: str, costs: list[float], chained: bool, life_s: int) -> Any:
        drafts: list[Any] = []
        for cost in costs:
            needs = (drafts[-1].id,) if drafts and chained else ()
            drafts.append(draft(cost=cost, depends_on=needs, expires_at=self.now + life_s * SECOND))
        needed = sum(map(amount_of, costs))
        if needed > self.available(owner):
            with pytest.raises(CreditsInsufficient):
                buy(self.store, *drafts, owner=owner, at=self.now)
            return multiple()
        buy(self.store, *drafts, owner=owner, at=self.now)
        self.jobs |= {each.id: Paid(owner, amount_of(each.cost)) for each in drafts}
        return multiple(*(each.id for each in drafts))

    @rule(target=claims)
    def claim(self) -> Any:
        return self.store.jobs.claim_next(ask(self.now)) or multiple()

    @rule(claim=claims, pictures=st.integers(0, 2))
    def succeed(self, claim: Claim, pictures: int) -> None:
        if self.tried(lambda: succeed(self.store, claim, self.now, pictures)):
            self.jobs[claim.id].delivered = pictures

    @rule(claim=claims)
    def fail(self, claim: Claim) -> None:
        self.tried(lambda: fail(self.store, claim, self.now))

    @rule(claim=claims)
    def retry(self, claim: Claim) -> None:
        self.tried(lambda: retry(self.store, claim, self.now))

    @rule(id_=ids)
    def cancel(self, id_: str) -> None:
        if id_ in self.jobs:
            cancel(self.store, self.store.jobs.job(id_), self.now, self.jobs[id_].owner)

    @rule(dead=st.booleans())
    def reclaim(self, dead: bool) -> None:
        reclaim(self.store, self.now, *(["worker-1"] if dead else []))

    @rule()
    def expire(self) -> None:
        expire(self.store, self.now)
        self.store.jobs.release_retries(ReleaseRetries(self.now))

    @rule(seconds=st.sampled_from([1, 31, 120]))
    def time_goes_by(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(id_=ids)
    def delete(self, id_: str) -> None:
        job = self.jobs.pop(id_, None)
        if job is None:
            return
        if self.store.jobs.job(id_).status is JobStatus.SUCCEEDED and job.delivered:
            self.given[job.owner] -= job.amount
        self.store.jobs.delete_jobs([id_])

    def tried(self, finish: Callable[[], object]) -> bool:
        try:
            finish()
        except Superseded:
            return False
        return True

    def expected(self, owner: str) -> tuple[int, int]:
        """By the states of the jobs alone."""
        available, held = self.given[owner], 0
        for job in self.store.jobs.list_jobs(Filter(owner, limit=10_000)):
            paid = self.jobs[job.id]
            if not job.status.is_terminal:
                held += paid.amount
            elif job.status is JobStatus.SUCCEEDED and paid.delivered:
                available -= paid.amount
        return available - held, held

    def available(self, owner: str) -> int:
        return self.expected(owner)[0]

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.store.ledger.faults() == []
        for owner in OWNERS:
            assert purse(self.store, owner) == self.expected(owner)
            assert min(purse(self.store, owner)) >= 0


def run(open_store: Callable[[], Stores], examples: int, steps: int) -> None:
    machine = type("Story", (Books,), {"open_store": staticmethod(open_store)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


def test_any_story_on_sqlite(tmp_path: Path):
    def open_store() -> Stores:
        return build_stores(open_engines(sqlite_database(tmp_path / f"{next(_names)}.db"), fsync=False))

    run(open_store, examples=30, steps=40)


def test_any_story_on_postgresql(kept_postgres_url: str):
    def open_store() -> Stores:
        empty(kept_postgres_url)
        return build_stores(open_engines(kept_postgres_url))

    run(open_store, examples=8, steps=30)
