"""Word lists of the operator's own, and those of glin-profanity."""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from imagemill.domain.moderation import ALLOWED, ModerationInput, ModerationResult, Verdict
from imagemill.safety.normalize import fold, words


class TermList:
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
        self._stems = re.compile("(?:^| )(?:" + "|".join(map(re.escape, stems)) + ")") if stems else None

    def has(self, word: str) -> bool:
        """A word by itself."""
        return word in self._words or bool(self._stems and self._stems.match(word))

    def within(self, words: Sequence[str]) -> bool:
        """Anywhere, as a word or a phrase."""
        if not self._words.isdisjoint(words) or (self._stems and self._stems.search(" ".join(words))):
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
    """Words that the operator of this installation does not want."""

    name = "words"

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = TermList(fold(term) for term in terms if term.strip("* "))

    def judge(self, question: ModerationInput) -> ModerationResult:
        found = self._terms.within(words(question.texts.whole))
        return ModerationResult(Verdict.BLOCK, "words") if found else ALLOWED


class RecipeBlockedWords:
    """Words that are not wanted in certain recipes only."""

    def __init__(self, name: str, terms: Sequence[str], recipes: Sequence[str]) -> None:
        self.name = name
        self._own = BlockedWords(terms)
        self._recipes = frozenset(recipes)

    def judge(self, question: ModerationInput) -> ModerationResult:
        return self._own.judge(question) if question.recipe in self._recipes else ALLOWED


class Profanity:
    """The lists of glin-profanity, compared by our own normalisation, which takes a hundredth of the time
    its search does. Read at the first prompt."""

    name = "profanity"

    def __init__(self, languages: Sequence[str], verdict: Verdict) -> None:
        self._languages = tuple(languages)
        self._ruling = ModerationResult(verdict, "profanity")
        known = available()
        for language in languages:
            if language not in known:
                raise ValueError(f"there is no list of profanity in {language!r}; one of {', '.join(known)}")

    @cached_property
    def _terms(self) -> TermList:
        lists = (_read_list(language) for language in self._languages)
        # What reads as another word once digits are letters is left out, such as "455".
        return TermList({term for term in map(fold, chain(*lists)) if term.replace(" ", "").isalpha()})

    def judge(self, question: ModerationInput) -> ModerationResult:
        return self._ruling if self._terms.within(words(question.texts.whole)) else ALLOWED


def available() -> list[str]:
    """Languages there are lists of."""
    return sorted(file.stem for file in _find_folder().glob("*.json") if file.stem != "globalWhitelist")


def _find_folder() -> Path:
    """Of the library's lists, which are read without importing it."""
    spec = find_spec("glin_profanity")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("glin-profanity is not installed; take 'profanity' out of IMAGEMILL_SAFETY__CHECKS")
    return Path(spec.submodule_search_locations[0], "data", "dictionaries")


def _read_list(language: str) -> list[str]:
    text = (_find_folder() / f"{language}.json").read_text("utf-8")
    return [str(word) for word in json.loads(text)["words"]]
