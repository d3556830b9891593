"""One line a request, one line a job."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imagemill.domain.blob_keys import owner_hash
from tests.access.support import ask, guarded, key
from tests.conftest import Server, image_job
from tests.http.support import first, until

PRIVATE = "a very private lighthouse"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., list[logging.LogRecord]]]:
    """The lines of requests so far, once there are ``count`` of them."""
    caplog.set_level(logging.INFO, "imagemill")

    def of(count: int) -> list[logging.LogRecord]:
        def found() -> list[logging.LogRecord]:
            return [record for record in caplog.records if record.name == "imagemill.access"]

        until(lambda: len(found()) >= count)
        return found()

    return of


def facts(record: logging.LogRecord) -> dict[str, Any]:
    return {name: vars(record).get(name) for name in ("ms", "trace", "account", "user")}


def test_each_request_leaves_a_line(make_server: Callable[..., Server], lines: Any) -> None:
    server = guarded(make_server)
    ann = key(server, "ann")
    answers = [
        ask(server, ann, "POST", "/v1/consumer/jobs", json=image_job(params={"prompt": PRIVATE})),
        ask(server, ann, "GET", "/api/v1/jobs?limit=1"),
        ask(server, ann, "GET", "/api/v1/jobs/absent"),
        ask(server, ann, "GET", f"/nothing/{'x' * 500}?secret=1"),
        ask(server, None, "GET", "/api/v1/jobs"),
        ask(server, ann, "HEAD", "/api/v1/jobs"),
        ask(server, ann, "GET", "/api/v1/jobs", headers={"Host": "evil.example"}),
    ]

    found = lines(len(answers))

    assert [record.getMessage().partition("/nothing/")[0] for record in found] == [
        "POST /v1/consumer/jobs 200",
        "GET /api/v1/jobs 200",
        "GET /api/v1/jobs/{job_id} 404",
        "GET ",
        "GET /api/v1/jobs 401",
        "HEAD /api/v1/jobs 200",
        "GET /api/v1/jobs 421",
    ]
    assert {record.levelno for record in found} == {logging.INFO}
    for record, answer in zip(found, answers, strict=True):
        assert facts(record)["trace"] == answer.headers["traceparent"]
        assert facts(record)["ms"] >= 0
    assert [facts(record)["account"] for record in found] == ["ann"] * 4 + [None, "ann", None]
    assert "secret" not in found[3].getMessage()
    assert len(found[3].getMessage()) < 250


def test_an_end_user_is_a_digest(make_server: Callable[..., Server], lines: Any) -> None:
    server = guarded(make_server)
    app = key(server, "app", is_service=True)
    ask(server, app, "GET", "/api/v1/jobs", headers={"X-Imagemill-User": "bob@example.org"})

    (record,) = lines(1)

    assert facts(record)["account"] == "app"
    assert facts(record)["user"] == owner_hash("app:bob@example.org")
    assert "bob" not in str(vars(record))


def test_probes_leave_a_line_only_when_they_fail(make_server: Callable[..., Server], lines: Any) -> None:
    server = make_server()
    for path in ("/health/live", "/health/ready", "/metrics", "/health/none"):
        server.client.get(path)

    assert [record.getMessage() for record in lines(1)] == ["GET /health/none 404"]


def test_a_stream_leaves_its_line_at_its_end(make_server: Callable[..., Server], lines: Any) -> None:
    server = make_server()
    job_id = first(server.submit(image_job(properties={"simulate": {"step_ms": 50}})))["jobId"]
    with server.client.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
        for _ in stream.iter_lines():
            pass

    assert [record.getMessage() for record in lines(2)] == [
        "POST /v1/consumer/jobs 200",
        "GET /api/v1/jobs/{job_id}/events 200",
    ]
    assert facts(lines(2)[1])["ms"] > 100


def test_the_setting_switches_it_off(
    make_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "imagemill")
    server = make_server(access_log=False)
    server.client.get("/api/v1/jobs/absent")
    server.wait(first(server.submit())["jobId"])

    assert not [record for record in caplog.records if record.name == "imagemill.access"]


def test_a_job_leaves_one_line_at_info(
    make_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "imagemill")
    server = make_server(access_log=False)
    server.wait(first(server.submit(image_job(params={"prompt": PRIVATE})))["jobId"])

    until(lambda: any("job succeeded" in record.getMessage() for record in caplog.records))
    of_runs = [record for record in caplog.records if "job" in record.getMessage()]
    assert [record.getMessage() for record in of_runs] == ["job succeeded"]
    assert vars(of_runs[0])["recipe"] == "textToImage"
    assert vars(of_runs[0])["attempt"] == 1
    assert PRIVATE not in str([vars(record) for record in caplog.records])


def test_metrics_have_no_series_of_creation_times(server: Server) -> None:
    server.wait(first(server.submit())["jobId"])

    text = server.client.get("/metrics").text

    assert "imagemill_jobs_total" in text
    assert "_created" not in text
