"""Requests that are wrong outside their bodies: methods, routes, queries, headers, sizes."""

import socket
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.conftest import Server, image_job
from tests.http.support import count_jobs, first, problem


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/v1/consumer/jobs", {"GET", "HEAD", "POST", "PUT", "DELETE"}),
        ("POST", "/v1/consumer/jobs/x", {"GET", "HEAD", "PUT", "DELETE"}),
        ("DELETE", "/v1/consumer/coverage", {"GET", "HEAD"}),
        ("POST", "/v1/producer/jobs/x/events", {"GET", "HEAD"}),
        ("POST", "/v2/resources/x", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("PUT", "/api/v1/jobs", {"GET", "HEAD", "POST"}),
        ("GET", "/api/v1/jobs/x/cancel", {"POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("DELETE", "/blobs/x", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    server: Server, method: str, path: str, allowed: set[str]
) -> None:
    answer = server.client.request(method, path)

    told = problem(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert all(name in told["detail"] for name in (method, *allowed))


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/consumer/models", "/v3/x", "/api/v1/nothing", "/blobs", "/%2e%2e/x"],
)
def test_an_unknown_route_is_a_404_problem(server: Server, path: str) -> None:
    assert "/docs" in problem(server.client.get(path), 404)["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("wait=maybe", "wait"),
        ("wait=30", "wait"),
        ("detailed=yes", "detailed"),
        ("whatif=%FF", "whatif"),
        ("wait=true&wait=x", "wait"),
    ],
)
def test_a_flag_is_true_or_false(server: Server, query: str, field: str) -> None:
    before = count_jobs(server)

    answer = server.client.post(f"/v1/consumer/jobs?{query}", json=image_job())

    assert "true or false" in problem(answer, 400)["errors"][field][0]
    assert count_jobs(server) == before


@pytest.mark.parametrize("flag", ["true", "TRUE", "1", "false", "False", "0", ""])
def test_flags_are_read_in_every_usual_spelling(server: Server, flag: str) -> None:
    assert server.submit(image_job(), detailed=flag).status_code == 200


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/consumer/jobs", "token"),
        ("/v1/consumer/coverage", "model"),
        ("/v1/consumer/coverage?" + "&".join(["model=x"] * 101), "model"),
        ("/v1/consumer/coverage?model=x", "model"),
        ("/v1/consumer/coverage?model=%FF", "model"),
        ("/v1/consumer/requests?take=0", "take"),
        ("/v1/consumer/requests?take=101", "take"),
        ("/v1/consumer/requests?take=-1", "take"),
        ("/v1/consumer/requests?take=1.5", "take"),
        ("/v1/consumer/requests?take=" + "9" * 5000, "take"),
        ("/v1/consumer/requests?cursor=5", "cursor"),
        ("/v1/consumer/requests?cursor=" + "x" * 36, "cursor"),
        ("/v1/consumer/requests?cursor=%27%20OR%201%3D1", "cursor"),
        ("/api/v1/jobs?cursor=abc", "cursor"),
        ("/api/v1/jobs?limit=0", "limit"),
        ("/api/v1/jobs?limit=501", "limit"),
        ("/api/v1/jobs?limit=ten", "limit"),
        ("/api/v1/jobs?status=finished", "status"),
        ("/v2/resources?page=0", "page"),
        ("/v2/resources?limit=101", "limit"),
        ("/v2/resources?page=99999999999999999999", "page"),
        ("/v2/resources?q=" + "x" * 201, "q"),
    ],
)
def test_a_wrong_query_parameter_is_named(server: Server, path: str, field: str) -> None:
    answer = server.client.get(path)

    assert list(problem(answer, 400)["errors"]) == [field]


@pytest.mark.parametrize("cursor", ["abc", "5", "x" * 36, "0" * 64, "' OR 1=1"])
def test_a_wrong_cursor_of_a_query_says_where_to_get_one(server: Server, cursor: str) -> None:
    answer = server.client.post("/v1/consumer/jobs/query", json={"cursor": cursor})

    assert "last answer" in problem(answer, 400)["errors"]["cursor"][0]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"properties": []}, "properties"),
        ({"properties": {str(n): n for n in range(11)}}, "properties"),
        ({"cursor": 5}, "cursor"),
        ({"jobType": []}, "jobType"),
        ([], "body"),
    ],
)
def test_a_wrong_field_of_a_query_is_named(server: Server, query: object, field: str) -> None:
    told = problem(server.client.post("/v1/consumer/jobs/query", json=query), 400)

    assert list(told["errors"]) == [field]


