"""Emotions of stickers and what shows them."""

from collections.abc import Mapping

from imagemill.domain.errors import InvalidInput
from imagemill.prompts import cleaning
from imagemill.prompts.glossary import wishes

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
    """Tags of an emotion. A custom one needs ``action_tag``; a known one may have it, too: it goes first.
    Raises `InvalidInput` at ``emotion`` or ``actionTag``."""
    key = emotion.strip().lower()
    if not key or len(key) > _MOST_EMOTION_CHARS:
        raise InvalidInput.at("emotion", f"should be of 1 to {_MOST_EMOTION_CHARS} characters")
    given = given_actions(action_tag)
    if key in ACTIONS:
        return cleaning.distinct((*given, *ACTIONS[key]))[:_MOST_ACTIONS]
    if not given:
        known = ", ".join(EMOTIONS)
        raise InvalidInput.at(
            "actionTag", f"should say in English how it looks, as the emotion is none of {known}"
        )
    return given


def given_actions(text: str) -> tuple[str, ...]:
    """Action tags as a client wrote them, in English, or what the glossary knows of them."""
    return wishes(text)[0][:_MOST_ACTIONS]
