"""Applications that know nothing but Celery: the tasks of generator_queue, by their names."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery  # pyright: ignore[reportMissingTypeStubs] - Celery has none

from imagemill.config import Settings
from imagemill.dispatch.base import INGRESS
from tests.cli.programs import Program, environment, run, running
from tests.conftest import Server, running_server
from tests.redis import RedisServer

LOOK = {
    "gender": "male",
    "age_range": "40-50",
    "body_type": "athletic",
    "pose": "front standing",
    "style": "professional",
}
PATIENCE_S = 60.0
"""The first task waits for the child, which builds all of Imagemill."""


@dataclass
class Back:
    """The back office: a server, a broker, and an application that sends tasks."""

    server: Server
    app: Any
    folder: Path
    variables: dict[str, str]

    @contextmanager
    def generator(self, **variables: str) -> Iterator[Program]:
        """Ended in order: one that is killed may take a task with it, which Redis hands on much later."""
        with running("generator", cwd=self.folder, **{**self.variables, **variables}) as program:
            yield program
            program.signal()
            program.ended(100)

    @contextmanager
    def celery(self, *arguments: str) -> Iterator[Program]:
        """A Python program with the generator's settings; killed at the end if it still runs."""
        log = self.folder / f"celery-{time.monotonic_ns()}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=environment(IMAGEMILL_LOG_FORMAT="json", **self.variables),
                stdout=file,
                stderr=file,
            )
        try:
            yield Program(process, log)
        finally:
            process.kill()
            process.wait()

    def send(self, name: str, task_id: str | None = None, /, **arguments: Any) -> Any:
        return self.app.send_task(name, kwargs=arguments, queue="generator_queue", task_id=task_id)

    def ask(self, name: str, **arguments: Any) -> dict[str, Any]:
        return self.send(name, **arguments).get(timeout=PATIENCE_S)

    def rows(self, **query: str) -> list[dict[str, Any]]:
        return self.server.client.get("/api/v1/library", params={"limit": "500", **query}).json()["items"]

    def wait_for_job(self, look: dict[str, str]) -> str:
        """The id of its job, once there is one."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for job in self.server.client.get("/api/v1/jobs").json()["items"]:
                if all(job["input"][name] == value for name, value in look.items()):
                    return job["id"]
            time.sleep(0.02)
        raise AssertionError(f"no job of {look}")


@pytest.fixture(scope="module")
def back(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Back]:
    folder = tmp_path_factory.mktemp("generator")
    broker = redis.url.removesuffix("/0") + "/3"  # other tests have the first one
    shared: dict[str, Any] = {
        "data_dir": str(folder / "data"),
        "broker_url": broker,
        "library": {"width": 96, "height": 128, "steps": 4},
        "sweep_s": 0.2,
        "shutdown_grace_s": 5,
    }
    variables = {
        f"IMAGEMILL_{name.upper()}": json.dumps(value) if isinstance(value, dict) else str(value)
        for name, value in shared.items()
    }
    app: Any = Celery(broker=broker, backend=broker, set_as_current=False)
    slow = [{"fault": "hang", "times": 1000, "prompt": "editorial"}]
    settings = Settings(_env_file=None, **shared, simulator={"faults": slow})
    with running_server(settings) as server:
        yield Back(server, app, folder, variables)


# First, as the worker of the others would take these tasks, too.
@pytest.mark.parametrize(("how", "age"), [("its child is killed", "20-30"), ("it is asked to stop", "30-40")])
def test_a_worker_that_goes_leaves_its_task_to_the_next(back: Back, how: str, age: str):
    look = {**LOOK, "style": "editorial", "age_range": age}  # hangs in the simulator
    with back.generator() as first:
        sent = back.send("generate_model", **look)
        job_id = back.wait_for_job(look)
        if how == "its child is killed":
            os.kill(child_of(first.process.pid), signal.SIGKILL)
        else:
            first.signal()
            assert first.ended(100) == os.EX_OK
            assert [text for text in first.log.read_text().splitlines() if text[:1] != "{"] == []
            own = [line for line in first.lines() if line["logger"] != "py.warnings"]
            assert [line for line in own if line["level"] != "info" or "exception" in line] == []
            assert first.line("returns to the queue")["level"] == "info"
        with back.generator():
            back.server.client.post(f"/api/v1/jobs/{job_id}/cancel")
            result = sent.get(timeout=PATIENCE_S)
    assert [(job["id"], job["status"]) for job in result["jobs"]] == [(job_id, "canceled")]
    jobs = back.server.client.get("/api/v1/jobs").json()["items"]
    assert [job["input"]["age_range"] for job in jobs].count(age) == 1


INTERRUPTED = """
import os, signal
from billiard.sharedctypes import SynchronizedBase
lock_of = SynchronizedBase.get_lock
class Interrupted:
    def __init__(self, lock):
        self.lock = lock
    def __enter__(self):
        self.lock.acquire()
        os.kill(os.getpid(), signal.{signal})
    def __exit__(self, *_):
        self.lock.release()
