"""Credits are set aside at submit, paid for what succeeds, given back for everything else."""

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.credits.ledger import Posting, StatementPage, Transfer
from imagemill.domain.clock import SECOND
from imagemill.domain.credits import EntryKind
from imagemill.domain.errors import Conflict, CreditsInsufficient, NotFound
from imagemill.jobs.store.queries import Filter
from tests.money.build import ADMIN, add_owner, buy, buy_one, grant, kinds, purse, transfer
from tests.store.build import (
    LIFE,
    T0,
    add,
    cancel,
    claim,
    draft,
    expire,
    fail,
    reclaim,
    retry,
    submission,
    succeed,
)


@pytest.fixture
def rich(store: Stores) -> Stores:
    """Where ann has ten credits."""
    add_owner(store, "ann", 10)
    return store


def test_a_job_holds_its_cost_until_it_succeeds(rich: Stores):
    buy_one(rich, 2.5)
    assert purse(rich) == (7_500, 2_500)
    succeed(rich, claim(rich))
    assert purse(rich) == (7_500, 0)
    assert kinds(rich) == ["grant", "hold", "settle"]
    assert rich.ledger.faults() == []


def test_a_job_that_fails_costs_nothing(rich: Stores):
    buy_one(rich)
    fail(rich, claim(rich))
    assert purse(rich) == (10_000, 0)
    assert kinds(rich) == ["grant", "hold", "release"]


def test_a_job_that_delivers_nothing_costs_nothing(rich: Stores):
    buy_one(rich)
    succeed(rich, claim(rich), pictures=0)
    assert purse(rich) == (10_000, 0)


def test_a_retry_is_held_for_once(rich: Stores):
    buy_one(rich)
    retry(rich, claim(rich))
    assert purse(rich) == (9_000, 1_000)
    succeed(rich, claim(rich))
    assert kinds(rich) == ["grant", "hold", "settle"]


def test_a_lost_worker_s_job_is_still_held_for(rich: Stores):
    buy_one(rich)
    claim(rich)
    assert reclaim(rich, T0 + 60 * SECOND) == 1
    assert purse(rich) == (9_000, 1_000)


def test_a_canceled_job_and_what_depends_on_it_give_back(rich: Stores):
    first = draft(cost=1.0)
    second = draft(cost=2.0, depends_on=(first.id,))
    third = draft(cost=3.0, depends_on=(second.id,))
    jobs = buy(rich, first, second, third)
    assert purse(rich) == (4_000, 6_000)
    cancel(rich, jobs[0])
    assert purse(rich) == (10_000, 0)
    assert rich.ledger.faults() == []


def test_expired_jobs_give_back(rich: Stores):
    first = draft(cost=1.0)
    buy(rich, first, draft(cost=2.0, depends_on=(first.id,)))
    expire(rich, T0 + LIFE)
    assert purse(rich) == (10_000, 0)


def test_of_several_jobs_those_that_succeed_are_paid(rich: Stores):
    buy(rich, draft(cost=1.0), draft(cost=2.0), draft(cost=3.0))
    succeed(rich, claim(rich))
    fail(rich, claim(rich))
    succeed(rich, claim(rich))
    assert sum(purse(rich)) == 10_000 - sum(
        round(job.cost * 1000) for job in rich.jobs.list_jobs(_of_ann()) if job.status.value == "succeeded"
    )
    assert rich.ledger.faults() == []


def test_a_job_deleted_before_its_end_leaves_no_hold(rich: Stores):
    job = buy_one(rich)
    rich.jobs.delete_jobs([job.id])
    assert purse(rich) == (10_000, 0)
    assert rich.ledger.faults() == []


def test_all_jobs_of_a_request_are_paid_for_or_none_is_accepted(rich: Stores):
    with pytest.raises(CreditsInsufficient) as refusal:
        buy(rich, *(draft(cost=4.0) for _ in range(3)))
    assert (refusal.value.needed, refusal.value.available) == (12.0, 10.0)
    assert rich.jobs.list_jobs(_of_ann()) == []
    assert purse(rich) == (10_000, 0)


def test_an_owner_without_a_balance_can_pay_nothing(store: Stores):
    with pytest.raises(CreditsInsufficient):
        buy_one(store, owner="bob")
    assert buy_one(store, 0.0, owner="bob").cost == 0


def test_the_key_of_a_refused_request_may_be_sent_again(rich: Stores):
    with pytest.raises(CreditsInsufficient):
        buy_one(rich, 11.0, idempotency_key="k", digest="d")
    grant(rich, "ann", 5_000)
    assert buy_one(rich, 11.0, idempotency_key="k", digest="d")
    assert purse(rich) == (4_000, 11_000)


