"""The tokenizer: splits a text into known words and phrases, unknown words, and the pauses between them."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from imagemill.domain.dataclass import dataclass
from imagemill.products.characters.prompts.lexicon import (
    LANGUAGES,
    Language,
    LexiconEntry,
    Match,
    fold,
    lexicons,
)

MOST_CHARS = 2000
"""Maximum number of characters read from a field."""
_WORD = re.compile(r"[^\W_]+")
_HARD = re.compile(r"[.;!?\n\r\u2022|]")
_APOSTROPHES = re.compile("['\u2019`\u00b4]")
_BABY_OR_DRINKS = frozenset(("bebe", "bebes"))
_ARTICLES = frozenset(
    ("o", "os", "a", "as", "um", "uns", "uma", "umas", "el", "los", "la", "las", "un", "unos", "una", "unas")
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A known phrase, or an unknown word."""

    raw: str
    words: tuple[str, ...] = ()
    entries: tuple[LexiconEntry, ...] = ()
    role: str = ""
    language: Language | None = None
    pause: str = ""
    """The pause before it: ",", "." or none."""
    segment: int = 0
    """Number of the part between pauses to which it belongs."""


@dataclass(frozen=True, slots=True)
class _Token:
    raw: str
    word: str
    pause: str
    segment: int


def split_units(text: str, language: Language) -> list[Unit]:
    """Split a text into units; words of the given language take precedence."""
    tokens = _tokens(text)
    words = tuple(token.word for token in tokens)
    found: list[Unit] = []
    index = 0
    while index < len(tokens):
        match, spoken = _match(tokens, words, index, language)
        if match and match.entries and _is_drinks(tokens, index):
            match = Match(1, role="nonvisual")
        length = match.length if match else 1
        part = tokens[index : index + length]
        found.append(
            Unit(
                " ".join(token.raw for token in part),
                tuple(token.word for token in part),
                match.entries if match else (),
                match.role if match else "",
                spoken,
                part[0].pause,
                part[0].segment,
            )
        )
        index += length
    return found


def _is_drinks(tokens: Sequence[_Token], index: int) -> bool:
    """Whether a word is "bebe" without an accent, so that it is the verb; after an article it is a baby."""
    token = tokens[index]
    follows_article = index > 0 and not token.pause and tokens[index - 1].word in _ARTICLES
    return token.word in _BABY_OR_DRINKS and token.raw.isascii() and not follows_article


def detect_language(texts: Sequence[str]) -> Language:
    """Return the language with the most known words; Portuguese when several have the same number."""
    words = [token.word for text in texts for token in _tokens(text)]
    known = {name: sum(map(lexicon.knows, words)) for name, lexicon in lexicons().items()}
    return max(LANGUAGES, key=lambda language: known[language])


def _match(
    tokens: tuple[_Token, ...], words: tuple[str, ...], index: int, language: Language
) -> tuple[Match | None, Language | None]:
    # A phrase does not extend over a pause.
    end = index + 1
    while end < len(tokens) and end < index + 6 and not tokens[end].pause:
        end += 1
    ahead = words[index:end]
    order: tuple[Language, ...] = (language, *(other for other in LANGUAGES if other != language))
    for name in order:
        lexicon = lexicons()[name]
        match = lexicon.match(ahead) or lexicon.guess(ahead[0])
        # Stems are short: those of another language match too many words.
        if match and (name == language or match.entries or match.role != "nonvisual"):
            return match, name
    return None, None


@lru_cache(maxsize=32)
def _tokens(text: str) -> tuple[_Token, ...]:
    """Split a text into words. Cached, as the language is detected before the parsing."""
    # Cut again, as normalisation may turn one character into eighteen.
    text = unicodedata.normalize("NFKC", text[:MOST_CHARS])[:MOST_CHARS]
    text = _APOSTROPHES.sub("", text)
    found: list[_Token] = []
    end, segment = 0, 0
    for match in _WORD.finditer(text):
        gap = text[end : match.start()]
        end = match.end()
        if gap == "/" and found and found[-1].raw.isdigit():
            gap = " "  # 7/8
        pause = "." if _HARD.search(gap) else "," if any(c in gap for c in ",/+()[]") else ""
        segment += bool(pause)
        if word := fold(match[0]):
            found.append(_Token(match[0], word, pause, segment))
    return tuple(found)
