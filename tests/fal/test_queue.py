"""fal's queue on the wire: submit, status, stream, result, cancel."""

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.conftest import Server
from tests.fal.support import (
    FAST,
    KEY,
    SCHNELL,
    accepted,
    finished,
    look,
    made,
    queued,
    until,
    wanted,
)

UNKNOWN = "01a20740-aac5-75ad-94ab-f2dc4501c798"


def job_of(server: Server, told: dict[str, Any]) -> dict[str, Any]:
    answer = server.client.get(f"/api/v1/jobs/{told['request_id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def running(server: Server) -> dict[str, Any]:
    """A request that is being made, for as long as nobody cancels it."""
    told = accepted(queued(server, body=wanted(prompt="it hangs")))
    until(lambda: look(server, told).json()["status"] == "IN_PROGRESS")
    return told


def cancel(server: Server, told: dict[str, Any]) -> Any:
    return server.client.put(told["cancel_url"], headers=KEY)


def test_a_submission_is_answered_with_the_addresses_of_its_request(fal: Server) -> None:
    answer = queued(fal)
    told = accepted(answer)

    one = f"{fal.url}/fal/fal-ai/flux/requests/{told['request_id']}"
    assert told == {
        "status": "IN_QUEUE",
        "request_id": told["request_id"],
        "response_url": one,
        "status_url": f"{one}/status",
        "cancel_url": f"{one}/cancel",
        "queue_position": told["queue_position"],
    }
    assert answer.headers["x-fal-request-id"] == told["request_id"]
    assert finished(fal, told)["status"] == "COMPLETED"


def test_a_request_is_one_job_however_many_pictures_it_asks_for(fal: Server) -> None:
    told = accepted(queued(fal, body=wanted(num_images=3)))
    output = made(fal, told)

    job = job_of(fal, told)
    assert len(output["images"]) == 3
    assert len(job["artifacts"]) == 3
    assert [each["url"].partition("?")[0] for each in output["images"]] == [
        each["url"].partition("?")[0] for each in job["artifacts"]
    ]
    assert len({each["url"] for each in output["images"]}) == 3


def test_a_request_that_waits_says_how_many_are_before_it(fal: Server) -> None:
    hanging = [running(fal), running(fal)]
    waiting = [accepted(queued(fal)) for _ in range(3)]

    answers = [look(fal, told) for told in waiting]

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert [answer.json()["status"] for answer in answers] == ["IN_QUEUE"] * 3
    assert [answer.json()["queue_position"] for answer in answers] == [0, 1, 2]
    assert waiting[2]["queue_position"] == 2
    for told in hanging:
        assert cancel(fal, told).status_code == 202
    assert [finished(fal, told)["status"] for told in waiting] == ["COMPLETED"] * 3


def test_a_request_that_is_being_made_has_logs_where_they_are_asked_for(fal: Server) -> None:
    told = running(fal)

    silent, talking = look(fal, told), look(fal, told, logs="1")

    assert silent.status_code == 202
    assert (silent.json()["status"], silent.json()["logs"]) == ("IN_PROGRESS", None)
    lines = talking.json()["logs"]
    assert [line["message"].partition(" ")[0] for line in lines][:2] == ["queued", "taken"]
    assert all(set(line) == {"timestamp", "level", "source", "message"} for line in lines)
    cancel(fal, told)


def test_a_finished_request_has_metrics(fal: Server) -> None:
    told = accepted(queued(fal))
    status = finished(fal, told, logs="true")

    assert look(fal, told).status_code == 200
    assert status["metrics"]["inference_time"] > 0
    assert "error" not in status
    assert status["logs"][-1]["message"] == "completed"


def test_the_second_try_of_a_request_is_seen_in_its_logs(fal: Server) -> None:
    told = accepted(queued(fal, body=wanted(prompt="at the second try")))

    lines = finished(fal, told, logs="1")["logs"]

    assert [line["level"] for line in lines].count("WARN") == 1
    assert lines[-1]["message"] == "completed"


def test_a_result_that_is_not_there_yet_is_a_400(fal: Server) -> None:
    told = running(fal)
    answer = fal.client.get(told["response_url"], headers=KEY)

    assert answer.status_code == 400
    assert "not finished" in answer.json()["detail"]
    cancel(fal, told)


@pytest.mark.parametrize(
    ("prompt", "status", "type_"),
    [
        ("forbidden fruit", 422, None),
        ("it is refused", 500, "runner_server_error"),
        ("a damaged one", 502, "runner_incomplete_response"),
    ],
)
def test_a_request_that_failed_is_completed_with_an_error(
    fal: Server, prompt: str, status: int, type_: str | None
) -> None:
    told = accepted(queued(fal, body=wanted(prompt=prompt)))

    seen = finished(fal, told)
    result = fal.client.get(told["response_url"], headers=KEY)

    assert seen["error"]
    assert seen["error_type"] == type_
    assert result.status_code == status
    assert result.json().get("error_type") == type_
    assert result.headers.get("x-fal-error-type") == type_
    assert result.headers["x-fal-request-id"] == told["request_id"]


def test_a_request_in_the_queue_is_cancelled_at_once(fal: Server) -> None:
    hanging = [running(fal), running(fal)]
    told = accepted(queued(fal))

    answer = cancel(fal, told)

    assert (answer.status_code, answer.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    assert look(fal, told).json()["error_type"] == "client_cancelled"
    for each in hanging:
        cancel(fal, each)


def test_a_request_that_is_being_made_is_cancelled(fal: Server) -> None:
    told = running(fal)

    assert cancel(fal, told).status_code == 202
    assert finished(fal, told)["error_type"] == "client_cancelled"
    assert fal.client.get(told["response_url"], headers=KEY).status_code == 499


def test_a_finished_request_cannot_be_cancelled(fal: Server) -> None:
    told = accepted(queued(fal))
    finished(fal, told)

    answer = cancel(fal, told)

    assert (answer.status_code, answer.json()["status"]) == (400, "ALREADY_COMPLETED")


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("GET", "/status"), ("PUT", "/cancel")])
@pytest.mark.parametrize("app", ["fal-ai/flux", "fal-ai/other"])
def test_what_is_no_request_is_a_404(fal: Server, method: str, end: str, app: str) -> None:
    answer = fal.client.request(method, f"/fal/{app}/requests/{UNKNOWN}{end}", headers=KEY)

    assert answer.status_code == 404
    assert UNKNOWN in answer.json()["detail"]


