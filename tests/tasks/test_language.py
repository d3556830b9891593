"""Tasks of a language model: what it is asked, what of its answers is kept, and how it fails."""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Server
from tests.service.test_translating import Model, answers, says
from tests.tasks.support import data_url, encoded, halves, refused, run

IMAGE = data_url(encoded(halves(2000, 1000)))
ENHANCED = {
    "issues": [{"description": "It has no style.", "severity": "warning"}],
    "recommendations": ["Name the light."],
    "enhancedPrompt": "a red fox in deep snow, low winter sun",
    "enhancedNegativePrompt": None,
}
PROMPT = {"ecosystem": "sdxl", "prompt": "a fox"}
TEXT_SETTING, VISION_SETTING = "IMAGEMILL_LANGUAGE_MODEL__MODEL", "IMAGEMILL_LANGUAGE_MODEL__VISION_MODEL"


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join(10)


@pytest.fixture
def server(model: Model, make_server: Callable[..., Server]) -> Server:
    language = {"base_url": model.url, "model": "tiny", "vision_model": "seer", "api_key": "k1"}
    return make_server(language_model=language)


def completion(content: Any = "Red, green, blue.", **changes: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **changes.pop("message", {})}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {
        "id": "c-1",
        "created": 1796000000,
        "model": "tiny-q4",
        "choices": [choice],
        "usage": usage,
        **changes,
    }


