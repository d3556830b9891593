"""Character sheets as people write them, and looks as image models read them."""

from dataclasses import dataclass
from typing import Literal

Gender = Literal["female", "male", "unknown"]
Source = Literal["glossary", "llm", "cache"]

MOST_TAGS = 15
"""Of a look: physical, attire and style together. More of them water each other down."""
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
    """What can be seen of a character: English tags in the style of danbooru, at most `MOST_TAGS`."""

    gender: Gender = "unknown"
    physical: tuple[str, ...] = ()
    attire: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    untranslated: tuple[str, ...] = ()
    """Words of the sheet that look visual and are in no tag, as they were written."""
    by: Source = "glossary"
    problem: str = ""
    """Why the glossary had to answer where a language model was asked; holds no text of the sheet."""

    @property
    def tags(self) -> tuple[str, ...]:
        return (*self.physical, *self.attire, *self.style)


@dataclass(frozen=True, slots=True)
class StoryContext:
    """What a picture of a story is made from, in any language. ``messages``: the last of a conversation."""

    title: str = ""
    summary: str = ""
    messages: tuple[str, ...] = ()
    characters: tuple[CharacterSheet, ...] = ()
    place: str = ""
    mood: str = ""


@dataclass(frozen=True, slots=True)
class SceneDescription:
    """Where a scene is, what happens and how it feels, without its people."""

    tags: tuple[str, ...] = ()
    description: str = ""
    """English, by a language model only; it may tell what the people do."""
    untranslated: tuple[str, ...] = ()
    by: Source = "glossary"
    problem: str = ""
