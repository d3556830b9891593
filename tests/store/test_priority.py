"""A waiting job moves within its lane by the difference of its priorities."""

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.scheduling import priority_offset_s
from imagemill.jobs.store.priority import Reprioritize
from tests.store.build import add, claim, running


def test_a_job_made_urgent_is_next(store: Stores):
    first, second = add(store), add(store)
    store.jobs.reprioritize(Reprioritize(second.id, "ann", -10))
    moved = store.jobs.job(second.id)
    assert (moved.priority, moved.tag) == (-10, second.tag + priority_offset_s(-10))
    assert [claim(store).id, claim(store).id] == [second.id, first.id]


def test_there_and_back_is_the_same_place(store: Stores):
    job = add(store, priority=5)
    for priority in (-100, 5):
        store.jobs.reprioritize(Reprioritize(job.id, "ann", priority))
    assert store.jobs.job(job.id) == job


def test_a_running_job_and_that_of_another_owner_are_refused(store: Stores):
    taken, waiting = running(store), add(store)
    with pytest.raises(Conflict, match="is running"):
        store.jobs.reprioritize(Reprioritize(taken.id, "ann", 0))
    with pytest.raises(NotFound):
        store.jobs.reprioritize(Reprioritize(waiting.id, "bob", 0))
