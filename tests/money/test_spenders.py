"""Many who together want more than there is: as many are accepted as can be paid."""

from collections import Counter
from contextlib import ExitStack, closing

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db.engine import open_engines
from imagemill.domain.errors import CreditsInsufficient
from tests.money.build import add_owner, buy_one, grant, purse, transfer
from tests.store.build import cancel, claim_all, fail, in_threads, succeed

SPENDERS = 64
PAYABLE = 23


def stores(database_url: str, several: ExitStack, number: int = 4) -> list[Stores]:
    """As many processes have."""
    return [
        several.enter_context(closing(build_stores(open_engines(database_url, fsync=False))))
        for _ in range(number)
    ]


def test_64_spenders_get_exactly_what_can_be_paid(database_url: str):
    with ExitStack() as several:
        open_ = stores(database_url, several)
        add_owner(open_[0], "ann", PAYABLE)
        answers = in_threads(
            [lambda store=open_[number % 4]: buy_one(store, 1.0) for number in range(SPENDERS)]
        )
        refused = [answer for answer in answers if isinstance(answer, CreditsInsufficient)]
        assert len(answers) - len(refused) == PAYABLE
        assert len(refused) == SPENDERS - PAYABLE
        assert purse(open_[0]) == (0, PAYABLE * 1000)
        assert open_[0].ledger.faults() == []


def test_one_moment_of_submits_ends_and_transfers_balances(database_url: str):
    owners = [f"owner-{number}" for number in range(4)]
    with ExitStack() as several:
        open_ = stores(database_url, several)
        for owner in owners:
            add_owner(open_[0], owner, 10)
        for owner in owners:
            for _ in range(6):
                buy_one(open_[0], 1.0, owner=owner)
        claims = claim_all(open_[0], node="n")
        work = []
        for number, each in enumerate(claims[:12]):
            store = open_[number % 4]
            end = succeed if number % 2 else fail
            work.append(lambda store=store, each=each, end=end: end(store, each))
        for number, each in enumerate(claims[12:]):
            store = open_[number % 4]
            work.append(lambda store=store, each=each: cancel(store, each, owner=each.job.owner))
        for number in range(24):
            store, owner = open_[number % 4], owners[number % 4]
            other = owners[(number + 1) % 4]
            work.append(lambda store=store, owner=owner: buy_one(store, 1.0, owner=owner))
            work.append(lambda store=store, a=owner, b=other: transfer(store, a, b, 500))
            work.append(lambda store=store, owner=owner: grant(store, owner, 100))
        answers = in_threads(work)
        kinds = Counter(type(answer).__name__ for answer in answers if isinstance(answer, Exception))
        assert set(kinds) <= {"CreditsInsufficient"}, kinds
        assert open_[0].ledger.faults() == []
        succeeded = 6
        total = sum(sum(purse(open_[0], owner)) for owner in owners)
        assert total == 4 * 10_000 + 24 * 100 - succeeded * 1000
