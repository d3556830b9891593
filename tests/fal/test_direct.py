"""fal's direct calls on the wire: run, and stream."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from tests.conftest import Server
from tests.fal.support import DEV, FAST, KEY, accepted, direct, queued, until, wanted


def newest(server: Server) -> dict[str, Any]:
    return server.client.get("/api/v1/jobs", params={"limit": 1}).json()["items"][0]


@contextmanager
def calling(server: Server, **headers: str) -> Iterator[tuple[socket.socket, str]]:
    """On the line with a direct call that never ends, and the id of its request; hung up after."""
    before = newest(server)["id"]
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps(wanted(prompt="it hangs")).encode()
    lines = {**KEY, "Host": host, "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection((host, int(port)), timeout=40) as line:
        line.sendall(f"POST /fal-run/{DEV} HTTP/1.1\r\n{head}\r\n".encode() + body)
        until(lambda: newest(server)["id"] != before and newest(server)["status"] == "running")
        yield line, newest(server)["id"]


def test_a_direct_call_is_answered_with_what_was_made(fal: Server) -> None:
    answer = direct(fal, FAST, wanted(num_images=2))
    output = accepted(answer)

    assert [(each["width"], each["height"]) for each in output["images"]] == [(64, 64)] * 2
    request_id = answer.headers["x-fal-request-id"]
    status = fal.client.get(f"/fal/{FAST}/requests/{request_id}/status", headers=KEY)
    assert status.json()["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("prompt", "status", "type_"),
    [("forbidden fruit", 422, None), ("it is refused", 500, "runner_server_error")],
)
def test_a_direct_call_that_fails_says_why(fal: Server, prompt: str, status: int, type_: str | None) -> None:
    answer = direct(fal, body=wanted(prompt=prompt))

    assert answer.status_code == status
    assert answer.headers.get("x-fal-error-type") == type_
    assert answer.headers["x-fal-request-id"]


def test_who_hangs_up_has_the_request_cancelled(fal: Server) -> None:
    accepted(queued(fal))
    with calling(fal) as (_, request_id):
        assert newest(fal)["status"] == "running"

    assert fal.wait(request_id, 40)["status"] == "canceled"


def test_who_leaves_a_stream_has_the_request_cancelled(fal: Server) -> None:
    before = accepted(queued(fal))["request_id"]
    with (
        httpx2.Client(base_url=fal.url) as client,
        client.stream("POST", f"/fal-run/{DEV}/stream", json=wanted(prompt="it hangs"), headers=KEY),
    ):
        assert until(lambda: newest(fal)["id"] != before)

    assert until(lambda: newest(fal)["status"] == "canceled")


def test_who_gave_a_key_can_come_back_for_the_result(fal: Server) -> None:
    accepted(queued(fal))
    headers = {"Idempotency-Key": "coming-back"}
    with calling(fal, **headers) as (_, left):
        pass
    watched = fal.app.hub._watchers  # pyright: ignore[reportPrivateUsage]
    until(lambda: left not in watched)
    assert fal.client.get(f"/api/v1/jobs/{left}").json()["status"] == "running"

    with ThreadPoolExecutor(1) as callers:
        again = callers.submit(direct, fal, body=wanted(prompt="it hangs"), headers=headers)
        until(lambda: left in watched)
        fal.client.post(f"/api/v1/jobs/{left}/cancel")
        answer = again.result(40)

    assert (answer.status_code, answer.headers["x-fal-request-id"]) == (499, left)
    assert newest(fal)["id"] == left, "sending it again makes nothing new"


def test_a_key_brings_the_result_of_a_finished_call_again(fal: Server) -> None:
    headers = {"Idempotency-Key": "twice"}
    first, second = (direct(fal, headers=headers) for _ in range(2))

    assert first.headers["x-fal-request-id"] == second.headers["x-fal-request-id"]
    assert accepted(first)["images"][0]["width"] == accepted(second)["images"][0]["width"] == 64


def test_a_call_that_takes_too_long_is_ended(make_server: Any) -> None:
    server = make_server(
        fal_api={"run_s": 0.3}, simulator={"faults": [{"fault": "hang", "prompt": "hangs", "times": 99}]}
    )
    answer = direct(server, body=wanted(prompt="it hangs"))
    stream = direct(server, f"{DEV}/stream", wanted(prompt="it hangs"))

    assert (answer.status_code, answer.json()["error_type"]) == (504, "request_timeout")
    assert json.loads(stream.text.strip().splitlines()[-1][6:])["error_type"] == "request_timeout"
    jobs = server.client.get("/api/v1/jobs").json()["items"]
    assert until(lambda: all(server.wait(job["id"])["status"] == "canceled" for job in jobs))


def test_a_stream_ends_with_what_was_made_or_why_not(fal: Server) -> None:
    def last(prompt: str) -> dict[str, Any]:
        answer = direct(fal, f"{FAST}/stream", wanted(prompt=prompt))
        assert answer.headers["content-type"].startswith("text/event-stream")
        return json.loads(answer.text.strip().splitlines()[-1][6:])

    assert last("a lighthouse")["images"][0]["url"].startswith(fal.url)
    assert last("forbidden fruit")["detail"][0]["type"] == "content_policy_violation"


def test_what_is_wrong_is_told_before_a_stream_begins(fal: Server) -> None:
    assert direct(fal, f"{DEV}/stream", {}).status_code == 422
    assert direct(fal, "fal-ai/nothing/stream").status_code == 404
