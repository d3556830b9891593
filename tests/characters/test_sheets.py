"""Stored sheets: put, read, deleted; used where a request has none; unknown characters are refused."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.characters.support import (
    ADMIN_KEY,
    API,
    LIA,
    LORA,
    add_models,
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
from tests.conftest import Server
from tests.money.test_http import account

OTHER = LIA | {"name": "Bia", "physical": "cabelo azul"}


@pytest.fixture
def api(make_server: Callable[..., Server]) -> Server:
    return idle(make_server)


def put(client: httpx2.Client, id_: str, character: Any) -> httpx2.Response:
    return client.put(f"{API}/characters/{id_}", json={"character": character})


def sheet_of(server: Server, answer: dict[str, Any]) -> dict[str, Any]:
    job_id = answer["jobId"] if "jobId" in answer else answer["jobIds"][0]
    input_ = server.app.stores.jobs.job(job_id).input
    return input_["character"] if "character" in input_ else input_["characters"][0]


def test_a_sheet_is_stored_read_listed_and_deleted(api: Server):
    add_models(api.client)
    sheet = LIA | {"lora": [lora(0.5, name="Lia | tale")]}
    stored = put(api.client, "lia", sheet)
    assert stored.status_code == 200, stored.text
    read = api.client.get(f"{API}/characters/lia").json()
    assert read == stored.json()
    assert read["character"] == LIA | {"lora": [{"air": LORA, "name": "Lia | tale", "strength": 0.5}]}
    assert read["fromRequest"] is False
    put(api.client, "bia", read["character"])
    page = api.client.get(f"{API}/characters", params={"limit": 1}).json()
    assert [each["characterId"] for each in page["items"]] == ["bia"]
    rest = api.client.get(f"{API}/characters", params={"cursor": page["next"]}).json()
    assert ([each["characterId"] for each in rest["items"]], rest["next"]) == (["lia"], None)
    assert api.client.delete(f"{API}/characters/lia").status_code == 204
    for method in ("GET", "DELETE"):
        assert api.client.request(method, f"{API}/characters/lia").status_code == 404


REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    ("avatar", {"characterId": "lia", "prompt": "na chuva"}, "character"),
    ("avatar", {"characterId": "lia", "character": {"name": " "}}, "character"),
    ("sticker", {"characterId": "lia", "emotion": "happy"}, "character"),
    ("stickers/bulk", {"characterId": "lia"}, "character"),
    ("cover", {"characterId": "lia"}, "characterId"),
    ("cover", cover(characters=[{"characterId": "lia"}]), "characters[0]"),
    ("scene", scene() | {"context": scene()["context"] | {"characters": [{"characterId": "lia"}]}},
     "context.characters[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "field"), REQUESTS)
def test_an_unknown_character_is_refused_and_a_stored_one_drawn(
    path: str, body: dict[str, Any], field: str, api: Server
):
    refused = ask(api.client, path, body)
    assert (refused.status_code, list(refused.json()["errors"])) == (400, [field])
    assert "PUT /api/v1/image-generation/characters/lia" in refused.json()["message"]
    assert api.client.get("/api/v1/jobs").json()["items"] == []
    put(api.client, "lia", LIA)
    assert sheet_of(api, order(api.client, path, body))["physical"] == LIA["physical"]


def test_an_avatar_by_a_reference_needs_no_sheet(api: Server):
    pixel = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
        "awAAAABJRU5ErkJggg=="
    )
    order(api.client, "avatar", {"characterId": "new", "referenceImageUrl": pixel})


def test_the_sheet_of_an_avatar_is_kept_without_its_job(api: Server):
    first = order(api.client, "avatar", avatar())
    api.client.post(f"/api/v1/jobs/{first['jobId']}/cancel")
    api.app.stores.jobs.delete_jobs([first["jobId"]])
    assert sheet_of(api, order(api.client, "avatar", {"characterId": "lia"}))["physical"] == LIA["physical"]
    order(api.client, "avatar", avatar(character=OTHER))
    assert api.client.get(f"{API}/characters/lia").json()["character"]["name"] == "Bia"
    assert api.client.get(f"{API}/characters/lia").json()["fromRequest"] is True


def test_a_sticker_does_not_replace_a_sheet_and_nothing_replaces_a_stored_one(api: Server):
    order(api.client, "sticker", sticker())
    order(api.client, "sticker", sticker(character=OTHER))
    assert api.client.get(f"{API}/characters/lia").json()["character"]["name"] == "Lia"
    put(api.client, "lia", OTHER)
    order(api.client, "avatar", avatar())
    assert api.client.get(f"{API}/characters/lia").json()["character"]["name"] == "Bia"


def test_a_refused_request_stores_no_sheet(api: Server):
    ask(api.client, "avatar", avatar(prompt="x" * 5000))
    ask(api.client, "avatar", avatar(character=LIA | {"description": "a nude girl, 13 years old"}))
    assert api.client.get(f"{API}/characters").json()["items"] == []


def test_an_answer_again_stores_no_older_sheet(api: Server):
    ask(api.client, "avatar", avatar(), **{"Idempotency-Key": "one"})
    order(api.client, "avatar", avatar(character=OTHER))
    ask(api.client, "avatar", avatar(), **{"Idempotency-Key": "one"})
    assert api.client.get(f"{API}/characters/lia").json()["character"]["name"] == "Bia"


@pytest.mark.parametrize(
    ("character", "field"),
    [
        ({}, "character"),
        ({"lora": "urn:air:sdxl:checkpoint:civitai:101055@128078"}, "character.lora[0]"),
        ({"lora": "urn:air:sdxl:lora:civitai:1@2"}, "character.lora[0]"),
        ({"age": "20"}, "character.age"),
    ],
)
def test_a_sheet_that_cannot_be_used_is_not_stored(character: dict[str, Any], field: str, api: Server):
    refused = put(api.client, "lia", character)
    assert (refused.status_code, list(refused.json()["errors"])) == (400, [field])
    assert put(api.client, "a b", LIA).status_code == 400


def test_sheets_belong_to_their_users(make_server: Callable[..., Server]):
    server = idle(make_server, auth={"admin_key": ADMIN_KEY, "remember_s": 0})
    with account(server, "ann") as ann, account(server, "bob") as bob:
        put(ann, "lia", LIA)
        assert bob.get(f"{API}/characters/lia").status_code == 404
        assert bob.delete(f"{API}/characters/lia").status_code == 404
        assert bob.get(f"{API}/characters").json()["items"] == []
        assert ask(bob, "sticker", {"characterId": "lia", "emotion": "sad"}).status_code == 400


@pytest.mark.parametrize(
    ("word", "emotion"),
    [
        ("feliz", "happy"),
        ("Triste", "sad"),
        ("raiva", "angry"),
        ("enojada", "angry"),
        ("surpresa", "surprised"),
        ("sorprendido", "surprised"),
        ("neutro", "neutral"),
        ("pensativa", "thinking"),
        ("tímida", "shy"),
        ("envergonhado", "shy"),
        ("acenando", "waving"),
        ("saludando", "waving"),
    ],
)
def test_emotions_have_names_in_portuguese_and_spanish(word: str, emotion: str, api: Server):
    job_id = order(api.client, "sticker", sticker(word))["jobId"]
    assert status(api.client, job_id)["data"]["emotion"] == emotion


def test_a_set_in_portuguese_has_the_price_of_a_set(api: Server):
    words = ["feliz", "triste", "bravo", "surpreso", "neutro", "pensativo", "timido", "acenando"]
    body = {"characterId": "lia", "character": LIA, "emotions": words}
    jobs = order(api.client, "stickers/bulk", body)["jobIds"]
    assert sum(api.app.stores.jobs.job(job_id).cost for job_id in jobs) == 20


def test_a_picture_is_canceled_by_a_route_of_this_api(api: Server):
    job_id = order(api.client, "sticker", sticker())["jobId"]
    answer = api.client.post(f"{API}/cancel/{job_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, "CANCELED")
    native = api.client.post("/api/v1/jobs", json={"jobs": []}).status_code
    assert native == 400
    assert api.client.post(f"{API}/cancel/nonsense").status_code == 404


def test_a_wish_for_reuse_that_is_off_is_answered(api: Server):
    answer = order(api.client, "avatar", avatar(reuse=True))
    assert answer["reused"] is False
    assert "reuse is off on this server" in answer["message"]
    assert "reuse" not in order(api.client, "avatar", avatar())["message"]


def test_a_set_that_was_made_before_says_so(make_server: Callable[..., Server]):
    server = idle(make_server, characters={"reuse": True})
    body = {"characterId": "lia", "character": LIA, "emotions": ["sad", "shy"], "reuse": True}
    assert order(server.client, "stickers/bulk", body)["message"] == "2 stickers are queued"
    again = order(server.client, "stickers/bulk", body)
    assert again["message"] == "no sticker is queued; 2 were asked for before"
    more = order(server.client, "stickers/bulk", body | {"emotions": ["sad", "angry"]})
    assert more["message"] == "1 sticker is queued; 1 was asked for before"


def test_a_sheet_is_previewed_in_tags_without_being_stored(api: Server):
    sheet = {"physical": "cabelo ruivo, olhos azuis, xyzzyx", "attire": "vestido vermelho"}
    answer = api.client.post(f"{API}/characters/preview", json={"character": sheet}).json()
    assert (answer["physical"], answer["attire"]) == (["red hair", "blue eyes"], ["red dress"])
    assert answer["untranslated"] == ["xyzzyx"]
    assert "red hair" in answer["prompt"]
    assert answer["languageModel"] is False
    empty = api.client.post(f"{API}/characters/preview", json={"character": {}}).json()
    assert (empty["physical"], empty["untranslated"]) == ([], [])
    assert api.client.get(f"{API}/characters").json()["items"] == []


@pytest.mark.parametrize(
    ("path", "body", "cost"),
    [
        ("avatar", avatar(), 5),
        ("sticker", sticker(), 3),
        ("stickers/bulk", {"characterId": "lia", "character": LIA}, 20),
        ("cover", cover(), 8),
        ("scene", scene(), 5),
    ],
)
def test_a_price_is_told_before_and_nothing_is_stored(
    path: str, body: dict[str, Any], cost: float, api: Server
):
    answer = ask(api.client, f"{path}?whatif=true", body)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["cost"], answer.json()["charged"]) == (cost, False)
    assert api.client.get("/api/v1/jobs").json()["items"] == []
    assert api.client.get(f"{API}/characters").json()["items"] == []


def test_the_list_shows_a_characters_avatar_and_a_comparison_needs_one(api: Server):
    put(api.client, "lia", LIA)
    (item,) = api.client.get(f"{API}/characters").json()["items"]
    assert (item["avatarUrl"], item["stickers"]) == (None, 0)
    report = api.client.get(f"{API}/characters/lia/drift").json()
    assert (report["identity"], report["items"]) == (None, [])
    assert api.client.get(f"{API}/characters/nobody/drift").status_code == 404
