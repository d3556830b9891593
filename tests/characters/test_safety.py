"""What may not be rendered is refused before the queue, or once it is translated; nobody pays for it."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imagemill.domain.clock import now_us
from imagemill.products.characters.store import TranslationStore
from tests.characters.support import (
    API,
    LIA,
    ask,
    avatar,
    ended,
    idle,
    made,
    order,
    scene,
    sticker,
)
from tests.characters.test_money import GUARDED, grant, purse
from tests.conftest import Server, image_job
from tests.money.test_http import account
from tests.service.build import wait_until
from tests.service.test_translating import Model, answers, says


@pytest.fixture
def model() -> Iterator[Model]:
    """A language model that says what a test tells it to."""
    with Model() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join(10)


def asking(model: Model, *tags: str) -> dict[str, Any]:
    """Settings, with a model whose translation of any sheet has these tags."""
    look = {"gender": "female", "physical": list(tags), "attire": [], "style": [], "untranslated": []}
    model.steps = [says(look)]
    return {"llm": {"base_url": model.url, "model": "tiny"}}


def test_sexual_content_about_minors_is_refused_and_kept_by_its_digest_only(
    make_server: Callable[..., Server],
):
    server = idle(make_server)
    body = avatar(character=LIA | {"description": "menina de 12 anos, nua"})
    answer = ask(server.client, "avatar", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "CONTENT_BLOCKED")
    assert "menina" not in answer.text
    wait_until(server.app.stores.decisions.page)
    (decision,) = server.app.stores.decisions.page()
    assert (decision.record.category, len(decision.record.digest)) == ("minors", 64)
    assert decision.job_id is None


@pytest.mark.parametrize("path", ["avatar", "sticker", "scene"])
def test_words_of_characters_own_list_are_refused_for_characters_only(
    path: str, make_server: Callable[..., Server]
):
    server = idle(make_server, characters={"blocked_words": ["dragonlord"]})
    bodies: dict[str, Any] = {
        "avatar": avatar(prompt="Dragonlord"),
        "sticker": sticker(customInstructions="the dragonlord"),
        "scene": scene(),
    }
    bodies["scene"]["context"] = {**scene()["context"], "summary": "dragonlord!"}
    answer = ask(server.client, path, bodies[path])
    assert (answer.status_code, answer.json()["code"]) == (400, "CONTENT_BLOCKED")
    other = server.client.post("/v1/consumer/jobs", json=image_job(params={"prompt": "a dragonlord"}))
    assert other.is_success


def test_a_translation_is_judged_again_and_what_is_blocked_is_not_paid(
    model: Model, make_server: Callable[..., Server]
):
    server = make_server(
        credits={"enabled": True},
        characters={"blocked_words": ["dragonlord"]},
        **asking(model, "dragonlord armor"),
        **GUARDED,
    )
    with account(server, "ann") as ann:
        grant(server, "ann", 100)
        found = ended(ann, order(ann, "avatar", avatar())["jobId"])
        assert (found["state"], found["error"]["code"]) == ("failed", "CONTENT_BLOCKED")
        assert "dragonlord" not in str(found)
        assert purse(ann) == (100, 0)
        assert [each.record.category for each in server.app.stores.decisions.page()] == ["words"]


def test_a_language_model_is_asked_once_for_all_workers(model: Model, make_server: Callable[..., Server]):
    server = make_server(simulator={"step_ms": 0}, **asking(model, "silver hair", "monocle"))
    found = made(server.client, "avatar", avatar(seed=1))
    assert found["result"]["translatedBy"] == ["llm"]
    events = server.client.get(f"/api/v1/jobs/{found['jobId']}/events", params={"stream": "false"}).json()
    assert "silver hair, monocle" in str(events["items"][-1]["data"]["prompt_request"])
    again = made(server.client, "avatar", avatar(seed=2))
    assert again["result"]["translatedBy"] == ["cache"]
    assert len(model.asked) == 1
    assert TranslationStore(server.app.stores.database).prune(now_us() + 1) == 1


def test_a_language_model_that_fails_is_told_and_the_glossary_answers(
    model: Model, make_server: Callable[..., Server]
):
    server = make_server(simulator={"step_ms": 0}, **asking(model))
    model.steps = [answers(400)]
    result = made(server.client, "avatar", avatar())["result"]
    assert result["translatedBy"] == ["glossary"]
    assert "400" in result["translationProblem"]


def test_what_could_not_be_translated_is_told(make_server: Callable[..., Server]):
    server = make_server(simulator={"step_ms": 0})
    sheet = {"gender": "mulher", "physical": "olhos verdes, xpto zzyzx"}
    result = made(server.client, "avatar", avatar(character=sheet))["result"]
    assert "zzyzx" in " ".join(result["untranslated"])


def test_what_was_written_stands_in_no_log_line(
    make_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG, "imagemill")
    server = make_server(simulator={"step_ms": 0}, characters={"blocked_words": ["xyzzyblocked"]})
    secret = {"physical": "cabelo verde xyzzysecret", "name": "Xyzzyname", "attire": "jaqueta de couro"}
    made(server.client, "avatar", avatar(character=secret, prompt="xyzzywish"))
    made(server.client, "sticker", sticker(character=secret, customInstructions="xyzzywish"))
    ask(server.client, "avatar", avatar(prompt="xyzzyblocked"))
    ask(server.client, "avatar", {"characterId": "xyzzy wrong", "prompt": "xyzzywish"})
    server.client.get(f"{API}/characters/lia/images")
    lines = "\n".join(f"{record.getMessage()} {record.__dict__.get('why', '')}" for record in caplog.records)
    assert "job succeeded" in lines
    assert "xyzzy" not in lines.lower()
    assert "green hair" not in lines
    assert "leather" not in lines
