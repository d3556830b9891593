"""Behind PgBouncer in transaction mode: what a session would keep is not counted on, and nothing is lost."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate, tables
from imagemill.db.engine import normalise, open_engines, open_unpooled
from imagemill.domain.errors import StorageError, Superseded
from imagemill.domain.events import EventType
from imagemill.domain.jobs import Claim
from imagemill.jobs.store.finish import ReclaimLeases
from imagemill.jobs.store.queries import Filter
from tests.cli.programs import Program, image_job, running
from tests.pgbouncer import PgBouncer
from tests.service.build import wait_until
from tests.store.build import LEASE, T0, ask, claim_all, draft, fresh_id, in_threads, submission, succeed

AGAIN_S = 20
"""How long a write may be refused while connections are cut again and again."""


@pytest.fixture
def store(pooled_url: str) -> Iterator[Stores]:
    store = build_stores(open_engines(pooled_url, pooler=True))
    yield store
    store.close()


def direct(pooler: PgBouncer, url: str) -> str:
    """The same database past the pooler."""
    server = sa.make_url(normalise(pooler.server)).set(database=sa.make_url(url).database)
    return server.render_as_string(hide_password=False)


def test_sessions_are_left_without_statements_locks_and_listeners(store: Stores, pooled_url: str):
    for _ in range(12):
        store.jobs.submit(submission(draft(properties={"a": 1}), idempotency_key=fresh_id(), digest="d"))
        taken = store.jobs.claim_next(ask())
        assert taken is not None
        succeed(store, taken)
    left = (
        "SELECT (SELECT count(*) FROM pg_prepared_statements),"
        " (SELECT count(*) FROM pg_listening_channels()),"
        " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
        " (SELECT count(*) FROM pg_class WHERE relpersistence = 't')"
    )
    engine = open_unpooled(pooled_url)
    with engine.connect() as one, engine.connect() as two:
        # Two transactions at once see two of the server's sessions.
        assert [tuple(conn.execute(sa.text(left)).one()) for conn in (one, two)] == [(0, 0, 0, 0)] * 2
    engine.dispose()


def test_more_threads_than_the_pooler_has_sessions_wait_for_one(store: Stores, pooled_url: str):
    others = [build_stores(open_engines(pooled_url, pooler=True)) for _ in range(7)]

    def work(mine: Stores) -> None:
        for _ in range(5):
            mine.jobs.submit(submission(draft()))
            taken = mine.jobs.claim_next(ask())
            assert taken is not None
            succeed(mine, taken)

    in_threads([lambda mine=mine: work(mine) for mine in (store, *others)])
    assert store.jobs.depths() == {"waiting": 0, "queued": 0, "running": 0}
    for other in others:
        other.close()


def test_processes_that_start_together_migrate_through_the_pooler(pooler: PgBouncer, postgres_url: str):
    url = pooler.url(sa.make_url(postgres_url).database or "")
    code = "import sys; from imagemill.db import migrate; migrate.upgrade(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert migrate.current(url) == tables.REVISION
    pooler.forget(sa.make_url(url).database or "")


class Client:
    """Submits, claims and ends jobs and, as clients and workers do, asks again when it is refused."""

    def __init__(self, store: Stores) -> None:
        self.store = store
        self.accepted: list[str] = []
        self.refused = 0
        self.stop = threading.Event()

    def serve(self) -> None:
        while not self.stop.is_set():
            self._submit()
            taken = self._claim()
            if taken is not None:
                self._end(taken)

    def _submit(self) -> None:
        job_request = submission(draft(), idempotency_key=fresh_id(), digest="d")
        end = time.monotonic() + AGAIN_S
        while True:
            try:
                self.accepted.append(self.store.jobs.submit(job_request).jobs[0].id)
                return
            except StorageError:
                self.refused += 1
                assert time.monotonic() < end

    def _claim(self) -> Claim | None:
        try:
            return self.store.jobs.claim_next(ask())
        except StorageError:
            self.refused += 1
            return None

    def _end(self, taken: Claim) -> None:
        end = time.monotonic() + AGAIN_S
        while True:
            try:
                succeed(self.store, taken)
                return
            except Superseded:
                # Its answer was lost with the connection: it has ended, by this very attempt.
                assert self.store.jobs.job(taken.id).attempt == taken.attempt
                return
            except StorageError:
                self.refused += 1
                assert time.monotonic() < end


def test_connections_that_are_cut_in_mid_way_lose_nothing(pooler: PgBouncer, store: Stores, pooled_url: str):
    client = Client(store)
    threads = [threading.Thread(target=client.serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    database = sa.make_url(pooled_url).database or ""
    for _ in range(8):
        before = len(client.accepted)
        pooler.kill_connections(database)
        wait_until(lambda before=before: len(client.accepted) > before + 2, AGAIN_S)
    client.stop.set()
    for thread in threads:
        thread.join(AGAIN_S)
    jobs = store.jobs.list_jobs(Filter("ann", limit=100_000))
    assert {job.id for job in jobs} == set(client.accepted)
    # A claim whose answer was lost is nobody's, and its lease ends.
    late = T0 + 2 * LEASE
    store.jobs.reclaim_leases(ReclaimLeases(late, (), len(jobs)))
    for taken in claim_all(store, late):
        succeed(store, taken)
    for job in store.jobs.list_jobs(Filter("ann", limit=100_000)):
        events = store.jobs.events_after(job.id, 0)
        assert [event.seq for event in events] == list(range(1, job.last_seq + 1))
        assert [event.type for event in events].count(EventType.SUCCEEDED) == 1


def fleet(stack: ExitStack, folder: Path, pooled: str, straight: str) -> list[Program]:
    """API, scheduler and worker, the API first."""
    settings = {
        "DATABASE_URL": pooled,
        "IMAGEMILL_DATABASE_POOLER": "true",
        "IMAGEMILL_DATABASE_DIRECT_URL": straight,
        "IMAGEMILL_DATA_DIR": str(folder / "data"),
        "IMAGEMILL_SCHEDULER_POLL_MS": "5000",
        "IMAGEMILL_SWEEP_S": "0.3",
        "IMAGEMILL_JOB__RETRY_BASE_S": "0.05",
        "IMAGEMILL_JOB__HEARTBEAT_S": "0.2",
        "IMAGEMILL_JOB__LEASE_S": "5",
    }
    commands = (("api", "--port", "0"), ("scheduler",), ("worker",))
    return [stack.enter_context(running(*command, cwd=folder, **settings)) for command in commands]


def finished(client: httpx2.Client, ids: list[str]) -> bool:
    return all(client.get(f"/api/v1/jobs/{id_}").json()["finishedAt"] for id_ in ids)


def submit(client: httpx2.Client, count: int) -> list[str]:
    """Again with the same key until it is answered."""
    key = {"Idempotency-Key": fresh_id()}
    answers: list[httpx2.Response] = []

    def accepted() -> bool:
        answers.append(client.post("/v1/consumer/jobs", json=image_job(quantity=count), headers=key))
        return answers[-1].status_code < 500

    wait_until(accepted, AGAIN_S)
    return [job["jobId"] for job in answers[-1].raise_for_status().json()["jobs"]]


def test_a_fleet_works_through_the_pooler_and_outlives_it(pooler: PgBouncer, pooled_url: str, tmp_path: Path):
    database = sa.make_url(pooled_url).database or ""
    with ExitStack() as stack:
        api, _, worker = fleet(stack, tmp_path, pooled_url, direct(pooler, pooled_url))
        client = stack.enter_context(api.client())
        worker.line("worker started")
        first = submit(client, 4)
        wait_until(lambda: finished(client, first), 60)
        second = submit(client, 4)
        pooler.kill_connections(database)
        third = submit(client, 4)
        pooler.stop()
        pooler.start()
        fourth = submit(client, 4)
        wait_until(lambda: finished(client, [*first, *second, *third, *fourth]), 60)
        for id_ in (*first, *second, *third, *fourth):
            assert client.get(f"/api/v1/jobs/{id_}").json()["status"] == "succeeded"
