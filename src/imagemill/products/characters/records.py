"""The record that a character's image leaves besides its job, written in the transaction of its success."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CharacterImage:
    """A success becomes the active image of its type and emotion, of a character or a story."""

    character_id: str
    type: str
    emotion: str = ""
