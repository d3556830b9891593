"""Nothing lost: the real server, killed with SIGKILL at random moments, many times over."""

import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from imagemill.blobs.local import LocalBlobs
from imagemill.blobs.settings import BlobSettings
from imagemill.db import tables
from imagemill.db.engine import normalise
from imagemill.domain.blob_keys import attempt_of
from imagemill.settings import JobSettings
from tests.cli.programs import environment
from tests.conftest import TOKEN, image_job
from tests.forking import Process, start

KILLS = int(os.environ.get("IMAGEMILL_TEST_KILLS", "8"))
"""On each database, at other moments. More for a longer proof: IMAGEMILL_TEST_KILLS=200."""
CLIENTS = 4


class Victim:
    """A server process that is killed and started again, on one port and one data folder."""

    def __init__(self, data_dir: Path, database_url: str, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = data_dir
        self._log = log.open("ab")
        self.environment = environment(
            IMAGEMILL_DATABASE_URL=database_url,
            IMAGEMILL_DATA_DIR=str(data_dir),
            IMAGEMILL_SIMULATOR__NODES="2",
            IMAGEMILL_SIMULATOR__STEP_MS="5",
            IMAGEMILL_JOB__RETRY_BASE_S="0.02",
            IMAGEMILL_LOG_LEVEL="warning",
        )
        self._process: Process | None = None

    def start(self) -> float:
        """Start, and wait until it answers; seconds."""
        begin = time.monotonic()
        self._process = start(
            "serve",
            "--port",
            str(self.port),
            cwd=self.data_dir.parent,
            environment=self.environment,
            stdout=self._log,
            stderr=self._log,
        )
        while time.monotonic() - begin < 60:
            with suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}/health/live", timeout=1, verify=False).status_code == 200:
                    return time.monotonic() - begin
            assert self._process.poll() is None, "the server ended by itself"
            time.sleep(0.02)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)
        self._log.close()


class Clients:
    """Threads that submit without pause; only what was answered with 200 counts as accepted."""

    def __init__(self, url: str) -> None:
        self.accepted: list[str] = []
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._submit, args=(i,)) for i in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _submit(self, seed: int) -> None:
        rng = random.Random(seed)
        while not self._stop.is_set():
            faulty = {"simulate": {"fault": rng.choice(["server_error", "corrupt", "crash"]), "times": 1}}
            body = image_job(properties=faulty if rng.random() < 0.2 else {})
            if rng.random() < 0.2:
                body = {
                    "jobs": [{**image_job(), "name": "first"}, {**image_job(), "dependencies": ["first"]}]
                }
            with suppress(httpx2.HTTPError):
                answer = httpx2.post(
                    f"{self._url}/v1/consumer/jobs", json=body, headers=TOKEN, timeout=20, verify=False
                )
                if answer.status_code == 200:
                    self.accepted.extend(job["jobId"] for job in answer.json()["jobs"])
            self._stop.wait(rng.random() * 0.05)


@pytest.fixture
def victim(tmp_path: Path, database_url: str) -> Iterator[Victim]:
    victim = Victim(tmp_path / "data", database_url, tmp_path / "server.log")
    yield victim
    victim.stop()


@pytest.mark.timeout(300)
def test_every_accepted_job_ends_exactly_once_however_often_the_server_is_killed(
    victim: Victim, database_url: str
) -> None:
    rng = random.Random(sa.make_url(normalise(database_url)).get_backend_name())
    victim.start()
    clients = Clients(victim.url)
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.05, 0.7))
        victim.kill()
        victim.start()
    clients.stop()
    rows = _finished(database_url, clients.accepted)
    victim.stop()

    assert len(clients.accepted) > KILLS, "the clients were hardly heard: the proof proves little"
    assert set(clients.accepted) <= set(rows), "an accepted job is gone"
    assert Counter(rows.values()) == {"succeeded": len(rows)}
    _check_events(database_url)
    _check_files(database_url, victim.data_dir)


def _finished(database_url: str, accepted: list[str]) -> dict[str, str]:
    """Every job and its status, once none is open any more."""
    engine = sa.create_engine(normalise(database_url))
    end = time.monotonic() + 60
    while True:
        with engine.connect() as conn:
            rows = dict(conn.execute(sa.select(tables.jobs.c.id, tables.jobs.c.status)).all())
        if not {"waiting", "queued", "running"} & set(rows.values()):
            engine.dispose()
            return rows
        assert time.monotonic() < end, f"jobs are stuck: {Counter(rows.values())} of {len(accepted)} accepted"
        time.sleep(0.1)


def _check_events(database_url: str) -> None:
    """One terminal event a job, the last one; numbers without a gap; claims as often as attempts."""
    engine = sa.create_engine(normalise(database_url))
    events = tables.events.c
    with engine.connect() as conn:
        attempts = dict(conn.execute(sa.select(tables.jobs.c.id, tables.jobs.c.attempt)).all())
        log: dict[str, list[tuple[int, str, int]]] = {}
        query = sa.select(events.job_id, events.seq, events.type, events.attempt)
        for job_id, seq, kind, attempt in conn.execute(query.order_by(events.job_id, events.seq)):
            log.setdefault(job_id, []).append((seq, kind, attempt))
    engine.dispose()
    assert set(log) == set(attempts)
    for job_id, entries in log.items():
        kinds = [kind for _, kind, _ in entries]
        assert [seq for seq, _, _ in entries] == list(range(1, len(entries) + 1)), job_id
        assert kinds.count("Succeeded") == 1, job_id
        assert kinds[-1] == "Succeeded", job_id
        assert kinds.count("Claimed") == attempts[job_id], job_id
        assert entries[-1][2] == attempts[job_id], "the attempt that finished is the last one"


def _check_files(database_url: str, data_dir: Path) -> None:
    """Exactly one set of artifacts a job, each with its file; after a sweep no other file."""
    from imagemill.bootstrap.stores import build_stores
    from imagemill.db.engine import open_engines
    from imagemill.jobs.leadership import ProcessLock
    from imagemill.jobs.sweeper import Sweeper

    store = build_stores(open_engines(database_url))
    blobs = LocalBlobs(data_dir / "blobs")
    process_lock = ProcessLock(data_dir / "run")
    Sweeper(
        store.jobs,
        blobs,
        process_lock,
        JobSettings(),
        BlobSettings(),
        every_s=1,
        quotas=store.quotas,
        decisions=store.decisions,
        calls=store.provider_calls,
    ).delete_orphans(grace_s=0)
    process_lock.close()
    store.close()

    engine = sa.create_engine(normalise(database_url))
    with engine.connect() as conn:
        jobs = dict(conn.execute(sa.select(tables.jobs.c.id, tables.jobs.c.attempt)).all())
        table = tables.artifacts.c
        artifacts = conn.execute(sa.select(table.job_id, table.attempt, table.blob_key, table.size)).all()
    engine.dispose()
    assert Counter(row.job_id for row in artifacts) == dict.fromkeys(jobs, 1)
    assert {row.job_id: row.attempt for row in artifacts} == jobs
    files = {blob.key: blob.size for blob in blobs.list("jobs/")}
    assert files == {row.blob_key: row.size for row in artifacts}
    assert all(attempt_of(key) for key in files)
