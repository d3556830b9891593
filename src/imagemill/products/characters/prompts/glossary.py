"""Translation of character sheets into visual tags by our own word lists: Portuguese, Spanish, English."""

import re
from collections.abc import Iterable, Iterator, Sequence

from imagemill.domain.dataclass import dataclass
from imagemill.products.characters.prompts import sanitize
from imagemill.products.characters.prompts.lexicon import Language, LexiconEntry, fold, lexicons
from imagemill.products.characters.prompts.losses import lost_positions
from imagemill.products.characters.prompts.parser import (
    SCENERY,
    ParsedText,
    all_tags,
    read,
)
from imagemill.products.characters.prompts.sanitize import keep_english
from imagemill.products.characters.prompts.tokenizer import Unit, detect_language, split_units
from imagemill.products.characters.prompts.types import (
    MOST_TAGS,
    MOST_UNTRANSLATED,
    Appearance,
    CharacterSheet,
    Gender,
)

_MOST_STYLES = 2
_MOST_PHYSICAL = 10
"""Maximum number of physical tags when there are also clothes."""
_RANKS = ("species", "body", "trait", "skin", "hair", "hairstyle", "eyes", "part")
_AGE = re.compile(r"\b(\d{1,3})\s*(?:anos|a\u00f1os|years?|yo\b|yrs?)", re.IGNORECASE)
_OLD, _MATURE, _OLDEST = 60, 40, 110
"""Ages in years. From `_OLDEST` on, the age is that of an elf or a vampire and is not visible."""
_ADULT = 18
_ADULT_TRAITS = re.compile(
    r"\b(?:curvy|bikini|swimsuit|leotard|fishnet|thighhighs|latex|corset|low-cut|pregnant|wide hips)\b"
)
"""Tags that are removed from sheets with words for young people."""
_FEMALE = frozenset(("f", "fem", "female", "femenina", "w", "mujer"))
_MALE = frozenset(("m", "masc", "male", "h", "hombre"))
_FEMALE_KINDS = frozenset(
    (
        *("woman", "witch", "mermaid", "fairy", "princess", "queen", "nun", "goddess", "nymph"),
        *(
            "succubus",
            "harpy",
            "lamia",
            "siren",
            "dryad",
            "maid",
        ),
    )
)
_MALE_KINDS = frozenset(
    (
        *(
            "man",
            "prince",
            "king",
            "wizard",
            "merman",
            "satyr",
            "faun",
            "minotaur",
            "god",
            "butler",
        ),
    )
)


_DETERMINERS = frozenset(
    (
        *(
            "a",
            "as",
            "uma",
            "umas",
            "na",
            "nas",
            "da",
            "das",
            "numa",
            "pela",
            "pelas",
            "para",
            "pra",
            "de",
            "em",
        ),
        *("desta", "dessa", "daquela", "nesta", "nessa", "naquela", "esta", "essa", "aquela", "por", "ate"),
        *(
            "minha",
            "sua",
            "tua",
            "nossa",
            "cada",
            "outra",
            "com",
            "sem",
            "e",
            "la",
            "las",
            "una",
            "unas",
            "en",
        ),
        *("del", "su", "mi", "tu", "velha", "pequena", "grande"),
    )
)
_OBJECT_WORDS = frozenset(
    ("o", "os", "a", "as", "um", "uma", "se", "com", "el", "los", "la", "las", "un", "con")
)
_HEIGHT = re.compile(r"\b(?:(\d)\s?[,.]\s?(\d{2})\s*m(?:etros?|ts)?\b|(\d{3})\s*cm\b)", re.IGNORECASE)
_SHORT_CM, _TALL_CM = 160, 180
"""Heights up to and from which a person is short or tall; what is between does not show."""


@dataclass(frozen=True, slots=True)
class _Field:
    text: str
    found: ParsedText
    language: Language


