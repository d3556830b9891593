"""No list, count or round of the sweeper reads all rows: how SQLite reads each statement, without timing."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.domain.pauses import Pause, PauseScope
from imagemill.jobs.store.admission import Submission
from imagemill.jobs.store.artifacts import ArtifactFilter
from imagemill.jobs.store.batches import BatchRecord
from imagemill.jobs.store.counts import Dimension
from imagemill.jobs.store.finish import Expire, ReclaimLeases, ReleaseRetries
from imagemill.jobs.store.queries import Filter
from imagemill.products.characters.store import CharacterStore
from tests import databases
from tests.store.build import T0, add, draft, opened

_ANALYZED = (
    ("submissions", "ix_submissions_created_at", "1099910 1"),
    ("submissions", "sqlite_autoindex_submissions_1", "1099910 5946 1"),
    ("jobs", "ix_jobs_unsuccessful", "722461 361231 1 1"),
    ("jobs", "ix_jobs_parked", "10113 1"),
    ("jobs", "ix_jobs_owner", "11002805 57910 1"),
    ("jobs", "ix_jobs_open", "1003141 5336 1"),
    ("jobs", "ix_jobs_finished", "9999664 1"),
    ("jobs", "ix_jobs_failed", "531871 31287 1 1"),
    ("jobs", "ix_jobs_expiring", "1003141 1 1 1 1 1"),
    ("jobs", "ix_jobs_claimable", "993028 82753 1 1"),
    ("jobs", "ix_jobs_batch", "11002805 57910 1"),
    ("jobs", "sqlite_autoindex_jobs_1", "11002805 1"),
    ("artifacts", "ix_artifacts_rating", "175039 957 192 1 1"),
    ("artifacts", "ix_artifacts_rated", "175039 35008 1 1"),
    ("artifacts", "ix_artifacts_owner", "9277203 49878 1 1"),
    ("artifacts", "sqlite_autoindex_artifacts_2", "9277203 1"),
    ("artifacts", "sqlite_autoindex_artifacts_1", "9277203 1 1"),
    ("events", "events", "31002972 3 1"),
)
"""What ANALYZE writes with ten million finished and one million queued jobs."""


@pytest.fixture
def plans(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[Stores, list[str]]]:
    """A store, and the steps of the plans of all statements that it runs; with statistics of SQLite where
    the parameter says so."""
    url = databases.sqlite_database(tmp_path / "plans.db")
    path = url.removeprefix("sqlite:///")
    if getattr(request, "param", False):
        with sqlite3.connect(path) as driver:
            driver.execute("ANALYZE")
            driver.execute("DELETE FROM sqlite_stat1")
            driver.executemany("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", _ANALYZED)
        driver.close()
    explaining = sqlite3.connect(path, check_same_thread=False)
    steps: list[str] = []

    def explain(statement: str) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
            steps.extend(str(row[-1]) for row in explaining.execute(f"EXPLAIN QUERY PLAN {statement}"))

    engines = opened(url)
    for engine in (engines.reader, engines.writer):
        event.listen(engine, "connect", lambda driver, _: driver.set_trace_callback(explain))
    store = build_stores(engines)
    yield store, steps
    store.close()
    explaining.close()


@pytest.mark.parametrize("plans", [False, True], ids=["without", "with statistics"], indirect=True)
@pytest.mark.parametrize("owner", ["ann", None])
@pytest.mark.parametrize("by", list(Dimension))
def test_counts_are_read_from_indexes(
    plans: tuple[Stores, list[str]], by: Dimension, owner: str | None
) -> None:
    store, steps = plans
    store.jobs.count_groups(Filter(owner), by)
    assert "SCAN jobs" not in steps
    assert not [step for step in steps if "ix_jobs_owner" in step]
    if by is not Dimension.ERROR:
        assert "SCAN jobs USING COVERING INDEX ix_jobs_expiring" in steps


@pytest.mark.parametrize("owner", ["ann", None])
@pytest.mark.parametrize(
    "wanted", [{}, {"text": "fox"}, {"recipes": ("comfy",)}, {"nodes": ("attic",)}, {"ids": ("one",)}]
)
def test_artifacts_are_read_in_the_order_of_an_index(
    plans: tuple[Stores, list[str]], owner: str | None, wanted: dict[str, Any]
) -> None:
    store, steps = plans
    store.jobs.search_artifacts(ArtifactFilter(Filter(owner, **wanted)))
    assert "SCAN artifacts" not in steps
    assert wanted.get("ids") or not [step for step in steps if "TEMP B-TREE" in step]


@pytest.mark.parametrize("owner", ["ann", None])
@pytest.mark.parametrize("wanted", [{"rating": 3}, {"sort": "rating"}])
def test_rated_artifacts_are_read_from_theirs(
    plans: tuple[Stores, list[str]], owner: str | None, wanted: dict[str, Any]
) -> None:
    store, steps = plans
    store.jobs.search_artifacts(ArtifactFilter(Filter(owner), **wanted))
    index = "ix_artifacts_rating" if owner else "ix_artifacts_rated"
    assert any("SEARCH artifacts" in step and index in step for step in steps)
    if "sort" in wanted:
        assert not [step for step in steps if "TEMP B-TREE" in step]


@pytest.mark.parametrize("plans", [False, True], ids=["without", "with statistics"], indirect=True)
def test_the_sweeper_reads_open_jobs_from_their_indexes(plans: tuple[Stores, list[str]]) -> None:
    store, steps = plans
    store.jobs.reclaim_leases(ReclaimLeases(T0, dead_workers=("gone",)))
    store.jobs.expire(Expire(T0))
    store.jobs.release_retries(ReleaseRetries(T0))
    store.jobs.count_ended(T0)
    store.jobs.due(T0)
    store.jobs.finished_before(T0, 100)
    assert {step for step in steps if "jobs" in step} <= {
        "SCAN jobs USING INDEX ix_jobs_running",
        "SEARCH jobs USING INDEX ix_jobs_running",
        "SEARCH jobs USING COVERING INDEX ix_jobs_expiring",
        "SEARCH jobs USING INDEX ix_jobs_expiring (expires_at<?)",
        "SEARCH jobs USING COVERING INDEX ix_jobs_parked (run_after>? AND run_after<?)",
        "SEARCH jobs USING COVERING INDEX ix_jobs_parked (run_after>?)",
        "SEARCH jobs USING COVERING INDEX ix_jobs_finished (finished_at>? AND finished_at<?)",
        "SEARCH jobs USING INDEX ix_jobs_finished (finished_at>? AND finished_at<?)",
        "SEARCH jobs USING INDEX ix_jobs_finished (finished_at<?)",
    }


def test_open_jobs_are_measured_in_their_indexes(plans: tuple[Stores, list[str]]) -> None:
    store, steps = plans
    for _ in range(3):
        add(store)
    steps.clear()
    store.jobs.depths()
    store.jobs.measure(T0)
    store.jobs.workload(T0)
    found = {step for step in steps if "jobs" in step}
    assert found
    assert not [step for step in found if "autoindex" in step or step == "SCAN jobs"]


def _submit_again(store: Stores) -> None:
    for id_ in ("one", "two"):
        store.jobs.submit(Submission(id_, "ann", (draft(),), T0, idempotency_key="key", digest="0"))


def _delete_batch(store: Stores) -> None:
    record = BatchRecord("one", "ann", "native", T0, {}, {}, (), ())
    store.jobs.submit(Submission("one", "ann", (draft(),), T0, record=record))
    store.batches.delete("one", "ann", "native", T0)


def _pause(store: Stores) -> None:
    store.pauses.add(Pause("one", PauseScope.OWNER, "ann", "", "admin", T0))
    store.pauses.settle(T0)


_OF_ONE_OWNER: dict[str, Callable[[Stores], object]] = {
    "a batch": lambda store: store.jobs.batch("ann", "one"),
    "some batches": lambda store: store.jobs.in_batches("ann", ["one", "two"]),
    "a repeated request": _submit_again,
    "its relations": lambda store: store.jobs.relations(add(store), ["ann"]),
    "a batch that is deleted": _delete_batch,
    "its open jobs": lambda store: store.quotas.open_jobs("ann"),
    "its pause": _pause,
    "its open jobs by status": lambda store: CharacterStore(store.database).open_counts("ann"),
    "its recent jobs": lambda store: CharacterStore(store.database).jobs("ann", "native", T0),
}
"""Reads and writes of some jobs of an owner who may have millions."""


@pytest.mark.parametrize("plans", [False, True], ids=["without", "with statistics"], indirect=True)
@pytest.mark.parametrize("act", _OF_ONE_OWNER.values(), ids=_OF_ONE_OWNER)
def test_not_all_jobs_of_an_owner_are_read_for_some(
    plans: tuple[Stores, list[str]], act: Callable[[Stores], object]
) -> None:
    store, steps = plans
    act(store)
    assert steps
    assert not [
        step
        for step in steps
        if step.endswith(("ix_jobs_owner (owner=?)", "submissions_1 (owner=?)"))
        or step.startswith(("SCAN jobs USING INDEX sqlite_autoindex", "SCAN submissions"))
        or step == "SCAN jobs"
    ]