SynchronizedBase.get_lock = lambda counter: Interrupted(lock_of(counter))
from celery.__main__ import main
main()
"""
"""Celery's command, which gets a signal while it counts a result: its child waits for that count."""


@pytest.mark.parametrize("number", ["SIGTERM", "SIGQUIT", "SIGINT"])
def test_a_signal_in_the_middle_of_a_result_ends_the_worker_and_keeps_the_result(back: Back, number: str):
    options = ["--quiet", "--app", "imagemill.dispatch.celery", "worker", "-Q", INGRESS, "--concurrency", "1"]
    with back.celery("-c", INTERRUPTED.format(signal=number), *options) as program:
        assert back.ask("health_check")["ok"] is True
        assert program.ended(60) == os.EX_OK
        assert "Traceback" not in program.log.read_text()


def test_a_second_signal_ends_the_worker_at_once_and_its_task_goes_to_the_next(back: Back):
    look = {**LOOK, "style": "editorial", "age_range": "40-50"}
    with back.generator(IMAGEMILL_SHUTDOWN_GRACE_S="600") as first:
        sent = back.send("generate_model", **look)
        job_id = back.wait_for_job(look)
        first.signal()
        first.line("shutdown")
        first.signal()
        assert first.ended(60) == os.EX_OK
    with back.generator():
        back.server.client.post(f"/api/v1/jobs/{job_id}/cancel")
        assert [job["id"] for job in sent.get(timeout=PATIENCE_S)["jobs"]] == [job_id]


def test_a_child_that_does_not_answer_is_killed_after_the_grace(back: Back):
    with back.generator(IMAGEMILL_SHUTDOWN_GRACE_S="0.2") as program:
        assert back.ask("health_check")["ok"] is True
        os.kill(child_of(program.process.pid), signal.SIGSTOP)
        program.signal()
        assert program.line("does not stop and is killed")["level"] == "warning"
        assert program.ended(60) == os.EX_OK


@pytest.fixture(scope="module")
def worker(back: Back) -> Iterator[Program]:
    with back.generator() as program:
        told = back.ask("health_check")
        assert (told["ok"], told["queue"]["queued"]) == (True, 0)
        assert (told["status"], told["problems"]) == ("ok", [])
        yield program


def test_one_model_comes_back_as_the_tasks_result(back: Back, worker: Program):
    result = back.ask("generate_model", **LOOK)
    (model,) = result["models"]
    assert result["status"] == "succeeded"
    assert {name: model[name] for name in LOOK} == LOOK
    assert model["version"] == 1
    place = model["image_url"].partition("/api/")[2]
    assert back.server.client.get(f"/api/{place}", follow_redirects=True).status_code == 200


def test_a_picture_that_is_not_saved_has_an_address(back: Back, worker: Program):
    sent = back.app.send_task(
        "generate_model",
        ["female", "40-50", "slim", "side", "professional"],
        {"save": False},
        queue="generator_queue",
    )
    result = sent.get(timeout=PATIENCE_S)
    assert (result["status"], result["models"]) == ("succeeded", [])
    sizes: list[int] = []
    for name in ("image_url", "thumbnail_url"):
        place = result["jobs"][0][name].partition("/blobs/")[2]
        answer = back.server.client.get(f"/blobs/{place}", follow_redirects=True)
        assert answer.status_code == 200
        sizes.append(len(answer.content))
    assert sizes[0] > sizes[1] > 0