@pytest.mark.parametrize(
    ("note", "field"),
    [
        ({"reason": 5}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"context": "x"}, "context"),
        ({"properties": {"x" * 201: 1}}, "properties"),
        ("why", "body"),
    ],
)
def test_a_wrong_taint_is_named(server: Server, note: object, field: str) -> None:
    answer = server.submit()
    by_id = server.client.put(f"/v1/consumer/jobs/{first(answer)['jobId']}", json=note)
    by_token = server.client.put("/v1/consumer/jobs", params={"token": answer.json()["token"]}, json=note)

    assert list(problem(by_id, 400)["errors"]) == [field]
    assert list(problem(by_token, 400)["errors"]) == [field]


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb", "größe"])
def test_an_odd_idempotency_key_is_refused(server: Server, key: str) -> None:
    before = count_jobs(server)

    answer = server.client.post(
        "/v1/consumer/jobs", json=image_job(), headers={"Idempotency-Key": key.encode("latin-1")}
    )

    assert list(problem(answer, 400)["errors"]) == ["Idempotency-Key"]
    assert count_jobs(server) == before


@pytest.mark.parametrize("last", ["-1", "x", "1.5", "9" * 10, "٣", "1 2"])
def test_an_odd_last_event_id_is_refused(server: Server, last: str) -> None:
    job_id = first(server.submit())["jobId"]

    answer = server.client.get(f"/api/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last.encode()})

    assert list(problem(answer, 400)["errors"]) == ["Last-Event-ID"]


PATHS = [
    "/v1/consumer/jobs/{}",
    "/v1/consumer/jobs?token={}",
    "/v1/consumer/requests?cursor={}",
    "/v1/consumer/coverage?model={}",
    "/v1/consumer/consumption?startDate={}",
    "/v1/producer/jobs/{}/events",
    "/v2/resources/{}",
    "/v2/resources?q={}",
    "/api/v1/jobs/{}",
    "/api/v1/jobs?batch={}",
    "/api/v1/jobs?recipe={}",
    "/api/v1/jobs?status={}",
    "/api/v1/jobs/{}/events",
    "/blobs/{}",
    "/blobs/x.png?exp={}&sig=x",
    "/blobs/x.png?exp=1&sig={}",
]
ODD = [
    "%00",
    "%FF%FE",
    "%ED%A0%80",
    "%F0%9F%97%BC",
    "a%0Ab",
    "%2F..%2F..%2Fetc",
    "%25",
    "%",
    "%zz",
    "%27--",
    "+",
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_characters_in_a_url_are_never_a_server_error(accepting: Server, odd: str) -> None:
    lines = [f"GET {path.format(odd)} HTTP/1.1" for path in PATHS]
    statuses = {line: _raw_status(accepting, line) for line in lines}

    assert [line for line, status in statuses.items() if not 200 <= status < 500] == []
    if odd == "%00":
        assert set(statuses.values()) == {400}


def raw_answer(server: Server, lines: list[str]) -> bytes:
    """Send what no client library would, and read the beginning of the answer."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as conn:
        conn.sendall("\r\n".join([*lines, "Connection: close"]).encode("latin-1") + b"\r\n\r\n")
        return conn.recv(1000)


def _raw_status(server: Server, request_line: str, *headers: str) -> int:
    answer = raw_answer(server, [request_line, "Host: localhost", "Authorization: Bearer x", *headers])
    return int(answer.split(b" ")[1])


@pytest.mark.parametrize(
    ("request_line", "header"),
    [
        ("GET /v1/consumer/jobs/" + "x" * 100_000 + " HTTP/1.1", "X-A: 1"),
        ("GET /v1/consumer/jobs?token=" + "x" * 100_000 + " HTTP/1.1", "X-A: 1"),
        ("GET /v2/resources/" + "x" * 100_000 + " HTTP/1.1", "X-A: 1"),
        ("GET /api/v1/jobs?" + "a=b&" * 30_000 + " HTTP/1.1", "X-A: 1"),
        ("GET /api/v1/jobs HTTP/1.1", "X-Long: " + "x" * 100_000),
        ("GET /api/v1/jobs HTTP/1.1", "Authorization: Bearer " + "x" * 100_000),
        ("GET /api/v1/jobs HTTP/1.1", "X-Bytes: \xff\xfe\x80"),
        ("GET /api/v1/jobs HTTP/1.1", "traceparent: \xff" + "0" * 54),
        ("GET /api/v1/jobs HTTP/1.1", "traceparent: 00-" + "0" * 32 + "-" + "0" * 16 + "-00"),
        ("GET /api/v1/jobs/x/events HTTP/1.1", "Last-Event-ID: \xff"),
        ("POST /v1/consumer/jobs HTTP/1.1", "Content-Length: -5"),
        ("POST /v1/consumer/jobs HTTP/1.1", "Content-Length: " + "9" * 40),
        ("POST /v1/consumer/jobs HTTP/1.1", "Content-Length: abc"),
        ("GET /api/v1/jobs HTTP/1.1", "Range: bytes=" + "0-1," * 20_000),
        ("GET http://evil.example/api/v1/jobs HTTP/1.1", "X-A: 1"),
        ("GET api/v1/jobs HTTP/1.1", "X-A: 1"),
        ("nonsense", "X-A: 1"),
    ],
    ids=range(17),
)
def test_absurd_requests_are_never_a_server_error(server: Server, request_line: str, header: str) -> None:
    assert 200 <= _raw_status(server, request_line, header) < 500
    assert httpx2.get(f"{server.url}/health/live", verify=False).status_code == 200
