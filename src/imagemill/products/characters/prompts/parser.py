"""The parser of a sheet's field: assigns adjectives to nouns, and finds negations and places on the body.

Portuguese and Spanish put adjectives after their noun, English before it. A noun takes adjectives, also after
a comma, until the next noun, unless their gender or number shows that they describe the person.
"""

from collections.abc import Iterator
from dataclasses import field

from imagemill.domain.dataclass import dataclass
from imagemill.products.characters.prompts.lexicon import Concept, Language, LexiconEntry
from imagemill.products.characters.prompts.tokenizer import Unit, split_units

BARE = frozenset(
    (
        *(
            "beard",
            "goatee",
            "streaks",
            "mustache",
            "tail",
            "wings",
            "horns",
            "halo",
            "antennae",
            "fangs",
            "tusks",
        ),
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
"""Parts that get a tag even without an adjective; everybody has the others."""
_DULL = frozenset(("outfit", "clothes", "costume", "details", "trim", "print", "tool", "body"))
"""Nouns that get no tag without an adjective."""
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
SINGULAR = {"cheeks": "cheek", "arms": "arm", "hands": "hand", "legs": "leg", "eyebrows": "eyebrow"}
_MOST_MODIFIERS = 3


@dataclass(slots=True)
class NounPhrase:
    """A noun with its adjectives. ``concept`` is None for a word that is not visual; its adjectives are
    dropped."""

    concept: Concept | None
    language: str = "pt"
    negated: bool = False
    modifiers: list[Concept] = field(default_factory=list[Concept])
    positions: list[int] = field(default_factory=list[int])
    """The position in the text of each modifier."""
    place: str = ""
    """The part of the body on which it is."""
    place_position: int = -1
    shares: "NounPhrase | None" = None
    """A preceding noun that has the same colour."""
    contrast: bool = False
    """Whether the two eyes have different colours."""
    silent: bool = False
    """Whether it takes adjectives but gives no tag of its own."""
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

    def add(self, modifier: Concept, position: int) -> None:
        self.modifiers.append(modifier)
        self.positions.append(position)

    def reads(self, modifier: Concept) -> str | None:
        """Return the modifier's text for this noun; None when it does not apply."""
        if self.concept is None:
            return "-"
        if self.kind == "person":
            return f"{_PERSON[modifier.name]}!" if modifier.name in _PERSON else None
        if self.slot not in ("hair", "eyes", "skin", "body", "part", "garment"):
            return None
        default = modifier.name if modifier.kind in ("colour", "animal") and self.slot != "body" else None
        return modifier.readings.get(self.name, modifier.readings.get(self.slot, default))


def noun_tags(head: NounPhrase) -> Iterator[str]:
    """Yield the tags of a noun, unless it is negated."""
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


def _texts(head: NounPhrase) -> list[str]:
    """Return the texts of the modifiers in order, with shades before their colours."""
    texts: list[str] = []
    colour = -1
    shade = ""
    for modifier in sorted(head.modifiers, key=_rank):
        text = head.reads(modifier)
        if text is None:
            continue
        if modifier.kind == "shade" and head.language != "en" and colour >= 0:
            texts[colour] = _with_shade(modifier.name, texts[colour], head)
            colour = -1
            continue
        if modifier.kind == "shade" and head.language == "en":
            shade = modifier.name
        if modifier.kind == "colour":
            if shade and texts:
                texts.pop()
                text = _with_shade(shade, text, head)
            shade, colour = "", len(texts)
        elif modifier.kind != "shade":
            colour = -1
        texts.append(text)
    return texts


def _join_colours(head: NounPhrase, texts: list[str]) -> list[str]:
    """Join two colours of one thing: "black and white"."""
    plain = {head.reads(modifier) for modifier in head.modifiers if modifier.kind == "colour"}
    places = [index for index, text in enumerate(texts) if text in plain]
    if len(places) != 2 or places[1] != places[0] + 1:
        return texts
    first = places[0]
    return [*texts[:first], f"{texts[first]} and {texts[first + 1]}", *texts[first + 2 :]]


def _rank(modifier: Concept) -> int:
    """Return the modifier's rank in English: size and state first, then colour, then material and use."""
    if modifier.kind in ("colour", "shade"):
        return 1
    return 2 if modifier.kind == "animal" or "stuff" in modifier.readings else 0


def _with_shade(shade: str, colour: str, head: NounPhrase) -> str:
    plain = colour.split(" ")[-1]
    if head.kind == "eyes" or colour.endswith("!") or "light" in colour or "dark" in colour:
        return colour
    if head.kind == "skin" and plain in ("brown", "tan"):
        return "dark" if shade == "dark" else "tan"
    return f"{shade} {colour}"


def _eyes(head: NounPhrase, texts: list[str]) -> Iterator[str]:
    colours = [m for m in head.modifiers if m.kind == "colour"]
    said = list(dict.fromkeys(text for m in colours if (text := head.reads(m)) and text in texts))
    if len(said) > 1:
        if head.contrast:
            yield "heterochromia"
        else:
            # A mixed colour, such as "castanho-esverdeado".
            mixed = "hazel" if set(said[:2]) == {"brown", "green"} else said[0]
            texts = [mixed, *(text for text in texts if text not in said)]
    yield from (f"{text} {head.name}" for text in texts)


def _thing(head: NounPhrase, texts: list[str]) -> Iterator[str]:
    placed = _PLACED.get((head.name, head.place))
    if head.name == "scar" and head.place and not placed:
        placed = f"scar on {SINGULAR.get(head.place, head.place)}"
    elif head.name == "tattoo" and head.place and not placed:
        placed = f"{SINGULAR.get(head.place, head.place)} tattoo"
    if placed:
        yield placed
        return
    if not texts and (head.name in _DULL or (head.kind == "part" and head.name not in BARE)):
        return
    name = "trim" if head.name == "details" else next(iter(head.concept.tags if head.concept else ()), "")
    if name == "streaks":
        yield "streaked hair"
        if not texts:
            return
    if not name:
        return
    said = " ".join(dict.fromkeys(_join_colours(head, texts)[:_MOST_MODIFIERS]))
    repeated = said and (name.startswith(f"{said} ") or name == said)
    yield name if repeated else f"{said} {name}".strip()


_NOUNS = ("hair", "eyes", "skin", "body", "part", "garment", "detail")
_MODIFIERS = ("colour", "shade", "adj", "animal")
_TAGS = ("hairstyle", "trait", "species", "person", "age", "youth")
_APPEARANCE = (*_NOUNS, *_MODIFIERS, *_TAGS)
SCENERY = ("place", "thing", "pose")
_HAS_KIN = frozenset(
    (
        *("ears", "tail", "wings", "horns", "claws", "paws", "fangs", "eyes", "teeth", "legs"),
        *(
            "nose",
            "whiskers",
            "fur",
            "scales",
            "snout",
        ),
    )
)
"""Parts that may be those of an animal."""
_OF_HAIR = ("tips", "slicked-back hair")
"""Hairstyles whose words are said of other things, too: "chifres curvados para trás"."""
_CONTRAST = frozenset(("outro", "outra", "otro", "otra", "other", "one"))


@dataclass()
class ParsedText:
    """The parsed field. ``items`` are in the order of the text: noun phrases, and concepts with their
    position."""

    items: list[NounPhrase | tuple[Concept, int]] = field(
        default_factory=list[NounPhrase | tuple[Concept, int]]
    )
    body: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    persons: list[tuple[Concept, str]] = field(default_factory=list[tuple[Concept, str]])
    """Words for people, with the gender of the word form."""
    sexes: list[str] = field(default_factory=list[str])
    """Genders of the adjectives that describe the person."""
    unknown: list[Unit] = field(default_factory=list[Unit])
    units: list[Unit] = field(default_factory=list[Unit])
    """All units of the text; a position is an index in it."""
    visual: set[int] = field(default_factory=set[int])
    """Positions of the units that have a visual meaning and are not negated."""
    negated: set[int] = field(default_factory=set[int])

    @property
    def young(self) -> bool:
        return any(concept.kind == "youth" for concept, _ in self.persons)


def read(text: str, language: Language, *, attire: bool = False, species: bool = False) -> ParsedText:
    """Parse a field. ``attire``: ignore adjectives without a noun. ``species``: an animal is a species."""
    reader = _Reader(language, attire=attire, species=species)
    every = reader.found.units = split_units(text, language)
    for index, unit in enumerate(every):
        reader.take(unit, every[index + 1] if index + 1 < len(every) else None)
    reader.flush()
    return reader.found


class _Reader:
    def __init__(self, language: Language, *, attire: bool, species: bool) -> None:
        self.found = ParsedText()
        self._language = language
        self._attire = attire
        self._species = species
        self._head: NounPhrase | None = None
        self._entry: LexiconEntry | None = None
        self._pending: list[tuple[Concept, int]] = []
        self._negated = False
        self._negation_used = False
        """Whether the negation already applies to a noun."""
        self._link = ""
        self._comma = False
        """Whether there was a pause since the noun."""
        self._is_adjacent = False
        """Whether the unit before was the noun or one of its adjectives."""
        self._likening = False
        self._order = -1
        self._unit = Unit("")

    def take(self, unit: Unit, after: Unit | None) -> None:
        self._order += 1
        self._unit = unit
        if unit.pause:
            self._end_segment(unit.pause)
        if self._negated and not self._negation_used:
            self.found.negated.add(self._order)
        if self._likening and unit.role not in ("and", "with"):
            return
        entry = self._choose(unit, after)
        if entry is None:
            self._apply_role(unit, after)
            return
        self._likening = False
        if self._order not in self.found.negated:
            self.found.visual.add(self._order)
        kind = entry.concept.kind
        if kind in _MODIFIERS:
            self._modify(entry, after)
        elif kind in _NOUNS:
            self._add_noun(entry)
        else:
            self._add_tag(entry)

    def flush(self) -> None:
        """Assign adjectives without a following noun to the last noun or to the person."""
        pending, self._pending = self._pending, []
        for concept, position in pending:
            self._attach(LexiconEntry(concept), position)

    def _end_segment(self, pause: str) -> None:
        self.flush()
        self._negated = self._negation_used = self._likening = self._is_adjacent = False
        self._link, self._comma = "", True
        if pause == "." or (self._head is not None and self._head.concept is None):
            self._head = self._entry = None

    def _choose(self, unit: Unit, after: Unit | None) -> LexiconEntry | None:
        """Return the unit's meaning in this context."""
        entries = [entry for entry in unit.entries if entry.concept.kind in _APPEARANCE]
        if not entries or (unit.role in ("not", "at", "with", "and", "of") and len(unit.words) == 1):
            return None
        if self._species:
            entries.sort(key=lambda entry: entry.concept.kind != "species")
        animal = next((entry for entry in entries if entry.concept.kind == "animal"), None)
        kin = self._head is not None and self._head.name in _HAS_KIN
        worn = self._head is not None and self._head.kind in ("part", "garment") and self._link == "of"
        if animal and not self._species and (worn or (kin and self._link == "of") or self._language == "en"):
            return animal
        if self._head is not None and self._head.kind == "hair":
            entries.sort(key=lambda entry: entry.concept.kind != "hairstyle")
        others = [entry for entry in entries if entry.concept.kind != "animal"] or entries
        others = [entry for entry in others if entry.concept.name not in _OF_HAIR or self._fits(entry)]
        if not others:
            return None
        if self._language == "en" and self._precedes_noun(after):
            # "a fur cloak", but "white fur"
            others.sort(key=lambda entry: entry.concept.kind not in _MODIFIERS)
            return others[0]
        if self._attire:
            others.sort(key=lambda entry: entry.concept.kind == "part")
        return next((entry for entry in others if self._fits(entry)), others[0])

    def _fits(self, entry: LexiconEntry) -> bool:
        """Whether the meaning fits here: an adjective only after its noun, as in "cabelos presos"."""
        concept = entry.concept
        if concept.name in _OF_HAIR:
            return self._head is not None and self._head.kind == "hair"
        if concept.kind not in _MODIFIERS:
            return not (self._link == "of" and concept.kind == "species")
        return self._head is not None and self._is_adjacent and self._head.reads(concept) is not None

    def _apply_role(self, unit: Unit, after: Unit | None) -> None:
        role = unit.role
        if role == "not":
            self.flush()
            if self._head is not None and self._is_adjacent and (after is None or after.pause):
                self._head.negated = True  # "barba: não"
            self._negated, self._negation_used = True, False
        elif role == "with":
            self.flush()
            self._negated = False
            self._link = "with"
        elif role == "like":
            self._likening = True
        elif role in ("and", "of", "at"):
            if role == "at":
                self.flush()
            self._link = role
        elif role == "nonvisual" or not role:
            self._add_unknown(unit)
        if role == "stop" and self._head is not None and _CONTRAST.intersection(unit.words):
            self._head.contrast = True
        if role != "stop":
            self._is_adjacent = False

    def _add_unknown(self, unit: Unit) -> None:
        """Note a word without a tag. In the place of a noun it takes the adjectives that follow."""
        shown = any(entry.concept.kind in SCENERY for entry in unit.entries)
        is_known = unit.role or (unit.entries and not shown) or any(c.isdigit() for c in unit.raw)
        if not is_known and len(unit.raw) > 1 and not self._negated:
            self.found.unknown.append(unit)
        named = self._link == "of" and self._head is not None
        if self._language != "en" and not self._is_adjacent and not named:
            self._head, self._entry = NounPhrase(None), None
        self._link = ""

    def _modify(self, entry: LexiconEntry, after: Unit | None) -> None:
        concept = entry.concept
        if concept.kind == "animal" and self._species:
            self.found.items.append((concept, self._order))
            self.found.persons.append((concept, entry.sex))
            return
        before = self._language == "en" or (
            not self._is_adjacent and self._link != "of" and self._precedes_noun(after)
        )
        self._link = "" if self._link != "and" else "and"
        if before:
            self._pending.append((concept, self._order))
        elif not (self._negated and not self._negation_used):
            self._attach(entry, self._order)

    def _precedes_noun(self, after: Unit | None) -> bool:
        """Whether the unit after is a noun."""
        if after is None or after.pause:
            return False
        return any(entry.concept.kind in _NOUNS for entry in after.entries) and after.role not in (
            "at",
            "with",
        )

    def _attach(self, entry: LexiconEntry, position: int) -> None:
        concept, head = entry.concept, self._head
        body = concept.readings.get("body") if not self._attire else None
        reading = head.reads(concept) if head is not None else None
        agrees = not self._comma or (self._agrees(entry) and not self._belongs_to_person())
        if head is not None and reading is not None and (agrees or body is None):
            head.add(concept, position)
            if head.shares is not None and concept.kind in ("colour", "animal") and entry.many is not False:
                head.shares.add(concept, position)
            self._is_adjacent = True
        elif body is not None and not self._negated:
            self.found.body.append((body.rstrip("!"), position))
            if entry.sex:
                self.found.sexes.append(entry.sex)

    def _belongs_to_person(self) -> bool:
        """Whether an English adjective after a comma describes the person, as in "freckles, athletic build";
        in "hair: blonde, short" it does not."""
        slot = self._head.slot if self._head is not None else ""
        return self._language == "en" and slot in ("part", "garment", "eyes")

    def _agrees(self, entry: LexiconEntry) -> bool:
        """Whether the adjective agrees with the noun in gender and number, as far as both forms show them."""
        noun = self._entry
        if noun is None or not entry.sex or not noun.sex:
            return True
        return entry.sex == noun.sex and entry.many == noun.many

    def _add_noun(self, entry: LexiconEntry) -> None:
        concept = entry.concept
        if self._link == "at" and concept.kind in ("part", "hair", "eyes", "skin", "body"):
            self._set_place(concept.name)
            return
        if self._negated and self._negation_used and concept.kind in ("hair", "eyes", "skin"):
            self._negated = False
        head = NounPhrase(concept, self._language, negated=self._negated, rank=self._order)
        self._give_pending(head)
        if self._link == "and" and self._head is not None:
            self._join(self._head, head)
        self._negation_used = True
        self._set_head(head, entry)
        self.found.items.append(head)

    def _give_pending(self, head: NounPhrase) -> None:
        for concept, position in self._pending:
            head.add(concept, position)
        self._pending = []

    def _set_place(self, name: str) -> None:
        head = self._head
        if head is not None and name != "body" and not head.place:
            head.place, head.place_position = name, self._order
        self._link = ""

    def _join(self, former: NounPhrase, head: NounPhrase) -> None:
        """Join two nouns with one colour: "cabelos e olhos castanhos", "black hair and eyes"."""
        if self._language == "en":
            if not head.modifiers and head.kind == "eyes" and former.kind == "hair":
                for modifier, position in zip(former.modifiers, former.positions, strict=True):
                    if modifier.kind in ("colour", "shade"):
                        head.add(modifier, position)
        elif not former.modifiers and (
            former.slot == head.slot or {former.slot, head.slot} == {"hair", "eyes"}
        ):
            head.shares = former

    def _set_head(self, head: NounPhrase, entry: LexiconEntry) -> None:
        self._head, self._entry = head, _with_gender(entry, self._unit)
        self._comma, self._is_adjacent, self._link = False, True, ""

    def _add_tag(self, entry: LexiconEntry) -> None:
        concept = entry.concept
        if concept.kind in ("person", "youth", "species", "age"):
            self.found.persons.append((concept, entry.sex))
        elif entry.sex and concept.kind == "trait":
            self.found.sexes.append(entry.sex)
        if not self._negated and concept.kind in ("hairstyle", "trait", "species"):
            self.found.items.append((concept, self._order))
        if concept.kind == "hairstyle":
            self._hairstyle(entry)
            return
        pending, self._pending = self._pending, []
        head = NounPhrase(concept, self._language, self._negated, silent=True, rank=self._order)
        if concept.kind in ("person", "species"):
            self._set_head(head, entry)
            self.found.items.append(head)
            for modifier, position in pending:
                self._attach(LexiconEntry(modifier), position)
        else:
            self._set_head(head, entry)
            self._pending = pending if self._language != "en" else []
            for modifier, position in pending if self._language == "en" else []:
                self._attach(LexiconEntry(modifier), position)
        self._negation_used = True

    def _hairstyle(self, entry: LexiconEntry) -> None:
        """Add a hairstyle; colours that follow describe the hair."""
        head = self._head
        if head is None or head.kind != "hair":
            hair = Concept("hair", "hair", ())
            head = NounPhrase(hair, self._language, self._negated, rank=self._order)
            self.found.items.append(head)
            self._set_head(head, entry)
        self._give_pending(head)
        self._is_adjacent, self._link, self._negation_used = True, "", True


def _with_gender(entry: LexiconEntry, unit: Unit) -> LexiconEntry:
    """Return the entry with the gender shown by the noun's ending."""
    word = unit.words[0]
    sex = {"o": "m", "a": "f"}.get(word.rstrip("s")[-1:], "")
    return (
        entry if entry.sex or unit.language == "en" else LexiconEntry(entry.concept, sex, word.endswith("s"))
    )


def all_tags(found: ParsedText) -> Iterator[tuple[str, str, int]]:
    """Yield all tags as (kind, tag, position)."""
    for tag, order in found.body:
        yield "body", tag, order
    for item in found.items:
        if isinstance(item, NounPhrase):
            for tag in noun_tags(item):
                kind = "garment" if item.kind in ("garment", "detail") else item.kind
                yield kind, tag, item.rank
        else:
            concept, order = item
            if concept.kind == "animal":
                yield "species", f"{concept.name} ears", order
                yield "species", f"{concept.name} tail", order
            else:
                for tag in concept.tags:
                    yield concept.kind, tag, order
