"""Faults of the API itself: by a header, a property of a job, or a rule; in every dialect."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.conftest import SD1, Server, image_job
from tests.http.support import count_jobs, first, problem, until

JOBS = "/v1/consumer/jobs"
FAULTS = "/api/v1/simulator/faults"
NATIVE: dict[str, Any] = {
    "recipe": "textToImage",
    "input": {"model": SD1, "width": 64, "height": 64, "steps": 2},
}
FAL: dict[str, Any] = {"prompt": "a fox", "image_size": {"width": 256, "height": 256}}
AVATAR: dict[str, Any] = {"characterId": "lia", "character": {"name": "Lia", "gender": "female"}}


@pytest.fixture(autouse=True)
def clean(server: Server) -> Iterator[None]:
    yield
    assert server.client.delete(FAULTS).status_code == 204


def asking(
    server: Server, fault: Any, method: str = "GET", path: str = "/health", **more: Any
) -> httpx2.Response:
    header = {"X-Imagemill-Fault": fault if isinstance(fault, str) else json.dumps(fault)}
    return server.client.request(method, path, headers=header, **more)


def set_fault(server: Server, **rule: Any) -> dict[str, Any]:
    answer = server.client.post(FAULTS, json=rule)
    assert answer.status_code == 201, answer.text
    return answer.json()


# By a header


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "unauthenticated"),
        (402, "credits_insufficient"),
        (429, "rate_limited"),
        (500, "bug"),
        (503, "busy"),
    ],
)
def test_a_header_asks_for_a_status(server: Server, status: int, code: str) -> None:
    answer = asking(server, str(status), "POST", JOBS, json=image_job())

    assert problem(answer, status)["type"] == f"urn:imagemill:problem:{code}"


def test_a_fault_strikes_so_often_and_the_job_is_made_once(server: Server) -> None:
    before = count_jobs(server)
    fault = {"http": 429, "times": 2, "retryAfter": 1, "id": "often"}

    answers = [asking(server, fault, "POST", JOBS, json=image_job()) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [429, 429, 200, 200]
    assert [answer.headers.get("retry-after") for answer in answers] == ["1", "1", None, None]
    assert count_jobs(server) == before + 2


def test_equal_faults_are_told_apart_by_an_id(server: Server) -> None:
    answers = [asking(server, {"http": 503, "id": name}).status_code for name in ("a", "a", "b")]

    assert answers == [503, 200, 503]


def test_an_answer_may_be_slow(server: Server) -> None:
    start = time.monotonic()

    answer = asking(server, {"slowMs": 200, "id": "slow"})

    assert answer.status_code == 200
    assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_connection_is_dropped_before_or_after_the_request_is_handled(
    server: Server, when: str, made: int
) -> None:
    before = count_jobs(server)

    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        asking(server, {"drop": when}, "POST", JOBS, json=image_job())

    assert count_jobs(server) == before + made


def test_a_body_is_cut_off(server: Server) -> None:
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        asking(server, {"cut": True})


def test_the_url_of_a_picture_expires(server: Server) -> None:
    url = first(server.submit(wait="true"))["result"]["blobUrl"]

    expired = asking(server, {"expiredBlob": True}, path=url)

    assert "has expired" in problem(expired, 403)["detail"]
    assert server.client.get(url).status_code == 200


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("nonsense", "should be a status"),
        ("{}", "needs one of"),
        ("200", "http"),
        ("477", "not a status"),
        ('{"http": 429, "cut": true}', "exclude each other"),
        ('{"retryAfter": 3, "cut": true}', "retryAfter needs http"),
        ('{"htp": 429}', "htp"),
        ("[" * 900, "should be a status"),
    ],
)
def test_a_wrong_header_is_refused(server: Server, header: str, words: str) -> None:
    detail = problem(asking(server, header), 400)["detail"]

    assert "X-Imagemill-Fault" in detail
    assert words in detail


# By a property


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (JOBS, image_job()),
        (JOBS, {"jobs": [image_job(), image_job()]}),
        ("/api/v1/jobs", NATIVE),
    ],
)
def test_a_property_of_a_job_asks_for_a_fault_of_its_submission(
    server: Server, path: str, body: dict[str, Any]
) -> None:
    body = json.loads(json.dumps(body))
    job = body["jobs"][-1] if "jobs" in body else body
    job["properties"] = {"simulate": {"http": 500, "times": 2, "id": f"{path} {len(str(body))}"}}

    answers = [server.client.post(path, json=body).status_code for _ in range(3)]

    assert answers[:2] == [500, 500]
    assert answers[2] in (200, 201)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        ({"http": 200}, "http"),
        ({"http": 429, "fault": "crash"}, "fault"),
        ({"http": 429, "times": 0}, "times"),
        ({"stuck": 1}, "stuck is true"),
        ({"stuck": True, "times": 2}, "stuck is true"),
    ],
)
def test_a_wrong_property_is_refused(server: Server, hint: dict[str, Any], words: str) -> None:
    answer = server.submit(image_job(properties={"simulate": hint}))

    assert words in problem(answer, 400)["errors"]["properties"][0]


def test_a_stuck_job_stays_queued_until_it_is_canceled(server: Server) -> None:
    stuck = server.client.post(
        "/api/v1/jobs", json={**NATIVE, "properties": {"simulate": {"stuck": True}}}
    ).json()
    server.submit(wait="true")

    job = server.client.get(f"/api/v1/jobs/{stuck['id']}").json()

    assert job["status"] == "queued"
    assert "simulate-stuck" in job["waits"]
    server.client.delete(f"{JOBS}/{stuck['id']}")
    until(lambda: server.client.get(f"/api/v1/jobs/{stuck['id']}").json()["status"] == "canceled")


# By a rule


@pytest.mark.parametrize(
    ("path", "body", "shape"),
    [
        (JOBS, image_job(), "type"),
        ("/api/v1/jobs", NATIVE, "type"),
        ("/fal/fal-ai/flux/dev", FAL, "detail"),
        ("/api/v1/image-generation/characters/generate-avatar", AVATAR, "success"),
    ],
)
def test_a_rule_strikes_every_dialect_in_its_own_shape(
    server: Server, path: str, body: dict[str, Any], shape: str
) -> None:
    set_fault(server, http=402, path=path)

    answer = server.client.post(path, json=body)

    assert answer.status_code == 402
    assert shape in answer.json()


def test_a_rule_counts_only_what_it_matches(server: Server) -> None:
    added = set_fault(server, http=429, times=2, method="post", path="/v1/consumer/*")

    others = [
        server.client.get(JOBS, params={"token": "x"}).status_code,
        server.client.get("/health").status_code,
    ]
    struck = [server.submit().status_code for _ in range(3)]
    [listed] = server.client.get(FAULTS).json()["items"]

    assert others == [404, 200]
    assert struck == [429, 429, 200]
    assert (added["hits"], added["left"]) == (0, 2)
    assert (listed["id"], listed["hits"], listed["left"]) == (added["id"], 2, 0)


def test_a_rule_may_last_and_be_deleted(server: Server) -> None:
    rule = set_fault(server, http=500, times=None, path="/health")
    struck = {server.client.get("/health").status_code for _ in range(5)}
    deleted = server.client.delete(f"{FAULTS}/{rule['id']}")

    assert struck == {500}
    assert deleted.status_code == 204
    assert server.client.get("/health").status_code == 200
    assert problem(server.client.delete(f"{FAULTS}/{rule['id']}"), 404)


def test_a_rule_has_a_probability(server: Server) -> None:
    set_fault(server, http=500, times=None, path="/health/live", probability=0.5)

    found = [server.client.get("/health/live").status_code for _ in range(60)]

    assert set(found) == {200, 500}


def test_no_rule_strikes_the_routes_that_delete_it(server: Server) -> None:
    set_fault(server, http=500, times=None)

    assert server.client.get("/health").status_code == 500
    assert server.client.get(FAULTS).status_code == 200


@pytest.mark.parametrize("rule", [{"http": 99}, {"path": "/x"}, {"http": 500, "probability": 2}, {"htp": 1}])
def test_a_wrong_rule_is_refused(server: Server, rule: dict[str, Any]) -> None:
    assert problem(server.client.post(FAULTS, json=rule), 400)["errors"]


def test_there_are_no_faults_without_the_simulator(make_server: Callable[..., Server]) -> None:
    server = make_server(comfyui={"urls": "http://127.0.0.1:1"})

    header = asking(server, "500")
    rule = server.client.post(FAULTS, json={"http": 500})

    assert "while the simulator" in problem(header, 400)["detail"]
    assert "while the simulator" in problem(rule, 409)["detail"]
