"""Servers as real processes: how they start, what they refuse, how they end."""

import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.programs import Program, image_job, run, running

DEBUG = ("--log-level", "debug")
"""The level of the stages of jobs."""


def submitted(program: Program, **body: Any) -> str:
    with program.client() as client:
        answer = client.post("/v1/consumer/jobs", json=image_job(**body))
        assert answer.status_code == 200, answer.text
        return answer.json()["jobs"][0]["jobId"]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_serve_says_where_it_listens_and_ends_well(tmp_path: Path) -> None:
    with running("serve", "--port", "0", "--data-dir", "mill", cwd=tmp_path, fresh=True) as program:
        line = program.line("listening on")
        assert line["docs"] == f"{line['url']}/docs"
        assert line["data"] == str(tmp_path / "mill")
        assert line["ms"] < 15_000
        with program.client() as client:
            health = client.get("/health")
            assert health.json()["ok"]
            assert "server" not in health.headers
            assert health.reason_phrase == "OK"
            assert client.get("/docs").status_code == 200
            date = health.headers["date"]
            until(lambda: client.get("/health").headers["date"] != date, seconds=5)
        program.signal()
        assert program.ended() == 0
        assert program.lines()[-1]["event"] == "stopped"


@pytest.mark.parametrize("has_key", [False, True])
def test_open_opens_the_console_signed_in_where_keys_exist(tmp_path: Path, has_key: bool) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.part\nmv {opened}.part {opened}\n')
    browser.chmod(0o755)
    settings = {"IMAGEMILL_AUTH__ADMIN_KEY": "k" * 40} if has_key else {}
    options = ("--port", "0", "--open")
    with running("serve", *options, cwd=tmp_path, BROWSER=str(browser), **settings) as program:
        until(opened.exists)
        address, _, code = opened.read_text().strip().partition("/#code=")
        assert address == program.url
        assert bool(code) is has_key
        if has_key:
            answers = [httpx2.post(f"{address}/api/v1/session", json={"code": code}) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [201, 401]
            assert answers[0].json()["me"]["role"] == "admin"
            assert code not in program.log.read_text()


def test_a_signal_lets_a_running_job_finish_and_its_client_hear_of_it(tmp_path: Path) -> None:
    slow = {"properties": {"simulate": {"step_ms": 50}}}
    with (
        running("serve", "--port", "0", *DEBUG, cwd=tmp_path) as program,
        program.client() as client,
    ):
        answers: list[Any] = []

        def ask() -> None:
            answers.append(
                client.post("/v1/consumer/jobs", params={"wait": "true"}, json=image_job(20, **slow))
            )

        asking = threading.Thread(target=ask)
        program.line("listening on")
        asking.start()
        program.line("step 3/5")
        program.signal()
        asking.join(20)
        assert program.ended() == 0
    assert answers[0].status_code == 200
    assert answers[0].json()["jobs"][0]["result"]["available"]
    assert program.line("job succeeded")
    assert "a very private prompt" not in program.log.read_text()


def test_a_queued_job_is_not_begun_after_a_signal_and_its_stream_is_let_go(tmp_path: Path) -> None:
    slow = {"properties": {"simulate": {"step_ms": 100}}}
    settings = {"IMAGEMILL_SIMULATOR__SLOTS": "1"}
    with (
        running("serve", "--port", "0", *DEBUG, cwd=tmp_path, **settings) as program,
        program.client() as client,
    ):
        first = submitted(program, steps=10, **slow)
        program.line("step 3/5")
        second = submitted(program, steps=10, **slow)
        with client.stream("GET", f"/api/v1/jobs/{second}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry")
            program.signal()
            assert program.ended() == 0
    jobs = {line["job"] for line in program.lines() if "step" in line["event"]}
    assert jobs == {first}
    assert not [line for line in program.lines() if "exception" in line]


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with running("serve", "--port", "0", *DEBUG, cwd=tmp_path) as program:
        submitted(program, properties={"simulate": "hang"})
        program.line("step 3/5")
        program.signal(signal.SIGINT)
        program.line("stopping: 1 running job may finish")
        program.signal(signal.SIGINT)
        assert program.ended() == 130


def test_api_scheduler_and_worker_are_processes_of_their_own(tmp_path: Path) -> None:
    with (
        running("api", "--port", "0", "--data-dir", "mill", cwd=tmp_path) as api,
        running("scheduler", "--data-dir", "mill", cwd=tmp_path) as scheduler,
        running(
            "worker", "--log-level", "debug", "--data-dir", "mill", "--queues", "gpu,render", cwd=tmp_path
        ) as worker,
    ):
        scheduler.line("scheduler started")
        assert worker.line("worker started")["queues"] == "gpu,render"
        job = submitted(api)
        with api.client() as client:
            until(lambda: client.get(f"/api/v1/jobs/{job}").json()["status"] == "succeeded")
        assert worker.line("step 5/5")["job"] == job
        for program in (api, scheduler, worker):
            program.signal()
        assert [program.ended() for program in (api, scheduler, worker)] == [0, 0, 0]


def test_a_worker_finishes_its_job_at_a_signal_and_stops_at_once_at_two(tmp_path: Path) -> None:
    with (
        running("api", "--port", "0", "--data-dir", "mill", cwd=tmp_path) as api,
        running("worker", *DEBUG, "--data-dir", "mill", cwd=tmp_path) as worker,
    ):
        submitted(api, steps=20, properties={"simulate": {"step_ms": 40}})
        worker.line("step 3/5")
        worker.signal()
        assert worker.ended() == 0
        assert worker.line("job succeeded")
        with running("worker", *DEBUG, "--data-dir", "mill", cwd=tmp_path) as other:
            submitted(api, properties={"simulate": "hang"})
            other.line("step 3/5")
            other.signal()
            other.line("stopping: 1")
            other.signal()
            assert other.ended() == 128 + signal.SIGTERM


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), cwd=tmp_path)
    assert done.returncode == 2
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert f"--port {port % 65535 + 1}" in done.stderr
    assert not (tmp_path / "imagemill-data").exists()


