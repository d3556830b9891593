"""Stories reduced to what can be seen of them: places, times, weather, what people do, mood."""

from collections.abc import Iterator

from imagemill.prompts import cleaning
from imagemill.prompts.lexicon import Language
from imagemill.prompts.sheets import MOST_UNTRANSLATED, Setting, Telling
from imagemill.prompts.tokens import Unit, spoken, units

MOST_SCENERY = 8
"""Tags of a scene besides those of its people."""
_MESSAGES = 6
"""The last ones; what was said earlier is over."""


def setting(telling: Telling) -> Setting:
    """Never raises. Of place and mood unknown words are reported; a story is full of what cannot be seen."""
    language = spoken((telling.summary, *telling.messages[-_MESSAGES:], telling.place, telling.mood))
    named = [*_seen(telling.place, "place", language), *_seen(telling.mood, "mood", language)]
    told: list[str] = []
    for text in (telling.summary, *reversed(telling.messages[-_MESSAGES:]), telling.title):
        told.extend(_seen(text, "place", language))
    feeling = [] if telling.mood.strip() else list(_seen(telling.summary, "mood", language))[:2]
    tags = cleaning.distinct(map(cleaning.tag, [*named, *told, *feeling]))
    unknown = [*_unseen(telling.place, language), *_unseen(telling.mood, language)]
    return Setting(tags[:MOST_SCENERY], untranslated=cleaning.distinct(unknown)[:MOST_UNTRANSLATED])


def _seen(text: str, kind: str, language: Language) -> Iterator[str]:
    negated = False
    for unit in units(text, language):
        negated = (negated and not unit.pause) or unit.role == "not"
        for entry in unit.entries:
            if entry.concept.kind == kind and not negated:
                yield from entry.concept.tags
                break


def _unseen(text: str, language: Language) -> Iterator[str]:
    def is_unknown(unit: Unit) -> bool:
        return not unit.entries and not unit.role and len(unit.raw) > 1

    return (cleaning.shown(unit.raw) for unit in units(text, language) if is_unknown(unit))
