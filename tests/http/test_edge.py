"""The outermost layer: hosts, other sites, traces, and what a bug looks like from outside."""

from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from imagemill.web import problems
from imagemill.web.middleware import EdgeMiddleware, EdgeRules
from imagemill.web.policies import CorsClass, PathPolicies, PathPolicy
from tests.conftest import Server, image_job
from tests.http.support import count_jobs, events_of, first, formats, problem
from tests.http.test_bad_requests import raw_answer
from tests.http.test_native import request

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:1",
        "LOCALHOST",
        "127.0.0.1",
        "127.0.0.1:9999",
        "[::1]",
        "[::1]:80",
        "a.b.localhost",
    ],
)
def test_this_machine_is_answered_by_all_its_names(server: Server, host: str) -> None:
    assert httpx2.get(f"{server.url}/health/live", headers={"Host": host}, verify=False).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8700",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:127.0.0.1",
        "10.0.0.1",
        "[::2]",
        "user@localhost",
        "localhost@evil.example",
        "*",
        "xlocalhost",
        "localhost:80:80",
        "x" * 5000,
    ],
)
@pytest.mark.parametrize("path", ["/health", "/api/v1/jobs", "/v1/consumer/jobs", "/docs", "/nothing"])
def test_another_host_is_refused_before_anything_else(server: Server, host: str, path: str) -> None:
    """A page of another site that points its name at this machine gets nothing (DNS rebinding)."""
    answer = server.client.get(path, headers={"Host": host})

    assert "IMAGEMILL_ALLOWED_HOSTS" in problem(answer, 421)["detail"]


@pytest.mark.parametrize("hosts", [[], ["localhost", "evil.example"], ["evil.example", "localhost"], [""]])
def test_a_request_has_exactly_one_host(server: Server, hosts: list[str]) -> None:
    answer = raw_answer(server, ["GET /api/v1/jobs HTTP/1.1", *(f"Host: {host}" for host in hosts)])

    assert int(answer.split(b" ")[1]) in (400, 421)


def test_hosts_are_a_setting(make_server: Any) -> None:
    server = make_server(allowed_hosts=("mill.example", "*.lan"))

    def status(host: str) -> int:
        return httpx2.get(f"{server.url}/health/live", headers={"Host": host}, verify=False).status_code

    assert [status(host) for host in ("mill.example", "a.lan", "MILL.EXAMPLE:80")] == [200] * 3
    assert [status(host) for host in ("localhost", "lan", "mill.example.org")] == [421] * 3


ACTIONS = [("POST", "/api/v1/jobs"), ("POST", "/api/v1/jobs/{}/cancel"), ("POST", "/api/v1/jobs/{}/replay")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize(("method", "path"), ACTIONS)
def test_a_page_of_another_site_may_not_act_here(
    server: Server, method: str, path: str, headers: dict[str, str]
) -> None:
    job_id = first(server.submit(wait="true"))["jobId"]
    before = count_jobs(server)

    answer = server.client.request(method, path.format(job_id), json=request(), headers=headers)

    assert "another site" in problem(answer, 403)["detail"]
    assert "access-control-allow-origin" not in answer.headers
    assert count_jobs(server) == before


def test_our_own_page_and_what_is_no_browser_may(server: Server) -> None:
    host = urlsplit(server.url).netloc
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": server.url},
        {"Sec-Fetch-Site": "none"},
        {"Origin": f"http://{host}"},
    ):
        assert server.client.post("/api/v1/jobs", json=request(), headers=headers).status_code == 201


def test_a_page_of_another_site_cannot_read_our_own_api(server: Server) -> None:
    origin = {"Origin": "https://evil.example"}
    preflight = {**origin, "Access-Control-Request-Method": "POST"}

    read = server.client.get("/api/v1/jobs", headers=origin)
    asked = server.client.request("OPTIONS", "/api/v1/jobs", headers=preflight)

    assert "access-control-allow-origin" not in read.headers
    assert "access-control-allow-origin" not in asked.headers


@pytest.mark.parametrize("api", ["v1", "native"])
def test_a_callers_trace_is_continued_in_the_job(server: Server, api: str) -> None:
    headers = {"traceparent": PARENT}
    if api == "v1":
        answer = server.client.post("/v1/consumer/jobs", json=image_job(), headers=headers)
        job_id = first(answer)["jobId"]
    else:
        answer = server.client.post("/api/v1/jobs", json=request(), headers=headers)
        job_id = answer.json()["id"]

    trace = server.wait(job_id)["trace"]
    assert trace.split("-")[1] == PARENT.split("-")[1]
    assert trace.split("-")[2] != PARENT.split("-")[2]
    assert {event["context"]["trace_id"] for event in events_of(server, job_id)} == {trace}


def test_every_answer_tells_its_trace(server: Server) -> None:
    given = server.client.get("/v1/consumer/jobs/absent", headers={"traceparent": PARENT})
    own = server.client.get("/v1/consumer/jobs/absent")

    assert given.headers["traceparent"].split("-")[1] == PARENT.split("-")[1]
    assert given.json()["traceId"] == given.headers["traceparent"]
    assert formats(own.headers["traceparent"]) == "<trace>"
    assert own.headers["traceparent"] != given.headers["traceparent"]


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "x",
        PARENT[:-1],
        PARENT + "-00",
        PARENT.replace("4", "g"),
        "00-" + "0" * 32 + PARENT[35:],
        "ff" * 27 + "f",
    ],
)
def test_a_trace_that_is_none_is_replaced(server: Server, parent: str) -> None:
    answer = server.client.get("/health/live", headers={"traceparent": parent})

    assert answer.status_code == 200
    assert formats(answer.headers["traceparent"]) == "<trace>"
    assert answer.headers["traceparent"].split("-")[1] not in ("0" * 32, PARENT.split("-")[1])


@pytest.mark.parametrize("path", ["/health", "/v2/resources", "/nothing", "/docs", "/openapi.json"])
def test_no_answer_may_be_sniffed(server: Server, path: str) -> None:
    assert server.client.get(path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"]
)
def test_headers_cannot_say_where_we_are(server: Server, name: str) -> None:
    answer = server.client.post(
        "/v1/consumer/jobs", json=image_job(), params={"wait": "true"}, headers={name: "host=evil.example"}
    )

    assert first(answer)["result"]["blobUrl"].startswith(server.url)
    assert "evil" not in answer.text


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override"])
def test_headers_cannot_change_the_method(server: Server, header: str) -> None:
    job_id = first(server.submit(wait="true"))["jobId"]

    assert (
        server.client.get(f"/v1/consumer/jobs/{job_id}", headers={header: "DELETE"}).json()["jobId"] == job_id
    )


def test_a_bug_is_a_problem_that_tells_nothing() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/v1/broken")
    async def broken() -> None:
        raise RuntimeError("the password is hunter2")

    policies = PathPolicies([PathPolicy("/v1/", None, cors=CorsClass.CONTRACT)])
    client = TestClient(
        EdgeMiddleware(app, EdgeRules(hosts=["testserver"], body_bytes=1000), policies),
        raise_server_exceptions=False,
    )
    answer: Any = client.get("/v1/broken")

    assert "hunter2" not in answer.text
    assert problem(answer, 500)["type"] == "urn:imagemill:problem:bug"
    assert answer.headers["access-control-allow-origin"] == "*"
