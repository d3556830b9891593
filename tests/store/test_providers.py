"""The book of paid calls: limits and ceilings of all workers together, on both databases."""

import threading

import pytest

from imagemill.backends.paid_calls import MILLIONTHS, Budget, BudgetExceeded, Reservation
from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.credits.provider_calls import EndCall, PaidCallRecorder, ProviderCalls, ReserveCall
from imagemill.domain.clock import SECOND, uuid7
from imagemill.observability.metrics import Metrics
from tests.store.build import T0, opened

DAY = 86_400 * SECOND


@pytest.fixture
def calls(store: Stores) -> ProviderCalls:
    return store.provider_calls


def reserve(
    calls: ProviderCalls, *, at: int = T0, job: str = "job-1", cost: float = 0.025, **budget: float
) -> str:
    id_ = uuid7()
    amounts = {name: round(value * MILLIONTHS) for name, value in budget.items() if name != "per_minute"}
    minute = {"per_minute": int(budget["per_minute"])} if "per_minute" in budget else {}
    wanted = Reservation(
        "fal", job, 1, "fal-ai/flux/dev", round(cost * MILLIONTHS), Budget(**minute, **amounts)
    )
    calls.reserve(ReserveCall(id_, wanted, at))
    return id_


def test_the_minute_is_full_until_the_oldest_call_leaves_it(calls: ProviderCalls) -> None:
    for second in (0, 10, 20):
        reserve(calls, at=T0 + second * SECOND, per_minute=3)
    with pytest.raises(BudgetExceeded) as caught:
        reserve(calls, at=T0 + 30 * SECOND, per_minute=3)
    assert caught.value.after_s == pytest.approx(30.0)
    reserve(calls, at=T0 + 60 * SECOND, per_minute=3)
    with pytest.raises(BudgetExceeded):
        reserve(calls, at=T0 + 61 * SECOND, per_minute=3)


def test_a_day_costs_no_more_than_its_ceiling(calls: ProviderCalls) -> None:
    for hour in range(4):
        reserve(calls, at=T0 + hour * 3600 * SECOND, per_day=0.1, job=f"job-{hour}")
    with pytest.raises(BudgetExceeded, match=r"0\.1000 within 24 hours; the limit is 0\.1000") as caught:
        reserve(calls, at=T0 + DAY - 60 * SECOND, per_day=0.1)
    assert caught.value.after_s == pytest.approx(60.0)
    reserve(calls, at=T0 + DAY, per_day=0.1)
    assert calls.spent("fal", T0) == round(0.1 * MILLIONTHS)


def test_all_calls_of_a_job_count_but_those_that_were_free(calls: ProviderCalls) -> None:
    for free in (True, False):
        calls.end(EndCall(reserve(calls, per_job=0.05), "refused", free, T0))
    reserve(calls, per_job=0.05)
    with pytest.raises(BudgetExceeded, match=r"limit of 0\.0500 for a job") as caught:
        reserve(calls, per_job=0.05)
    assert caught.value.after_s is None
    reserve(calls, per_job=0.05, job="job-2")


def test_a_job_finds_the_call_it_has_open(calls: ProviderCalls) -> None:
    assert calls.open_call("fal", "job-1") is None
    id_ = reserve(calls)
    found = calls.open_call("fal", "job-1")
    assert found is not None
    assert (found.id, found.request_id, found.sent_at) == (id_, None, T0)
    calls.sent(id_, "request-1")
    found = calls.open_call("fal", "job-1")
    assert found is not None
    assert found.request_id == "request-1"
    assert calls.open_call("fal", "job-2") is None
    calls.end(EndCall(id_, "succeeded", False, T0))
    assert calls.open_call("fal", "job-1") is None


def test_an_end_is_counted_once(store: Stores) -> None:
    meters = Metrics()
    book = PaidCallRecorder(store.provider_calls, meters)
    id_ = book.reserve(Reservation("fal", "job-1", 1, "fal-ai/flux/dev", 25_000, Budget(per_minute=1)))
    with pytest.raises(BudgetExceeded):
        book.reserve(Reservation("fal", "job-1", 1, "fal-ai/flux/dev", 25_000, Budget(per_minute=1)))
    for _ in range(2):
        book.ended(id_, "succeeded")
    told = {
        sample.name: sample.value
        for family in meters.registry.collect()
        for sample in family.samples
        if sample.name.startswith("imagemill_provider")
    }
    assert told["imagemill_provider_calls_total"] == 1
    assert told["imagemill_provider_cost_total"] == pytest.approx(0.025)
    assert told["imagemill_provider_call_seconds_count"] == 1
    assert told["imagemill_provider_held_back_total"] == 1


def test_workers_together_ask_no_more_than_one_would(database_url: str, store: Stores) -> None:
    stores = [store, *(build_stores(opened(database_url)) for _ in range(3))]
    taken: list[str] = []

    def work(mine: Stores) -> None:
        for number in range(8):
            try:
                taken.append(reserve(mine.provider_calls, at=T0 + number, per_minute=10, per_day=0.2))
            except BudgetExceeded:
                continue

    threads = [threading.Thread(target=work, args=(each,)) for each in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in stores[1:]:
        each.close()
    assert len(taken) == 8
    assert store.provider_calls.spent("fal", T0 - 1) == round(0.2 * MILLIONTHS)


def test_old_calls_that_have_ended_are_deleted(calls: ProviderCalls) -> None:
    old, _, young = (reserve(calls, at=at, job=job) for at, job in ((T0, "a"), (T0, "b"), (T0 + 2, "c")))
    for call in (old, young):
        calls.end(EndCall(call, "succeeded", False, T0 + 3))
    assert calls.prune(T0 + 1) == 1
    assert calls.spent("fal", T0 - 1) == round(2 * 0.025 * MILLIONTHS)
