"""The glossary's data: visual concepts (``concepts.txt``) and their word forms in three languages."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import cache
from importlib.resources import files
from typing import Literal

from imagemill.domain.dataclass import dataclass

Language = Literal["pt", "es", "en"]
LANGUAGES: tuple[Language, ...] = ("pt", "es", "en")
_NOT_DECOMPOSED = str.maketrans("øłđıæœ", "oldiao")
_ENDINGS = (("o", "m", False), ("a", "f", False), ("os", "m", True), ("as", "f", True))
"""For a form with ``@``: ending, gender, whether it is plural."""
_SUFFIXES = {
    "pt": re.compile(r"(z?inh|z?it)(?P<end>[oa]s?)$|(?P<great>ao|oes|ona|onas|zao)$|issim(?P<most>[oa]s?)$"),
    "es": re.compile(r"(e?c?it|ill)(?P<end>[oa]s?)$|(?P<great>on|ona|ote|otes)$|isim(?P<most>[oa]s?)$"),
}
"""Suffixes of diminutives (``end``), augmentatives (``great``) and superlatives (``most``)."""


# Word forms


def fold(text: str) -> str:
    """Return the text in lower case and without marks."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
        text = "".join(c for c in text if unicodedata.category(c) != "Mn").translate(_NOT_DECOMPOSED)
    return text.lower()


def plurals(word: str, language: str) -> Iterator[str]:
    """Yield the regular plurals of a folded singular; some of them do not exist."""
    last = word[-1:]
    if last in "aeiou":
        yield word + "s"
    if language == "pt":
        yield from _portuguese(word, last)
    elif language == "es" and last == "z":
        yield word[:-1] + "ces"
    elif language == "es" and last not in "aeiou":
        yield word + "es"
    elif language == "en" and last not in "aeious":
        yield word + "s"
        yield word + "es"
        if last == "y":
            yield word[:-1] + "ies"


def _portuguese(word: str, last: str) -> Iterator[str]:
    if word.endswith("ao"):
        yield from (word[:-2] + end for end in ("oes", "aes", "aos"))
    elif last == "l":
        yield word[:-1] + "is"
        if word.endswith("il"):
            yield word[:-2] + "eis"
    elif last == "m":
        yield word[:-1] + "ns"
    elif last in "rzn":
        yield word + "es"


def bases(word: str, language: str) -> Iterator[str]:
    """Yield the possible base words of a diminutive, augmentative or superlative, the likeliest first."""
    pattern = _SUFFIXES.get(language)
    found = pattern.search(word) if pattern and len(word) >= 6 else None
    if not found or found.start() < 3:
        return
    stem, end = word[: found.start()], found["end"] or found["most"] or "o"
    stems = [stem]
    if stem.endswith("qu"):
        stems.append(stem[:-2] + "c")
    if stem.endswith("gu"):
        stems.append(stem[:-2] + "g")
    if stem.endswith("c") and language == "es":
        stems.append(stem[:-1] + "z")
    many = "s" if end.endswith("s") or found["great"] in ("oes", "onas", "otes") else ""
    for root in stems:
        for vowel in (end[0], "o", "a", "e", ""):
            yield root + vowel + (many if vowel else "")
            yield root + vowel


# Concepts and lexicons


@dataclass(frozen=True, slots=True)
class Concept:
    """A visual concept with its English tags."""

    kind: str
    name: str
    tags: tuple[str, ...]
    readings: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """Noun or slot -> text of a modifier for it. A trailing "!" marks a whole tag, "-" means no text."""


