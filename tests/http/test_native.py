"""Our own jobs API: list, look, submit, cancel, replay."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import LORA, SD1, SDXL, Server, image_job
from tests.http.support import count_jobs, faulty_job, first, formats, job_ids, problem, slow_job, until

INPUT = {"model": SD1, "prompt": "a lighthouse", "width": 64, "height": 64, "steps": 2}


def request(**changes: Any) -> dict[str, Any]:
    return {"recipe": "textToImage", "input": {**INPUT, **changes.pop("input", {})}, **changes}


def listed(server: Server, **query: Any) -> list[str]:
    answer = server.client.get("/api/v1/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["items"]]


def test_a_submitted_job_is_created_and_read_by_id(server: Server) -> None:
    answer = server.client.post(
        "/api/v1/jobs", json=request(name="mine", priority=-5, properties={"a": 1}, timeoutS=30.5)
    )
    job = server.wait(answer.json()["id"])

    assert answer.status_code == 201
    assert {name: job[name] for name in ("name", "priority", "properties", "recipe", "status")} == {
        "name": "mine",
        "priority": -5,
        "properties": {"a": 1},
        "recipe": "textToImage",
        "status": "succeeded",
    }
    assert job["input"]["seed"] == job["artifacts"][0]["seed"]
    assert formats(job["trace"]) == "<trace>"
    assert server.client.get(job["artifacts"][0]["url"], headers={"Authorization": ""}).status_code == 200


def test_a_submission_can_wait_for_its_picture(server: Server) -> None:
    answer = server.client.post("/api/v1/jobs", params={"wait": "true"}, json=request())

    assert answer.status_code == 201
    assert answer.json()["status"] == "succeeded"
    assert len(answer.json()["artifacts"]) == 1


def test_a_submission_waits_for_the_job_that_its_key_has_made(server: Server) -> None:
    def submit() -> tuple[int, str, str]:
        answer = server.client.post(
            "/api/v1/jobs", params={"wait": "true"}, json=request(), headers={"Idempotency-Key": "waits-1"}
        )
        return answer.status_code, answer.json()["id"], answer.json()["status"]

    created, again = submit(), submit()
    assert (created[0], again[0]) == (201, 200)
    assert created[1:] == again[1:] == (created[1], "succeeded")


def test_a_submission_that_waits_too_long_gets_what_there_is(make_server: Any) -> None:
    server = make_server(limit={"wait_s": 0.1})
    body = request(properties=slow_job(200)["properties"])
    answer = server.client.post("/api/v1/jobs", params={"wait": "true"}, json=body)

    assert answer.status_code == 202
    assert answer.json()["status"] in ("queued", "running")
    server.client.post(f"/api/v1/jobs/{answer.json()['id']}/cancel")


def test_it_needs_no_token(server: Server) -> None:
    answer = server.client.get("/api/v1/jobs", headers={"Authorization": ""})

    assert answer.status_code == 200


def test_jobs_of_every_dialect_are_listed_newest_first(server: Server) -> None:
    ours = server.client.post("/api/v1/jobs", json=request()).json()["id"]
    theirs = first(server.submit())["jobId"]

    assert listed(server)[:2] == [theirs, ours]


def test_a_list_is_read_page_by_page(make_server: Any) -> None:
    server = make_server()
    ids = job_ids(server.submit(image_job(quantity=7)))
    pages: list[list[str]] = []
    cursor = ""
    while cursor is not None:
        body = server.client.get("/api/v1/jobs", params={"limit": 3, "cursor": cursor}).json()
        pages.append([job["id"] for job in body["items"]])
        cursor = body["next"]

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [job_id for page in pages for job_id in page] == ids[::-1]


def test_filters_narrow_the_list(make_server: Any) -> None:
    server = make_server()
    good = server.submit(image_job(quantity=2), wait="true")
    bad = first(server.submit(faulty_job("content"), wait="true"))["jobId"]
    gone = first(server.submit(slow_job(500)))["jobId"]
    server.client.delete(f"/v1/consumer/jobs/{gone}")
    server.wait(gone)

    assert listed(server, status="failed") == [bad]
    assert listed(server, status="SUCCEEDED") == job_ids(good)[::-1]
    assert listed(server, status="failed,canceled") == [gone, bad]
    assert listed(server, status=["failed", "canceled"]) == [gone, bad]
    assert listed(server, status="running") == []
    assert listed(server, recipe="comfy") == []
    assert len(listed(server, recipe="textToImage")) == 4
    assert listed(server, batch=good.json()["token"]) == job_ids(good)[::-1]
    assert listed(server, batch="absent") == []


def test_a_failed_job_tells_why_and_what_to_do(server: Server) -> None:
    job = server.wait(first(server.submit(faulty_job("content")))["jobId"])

    assert job["status"] == "failed"
    assert job["error"]["code"] == "content_blocked"
    assert job["error"]["message"]
    assert job["error"]["advice"] == "Change the prompt: its content is not allowed."
    assert job["artifacts"] == []


def test_a_queued_job_tells_why_it_waits(make_server: Any) -> None:
    server = make_server(simulator={"slots": 1})
    running = first(server.submit(slow_job(200)))["jobId"]
    until(lambda: server.client.get(f"/api/v1/jobs/{running}").json()["status"] == "running")
    queued = server.client.post("/api/v1/jobs", json=request()).json()
    labelled = server.client.post("/api/v1/jobs", json=request(labels=["big"])).json()

    assert queued["status"] == "queued"
    assert queued["waits"]
    assert "big" in labelled["waits"]
    assert "waits" not in server.client.get(f"/api/v1/jobs/{running}").json()
    for job in (queued, labelled):
        server.client.post(f"/api/v1/jobs/{job['id']}/cancel")


def test_a_running_job_tells_its_progress(server: Server) -> None:
    job_id = first(server.submit(slow_job(60, params={"steps": 10})))["jobId"]

    job = until(lambda: (j := server.client.get(f"/api/v1/jobs/{job_id}").json()).get("progress") and j)

    assert 0 < job["progress"]["progress"] <= 1
    assert job["progress"]["total"] == 10
    assert "progress" not in server.wait(job_id)


def test_a_cancel_answers_the_job(server: Server) -> None:
    running = first(server.submit(slow_job(300)))["jobId"]
    until(lambda: server.client.get(f"/api/v1/jobs/{running}").json()["status"] == "running")

    answer = server.client.post(f"/api/v1/jobs/{running}/cancel")

    assert answer.status_code == 200
    assert answer.json()["cancelRequested"] is True
    assert server.wait(running)["status"] == "canceled"


@pytest.mark.parametrize("body", [image_job(), faulty_job("content")])
def test_a_replay_is_a_new_job_that_asks_for_the_same(server: Server, body: dict[str, Any]) -> None:
    old = server.wait(first(server.submit(body))["jobId"])

    answer = server.client.post(f"/api/v1/jobs/{old['id']}/replay")
    new = server.wait(answer.json()["id"])

    assert answer.status_code == 201
    assert new["id"] != old["id"]
    assert new["input"] == old["input"]
    assert new["status"] == old["status"]
    assert [a["sha256"] for a in new["artifacts"]] == [a["sha256"] for a in old["artifacts"]]


def test_only_a_finished_job_is_replayed(server: Server) -> None:
    job_id = first(server.submit(slow_job(300)))["jobId"]
    before = count_jobs(server)

    told = problem(server.client.post(f"/api/v1/jobs/{job_id}/replay"), 409)

    assert "only a finished job" in told["detail"]
    assert count_jobs(server) == before
    server.client.post(f"/api/v1/jobs/{job_id}/cancel")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/jobs/absent"),
        ("POST", "/api/v1/jobs/absent/cancel"),
        ("POST", "/api/v1/jobs/absent/replay"),
        ("GET", "/api/v1/jobs/absent/events"),
    ],
)
def test_an_absent_job_is_a_404(server: Server, method: str, path: str) -> None:
    assert "absent" in problem(server.client.request(method, path), 404)["detail"]


def test_the_same_key_answers_the_same_job(server: Server) -> None:
    key = {"Idempotency-Key": "native-once"}
    body = request(properties={"a": 1, "b": 2})
    reordered = dict(reversed(request(properties={"b": 2, "a": 1}).items()))

    answers = [server.client.post("/api/v1/jobs", json=each, headers=key) for each in (body, reordered)]

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    other = server.client.post("/api/v1/jobs", json=request(priority=1), headers=key)
    assert "another body" in problem(other, 409)["detail"]


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/consumer/jobs"])
def test_one_key_in_one_moment_makes_one_job(server: Server, path: str) -> None:
    """Requests that wait together are written in one transaction, and still only one of them is the first."""
    body = request() if path.startswith("/api") else image_job()
    with ThreadPoolExecutor(16) as pool:
        for number in range(10):
            before = count_jobs(server)
            key = {"Idempotency-Key": f"{path} {number}"}
            posts = [pool.submit(server.client.post, path, json=body, headers=key) for _ in range(16)]
            answers = [post.result() for post in posts]

            assert {answer.status_code for answer in answers} <= {200, 201}
            assert len({answer.json().get("id") or answer.json()["jobId"] for answer in answers}) == 1
            assert count_jobs(server) == before + 1


BAD: list[tuple[Any, str, str]] = [
    ({}, "recipe", "required"),
    ({"recipe": "textToImage"}, "input", "required"),
    (request() | {"recipe": "textToImge"}, "recipe", "did you mean 'textToImage'"),
    (request() | {"recipe": 5}, "recipe", "text"),
    (request() | {"input": []}, "input", "object"),
    (request() | {"inputs": {}}, "inputs", "did you mean 'input'"),
    (request(priority=101), "priority", "100"),
    (request(timeoutS=0), "timeoutS", "above 0"),
    (request(timeoutS=10**9), "timeoutS", "86400"),
    (request(name="x" * 201), "name", "200"),
    (request(properties={"x" * 201: 1}), "properties", "200"),
    (request(labels=["x"] * 21), "labels", "20"),
    (request(labels=["ok", "größe"]), "labels[1]", "1 to 64 of"),
    (request(labels=["x" * 65]), "labels[0]", "1 to 64 of"),
    (request(priority=True), "priority", "number"),
    (request(callbackUrl="http://10.0.0.1/"), "callbackUrl", "public"),
    (request(input={"width": 1}), "input.width", "64"),
    (request(input={"colour": 1}), "input.colour", "not a field here"),
    (request(input={"model": "nonsense"}), "input.model", "urn:air:"),
    (request(input={"model": SDXL[:-1]}), "input.model", "register"),
    (request(input={"format": "gif"}), "input.format", "png"),
    ({"recipe": "comfy", "input": {"graph": {}}}, "input.graph", "class_type"),
    ({"recipe": "comfy", "input": {"graph": {"1": 5}}}, "input.graph['1']", "class_type"),
]


@pytest.mark.parametrize(("body", "path", "word"), BAD, ids=[f"{n}-{row[1]}" for n, row in enumerate(BAD)])
def test_a_wrong_field_is_named_with_what_would_be_right(
    server: Server, body: Any, path: str, word: str
) -> None:
    before = count_jobs(server)

    told = problem(server.client.post("/api/v1/jobs", json=body), 400)

    assert path in told["errors"]
    assert word in told["errors"][path][0]
    assert count_jobs(server) == before


def test_networks_are_given_by_air(server: Server) -> None:
    body = request(input={"networks": [{"air": LORA, "strength": 0.5}]})

    job = server.wait(server.client.post("/api/v1/jobs", json=body).json()["id"])

    assert job["status"] == "succeeded"
    assert job["input"]["networks"][0]["strength"] == 0.5
