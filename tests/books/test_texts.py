"""The texts of a book, filled in for a child."""

import unicodedata
from itertools import pairwise

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from imagemill.products.books.plurals import RULES, choose_form
from imagemill.products.books.texts import (
    GENDER_WORDS,
    Child,
    Gender,
    check_text,
    choose_text,
    clean_name,
    fill,
    fill_plain,
)

OKSANA = Child("Оксана", 3, Gender.GIRL)
LETTERS = st.text(
    st.characters(categories=("Lu", "Ll", "Lo", "Nd", "Po", "Sm", "Zs"), exclude_characters="{}*"),
    max_size=60,
)
NAMES = st.text(st.characters(categories=("Lu", "Ll", "Po", "Ps", "Pe", "Sc", "Sm")), min_size=1, max_size=30)
CHILDREN = st.builds(Child, NAMES, st.integers(0, 120), st.sampled_from(Gender))


def test_name_age_and_gender_are_filled_in():
    text = "{child_name} ({child_age}) — {child_gender}."
    assert fill(text, OKSANA, "uk") == [("Оксана (3) — дівчинка.", False)]
    assert fill_plain(text, Child("Max", 7, Gender.BOY), "en") == "Max (7) — boy."
    assert fill_plain("{child_gender}", Child("Kim", 7), "en-GB") == "child"


@pytest.mark.parametrize(
    ("gender", "expected"),
    [(Gender.BOY, "Він біжить"), (Gender.GIRL, "Вона біжить"), (Gender.NEUTRAL, "Дитя біжить")],
)
def test_forms_by_gender(gender: Gender, expected: str):
    assert fill_plain("{gender:Він|Вона|Дитя} біжить", Child("Саша", 4, gender), "uk") == expected


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (0, "років"),
        (1, "рік"),
        (2, "роки"),
        (4, "роки"),
        (5, "років"),
        (11, "років"),
        (21, "рік"),
        (24, "роки"),
    ],
)
def test_ukrainian_forms_by_age(age: int, expected: str):
    assert fill_plain("{age:рік|роки|років}", Child("Іва", age), "uk") == expected


def test_the_six_arabic_forms():
    text = "{age:صفر|واحد|اثنان|قليل|كثير|آخر}"
    ages = {0: "صفر", 1: "واحد", 2: "اثنان", 7: "قليل", 11: "كثير", 100: "آخر"}
    assert {age: fill_plain(text, Child("نور", age), "ar") for age in ages} == ages


@pytest.mark.parametrize("language", sorted(RULES))
def test_the_plural_forms_are_those_of_the_cldr(language: str):
    rule, theirs = RULES[language], Locale.parse(language).plural_form
    assert [rule.names[rule.choose(number)] for number in range(250)] == [
        theirs(number) for number in range(250)
    ]


def test_a_language_without_a_rule_takes_one_or_two_forms():
    assert choose_form(["dan"], "xx", 5) == "dan"
    assert [choose_form(["one", "more"], "xx", number) for number in (0, 1, 2)] == ["more", "one", "more"]
    with pytest.raises(ValueError, match="has 3 forms by age; the language xx takes 2: one, other"):
        choose_form(["a", "b", "c"], "xx", 1)


def test_accents_are_runs():
    assert fill("Hi **{child_name}**, *hi*!", OKSANA, "en") == [
        ("Hi ", False),
        ("Оксана", True),
        (", *hi*!", False),
    ]
    assert fill("**all**", OKSANA, "en") == [("all", True)]
    assert fill("", OKSANA, "en") == []


def test_doubled_braces_are_braces():
    assert fill_plain("{{child_name}} {{{child_name}}}", Child("Ann", 2), "en") == "{child_name} {Ann}"


@given(CHILDREN)
def test_markup_in_a_name_stays_text(child: Child):
    runs = fill("a **b {child_name} c** d", child, "en")
    assert runs == [("a ", False), (f"b {child.name} c", True), (" d", False)]