def test_an_unknown_queue_is_refused(tmp_path: Path) -> None:
    done = run("worker", "--queues", "gpu,gpo", cwd=tmp_path)
    assert done.returncode == 2
    assert "no such queue: gpo" in done.stderr


def test_an_unreachable_database_is_an_error_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://mill:a-secret@127.0.0.1:1/mill"
    for command in (["serve", "--port", "0"], ["migrate"]):
        done = run(*command, cwd=tmp_path, DATABASE_URL=url)
        assert done.returncode == 1
        assert "the database cannot be reached" in done.stderr
        assert "a-secret" not in done.stderr
        assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = run("serve", "--port", "0", "--data-dir", "taken", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the data folder cannot be used: taken")


def test_a_wrong_table_of_families_is_an_error_that_names_the_row(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "families.toml").write_text('[mine]\nextends = "nosuch"\n')
    done = run("serve", "--port", "0", cwd=tmp_path, IMAGEMILL_DATA_DIR=str(data))

    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert "families.toml: mine.extends is 'nosuch'" in done.stderr
    assert "Traceback" not in done.stderr


def test_migrate_says_from_where_to_where(tmp_path: Path) -> None:
    first = run("migrate", "--create", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "upgraded from an empty database to revision" in first.stdout
    assert "already" in run("migrate", cwd=tmp_path).stdout
    assert '"from": "' in run("migrate", "--json", cwd=tmp_path).stdout


def test_reload_serves_and_ends(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with running("serve", "--reload", "--port", str(port), "--data-dir", "mill", cwd=tmp_path) as program:
        program.line("loaded")
        # It is loaded before it listens.
        until(lambda: run("health", "--url", f"http://127.0.0.1:{port}", cwd=tmp_path).returncode == 0, 60)
        program.signal(signal.SIGINT)
        program.ended(60)
