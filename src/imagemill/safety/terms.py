"""Lists of words, written as stems: ``word*`` is every word that begins so, a blank joins a phrase."""

import re
from collections.abc import Iterable, Sequence


class Terms:
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
