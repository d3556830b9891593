"""Equal requests share pictures, where the server and the request say so; nobody pays twice."""

from collections.abc import Callable

import httpx2

from tests.characters.support import API, LIA, ask, avatar, ended, idle, made, order, picture, sticker
from tests.characters.test_money import GUARDED, grant, purse
from tests.conftest import Server
from tests.money.test_http import account


def test_equal_requests_are_two_jobs_unless_both_server_and_request_say_otherwise(
    make_server: Callable[..., Server],
):
    server = idle(make_server)
    jobs = {order(server.client, "avatar", avatar(reuse=reuse))["jobId"] for reuse in (True, True, False)}
    assert len(jobs) == 3


def test_an_equal_request_is_answered_by_the_same_job_and_not_paid(make_server: Callable[..., Server]):
    server = make_server(characters={"reuse": True}, credits={"enabled": True}, **GUARDED)
    with account(server, "ann") as ann, account(server, "bob") as bob:
        for owner in ("ann", "bob"):
            grant(server, owner, 20)
        first = order(ann, "avatar", avatar(reuse=True))
        assert first["reused"] is False
        ended(ann, first["jobId"])
        again = order(ann, "avatar", avatar(reuse=True))
        assert (again["jobId"], again["reused"]) == (first["jobId"], True)
        assert purse(ann) == (15, 0)
        for other in (avatar(), avatar(reuse=True, seed=7), avatar(reuse=True, prompt="smile")):
            assert order(ann, "avatar", other)["jobId"] != first["jobId"]
        assert order(bob, "avatar", avatar(reuse=True))["jobId"] != first["jobId"]


def test_a_set_is_completed_from_what_there_is(make_server: Callable[..., Server]):
    server = idle(make_server, characters={"reuse": True})
    sad = order(server.client, "sticker", sticker("sad", reuse=True))["jobId"]
    answer = order(server.client, "stickers/bulk", {"characterId": "lia", "character": LIA, "reuse": True})
    assert answer["reused"] == [sad]
    assert answer["jobIds"][1] == sad
    again = order(server.client, "stickers/bulk", {"characterId": "lia", "character": LIA, "reuse": True})
    assert (again["jobIds"], again["reused"]) == (answer["jobIds"], sorted(answer["jobIds"]))
    assert len(server.client.get("/api/v1/jobs").json()["items"]) == 8


def test_what_was_deleted_is_made_anew(make_server: Callable[..., Server]):
    server = make_server(characters={"reuse": True}, simulator={"step_ms": 0})
    first = made(server.client, "avatar", avatar(reuse=True))
    server.client.delete(f"{API}/characters/lia/images/{first['result']['imageId']}")
    second = order(server.client, "avatar", avatar(reuse=True))
    assert (second["jobId"] != first["jobId"], second["reused"]) == (True, False)
    result = ended(server.client, second["jobId"])["result"]
    assert result["seed"] == first["result"]["seed"]
    assert picture(server.client, result["imageUrl"]).size == (768, 768)
    assert httpx2.get(first["result"]["imageUrl"]).status_code == 404


def test_a_failed_job_answers_for_nobody(make_server: Callable[..., Server]):
    server = idle(make_server, characters={"reuse": True})
    first = order(server.client, "avatar", avatar(reuse=True))["jobId"]
    server.client.post(f"/api/v1/jobs/{first}/cancel")
    assert order(server.client, "avatar", avatar(reuse=True))["jobId"] != first
    assert ask(server.client, "avatar", avatar(reuse="yes?")).status_code == 400