@dataclass(frozen=True, slots=True)
class LexiconEntry:
    """A word form of a concept. ``sex`` and ``many`` are set only where the form shows gender and number."""

    concept: Concept
    sex: str = ""
    many: bool | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A phrase of ``length`` words that means one of ``entries``, or has a ``role`` in the sentence."""

    length: int
    entries: tuple[LexiconEntry, ...] = ()
    role: str = ""


class Lexicon:
    """The word forms of one language. A role is not, and, with, of, at, like, stop, verbal or nonvisual.

    ``verbal`` words are also forms of a verb, such as "mata" (forest, or kills).
    ``underived`` words only look like a diminutive or augmentative: "caminha" (walks) is no small
    "cama" (bed).
    """

    def __init__(self, language: Language, concepts: Mapping[str, Mapping[str, Concept]]) -> None:
        self.language: Language = language
        self._entries: dict[str, list[LexiconEntry]] = {}
        self._roles: dict[str, str] = {}
        self._stems: list[str] = []
        self._underived: set[str] = set()
        self._longest: dict[str, int] = {}
        """First word -> number of words in the longest phrase that begins with it."""
        if language == "en":
            for named in concepts.values():
                for concept in named.values():
                    self._add(concept, concept.name.replace("-", " "))
        for kind, name, forms in _lines(language):
            if (kind, name) == ("words", "underived"):
                self._add_underived(forms)
            elif kind in ("words", "nonvisual"):
                self._add_role(name if kind == "words" else kind, forms)
            else:
                concept = concepts[kind][name]
                for form in forms:
                    self._add(concept, form)
        self._stem = tuple(dict.fromkeys(stem for stem in self._stems if stem))
        for form in (*self._entries, *self._roles):
            first, count = form.partition(" ")[0], form.count(" ") + 1
            self._longest[first] = max(count, self._longest.get(first, 0))

    def _add(self, concept: Concept, form: str) -> None:
        form = fold(form)
        if "@" in form:
            for ending, sex, many in _ENDINGS:
                self._add_entry(form.replace("@", ending), LexiconEntry(concept, sex, many))
            return
        first, _, rest = form.partition(" ")
        self._add_entry(form, LexiconEntry(concept))
        for plural in plurals(first, self.language):
            self._add_entry(f"{plural} {rest}".strip(), LexiconEntry(concept))

    def _add_entry(self, form: str, entry: LexiconEntry) -> None:
        known = self._entries.setdefault(form, [])
        if all(other.concept is not entry.concept for other in known):
            known.append(entry)

    def _add_role(self, role: str, forms: tuple[str, ...]) -> None:
        for form in map(fold, forms):
            if form.endswith("*"):
                stem = form.rstrip("*")
                self._stems.extend(
                    [stem.replace("@", "o"), stem.replace("@", "a")] if "@" in stem else [stem]
                )
                continue
            for ending, _, _ in _ENDINGS if "@" in form else _ENDINGS[:1]:
                self._roles.setdefault(form.replace("@", ending), role)

    def _add_underived(self, forms: tuple[str, ...]) -> None:
        for form in map(fold, forms):
            known = [form.replace("@", ending) for ending, _, _ in _ENDINGS] if "@" in form else [form]
            self._underived.update(known)
            for word in known:
                self._underived.update(plurals(word, self.language))

    def match(self, words: tuple[str, ...]) -> Match | None:
        """Return the longest known phrase at the start of ``words``, in exactly this form."""
        for length in range(min(self._longest.get(words[0], 0), len(words)), 0, -1):
            phrase = " ".join(words[:length])
            entries, role = self._entries.get(phrase), self._roles.get(phrase)
            if entries or role:
                return Match(length, tuple(entries or ()), role or "")
        return None

    def guess(self, word: str) -> Match | None:
        """Match a word by a base it may be derived from, else by the stem of a word that is not visual."""
        for base in () if word in self._underived else bases(word, self.language):
            if entries := self._entries.get(base):
                return Match(1, tuple(entries))
        return Match(1, role="nonvisual") if word.startswith(self._stem) else None

    def knows(self, word: str) -> bool:
        return word in self._entries or word in self._roles

    @property
    def forms(self) -> frozenset[str]:
        """All words of this language's list; none of them may remain in a prompt."""
        return frozenset(word for form in (*self._entries, *self._roles) for word in form.split())


@cache
def lexicons() -> Mapping[Language, Lexicon]:
    """Return the lexicons of all languages; they are read once, at the first use."""
    concepts = _concepts()
    return {language: Lexicon(language, concepts) for language in LANGUAGES}


def _concepts() -> dict[str, dict[str, Concept]]:
    known: dict[str, dict[str, Concept]] = {}
    for kind, line in _sections("concepts"):
        head, arrow, says = line.partition("->")
        name, _, readings = head.partition(":")
        name = name.strip()
        tags = tuple(tag.strip() for tag in says.split(",") if tag.strip()) if arrow else (name,)
        pairs = (pair.partition("=") for pair in readings.split())
        known.setdefault(kind, {})[name] = Concept(
            kind, name, tags, {slot: text.replace("_", " ") for slot, _, text in pairs}
        )
    return known


def _lines(language: Language) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for kind, line in _sections(language):
        name, _, forms = line.partition("=")
        yield kind, name.strip(), tuple(form.strip() for form in forms.split(",") if form.strip())


def _sections(name: str) -> Iterator[tuple[str, str]]:
    kind = ""
    text = (files("imagemill.products.characters.prompts") / "data" / f"{name}.txt").read_text("utf-8")
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            kind = line.strip("[] ")
        else:
            yield kind, line
