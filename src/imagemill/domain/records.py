"""What is written of a job's pictures besides the job itself, in the transaction of its success."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """The next version of a template of the model library."""

    template_id: str
    gender: str
    age_range: str
    body_type: str
    pose: str
    style: str
    prompt: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class CharacterImage:
    """A picture of a character, or of a story: from now on the active one of its type and emotion."""

    character_id: str
    type: str
    emotion: str = ""


Record = LibraryEntry | CharacterImage
