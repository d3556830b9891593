"""Limits hold exactly, for an owner and its account, however many processes ask at once."""

from collections.abc import Sequence
from contextlib import ExitStack, closing

import pytest

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db.engine import open_engines
from imagemill.domain.clock import SECOND
from imagemill.domain.errors import CreditsInsufficient, QueueFull, RateLimited
from imagemill.domain.jobs import Job
from imagemill.domain.quotas import Limits, QuotaPolicy
from imagemill.quotas.store import CountRequest, OwnerLimits
from tests.money.build import add_owner, purse
from tests.store.build import T0, cancel, claim, draft, in_threads, submission, succeed

DAY = 86_400 * SECOND


def ask_for(
    store: Stores, terms: QuotaPolicy, *, owner: str = "ann", jobs: int = 1, at: int = T0, **changes: object
) -> Sequence[Job]:
    drafts = [draft(**changes) for _ in range(jobs)]
    return store.jobs.submit(submission(*drafts, owner=owner, at=at, terms=terms)).jobs


def terms(**limits: object) -> QuotaPolicy:
    return QuotaPolicy(account=Limits(**limits))  # type: ignore[arg-type]


def test_jobs_in_flight_are_bounded_until_one_ends(store: Stores):
    at_most = terms(jobs=3)
    jobs = ask_for(store, at_most, jobs=2)
    with pytest.raises(RateLimited) as refusal:
        ask_for(store, at_most, jobs=2)
    assert (refusal.value.status.quota, refusal.value.status.remaining) == (3, 1)
    ask_for(store, at_most)
    claimed = claim(store)
    with pytest.raises(RateLimited):
        ask_for(store, at_most)
    succeed(store, claimed)
    cancel(store, jobs[1])
    assert len(ask_for(store, at_most, jobs=2)) == 2


def test_an_end_user_s_jobs_count_for_its_account_too(store: Stores):
    for owner in ("ann", "ann:zoe", "ann:yan"):
        add_owner(store, owner)
    both = QuotaPolicy(account=Limits(jobs=3), end_user=Limits(jobs=2))
    ask_for(store, both, owner="ann:zoe", jobs=2)
    with pytest.raises(RateLimited, match="ann:zoe may have 2"):
        ask_for(store, both, owner="ann:zoe")
    ask_for(store, both, owner="ann:yan")
    with pytest.raises(RateLimited, match="ann may have 3"):
        ask_for(store, both, owner="ann:yan")
    with pytest.raises(RateLimited):
        ask_for(store, both, owner="ann")


def test_megapixels_are_counted_by_the_day(store: Stores):
    at_most = terms(megapixels=2.0)
    ask_for(store, at_most, megapixels=1.5)
    with pytest.raises(RateLimited) as refusal:
        ask_for(store, at_most, megapixels=0.6)
    assert 0 < refusal.value.after_s <= 86_400
    ask_for(store, at_most, megapixels=0.5)
    ask_for(store, at_most, megapixels=2.0, at=T0 + DAY)


def test_a_recipe_cools_down_between_submits(store: Stores):
    at_most = terms(cooldowns={"comfy": 10.0})
    ask_for(store, at_most, recipe="comfy", jobs=2)
    with pytest.raises(RateLimited) as refusal:
        ask_for(store, at_most, recipe="comfy", at=T0 + 4 * SECOND)
    assert refusal.value.after_s == pytest.approx(6)
    ask_for(store, at_most, at=T0 + 4 * SECOND)
    ask_for(store, at_most, recipe="comfy", at=T0 + 10 * SECOND)


def test_jobs_of_a_recipe_are_counted_by_the_day(store: Stores):
    at_most = terms(daily={"comfy": 3})
    ask_for(store, at_most, recipe="comfy", jobs=2)
    with pytest.raises(RateLimited, match="3 jobs of comfy a day") as refusal:
        ask_for(store, at_most, recipe="comfy", jobs=2)
    assert (refusal.value.status.quota, refusal.value.status.remaining) == (3, 1)
    ask_for(store, at_most, jobs=5)
    ask_for(store, at_most, recipe="comfy")
    with pytest.raises(RateLimited):
        ask_for(store, at_most, recipe="comfy")
    ask_for(store, at_most, recipe="comfy", jobs=3, at=T0 + DAY)


def test_a_daily_limit_of_an_owner_s_own_goes_before_the_settings(store: Stores):
    add_owner(store, "ann")
    at_most = terms(daily={"comfy": 1})
    store.quotas.put(OwnerLimits("ann", {"daily:comfy": 2}))
    ask_for(store, at_most, recipe="comfy", jobs=2)
    store.quotas.put(OwnerLimits("ann", {"daily:comfy": -1.0}))
    ask_for(store, at_most, recipe="comfy", jobs=50)
    store.quotas.put(OwnerLimits("ann", {}))
    with pytest.raises(RateLimited):
        ask_for(store, at_most, recipe="comfy")


