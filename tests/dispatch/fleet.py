"""A fleet on one machine: an API in this process, a scheduler and workers as real processes."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from imagemill.bootstrap import Roles
from imagemill.config import Settings
from tests.cli.programs import Program, running
from tests.conftest import Server, image_job, running_server
from tests.redis import RedisServer

SWEEP_S = 1.5
HEARTBEAT_S = 8.0
"""So rare that a wish to cancel which comes sooner came another way."""
POLL_S = 60.0
"""Workers look by themselves so rarely that in these tests only wake-ups and sweeps count."""


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

    def worker_of(self, job_id: str) -> Program:
        """The process that runs the job; waits until one does."""
        end = time.monotonic() + 20
        while (job := self.server.mill.store.job(job_id)).status.value != "running":
            assert time.monotonic() < end, f"the job is {job.status}"
            time.sleep(0.01)
        assert job.worker is not None
        pid = int(job.worker.split("-")[1])
        return next(worker for worker in self._workers if worker.process.pid == pid)

    def submit(self, **changes: Any) -> str:
        answer = self.server.submit(image_job(**changes))
        assert answer.status_code == 200, answer.text
        return answer.json()["jobs"][0]["jobId"]

    def kinds(self, job_id: str) -> list[str]:
        return [event.type.value for event in self.server.mill.store.events_after(job_id, 0)]

    def _start(self, *arguments: str) -> Program:
        return self._stack.enter_context(running(*arguments, cwd=self.folder, **self.environment))


@contextmanager
def running_fleet(folder: Path, redis: RedisServer | None) -> Iterator[Fleet]:
    """With ``redis``: dispatch by Celery; without: every worker looks into the database by itself."""
    shared: dict[str, Any] = {
        "data_dir": folder / "data",
        "sweep_s": SWEEP_S,
        "shutdown_grace_s": 10,
        "broker_url": redis.url if redis else None,
    }
    environment = {f"IMAGEMILL_{name.upper()}": str(value) for name, value in shared.items() if value}
    environment |= {
        "IMAGEMILL_CELERY__POLL_S": str(POLL_S),
        "IMAGEMILL_JOB__HEARTBEAT_S": str(HEARTBEAT_S),
    }
    settings = Settings(_env_file=None, **shared)
    with ExitStack() as stack:
        server = stack.enter_context(running_server(settings, Roles(scheduler=False, worker=False)))
        yield Fleet(server, folder, environment, stack)
