"""Translation of character sheets into visual tags by our own word lists: Portuguese, Spanish, English."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from imagemill.products.characters.prompts import sanitize
from imagemill.products.characters.prompts.lexicon import Language, LexiconEntry, lexicons
from imagemill.products.characters.prompts.parser import ParsedText, all_tags, read
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
    bodily = [*_animal_people(species, physical, gender), *bodily]
    bodily = [*_with_age(bodily, sheet, gender, (species, physical, story))]
    style = _styles(sheet.style)
    fit = truncated_tags(
        _clean(bodily, young),
        _clean(worn, young),
        tuple(filter(None, map(sanitize.tag, style)))[:_MOST_STYLES],
    )
    unknown = [*species.found.unknown, *physical.found.unknown, *attire.found.unknown]
    lost = (*sanitize.removed_from_name(sheet.name), *_untranslated(unknown, (*fit[0], *fit[1])))
    return Appearance(gender, *fit, untranslated=sanitize.distinct(lost)[:MOST_UNTRANSLATED])


def user_tags(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a user's words as tags, and the words without a translation. English passes unchanged."""
    language = detect_language((text,))
    found = read(text, language)
    tags = [tag for _, tag, _ in all_tags(found)]
    tags += [tag for unit in split_units(text, language) for tag in _scene_tags(unit)]
    tags += keep_english(text, language)
    return _clean(tags, found.young)[:MOST_TAGS], _untranslated(found.unknown, tags)


def _scene_tags(unit: Unit) -> Iterable[str]:
    for entry in unit.entries:
        if entry.concept.kind in ("place", "mood", "style"):
            yield from entry.concept.tags
            break


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


def _styles(text: str) -> list[str]:
    found: list[str] = []
    for unit in split_units(text, detect_language((text,))):
        style = next((entry for entry in _entries(unit) if entry.concept.kind == "style"), None)
        if style is not None:
            found.extend(style.concept.tags)
    return list(dict.fromkeys(found))


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
