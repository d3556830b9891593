"""Operations on many jobs and pauses, over HTTP."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from imagemill.config import Settings
from tests.conftest import Server, running_server
from tests.http.support import problem

JOB = {"recipe": "textToImage", "input": {"prompt": "a fox", "width": 64, "height": 64, "steps": 1}}
PAUSES = "/api/v1/pauses"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("operations"))
    with running_server(settings) as server:
        yield server


@pytest.fixture
def idle(shared: Server) -> Iterator[Server]:
    """A server whose jobs wait, as everything is paused."""
    pause = shared.client.post(PAUSES, json={"scope": "all", "reason": "a new card"}).json()
    yield shared
    bulk(shared, "cancel")
    shared.client.delete(f"{PAUSES}/{pause['id']}")


def submit(server: Server, **changes: Any) -> Any:
    answer = server.client.post("/api/v1/jobs", json={**JOB, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


def bulk(server: Server, action: str, **more: Any) -> Any:
    return server.client.post("/api/v1/jobs/bulk", json={"action": action, "filter": {}, **more})


def ended(server: Server, operation: Any) -> Any:
    """The operation once it has ended."""
    path = f"/api/v1/operations/{operation['id']}"
    end = time.monotonic() + 20
    while time.monotonic() < end:
        body = server.client.get(path).json()
        if body["finishedAt"]:
            return body
        time.sleep(0.02)
    raise AssertionError(body)


def test_a_paused_job_waits_and_says_why(idle: Server) -> None:
    job = submit(idle)
    assert (job["status"], job["waits"], job["retryAt"]) == ("queued", "paused by local: a new card", None)
    assert "all jobs are paused by local: a new card" in idle.client.get("/health").json()["problems"]
    (pause,) = idle.client.get(PAUSES).json()["items"]
    assert (pause["scope"], pause["name"], pause["by"]) == ("all", "", "local")


def test_a_removed_pause_lets_its_jobs_run(shared: Server) -> None:
    made = shared.client.post(PAUSES, json={"scope": "recipe", "name": "textToImage"})
    assert made.status_code == 201
    job = submit(shared)
    assert shared.client.delete(f"{PAUSES}/{made.json()['id']}").status_code == 200
    assert shared.wait(job["id"])["status"] == "succeeded"
    actions = [each["action"] for each in shared.client.get("/api/v1/audit").json()["items"]]
    assert actions[:2] == ["DELETE /api/v1/pauses/{pause_id}", "POST /api/v1/pauses"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scope": "planet"}, "scope"),
        ({"scope": "all", "name": "attic"}, "name"),
        ({"scope": "node"}, "name"),
        ({"scope": "recipe", "name": "textToimage"}, "name"),
        ({"scope": "owner", "name": "nobody"}, "name"),
    ],
)
def test_a_wrong_pause_is_refused_by_field(shared: Server, body: Any, field: str) -> None:
    assert field in problem(shared.client.post(PAUSES, json=body), 400)["errors"]
    assert shared.client.get(PAUSES).json()["items"] == []


def test_all_waiting_jobs_are_cancelled_after_the_time_to_undo(idle: Server) -> None:
    jobs = [submit(idle)["id"] for _ in range(3)]
    counted = bulk(idle, "cancel", filter={"id": jobs}, dryRun=True)
    assert (counted.status_code, counted.json()["eligible"]) == (200, 3)
    started = bulk(idle, "cancel", filter={"id": jobs})
    assert (started.status_code, started.json()["state"]) == (202, "scheduled")
    undone = idle.client.delete(f"/api/v1/operations/{started.json()['id']}").json()
    assert (undone["state"], undone["done"]) == ("canceled", 0)
    again = problem(idle.client.delete(f"/api/v1/operations/{started.json()['id']}"), 409)
    assert "canceled already" in again["detail"]


def test_a_replay_runs_in_the_background_with_another_size(shared: Server) -> None:
    job = submit(shared)
    shared.wait(job["id"])
    started = bulk(shared, "replay", filter={"id": [job["id"]]}, override={"input": {"width": 128}})
    done = ended(shared, started.json())
    assert (done["state"], done["total"], done["done"]) == ("done", 1, 1)
    newest = shared.client.get("/api/v1/jobs", params={"limit": 1}).json()["items"][0]
    assert (newest["replayOf"], newest["input"]["width"], newest["input"]["height"]) == (job["id"], 128, 64)
    assert shared.client.get(f"/api/v1/jobs/{job['id']}").json()["replays"] == 1
    assert shared.client.get("/api/v1/operations").json()["items"][0] == done


def test_the_priority_of_a_waiting_job_changes_and_that_of_an_ended_one_not(idle: Server) -> None:
    job = submit(idle)
    path = f"/api/v1/jobs/{job['id']}"
    assert idle.client.patch(path, json={"priority": -5}).json()["priority"] == -5
    done = ended(idle, bulk(idle, "priority", priority=7, filter={"id": [job["id"]]}).json())
    assert (done["done"], idle.client.get(path).json()["priority"]) == (1, 7)
    idle.client.post(f"{path}/cancel")
    assert "canceled" in problem(idle.client.patch(path, json={"priority": 0}), 409)["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "explode"}, "action"),
        ({"action": "priority"}, "priority"),
        ({"action": "cancel", "priority": 3}, "priority"),
        ({"action": "cancel", "override": {"model": "x"}}, "override"),
        ({"action": "cancel", "filter": {"status": ["lost"]}}, "filter.status"),
        ({"action": "cancel", "filter": {"colour": "red"}}, "filter.colour"),
    ],
)
def test_a_wrong_operation_is_refused_by_field(shared: Server, body: Any, field: str) -> None:
    answer = shared.client.post("/api/v1/jobs/bulk", json={"filter": {}, **body})
    assert field in problem(answer, 400)["errors"]


def test_unknown_operations_and_pauses_are_not_found(shared: Server) -> None:
    for method, path in (("GET", "operations"), ("DELETE", "operations"), ("DELETE", "pauses")):
        problem(shared.client.request(method, f"/api/v1/{path}/none"), 404)