def test_an_owner_s_own_limits_go_before_the_settings(store: Stores):
    add_owner(store, "ann")
    at_most = terms(jobs=1)
    store.quotas.put(OwnerLimits("ann", {"jobs": 2}))
    ask_for(store, at_most, jobs=2)
    store.quotas.put(OwnerLimits("ann", {"jobs": -1.0}))
    ask_for(store, at_most, jobs=5)
    store.quotas.put(OwnerLimits("ann", {}))
    with pytest.raises(RateLimited):
        ask_for(store, at_most)


def test_all_owners_together_fill_the_queue(store: Stores):
    at_most = QuotaPolicy(most_jobs=3)
    ask_for(store, at_most, owner="ann", jobs=2)
    with pytest.raises(QueueFull):
        ask_for(store, at_most, owner="bob", jobs=2)
    ask_for(store, at_most, owner="bob")


def test_what_cannot_be_paid_does_not_count(store: Stores):
    add_owner(store, "ann", 1)
    at_most = terms(megapixels=1.0, jobs=1, cooldowns={"textToImage": 60})
    dear = draft(cost=2.0, megapixels=1.0)
    with pytest.raises(CreditsInsufficient):
        store.jobs.submit(submission(dear, owner="ann", is_charged=True, terms=at_most))
    store.jobs.submit(
        submission(draft(cost=1.0, megapixels=1.0), owner="ann", is_charged=True, terms=at_most)
    )
    assert purse(store) == (0, 1000)
    with pytest.raises(RateLimited):
        store.jobs.submit(submission(draft(cost=0.0), owner="ann", is_charged=True, terms=at_most))
    assert purse(store) == (0, 1000)


def test_requests_are_counted_by_the_minute_for_owner_and_account(store: Stores):
    quotas = (("ann", 3.0), ("ann:zoe", 2.0))
    assert store.quotas.take(CountRequest(quotas, T0)).remaining == 1
    assert store.quotas.take(CountRequest(quotas, T0)).remaining == 0
    with pytest.raises(RateLimited, match="ann:zoe may send 2"):
        store.quotas.take(CountRequest(quotas, T0))
    # The refused one was given back to the account.
    assert store.quotas.take(CountRequest((("ann", 3.0),), T0)).remaining == 0
    with pytest.raises(RateLimited, match="ann may send 3"):
        store.quotas.take(CountRequest((("ann", 3.0), ("ann:yan", 2.0)), T0))
    assert store.quotas.take(CountRequest(quotas, T0 + 60 * SECOND)).remaining == 1


def test_counters_that_are_over_are_forgotten(store: Stores):
    store.quotas.take(CountRequest((("ann", 1.0),), T0))
    store.quotas.prune(T0)
    with pytest.raises(RateLimited):
        store.quotas.take(CountRequest((("ann", 1.0),), T0))
    store.quotas.prune(T0 + 61 * SECOND)
    assert store.quotas.take(CountRequest((("ann", 1.0),), T0)).remaining == 0


def test_several_processes_at_once_let_no_more_through(database_url: str):
    at_most = QuotaPolicy(account=Limits(jobs=11, megapixels=100.0), end_user=Limits(jobs=7))
    with ExitStack() as several:
        open_ = [
            several.enter_context(closing(build_stores(open_engines(database_url, fsync=False))))
            for _ in range(4)
        ]
        for owner in ("ann", "ann:zoe"):
            add_owner(open_[0], owner)
        answers = in_threads(
            [
                lambda store=open_[number % 4], owner=("ann", "ann:zoe")[number % 2]: ask_for(
                    store, at_most, owner=owner, megapixels=1.0
                )
                for number in range(40)
            ]
        )
        accepted = [answer for answer in answers if not isinstance(answer, Exception)]
        assert {type(answer) for answer in answers if isinstance(answer, Exception)} == {RateLimited}
        assert len(accepted) == open_[0].quotas.open_jobs("ann") == 11
        assert open_[0].quotas.open_jobs("ann:zoe") <= 7
        assert open_[0].quotas.used("ann", T0) == 11
        takes = in_threads(
            [
                lambda store=open_[number % 4]: store.quotas.take(CountRequest((("bob", 9.0),), T0))
                for number in range(30)
            ]
        )
        assert sum(not isinstance(answer, Exception) for answer in takes) == 9