@given(st.lists(st.tuples(LETTERS, st.booleans()), max_size=8), CHILDREN)
def test_runs_keep_every_letter_and_alternate(parts: list[tuple[str, bool]], child: Child):
    text = "".join(f"**{part}**" if accent else part for part, accent in parts)
    runs = fill(text, child, "en")
    assert "".join(run for run, _ in runs) == unicodedata.normalize("NFC", "".join(part for part, _ in parts))
    assert all(first[1] != second[1] for first, second in pairwise(runs))


@given(st.text(st.sampled_from("ab{}*|:genderchild_nameage "), max_size=40), CHILDREN)
def test_a_text_that_is_accepted_can_be_filled_for_each_child(text: str, child: Child):
    accepted = True
    try:
        check_text(text, "en")
    except ValueError:
        accepted = False
    if accepted:
        assert all(run for run, _ in fill(text, child, "en"))
    else:
        with pytest.raises(ValueError, match=r".+"):
            fill(text, child, "en")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Hi {name}", r"\{name\} is unknown; there are \{child_name\}"),
        ("Hi {child_name", "has a single {; write {{ for the character itself"),
        ("Hi }", "has a single }"),
        ("Hi {child_name:x}", "is unknown"),
        ("{}", "is unknown"),
        ("a ** b", r"has \*\* without a second \*\*"),
        ("{gender:he|she}", "has 2 forms; write three"),
        ("{gender:**he**|she|they}", r"\*\* inside of \{...\}"),
        ("{age:year}", "has 1 forms by age; the language en takes 2: one, other"),
        ("bell \a", r"contains the character U\+0007"),
        ("turned \u202e text", r"contains the character U\+202E"),
    ],
)
def test_a_wrong_text_is_refused(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        check_text(text, "en")


def test_a_gender_word_that_is_unknown_is_refused_when_the_book_is_read():
    with pytest.raises(ValueError, match=r"has no word in the language xx; write \{gender:"):
        check_text("{child_gender}", "xx")
    assert all(len(words) == len(Gender) for words in GENDER_WORDS.values())


def test_a_text_is_normalised():
    assert fill_plain("Zoe\u0308", OKSANA, "en") == "Zo\u00eb"


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("  Ann   Lee ", "Ann Lee"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("Ґанна-Лія", "Ґанна-Лія"),
        ("ناز\u200cگل", "ناز\u200cگل"),
        ("**{Max}**", "**{Max}**"),
        ("李雷", "李雷"),
    ],
)
def test_names_are_cleaned(given_name: str, expected: str):
    assert clean_name(given_name) == expected


@pytest.mark.parametrize(
    ("given_name", "message"),
    [
        ("", "must contain a letter"),
        ("  12 ", "must contain a letter"),
        ("a" * 41, "has 41 characters; at most 40"),
        ("Ann\nLee", r"U\+000A"),
        ("Ann\0", r"U\+0000"),
        ("A\u202enn", r"U\+202E"),
        ("A\ud800", r"U\+D800"),
        ("A\ue000", r"U\+E000"),
    ],
)
def test_a_name_that_cannot_be_printed_is_refused(given_name: str, message: str):
    with pytest.raises(ValueError, match=message):
        clean_name(given_name)


@given(st.text(max_size=60))
def test_cleaning_a_name_twice_changes_nothing(name: str):
    try:
        cleaned = clean_name(name)
    except ValueError:
        return
    assert clean_name(cleaned) == cleaned
    assert fill_plain("{child_name}", Child(cleaned, 1), "en") == cleaned


@pytest.mark.parametrize(
    ("language", "fallbacks", "expected"),
    [("uk", (), "uk"), ("uk-UA", (), "uk"), ("pt", (), "pt-BR"), ("fr", ("uk",), "uk"), ("fr", (), "en")],
)
def test_the_language_that_a_reader_gets(language: str, fallbacks: tuple[str, ...], expected: str):
    texts = {"uk": "Казка", "en": "Tale", "pt-BR": "Conto"}
    assert choose_text(texts, language, fallbacks) == (expected, texts[expected])


def test_without_english_the_first_language_is_taken():
    assert choose_text({"pl": "Bajka", "uk": "Казка"}, "fr") == ("pl", "Bajka")
    assert choose_text({}, "fr") is None
