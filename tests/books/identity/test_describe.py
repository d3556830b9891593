"""The description of a face by a vision model: its question, what of its answer is kept, and when it is not
asked."""

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imagemill.language.settings import LanguageModelSettings
from imagemill.media.layout import InvalidImage
from imagemill.products.books.identity.describe import FaceDescriber, FaceDescription, is_private, words_for
from tests.service.test_translating import Model, answers, says

SHOWN = b"a small jpeg"
ANSWER = {
    "hair": "Long curly red hair",
    "eyes": "green",
    "skin": "light",
    "gender": "girl",
    "glasses": False,
    "freckles": True,
}
CURLY = FaceDescription(
    hair="long curly red hair", eyes="green", skin="light", gender="girl", glasses=False, freckles=True
)


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
def make(model: Model) -> Iterator[Callable[..., FaceDescriber]]:
    made: list[FaceDescriber] = []

    def build(shrink: Callable[[bytes], bytes] = lambda _: SHOWN, **options: Any) -> FaceDescriber:
        language = {"base_url": model.url, "vision_model": "seer"} | options.pop("language", {})
        made.append(FaceDescriber(LanguageModelSettings(**language), shrink, **options))
        return made[-1]

    yield build
    for each in made:
        each.close()


def test_the_model_sees_the_small_picture_and_its_words_are_kept(
    model: Model, make: Callable[..., FaceDescriber]
) -> None:
    model.steps = [says(json.dumps(ANSWER))]
    assert make().describe(b"photo", consented=True) == CURLY
    (asked,) = model.asked
    assert asked["model"] == "seer"
    image = asked["messages"][1]["content"][0]["image_url"]["url"]
    assert base64.b64decode(image.partition(",")[2]) == SHOWN


def test_an_answer_in_a_fence_is_read(model: Model, make: Callable[..., FaceDescriber]) -> None:
    model.steps = [says(f"```json\n{json.dumps(ANSWER)}\n```")]
    assert make().describe(b"photo", consented=True) == CURLY


@pytest.mark.parametrize(
    "words",
    ["x" * 61, "red} {evil", "<lora:x:1>", "(red:1.9)", "рыжие", "", 7, ["red"], None, "embedding:bad"],
)
def test_words_that_no_prompt_may_take_over_are_dropped(
    model: Model, make: Callable[..., FaceDescriber], words: Any
) -> None:
    model.steps = [says(json.dumps(ANSWER | {"hair": words}))]
    described = make().describe(b"photo", consented=True)
    assert described is not None
    assert (described.hair, described.eyes) == ("", "green")


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot help with that.",
        "[]",
        "{}",
        "null",
        "[" * 5000,
        json.dumps(ANSWER | {"gender": "princess"}),
        json.dumps(ANSWER | {"glasses": "perhaps"}),
        json.dumps({"hair": "<b>", "eyes": "123"}),
    ],
)
def test_another_answer_is_no_description(
    model: Model, make: Callable[..., FaceDescriber], answer: str
) -> None:
    model.steps = [says(answer)]
    assert make().describe(b"photo", consented=True) is None


def test_without_consent_nothing_is_sent(model: Model, make: Callable[..., FaceDescriber]) -> None:
    assert make().describe(b"photo", consented=False) is None
    assert not model.asked


def test_without_a_vision_model_nothing_is_sent(model: Model, make: Callable[..., FaceDescriber]) -> None:
    describer = make(language={"vision_model": None, "model": "tiny"})
    assert "VISION_MODEL" in str(describer.refusal_reason)
    assert describer.describe(b"photo", consented=True) is None
    assert not model.asked


def test_an_endpoint_outside_is_not_asked_unless_it_is_allowed(make: Callable[..., FaceDescriber]) -> None:
    outside = {"base_url": "https://198.51.100.7.nip.invalid/v1"}
    assert "EXTERNAL_VISION" in str(make(language=outside).refusal_reason)
    assert make(language={"base_url": "http://8.8.8.8/v1"}).describe(b"photo", consented=True) is None
    assert make(language={"base_url": "http://8.8.8.8/v1"}, external=True).refusal_reason is None


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://[::1]/v1", True),
        ("http://localhost/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://192.168.0.9:1/v1", True),
        ("https://1.1.1.1/v1", False),
        ("https://[2606:4700::1]/v1", False),
        ("http://no-such-host.invalid/v1", False),
    ],
)
def test_private_addresses(url: str, private: bool) -> None:
    assert is_private(url) is private


def test_a_failing_endpoint_gives_no_description_and_logs_no_picture(
    model: Model, make: Callable[..., FaceDescriber], caplog: pytest.LogCaptureFixture
) -> None:
    model.steps = [answers(500, "oops")]
    with caplog.at_level(logging.DEBUG):
        assert make().describe(b"photo", consented=True) is None
    assert "could not be described" in caplog.text
    assert base64.b64encode(SHOWN).decode() not in caplog.text


def test_a_picture_that_cannot_be_read_gives_no_description(
    model: Model, make: Callable[..., FaceDescriber]
) -> None:
    def shrink(data: bytes) -> bytes:
        raise InvalidImage("is damaged")

    assert make(shrink).describe(b"photo", consented=True) is None
    assert not model.asked


# Words for prompts.

COLOURS = {
    "hair": {"colour": "#876445", "words": "light brown hair"},
    "eyes": {"colour": "#5d7f9f", "words": "blue eyes"},
    "skin": {"colour": "#e8bf9f", "words": "light skin"},
}


@pytest.mark.parametrize(
    ("age", "gender", "details", "expected"),
    [
        (None, "", {}, "a child"),
        (1, "boy", {}, "a boy of 1 year"),
        (5, "neutral", {"colours": COLOURS}, "a child of 5 years, light brown hair, blue eyes, light skin"),
        (
            6,
            "girl",
            {"colours": COLOURS, "description": CURLY.model_dump()},
            "a girl of 6 years, long curly red hair, green eyes, light skin, freckles",
        ),
        (
            4,
            "boy",
            {"colours": COLOURS, "description": {"glasses": True}},
            "a boy of 4 years, light brown hair, blue eyes, light skin, glasses",
        ),
    ],
)
def test_words_for_a_child(age: int | None, gender: str, details: dict[str, Any], expected: str) -> None:
    assert words_for(age, gender, details) == expected