def test_a_batch_fills_gaps_and_an_edit_makes_the_next_version(back: Back, worker: Program):
    quoted = back.ask("batch_generate", grid={"gender": "female", "style": "casual"}, count=4, dry_run=True)
    assert (quoted["count"], len(quoted["prompts"])) == (4, 4)
    first = back.ask("batch_generate", grid={"gender": "female", "style": "casual"}, count=4)
    assert (first["status"], len(first["models"])) == ("succeeded", 4)
    again = back.ask("batch_generate", grid={"gender": "female", "style": "casual", "age_range": "20-30"})
    assert (again["present"], len(again["models"])) == (4, 12)
    edited = back.ask("edit_model", model_id=first["models"][0]["id"], prompt="fashion model on a beach")
    assert edited["models"][0]["version"] == 2
    assert edited["models"][0]["prompt"] == "fashion model on a beach"


def test_a_task_that_is_delivered_again_pays_once(back: Back, worker: Program):
    look = {**LOOK, "pose": "walking"}
    first = back.send("generate_model", "the-same-task", **look).get(timeout=PATIENCE_S)
    back.app.backend.delete("celery-task-meta-the-same-task")
    second = back.send("generate_model", "the-same-task", **look).get(timeout=PATIENCE_S)
    assert second["models"] == first["models"]
    assert len(back.rows(gender="male", pose="walking")) == 1


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("generate_model", {**LOOK, "gender": "alien"}, "gender"),
        ("generate_model", {"gender": "male"}, "pose"),
        ("generate_model", {**LOOK, "hair": "red"}, "hair"),
        ("batch_generate", {}, "count"),
        ("batch_generate", {"count": 0}, "count"),
        ("batch_generate", {"grid": {"pose": "flying"}}, "pose"),
        ("batch_generate", {"grid": [1]}, "grid"),
        ("edit_model", {"model_id": "nobody"}, "prompt"),
    ],
)
def test_a_refusal_is_a_result_that_names_the_field(
    back: Back, worker: Program, name: str, arguments: dict[str, Any], field: str
):
    result = back.ask(name, **arguments)
    assert result["status"] == "refused"
    assert field in result["error"]["fields"]


def test_a_model_that_is_not_there_is_not_found(back: Back, worker: Program):
    result = back.ask("edit_model", model_id="nobody", prompt="a coat")
    assert (result["status"], result["error"]["code"]) == ("refused", "not_found")


def test_one_who_does_not_want_to_wait_gets_the_jobs(back: Back, worker: Program):
    result = back.ask("generate_model", **{**LOOK, "pose": "side"}, wait=False)
    assert back.server.wait(result["jobs"][0]["id"])["status"] == "succeeded"


def test_the_worker_keeps_to_the_limits(back: Back, worker: Program):
    with back.app.connection_for_write() as connection:
        (stats,) = back.app.control.inspect(timeout=2, connection=connection).stats().values()
    assert stats["prefetch_count"] == 1
    assert stats["pool"]["max-concurrency"] == 1
    assert stats["pool"]["max-tasks-per-child"] == 50
    assert stats["pool"]["timeouts"] == [240, 300]


def test_its_health_is_an_exit_status(back: Back, worker: Program):
    assert run("health", "--generator", cwd=back.folder, **back.variables).returncode == 0
    alone = {**back.variables, "IMAGEMILL_BROKER_URL": back.variables["IMAGEMILL_BROKER_URL"][:-1] + "4"}
    assert run("health", "--generator", cwd=back.folder, **alone).returncode == 1


def child_of(pid: int) -> int:
    """The process of the pool, once there is one."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        for child in found:
            if b"celery" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        time.sleep(0.02)
    raise AssertionError("the worker has no child")
