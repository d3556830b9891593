"""Page work on real worker processes, in each way in which they are started."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from imagemill.bootstrap.application import Roles
from imagemill.config import Settings
from imagemill.domain.jobs import JobStatus as S
from tests.cli.programs import Program, running
from tests.conftest import Server, running_server
from tests.dispatch.fleet import running_celery
from tests.press.chain import PRODUCT, Chain
from tests.press.recipes import installed
from tests.redis import RedisServer
from tests.service.build import wait_until

ROOT = Path(__file__).parents[2]
QUEUES = "render,celery"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@contextmanager
def fleet(
    folder: Path, broker_url: str | None, way: str, sweep_s: float = 0.2
) -> Iterator[tuple[Server, Program]]:
    """An API with the scheduler in this process, and a worker for pages."""
    shared: dict[str, Any] = {"data_dir": folder / "data", "broker_url": broker_url, "sweep_s": sweep_s}
    variables: dict[str, Any] = {
        f"IMAGEMILL_{name.upper()}": str(value) for name, value in shared.items() if value
    }
    variables |= {"PYTHONPATH": plug_in(folder), "IMAGEMILL_JOB__HEARTBEAT_S": "0.5"}
    settings = Settings(**{**shared, "_env_file": None, "job": {"heartbeat_s": 0.5, "retry_base_s": 0.01}})
    with installed(PRODUCT), running_server(settings, Roles(worker=False)) as server:
        if way == "celery":
            worker = running_celery(folder, queues=QUEUES, **variables)
        else:
            worker = running("worker", "--queues", QUEUES, cwd=folder, **variables)
        with worker as program:
            yield server, program


def plug_in(folder: Path) -> str:
    """The search path of a process that has the product of these tests."""
    named = folder / "page_chain-1.0.dist-info"
    named.mkdir(parents=True)
    (named / "METADATA").write_text("Metadata-Version: 2.1\nName: page-chain\nVersion: 1.0\n")
    (named / "entry_points.txt").write_text("[imagemill.products]\nchain = tests.press.chain:PRODUCT\n")
    return os.pathsep.join([str(ROOT), str(folder)])


def submit(server: Server, **input_: str) -> str:
    answer = server.client.post("/api/v1/jobs", json={"recipe": "drawn", "input": input_})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def presses(worker: Program) -> list[psutil.Process]:
    children = psutil.Process(worker.process.pid).children()
    return [child for child in children if "imagemill.backends.press.child" in child.cmdline()]


@pytest.mark.parametrize("way", ["inline", "worker", "celery"])
def test_a_worker_for_pages_makes_them_and_no_pictures(tmp_path: Path, redis: RedisServer, way: str) -> None:
    with fleet(tmp_path, redis.url if way != "inline" else None, way) as (server, _):
        picture = server.submit().json()["jobs"][0]["jobId"]
        job = server.wait(submit(server), seconds=40)
        assert job["status"] == "succeeded", job["error"]
        assert job["output"] == {"size": [24, 16]}
        assert server.client.get(f"/api/v1/jobs/{picture}").json()["status"] == "queued"


def test_a_worker_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    with fleet(tmp_path, None, "inline") as (server, worker):
        job_id = submit(server, work="hang")
        wait_until(lambda: presses(worker), 30)
        (process,) = presses(worker)
        wait_until(lambda: server.app.stores.jobs.job(job_id).status is S.RUNNING)
        worker.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not process.is_running(), 20)


def test_the_next_job_follows_at_once_one_of_another_process(tmp_path: Path, redis: RedisServer) -> None:
    with fleet(tmp_path, redis.url, "worker", sweep_s=60) as (server, worker):
        worker.line("worker started")
        chain: Any = server.app.products["chain"]
        assert isinstance(chain, Chain)
        chain.submit(server.app.services.submitter, 1)
        wait_until(lambda: chain.numbers() == ["1", "2", "3", "4"], 30)
