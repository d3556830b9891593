"""Prompt templates of character pictures: the order of the tags, and the negative prompt, of each type."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput
from imagemill.products.characters.prompts import sanitize
from imagemill.products.characters.prompts.types import Appearance, Gender, SceneDescription

SCORES = ("score_9", "score_8_up", "score_7_up")
"""Quality tags of the Pony family of models; other models read them as text."""
QUALITY = ("masterpiece", "best quality", "ultra-detailed")
DEFAULT_STYLE = "digital illustration"
_PEOPLE = {"female": "1girl", "male": "1boy", "unknown": "1person"}
_CROWD = ("multiple people", "2girls", "2boys", "group", "crowd")
_LAYOUT = ("grid", "collage", "chibi", "clone", "cropped")
_FLAWS = ("(low quality:1.2)", "(worst quality:1.2)", "watermark", "signature", "text", "speech bubble")
_BODY = ("bad anatomy", "bad hands", "extra fingers", "missing fingers", "extra limbs", "missing limbs")
MOST_EXTRAS = 10
"""Maximum number of tags from the user's own text."""
MOST_CAST = 3
"""Maximum number of people described in a prompt; further ones are only counted, as models mix up more."""
_CAST_TAGS = 6
COLOURS = ("red", "orange", "green", "blue", "magenta")
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class Prompt:
    positive: str
    negative: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person in a picture. ``lora`` is ``name|trigger`` or a name; the prompt prefers its name."""

    look: Appearance
    name: str = ""
    lora: str = ""

    @property
    def prompt_name(self) -> str:
        """The name in the prompt; may be empty."""
        return sanitize.name(self.lora.partition("|")[0]) or sanitize.name(self.name)


def avatar(person: Person, *, extra: Sequence[str] = (), pony: bool = False) -> Prompt:
    """Return the prompt of a portrait; ``extra`` tags of the user come last."""
    look = person.look
    return _prompt(
        (
            *(SCORES if pony else ()),
            *QUALITY,
            "cinematic lighting",
            f"({_style(look)})",
            "(close-up portrait:1.2)",
            "(detailed face:1.1)",
            "looking at viewer",
            "headshot",
            "solo",
            _PEOPLE[look.gender],
            _weighted_name(person),
            *_tags(look),
            *_extra_tags(extra),
        ),
        (*_CROWD, *_LAYOUT, *_FLAWS, *_BODY, "full body", "wide angle"),
    )


def sticker(
    person: Person, actions: Sequence[str], backdrop: str, *, extra: Sequence[str] = (), pony: bool = False
) -> Prompt:
    """Return the prompt of a full figure on a flat background.

    ``actions`` are from `scenes.actions`, ``backdrop`` is from `chroma`.
    """
    look = person.look
    return _prompt(
        (
            *(SCORES if pony else ()),
            *QUALITY,
            "solo",
            "full body",
            _weighted_name(person),
            _PEOPLE[look.gender],
            *_tags(look),
            *_extra_tags((*actions, *extra)),
            backdrop,
        ),
        (*_CROWD, *_LAYOUT, *_FLAWS, *_BODY, "scenery", "gradient background", "shadow", "close-up"),
    )


def cover(setting: SceneDescription, people: Sequence[Person] = (), *, pony: bool = False) -> Prompt:
    """Return the prompt of a story's cover, without lettering: the application adds the title."""
    return _story_prompt(("book cover illustration", "dynamic composition"), setting, people, pony)


def scene(setting: SceneDescription, people: Sequence[Person] = (), *, pony: bool = False) -> Prompt:
    """Return the prompt of a moment in a story."""
    return _story_prompt(("scene", "detailed background"), setting, people, pony)


def chroma(colour: str, code: str) -> str:
    """Return the phrase for a chroma key background, from a name in `COLOURS` and its ``#RRGGBB``."""
    if colour not in COLOURS:
        raise InvalidInput.at("colour", f"should be one of {', '.join(COLOURS)}")
    if not _HEX.fullmatch(code):
        raise InvalidInput.at("hex", "should be a colour such as #00FF00")
    return f"simple background, (flat solid {colour} background:1.3), {code.upper()} background, chroma key"


def _story_prompt(
    kind: Iterable[str], setting: SceneDescription, people: Sequence[Person], pony: bool
) -> Prompt:
    cast = people[:MOST_CAST]
    # Not among the distinct parts: two people may both have black hair.
    looks = [_described(person, len(cast)) for person in cast]
    told = sanitize.phrase(setting.description)
    style = next((_style(person.look) for person in people if person.look.style), DEFAULT_STYLE)
    alone = ("solo",) if len(people) == 1 else ()
    return _prompt(
        (
            *(SCORES if pony else ()),
            *QUALITY,
            *kind,
            f"({style})",
            *alone,
            *_count_people([person.look.gender for person in people]),
            *looks,
            *map(sanitize.escaped, setting.tags),
            told,
        ),
        (*(_CROWD if len(people) == 1 else ()), *_LAYOUT, *_FLAWS, *_BODY),
    )


def _count_people(genders: Sequence[Gender]) -> tuple[str, ...]:
    """Return danbooru's counting tags, such as 1girl and 2boys."""
    counts = Counter(genders)
    nouns = {"female": "girl", "male": "boy", "unknown": "person"}
    many = {"female": "girls", "male": "boys", "unknown": "people"}
    return tuple(
        f"{min(count, 6)}{nouns[gender] if count == 1 else many[gender]}"
        for gender in ("female", "male", "unknown")
        if (count := counts[gender])
    )


def _described(person: Person, people: int) -> str:
    """Return one person's name and tags as one part of a prompt."""
    return ", ".join(sanitize.distinct((_weighted_name(person), *_short_tags(person.look, people))))


def _short_tags(look: Appearance, people: int) -> tuple[str, ...]:
    """Return a person's tags; with several people, only the first ones, so that models do not mix them up."""
    if people == 1:
        return _tags(look)
    return _tags(replace(look, physical=look.physical[:_CAST_TAGS], attire=look.attire[: _CAST_TAGS // 2]))


def _tags(look: Appearance) -> tuple[str, ...]:
    """Return the tags with escaped parentheses, which tags such as "bow (weapon)" have."""
    return tuple(map(sanitize.escaped, (*look.physical, *look.attire)))


def _style(look: Appearance) -> str:
    return sanitize.escaped(", ".join(look.style)) or DEFAULT_STYLE


def _weighted_name(person: Person) -> str:
    return f"({person.prompt_name}:1.2)" if person.prompt_name else ""


def _extra_tags(extra: Iterable[str]) -> tuple[str, ...]:
    return sanitize.distinct(sanitize.phrase(text, sanitize.MOST_TAG_CHARS) for text in extra)[:MOST_EXTRAS]


def _prompt(positive: Iterable[str], negative: Iterable[str]) -> Prompt:
    return Prompt(", ".join(sanitize.distinct(positive)), ", ".join(sanitize.distinct(negative)))