def describe_appearance(sheet: CharacterSheet) -> Appearance:
    """Translate a sheet; never raises.

    Words for personality and biography are dropped. Youth is never drawn, whatever the sheet says; the safety
    checks have to check the text of the sheet itself.
    """
    texts = (sheet.physical, sheet.attire, sheet.description, sheet.species)
    language = detect_language(texts)
    physical = _field(sheet.physical, language)
    attire = _field(sheet.attire, language, attire=True)
    species = _field(sheet.species, language, species=True)
    story = _field(sheet.description, language)
    gender = _gender(sheet.gender, (species, physical, attire, story))
    young = _is_young(sheet, (species, physical, attire, story))
    bodily, worn = _collect_tags(species, physical, attire, story)
    bodily += keep_english(sheet.physical, physical.language, strictly=True)
    worn += keep_english(sheet.attire, attire.language, strictly=True)
    bodily = [*_animal_people(species, physical, gender), *_with_whiskers(bodily, sheet, (species, physical))]
    bodily = [*_with_age(bodily, sheet, gender, (species, physical, story))]
    bodily += [tag for tag, _ in _heights(sheet.physical) if tag]
    style = _styles(sheet.style)
    fit = truncated_tags(
        _clean(bodily, young),
        _clean(worn, young),
        tuple(filter(None, map(sanitize.tag, style)))[:_MOST_STYLES],
    )
    lost = (
        *sanitize.removed_from_name(sheet.name),
        *_lost_words((species, physical, attire), (*fit[0], *fit[1], *_replaced_tags(fit[0]))),
        *(text for tag, text in _heights(sheet.physical) if tag not in fit[0]),
        *_lost_styles(sheet.style, fit[2]),
    )
    return Appearance(gender, *fit, untranslated=sanitize.distinct(lost)[:MOST_UNTRANSLATED])


