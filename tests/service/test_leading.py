"""Of any number of schedulers one leads."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.jobs.leadership import LeaderElection, ProcessLock
from tests.service.build import wait_until


class Scheduler:
    """On a machine of its own, unless the folder is shared."""

    def __init__(self, store: Stores, folder: Path, lease_s: float = 60.0) -> None:
        self.process_lock = ProcessLock(folder)
        self.leadership = LeaderElection(store.leases, self.process_lock, lease_s=lease_s)

    @property
    def leads(self) -> bool:
        return self.leadership.leads()


@pytest.fixture
def first(store: Stores, tmp_path: Path) -> Iterator[Scheduler]:
    first = Scheduler(store, tmp_path / "one", lease_s=0.3)
    assert first.leads
    yield first
    first.process_lock.close()


def test_only_one_leads(first: Scheduler, store: Stores, tmp_path: Path):
    second = Scheduler(store, tmp_path / "two")
    assert not second.leads
    assert first.leads


def test_another_one_leads_at_once_when_the_first_resigns(first: Scheduler, store: Stores, tmp_path: Path):
    first.leadership.resign()
    assert Scheduler(store, tmp_path / "two").leads
    assert not first.leads


def test_another_one_leads_when_the_first_is_silent_for_too_long(store: Stores, tmp_path: Path):
    silent = Scheduler(store, tmp_path / "one", lease_s=0.2)
    assert silent.leads
    second = Scheduler(store, tmp_path / "two", lease_s=0.2)
    wait_until(lambda: second.leads)
    assert not silent.leads


def test_a_leader_that_died_on_this_machine_is_followed_at_once(store: Stores, tmp_path: Path):
    dead = Scheduler(store, tmp_path / "one")
    assert dead.leads
    dead.process_lock.close()
    assert Scheduler(store, tmp_path / "one").leads
