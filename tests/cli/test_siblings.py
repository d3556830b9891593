"""``serve --processes``: one command whose processes share the work, replace each other and stop together."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from imagemill.cli import siblings
from imagemill.cli.siblings import ProcessCounts, count_processes, shares
from tests.cli.programs import Program, image_job, run, running
from tests.http.support import until


@pytest.mark.parametrize(
    ("wanted", "cores", "apis", "workers"),
    [
        (1, 16, 1, 0),
        (2, 1, 1, 1),
        (3, 16, 1, 2),
        (6, 16, 2, 4),
        ("auto", 1, 1, 0),
        ("auto", 2, 1, 1),
        ("auto", 4, 1, 3),
        ("auto", 64, 2, 6),
    ],
)
def test_processes_are_counted_by_cores(
    wanted: Any, cores: int, apis: int, workers: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(siblings, "_cores", lambda: cores)
    assert count_processes(wanted) == ProcessCounts(apis, workers)


def test_simulated_nodes_are_dealt_out_to_the_workers():
    assert shares(4, 2) == [2, 2]
    assert shares(1, 3) == [1, 0, 0]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--processes", "0"), "IMAGEMILL_PROCESSES: should be a whole number from 1 to 64, or auto"),
        (("--processes", "all"), "IMAGEMILL_PROCESSES: should be a whole number from 1 to 64, or auto"),
        (("--processes", "2", "--reload"), "--processes cannot be used with --reload"),
    ],
)
def test_unusable_numbers_are_refused(options: tuple[str, ...], part: str, tmp_path: Path):
    ended = run("serve", *options, cwd=tmp_path)
    assert ended.returncode == 2
    assert part in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("processes")
    with running("serve", "--processes", "6", "--port", "0", cwd=folder, **_SETTINGS) as program:
        yield program


_SETTINGS = {
    "IMAGEMILL_SIMULATOR__NODES": "2",
    "IMAGEMILL_JOB__RETRY_BASE_S": "0.05",
    "IMAGEMILL_SWEEP_S": "0.2",
}


def _siblings(program: Program) -> dict[int, str]:
    """Return the command of each process that the server has started, by its number."""
    found: dict[int, str] = {}
    for task in Path(f"/proc/{program.process.pid}/task").iterdir():
        for pid in (task / "children").read_text().split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "--ends-with" in words:
                found[int(pid)] = words[words.index("imagemill") + 1]
    return found


def _workers(client: httpx2.Client) -> list[dict[str, Any]]:
    return [each for each in client.get("/api/v1/workers").json()["items"] if "worker" in each["roles"]]


def _submit(client: httpx2.Client, *, wait: bool, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/consumer/jobs", params={"wait": str(wait).lower()}, json=image_job(**changes))
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


def test_jobs_are_made_by_workers_and_answered_by_every_api_process(served: Program):
    until(lambda: sorted(_siblings(served).values()) == ["api", *["worker"] * 4], 120)
    with served.client() as client:
        until(lambda: len(_workers(client)) == 4, 120)
        assert _submit(client, wait=True)["result"]["available"]
    assert served.line("api started")
    # Each connection is accepted by one of the two API processes, whichever is first.
    for _ in range(10):
        with served.client() as client:
            assert _submit(client, wait=True)["result"]["available"]


def test_health_lists_the_nodes_of_the_workers(served: Program):
    with served.client() as client:
        workers = until(lambda: len(found := _workers(client)) == 4 and found, 120)
        ends = {each["name"].rpartition("-")[2] for each in workers}

        def listed() -> list[str]:
            return [each["name"] for each in client.get("/health").json()["nodes"]]

        # The two simulated nodes are dealt out to the four workers, and the others have none.
        names = until(lambda: len(found := listed()) == 2 and found, 120)
        assert {name.partition(".")[0] for name in names} == {"sim-1"}
        assert {name.partition(".")[2] for name in names} < ends
        assert {_submit(client, wait=True)["result"]["available"] for _ in range(3)} == {True}
        jobs = client.get("/api/v1/jobs", params={"limit": 3}).json()["items"]
        assert {client.get(f"/api/v1/jobs/{each['id']}").json()["node"] for each in jobs} <= set(names)


def test_a_killed_process_is_replaced_and_its_jobs_are_made(served: Program):
    until(lambda: len(_siblings(served)) == 5, 120)
    before = set(_siblings(served))
    with served.client() as client:
        until(lambda: len(_workers(client)) == 4, 120)
        tokens = [
            _submit(client, wait=False, properties={"simulate": {"step_ms": 100}})["token"] for _ in range(6)
        ]
        killed = [pid for pid, command in _siblings(served).items() if command == "worker"]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(_siblings(served).keys() - before) == 4, 120)

        def is_made(token: str) -> bool:
            job = client.get("/v1/consumer/jobs", params={"token": token}).json()
            return job["result"]["available"]

        until(lambda: all(map(is_made, tokens)), 120)
    assert served.line("another is started")["level"] == "warning"


def test_all_stop_together_once_running_jobs_are_made(served: Program):
    until(lambda: len(_siblings(served)) == 5, 120)
    siblings = _siblings(served)
    answers: list[dict[str, Any]] = []

    def ask() -> None:
        with served.client() as client:
            answers.append(_submit(client, wait=True, properties={"simulate": {"step_ms": 300}}))

    asking = threading.Thread(target=ask)
    asking.start()
    with served.client() as client:
        until(lambda: client.get("/api/v1/jobs", params={"status": "running"}).json()["items"], 120)
    # As a terminal does for Ctrl-C.
    for pid in (served.process.pid, *siblings):
        os.kill(pid, signal.SIGINT)
    assert served.ended() in (0, -signal.SIGINT)
    asking.join(10)
    assert answers[0]["result"]["available"]
    assert not [pid for pid in siblings if Path(f"/proc/{pid}").exists()]


def test_the_others_end_when_the_first_is_killed(tmp_path: Path):
    with running("serve", "--processes", "2", "--port", "0", cwd=tmp_path, **_SETTINGS) as program:
        assert program.url
        (sibling,) = until(lambda: list(_siblings(program)), 120)
        program.line("worker started")
        program.signal(signal.SIGKILL)
        program.ended()
        until(lambda: _has_ended(sibling), 120)


def _has_ended(pid: int) -> bool:
    time.sleep(0.05)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True
