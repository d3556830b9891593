"""The API, line by line: what is asked, what is answered, how it is refused."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imagemill.accounts.store import Owner, StoredKey
from imagemill.domain.access import Role, Scope, draw
from imagemill.domain.clock import now_us
from tests.characters.support import (
    ADMIN_KEY,
    API,
    EIGHT,
    LIA,
    ask,
    avatar,
    cover,
    idle,
    lora,
    order,
    scene,
    status,
    sticker,
)
from tests.conftest import Server, image_job
from tests.money.test_http import account


@pytest.fixture
def api(make_server: Callable[..., Server]) -> Server:
    return idle(make_server)


@pytest.fixture
def guarded(make_server: Callable[..., Server]) -> Server:
    return idle(
        make_server,
        auth={"admin_key": ADMIN_KEY, "remember_s": 0},
        credits={"enabled": True},
        quota={"enabled": True, "cooldown_s": {"scene": 60}},
    )


REQUESTS: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "an avatar": ("avatar", avatar),
    "a sticker": ("sticker", sticker),
    "a cover": ("cover", cover),
    "a scene": ("scene", scene),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_a_request_is_answered_with_a_job_at_once(what: str, api: Server):
    path, body = REQUESTS[what]
    answer = order(api.client, path, body())
    assert set(answer) == {"success", "jobId", "reused", "untranslated", "message"}
    found = status(api.client, answer["jobId"])
    assert (found["jobId"], found["state"], found["progress"]) == (answer["jobId"], "waiting", 0)
    assert (found["result"], found["failedReason"]) == (None, None)


def test_a_storys_cover_has_a_route_of_its_own(api: Server):
    body = cover()
    del body["storyId"]
    answer = api.client.post("/api/v1/stories/tale/generate-cover", json=body)
    assert answer.status_code == 202
    assert status(api.client, answer.json()["jobId"])["data"]["storyId"] == "tale"
    other = api.client.post("/api/v1/stories/tale/generate-cover", json=cover(storyId="another"))
    assert (other.status_code, list(other.json()["errors"])) == (400, ["storyId"])
    odd = api.client.post("/api/v1/stories/a%20tale/generate-cover", json=body)
    assert (odd.status_code, list(odd.json()["errors"])) == (400, ["id"])


def test_a_set_has_all_eight_emotions_unless_it_names_some(api: Server):
    answer = order(api.client, "stickers/bulk", {"characterId": "lia", "character": LIA})
    names = {"success", "jobIds", "batchId", "emotionCount", "reused", "untranslated", "message"}
    assert set(answer) == names
    assert answer["emotionCount"] == len(answer["jobIds"]) == 8
    found = [status(api.client, job_id)["data"] for job_id in answer["jobIds"]]
    assert [each["emotion"] for each in found] == EIGHT
    assert {each["batchId"] for each in found} == {answer["batchId"]}
    custom = {"emotion": "smug", "actionTag": "smug grin"}
    some = order(api.client, "stickers/bulk", {"characterId": "lia", "emotions": ["sad", custom]})
    assert [status(api.client, id_)["data"]["emotion"] for id_ in some["jobIds"]] == ["sad", "smug"]


def test_a_sticker_is_pending_while_its_job_waits(api: Server):
    job_id = order(api.client, "sticker", sticker("shy"))["jobId"]
    assert status(api.client, job_id)["data"] | {"batchId": ""} == {
        "type": "sticker",
        "characterId": "lia",
        "emotion": "shy",
        "status": "PENDING",
        "batchId": "",
    }


def test_a_canceled_job_is_failed_and_says_so(api: Server):
    job_id = order(api.client, "sticker", sticker())["jobId"]
    api.client.post(f"/api/v1/jobs/{job_id}/cancel")
    found = status(api.client, job_id)
    assert (found["state"], found["data"]["status"], found["error"]) == (
        "failed",
        "FAILED",
        {"code": "CANCELED"},
    )
    assert "canceled" in found["failedReason"]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("avatar", {}, "characterId"),
    ("avatar", avatar(characterId="../etc"), "characterId"),
    ("avatar", avatar(characterId="x" * 65), "characterId"),
    ("avatar", avatar(characterId=""), "characterId"),
    ("avatar", avatar(charakter={}), "charakter"),
    ("avatar", avatar(character={"name": 7}), "character.name"),
    ("avatar", avatar(character={"lora": [lora()] * 5}), "character.lora"),
    ("avatar", avatar(character={"lora": "no air"}), "character.lora[0]"),
    ("avatar", avatar(referenceImageUrl="ftp://example.com/a.png"), "referenceImageUrl"),
    ("avatar", avatar(referenceImageUrl="data:image/png;base64,bm8gcGljdHVyZQ=="), "referenceImageUrl"),
    ("avatar", avatar(prompt="x" * 4001), "prompt"),
    ("sticker", {"characterId": "lia"}, "emotion"),
    ("sticker", sticker("melancholy"), "actionTag"),
    ("sticker", sticker("a/b"), "emotion"),
    ("stickers/bulk", {}, "characterId"),
    ("stickers/bulk", {"characterId": "lia", "emotions": []}, "emotions"),
    ("stickers/bulk", {"characterId": "lia", "emotions": ["sad", "Sad"]}, "emotions[1]"),
    ("stickers/bulk", {"characterId": "lia", "emotions": ["sad", "smug"]}, "emotions[1].actionTag"),
    ("cover", {"title": "A", "synopsis": "B"}, "storyId"),
    ("cover", {"storyId": "a", "synopsis": "B"}, "title"),
    ("cover", {"storyId": "a", "title": "A"}, "synopsis"),
    ("scene", {}, "context"),
    ("scene", {"context": {"summary": "x", "characters": [], "place": "y"}}, "context.mood"),
    ("scene", scene(width=600, height=516), "height"),
    ("scene", scene(width=504), "width"),
    ("scene", scene(width=1544), "width"),
]


@pytest.mark.parametrize(("path", "body", "field"), WRONG, ids=[f"{path} {name}" for path, _, name in WRONG])
def test_a_field_that_is_missing_or_wrong_is_named(path: str, body: dict[str, Any], field: str, api: Server):
    answer = ask(api.client, path, body)
    told = answer.json()
    assert (answer.status_code, told["success"], told["code"]) == (400, False, "INVALID_INPUT")
    assert list(told["errors"]) == [field]
    assert told["message"].startswith(f"{field}: ")
    assert answer.headers["content-type"] == "application/json"
    assert api.client.get("/api/v1/jobs").json()["items"] == []


def test_who_has_no_key_is_refused(guarded: Server):
    answer = ask(guarded.client, "avatar", avatar(), Authorization="Bearer nonsense")
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_what_cannot_be_paid_is_refused(guarded: Server):
    with account(guarded, "ann") as ann:
        answer = ask(ann, "avatar", avatar())
        told = answer.json()
        assert (answer.status_code, told["code"]) == (402, "CREDITS_INSUFFICIENT")
        assert (told["needed"], told["available"]) == (5, 0)


def test_a_key_without_the_scope_is_refused(guarded: Server):
    accounts, key = guarded.app.stores.accounts, draw()
    accounts.ensure_owner(Owner("ann", Role.USER, now_us()))
    scopes = frozenset({Scope.JOBS_READ})
    accounts.add_key(StoredKey(key.id, "ann", "reads", key.digest, scopes, False, now_us()))
    answer = ask(guarded.client, "avatar", avatar(), Authorization=f"Bearer {key.text}")
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


def test_another_users_job_and_pictures_are_not_there(make_server: Callable[..., Server]):
    server = idle(make_server, auth={"admin_key": ADMIN_KEY, "remember_s": 0})
    with account(server, "ann") as ann, account(server, "bob") as bob:
        job_id = order(ann, "avatar", avatar())["jobId"]
        for path in (
            f"status/{job_id}",
            "status/nonsense",
            "characters/lia",
            "characters/lia/images",
            "nowhere",
        ):
            answer = bob.get(f"{API}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND"), path
        assert ann.get(f"{API}/characters/lia/images").json() == {"items": [], "next": None}
        native = ann.post("/v1/consumer/jobs", json=image_job()).json()["jobs"][0]["jobId"]
        assert ann.get(f"{API}/status/{native}").status_code == 404


def test_an_idempotency_key_answers_again_and_refuses_another_body(api: Server):
    first = ask(api.client, "avatar", avatar(), **{"Idempotency-Key": "one"}).json()
    again = ask(api.client, "avatar", avatar(), **{"Idempotency-Key": "one"}).json()
    assert again["jobId"] == first["jobId"]
    other = ask(api.client, "avatar", avatar(prompt="other"), **{"Idempotency-Key": "one"})
    assert (other.status_code, other.json()["code"]) == (409, "CONFLICT")


def test_scenes_have_a_cooldown_for_each_user(guarded: Server):
    guarded.app.stores.jobs.ensure_owner("ann", now_us())
    with account(guarded, "ann") as ann, account(guarded, "bob") as bob:
        admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
        for name in ("ann", "bob"):
            given = guarded.client.post(
                "/api/v1/credits/grants",
                json={"owner": name, "amount": 100},
                headers={**admin, "Idempotency-Key": name},
            )
            assert given.is_success, given.text
        order(ann, "scene", scene())
        refused = ask(ann, "scene", scene())
        assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMIT_EXCEEDED")
        assert 50 <= int(refused.headers["retry-after"]) <= 60
        order(bob, "scene", scene())
        order(ann, "avatar", avatar())


def test_requests_beyond_the_limit_are_refused_in_the_same_words(make_server: Callable[..., Server]):
    server = idle(
        make_server,
        auth={"admin_key": ADMIN_KEY, "remember_s": 0},
        quota={"enabled": True, "requests_per_minute": 0},
    )
    with account(server, "ann") as ann:
        answer = ask(ann, "avatar", avatar())
        assert (answer.status_code, answer.json()["code"]) == (429, "RATE_LIMIT_EXCEEDED")
        assert int(answer.headers["retry-after"]) >= 1


@pytest.fixture
def resting(make_server: Callable[..., Server]) -> Iterator[Server]:
    """All its nodes are away."""
    return idle(make_server, comfyui={"urls": ["http://127.0.0.1:9"]})


def test_health_tells_whether_pictures_can_be_made(api: Server):
    order(api.client, "avatar", avatar())
    answer = api.client.get(f"{API}/health")
    body = answer.json()
    assert (answer.status_code, body["comfyui"]) == (200, "healthy")
    assert body["queue"] == {"waiting": 1, "active": 0}
    assert body["timestamp"].startswith("20")


def test_health_is_503_without_a_node(resting: Server):
    answer = resting.client.get(f"{API}/health")
    assert (answer.status_code, answer.json()["comfyui"]) == (503, "unhealthy")


def test_health_tells_strangers_no_numbers(guarded: Server):
    answer = guarded.client.get(f"{API}/health", headers={"Authorization": "Bearer nonsense"})
    assert (answer.status_code, answer.json()["queue"]) == (200, None)
