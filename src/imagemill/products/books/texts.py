"""The texts of a book for one child: placeholders, forms by gender and age, accents.

A text of the manifest is a template. It is read into parts when the book is loaded, so a mistake is found
then; the name of a child is put in as data, so nothing in it is read as markup.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.plurals import choose_form

Run = tuple[str, bool]
"""A piece of text, and whether it takes the accent."""

MOST_NAME_LETTERS = 40
MOST_FEEDBACK = 200
"""Characters of the wish for a redraw: one sentence."""
MOST_AGE = 120
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]|\*\*")
_JOINERS = "\u200c\u200d"
"""Invisible characters that names of some scripts need; other characters of the category Cf are refused."""


class Gender(StrEnum):
    """The gender by which a text chooses its words."""

    BOY = "boy"
    GIRL = "girl"
    NEUTRAL = "neutral"


GENDER_WORDS: Mapping[str, tuple[str, str, str]] = {
    "ar": ("ولد", "بنت", "طفل"),
    "be": ("хлопчык", "дзяўчынка", "дзіця"),
    "bg": ("момче", "момиче", "дете"),
    "cs": ("chlapec", "dívka", "dítě"),
    "de": ("Junge", "Mädchen", "Kind"),
    "en": ("boy", "girl", "child"),
    "es": ("niño", "niña", "peque"),
    "fr": ("garçon", "fille", "enfant"),
    "he": ("ילד", "ילדה", "ילד"),
    "it": ("bambino", "bambina", "piccolo"),
    "ja": ("男の子", "女の子", "子ども"),
    "kk": ("ұл", "қыз", "бала"),
    "ko": ("남자아이", "여자아이", "아이"),
    "nl": ("jongen", "meisje", "kind"),
    "pl": ("chłopiec", "dziewczynka", "dziecko"),
    "pt": ("menino", "menina", "criança"),
    "ro": ("băiat", "fată", "copil"),
    "ru": ("мальчик", "девочка", "ребёнок"),
    "sk": ("chlapec", "dievča", "dieťa"),
    "tr": ("erkek çocuk", "kız çocuk", "çocuk"),  # noqa: RUF001 - a letter of Turkish
    "uk": ("хлопчик", "дівчинка", "дитина"),
    "zh": ("男孩", "女孩", "孩子"),
}
"""The word of ``{child_gender}`` by language: for a boy, a girl, and a child of any gender."""


@dataclass(frozen=True, slots=True)
class Child:
    """The child whose name, age and gender a text takes."""

    name: str
    age: int
    gender: Gender = Gender.NEUTRAL


@dataclass(frozen=True, slots=True)
class _Literal:
    text: str


@dataclass(frozen=True, slots=True)
class _Value:
    name: str


@dataclass(frozen=True, slots=True)
class _Forms:
    chosen_by: str
    forms: tuple[str, ...]


_Piece = tuple[_Literal | _Value | _Forms, bool]


def clean_name(name: str) -> str:
    """Return a child's name in normal form, with single spaces. Raises `ValueError` with the reason."""
    given = " ".join(part for part in unicodedata.normalize("NFC", name).split(" ") if part)
    if not any(letter.isalpha() for letter in given):
        raise ValueError("must contain a letter")
    if len(given) > MOST_NAME_LETTERS:
        raise ValueError(f"has {len(given)} characters; at most {MOST_NAME_LETTERS} fit on a page")
    _check_characters(given, " ")
    return given


def _check_characters(text: str, spaces: str) -> None:
    for each in text:
        category = unicodedata.category(each)
        if each in spaces or each in _JOINERS:
            continue
        if category in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
            raise ValueError(f"contains the character U+{ord(each):04X}, which cannot be printed; remove it")


def check_text(text: str, language: str) -> None:
    """Raise `ValueError` for a template that `fill` cannot fill in a language."""
    _parse(text, language)


def fill(text: str, child: Child, language: str) -> list[Run]:
    """Return a template of the manifest, filled in for a child, as runs for the layout.

    Raises `ValueError` for a template that `check_text` refuses.
    """
    runs: list[Run] = []
    for piece, accent in _parse(text, language):
        written = _write(piece, child, language)
        if runs and runs[-1][1] == accent:
            runs[-1] = (runs[-1][0] + written, accent)
        elif written:
            runs.append((written, accent))
    return runs


def fill_plain(text: str, child: Child, language: str) -> str:
    """Return a filled template without accents, such as for a title or a prompt."""
    return "".join(run for run, _ in fill(text, child, language))


def choose_text(
    texts: Mapping[str, str], language: str, fallbacks: Sequence[str] = ()
) -> tuple[str, str] | None:
    """Return the language and the text that a reader of a language gets; None if there is no text.

    The order is the language itself, the same language of another region, the fallbacks, English, and then
    the first one written.
    """
    base = language.split("-")[0]
    same = [each for each in texts if each.split("-")[0] == base]
    for each in (language, base, *same, *fallbacks, "en", *texts):
        if each in texts:
            return each, texts[each]
    return None


def _write(piece: _Literal | _Value | _Forms, child: Child, language: str) -> str:
    if isinstance(piece, _Literal):
        return piece.text
    gender = list(Gender).index(child.gender)
    if isinstance(piece, _Forms):
        if piece.chosen_by == "gender":
            return piece.forms[gender]
        return choose_form(piece.forms, language, child.age)
    if piece.name == "child_name":
        return child.name
    if piece.name == "child_age":
        return str(child.age)
    return GENDER_WORDS[language.split("-")[0]][gender]


@lru_cache(maxsize=4096)
def _parse(text: str, language: str) -> tuple[_Piece, ...]:
    normal = unicodedata.normalize("NFC", text)
    _check_characters(normal, "\n")
    return tuple(_read(normal, language))


def _read(text: str, language: str) -> Iterator[_Piece]:
    accent = False
    at = 0
    for found in _PLACEHOLDER.finditer(text):
        if found.start() > at:
            yield _Literal(text[at : found.start()]), accent
        at = found.end()
        mark = found.group()
        if mark == "**":
            accent = not accent
        elif mark in {"{{", "}}"}:
            yield _Literal(mark[0]), accent
        elif mark in {"{", "}"}:
            raise ValueError(f"has a single {mark}; write {mark}{mark} for the character itself")
        else:
            yield _placeholder(mark[1:-1], language), accent
    if at < len(text):
        yield _Literal(text[at:]), accent
    if accent:
        raise ValueError("has ** without a second **")


def _placeholder(inside: str, language: str) -> _Value | _Forms:
    name, colon, rest = inside.partition(":")
    if not colon and name in {"child_name", "child_age", "child_gender"}:
        if name == "child_gender" and language.split("-")[0] not in GENDER_WORDS:
            raise ValueError(
                f"{{child_gender}} has no word in the language {language}; write {{gender:...|...|...}}"
            )
        return _Value(name)
    if "**" in rest:
        raise ValueError(f"{{{inside}}} has ** inside of {{...}}; write it around the braces")
    forms = tuple(rest.split("|"))
    if colon and name == "gender":
        if len(forms) != len(Gender):
            raise ValueError(
                f"{{{inside}}} has {len(forms)} forms; write three: {{gender:boy|girl|any child}}"
            )
        return _Forms(name, forms)
    if colon and name == "age":
        choose_form(forms, language, 1)
        return _Forms(name, forms)
    raise ValueError(
        f"{{{inside}}} is unknown; there are {{child_name}}, {{child_age}}, {{child_gender}}, "
        "{gender:...} and {age:...}"
    )
