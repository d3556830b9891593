"""Attempts to guess are counted once for all processes, on both databases."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from imagemill.accounts.throttle import AttemptCounter, AttemptLimiter, CountAttempt
from imagemill.bootstrap.application import Roles
from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.config import Settings
from imagemill.db import migrate, tables
from imagemill.db.engine import normalise, open_engines
from imagemill.domain.clock import SECOND
from imagemill.domain.errors import TooManyAttempts
from imagemill.settings import AuthSettings
from tests.access.support import ADMIN_KEY, QUICK, login, sign_up
from tests.conftest import running_server
from tests.store.build import T0, in_threads
from tests.tuning import tuned

WINDOW = 60 * SECOND


@pytest.fixture
def pair(database_url: str) -> Iterator[tuple[Stores, Stores]]:
    """Two processes' stores on one database."""
    migrate.upgrade(database_url)
    with (
        closing(build_stores(open_engines(database_url, fsync=False))) as one,
        closing(build_stores(open_engines(database_url, fsync=False))) as two,
    ):
        yield one, two


def tried(store: Stores, limits: dict[str, int], at: int = T0) -> set[str]:
    """The keys that have had their number."""
    return set(store.attempts.count(CountAttempt(limits, at, at + WINDOW)))


def rows(database_url: str) -> list[Any]:
    engine = sa.create_engine(normalise(database_url))
    with engine.connect() as conn:
        found = conn.execute(sa.select(tables.counters).where(tables.counters.c.kind == "tries")).all()
    engine.dispose()
    return list(found)


def test_a_try_counts_for_all_its_keys_or_for_none(store: Stores) -> None:
    for _ in range(3):
        assert not tried(store, {"a": 3})
    assert tried(store, {"a": 3, "b": 3}) == {"a"}
    for _ in range(3):
        assert not tried(store, {"b": 3})
    store.attempts.reset(["a"])
    assert not tried(store, {"a": 3})
    assert tried(store, {"a": 3, "b": 3}) == {"a", "b"}


def test_a_window_begins_with_the_first_try_and_ends(store: Stores) -> None:
    assert not tried(store, {"a": 1})
    assert store.attempts.count(CountAttempt({"a": 1}, T0 + WINDOW - 1, T0 + 2 * WINDOW)) == {
        "a": T0 + WINDOW
    }
    assert not tried(store, {"a": 1}, T0 + WINDOW)
    assert tried(store, {"a": 1}, T0 + 2 * WINDOW - 1) == {"a"}


def test_however_many_processes_ask_at_once_no_more_get_through(pair: tuple[Stores, Stores]) -> None:
    def ask(number: int) -> int:
        # Keys that meet in any order, as addresses and accounts do.
        keys = {f"account {number % 3}": 10, f"address {number % 5}": 100}
        return sum(not tried(pair[number % 2], keys) for _ in range(10))

    counted = in_threads([partial(ask, number) for number in range(12)])
    assert sum(each for each in counted if isinstance(each, int)) == 30


def test_processes_share_what_they_count_and_remember_refusals(pair: tuple[Stores, Stores]) -> None:
    one, two = (AttemptLimiter(store.attempts, window_s=60) for store in pair)
    for attempts in (one, two, one):
        attempts.count({"a": 3})
    for attempts in (one, two, two):
        with pytest.raises(TooManyAttempts) as caught:
            attempts.count({"a": 3, "b": 3})
        assert 55 <= caught.value.after_s <= 60


def test_a_flood_of_addresses_does_not_fill_the_table(database_url: str, store: Stores) -> None:
    tries = AttemptCounter(store.database, most=20)
    for number in range(100):
        tries.count(CountAttempt({f"address {number}": 5}, T0 + number, T0 + number + WINDOW))
    assert len(rows(database_url)) <= 40
    assert not tries.count(CountAttempt({"address 0": 1}, T0 + 100, T0 + WINDOW + 100)), (
        "the first is forgotten"
    )
    assert tries.count(CountAttempt({"address 99": 1}, T0 + 100, T0 + WINDOW + 100)), "the last is not"
    store.quotas.prune(T0 + 3 * WINDOW)
    assert rows(database_url) == []


def test_wrong_passwords_are_counted_over_api_processes_by_digest(database_url: str, tmp_path: Path) -> None:
    auth = tuned(AuthSettings, admin_key=ADMIN_KEY, sign_up=True, login_tries=3, **QUICK)
    settings = Settings(_env_file=None, data_dir=tmp_path / "data", database_url=database_url, auth=auth)
    api = Roles(api=True, scheduler=False, worker=False)
    with running_server(settings, api) as one, running_server(settings, api) as two:
        sign_up(one)
        assert [login(server).status_code for server in (one, two, one, two, two)] == [200] * 5
        tries = [login(server, password="wrong password").status_code for server in (one, two, one, two)]
        assert tries == [401, 401, 401, 429]
        assert login(two).status_code == 429
        assert login(one, "bob@example.org", "wrong password").status_code == 401
    kept = " ".join(map(str, rows(database_url)))
    assert "ann" not in kept
    assert "127.0.0.1" not in kept


def test_a_try_is_one_cheap_write(store: Stores) -> None:
    keys = {"login ann 192.0.2.1": 1000, "login 192.0.2.1": 1000, "login ann": 1000}
    spans: list[float] = []
    for _ in range(50):
        start = time.perf_counter()
        assert not tried(store, keys)
        spans.append(time.perf_counter() - start)
    assert min(spans) < 0.02
