"""Old jobs go with their events, in small transactions, while the work goes on."""

import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from imagemill.blobs.settings import BlobSettings
from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate, tables
from imagemill.db.engine import Engines, open_engines, open_unpooled
from imagemill.domain.clock import SECOND
from imagemill.jobs.leadership import ProcessLock
from imagemill.jobs.store.queries import Filter
from imagemill.jobs.sweeper import Sweeper
from imagemill.settings import JobSettings
from tests import databases
from tests.service.build import MemoryBlobs
from tests.store.build import T0, add, claim, draft, running, submission, submit, succeed
from tests.tuning import tuned

JOBS, EVENTS = 20_000, 5
"""100,000 events."""
CHUNK = 100
LONGEST_S = 3.0
"""Of a claim beside the pruning, on a machine with much else to do."""


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """New ones: what so many rows leave behind is nobody else's."""
    if request.param == "sqlite":
        return databases.sqlite_database(tmp_path / "store.db")
    url: str = request.getfixturevalue("postgres_url")
    migrate.upgrade(url)
    return url


def age(database: Engines, store: Stores) -> None:
    """``JOBS`` jobs that ended long ago, with their events."""
    succeed(store, running(store))
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :jobs) "
    seqs = ", s(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM s WHERE seq < :events) "
    with database.writer.begin() as conn:
        for table, key, source, where in (
            (tables.jobs, {"id"}, numbers, "jobs, n"),
            (tables.events, {"job_id", "seq"}, numbers.rstrip() + seqs, "events, n, s WHERE events.seq = 1"),
        ):
            rest = [column.name for column in table.columns if column.name not in key]
            given = "'old-' || i, s.seq" if "seq" in key else "'old-' || i"
            others = ", ".join(f"{table.name}.{name}" for name in rest)
            names = ", ".join([*sorted(key), *rest])
            statement = f"{source} INSERT INTO {table.name} ({names}) SELECT {given}, {others} FROM {where}"
            conn.execute(sa.text(statement), {"jobs": JOBS, "events": EVENTS})


def count(database: Engines, table: sa.Table) -> int:
    with database.reader.connect() as conn:
        return conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def sweeper(store: Stores, folder: Path) -> Sweeper:
    # The jobs are of T0, which is in the future.
    return Sweeper(
        store.jobs,
        MemoryBlobs(),
        ProcessLock(folder / "run"),
        tuned(JobSettings, validate=False, retention_days=-T0 / SECOND / 86_400, life_s=3600.0),
        BlobSettings(),
        every_s=1.0,
        quotas=store.quotas,
        decisions=store.decisions,
        calls=store.provider_calls,
    )


def test_a_hundred_thousand_events_go_in_small_transactions_while_claims_go_on(
    database_url: str, tmp_path: Path
):
    database = open_engines(database_url)
    store = build_stores(database)
    age(database, store)
    for _ in range(20):
        submit(store, *(draft() for _ in range(100)))
    commits: list[float] = []
    sa.event.listen(database.writer, "commit", lambda conn: commits.append(time.monotonic()))
    pruning = threading.Thread(target=sweeper(store, tmp_path).prune)
    pruning.start()
    claims: list[float] = []
    while pruning.is_alive() and len(claims) < 2000:
        began = time.monotonic()
        claim(store)
        claims.append(time.monotonic() - began)
    pruning.join(60)
    assert len(commits) >= JOBS / CHUNK
    assert len(claims) > 20
    assert max(claims) < LONGEST_S
    # Of each open job its beginning, and its claim.
    assert (count(database, tables.jobs), count(database, tables.events)) == (2000, 2000 + len(claims))
    store.close()


def test_pruning_stops_after_its_time_and_goes_on_later(store: Stores, database_url: str, tmp_path: Path):
    for _ in range(CHUNK + 20):
        succeed(store, running(store))
    it = sweeper(store, tmp_path)
    assert [it.prune(0.0), it.prune(0.0), it.prune(0.0)] == [CHUNK, 20, 0]
    assert store.jobs.list_jobs(Filter("ann")) == []


def test_a_key_is_free_again_once_its_jobs_are_gone_and_others_are_kept(store: Stores):
    old, kept = (submission(draft(), idempotency_key=name, digest="d") for name in ("old", "kept"))
    jobs = [store.jobs.submit(each).jobs[0] for each in (old, kept)]
    store.jobs.delete_jobs([jobs[0].id])
    again = [
        store.jobs.submit(submission(draft(), idempotency_key=name, digest="d")).jobs[0].id
        for name in ("old", "kept")
    ]
    assert again[0] != jobs[0].id
    assert again[1] == jobs[1].id


def test_each_step_of_pruning_finds_its_rows_by_an_index(postgres_url: str):
    migrate.upgrade(postgres_url)
    engine = open_unpooled(postgres_url)
    wanted = {
        "SELECT id FROM jobs WHERE finished_at IS NOT NULL AND finished_at < 1": "ix_jobs_finished",
        "SELECT 1 FROM submissions WHERE created_at IN (1, 2) AND batch IN ('a', 'b')": "created_at",
        **{
            f"SELECT 1 FROM {table} WHERE job_id = 'a'": f"{table}_pkey"
            for table in ("events", "artifacts", "dependencies", "properties", "deliveries")
        },
    }
    with engine.connect() as conn:
        conn.execute(sa.text("SET enable_seqscan = off"))
        for query, index in wanted.items():
            plan = "".join(conn.execute(sa.text(f"EXPLAIN {query}")).scalars())
            assert index in plan, f"{query}: {plan}"
    engine.dispose()


def test_postgresql_vacuums_jobs_and_events_before_a_fifth_of_them_is_dead(postgres_url: str):
    migrate.upgrade(postgres_url)
    engine = open_unpooled(postgres_url)
    with engine.connect() as conn:
        query = "SELECT reloptions FROM pg_class WHERE relname IN ('jobs', 'events')"
        options = list(conn.execute(sa.text(query)).scalars())
        assert options == [["autovacuum_vacuum_scale_factor=0.05"]] * 2
    engine.dispose()


def test_a_job_that_is_not_old_keeps_its_events(store: Stores, tmp_path: Path):
    job = add(store)
    assert sweeper(store, tmp_path).prune() == 0
    assert len(store.jobs.events_after(job.id, 0)) == 1