def chat(**changes: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Name three colours."}], **changes}


# Captions


def test_a_caption_is_the_answer_of_the_vision_model_to_a_small_picture(model: Model, server: Server) -> None:
    model.steps = [says("  Two halves, black and white.\n")]
    job = run(server, "mediaCaptioning", image=IMAGE, instructions="Be short.", temperature=0.2)
    assert job["output"] == {"caption": "Two halves, black and white."}
    (asked,) = model.asked
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("seer", 0.2, 300)
    assert asked["messages"][0]["content"].endswith("Besides, do this: Be short.")
    url = asked["messages"][1]["content"][0]["image_url"]["url"]
    assert url.startswith("data:image/jpeg;base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert picture.size == (1024, 512)
    assert model.keys == ["Bearer k1"]


def test_a_structured_caption_is_json_or_a_failure(model: Model, server: Server) -> None:
    described = {"summary": "halves", "objects": []}
    model.steps = [says(f"```json\n{json.dumps(described)}\n```")]
    job = run(server, "mediaCaptioning", image=IMAGE, style="ideogram4")
    assert json.loads(job["output"]["caption"]) == described
    assert model.asked[0]["max_tokens"] == 3072
    model.steps = [says("I see halves.")]
    job = run(server, "mediaCaptioning", image=IMAGE, style="ideogram4")
    assert (job["status"], job["error"]["code"]) == ("failed", "backend_unavailable")
    assert "not the JSON" in job["error"]["message"]


# Tags


def test_tags_are_those_above_the_threshold_the_surest_first(model: Model, server: Server) -> None:
    said = {"tags": {"Black": 0.5, "white": 0.9, "grey": 0.2}, "rating": {"general": 1.0}, "more": 1}
    model.steps = [says(said)]
    job = run(server, "wdTagging", image=IMAGE, threshold=0.4, hint="two halves")
    assert job["output"] == {"tags": {"white": 0.9, "black": 0.5}, "rating": {"general": 1.0}}
    assert list(job["output"]["tags"]) == ["white", "black"]
    (asked,) = model.asked
    assert asked["model"] == "seer"
    assert asked["messages"][0]["content"].endswith('as material: "two halves"')


@pytest.mark.parametrize("said", [{"tags": {"x": 2}}, {"tags": ["x"]}, {}, "no JSON"])
def test_an_answer_without_tags_is_a_failure(model: Model, server: Server, said: Any) -> None:
    model.steps = [says(said)] * 5
    job = run(server, "wdTagging", image=IMAGE)
    assert (job["status"], job["error"]["code"]) == ("failed", "backend_unavailable")


# Prompts


def test_an_enhanced_prompt_has_the_fields_that_were_asked_for(model: Model, server: Server) -> None:
    model.steps = [says(ENHANCED)]
    job = run(server, "promptEnhancement", ecosystem="sdxl", prompt="a fox", instruction="add light")
    assert job["output"] == ENHANCED
    system, user = model.asked[0]["messages"]
    assert "tags, separated by commas" in system["content"]
    assert json.loads(user["content"]) == {
        "ecosystem": "sdxl",
        "prompt": "a fox",
        "negativePrompt": None,
        "instruction": "add light",
    }
    assert model.asked[0]["model"] == "tiny"


def test_a_family_of_today_is_prompted_with_sentences_and_pictures_go_to_the_vision_model(
    model: Model, server: Server
) -> None:
    model.steps = [says(ENHANCED)]
    run(server, "promptEnhancement", ecosystem="flux1", prompt="a fox", images=[IMAGE, IMAGE])
    system, user = model.asked[0]["messages"]
    assert "natural sentences" in system["content"]
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "image_url"]
    assert model.asked[0]["model"] == "seer"


@pytest.mark.parametrize(
    "answer",
    [
        {**ENHANCED, "enhancedPrompt": ""},
        {**ENHANCED, "enhancedPrompt": 7},
        {**ENHANCED, "enhancedPrompt": "x" * 10_001},
        {**ENHANCED, "issues": [{"description": "bad", "severity": "fatal"}]},
        {**ENHANCED, "recommendations": ["again"] * 51},
        {"recommendations": []},
        ["a", "list"],
        "Here is your prompt: a fox",
    ],
)
def test_an_answer_of_another_form_is_never_kept(model: Model, server: Server, answer: Any) -> None:
    model.steps = [says(answer)]
    job = run(server, "promptEnhancement", ecosystem="sdxl", prompt="a fox")
    assert (job["status"], job["error"]["code"]) == ("failed", "backend_unavailable")
    assert "output" not in job


def test_what_is_more_in_an_answer_is_left_out(model: Model, server: Server) -> None:
    model.steps = [says({**ENHANCED, "secret": "x"})]
    assert "secret" not in run(server, "promptEnhancement", ecosystem="sdxl", prompt="a fox")["output"]


# Chats


def test_a_chat_is_passed_on_and_what_is_known_of_the_answer_comes_back(model: Model, server: Server) -> None:
    model.steps = [answers(200, json.dumps(completion(system_fingerprint="f", unknown={"a": 1})))]
    job = run(server, "chatCompletion", **chat(temperature=0.5, stop=["\n"], seed=4, max_tokens=50))
    assert job["output"] == {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1796000000,
        "model": "tiny-q4",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Red, green, blue."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }
    (asked,) = model.asked
    assert asked == {
        "path": "/v1/chat/completions",
        "model": "tiny",
        "messages": [{"role": "user", "content": "Name three colours."}],
        "temperature": 0.5,
        "stop": ["\n"],
        "seed": 4,
        "max_tokens": 50,
        "n": 1,
    }


def test_tools_and_their_calls_are_passed_on(model: Model, server: Server) -> None:
    call = {"id": "t-1", "type": "function", "function": {"name": "paint", "arguments": '{"colour": "red"}'}}
    model.steps = [answers(200, json.dumps(completion(None, message={"tool_calls": [call]})))]
    tool = {"type": "function", "function": {"name": "paint", "parameters": {"type": "object"}}}
    job = run(server, "chatCompletion", **chat(tools=[tool], tool_choice="auto"))
    assert job["output"]["choices"][0]["message"]["tool_calls"] == [call]
    assert (model.asked[0]["tools"], model.asked[0]["tool_choice"]) == ([tool], "auto")


def test_a_json_answer_is_parsed(model: Model, server: Server) -> None:
    model.steps = [answers(200, json.dumps(completion('{"colours": ["red"]}')))]
    schema = {"name": "colours", "schema": {"type": "object"}}
    format_ = {"type": "json_schema", "json_schema": schema}
    job = run(server, "chatCompletion", **chat(response_format=format_))
    assert job["output"]["parsed"] == {"colours": ["red"]}
    assert model.asked[0]["response_format"] == format_


def test_pictures_of_a_chat_go_to_the_vision_model(model: Model, server: Server) -> None:
    model.steps = [answers(200, json.dumps(completion()))]
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    run(server, "chatCompletion", messages=[{"role": "user", "content": parts}])
    assert model.asked[0]["model"] == "seer"
    text, picture = model.asked[0]["messages"][0]["content"]
    assert text == parts[0]
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"messages": []}, "messages", "should have at least 1 item"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "is required"),
        (
            {"messages": [{"role": "tool", "content": "42"}]},
            "messages[0].tool_call_id",
            "is required of a message with the role tool",
        ),
        ({"temperature": 3}, "temperature", "should be at most 2.0"),
        ({"stream": True}, "stream", "is not a field here; correct its name or leave it out"),
        ({"model": "huge"}, "", "there is no language model 'huge' here; there is seer and tiny"),
        (
            {"messages": [{"role": "user", "content": "a" * 200_001}]},
            "messages",
            "have 200001 characters; at most 200000 are accepted",
        ),
    ],
)
def test_wrong_chats_are_refused(server: Server, changes: dict[str, Any], field: str, message: str) -> None:
    assert refused(server, "chatCompletion", **chat(**changes)) == {f"input.{field}".rstrip("."): [message]}


# Safety, limits and failures