def test_a_repeated_request_is_held_for_once(rich: Stores):
    for _ in range(2):
        buy_one(rich, 4.0, idempotency_key="k", digest="d")
    assert purse(rich) == (6_000, 4_000)


def test_a_job_that_nobody_charges_holds_nothing(rich: Stores):
    add(rich, cost=5.0)
    succeed(rich, claim(rich))
    assert purse(rich) == (10_000, 0)
    assert kinds(rich) == ["grant"]


def test_an_exempt_owner_pays_nothing_and_the_flag_is_recorded(rich: Stores):
    rich.ledger.post(Posting((Transfer("ann", EntryKind.EXEMPT),), ADMIN, "a", T0))
    buy_one(rich, 100.0)
    succeed(rich, claim(rich))
    rich.ledger.post(Posting((Transfer("ann", EntryKind.BILLED),), ADMIN, "b", T0))
    with pytest.raises(CreditsInsufficient):
        buy_one(rich, 100.0)
    assert purse(rich) == (10_000, 0)
    assert kinds(rich) == ["grant", "exempt", "billed"]


def test_a_grant_with_the_same_key_is_one_grant(store: Stores):
    add_owner(store, "ann")
    for _ in range(2):
        grant(store, "ann", 5_000, key="k")
    assert purse(store) == (5_000, 0)
    with pytest.raises(Conflict):
        grant(store, "ann", 6_000, key="k")
    with pytest.raises(Conflict):
        grant(store, "ann", 5_000, key="k", note="another")


def test_a_transfer_moves_between_owners_or_not_at_all(rich: Stores):
    add_owner(rich, "ann:zoe")
    transfer(rich, "ann", "ann:zoe", 4_000, key="k")
    transfer(rich, "ann", "ann:zoe", 4_000, key="k")
    assert (purse(rich), purse(rich, "ann:zoe")) == ((6_000, 0), (4_000, 0))
    with pytest.raises(CreditsInsufficient):
        transfer(rich, "ann:zoe", "ann", 4_001)
    with pytest.raises(NotFound):
        transfer(rich, "ann", "nobody", 1_000)
    assert rich.ledger.faults() == []


def test_whoever_is_not_there_gets_nothing(rich: Stores):
    with pytest.raises(NotFound):
        grant(rich, "nobody", 1_000)


def test_a_correction_takes_no_more_than_is_there(rich: Stores):
    grant(rich, "ann", -10_000)
    with pytest.raises(CreditsInsufficient):
        grant(rich, "ann", -1)
    assert purse(rich) == (0, 0)


def test_a_statement_numbers_its_entries_and_goes_on_where_it_stopped(rich: Stores):
    buy(rich, *(draft(cost=1.0) for _ in range(3)))
    page = rich.ledger.statement(StatementPage("ann", limit=2))
    rest = rich.ledger.statement(StatementPage("ann", before=page[-1].number))
    assert [entry.number for entry in (*page, *rest)] == [4, 3, 2, 1]
    assert [entry.balance for entry in (*page, *rest)] == [7_000, 8_000, 9_000, 10_000]
    assert rich.ledger.statement(StatementPage("ann", since=T0 + 1)) == []
    assert rich.ledger.statement(StatementPage("bob")) == []


def test_a_fault_in_the_books_is_found(rich: Stores):
    job = buy_one(rich)
    rich.database.write(_unhold, job.id)
    assert any("its open jobs hold 0" in fault for fault in rich.ledger.faults())


def _unhold(tx, requests):
    import sqlalchemy as sa

    for job_id in requests:
        tx.conn.execute(sa.text("UPDATE jobs SET held = NULL WHERE id = :id"), {"id": job_id})
    return [None] * len(requests)


def _of_ann() -> Filter:
    return Filter("ann")


@pytest.mark.parametrize("is_running", [False, True])
def test_an_erased_job_gives_back_what_it_held(rich: Stores, is_running: bool):
    job_id = buy_one(rich, 2.5).id
    if is_running:
        claim(rich)
    rich.jobs.erase("ann", [job_id])
    assert purse(rich) == (10_000, 0)
    assert rich.ledger.faults() == []


def test_submissions_of_one_moment_are_refused_one_by_one(rich: Stores):
    futures = [
        rich.jobs.begin_submit(submission(draft(cost=3.0), owner="ann", is_charged=True)) for _ in range(5)
    ]
    refused = [future.exception(10) for future in futures]
    assert [error is None for error in refused].count(True) == 3
    assert purse(rich) == (1_000, 9_000)