def test_a_request_is_found_below_its_own_app_only(fal: Server) -> None:
    told = accepted(queued(fal, SCHNELL))
    here, elsewhere = (f"/fal/{app}/requests/{told['request_id']}/status" for app in ("fal-ai/flux", FAST))

    assert fal.client.get(here, headers=KEY).status_code in (200, 202)
    assert fal.client.get(elsewhere, headers=KEY).status_code == 404


def test_jobs_of_other_dialects_are_no_requests(fal: Server) -> None:
    job_id = fal.submit().json()["jobs"][0]["jobId"]

    assert fal.client.get(f"/fal/fal-ai/flux/requests/{job_id}", headers=KEY).status_code == 404


def test_a_stream_tells_each_status_and_ends_with_the_last(fal: Server) -> None:
    told = accepted(queued(fal, body=wanted(num_inference_steps=20)))

    with fal.client.stream("GET", f"{told['status_url']}/stream?logs=1", headers=KEY) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]

    assert events[-1]["status"] == "COMPLETED"
    assert events[-1]["logs"][-1]["message"] == "completed"
    assert [event["status"] for event in events].count("COMPLETED") == 1
    assert all(one != following for one, following in pairwise(events))


def test_low_priority_comes_after_normal(fal: Server) -> None:
    hanging = [running(fal), running(fal)]
    low = accepted(queued(fal, headers={"X-Fal-Queue-Priority": "low"}))
    normal = accepted(queued(fal, headers={"X-Fal-Queue-Priority": "normal", "X-Fal-Runner-Hint": "any"}))

    assert look(fal, normal).json()["queue_position"] == 0
    assert look(fal, low).json()["queue_position"] == 1
    for each in [*hanging, low, normal]:
        cancel(fal, each)


def test_what_nobody_starts_in_time_fails_by_the_clients_own_timeout(fal: Server) -> None:
    hanging = [running(fal), running(fal)]
    told = accepted(queued(fal, headers={"X-Fal-Request-Timeout": "0.2"}))

    seen = finished(fal, told)
    result = fal.client.get(told["response_url"], headers=KEY)

    assert seen["error_type"] == "request_timeout"
    assert result.status_code == 504
    assert result.headers["x-fal-request-timeout-type"] == "user"
    for each in hanging:
        cancel(fal, each)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Fal-Queue-Priority", "high"),
        ("X-Fal-Request-Timeout", "soon"),
        ("X-Fal-Request-Timeout", "0.1"),
        ("X-Fal-Request-Timeout", "nan"),
        ("X-Fal-Request-Timeout", "1e300"),
    ],
)
def test_headers_that_say_nothing_are_refused(fal: Server, name: str, value: str) -> None:
    answer = queued(fal, headers={name: value})

    assert answer.status_code == 400
    assert (answer.json()["error_type"], answer.headers["x-fal-error-type"]) == ("bad_request",) * 2
    assert answer.json()["detail"].startswith(name)


def test_a_submission_with_a_key_is_taken_once(fal: Server) -> None:
    headers = {"Idempotency-Key": "one-of-fals"}

    first, second = (accepted(queued(fal, headers=headers)) for _ in range(2))
    another = queued(fal, body=wanted(prompt="something else"), headers=headers)
    elsewhere = queued(fal, SCHNELL, headers=headers)

    assert first["request_id"] == second["request_id"]
    # Not 409, which the published client would send again nine times.
    assert (another.status_code, elsewhere.status_code) == (422, 422)


def test_without_a_key_each_submission_is_a_request(fal: Server) -> None:
    assert accepted(queued(fal))["request_id"] != accepted(queued(fal))["request_id"]


def test_pictures_that_are_gone_are_told_of(fal: Server) -> None:
    told = accepted(queued(fal))
    made(fal, told)
    keys = [each.blob_key for each in fal.app.stores.jobs.view(told["request_id"]).artifacts]
    fal.app.stores.jobs.mark_files_deleted(keys)

    assert fal.client.get(told["response_url"], headers=KEY).status_code == 410


def test_nothing_of_it_may_be_kept_by_proxies(fal: Server) -> None:
    told = accepted(queued(fal))

    assert look(fal, told).headers["cache-control"] == "no-store"
