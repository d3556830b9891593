"""Statistics, residency, forecast, placement, graph and relations over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from imagemill.domain.access import Role
from imagemill.domain.clock import SECOND, now_us
from tests.access.support import ask, guarded, key
from tests.conftest import SD1, Server, image_job
from tests.http.support import first, job_ids, problem, until

SLOW = {"simulate": {"step_ms": 60_000}}


def native(server: Server, **more: object) -> str:
    body = {
        "recipe": "textToImage",
        "input": {"prompt": "a lighthouse", "width": 64, "height": 64, "steps": 4},
    }
    answer = server.client.post("/api/v1/jobs", json={**body, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_the_counters_of_the_last_minutes(make_server: Callable[..., Server]) -> None:
    server = make_server()
    job = server.wait(native(server))
    server.app.minutes.record(now_us() + 120 * SECOND)
    query = {"series": "finished,waiting_p95,stage_p95,node_busy,queue_age", "owner": "*"}

    body = server.client.get("/api/v1/stats", params=query).json()

    values = {(each["series"], each["key"]): each["values"] for each in body["items"]}
    assert body["stepS"] == 60
    assert sum(value or 0 for value in values["finished", ""]) == 1
    assert any(value is not None for value in values["waiting_p95", ""])
    assert {key for series, key in values if series == "stage_p95"} >= {"render", "store"}
    assert ("node_busy", job["node"]) in values
    by_node = server.client.get("/api/v1/stats", params={"series": "finished", "by": "node"}).json()
    assert [each["key"] for each in by_node["items"]] == [job["node"]]
    one = server.client.get("/api/v1/stats", params={"series": "finished", "node": job["node"]}).json()
    assert sum(value or 0 for value in one["items"][0]["values"]) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"series": "finishd"}, "series"),
        ({"step": "90"}, "step"),
        ({"step": "60", "from": "2026-01-01T00:00:00Z", "to": "2026-01-09T00:00:00Z"}, "step"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ({"by": "owner"}, "by"),
        ({"recipe": "comfy", "node": "attic"}, "recipe"),
    ],
)
def test_an_impossible_question_names_the_field(server: Server, query: dict[str, str], field: str) -> None:
    answer = server.client.get("/api/v1/stats", params=query)

    assert field in problem(answer, 400)["errors"]


def test_hours_and_minutes_make_a_long_chart(make_server: Callable[..., Server]) -> None:
    server = make_server()
    server.wait(native(server))
    server.app.minutes.record(now_us() + 120 * SECOND)
    since = (datetime.now(UTC) - timedelta(days=7)).isoformat()

    body = server.client.get("/api/v1/stats", params={"series": "finished", "from": since}).json()

    assert body["stepS"] == 3600
    assert sum(value or 0 for value in body["items"][0]["values"]) == 1


def test_which_node_has_and_has_loaded_which_model(make_server: Callable[..., Server]) -> None:
    server = make_server(resources={"seed": True})
    job = server.wait(first(server.submit(image_job()))["jobId"])

    body = server.client.get("/api/v1/residency", params={"type": "checkpoint"}).json()

    (node,) = body["nodes"]
    assert node["name"] == job["node"]
    assert node["loaded"] == [SD1]
    states = {model["air"]: model["nodes"][node["name"]] for model in body["models"]}
    assert states[SD1] == "loaded"
    assert set(states.values()) == {"loaded", "installed"}
    assert server.client.get("/api/v1/residency", params={"q": "no such model"}).json()["total"] == 0


def test_when_a_waiting_job_starts_and_why_there(make_server: Callable[..., Server]) -> None:
    server = make_server(shutdown_grace_s=0, simulator={"nodes": 2, "slots": 1})
    running = [native(server, properties=SLOW) for _ in range(2)]
    jobs = server.client
    until(lambda: all(jobs.get(f"/api/v1/jobs/{each}").json()["status"] == "running" for each in running))
    waiting = native(server)
    node = jobs.get(f"/api/v1/jobs/{running[0]}").json()["node"]

    body = jobs.get("/api/v1/forecast", params={"owner": "*"}).json()
    drained = jobs.get("/api/v1/forecast", params={"without": node}).json()
    placement = jobs.get(f"/api/v1/jobs/{waiting}/placement").json()

    ((item,), (other,)) = body["items"], drained["items"]
    assert (item["id"], other["id"]) == (waiting, waiting)
    assert item["startsAt"] > body["at"]
    assert other["node"] not in (node, None)
    assert {each["name"] for each in body["nodes"]} == {each["node"] for each in placement["nodes"]}
    assert all(each["fits"] and each["score"] is not None for each in placement["nodes"])
    (claim,) = jobs.get(f"/api/v1/jobs/{running[0]}/placement").json()["claims"]
    assert (claim["node"], claim["attempt"]) == (node, 1)
    assert claim["reason"]
    assert "without" in problem(jobs.get("/api/v1/forecast", params={"without": "atic"}), 400)["errors"]
    for each in (*running, waiting):
        jobs.post(f"/api/v1/jobs/{each}/cancel")


def test_the_graph_of_a_job_with_the_time_of_each_node(make_server: Callable[..., Server]) -> None:
    server = make_server(simulator={"step_ms": 5, "load_ms": 30})
    job_id = native(server)
    server.wait(job_id)

    graph = server.client.get(f"/api/v1/jobs/{job_id}/graph").json()

    nodes = {node["classType"]: node for node in graph["nodes"]}
    assert (graph["source"], graph["timed"]) == ("sent", True)
    assert nodes["CheckpointLoaderSimple"]["ms"] >= 30
    assert nodes["KSampler"]["ms"] >= 20
    assert nodes["KSampler"]["startMs"] >= nodes["CheckpointLoaderSimple"]["ms"]
    sampler = nodes["KSampler"]["id"]
    assert {link["input"] for link in graph["links"] if link["target"] == sampler} >= {"model", "positive"}
    again = native(server)
    server.wait(again)
    cached = server.client.get(f"/api/v1/jobs/{again}/graph").json()["nodes"]
    assert [node["classType"] for node in cached if node["cached"]] == ["CheckpointLoaderSimple"]


def test_the_jobs_around_a_job(server: Server) -> None:
    one, two = job_ids(server.submit(image_job(quantity=2)))

    body = server.client.get(f"/api/v1/jobs/{one}/relations").json()

    assert [each["id"] for each in body["siblings"]] == [two]
    assert (body["needs"], body["neededBy"], body["notices"], body["ledger"]) == ([], [], [], [])


def test_nothing_of_another_owner_is_told(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server, shutdown_grace_s=0, simulator={"nodes": 1, "slots": 1})
    ann, bob = key(server, "ann"), key(server, "bob")
    job = {"recipe": "textToImage", "input": {"prompt": "x", "width": 64, "height": 64, "steps": 4}}
    slow = {**job, "properties": SLOW}
    mine = [ask(server, ann, "POST", "/api/v1/jobs", json=slow).json()["id"] for _ in range(2)]

    for path in ("placement", "graph", "relations"):
        problem(ask(server, bob, "GET", f"/api/v1/jobs/{mine[0]}/{path}"), 404)
        assert ask(server, ann, "GET", f"/api/v1/jobs/{mine[0]}/{path}").status_code == 200
    until(lambda: len(ask(server, ann, "GET", "/api/v1/forecast").json()["items"]) == 1)
    foreign = ask(server, bob, "GET", "/api/v1/forecast").json()
    assert (foreign["items"], foreign["doneAt"], foreign["nodes"]) == ([], None, [])
    server.app.minutes.record(now_us() + 120 * SECOND)
    for who, count in ((ann, 2), (bob, 0)):
        values = ask(server, who, "GET", "/api/v1/stats?series=submitted,queue_age,node_busy").json()["items"]
        assert [each["series"] for each in values] == ["submitted"]
        assert sum(value or 0 for value in values[0]["values"]) == count
    problem(ask(server, bob, "GET", "/api/v1/stats?owner=*"), 403)
    problem(ask(server, bob, "GET", "/api/v1/residency"), 403)
    assert ask(server, key(server, "oscar", Role.OPERATOR), "GET", "/api/v1/residency").status_code == 200
    for each in mine:
        ask(server, ann, "POST", f"/api/v1/jobs/{each}/cancel")
