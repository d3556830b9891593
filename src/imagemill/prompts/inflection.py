"""Forms of words: folding; plurals, diminutives, superlatives of Portuguese, Spanish and English."""

import re
import unicodedata
from collections.abc import Iterator

_NOT_DECOMPOSED = str.maketrans("øłđıæœ", "oldiao")


def folded(text: str) -> str:
    """Small letters without marks."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
        text = "".join(c for c in text if unicodedata.category(c) != "Mn").translate(_NOT_DECOMPOSED)
    return text.lower()


def plurals(word: str, language: str) -> Iterator[str]:
    """Of a folded singular; regular ones, among them some that do not exist."""
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


_SMALL = {
    "pt": re.compile(r"(z?inh|z?it)(?P<end>[oa]s?)$|(?P<great>ao|oes|ona|onas|zao)$|issim(?P<most>[oa]s?)$"),
    "es": re.compile(r"(e?c?it|ill)(?P<end>[oa]s?)$|(?P<great>on|ona|ote|otes)$|isim(?P<most>[oa]s?)$"),
}


def bases(word: str, language: str) -> Iterator[str]:
    """What a diminutive, augmentative or superlative may come from, the likeliest first."""
    pattern = _SMALL.get(language)
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
