"""English words the glossary has no concept for: whether they may stand in a prompt as they are."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby

from imagemill.prompts import cleaning
from imagemill.prompts.lexicon import Language, lexicons
from imagemill.prompts.tokens import Unit, units

_MOST_WORDS = 5
_WORD = re.compile(r"[a-z0-9]+")
_FOREIGN = re.compile(
    r"(?:[aiou]|[ao]s|[ai]r|[ei]z|mente|[aeiou]ndo|ção|cion|dad|dade|agem|vel|[aeio]nte|ns)$"
)
"""How words of Portuguese and Spanish end, and few of English."""


def passed(text: str, language: Language, *, strictly: bool = False) -> Iterator[str]:
    """Parts between commas with a word that is not known, where all of it reads as English. ``strictly``:
    only beside a noun or an adjective that is known, in a text that is English as a whole."""
    if strictly and language != "en":
        return
    for _, group in groupby(units(text, language), key=lambda unit: unit.segment):
        part = list(group)
        if _is_unknown(part) and _is_english(part) and not (strictly and not any(u.entries for u in part)):
            raw = " ".join(unit.raw for unit in part if unit.raw.lower() not in ("a", "an", "the"))
            if tag := cleaning.as_tag(raw):
                yield tag


def _is_unknown(part: list[Unit]) -> bool:
    return any(not unit.entries and not unit.role for unit in part)


def _is_english(part: list[Unit]) -> bool:
    words = [word for unit in part for word in unit.words]
    if len(words) > _MOST_WORDS or not " ".join(unit.raw for unit in part).isascii():
        return False
    english = lexicons()["en"]
    return all(english.knows(word) or _may_be(word) for word in words) and all(
        unit.role not in ("not", "nonvisual") for unit in part
    )


def is_foreign(word: str) -> bool:
    """A word of the Portuguese or Spanish lists that no English one is written like."""
    own = english_words()
    return word not in own and any(lexicons()[other].knows(word) for other in ("pt", "es"))


@cache
def english_words() -> frozenset[str]:
    return lexicons()["en"].forms


def _may_be(word: str) -> bool:
    if any(lexicons()[other].knows(word) for other in ("pt", "es")) or _FOREIGN.search(word):
        return False
    return bool(_WORD.fullmatch(word)) and len(word) > 1 and any(c in "aeiouy" for c in word)
