"""Checks by word lists: the operator's own, and those of profanity in ``data``, one file a language."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.resources import files

from imagemill.domain.moderation import ALLOWED, ModerationInput, ModerationResult, Verdict
from imagemill.safety.normalize import LatePattern, fold, words

_LISTS = files("imagemill.safety").joinpath("data")


class TermList:
    """A list of words, phrases, and stems that end with ``*``."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._words: set[str] = set()
        self._phrases: dict[str, list[tuple[str, ...]]] = {}
        stems: list[str] = []
        for term in terms:
            first, *rest = term.split()
            if rest:
                self._phrases.setdefault(first, []).append(tuple(rest))
            elif term.endswith("*"):
                stems.append(term[:-1])
            else:
                self._words.add(term)
        self._stems = LatePattern("(?:^| )(?:" + "|".join(map(re.escape, stems)) + ")") if stems else None

    def has(self, word: str) -> bool:
        """Whether this single word is in the list."""
        return word in self._words or bool(self._stems and self._stems.compiled.match(word))

    def within(self, words: Sequence[str]) -> bool:
        """Whether the words contain a word or a phrase of the list."""
        if not self._words.isdisjoint(words) or (
            self._stems and self._stems.compiled.search(" ".join(words))
        ):
            return True
        if self._phrases.keys().isdisjoint(words):
            return False
        return any(self._begins(words, index) for index in range(len(words)))

    def _begins(self, words: Sequence[str], index: int) -> bool:
        return any(
            tuple(words[index + 1 : index + 1 + len(rest)]) == rest
            for rest in self._phrases.get(words[index], ())
        )


class BlockedWords:
    """A check that blocks the operator's list of words."""

    name = "words"

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = TermList(fold(term) for term in terms if term.strip("* "))

    def judge(self, question: ModerationInput) -> ModerationResult:
        found = self._terms.within(words(question.texts.whole))
        return ModerationResult(Verdict.BLOCK, "words") if found else ALLOWED


class RecipeBlockedWords:
    """A check that blocks a list of words in certain recipes only."""

    def __init__(self, name: str, terms: Sequence[str], recipes: Sequence[str]) -> None:
        self.name = name
        self._own = BlockedWords(terms)
        self._recipes = frozenset(recipes)

    def judge(self, question: ModerationInput) -> ModerationResult:
        return self._own.judge(question) if question.recipe in self._recipes else ALLOWED


class Profanity:
    """A check with the project's own word lists, one a language, read at the first prompt."""

    name = "profanity"

    def __init__(self, languages: Sequence[str], verdict: Verdict) -> None:
        self._languages = tuple(languages)
        self._result = ModerationResult(verdict, "profanity")
        known = available()
        for language in languages:
            if language not in known:
                raise ValueError(
                    f"there is no profanity list for {language!r}; use one of {', '.join(known)}"
                )

    @cached_property
    def _terms(self) -> TermList:
        return TermList(_normalised(term) for language in self._languages for term in terms_in(language))

    def judge(self, question: ModerationInput) -> ModerationResult:
        return self._result if self._terms.within(words(question.texts.whole)) else ALLOWED


def available() -> list[str]:
    """Return the languages that have a list."""
    return sorted(file.name.removesuffix(".txt") for file in _LISTS.iterdir() if file.name.endswith(".txt"))


def terms_in(language: str) -> list[str]:
    """Return the terms of a list: words, phrases, and stems that end in ``*``."""
    return _LISTS.joinpath(f"{language}.txt").read_text("utf-8").splitlines()


def _normalised(term: str) -> str:
    """Return the term as it is found in a prompt."""
    return " ".join(words(term)) + ("*" if term.endswith("*") else "")
