"""Character sheets and stories as users write them, and their translations for image models."""

from typing import Literal

from imagemill.domain.dataclass import dataclass

Gender = Literal["female", "male", "unknown"]
Source = Literal["glossary", "llm", "cache"]

MOST_TAGS = 15
"""Maximum number of tags of an appearance, physical, attire and style together. More would weaken each other.
"""
MOST_UNTRANSLATED = 20


@dataclass(frozen=True, slots=True)
class CharacterSheet:
    """A character, in any language. ``lora`` is ``name|trigger`` or a name."""

    name: str = ""
    gender: str = ""
    species: str = ""
    physical: str = ""
    attire: str = ""
    style: str = ""
    description: str = ""
    lora: str = ""


@dataclass(frozen=True, slots=True)
class Appearance:
    """The visible traits of a character: English tags in the style of danbooru, at most `MOST_TAGS`."""

    gender: Gender = "unknown"
    physical: tuple[str, ...] = ()
    attire: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    untranslated: tuple[str, ...] = ()
    """Words of the sheet that seem visual but are in no tag, as they were written."""
    by: Source = "glossary"
    problem: str = ""
    """The reason why the glossary was used instead of the language model; contains no text of the sheet."""

    @property
    def tags(self) -> tuple[str, ...]:
        return (*self.physical, *self.attire, *self.style)


@dataclass(frozen=True, slots=True)
class StoryContext:
    """The texts for a picture of a story, in any language. ``messages``: the last ones of a conversation."""

    title: str = ""
    summary: str = ""
    messages: tuple[str, ...] = ()
    characters: tuple[CharacterSheet, ...] = ()
    place: str = ""
    mood: str = ""


@dataclass(frozen=True, slots=True)
class SceneDescription:
    """The place, time, action and mood of a scene, without its people."""

    tags: tuple[str, ...] = ()
    description: str = ""
    """English text, only from a language model; it may describe the people's actions."""
    untranslated: tuple[str, ...] = ()
    by: Source = "glossary"
    problem: str = ""
