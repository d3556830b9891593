"""Visual tags of stories (places, times, weather, actions, mood) and of emotions."""

from collections.abc import Iterator, Mapping

from imagemill.domain.errors import InvalidInput
from imagemill.products.characters.prompts import sanitize
from imagemill.products.characters.prompts.glossary import (
    is_content,
    scenery_positions,
    user_tags,
)
from imagemill.products.characters.prompts.lexicon import Language
from imagemill.products.characters.prompts.parser import SCENERY
from imagemill.products.characters.prompts.tokenizer import detect_language, split_units
from imagemill.products.characters.prompts.types import MOST_UNTRANSLATED, SceneDescription, StoryContext

MOST_SCENERY = 8
"""Maximum number of tags of a scene, without those of its people."""
_MESSAGES = 6
"""Number of last messages that are read; earlier ones describe former scenes."""


def describe_scene(story: StoryContext) -> SceneDescription:
    """Translate a story into tags by the glossary; never raises.

    Words that are in no tag are reported only for place and mood, as most words of a story are not visual.
    """
    language = detect_language((story.summary, *story.messages[-_MESSAGES:], story.place, story.mood))
    named = [*_find_tags(story.place, "place", language), *_find_tags(story.mood, "mood", language)]
    found: list[str] = []
    for text in (story.summary, *reversed(story.messages[-_MESSAGES:]), story.title):
        found.extend(_find_tags(text, "place", language))
    moods = [] if story.mood.strip() else list(_find_tags(story.summary, "mood", language))[:2]
    tags = sanitize.distinct(map(sanitize.tag, [*named, *found, *moods]))
    unknown = [*_find_unknown(story.place, language), *_find_unknown(story.mood, language)]
    return SceneDescription(tags[:MOST_SCENERY], untranslated=sanitize.distinct(unknown)[:MOST_UNTRANSLATED])


def _find_tags(text: str, kind: str, language: Language) -> Iterator[str]:
    kinds = SCENERY if kind == "place" else (kind,)
    units = split_units(text, language)
    for position in scenery_positions(units):
        entry = next((entry for entry in units[position].entries if entry.concept.kind in kinds), None)
        yield from entry.concept.tags if entry is not None else ()


def _find_unknown(text: str, language: Language) -> Iterator[str]:
    known = (*SCENERY, "mood")
    for unit in split_units(text, language):
        if is_content(unit) and not any(entry.concept.kind in known for entry in unit.entries):
            yield sanitize.shown(unit.raw)


ACTIONS: Mapping[str, tuple[str, ...]] = {
    "happy": ("happy", "bright smile", "open mouth", "cheerful pose"),
    "sad": ("sad", "frown", "teary eyes", "looking down"),
    "angry": ("angry", "furrowed brow", "clenched teeth", "clenched hands"),
    "surprised": ("surprised", "wide-eyed", "open mouth", "raised hands"),
    "neutral": ("expressionless", "closed mouth", "relaxed pose", "looking at viewer"),
    "thinking": ("thinking", "hand on own chin", "looking up", "closed mouth"),
    "shy": ("shy", "blush", "looking away", "hands together"),
    "waving": ("waving", "raised hand", "smile", "looking at viewer"),
}
EMOTIONS = tuple(ACTIONS)
_MOST_ACTIONS = 6
_MOST_EMOTION_CHARS = 40


def actions(emotion: str, action_tag: str = "") -> tuple[str, ...]:
    """Return the tags of an emotion. ``action_tag`` comes first; a custom emotion requires it.

    Raises `InvalidInput` at ``emotion`` or ``actionTag``.
    """
    key = emotion.strip().lower()
    if not key or len(key) > _MOST_EMOTION_CHARS:
        raise InvalidInput.at("emotion", f"should be of 1 to {_MOST_EMOTION_CHARS} characters")
    given = given_actions(action_tag)
    if key in ACTIONS:
        return sanitize.distinct((*given, *ACTIONS[key]))[:_MOST_ACTIONS]
    if not given:
        known = ", ".join(EMOTIONS)
        raise InvalidInput.at(
            "actionTag",
            f"should describe the emotion's look in words that the glossary knows, such as 'arms crossed', "
            f"as it is not one of {known}",
        )
    return given


def given_actions(text: str) -> tuple[str, ...]:
    """Return a client's action tags: English ones unchanged, others translated by the glossary."""
    return user_tags(text)[0][:_MOST_ACTIONS]
