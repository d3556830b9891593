"""Read a person from a prompt: expression, pose, hair, eyes and the colours of clothes."""

import re
from dataclasses import replace
from typing import Literal

from imagemill.backends.simulator.drawing import Colour
from imagemill.domain.dataclass import dataclass

Mouth = Literal["closed", "smile", "laugh", "frown", "teeth", "round", "small"]
Brows = Literal["level", "angry", "sad", "raised"]
Gaze = Literal["ahead", "down", "up", "aside"]
Pose = Literal["down", "wave", "hip", "chin", "together", "raised", "fists"]


@dataclass(frozen=True, slots=True)
class Expression:
    """A face and the arms. ``pose`` None: any."""

    mouth: Mouth = "closed"
    brows: Brows = "level"
    gaze: Gaze = "ahead"
    wide: bool = False
    """Whether the eyes are wide open."""
    blush: bool = False
    tears: bool = False
    pose: Pose | None = None


_EXPRESSIONS: tuple[tuple[re.Pattern[str], Expression], ...] = tuple(
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), expression)
    for words, expression in (
        ("angry|furious|furrowed brow", Expression("teeth", "angry", pose="fists")),
        ("surprised|shocked|wide-eyed", Expression("round", "raised", wide=True, pose="raised")),
        ("sad|crying|teary eyes|frown", Expression("frown", "sad", "down", tears=True, pose="down")),
        ("thinking|hand on own chin", Expression("small", "raised", "up", pose="chin")),
        ("shy|embarrassed|blush", Expression("small", "sad", "aside", blush=True, pose="together")),
        ("waving", Expression("smile", "raised", pose="wave")),
        ("happy|bright smile|laughing|cheerful", Expression("laugh", "raised", pose="hip")),
        ("expressionless", Expression(pose="down")),
        ("smile|smiling|grin|smirk", Expression("smile")),
    )
)


def read_expression(prompt: str) -> Expression:
    return next((found for words, found in _EXPRESSIONS if words.search(prompt)), Expression())


COLOURS: dict[str, Colour] = {
    "black": (34, 26, 26), "white": (232, 232, 236), "grey": (120, 118, 124), "gray": (120, 118, 124),
    "silver": (190, 194, 204), "red": (190, 32, 36), "orange": (226, 120, 30), "yellow": (236, 200, 50),
    "gold": (206, 164, 60), "golden": (206, 164, 60), "green": (40, 130, 72), "blue": (40, 84, 190),
    "navy": (30, 40, 90), "purple": (120, 60, 160), "violet": (140, 90, 200), "pink": (232, 130, 172),
    "brown": (110, 70, 42), "beige": (214, 190, 150), "teal": (24, 130, 130), "cyan": (60, 190, 210),
    "turquoise": (50, 180, 170), "amber": (206, 134, 30), "hazel": (126, 96, 50), "aqua": (60, 190, 210),
}  # fmt: skip
_HAIRS: dict[str, Colour] = {
    "brown": (70, 44, 30), "blond": (196, 152, 86), "blonde": (196, 152, 86), "red": (160, 52, 34),
    "orange": (196, 96, 40), "blue": (52, 84, 160), "green": (52, 120, 84), "pink": (226, 130, 170),
    "purple": (110, 70, 150),
}  # fmt: skip
_EYES: dict[str, Colour] = {"blue": (40, 120, 220), "green": (40, 160, 80), "brown": (96, 58, 30)}
_NAMES = "|".join(sorted({*COLOURS, *_HAIRS}, key=len, reverse=True))
_COLOURED = re.compile(rf"\b({_NAMES}) ((?:[a-z-]+ )?[a-z]+)\b", re.IGNORECASE)
_WHOLE = frozenset(
    {"dress", "kimono", "robe", "gown", "jumpsuit", "coat", "cloak", "cape", "armor", "uniform"}
)
_TOPS = frozenset(
    {"shirt", "t-shirt", "blouse", "jacket", "sweater", "top", "hoodie", "vest", "tunic", "suit", "cardigan"}
)
_BOTTOMS = frozenset({"skirt", "pants", "trousers", "shorts", "jeans", "leggings"})
_SHOES = frozenset({"shoes", "boots", "sneakers", "sandals"})
_SKINS: dict[str, Colour] = {"dark": (104, 66, 48), "tan": (186, 130, 96), "pale": (248, 222, 206)}
_SKIN = re.compile(r"\b(dark|tan|pale)(?:ned|-skinned)? skin\b", re.IGNORECASE)
_LENGTH = re.compile(r"\b(very long|long|short|bald)(?: hair)?\b", re.IGNORECASE)
_MAN = re.compile(r"\b(?:1boy|male)\b", re.IGNORECASE)
_SKIRTED = frozenset({"dress", "gown", "skirt", "kimono", "robe"})