def user_tags(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a user's words as tags, and all content words that are in no tag. English passes unchanged."""
    language = detect_language((text,))
    found = read(text, language)
    tags = [tag for _, tag, _ in all_tags(found)]
    scenery = {position: _scene_tags(found.units[position]) for position in scenery_positions(found.units)}
    for position in lost_positions(found, tags):
        scenery[position] = scenery.get(position) or _animals(found.units[position])
    tags += [tag for _, shown in sorted(scenery.items()) for tag in shown]
    tags += keep_english(text, language)
    kept = _clean(tags, found.young)[:MOST_TAGS]
    expressed = found.visual - lost_positions(found, kept, silent=("person", "age"))
    expressed |= {position for position, shown in scenery.items() if not set(kept).isdisjoint(shown)}
    lost = (
        unit
        for position, unit in enumerate(found.units)
        if position not in expressed | found.negated and is_content(unit)
    )
    return kept, _untranslated(lost, kept)


def is_content(unit: Unit) -> bool:
    """Whether a unit is no function word."""
    return unit.role in ("", "nonvisual", "verbal") and len(unit.raw) > 1


def scenery_positions(units: Sequence[Unit]) -> Iterator[int]:
    """Yield the positions of the units that may be of a scene: not negated, no comparison, and no verb like
    "mata" (kills)."""
    negated = likened = False
    for position, unit in enumerate(units):
        negated = (negated and not unit.pause) or unit.role == "not"
        likened = (likened and not unit.pause) or unit.role == "like"
        if (
            unit.entries
            and not (negated or likened)
            and not (unit.role == "verbal" and _is_verb(units, position))
        ):
            yield position


def _is_verb(units: Sequence[Unit], position: int) -> bool:
    """Whether a word that may be a noun or a verb is the verb: no article or preposition precedes it."""
    if position and not units[position].pause:
        return units[position - 1].words[-1] not in _DETERMINERS
    after = units[position + 1] if position + 1 < len(units) else None
    return after is not None and not after.pause and after.words[0] in _OBJECT_WORDS


def _scene_tags(unit: Unit) -> tuple[str, ...]:
    kinds = (*SCENERY, "mood", "style")
    return next((entry.concept.tags for entry in unit.entries if entry.concept.kind in kinds), ())


def _animals(unit: Unit) -> tuple[str, ...]:
    return tuple(entry.concept.name for entry in unit.entries if entry.concept.kind == "animal")[:1]


def _field(text: str, fallback: Language, *, attire: bool = False, species: bool = False) -> _Field:
    language = detect_language((text,)) if len(text.split()) > 3 else fallback
    return _Field(text, read(text, language, attire=attire, species=species), language)


def _collect_tags(
    species: _Field, physical: _Field, attire: _Field, story: _Field
) -> tuple[list[str], list[str]]:
    """Return the tags of the person and of the clothes.

    The description is used for hair, eyes and skin, and for everything when the other fields are empty.
    """
    alone = not physical.text.strip() and not attire.text.strip()
    bodily: list[tuple[int, int, int, str]] = []
    worn: list[tuple[int, str]] = []
    for index, part in enumerate((species, physical, attire, story)):
        for kind, tag, order in all_tags(part.found):
            if part is story and not alone and kind not in ("hair", "eyes", "skin", "hairstyle"):
                continue
            if kind in ("garment", "detail"):
                worn.append((index * 10_000 + order, tag))
            elif kind in _RANKS:
                bodily.append((index == 3, _RANKS.index(kind), index * 10_000 + order, tag))
            elif kind == "person":
                bodily.append((index == 3, 1, order, tag))
    return [tag for *_, tag in sorted(bodily)], [tag for _, tag in sorted(worn)]


def _animal_people(species: _Field, physical: _Field, gender: Gender) -> list[str]:
    """Return tags such as "cat girl" for people with an animal's ears and tail."""
    noun = {"female": "girl", "male": "boy"}.get(gender)
    persons = (*species.found.persons, *physical.found.persons)
    animals = (
        concept.name.removesuffix(" person") for concept, _ in persons if concept.name.endswith(" person")
    )
    return [f"{animal} {noun}" for animal in animals] if noun else []


def _with_whiskers(tags: list[str], sheet: CharacterSheet, fields: Iterable[_Field]) -> list[str]:
    """Replace the mustache of an animal's "bigodes", which are its whiskers."""
    animal = any(
        concept.name == "werecat" or concept.name.endswith(" person")
        for field in fields
        for concept, _ in field.found.persons
    )
    if not animal or "bigodes" not in fold(sheet.physical):
        return tags
    return ["whiskers" if tag == "mustache" else tag for tag in tags]


def _gender(said: str, fields: Iterable[_Field]) -> Gender:
    votes = 0
    for unit in split_units(said, "pt"):
        for word in unit.words:
            votes += 9 * ((word in _FEMALE) - (word in _MALE))
        votes += 9 * sum(_vote(entry) for entry in unit.entries[:1])
        if any(entry.concept.name == "nonbinary" for entry in unit.entries):
            return "unknown"
    for weight, field in zip((3, 2, 2, 1), fields, strict=True):
        if votes:
            break
        found = field.found
        votes = weight * sum(_vote(LexiconEntry(concept, sex)) for concept, sex in found.persons)
        votes += sum((sex == "f") - (sex == "m") for sex in found.sexes)
    return "female" if votes > 0 else "male" if votes < 0 else "unknown"


def _vote(entry: LexiconEntry) -> int:
    name = entry.concept.name
    if name == "human":
        return 0
    if name in _FEMALE_KINDS or (entry.sex == "f" and entry.concept.kind != "colour"):
        return 1
    if name in _MALE_KINDS:
        return -1
    # A masculine form such as "robô" or "elfo" counts little, as it may be said of anybody.
    return -1 if entry.sex == "m" else 0


def _is_young(sheet: CharacterSheet, fields: Iterable[_Field]) -> bool:
    texts = (sheet.physical, sheet.description, sheet.attire)
    ages = [int(age) for text in texts for age in _AGE.findall(text[:2000])]
    return any(age < _ADULT for age in ages) or any(field.found.young for field in fields)


def _with_age(tags: list[str], sheet: CharacterSheet, gender: Gender, fields: Iterable[_Field]) -> list[str]:
    """Replace tags of age by one tag for visible age; it differs for women and men."""
    ages = [int(age) for text in (sheet.physical, sheet.description) for age in _AGE.findall(text[:2000])]
    age = next((age for age in ages if age < _OLDEST), 0)
    names = {concept.name for field in fields for concept, _ in field.found.persons}
    old = "elderly" in tags or "old" in names or age >= _OLD
    mature = "mature" in tags or "middle-aged" in names or _MATURE <= age < _OLD
    rest = [tag for tag in tags if tag not in ("elderly", "mature")]
    noun = {"female": "woman", "male": "man"}.get(gender)
    if old:
        return [f"old {noun}" if noun else "elderly", *rest]
    if mature:
        return [f"mature {gender}" if noun else "mature", *rest]
    return rest


def _heights(text: str) -> Iterator[tuple[str, str]]:
    """Yield each height as its tag, which may be empty, and as it was written."""
    for found in _HEIGHT.finditer(text[:2000]):
        cm = int(found[3]) if found[3] else int(found[1]) * 100 + int(found[2])
        yield "short stature" if cm <= _SHORT_CM else "tall" if cm >= _TALL_CM else "", found[0]


def _lost_words(fields: Iterable[_Field], tags: tuple[str, ...]) -> Iterator[str]:
    for field in fields:
        found = field.found
        lost = [found.units[position] for position in sorted(lost_positions(found, tags))]
        yield from _untranslated([*found.unknown, *lost], tags)


def _replaced_tags(physical: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tags that others stand for; see `_with_age` and `_with_whiskers`."""
    return ("elderly", "mature", *(("mustache",) if "whiskers" in physical else ()))


def _lost_styles(text: str, drawn: tuple[str, ...]) -> Iterator[str]:
    for unit in split_units(text, detect_language((text,))):
        tags = [sanitize.tag(tag) for tag in _style_tags(unit)]
        if is_content(unit) and not any(tag in drawn for tag in tags):
            yield sanitize.shown(unit.raw)


def _styles(text: str) -> list[str]:
    units = split_units(text, detect_language((text,)))
    return list(dict.fromkeys(tag for unit in units for tag in _style_tags(unit)))


def _style_tags(unit: Unit) -> tuple[str, ...]:
    return next((entry.concept.tags for entry in _entries(unit) if entry.concept.kind == "style"), ())


def _entries(unit: Unit) -> Iterable[LexiconEntry]:
    yield from unit.entries
    for lexicon in lexicons().values():
        if match := lexicon.match(unit.words):
            yield from match.entries


def _clean(tags: Iterable[str], young: bool) -> tuple[str, ...]:
    found = sanitize.distinct(map(sanitize.tag, tags))
    return tuple(tag for tag in _drop_repeated_nouns(found) if not (young and _ADULT_TRAITS.search(tag)))


def _drop_repeated_nouns(tags: tuple[str, ...]) -> Iterable[str]:
    """Drop a noun that occurs again with a modifier, such as "wings" beside "white wings"."""
    for tag in tags:
        if tag == "horns" and "single horn" in tags:
            continue
        if not any(other != tag and other.endswith(f" {tag}") for other in tags):
            yield tag


def allowed_tags(tags: Iterable[str], sheet: CharacterSheet) -> tuple[str, ...]:
    """Return a language model's tags without those that are not allowed for this sheet."""
    language = detect_language((sheet.physical, sheet.attire, sheet.description, sheet.species))
    texts = (sheet.species, sheet.physical, sheet.attire, sheet.description)
    return _clean(tags, _is_young(sheet, [_field(text, language) for text in texts]))


def truncated_tags(
    physical: tuple[str, ...], attire: tuple[str, ...], style: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Cut the lists so that they have at most `MOST_TAGS` together."""
    room = MOST_TAGS - len(style)
    physical = physical[: max(_MOST_PHYSICAL, room - len(attire))][:room]
    return physical, attire[: room - len(physical)], style


def _untranslated(unknown: Iterable[Unit], tags: Iterable[str]) -> tuple[str, ...]:
    """Return the unknown words that did not become tags unchanged."""
    used = {word for tag in tags for word in tag.split()}
    left = (unit for unit in unknown if not used.issuperset(unit.words))
    return sanitize.distinct(sanitize.shown(unit.raw) for unit in left)[:MOST_UNTRANSLATED]
