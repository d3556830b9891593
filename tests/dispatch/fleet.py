"""A fleet on one machine: an API in this process, a scheduler and workers as real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from imagemill.bootstrap.application import Roles
from imagemill.config import Settings
from tests.cli.programs import Program, environment, running
from tests.conftest import Server, image_job, running_server

SWEEP_S = 1.5
HEARTBEAT_S = 8.0
"""So rare that a wish to cancel which comes sooner came another way."""
POLL_S = 60.0
"""Workers look by themselves so rarely that in these tests only wake-ups and sweeps count."""


CELERY = "celery -A imagemill.dispatch.celery worker --concurrency=1 -n own@%h"


class Fleet:
    def __init__(self, server: Server, folder: Path, settings: dict[str, str], stack: ExitStack) -> None:
        self.server = server
        self.folder = folder
        self.environment = settings
        self._stack = stack
        self._workers: list[Program] = []
        self._start("scheduler").line("scheduler started")
        self.ensure(2)

    def ensure(self, workers: int) -> None:
        """So many live ones, ready."""
        self._workers = [worker for worker in self._workers if worker.process.poll() is None]
        fresh = [self._start("worker", "--queues", "gpu") for _ in range(workers - len(self._workers))]
        for worker in fresh:
            worker.line("worker started")
        self._workers += fresh

    def stop_workers(self) -> None:
        for worker in self._workers:
            worker.signal()
        for worker in self._workers:
            worker.ended()

    @contextmanager
    def only_worker(self, *arguments: str, **variables: str) -> Iterator[Program]:
        """A worker with settings of its own that gets all jobs; ``arguments``: none for Celery's command."""
        variables = self.environment | variables
        if arguments:
            started = running(*arguments, cwd=self.folder, **variables)
        else:
            started = running_celery(self.folder, **variables)
        with started as worker:
            self.stop_workers()
            yield worker

    def worker_of(self, job_id: str) -> Program:
        """The process that runs the job; waits until one does."""
        self.wait_for(job_id, "running")
        pid = self.process_of(job_id)
        return next(worker for worker in self._workers if worker.process.pid == pid)

    def process_of(self, job_id: str) -> int:
        worker = self.server.app.stores.jobs.job(job_id).worker
        assert worker is not None
        return int(worker.split("-")[1])

    def claims(self, job_id: str) -> int:
        """How often it was begun."""
        return self.kinds(job_id).count("Claimed")

    def wait_for(self, job_id: str, status: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while (job := self.server.app.stores.jobs.job(job_id)).status.value != status:
            assert time.monotonic() < end, f"the job is {job.status}"
            time.sleep(0.01)

    def submit(self, **changes: Any) -> str:
        answer = self.server.submit(image_job(**changes))
        assert answer.status_code == 200, answer.text
        return answer.json()["jobs"][0]["jobId"]

    def kinds(self, job_id: str) -> list[str]:
        return [event.type.value for event in self.server.app.stores.jobs.events_after(job_id, 0)]

    def _start(self, *arguments: str) -> Program:
        return self._stack.enter_context(running(*arguments, cwd=self.folder, **self.environment))


@contextmanager
def running_celery(folder: Path, queues: str = "gpu,celery", **variables: str) -> Iterator[Program]:
    """Celery's own command; killed at the end with its children, if it still runs then."""
    log = folder / f"celery-{time.monotonic_ns()}.log"
    given = environment(**variables, IMAGEMILL_LOG_FORMAT="json")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *CELERY.split(), "-Q", queues],
            cwd=folder,
            env=given,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield Program(process, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def running_fleet(folder: Path, broker_url: str | None, *, quorum_queues: bool = False) -> Iterator[Fleet]:
    """With a broker: dispatch by Celery; without: every worker looks into the database by itself."""
    shared: dict[str, Any] = {
        "data_dir": folder / "data",
        "sweep_s": SWEEP_S,
        "shutdown_grace_s": 10,
        "broker_url": broker_url,
        "celery": {"poll_s": POLL_S, "quorum_queues": quorum_queues},
    }
    variables = {
        f"IMAGEMILL_{name.upper()}": json.dumps(value) if isinstance(value, dict) else str(value)
        for name, value in shared.items()
        if value
    }
    variables |= {
        "IMAGEMILL_JOB__HEARTBEAT_S": str(HEARTBEAT_S),
    }
    settings = Settings(_env_file=None, **shared)
    with ExitStack() as stack:
        server = stack.enter_context(running_server(settings, Roles(scheduler=False, worker=False)))
        yield Fleet(server, folder, variables, stack)
