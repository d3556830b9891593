"""``/api/v1/webhooks`` over HTTP."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.access.support import guarded, key
from tests.conftest import Server, image_job
from tests.service.build import wait_until
from tests.webhooks.receivers import receiving

PATH = "/api/v1/webhooks"


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(allow_networks=["127.0.0.0/8"], webhook={"endpoints": 3, "retry_base_s": 0.05})


def added(server: Server, url: str = "http://127.0.0.1:9/hook", **more: Any) -> dict[str, Any]:
    answer = server.client.post(PATH, json={"url": url, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_secret_is_shown_once(server: Server):
    endpoint = added(server, description="mine")
    assert endpoint["secret"].startswith("whsec_")
    for answer in (server.client.get(PATH), server.client.get(f"{PATH}/{endpoint['id']}")):
        assert endpoint["secret"] not in answer.text
        assert endpoint["id"] in answer.text
    assert endpoint["events"] == ["job.canceled", "job.expired", "job.failed", "job.succeeded"]
    assert endpoint["state"] == "active"


def test_a_job_is_told_as_the_native_api_shows_it(server: Server):
    with receiving() as receiver:
        endpoint = added(server, receiver.url)
        job_id = server.submit(image_job()).json()["jobs"][0]["jobId"]
        shown = server.wait(job_id)
        wait_until(lambda: len(receiver.got) == 1)
        (got,) = receiver.got
        told = Webhook(endpoint["secret"]).verify(got.raw, got.headers)["data"]["job"]
        for job in (told, shown):
            for artifact in job["artifacts"]:
                artifact.pop("url")
        assert told == shown
        messages = f"{PATH}/{endpoint['id']}/messages"
        wait_until(lambda: server.client.get(messages).json()["items"][0]["state"] == "delivered")
        (item,) = server.client.get(messages).json()["items"]
        whole = server.client.get(f"{messages}/{item['id']}").json()
    assert whole["body"] == json.loads(got.raw)
    assert [attempt["status"] for attempt in whole["attempts"]] == [200]


def test_a_test_message_arrives_and_is_sent_again_under_its_id(server: Server):
    with receiving() as receiver:
        one = f"{PATH}/{added(server, receiver.url)['id']}"
        sent = server.client.post(f"{one}/test")
        assert sent.status_code == 202
        wait_until(lambda: receiver.types == ["endpoint.test"])
        again = server.client.post(f"{one}/messages/{sent.json()['id']}/redeliver")
        assert again.status_code == 202
        wait_until(lambda: [got.id for got in receiver.got] == [sent.json()["id"]] * 2)


def test_each_attempt_is_kept_with_its_request_and_answer(server: Server):
    with receiving(answers=[500], headers={"X-Reason": "busy"}, body=b"later \0" * 1000) as receiver:
        endpoint = added(server, receiver.url)
        message = server.client.post(f"{PATH}/{endpoint['id']}/test").json()["id"]
        wait_until(lambda: len(receiver.got) == 2)
        path = f"{PATH}/{endpoint['id']}/messages/{message}"
        wait_until(lambda: len(server.client.get(path).json()["attempts"]) == 2)
    first, second = server.client.get(path).json()["attempts"]

    assert (first["status"], second["status"]) == (500, 200)
    for attempt, got in zip((first, second), receiver.got, strict=True):
        assert attempt["request"]["body"].encode() == got.raw
        sent = attempt["request"]["headers"]
        assert sent["webhook-signature"] == got.headers["webhook-signature"]
        assert attempt["answer"]["headers"]["x-reason"] == "busy"
        assert attempt["answer"]["body"] == ("later \N{REPLACEMENT CHARACTER}" * 1000)[:4096]
        assert attempt["answer"]["hidden"] is False


def test_a_user_sees_no_answers_from_a_private_network(make_server: Callable[..., Server]):
    server = guarded(make_server, allow_networks=["127.0.0.0/8"])
    with receiving(headers={"X-Secret": "s3cret"}, body=b"s3cret") as receiver:
        server.client.headers["Authorization"] = f"Bearer {key(server, 'ann')}"
        endpoint = added(server, receiver.url)
        message = server.client.post(f"{PATH}/{endpoint['id']}/test").json()["id"]
        path = f"{PATH}/{endpoint['id']}/messages/{message}"
        wait_until(lambda: server.client.get(path).json()["attempts"])
    answer = server.client.get(path)
    assert answer.json()["attempts"][0]["answer"] == {"headers": {}, "body": "", "hidden": True}
    assert "s3cret" not in answer.text


def test_a_paused_endpoint_is_sent_nothing_until_it_is_resumed(server: Server):
    with receiving() as receiver:
        one = f"{PATH}/{added(server, receiver.url)['id']}"
        assert server.client.post(f"{one}/pause").json()["pauseReason"] == "paused by its owner"
        assert server.client.post(f"{one}/test").status_code == 409
        server.wait(server.submit(image_job()).json()["jobs"][0]["jobId"])
        assert receiver.got == []
        assert server.client.post(f"{one}/resume").json()["state"] == "active"
        wait_until(lambda: receiver.types == ["job.succeeded"])


def test_a_rotation_shows_the_new_secret_and_until_when_the_former_one_signs(server: Server):
    endpoint = added(server)
    rotated = server.client.post(f"{PATH}/{endpoint['id']}/rotate").json()
    assert rotated["secret"] != endpoint["secret"]
    (until,) = rotated["formerSecretsUntil"]
    ends = datetime.fromisoformat(until) - datetime.now(UTC)
    assert timedelta(hours=23) < ends < timedelta(hours=24, minutes=1)
    statuses = [server.client.post(f"{PATH}/{endpoint['id']}/rotate").status_code for _ in range(3)]
    assert statuses == [200, 200, 409]


def test_an_endpoint_is_changed_and_deleted(server: Server):
    one = f"{PATH}/{added(server)['id']}"
    changed = server.client.patch(one, json={"description": "new", "events": ["job.progress"]}).json()
    assert (changed["description"], changed["events"]) == ("new", ["job.progress"])
    assert changed["url"] == "http://127.0.0.1:9/hook"
    assert server.client.delete(one).status_code == 204
    assert server.client.get(one).status_code == 404
    assert server.client.delete(one).status_code == 404


def test_an_owner_has_no_more_endpoints_than_the_setting_says(server: Server):
    for _ in range(3):
        added(server)
    answer = server.client.post(PATH, json={"url": "http://127.0.0.1:9/hook"})
    assert answer.status_code == 409
    assert "delete one" in answer.json()["detail"]


def test_failed_messages_are_asked_for_again_with_an_instant(server: Server):
    one = f"{PATH}/{added(server)['id']}"
    answer = server.client.post(f"{one}/redeliver", json={"since": "2026-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()) == (202, {"messages": 0})
    assert server.client.post(f"{one}/redeliver", json={"since": "2026-01-01T00:00:00"}).status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "http://127.0.0.1/", "events": []}, "events"),
        ({"url": "http://127.0.0.1/", "events": ["job.done"]}, "events[0]"),
        ({"url": "http://127.0.0.1/", "secret": "mine"}, "secret"),
    ],
)
def test_what_is_wrong_is_named(server: Server, body: dict[str, Any], field: str):
    answer = server.client.post(PATH, json=body)
    assert answer.status_code == 400
    assert field in answer.json()["errors"]


def test_what_is_not_there_is_a_404(server: Server):
    one = f"{PATH}/{added(server)['id']}"
    for method, path in (
        ("GET", f"{PATH}/none"),
        ("PATCH", f"{PATH}/none"),
        ("POST", f"{PATH}/none/rotate"),
        ("POST", f"{PATH}/none/test"),
        ("POST", f"{PATH}/none/resume"),
        ("GET", f"{PATH}/none/messages"),
        ("GET", f"{one}/messages/none"),
        ("POST", f"{one}/messages/none/redeliver"),
    ):
        assert server.client.request(method, path, json={}).status_code == 404, (method, path)
