"""The plural forms of whole numbers by language, as the Unicode CLDR counts them."""

from collections.abc import Callable, Sequence

from imagemill.domain.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class PluralRule:
    """The forms of a group of languages, in the order in which a text writes them."""

    names: tuple[str, ...]
    """CLDR's names of the forms that whole numbers take."""
    choose: Callable[[int], int]
    """Returns the position of the form for a number."""


def _slavic_east(n: int) -> int:
    if n % 10 == 1 and n % 100 != 11:
        return 0
    return 1 if n % 10 in {2, 3, 4} and n % 100 not in {12, 13, 14} else 2


def _polish(n: int) -> int:
    if n == 1:
        return 0
    return 1 if n % 10 in {2, 3, 4} and n % 100 not in {12, 13, 14} else 2


def _lithuanian(n: int) -> int:
    if 11 <= n % 100 <= 19 or n % 10 == 0:
        return 2
    return 0 if n % 10 == 1 else 1


def _latvian(n: int) -> int:
    if n % 10 == 0 or 11 <= n % 100 <= 19:
        return 0
    return 1 if n % 10 == 1 else 2


def _romanian(n: int) -> int:
    if n == 1:
        return 0
    return 1 if n == 0 or 1 <= n % 100 <= 19 else 2


def _slovenian(n: int) -> int:
    return {1: 0, 2: 1, 3: 2, 4: 2}.get(n % 100, 3)


def _arabic(n: int) -> int:
    if n <= 2:
        return n
    if 3 <= n % 100 <= 10:
        return 3
    return 4 if n % 100 >= 11 else 5


def _two_ending_in_one(n: int) -> int:
    return 0 if n % 10 == 1 and n % 100 != 11 else 1


_ONE = PluralRule(("other",), lambda _: 0)
_TWO = PluralRule(("one", "other"), lambda n: 0 if n == 1 else 1)
_ZERO_IS_ONE = PluralRule(("one", "other"), lambda n: 0 if n <= 1 else 1)
_EAST = ("one", "few", "many")
_RULES: tuple[tuple[str, PluralRule], ...] = (
    ("id ja ko ms th zh", _ONE),
    ("az bg ca da de el en es et eu fi gl hu it ka kk ky nb nl no sq sv sw ta te tr ur uz", _TWO),
    ("bn fa fr hi hy pt vi", _ZERO_IS_ONE),
    ("is mk", PluralRule(("one", "other"), _two_ending_in_one)),
    ("be ru uk", PluralRule(_EAST, _slavic_east)),
    ("bs hr sr", PluralRule(("one", "few", "other"), _slavic_east)),
    ("pl", PluralRule(_EAST, _polish)),
    ("cs sk", PluralRule(("one", "few", "other"), lambda n: 0 if n == 1 else 1 if n in {2, 3, 4} else 2)),
    ("lt", PluralRule(("one", "few", "other"), _lithuanian)),
    ("lv", PluralRule(("zero", "one", "other"), _latvian)),
    ("ro", PluralRule(("one", "few", "other"), _romanian)),
    ("sl", PluralRule(("one", "two", "few", "other"), _slovenian)),
    ("he", PluralRule(("one", "two", "other"), lambda n: {1: 0, 2: 1}.get(n, 2))),
    ("ar", PluralRule(("zero", "one", "two", "few", "many", "other"), _arabic)),
)
RULES = {language: rule for languages, rule in _RULES for language in languages.split()}
"""The rule by the language's code without a region."""


def plural_rule(language: str) -> PluralRule | None:
    return RULES.get(language.split("-")[0])


def choose_form(forms: Sequence[str], language: str, number: int) -> str:
    """Return the form for a number.

    Raises `ValueError` if the language has another number of forms. A language without a rule takes one form,
    or two: for 1 and for all other numbers.
    """
    rule = plural_rule(language)
    if rule is None:
        rule = _ONE if len(forms) == 1 else _TWO
    if len(forms) != len(rule.names):
        raise ValueError(
            f"has {len(forms)} forms by age; the language {language} takes {len(rule.names)}: "
            f"{', '.join(rule.names)}"
        )
    return forms[rule.choose(number)]
