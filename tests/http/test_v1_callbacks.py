"""Civitai v1, callbacks: each event is posted to a real receiver, in order, until it is taken."""

import time
from datetime import datetime
from typing import Any

import pytest

from tests.conftest import Server, image_job
from tests.http.support import (
    Receiver,
    events_of,
    faulty_job,
    first,
    formats,
    job_ids,
    problem,
    slow_job,
    until,
)

ALLOWED = {"retry_base_s": 0.02, "tries": 4}


def done(receiver: Receiver, job_id: str) -> list[dict[str, Any]]:
    """The events of a job that were taken, once the last one has been; progress, which may be, left out."""
    until(lambda: any(event["jobHasCompleted"] for event in receiver.accepted(job_id)))
    return [event for event in receiver.accepted(job_id) if event["type"] != "Updated"]


def test_every_event_is_told_once_and_in_order(make_server: Any, receiver: Receiver) -> None:
    server = make_server(webhook=ALLOWED, allow_networks=["127.0.0.0/8"])
    job_id = first(server.submit(image_job(callbackUrl=receiver.url, properties={"user": 5})))["jobId"]

    done(receiver, job_id)
    told = receiver.accepted(job_id)
    log = events_of(server, job_id)

    assert [(event["type"], event["dateTime"]) for event in told] == [
        (event["type"], event["dateTime"]) for event in log
    ]
    assert told[-1] == log[-1]
    assert {event["jobProperties"]["user"] for event in told} == {5}


def test_a_callback_has_what_its_receivers_read(make_server: Any, receiver: Receiver) -> None:
    server = make_server(webhook=ALLOWED, allow_networks=["127.0.0.0/8"])
    job_id = first(server.submit(image_job(callbackUrl=receiver.url)))["jobId"]
    done(receiver, job_id)

    for _, body, headers in receiver.calls:
        assert {"jobId", "type", "dateTime", "jobHasCompleted", "jobProperties"} <= set(body)
        assert datetime.fromisoformat(body["dateTime"])
        assert formats([body["claimDuration"], body["jobDuration"]]) == ["<span>", "<span>"]
        assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("refusals", [[500], [503, 404, 302], [400]])
def test_a_refused_callback_is_sent_again_before_the_next_one(
    make_server: Any, receiver: Receiver, refusals: list[int]
) -> None:
    server = make_server(webhook=ALLOWED, allow_networks=["127.0.0.0/8"])
    receiver.script = list(refusals)
    job_id = first(server.submit(image_job(callbackUrl=receiver.url)))["jobId"]

    told = done(receiver, job_id)

    types = [body["type"] for _, body, _ in receiver.calls if body["type"] != "Updated"]
    assert types == ["Initialized"] * (len(refusals) + 1) + ["Claimed", "Succeeded"]
    assert [event["type"] for event in told] == ["Initialized", "Claimed", "Succeeded"]


def test_a_callback_that_is_never_taken_is_given_up_and_the_next_one_goes(
    make_server: Any, receiver: Receiver
) -> None:
    server = make_server(webhook={**ALLOWED, "tries": 2}, allow_networks=["127.0.0.0/8"])
    receiver.script = [500, 500]
    job_id = first(server.submit(image_job(callbackUrl=receiver.url)))["jobId"]

    assert [event["type"] for event in done(receiver, job_id)] == ["Claimed", "Succeeded"]


@pytest.mark.parametrize(("fault", "last"), [("content", "Failed"), (None, "Deleted")])
def test_the_end_of_a_job_is_told_however_it_ends(
    make_server: Any, receiver: Receiver, fault: str | None, last: str
) -> None:
    server = make_server(webhook=ALLOWED, allow_networks=["127.0.0.0/8"])
    job = faulty_job(fault) if fault else slow_job(300)
    job_id = first(server.submit({**job, "callbackUrl": receiver.url}))["jobId"]
    if not fault:
        server.client.delete(f"/v1/consumer/jobs/{job_id}")

    assert done(receiver, job_id)[-1]["type"] == last


def test_every_job_of_a_request_calls_back(make_server: Any, receiver: Receiver) -> None:
    server = make_server(webhook=ALLOWED, allow_networks=["127.0.0.0/8"])

    ids = job_ids(server.submit(image_job(quantity=6, callbackUrl=receiver.url)))

    assert {done(receiver, job_id)[-1]["type"] for job_id in ids} == {"Succeeded"}


def test_a_receiver_that_is_away_delays_no_job(make_server: Any) -> None:
    server = make_server(webhook=ALLOWED, allow_networks=["127.0.0.0/8"])
    started = time.monotonic()

    answer = server.submit(image_job(callbackUrl="http://127.0.0.1:9/"), wait="true")

    assert answer.status_code == 200
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/",
        "http://localhost/",
        "http://[::1]/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:127.0.0.1]/",
        "http://0.0.0.0/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com",
        "example.com/hook",
        "http://user:secret@example.com/",
        "http://[::1",
        "http://",
        "",
        "http://example.com:99999/",
        "http://exa mple.com/",
        "http://" + "x" * 3000,
        "javascript:alert(1)",
    ],
)
def test_an_address_that_may_not_be_called_is_refused_at_once(server: Server, url: str) -> None:
    answer = server.submit({"jobs": [image_job(), image_job(callbackUrl=url)]})

    assert list(problem(answer, 400)["errors"]) == ["jobs[1].callbackUrl"]
