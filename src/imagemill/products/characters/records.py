"""The record that a character's image leaves besides its job, written in the transaction of its success."""

from typing import Literal

from imagemill.domain.dataclass import dataclass

Subject = Literal["character", "story", "chat"]
"""The kind of thing a picture is of; ids of different kinds are different, even if equal."""


@dataclass(frozen=True, slots=True)
class CharacterImage:
    """A success becomes the active image of its type and emotion. ``character_id`` is the subject's id."""

    character_id: str
    type: str
    emotion: str = ""
    subject: Subject = "character"