@dataclass(frozen=True, slots=True)
class AskedLook:
    """The parts of a look that a prompt names; None: not named."""

    hair: Colour | None = None
    eyes: Colour | None = None
    skin: Colour | None = None
    top: Colour | None = None
    bottom: Colour | None = None
    shoes: Colour | None = None
    skirt: bool | None = None
    long_hair: bool | None = None


def read_look(prompt: str) -> AskedLook:
    found = AskedLook()
    for colour, noun in _COLOURED.findall(prompt.lower()):
        found = _with_colour(found, colour, noun.split()[-1])
    if skin := _SKIN.search(prompt):
        found = replace(found, skin=_SKINS[skin[1].lower()])
    if re.search(r"\b(?:skirt|dress|gown|kimono)\b", prompt, re.IGNORECASE) and found.skirt is None:
        found = replace(found, skirt=True)
    length = _LENGTH.search(prompt)
    if _MAN.search(prompt):
        found = replace(found, skirt=found.skirt or False, long_hair=False)
    if length is not None:
        found = replace(found, long_hair=length[1].lower() in ("long", "very long"))
    return found


def _with_colour(found: AskedLook, name: str, noun: str) -> AskedLook:
    colour = COLOURS.get(name) or _HAIRS[name]
    if noun == "hair" and found.hair is None:
        return replace(found, hair=_HAIRS.get(name, colour))
    if noun == "eyes" and found.eyes is None:
        return replace(found, eyes=_EYES.get(name, colour))
    if noun in _WHOLE:
        return replace(found, top=colour, bottom=colour, skirt=noun in _SKIRTED or found.skirt)
    if noun in _TOPS:
        return replace(found, top=colour)
    if noun in _BOTTOMS:
        return replace(found, bottom=colour, skirt=noun == "skirt")
    return replace(found, shoes=colour) if noun in _SHOES else found


_NAMED = re.compile(r"\([^():]{1,80}:1\.2\)")
_COUNTS = re.compile(r"\b([1-6])(?:girls?|boys?|persons?|people)\b", re.IGNORECASE)
_MOST = 3


def split_people(prompt: str) -> list[str]:
    """Return the part of a prompt for each of its people, at most three; the whole prompt for one."""
    count = min(_MOST, sum(int(number) for number in _COUNTS.findall(prompt)))
    if count < 2:
        return [prompt]
    # Weighted names stand before the tags of each person; weights of the style have other words.
    names = [
        match for match in _NAMED.finditer(prompt) if "detail" not in match[0] and "face" not in match[0]
    ]
    starts = [match.start() for match in names][-count:]
    ends = [*starts[1:], len(prompt)] if starts else []
    parts = [prompt[start:end] for start, end in zip(starts, ends, strict=True)]
    kinds = [kind for number, kind in re.findall(r"\b([1-6])(girl|boy)", prompt) for _ in range(int(number))]
    people = parts + [""] * (count - len(parts))
    sexes = kinds + [""] * (count - len(kinds))
    return [f"1{sex} {part}" if sex else part for sex, part in zip(sexes, people, strict=False)]
