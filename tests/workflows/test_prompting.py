"""Networks add their words to the prompts, once."""

from dataclasses import replace

import pytest

from imagemill.domain.images import Network
from imagemill.graphs.builder import build_prompts
from tests.workflows.build import FOX


def added(positive: str, negative: str, *networks: Network) -> tuple[str, str]:
    spec = replace(FOX, prompt=positive, negative_prompt=negative, networks=networks)
    return build_prompts(spec, lambda file: file)


def embedding(path: str, strength: float = 1.0, trigger: str | None = None) -> Network:
    return Network("air", "embedding", strength, trigger, path)


def lora(trigger: str | None) -> Network:
    return Network("air", "lora", 1.0, trigger, "x.safetensors")


def test_a_trigger_word_is_added_when_it_is_absent() -> None:
    assert added("a fox,", "", lora("inkstyle"), lora(None)) == ("a fox, inkstyle", "")
    assert added("", "", lora("inkstyle")) == ("inkstyle", "")


def test_a_trigger_word_that_is_there_is_not_added_again() -> None:
    assert added("an InkStyle fox", "", lora("inkstyle")) == ("an InkStyle fox", "")


@pytest.mark.parametrize("trigger", ["sks", "SKS", " sks "])
def test_a_trigger_word_is_a_whole_word(trigger: str) -> None:
    assert added("a man at his tasks", "", lora(trigger))[0] == f"a man at his tasks, {trigger}"
    assert added("embedding:sks", "", lora(trigger))[0] == f"embedding:sks, {trigger}"
    for written in ("a photo of sks man", "(sks:1.2)", "Sks, a man"):
        assert added(written, "", lora(trigger))[0] == written


@pytest.mark.parametrize(
    ("positive", "negative", "one", "after"),
    [
        ("a fox", "", embedding("e/mono.pt"), ("a fox, embedding:e/mono", "")),
        ("a fox", "", embedding("e\\mono.pt", 0.7), ("a fox, (embedding:e/mono:0.7)", "")),
        ("a fox", "bad, easyneg", embedding("easyneg.pt"), ("a fox", "bad, embedding:easyneg")),
        ("a badword fox", "", embedding("x.pt", 1.0, "badword"), ("a embedding:x fox", "")),
        ("embedding:e/mono", "", embedding("e/mono.pt"), ("embedding:e/mono", "")),
        ("", "(embedding:mono:1.2)", embedding("e/mono.pt"), ("", "(embedding:mono:1.2)")),
        ("a monochrome fox", "", embedding("mono.pt"), ("a monochrome fox, embedding:mono", "")),
    ],
)
def test_an_embedding_stands_where_it_is_named_or_at_the_end(
    positive: str, negative: str, one: Network, after: tuple[str, str]
) -> None:
    assert added(positive, negative, one) == after
