"""Character sheets as people write them, and looks as image models read them."""

from dataclasses import dataclass
from typing import Literal

Gender = Literal["female", "male", "unknown"]
Source = Literal["glossary", "llm", "cache"]

MOST_TAGS = 15
"""Of a look: physical, attire and style together. More of them water each other down."""
MOST_UNTRANSLATED = 20


@dataclass(frozen=True, slots=True)
class Sheet:
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
class Look:
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
