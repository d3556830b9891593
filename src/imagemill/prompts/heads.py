"""Nouns with what is said of them, and the tags they give."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from imagemill.prompts.lexicon import Concept

BARE = frozenset(
    (
        *("beard", "mustache", "tail", "wings", "horns", "halo", "antennae", "fangs", "tusks"),
        *("claws", "freckles", "scar", "tattoo", "mole", "wrinkles", "makeup", "lipstick"),
        *("eyeshadow", "eyeliner", "whiskers", "gills", "fins", "tentacles", "scales", "feathers"),
        *("fur", "hooves", "paws", "beak", "snout", "mane", "aura", "bandages", "stitches"),
        *(
            "markings",
            "blush",
            "sideburns",
        ),
    )
)
"""Parts that are worth a tag without anything said of them; everybody has the others."""
_DULL = frozenset(("outfit", "clothes", "costume", "details", "trim", "print", "tool", "body"))
"""Nouns that say nothing by themselves."""
_SLOTS = {"detail": "garment"}
_PERSON = {"black": "dark skin", "white": "fair skin", "brown": "dark skin"}
_PLACED = {
    ("scar", "eyes"): "scar across eye",
    ("tattoo", "face"): "facial tattoo",
    ("markings", "face"): "facial mark",
    ("mole", "eyes"): "mole under eye",
    ("mole", "mouth"): "mole under mouth",
    ("mole", "lips"): "mole under mouth",
    ("piercing", "nose"): "nose piercing",
    ("piercing", "ears"): "ear piercing",
    ("piercing", "lips"): "lip piercing",
    ("bandage", "nose"): "bandaid on nose",
    ("ribbon", "hair"): "hair ribbon",
    ("bow", "hair"): "hair bow",
    ("flower", "hair"): "hair flower",
    ("goggles", "forehead"): "goggles on head",
}
_SINGULAR = {"cheeks": "cheek", "arms": "arm", "hands": "hand", "legs": "leg", "eyebrows": "eyebrow"}
_MOST_MODIFIERS = 3


@dataclass(slots=True)
class Head:
    """A noun; None: a word that cannot be seen, whose adjectives are of no use either."""

    concept: Concept | None
    language: str = "pt"
    negated: bool = False
    modifiers: list[Concept] = field(default_factory=list[Concept])
    place: str = ""
    """The part of the body it is said to be on."""
    shares: "Head | None" = None
    """A noun before it that means to have the same colour."""
    contrast: bool = False
    """Two eyes, two colours."""
    silent: bool = False
    """Takes adjectives, gives no tag."""
    rank: int = 0

    @property
    def kind(self) -> str:
        return self.concept.kind if self.concept else ""

    @property
    def name(self) -> str:
        return self.concept.name if self.concept else ""

    @property
    def slot(self) -> str:
        return _SLOTS.get(self.kind, self.kind)

    def reads(self, modifier: Concept) -> str | None:
        """What the modifier says of this noun; None: nothing."""
        if self.concept is None:
            return "-"
        if self.kind == "person":
            return f"{_PERSON[modifier.name]}!" if modifier.name in _PERSON else None
        if self.slot not in ("hair", "eyes", "skin", "body", "part", "garment"):
            return None
        default = modifier.name if modifier.kind in ("colour", "animal") and self.slot != "body" else None
        return modifier.readings.get(self.name, modifier.readings.get(self.slot, default))


def tags(head: Head) -> Iterator[str]:
    """Of a noun that is there."""
    if head.negated or head.concept is None:
        return
    texts: list[str] = []
    for text in _texts(head):
        if text.endswith("!"):
            yield text[:-1].lstrip("-")
        elif text != "-" and text not in texts:
            texts.append(text)
    if head.silent:
        return
    if head.kind == "body":
        yield from texts
    elif head.kind == "eyes":
        yield from _eyes(head, texts)
    elif head.kind in ("hair", "skin"):
        yield from (f"{text} {head.name}" for text in texts)
    elif head.kind in ("part", "garment", "detail"):
        yield from _thing(head, texts)


def _texts(head: Head) -> list[str]:
    """Readings in order, with shades put before their colours."""
    texts: list[str] = []
    colour = -1
    shade = ""
    for modifier in sorted(head.modifiers, key=_place):
        text = head.reads(modifier)
        if text is None:
            continue
        if modifier.kind == "shade" and head.language != "en" and colour >= 0:
            texts[colour] = _shaded(modifier.name, texts[colour], head)
            colour = -1
            continue
        if modifier.kind == "shade" and head.language == "en":
            shade = modifier.name
        if modifier.kind == "colour":
            if shade and texts:
                texts.pop()
                text = _shaded(shade, text, head)
            shade, colour = "", len(texts)
        elif modifier.kind != "shade":
            colour = -1
        texts.append(text)
    return texts


def _paired(head: Head, texts: list[str]) -> list[str]:
    """Two colours of one thing: "black and white"."""
    plain = {head.reads(modifier) for modifier in head.modifiers if modifier.kind == "colour"}
    places = [index for index, text in enumerate(texts) if text in plain]
    if len(places) != 2 or places[1] != places[0] + 1:
        return texts
    first = places[0]
    return [*texts[:first], f"{texts[first]} and {texts[first + 1]}", *texts[first + 2 :]]


def _place(modifier: Concept) -> int:
    """In English size and state come first, then colour, then material and use."""
    if modifier.kind in ("colour", "shade"):
        return 1
    return 2 if modifier.kind == "animal" or "stuff" in modifier.readings else 0


def _shaded(shade: str, colour: str, head: Head) -> str:
    plain = colour.split(" ")[-1]
    if head.kind == "eyes" or colour.endswith("!") or "light" in colour or "dark" in colour:
        return colour
    if head.kind == "skin" and plain in ("brown", "tan"):
        return "dark" if shade == "dark" else "tan"
    return f"{shade} {colour}"


def _eyes(head: Head, texts: list[str]) -> Iterator[str]:
    colours = [m for m in head.modifiers if m.kind == "colour"]
    said = list(dict.fromkeys(text for m in colours if (text := head.reads(m)) and text in texts))
    if len(said) > 1:
        if head.contrast:
            yield "heterochromia"
        else:
            # One colour that goes into another, such as "castanho-esverdeado".
            mixed = "hazel" if set(said[:2]) == {"brown", "green"} else said[0]
            texts = [mixed, *(text for text in texts if text not in said)]
    yield from (f"{text} {head.name}" for text in texts)


def _thing(head: Head, texts: list[str]) -> Iterator[str]:
    placed = _PLACED.get((head.name, head.place))
    if head.name == "scar" and head.place and not placed:
        placed = f"scar on {_SINGULAR.get(head.place, head.place)}"
    elif head.name == "tattoo" and head.place and not placed:
        placed = f"{_SINGULAR.get(head.place, head.place)} tattoo"
    if placed:
        yield placed
        return
    if not texts and (head.name in _DULL or (head.kind == "part" and head.name not in BARE)):
        return
    name = "trim" if head.name == "details" else next(iter(head.concept.tags if head.concept else ()), "")
    if not name:
        return
    said = " ".join(dict.fromkeys(_paired(head, texts)[:_MOST_MODIFIERS]))
    repeated = said and (name.startswith(f"{said} ") or name == said)
    yield name if repeated else f"{said} {name}".strip()
