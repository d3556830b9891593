"""Jobs by filter: what each field leaves, and how a search goes on that reads a bounded number of rows."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores
from imagemill.db.database import WriteMode
from imagemill.domain.air import Resource, parse
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store import listing
from imagemill.jobs.store.queries import Filter
from tests.store.build import T0, add, cancel, claim, draft, fail, retry, running, submit, succeed

AIR = "urn:air:flux1:checkpoint:civitai:618692@691639"


def found(store: Stores, owner: str | None = "ann", **wanted: Any) -> list[str]:
    """All ids, page by page."""
    ids: list[str] = []
    before = None
    while True:
        page = store.jobs.search(Filter(owner, before=before, limit=2, **wanted))
        ids += [job.id for job in page.jobs]
        if page.next is None:
            return ids
        before = page.next


def failed(store: Stores, code: FailureCode, **changes: Any) -> str:
    claimed = running(store, **changes)
    fail(store, claimed, code=code)
    return claimed.id


@pytest.fixture(params=[1, 10_000], ids=["one row a request", "many rows a request"])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(listing, "READ_ROWS", request.param)
    monkeypatch.setattr(listing, "INDEX_ROWS", request.param)
    return request.param


def test_a_search_goes_on_until_all_rows_were_compared(store: Stores, rows: int):
    wanted = [add(store, recipe="comfy").id, add(store, recipe="comfy").id]
    for _ in range(3):
        add(store)
    add(store, owner="bob", recipe="comfy")
    assert found(store, recipes=("comfy",)) == wanted[::-1]
    page = store.jobs.search(Filter("ann", recipes=("comfy",)))
    assert (page.searched_to is None) is (rows > 1)


def test_failures_are_found_by_code_status_owner_and_model(store: Stores, rows: int):
    memory = failed(store, FailureCode.OUT_OF_MEMORY, model=AIR)
    graph = failed(store, FailureCode.INVALID_GRAPH)
    other = failed(store, FailureCode.OUT_OF_MEMORY, owner="bob")
    canceled = add(store)
    cancel(store, canceled)
    add(store)
    assert found(store, errors=("out_of_memory",)) == [memory]
    assert found(store, None, errors=("out_of_memory", "invalid_graph")) == [other, graph, memory]
    assert found(store, statuses=frozenset({JobStatus.FAILED})) == [graph, memory]
    assert found(store, None, errors=("out_of_memory",), models=("flux1*",)) == [memory]
    ended = frozenset({JobStatus.FAILED, JobStatus.CANCELED})
    assert found(store, None, statuses=ended) == [canceled.id, other, graph, memory]
    assert found(store, statuses=ended, recipes=("comfy",)) == []


def test_a_job_that_waits_for_a_retry_is_found_by_its_error(store: Stores):
    claimed = running(store)
    retry(store, claimed, run_after=T0 + 1)
    assert found(store, errors=("node_lost",)) == []
    queued = frozenset({JobStatus.QUEUED})
    assert found(store, statuses=queued, errors=("node_lost",)) == [claimed.id]


def test_open_jobs_are_found_below_many_ended_ones(store: Stores, rows: int):
    first, second = add(store), add(store, owner="bob")
    for _ in range(3):
        cancel(store, add(store))
    queued = frozenset({JobStatus.QUEUED})
    assert found(store, statuses=queued) == [first.id]
    assert found(store, None, statuses=queued) == [second.id, first.id]
    claim(store)
    assert found(store, None, statuses=frozenset({JobStatus.RUNNING})) == [first.id]


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        (AIR.upper(), True),
        ("flux1:checkpoint:civitai:618692@691639", True),
        ("flux1-dev.safetensors", True),
        ("flux1-dev", True),
        ("FLUX1-d*", True),
        ("flux", False),
        ("*schnell*", False),
    ],
)
def test_a_model_is_found_by_air_or_file_name(store: Stores, pattern: str, fits: bool):
    store.resources.put(
        Resource(parse(AIR), {"fileName": "flux/flux1-dev.safetensors"}, T0, T0), WriteMode.CREATE, T0
    )
    job = add(store, model=AIR)
    add(store, model="file:sd15.safetensors")
    assert found(store, models=(pattern,)) == ([job.id] if fits else [])
    assert found(store, models=("sd15", pattern))[1:] == ([job.id] if fits else [])


def test_jobs_are_found_by_node_label_batch_id_text_and_field(store: Stores):
    on_node = running(store).id
    labelled = add(store, labels=("big", "fast"), input={"prompt": "A Red FOX", "character_id": "mia"}).id
    accepted = submit(store, draft(input={"prompt": "coração"}), draft())
    first, second = (job.id for job in accepted.jobs)
    assert found(store, nodes=("node-1", "attic")) == [on_node]
    assert found(store, labels=("fast",)) == [labelled]
    assert found(store, None, batches=(accepted.batch,)) == [second, first]
    assert found(store, batches=(accepted.batch,), ids=(first, on_node)) == [first]
    assert found(store, "bob", ids=(first,)) == []
    assert found(store, text="red fox") == [labelled]
    assert found(store, text="CORAÇÃO") == [first]
    assert found(store, text="100%") == []
    assert found(store, inputs=(("character_id", "mia"),)) == [labelled]
    assert found(store, inputs=(("character_id", "mi"),)) == []


def test_ids_and_their_number_are_read_alike(store: Stores, rows: int):
    for recipe in ("comfy", "textToImage", "comfy"):
        add(store, recipe=recipe)
    wanted = Filter("ann", recipes=("comfy",), limit=500)
    ids: list[str] = []
    page = store.jobs.matching_ids(wanted)
    ids += page.ids
    while page.next is not None:
        page = store.jobs.matching_ids(Filter("ann", recipes=("comfy",), before=page.next))
        ids += page.ids
    assert ids == found(store, recipes=("comfy",))
    count = store.jobs.count_matching(wanted)
    assert (count.number, count.complete) == (2, True)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({}, "ix_jobs_owner"),
        ({"owner": None}, "sqlite_autoindex_jobs_1"),
        ({"errors": ("timeout",)}, "ix_jobs_failed"),
        ({"owner": None, "errors": ("timeout",)}, "ix_jobs_failed"),
        ({"statuses": frozenset({JobStatus.FAILED})}, "ix_jobs_unsuccessful"),
        ({"owner": None, "statuses": frozenset({JobStatus.EXPIRED})}, "ix_jobs_unsuccessful"),
        ({"statuses": frozenset({JobStatus.QUEUED})}, "ix_jobs_open"),
        ({"owner": None, "statuses": frozenset({JobStatus.QUEUED})}, "ix_jobs_open"),
        ({"owner": None, "statuses": frozenset({JobStatus.RUNNING})}, "ix_jobs_running"),
        ({"statuses": frozenset({JobStatus.RUNNING})}, "ix_jobs_running"),
        ({"batches": ("b",)}, "ix_jobs_batch"),
        ({"owner": None, "batches": ("b",)}, "ix_jobs_batch"),
        ({"recipes": ("comfy",), "created_from": T0}, "ix_jobs_owner"),
    ],
)
def test_each_filter_is_read_by_an_index(
    plan_of: Callable[[Filter], str], wanted: dict[str, Any], index: str
):
    plan = plan_of(Filter(**{"owner": "ann", **wanted}))
    assert index in plan
    assert "SCAN jobs\n" not in f"{plan}\n"


@pytest.fixture
def plan_of(store: Stores, database_url: str) -> Callable[[Filter], str]:
    """How SQLite reads the statements of a search."""
    if not database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL plans by the sizes of tables; benchmarks/growth.py measures it")

    def plan(wanted: Filter) -> str:
        return "\n".join(store.database.read(listing.explain, listing.Lanes(), wanted))

    return plan


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"recipes": ("comfy",)}, "ix_jobs_owner"),
        ({"text": "fox", "before": "01a2"}, "ix_jobs_owner"),
        ({"text": "fox", "created_from": T0, "created_to": T0}, "ix_jobs_owner"),
        ({"statuses": frozenset({JobStatus.QUEUED})}, "ix_jobs_open"),
    ],
)
def test_a_list_of_an_owner_reads_no_jobs_of_others_on_postgresql(
    store: Stores, database_url: str, wanted: dict[str, Any], index: str
):
    """By the order of ids alone PostgreSQL would read the jobs of all owners in that time."""
    if not database_url.startswith("postgresql"):
        pytest.skip("SQLite takes the index of the owner; the test above has its plans")

    def plan(conn: sa.Connection) -> list[str]:
        ways = ("seqscan", "bitmapscan", "sort")  # which are the best of an empty table
        for way in ways:
            conn.exec_driver_sql(f"SET enable_{way} = off")
        try:
            return listing.explain(conn, listing.Lanes(), Filter("ann", **wanted))
        finally:
            for way in ways:
                conn.exec_driver_sql(f"RESET enable_{way}")

    lines = store.database.read(plan)
    assert any(index in line for line in lines)
    assert not any("Filter" in line and "owner" in line for line in lines)
    # The limit of the ids keeps the two statements apart.
    assert sum("Limit" in line for line in lines) == 2


def test_a_success_has_no_error_code(store: Stores):
    claimed = running(store)
    retry(store, claimed)
    again = claim(store)
    succeed(store, again)
    assert found(store, errors=("node_lost",)) == []
    assert found(store, statuses=frozenset({JobStatus.SUCCEEDED})) == [claimed.id]
