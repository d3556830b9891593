"""Normalisation of texts for comparison: it removes the usual disguises, such as look-alikes and digits for
letters."""

import hashlib
import re
import unicodedata
from functools import cached_property, lru_cache

from imagemill.domain.moderation import PromptTexts

# Cyrillic and Greek look-alikes, and Latin letters that do not decompose into a letter and a mark.
_CONFUSABLE = str.maketrans(
    "авекмнорстухіјѕԁһӏьԛԝёαβεζηικμνορτυχϲłøđıħŧɡɑпги",
    "abekmhopctyxijsdhlbqweabeznikmvoptyxclodihtganru",
)
_LEET = str.maketrans("013456789@$!|+€£", "oieasgtbgasiltel")
_WHOLE_WORDS = re.compile("[\ufdf0-\ufdfd]")
"""Single characters for Arabic phrases, which normalisation would expand to eighteen times the length."""
_LONG = re.compile(r"(\w)\1{2,}")
_TOKEN = re.compile(r"[^\W_]+(?:[@$!|+€£][^\W_]+)*[@$]?|[@$][^\W_]+")
_LEET_SIGNS = re.compile(r"[^\W\d_]")
_APOSTROPHES = str.maketrans("", "", "'\u2019\u2018`\u00b4")


def fold(text: str) -> str:
    """Return the text in lower case without marks, look-alikes and invisible characters."""
    if not text.isascii():
        text = _WHOLE_WORDS.sub(" ", text)
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
        text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Cf", "Me"))
        text = text.translate(_CONFUSABLE)
    return text.lower().translate(_APOSTROPHES)


@lru_cache(maxsize=64)
def words(text: str) -> tuple[str, ...]:
    """Return the words of a text in order. Spaced-out letters are joined, digits in words read as letters."""
    found: list[str] = []
    apart: list[str] = []
    for token in _TOKEN.findall(_LONG.sub(r"\1", fold(text))):
        if len(token) == 1:
            apart.append(token)
            continue
        if apart:
            _join_letters(found, apart)
        found.append(token if token.isalpha() else _read_digits_as_letters(token))
    _join_letters(found, apart)
    return tuple(found)


def _read_digits_as_letters(token: str) -> str:
    return token.translate(_LEET) if _LEET_SIGNS.search(token) else token


def _join_letters(found: list[str], apart: list[str]) -> None:
    """Add single letters to ``found``: three or more in a row are one spaced-out word, fewer are words."""
    if len(apart) >= 3:
        found.append("".join(apart).translate(_LEET))
    else:
        found.extend(apart)
    apart.clear()


def digest(texts: PromptTexts) -> str:
    """Return the SHA-256 of the normalised words, so that a disguised text has the same digest."""
    text = "\n".join(" ".join(words(part)) for part in (texts.whole, texts.negative))
    return hashlib.sha256(text.encode()).hexdigest()


class LatePattern:
    """A regular expression that is compiled when it is first used: the long ones take 3 ms each."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self._text)
