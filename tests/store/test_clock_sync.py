"""The database's clock is the one of all machines."""

import pytest

from imagemill.db.clock_sync import ClockSync
from imagemill.db.database import Database
from imagemill.db.engine import open_engines
from imagemill.domain import clock
from imagemill.domain.clock import SECOND, SteadyClock


@pytest.fixture
def corrections(monkeypatch: pytest.MonkeyPatch) -> SteadyClock:
    """The process's clock, for the length of a test."""
    steady = SteadyClock(lambda: 0, lambda: 0)
    monkeypatch.setattr(clock, "_clock", steady)
    return steady


@pytest.mark.parametrize("ahead_s", [-3600.0, -3.0, 3.0, 3600.0])
def test_a_machine_whose_clock_differs_takes_that_of_the_database(
    kept_postgres_url: str, monkeypatch: pytest.MonkeyPatch, corrections: SteadyClock, ahead_s: float
):
    import time

    real = time.time
    monkeypatch.setattr("imagemill.db.engine.time.time", lambda: real() + ahead_s)
    database = Database(open_engines(kept_postgres_url))
    sync = ClockSync(database)
    sync.start()
    first = corrections.correction
    sync.synchronise()
    sync.close()
    database.close()
    assert abs(first + ahead_s * SECOND) < SECOND
    assert corrections.correction == first


def test_an_equal_clock_and_sqlite_s_are_not_corrected(database_url: str, corrections: SteadyClock):
    database = Database(open_engines(database_url))
    sync = ClockSync(database)
    sync.start()
    sync.close()
    database.close()
    assert abs(corrections.correction) < SECOND // 2
