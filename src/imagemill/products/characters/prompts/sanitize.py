"""Sanitizing of prompt parts: tags, names and free text without weights, and the filter that keeps English
words."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby

from imagemill.products.characters.prompts.lexicon import Language, lexicons
from imagemill.products.characters.prompts.tokenizer import Unit, split_units
from imagemill.safety.ages import states_minor
from imagemill.safety.minors import is_sexual, is_young
from imagemill.safety.normalize import fold

MOST_TAG_CHARS = 40
MOST_NAME_CHARS = 60
MOST_TEXT_CHARS = 500

_TAG = re.compile(r"[a-z0-9][a-z0-9 ()-]*")
_NOT_TAG = re.compile(r"[^a-z0-9 ()-]+")
_BLANKS = re.compile(r"\s+")
_WEIGHTS = re.compile(r"[\[\]{}<>|\\\"#]+")
_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Cn", "Mn")
_BREAK = re.compile(r"\b(?:BREAK|AND)\b|\b(?:embedding|lora|lyco|hypernet)\s*:", re.IGNORECASE)
_BAD = re.compile(
    r"\b(?:loli\w*|shota\w*|child\w*|kids?|toddler\w*|infant\w*|bab(?:y|ies)|teen\w*|preteen\w*|tweens?|minors?"
    r"|underage\w*|adolescent\w*|young\w*|youth\w*|school ?(?:girl|boy)s?|little (?:girl|boy)|petite"
    r"|flat chest\w*|small breasts|aged down|kindergarten\w*|diapers?|nude\w*|naked|nudity|nsfw"
    r"|sex\w*|porn\w*|hentai|ecchi"
    r"|topless|bottomless|nipples?|pussy|penis|vagina|genital\w*|lingerie|undress\w*|cleavage|breasts?|panties"
    r"|underwear|rating explicit|explicit|lewd|erotic\w*|chibi)\b"
)
"""Tags that are never used: of young people, and sexual ones. The safety checks handle the texts themselves.
"""
_QUALITY = re.compile(
    r"\b(?:break|masterpiece|best quality|score \d\w*|high ?res|absurdres|\d?k|watermark\w*|signature)\b"
)


_MOST_WORDS = {True: 5, False: 8}
"""Maximum number of words of a part that is kept in English, strictly or not."""
_WORD = re.compile(r"[a-z0-9]+")
_FOREIGN = re.compile(
    r"(?:[aiou]|[ao]s|[ai]r|[ei]z|mente|[aeiou]ndo|ção|cion|dad|dade|agem|vel|[aeio]nte|ns)$"
)
"""Endings of Portuguese and Spanish words that few English ones have."""


# Characters


def tag(text: str) -> str:
    """Return a visual tag in the charset of tags, or an empty text if it may not be one."""
    text = _BLANKS.sub(" ", text.lower().replace("_", " ")).strip(" .-")
    if not text or len(text) > MOST_TAG_CHARS or not _TAG.fullmatch(text):
        return ""
    if is_bad(text) or _QUALITY.search(text) or not any(c.isalpha() for c in text):
        return ""
    return text if _is_balanced(text) else ""


def distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the texts in order, without empty ones and duplicates."""
    return tuple(dict.fromkeys(text for text in texts if text))


def name(text: str) -> str:
    """Return the name of a character or LoRA for use in ``(name:1.2)``, without weight syntax.

    Sexual words and words for young people are removed like those of tags.
    """
    return escaped(_plain_name(_named(text)))


def removed_from_name(text: str) -> tuple[str, ...]:
    """Return the words that a name loses by `name`."""
    named = _named(text)
    kept = _plain_name(named).split()
    return tuple(word for word in named.split() if word not in kept)


def phrase(text: str, most: int = MOST_TEXT_CHARS) -> str:
    """Return a user's free text as part of a prompt: parentheses escaped, without weight syntax."""
    return escaped(_clean(text, most))


def bare(text: str, most: int = MOST_TEXT_CHARS) -> str:
    """Return the same without escapes, for a text that is escaped when it becomes part of a prompt."""
    return _clean(text, most)


def is_bad(text: str) -> bool:
    """Whether the text is sexual or about young people."""
    return bool(_BAD.search(text.lower())) or states_minor(fold(text))


def shown(text: str) -> str:
    """Return a word of the sheet for a report to the user."""
    return _clean(text, MOST_TAG_CHARS)


def escaped(text: str) -> str:
    """Escape parentheses, which ComfyUI and A1111 read as weights."""
    return text.replace("\\", "").replace("(", "\\(").replace(")", "\\)")


def _named(text: str) -> str:
    return _clean(text.replace(",", " ").replace(":", " "), MOST_NAME_CHARS)


def _plain_name(named: str) -> str:
    plain = " ".join(word for word in named.split() if not _BAD.search(fold(word)))
    return "" if is_bad(plain) or is_young(plain) or is_sexual(plain) else plain


def _clean(text: str, most: int) -> str:
    text = unicodedata.normalize("NFKC", text[: 4 * most])
    text = "".join(
        " " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in _UNSEEN
    )
    text = _BREAK.sub(" ", _WEIGHTS.sub(" ", text))
    return _BLANKS.sub(" ", text).strip(" ,:")[:most].strip(" ,:")


def _is_balanced(text: str) -> bool:
    depth = 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if depth not in (0, 1):
            return False
    return depth == 0


def as_tag(text: str) -> str:
    """Return the nearest valid tag for a text of a user or a model."""
    plain = unicodedata.normalize("NFKD", text.lower())
    return tag(_NOT_TAG.sub("", plain.replace("_", " ").replace("'", "")))


# Language


def keep_english(text: str, language: Language, *, strictly: bool = False) -> Iterator[str]:
    """Yield tags for the parts between pauses that have an unknown word and seem to be English.

    ``strictly``: only parts that also have a known noun or adjective, and only in an English text.
    """
    if strictly and language != "en":
        return
    for _, group in groupby(split_units(text, language), key=lambda unit: unit.segment):
        part = list(group)
        if (
            _is_unknown(part)
            and _is_english(part, strictly)
            and not (strictly and not any(u.entries for u in part))
        ):
            raw = " ".join(unit.raw for unit in part if unit.raw.lower() not in ("a", "an", "the"))
            if tag := as_tag(raw):
                yield tag


def _is_unknown(part: list[Unit]) -> bool:
    return any(not unit.entries and not unit.role for unit in part)


def _is_english(part: list[Unit], strictly: bool) -> bool:
    words = [word for unit in part for word in unit.words]
    if len(words) > _MOST_WORDS[strictly] or not " ".join(unit.raw for unit in part).isascii():
        return False
    english = lexicons()["en"]
    return all(english.knows(word) or _looks_english(word) for word in words) and all(
        unit.role != "not" and (unit.role != "nonvisual" or not strictly) for unit in part
    )


def is_foreign(word: str) -> bool:
    """Whether a word is in the Portuguese or Spanish list and not in the English one."""
    own = english_words()
    return word not in own and any(lexicons()[other].knows(word) for other in ("pt", "es"))


@cache
def english_words() -> frozenset[str]:
    """Return all words of the English list."""
    return lexicons()["en"].forms


def _looks_english(word: str) -> bool:
    if any(lexicons()[other].knows(word) for other in ("pt", "es")) or _FOREIGN.search(word):
        return False
    return bool(_WORD.fullmatch(word)) and len(word) > 1 and any(c in "aeiouy" for c in word)