def test_prompts_and_answers_pass_the_checks_of_prompts(
    model: Model, make_server: Callable[..., Server]
) -> None:
    language = {"base_url": model.url, "model": "tiny", "vision_model": "seer"}
    server = make_server(language_model=language, safety={"blocked_words": ["zeppelin"]})
    for recipe, input_ in (
        ("promptEnhancement", {"ecosystem": "sdxl", "prompt": "a zeppelin"}),
        ("chatCompletion", {"messages": [{"role": "user", "content": "draw a zeppelin"}]}),
        ("mediaCaptioning", {"image": IMAGE, "instructions": "call it a zeppelin"}),
    ):
        answer = server.client.post("/api/v1/jobs", json={"recipe": recipe, "input": input_})
        assert answer.status_code == 400
        assert answer.json()["type"].endswith("content_blocked")
    assert model.asked == []
    for recipe, input_, said in (
        ("mediaCaptioning", {"image": IMAGE}, "A zeppelin over a town."),
        ("chatCompletion", chat(), "A zeppelin."),
        (
            "promptEnhancement",
            {"ecosystem": "sdxl", "prompt": "a ship"},
            {**ENHANCED, "enhancedPrompt": "zeppelin"},
        ),
    ):
        model.steps = [says(said)]
        job = run(server, recipe, **input_)
        assert (job["status"], job["error"]["code"]) == ("failed", "content_blocked")
        assert "output" not in job


def test_a_busy_model_is_asked_again_later(model: Model, server: Server) -> None:
    model.steps = [answers(429, "{}", Retry_After="0"), answers(429, "{}", Retry_After="0"), says("Red.")]
    job = run(server, "chatCompletion", **chat())
    assert (job["status"], job["failures"]) == ("succeeded", 1)


def test_a_question_that_is_refused_is_not_asked_again(model: Model, server: Server) -> None:
    model.steps = [answers(400, '{"error": {"message": "secret words"}}')]
    job = run(server, "chatCompletion", **chat())
    assert (job["status"], job["attempt"], job["error"]["code"]) == ("failed", 1, "backend_rejected")
    assert job["error"]["message"] == "the language model answered 400"


def test_refusals_do_not_close_the_way_for_others(model: Model, server: Server) -> None:
    model.steps = [answers(400)]
    for _ in range(4):
        run(server, "chatCompletion", **chat())
    model.steps = [says("Red.")]
    assert run(server, "chatCompletion", **chat())["status"] == "succeeded"


def test_an_answer_above_the_limit_is_a_failure(model: Model, server: Server) -> None:
    model.steps = [says("a" * 70_000)]
    job = run(server, "chatCompletion", **chat())
    assert (job["status"], job["error"]["code"]) == ("failed", "output_limit")
    assert "at most 65536 are kept" in job["error"]["message"]


def test_without_a_model_each_task_names_the_setting(make_server: Callable[..., Server]) -> None:
    server = make_server()
    assert TEXT_SETTING in refused(server, "chatCompletion", **chat())["input"][0]
    assert TEXT_SETTING in refused(server, "promptEnhancement", **PROMPT)["input"][0]
    assert VISION_SETTING in refused(server, "promptEnhancement", **PROMPT, images=[IMAGE])["input"][0]
    assert VISION_SETTING in refused(server, "mediaCaptioning", image=IMAGE)["input"][0]
    assert VISION_SETTING in refused(server, "wdTagging", image=IMAGE)["input"][0]
    recipes = {each["name"]: each for each in server.client.get("/api/v1/recipes").json()["items"]}
    assert recipes["chatCompletion"]["example"] is None


def test_with_a_model_the_examples_work(model: Model, server: Server) -> None:
    for name, said in (
        ("chatCompletion", "Red."),
        ("mediaCaptioning", "A dot."),
        ("promptEnhancement", ENHANCED),
        ("wdTagging", {"tags": {"dot": 0.8}}),
    ):
        model.steps = [says(said)]
        example = server.client.get(f"/api/v1/recipes/{name}").json()["example"]
        assert run(server, name, **example)["status"] == "succeeded"


def test_characters_use_the_general_model_unless_they_have_their_own(
    model: Model, make_server: Callable[..., Server]
) -> None:
    server = make_server(language_model={"base_url": model.url, "model": "tiny"})
    llm = server.app.products["characters"]._llm  # type: ignore[attr-defined]
    assert (llm.model, llm._url) == ("tiny", f"{model.url}/chat/completions")
    assert llm._limits.timeout_s == 20.0


def test_their_own_model_stays_theirs(model: Model, make_server: Callable[..., Server]) -> None:
    server = make_server(
        llm={"base_url": model.url, "model": "own"},
        language_model={"base_url": "http://127.0.0.1:9/v1", "model": "tiny"},
    )
    llm = server.app.products["characters"]._llm  # type: ignore[attr-defined]
    assert (llm.model, llm._url) == ("own", f"{model.url}/chat/completions")
