"""Checks of prompts one after the other, and what they are compared by."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imagemill.domain.moderation import ALLOWED, ModerationInput, ModerationResult, PromptTexts, Verdict
from imagemill.safety.chain import CheckChain, CheckFailed
from imagemill.safety.normalize import digest, words
from imagemill.safety.words import BlockedWords, Profanity, available, terms_in


@dataclass
class Fake:
    """Says what ``say`` says, and keeps what it was asked."""

    say: Callable[[ModerationInput], ModerationResult] = lambda _: ALLOWED
    name: str = "fake"
    asked: list[str] = field(default_factory=list[str])

    def judge(self, question: ModerationInput) -> ModerationResult:
        self.asked.append(question.texts.prompt)
        return self.say(question)


def question(prompt: str, negative: str = "") -> ModerationInput:
    return ModerationInput(PromptTexts(prompt, negative), "ann", "textToImage")


def rewriting(text: str) -> Fake:
    return Fake(
        lambda asked: ModerationResult(Verdict.REWRITE, "style", PromptTexts(text, asked.texts.negative))
    )


def test_an_ordinary_prompt_passes_and_nothing_is_kept_of_it():
    sentence = CheckChain([Fake()]).judge(question("a lighthouse"))
    assert sentence.texts.prompt == "a lighthouse"
    assert sentence.records == ()


def test_a_block_ends_the_chain():
    after = Fake()
    sentence = CheckChain([Fake(lambda _: ModerationResult(Verdict.BLOCK, "mine")), after]).judge(
        question("x")
    )
    assert sentence.blocked is not None
    assert sentence.blocked.category == "mine"
    assert after.asked == []


def test_a_flag_is_kept_and_the_chain_goes_on():
    after = Fake()
    sentence = CheckChain([Fake(lambda _: ModerationResult(Verdict.FLAG, "mine")), after]).judge(
        question("x")
    )
    assert sentence.blocked is None
    assert [each.verdict for each in sentence.records] == [Verdict.FLAG]
    assert after.asked == ["x"]


def test_the_next_check_sees_what_was_rewritten():
    after = Fake()
    sentence = CheckChain([rewriting("a calm sea"), after]).judge(question("a wild sea", "blurry"))
    assert after.asked == ["a calm sea"]
    assert sentence.texts == PromptTexts("a calm sea", "blurry")


def test_minors_are_protected_first_and_after_a_rewrite():
    before = Fake()
    assert CheckChain([before]).judge(question("nude child")).blocked is not None
    assert before.asked == []
    assert CheckChain([rewriting("nude child")]).judge(question("a sea")).blocked is not None


def test_a_rewrite_that_cannot_be_made_is_a_block():
    assert CheckChain([rewriting("y")]).judge(question("x"), rewritable=False).blocked is not None


def test_a_check_that_fails_lets_nothing_pass_and_tells_no_text(caplog: pytest.LogCaptureFixture):
    def fail(asked: ModerationInput) -> ModerationResult:
        raise ValueError(asked.texts.prompt)

    with caplog.at_level(logging.DEBUG), pytest.raises(CheckFailed) as error:
        CheckChain([Fake(fail)]).judge(question("hushhush"))
    assert "'fake'" in caplog.text
    assert "hushhush" not in caplog.text + str(error.value)
    assert error.value.__cause__ is None


def test_the_operator_s_words_block():
    check = BlockedWords(("zeppelin*", "Mickey Mouse", ""))
    assert check.judge(question("two Zeppelins at dawn")).verdict is Verdict.BLOCK
    assert check.judge(question("m1ckey m0use")).verdict is Verdict.BLOCK
    assert check.judge(question("a mouse named Mickey")).verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    "prompt",
    [
        "Scunthorpe, Penistone and Essex",
        "shiitake mushrooms with grapefruit",
        "an assassin with a bass guitar, analog film",
        "young adult in a classroom, cocktail dress",
        "Dickens, Titicaca, Hancock, Matsushita",
        "circumstance, document, peacock, cockatoo",
        "una mujer en la cocina, um homem no jardim",
    ],
)
def test_words_that_contain_others_are_no_profanity(prompt: str):
    check = Profanity(("english",), Verdict.FLAG)
    assert check.judge(question(prompt)).verdict is Verdict.ALLOW


@pytest.mark.parametrize("prompt", ["what the fuck", "f u c k", "sh1t", "FUCKING hell", "fück"])
def test_profanity_is_flagged_in_any_dress(prompt: str):
    ruling = Profanity(("english",), Verdict.FLAG).judge(question(prompt))
    assert ruling == ModerationResult(Verdict.FLAG, "profanity")


EVERYDAY = dict(
    line.split(": ", 1) for line in Path(__file__).with_name("everyday.txt").read_text("utf-8").splitlines()
)
"""A sentence by language, with words that lists of profanity often name wrongly."""


def test_there_is_a_list_of_each_language_that_ever_had_one():
    assert available() == sorted(EVERYDAY)


@pytest.mark.parametrize("language", sorted(EVERYDAY))
def test_each_term_is_found_and_everyday_sentences_are_not(language: str):
    check, terms = Profanity((language,), Verdict.FLAG), terms_in(language)
    assert len(terms) >= 50
    assert terms == sorted(set(terms))
    for term in terms:
        bare = term.removesuffix("*")
        for prompt in (bare, f"a photo, {bare.upper()}!", f"{bare}xyz" if term != bare else bare):
            assert check.judge(question(prompt)).verdict is Verdict.FLAG, prompt
    assert check.judge(question(EVERYDAY[language])).verdict is Verdict.ALLOW


@pytest.mark.parametrize("language", sorted(EVERYDAY))
def test_no_term_is_a_single_latin_letter_or_empty(language: str):
    for term in terms_in(language):
        found = words(term)
        assert found, term
        assert found != (found[0],) or len(found[0]) > 1 or not found[0].isascii(), term


def test_a_language_without_a_list_is_an_error_that_names_those_with_one():
    with pytest.raises(ValueError, match="no profanity list for 'klingon'"):
        Profanity(("klingon",), Verdict.FLAG)


def test_the_same_text_in_another_dress_has_the_same_digest():
    assert digest(PromptTexts("A Lighthouse,  at sea")) == digest(PromptTexts("a l1ghthouse at SEA!"))
    assert digest(PromptTexts("a", "b")) != digest(PromptTexts("a b"))


@pytest.mark.parametrize(
    "text",
    [
        "ab" * 5000,
        "a " * 5000,
        "é" * 10_000,
        "@$" * 5000,
        "\ufdfa" * 10_000,
        "age 20 " * 1400,
        "nude " * 2000,
    ],
)
def test_no_text_takes_long(text: str):
    """Ten thousand characters: the default limit. A few milliseconds each; the bound is for busy machines."""
    begin = time.process_time()
    CheckChain([Profanity(("english",), Verdict.FLAG)]).judge(question(text))
    assert time.process_time() - begin < 0.2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A  lighthouse!", ("a", "lighthouse")),
        ("l'été", ("lete",)),
        ("8k 4k", ("bk", "ak")),
        ("year 2024", ("year", "2024")),
        ("a b", ("a", "b")),
    ],
)
def test_words_are_what_is_compared(text: str, expected: tuple[str, ...]):
    assert words(text) == expected
