"""The story of the sample book, read from ``story.toml``, and the drawing of its scenes."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.sample_book import scenes_cover, scenes_example, scenes_far, scenes_home, scenes_way
from tools.sample_book.ink import Ink
from tools.sample_book.people import FacePlace

SLUG = "little-star"
Texts = Mapping[str, str]
_CONTENT = tomllib.loads((Path(__file__).parent / "story.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class StoryPage:
    scene: str
    en: str = ""
    uk: str = ""
    place: str = "bottom-center"
    light: bool = False
    """Whether the paper under the text is light, so that the text is dark."""
    preview: bool = False
    prompt: str = ""

    @property
    def texts(self) -> Texts:
        return {"en": self.en, "uk": self.uk} if self.en else {}


PAGES = tuple(StoryPage(**page) for page in _CONTENT["pages"])
EXAMPLE_SCENES = ("flying", "away", "sheet")
SCENES = ("front", "back", "reference", "title", "dedication", "end", *(page.scene for page in PAGES))


def texts(name: str) -> Texts:
    """Return the texts of a table of the story, such as ``title``, by language."""
    return _CONTENT[name]


def draw(scene: str) -> tuple[str, list[FacePlace]]:
    """Return the drawing of a scene, and the faces on it."""
    module = next(
        each
        for each in (scenes_home, scenes_way, scenes_far, scenes_cover, scenes_example)
        if hasattr(each, scene)
    )
    ink = Ink(sum(ord(letter) for letter in scene))
    faces: list[FacePlace] = getattr(module, scene)(ink)
    return ink.svg(), faces
