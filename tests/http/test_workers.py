"""The list of processes: who is there, since when, and what it runs."""

import os
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

import imagemill
from imagemill.bootstrap.application import Roles
from imagemill.bootstrap.stores import Stores
from imagemill.domain.access import Role
from imagemill.domain.clock import SECOND, now_us
from imagemill.jobs.processes import LOST_S, Process, ProcessReporter, ProcessStore
from tests.access.support import ask, guarded, key
from tests.conftest import Server, image_job
from tests.http.support import first, problem, until

SLOW = image_job(properties={"simulate": {"step_ms": 60_000}})


def test_a_server_lists_itself_with_what_it_runs(make_server: Callable[..., Server]) -> None:
    server = make_server(shutdown_grace_s=0)
    job_id = first(server.submit(SLOW))["jobId"]
    until(lambda: server.client.get(f"/api/v1/jobs/{job_id}").json()["status"] == "running")

    (process,) = server.client.get("/api/v1/workers").json()["items"]

    job = server.client.get(f"/api/v1/jobs/{job_id}").json()
    assert process["name"] == job["worker"]
    assert process["jobs"] == [job_id]
    assert process["roles"] == ["api", "scheduler", "worker"]
    assert (process["queues"], process["leader"], process["healthy"]) == (None, True, True)
    assert (process["host"], process["pid"]) == (socket.gethostname(), os.getpid())
    assert process["version"] == imagemill.__version__
    server.client.post(f"/api/v1/jobs/{job_id}/cancel")


def test_each_process_of_a_fleet_is_listed_and_one_that_stops_is_not(
    make_server: Callable[..., Server],
) -> None:
    one = make_server(roles=Roles(scheduler=False, worker=False))
    two = make_server(roles=Roles(api=True, scheduler=True, worker=True, queues=frozenset({"gpu"})))
    found = one.client.get("/api/v1/workers").json()["items"]
    assert [(each["roles"], each["queues"]) for each in found] == [
        (["api"], None),
        (["api", "scheduler", "worker"], ["gpu"]),
    ]

    two.app.reporter.close()

    assert [each["roles"] for each in one.client.get("/api/v1/workers").json()["items"]] == [["api"]]


def test_it_is_for_those_who_may_read_nodes(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server)

    problem(ask(server, key(server, "ann"), "GET", "/api/v1/workers"), 403)
    for role in (Role.OPERATOR, Role.VIEWER):
        assert ask(server, key(server, role.value, role), "GET", "/api/v1/workers").status_code == 200
    problem(ask(server, None, "GET", "/api/v1/workers"), 401)


PROCESS = Process("a-1-b", ("worker",), ("gpu", "render"), "attic", 7, "1.0", 1, 1)


def test_a_process_is_lost_and_later_forgotten(store: Stores) -> None:
    processes, now = ProcessStore(store.database), now_us()
    processes.report(replace(PROCESS, seen_at=now - 2 * 86_400 * SECOND))
    lost = replace(PROCESS, name="lost", seen_at=now - round(2 * LOST_S * SECOND))
    processes.report(lost)
    processes.report(replace(PROCESS, name="alive", seen_at=now))

    assert {view.process.name for view in processes.all()} == {"lost", "alive"}
    assert [view.process for view in processes.all() if view.process.name == "lost"] == [lost]


def test_a_heartbeat_keeps_the_start(store: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagemill.jobs.processes.REPORT_S", 0.01)
    processes = ProcessStore(store.database)
    reporter = ProcessReporter(processes, "me", ["api"], None, "1.0")
    reporter.start()
    before = processes.all()[0].process
    until(lambda: processes.all()[0].process.seen_at > before.seen_at)
    after = processes.all()[0].process
    reporter.close()

    assert after.started_at == before.started_at
    assert processes.all() == []
