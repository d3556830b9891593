"""No list, count or round of the sweeper reads all rows: how SQLite reads each statement, without timing."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.jobs.store.artifacts import ArtifactFilter
from imagemill.jobs.store.counts import Dimension
from imagemill.jobs.store.finish import Expire, ReclaimLeases, ReleaseRetries
from imagemill.jobs.store.queries import Filter
from tests import databases
from tests.store.build import T0, add, opened


@pytest.fixture
def plans(tmp_path: Any) -> Iterator[tuple[Stores, list[str]]]:
    """A store, and the steps of the plans of all statements that it reads with."""
    store = build_stores(opened(databases.sqlite_database(tmp_path / "plans.db")))
    steps: list[str] = []

    def explain(conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        del cursor
        driver = conn.connection.driver_connection
        steps.extend(str(row[-1]) for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    for engine in (store.database.engines.reader, store.database.engines.writer):
        event.listen(engine, "before_cursor_execute", explain)
    yield store, steps
    store.close()


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


def test_the_sweeper_reads_open_jobs_from_their_indexes(plans: tuple[Stores, list[str]]) -> None:
    store, steps = plans
    store.jobs.reclaim_leases(ReclaimLeases(T0, dead_workers=("gone",)))
    store.jobs.expire(Expire(T0))
    store.jobs.release_retries(ReleaseRetries(T0))
    store.jobs.count_ended(T0)
    store.jobs.workers_with_leases()
    store.jobs.fill_artifact_owners()
    store.jobs.finished_before(T0, 100)
    assert {step for step in steps if "jobs" in step} <= {
        "SCAN jobs USING INDEX ix_jobs_running",
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
