"""Numbers of jobs by group: exact before and after the leader has added up those that ended."""

from typing import Any

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores
from imagemill.db import tables
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store import counts, listing
from imagemill.jobs.store.counts import Dimension
from imagemill.jobs.store.queries import Filter
from tests.store.build import MINUTE, T0, add, cancel, claim, fail, running, succeed

AIR = "urn:air:flux1:checkpoint:civitai:618692@691639"


def numbers(store: Stores, by: str, owner: str | None = "ann", **wanted: Any) -> dict[str, int]:
    found = store.jobs.count_groups(Filter(owner, **wanted), Dimension(by))
    assert found.complete
    return {group.key: group.count for group in found.groups}


def count_all_ended(store: Stores, at: int = T0 + 2 * MINUTE) -> int:
    total = 0
    while added := store.jobs.count_ended(at):
        total += added
    return total


@pytest.fixture
def filled(store: Stores) -> Stores:
    """Of ann: two successes, a failure, a canceled one, a running one and a queued one; of bob a failure."""
    succeed(store, running(store, model=AIR))
    succeed(store, running(store, recipe="comfy"), T0 + 1)
    fail(store, running(store, model=AIR), T0 + 2, FailureCode.OUT_OF_MEMORY)
    fail(store, running(store, owner="bob"), T0 + 3, FailureCode.TIMEOUT)
    cancel(store, add(store), T0 + 4)
    running(store)
    add(store, model=AIR)
    return store


@pytest.fixture(params=["as they are", "added up", "some added up"])
def counted(request: pytest.FixtureRequest, filled: Stores) -> Stores:
    if request.param == "added up":
        assert count_all_ended(filled) == 5
    elif request.param == "some added up":
        assert filled.jobs.count_ended(T0 + MINUTE + 2) == 3
    return filled


def test_jobs_are_counted_by_each_group(counted: Stores):
    assert numbers(counted, "status") == {
        "succeeded": 2, "failed": 1, "canceled": 1, "running": 1, "queued": 1,
    }  # fmt: skip
    assert numbers(counted, "owner", None) == {"ann": 6, "bob": 1}
    assert numbers(counted, "recipe") == {"textToImage": 5, "comfy": 1}
    assert numbers(counted, "model") == {AIR: 3, "": 3}
    assert numbers(counted, "node") == {"node-1": 4, "": 2}
    assert numbers(counted, "error", None) == {"out_of_memory": 1, "timeout": 1}


def test_filters_leave_what_a_list_would(counted: Stores):
    for wanted in (
        {"statuses": frozenset({JobStatus.SUCCEEDED, JobStatus.QUEUED})},
        {"recipes": ("comfy",)},
        {"nodes": ("node-1",)},
        {"models": ("flux1*",)},
        {"errors": ("timeout", "out_of_memory")},
        {"text": "lighthouse", "statuses": frozenset({JobStatus.FAILED})},
        {"created_from": T0 + 1},
    ):
        for owner in ("ann", "bob", None):
            listed = counted.jobs.list_jobs(Filter(owner, **wanted))
            count = counted.jobs.count_matching(Filter(owner, **wanted))
            assert (count.number, count.complete) == (len(listed), True), (owner, wanted)


def test_failures_are_counted_by_code_and_model_with_their_times(counted: Stores):
    (group,) = counted.jobs.count_groups(Filter("ann"), Dimension.ERROR).groups
    assert (group.key, group.model, group.first_at, group.last_at) == ("out_of_memory", AIR, T0 + 2, T0 + 2)
    assert group.last_job is not None
    assert counted.jobs.job(group.last_job).error is not None


def test_deleted_jobs_are_subtracted(counted: Stores):
    ended = [job.id for job in counted.jobs.list_jobs(Filter(None)) if job.status.is_terminal]
    counted.jobs.delete_jobs(ended[:2])
    before = numbers(counted, "status", None)
    count_all_ended(counted)
    assert numbers(counted, "status", None) == before
    counted.jobs.delete_jobs(ended)
    assert numbers(counted, "status", None) == {"running": 1, "queued": 1}


def test_jobs_that_end_at_the_same_instant_are_added_together(store: Stores):
    for _ in range(5):
        cancel(store, add(store))
    assert store.database.write(counts.count_ended, counts.CountEnded(T0 + 2 * MINUTE, limit=2)) == 5
    assert numbers(store, "status") == {"canceled": 5}


def test_the_codes_of_failures_that_older_code_wrote_are_filled_in(filled: Stores):
    def forget(tx: Any, requests: Any) -> list[None]:
        tx.conn.execute(sa.update(tables.jobs).values(error_code=None))
        return [None] * len(requests)

    filled.database.write(forget, None)
    count_all_ended(filled)
    assert numbers(filled, "error", None) == {"out_of_memory": 1, "timeout": 1}
    assert len(filled.jobs.list_jobs(Filter(None, errors=("timeout",)))) == 1


def test_what_is_too_much_to_count_is_said(filled: Stores, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listing, "READ_ROWS", 1)
    searched = filled.jobs.count_groups(Filter("ann", text="lighthouse"), Dimension.STATUS)
    assert not searched.complete
    monkeypatch.setattr(counts, "_MOST_RECENT", 1)
    monkeypatch.setattr(counts, "_MOST_IDLE", 0)
    assert not filled.jobs.count_groups(Filter("ann"), Dimension.STATUS).complete
    count_all_ended(filled)
    assert numbers(filled, "status")["succeeded"] == 2
    assert not filled.jobs.count_groups(Filter("ann"), Dimension.RECIPE).complete
    claim(filled)
    assert numbers(filled, "recipe") == {"textToImage": 5, "comfy": 1}
