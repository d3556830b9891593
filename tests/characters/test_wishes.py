"""A user's own words: translated by the language model where there is one, and what is lost is reported."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.characters.support import LIA, ask, avatar, ended, idle, made, order, sticker
from tests.conftest import Server
from tests.service.test_translating import Model, answers, says

LOOK = {"gender": "female", "physical": ["silver hair"], "attire": [], "style": [], "untranslated": []}


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join(10)


def wish(*tags: str, untranslated: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"tags": list(tags), "untranslated": list(untranslated)}


def asking(model: Model) -> dict[str, Any]:
    return {"llm": {"base_url": model.url, "model": "tiny"}, "simulator": {"step_ms": 0}}


def prompt_of(server: Server, job_id: str) -> str:
    events = server.client.get(f"/api/v1/jobs/{job_id}/events", params={"stream": "false"}).json()["items"]
    return str(events[-1]["data"]["prompt_request"])


def test_a_prompt_reaches_the_language_model(model: Model, make_server: Callable[..., Server]):
    server = make_server(**asking(model))
    model.steps = [says(LOOK), says(wish("holding heart balloon", "red balloon", untranslated=("zzyzx",)))]
    accepted = order(server.client, "avatar", avatar(prompt="segurando um balão zzyzx de coração"))
    assert accepted["untranslated"] is None
    found = ended(server.client, accepted["jobId"])
    assert "silver hair, holding heart balloon, red balloon" in prompt_of(server, found["jobId"])
    assert found["result"]["untranslated"] == ["zzyzx"]
    assert [json.loads(each["messages"][1]["content"]) for each in model.asked][1] == {
        "wish": "segurando um balão zzyzx de coração"
    }


def test_instructions_and_the_action_of_a_sticker_reach_it_once(
    model: Model, make_server: Callable[..., Server]
):
    server = make_server(**asking(model))
    model.steps = [says(LOOK), says(wish("wind")), says(wish("blowing kiss"))]
    body = sticker("beijo", actionTag="mandando beijoca", customInstructions="vento zzz")
    found = made(server.client, "sticker", body)
    assert "silver hair, blowing kiss, wind" in prompt_of(server, found["jobId"])
    again = made(server.client, "sticker", body)
    assert again["result"]["translatedBy"] == ["cache"]
    assert len(model.asked) == 3


def test_a_model_that_fails_leaves_the_wish_to_the_glossary(model: Model, make_server: Callable[..., Server]):
    server = make_server(**asking(model))
    model.steps = [says(LOOK), answers(400)]
    found = made(server.client, "avatar", avatar(prompt="espada, zrqção"))
    assert "sword" in prompt_of(server, found["jobId"])
    assert found["result"]["untranslated"] == ["zrqção"]
    assert "400" in found["result"]["translationProblem"]


@pytest.mark.parametrize("tags", [["loli", "nude"], ["<lora:x:2>"], "no list", [7]])
def test_tags_that_may_not_be_used_leave_the_wish_to_the_glossary(
    tags: Any, model: Model, make_server: Callable[..., Server]
):
    server = make_server(**asking(model))
    model.steps = [says(LOOK), says({"tags": tags, "untranslated": []})]
    found = made(server.client, "avatar", avatar(prompt="espada"))
    prompt = prompt_of(server, found["jobId"])
    assert "sword" in prompt
    assert not [word for word in ("nude", "lora:x") if word in prompt]


def test_an_action_that_nothing_can_translate_fails_and_says_so(
    model: Model, make_server: Callable[..., Server]
):
    server = make_server(**asking(model))
    model.steps = [says(LOOK), says(wish())]
    job_id = order(server.client, "sticker", sticker("zoada", actionTag="zrqção"))["jobId"]
    found = ended(server.client, job_id)
    assert (found["state"], found["error"]["code"]) == ("failed", "BAD_INPUT")
    assert "describe it in English" in found["failedReason"]


def test_without_a_model_the_answer_says_at_once_what_is_lost(make_server: Callable[..., Server]):
    server = idle(make_server)
    body = sticker(customInstructions="com zrqção", actionTag="espada, wrqção")
    body["character"] = LIA | {"physical": "olhos verdes, xxyzx"}
    assert order(server.client, "sticker", body)["untranslated"] == ["xxyzx", "zrqção", "wrqção"]
    assert order(server.client, "avatar", avatar())["untranslated"] == []
    many = {"characterId": "lia", "character": LIA, "customInstructions": "zrqção"}
    assert order(server.client, "stickers/bulk", many)["untranslated"] == ["zrqção"]
    refused = ask(server.client, "sticker", sticker("zoada", actionTag="zrqção"))
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["actionTag"])


def test_tags_beyond_the_limit_are_reported(make_server: Callable[..., Server]):
    server = make_server(simulator={"step_ms": 0})
    words = "sword, shield, bow, crown, glasses, scarf, gloves, boots, cape, hat, umbrella, necklace"
    found = made(server.client, "avatar", avatar(prompt=words))
    lost = found["result"]["untranslated"]
    prompt = prompt_of(server, found["jobId"])
    assert lost
    assert all(word in lost or word in prompt for word in words.split(", "))
