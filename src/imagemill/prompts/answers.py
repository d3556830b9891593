"""A language model's answers, filtered: what may stand in a prompt is decided here, not there."""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from imagemill.prompts import cleaning
from imagemill.prompts.glossary import fitted, suitable
from imagemill.prompts.passing import is_foreign
from imagemill.prompts.scenery import MOST_SCENERY
from imagemill.prompts.sheets import MOST_UNTRANSLATED, Gender, Look, Setting, Sheet

_MOST_READ = 60
"""Items of a list that are looked at."""
_DESCRIPTION_CHARS = 400
_GENDERS: Mapping[object, Gender] = {"female": "female", "male": "male"}


def look(answer: Mapping[str, Any], sheet: Sheet, known: Look) -> Look | None:
    """None where nothing can be used though the glossary found something, or lists are no lists."""
    lists = {name: answer.get(name, []) for name in ("physical", "attire", "style")}
    if not all(isinstance(value, (list, tuple)) for value in lists.values()):
        return None
    physical, attire, style = (suitable(_tags(value), sheet) for value in lists.values())
    if not (physical or attire) and (known.physical or known.attire):
        return None
    # A model that answers with one list has not understood; its tags are still tags.
    attire = tuple(tag for tag in attire if tag not in physical)
    gender = _GENDERS.get(_hashable(answer.get("gender")), known.gender)
    return Look(gender, *fitted(physical, attire, style), untranslated=_reported(answer, sheet))


def scene(answer: Mapping[str, Any], known: Setting) -> Setting | None:
    """None where there is neither a tag nor a description to use."""
    given = answer.get("tags", [])
    tags = cleaning.distinct(_tags(given if isinstance(given, (list, tuple)) else []))[:MOST_SCENERY]
    text = described(answer.get("description"))
    if not text and not tags:
        return None
    return Setting(tags or known.tags, text, () if text else known.untranslated)


def described(text: object) -> str:
    """An English description, or "" for anything else."""
    if not isinstance(text, str):
        return ""
    plain = unicodedata.normalize("NFKD", text[: 4 * _DESCRIPTION_CHARS])
    plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
    plain = plain.replace("\u2019", "'").replace("\u2014", ", ").replace("\u2013", "-")
    if not plain.isascii() or cleaning.is_bad(plain) or any(map(is_foreign, _words(plain))):
        return ""
    return cleaning.bare(plain, _DESCRIPTION_CHARS)


def _tags(values: Iterable[object]) -> Iterable[str]:
    for value in list(values)[:_MOST_READ]:
        tag = cleaning.tag(value) if isinstance(value, str) and len(value) < 200 else ""
        if tag and not any(map(is_foreign, _words(tag))):
            yield tag


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def _hashable(value: object) -> object:
    return value if isinstance(value, str) else None


def _reported(answer: Mapping[str, Any], sheet: Sheet) -> tuple[str, ...]:
    """Words that do stand in the sheet."""
    given = answer.get("untranslated", [])
    if not isinstance(given, (list, tuple)):
        return ()
    whole = f"{sheet.species} {sheet.physical} {sheet.attire} {sheet.style} {sheet.description}".lower()
    words = (value for value in given[:_MOST_READ] if isinstance(value, str) and value.strip())
    return cleaning.distinct(cleaning.shown(word) for word in words if word.lower() in whole)[
        :MOST_UNTRANSLATED
    ]
