"""A user's own words for a picture (prompt, instructions, action of a sticker) as tags."""

from collections.abc import Mapping
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.products.characters.prompts import glossary, sanitize
from imagemill.products.characters.prompts.types import MOST_UNTRANSLATED, CharacterSheet, Source

MOST_WISHES = 10
"""Maximum number of tags of one text."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The visible part of a user's text: English tags, at most `MOST_WISHES`."""

    tags: tuple[str, ...] = ()
    untranslated: tuple[str, ...] = ()
    """Words without a tag, and tags beyond the limit."""
    by: Source = "glossary"
    problem: str = ""
    """The reason why the glossary was used instead of the language model."""


def describe_wish(text: str) -> Wish:
    """Translate a text by the glossary; never raises."""
    if not text.strip():
        return Wish()
    tags, unknown = glossary.user_tags(text)
    return _limited(tags, unknown)


def parse_wish(answer: Mapping[str, Any], text: str, given: tuple[str, ...], known: Wish) -> Wish | None:
    """Return the usable part of a language model's answer, of which ``given`` are the plausible tags.

    None when there is no usable tag although the glossary found some.
    """
    tags = glossary.allowed_tags(given, CharacterSheet(description=text))
    if not tags and known.tags:
        return None
    unknown = answer.get("untranslated", [])
    listed: list[object] = list(unknown)[:MOST_UNTRANSLATED] if isinstance(unknown, (list, tuple)) else []
    words = [
        word for word in listed if isinstance(word, str) and word.strip() and word.lower() in text.lower()
    ]
    return _limited(tags, tuple(sanitize.shown(word) for word in words))


def _limited(tags: tuple[str, ...], unknown: tuple[str, ...]) -> Wish:
    lost = sanitize.distinct((*unknown, *tags[MOST_WISHES:]))
    return Wish(tags[:MOST_WISHES], lost[:MOST_UNTRANSLATED])
