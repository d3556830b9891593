"""Jobs of a paused owner or recipe are parked, wherever they come from, and continue when it ends."""

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.domain.clock import SECOND
from imagemill.domain.errors import Conflict, NotFound
from imagemill.domain.jobs import JobStatus
from imagemill.domain.pauses import Pause, PauseScope, is_parked
from imagemill.jobs.pauses import Pauses
from imagemill.jobs.store.finish import ReleaseRetries
from tests.store.build import (
    LIFE,
    T0,
    add,
    claim,
    claim_all,
    draft,
    expire,
    fresh_id,
    retry,
    running,
    status,
    submit,
    succeed,
)


def pause(store: Stores, scope: PauseScope, name: str = "", reason: str = "") -> Pause:
    made = Pause(fresh_id(), scope, name, reason, "anna", T0)
    store.pauses.add(made)
    return made


def test_jobs_of_a_paused_owner_wait_and_those_of_others_go_on(store: Stores):
    mine, theirs = add(store, owner="ann"), add(store, owner="bob")
    there = pause(store, PauseScope.OWNER, "ann")
    late = add(store, owner="ann")
    assert [each.id for each in claim_all(store)] == [theirs.id]
    store.pauses.remove(there.id, T0)
    assert {each.id for each in claim_all(store)} == {mine.id, late.id}


def test_jobs_of_a_paused_recipe_wait(store: Stores):
    picture = add(store, recipe="textToImage")
    pause(store, PauseScope.RECIPE, "comfy")
    add(store, recipe="comfy")
    assert [each.id for each in claim_all(store)] == [picture.id]


def test_a_retry_is_parked_and_keeps_its_time(store: Stores):
    tried = running(store)
    there = pause(store, PauseScope.OWNER, "ann")
    retry(store, tried, run_after=T0 + 60 * SECOND)
    store.jobs.release_retries(ReleaseRetries(T0 + 90 * SECOND))
    assert is_parked(store.jobs.job(tried.id).run_after)
    store.pauses.remove(there.id, T0 + 10 * SECOND)
    assert store.jobs.job(tried.id).run_after == T0 + 60 * SECOND


def test_a_job_whose_dependency_ends_during_the_pause_is_parked(store: Stores):
    first = draft()
    second = draft(depends_on=(first.id,))
    submit(store, first, second)
    taken = claim(store)
    there = pause(store, PauseScope.OWNER, "ann")
    succeed(store, taken)
    assert claim_all(store) == []
    store.pauses.remove(there.id, T0)
    assert claim(store).id == second.id


def test_a_job_is_parked_while_any_pause_concerns_it(store: Stores):
    job = add(store)
    first, second = pause(store, PauseScope.OWNER, "ann"), pause(store, PauseScope.RECIPE, "textToImage")
    store.pauses.remove(first.id, T0)
    assert claim_all(store) == []
    store.pauses.remove(second.id, T0)
    assert claim(store).id == job.id


def test_parked_jobs_expire(store: Stores):
    job = add(store)
    pause(store, PauseScope.OWNER, "ann")
    expire(store, T0 + LIFE)
    assert status(store, job) is JobStatus.EXPIRED


def test_what_older_code_puts_back_is_parked_by_the_leader(store: Stores):
    pause(store, PauseScope.OWNER, "ann")
    job = add(store)

    def by_older_code(tx: Tx, requests: list[str]) -> list[None]:
        tx.conn.execute(tables.jobs.update().where(tables.jobs.c.id.in_(requests)).values(run_after=None))
        return [None] * len(requests)

    store.database.write(by_older_code, job.id)
    assert store.pauses.settle(T0) == 1
    assert claim_all(store) == []


def test_many_jobs_are_parked_and_released_in_chunks(store: Stores):
    for _ in range(3):
        submit(store, *(draft() for _ in range(250)))
    there = pause(store, PauseScope.OWNER, "ann")
    while store.pauses.settle(T0, limit=100):
        pass
    assert claim_all(store) == []
    store.pauses.remove(there.id, T0)
    while store.pauses.settle(T0, limit=100):
        pass
    assert store.jobs.heads()[0].job.tag == 0
    assert store.pauses.settle(T0) == 0


def test_a_thing_is_paused_once_and_the_error_says_by_whom(store: Stores):
    pause(store, PauseScope.NODE, "attic", "a new fan")
    with pytest.raises(Conflict, match="the node attic is paused by anna: a new fan already"):
        pause(store, PauseScope.NODE, "attic")
    with pytest.raises(NotFound):
        store.pauses.remove("unknown", T0)


def test_a_process_knows_which_nodes_are_stopped(store: Stores):
    known = Pauses(store.pauses)
    there = pause(store, PauseScope.NODE, "attic")
    known.refresh()
    assert (known.stops("attic"), known.stops("cellar")) == (True, False)
    known.remove(there.id)
    assert not known.stops("attic")
    everything = Pause(fresh_id(), PauseScope.ALL, "", "", "anna", T0)
    known.add(everything)
    assert known.stops("cellar")
    assert known.of_job("ann", "comfy") == everything
