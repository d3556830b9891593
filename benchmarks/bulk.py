"""A hundred thousand failed jobs submitted again by one operation, and what other writes wait meanwhile."""

import threading
import time
from pathlib import Path

import sqlalchemy as sa

from benchmarks.processes import Row
from imagemill.bootstrap.application import Application, Roles
from imagemill.config import Settings
from imagemill.db import tables
from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.jobs import JobStatus
from imagemill.domain.operations import OperationAction
from imagemill.jobs.operations.store import OperationChange
from imagemill.jobs.store.lanes import failure_to, job_row
from imagemill.jobs.store.queries import Filter
from imagemill.jobs.submit import JobRequest

JOBS = 100_000
_PROBE_S = 0.02
"""Seconds between two of the writes that are timed."""


def measure(root: Path, jobs: int = JOBS) -> list[Row]:
    # pydantic adds this parameter, which no type checker sees: a .env file of the folder must not count.
    settings = Settings(_env_file=None, data_dir=root / "bulk")  # pyright: ignore[reportCallIssue]
    app = Application(settings, Roles(api=True, scheduler=True, worker=False))
    app.start()
    try:
        _fill(app, jobs)
        seconds, waits_ms = _replay(app, jobs)
    finally:
        app.close()
    waits_ms.sort()
    return [
        (f"replay of {jobs:,} failed jobs", f"{seconds:.1f} s", "below 60 s"),
        ("another write meanwhile, p50", f"{waits_ms[len(waits_ms) // 2]:.1f} ms", ""),
        ("another write meanwhile, the longest", f"{waits_ms[-1]:.1f} ms", "below 100 ms"),
    ]


def _fill(app: Application, jobs: int) -> None:
    """Submit one job by the real way; copy it as a failed one, as only the rows matter."""
    submitter = app.services.submitter
    wish = JobRequest("textToImage", {"prompt": "a lighthouse", "width": 512, "height": 512})
    accepted = submitter.submit("local", submitter.prepare("local", [wish], dialect="native"))
    row = dict(job_row(accepted.jobs[0]))
    failure = Failure(FailureCode.TIMEOUT, "it took too long")
    row |= {
        "status": JobStatus.FAILED.value,
        "finished_at": now_us(),
        "error": failure_to(failure),
        "error_code": failure.code.value,
    }
    engine = sa.create_engine(app.settings.database)
    with engine.begin() as conn:
        for start in range(0, jobs, 20_000):
            rows = [{**row, "id": uuid7()} for _ in range(min(20_000, jobs - start))]
            conn.execute(sa.insert(tables.jobs), rows)
    engine.dispose()


def _replay(app: Application, jobs: int) -> tuple[float, list[float]]:
    """Return the seconds of the operation, and the milliseconds that each other write took."""
    waits_ms: list[float] = []
    is_over = threading.Event()

    def probe() -> None:
        while not is_over.wait(_PROBE_S):
            start = time.perf_counter()
            app.stores.jobs.ensure_owner("local", now_us())
            waits_ms.append((time.perf_counter() - start) * 1000)

    prober = threading.Thread(target=probe)
    wanted = Filter("local", frozenset({JobStatus.FAILED}))
    start = time.perf_counter()
    operation = app.services.operations.start(OperationAction.REPLAY, wanted, OperationChange(), "local")
    prober.start()
    while app.services.operations.get(operation.id, "local").finished_at is None:
        time.sleep(0.1)
    seconds = time.perf_counter() - start
    is_over.set()
    prober.join()
    progress = app.services.operations.get(operation.id, "local").progress
    assert (progress.done, progress.failed) == (jobs, 0), progress
    return seconds, waits_ms
