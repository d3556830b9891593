"""Steps that use what other steps made: values, pictures of every kind of step, loops; recipes as routes."""

from typing import Any

import pytest

from tests.civitai_v2.http_support import errors, picture, ref, run, send
from tests.conftest import Server

RECIPES = "/v2/consumer/recipes"


def echo(message: Any, **more: Any) -> dict[str, Any]:
    return {"$type": "echo", "input": {"message": message}, **more}


def convert(image: Any, width: int, **more: Any) -> dict[str, Any]:
    input_ = {
        "image": image,
        "transforms": [{"type": "resize", "targetWidth": width}],
        "output": {"format": "png"},
    }
    return {"$type": "convertImage", "input": input_, **more}


def test_a_value_of_another_step_is_filled_in_when_it_exists(server: Server):
    ended = run(server, echo("a red fox", name="words"), picture(ref("words", "output.message")))

    words, made = ended["steps"]
    assert words["output"] == {"message": "a red fox"}
    assert made["status"] == "succeeded"
    assert made["input"]["prompt"] == "a red fox"


def test_a_value_that_is_not_there_fails_the_step_that_wants_it(server: Server):
    ended = run(server, echo("hello"), echo(ref("$0", "output.messages[3]")))

    assert [step["status"] for step in ended["steps"]] == ["succeeded", "failed"]
    assert "has no 'messages[3]'" in ended["steps"][1]["output"]["errors"][0]


def test_a_text_that_is_blocked_is_blocked_as_a_value_too(make_server: Any):
    server = make_server(safety={"blocked_words": ["forbidden"], "checks": ["words"]})
    refused = send(server, echo("x"), picture("a forbidden thing"))
    assert "steps[1].input.prompt" in errors(refused)

    ended = run(server, {"$type": "echo", "input": {"message": "fine"}}, picture(ref("$0", "output.message")))
    assert ended["status"] == "succeeded"


def test_pictures_of_every_kind_of_step_are_referred_to_by_images(server: Server):
    ended = run(
        server,
        picture(name="a"),
        convert(ref("a", "output.images[0].url"), 32, name="b"),
        convert(ref("b", "output.images[0].url"), 16, name="c"),
        convert(ref("b", "output.blob.url"), 24, name="d"),
    )

    assert ended["status"] == "succeeded", ended
    sizes = {step["name"]: step["output"]["blob"]["width"] for step in ended["steps"][1:]}
    assert sizes == {"b": 32, "c": 16, "d": 24}
    assert ended["steps"][2]["input"]["image"] == ended["steps"][1]["output"]["blob"]["url"]


def test_a_loop_runs_its_step_for_each_picture(server: Server):
    loop = {
        "$type": "repeat",
        "name": "loop",
        "input": {
            "for": {**ref("many", "output.images"), "as": "item"},
            "template": convert(ref("item", "url"), 32),
        },
    }
    ended = run(server, picture(name="many", quantity=3), loop, echo("done", name="last"))

    assert ended["status"] == "succeeded", ended
    rounds = ended["steps"][1]["output"]["steps"]
    assert [each["$type"] for each in rounds] == ["convertImage"] * 3
    assert len({each["output"]["blob"]["id"] for each in rounds}) == 3
    assert all(each["output"]["blob"]["width"] == 32 for each in rounds)
    pictures = [image["url"] for image in ended["steps"][0]["output"]["images"]]
    assert [each["input"]["image"] for each in rounds] == pictures
    assert len(ended["steps"][1]["jobs"]) == 3


def test_a_loop_over_a_list_of_arguments(server: Server):
    loop = {
        "$type": "repeat",
        "input": {
            "for": {**ref("$arguments", "animals"), "as": "animal"},
            "template": picture(ref("animal", "name"), quantity=2),
        },
    }
    ended = run(server, loop, arguments={"animals": [{"name": "fox"}, {"name": "owl"}]})

    rounds = ended["steps"][0]["output"]["steps"]
    assert [each["input"]["prompt"] for each in rounds] == ["fox", "owl"]
    assert [len(each["output"]["images"]) for each in rounds] == [2, 2]


@pytest.mark.parametrize(
    ("input_", "path", "words"),
    [
        ({}, "steps[1].input", "template"),
        ({"for": {"as": "x"}, "template": {}}, "steps[1].input.for", "output.images"),
        (
            {"for": {**ref("$0", "output.images"), "as": "x"}, "template": {"$type": "repeat", "input": {}}},
            "steps[1].input.template.$type",
            "cannot hold another",
        ),
        (
            {"for": {**ref("$0", "output.images[0].url"), "as": "x"}, "template": echo("x")},
            "steps[1].input.for",
            "a list of 1 to",
        ),
        (
            {"for": {**ref("$0", "output.images"), "as": "x"}, "template": {"$type": "echo", "input": {}}},
            "steps[1].input.template.input.message",
            "is required",
        ),
    ],
)
def test_a_wrong_loop_is_refused(server: Server, input_: dict[str, Any], path: str, words: str):
    found = errors(send(server, picture(), {"$type": "repeat", "input": input_}))

    assert path in found, found
    assert words in found[path][0]


def test_a_recipe_answers_with_the_bare_output(server: Server):
    body = picture()["input"]
    made = server.client.post(f"{RECIPES}/textToImage", json=body)
    echoed = server.client.post(f"{RECIPES}/echo", json={"message": "hello"})

    assert made.status_code == 200, made.text
    assert made.json()["images"][0]["available"]
    assert echoed.json() == {"message": "hello"}


def test_the_price_of_a_recipe_is_in_headers(server: Server):
    body = {"prompt": "x", "width": 512, "height": 512, "steps": 20}
    priced = server.client.post(f"{RECIPES}/textToImage", json=body, params={"whatif": "true"})

    assert priced.status_code == 200
    assert int(priced.headers["x-civitai-cost-total"]) > 0
    assert priced.headers["x-civitai-cost-by-currency"] == f"yellow={priced.headers['x-civitai-cost-total']}"
    assert priced.headers["x-civitai-insufficient-buzz"] == "false"


def test_a_recipe_that_fails_says_why_and_an_unknown_one_is_refused(server: Server):
    wrong = server.client.post(f"{RECIPES}/textToImage", json={"prompt": "x", "steps": 0})
    unknown = server.client.post(f"{RECIPES}/polyGen", json={})

    assert list(wrong.json()["errors"]) == ["steps"]
    assert unknown.status_code == 400
    assert "step type not supported" in unknown.json()["detail"]
