"""Following pictures over a WebSocket: one job, or all of a user's, from where one left off."""

import json
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.characters.support import ADMIN_KEY, API, avatar, ended, made, order, picture, sticker
from tests.conftest import Server, image_job
from tests.money.test_http import account

Message = dict[str, Any]


def listen(server: Server, path: str, token: str = "test") -> ClientConnection:
    url = f"{server.url.replace('http', 'ws', 1)}{API}/ws/{path}"
    headers = {"Authorization": f"Bearer {token}"}
    return connect(url, additional_headers=headers, compression=None, proxy=None)


def told(connection: ClientConnection, enough: Callable[[list[Message]], bool]) -> list[Message]:
    messages: list[Message] = []
    while not enough(messages):
        messages.append(json.loads(connection.recv(30)))
    return messages


def durable(messages: list[Message]) -> list[tuple[str, int, str]]:
    return [(each["jobId"], each["seq"], each["type"]) for each in messages if "seq" in each]


def whole(connection: ClientConnection) -> tuple[list[Message], int]:
    messages: list[Message] = []
    while True:
        try:
            messages.append(json.loads(connection.recv(30)))
        except ConnectionClosed as closed:
            return messages, closed.rcvd.code if closed.rcvd else 1006


def test_a_job_is_told_with_progress_previews_and_the_picture(make_server: Callable[..., Server]):
    server = make_server(simulator={"step_ms": 20})
    job_id = order(server.client, "avatar", avatar())["jobId"]
    with listen(server, f"jobs/{job_id}") as connection:
        messages, code = whole(connection)
    assert code == 1000
    assert [each["seq"] for each in messages if "seq" in each] == list(
        range(1, sum("seq" in each for each in messages) + 1)
    )
    kinds = [each["type"] for each in messages]
    assert kinds[0] == "queued"
    assert {"active", "preview"} <= set(kinds)
    last = messages[-1]
    assert (last["type"], last["state"]) == ("image", "completed")
    assert picture(server.client, last["result"]["imageUrl"]).size == (768, 768)


def test_a_listener_resumes_after_what_it_has_seen(make_server: Callable[..., Server]):
    server = make_server(simulator={"step_ms": 0})
    job_id = made(server.client, "avatar", avatar())["jobId"]
    with listen(server, f"jobs/{job_id}?after=1") as connection:
        messages, code = whole(connection)
    assert code == 1000
    assert next(each["seq"] for each in messages if "seq" in each) == 2
    with listen(server, f"jobs/{job_id}?after=999") as connection:
        assert whole(connection) == ([], 1000)


def test_all_jobs_of_a_user_are_told_as_they_come(make_server: Callable[..., Server]):
    server = make_server(simulator={"step_ms": 0})
    server.client.post("/v1/consumer/jobs", json=image_job())
    with listen(server, "users/me") as connection:
        ids = [order(server.client, "avatar", avatar(seed=seed))["jobId"] for seed in (1, 2)]

        def all_over(messages: list[Message]) -> bool:
            return {each["jobId"] for each in messages if each["type"] == "image"} == set(ids)

        messages = told(connection, all_over)
    seen = durable(messages)
    assert len(seen) == len(set(seen))
    assert {job_id for job_id, _, _ in seen} == set(ids)
    for job_id in ids:
        of_job = [seq for id_, seq, _ in seen if id_ == job_id]
        assert of_job == list(range(1, len(of_job) + 1))


def test_a_user_who_comes_back_is_told_what_was_missed(make_server: Callable[..., Server]):
    server = make_server(simulator={"step_ms": 0})
    with listen(server, "users/me") as connection:
        first = order(server.client, "avatar", avatar())["jobId"]
        cursor = told(connection, lambda seen: bool(seen) and "cursor" in seen[-1])[-1]["cursor"]
    missed = order(server.client, "sticker", sticker())["jobId"]
    for job_id in (first, missed):
        ended(server.client, job_id)
    with listen(server, f"users/me?after={cursor}") as connection:
        images = {first, missed}
        messages = told(
            connection,
            lambda seen: {each["jobId"] for each in seen if each["type"] == "image"} == images,
        )
    assert (missed, 1, "queued") in durable(messages)
    results = [each["result"]["imageUrl"] for each in messages if each["type"] == "image"]
    assert all(picture(server.client, url).format == "WEBP" for url in results)


def test_who_may_not_listen_is_told_by_the_close_code(make_server: Callable[..., Server]):
    server = make_server(simulator={"step_ms": 0}, auth={"admin_key": ADMIN_KEY, "remember_s": 0})
    with account(server, "ann") as ann, account(server, "bob") as bob:
        job_id = order(ann, "avatar", avatar())["jobId"]
        token = bob.headers["Authorization"].removeprefix("Bearer ")
        with listen(server, f"jobs/{job_id}", token) as connection:
            assert whole(connection) == ([], 4404)
        with listen(server, "users/me", "nonsense") as connection:
            assert whole(connection) == ([], 4401)
        with listen(server, "users/me?after=abc", token) as connection:
            assert whole(connection) == ([], 4400)
        with listen(server, "users/me", token) as connection:
            mine = order(bob, "avatar", avatar())["jobId"]
            messages = told(connection, lambda seen: any(each["type"] == "image" for each in seen))
            assert {each["jobId"] for each in messages} == {mine}


def test_a_users_feed_sends_each_progress_once(make_server: Callable[..., Server]):
    server = make_server(simulator={"step_ms": 90})
    with listen(server, "users/me?previews=none") as connection:
        job_id = order(server.client, "avatar", avatar())["jobId"]
        messages = told(connection, lambda seen: bool(seen) and seen[-1]["type"] == "image")
    steps = [each["step"] for each in messages if each["type"] == "progress" and "seq" not in each]
    assert {each["jobId"] for each in messages} == {job_id}
    # The render outlasts the watcher, which is renewed every second and begins with the latest progress.
    assert len(steps) >= 15
    assert steps == sorted(set(steps))
