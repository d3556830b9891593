"""Ages stated in a text, in digits and in English, Portuguese and Spanish words."""

from collections.abc import Iterator

from imagemill.safety.normalize import LatePattern

ADULT_AGE = 18

_NAMES = {
    1: "one um uma uno una",
    2: "two dois duas dos",
    3: "three tres",
    4: "four quatro cuatro",
    5: "five cinco",
    6: "six seis",
    7: "seven sete siete",
    8: "eight oito ocho",
    9: "nine nove nueve",
    10: "ten dez diez",
    11: "eleven onze once",
    12: "twelve doze doce",
    13: "thirteen treze trece",
    14: "fourteen catorze quatorze catorce",
    15: "fifteen quinze quince",
    16: "sixteen dezesseis dezasseis dieciseis",
    17: "seventeen dezessete dezassete diecisiete",
    18: "eighteen dezoito dieciocho",
    19: "nineteen dezenove dezanove diecinueve",
}
_VALUES = {name: value for value, names in _NAMES.items() for name in names.split()}
_TENS = (
    r"(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|vinte|trinta|quarenta|cinquenta|sessenta|setenta"
    r"|oitenta|noventa|veinte|treinta|cuarenta|cincuenta|sesenta|ochenta)"
)
_ONES = "|".join(sorted(_VALUES, key=len, reverse=True))
_NUMBER = rf"(?:\d{{1,3}}|veinti\w+|{_TENS}(?:[\s-]+(?:[ey]\s+)?(?:{_ONES}))?|{_ONES})"
_OTHERS = 20
"""Stands for all numbers from twenty on that are written in words."""
_YEARS = (
    r"(?:y\s*/?\.?\s*o\b|yrs?\b|years?[\s-]*olds?\b|anos?\b|aninhos?\b|anitos?\b|primaveras\b|jahre?\b|ans\b)"
)
_PERSON = (
    r"(?:garot[ao]s?|moc[ao]s?|rapaz(?:es)?|guri[as]?|girls?|boys?|chic[ao]s?|muchach[ao]s?|lass"
    r"|el[ae]s? tem|ella tiene|el tiene|s?he is|s?hes)"
)
_AGE = LatePattern(
    rf"(?<![\w.])({_NUMBER})\s*-?\s*{_YEARS}"
    rf"|\bage[ds]?\s*(?:of\s*)?:?\s*({_NUMBER})\b"
    rf"|\b(?:idade|edad)\s*(?:de\s*)?:?\s*({_NUMBER})\b(?!\s*(?:media|da|de|del)\b)"
    rf"|\b{_PERSON}\s+(?:de\s|com\s|con\s|of\s|aged\s)?\s*({_NUMBER})"
    r"(?=\s*(?:$|[,.;:!?)\n]|(?:nu[as]?|nus|sem|sin|pelad\w+|desnud\w+|naked|nude|in)\b))"
    rf"|\blooks?\s+(?:like\s+)?(?:(?:s?he|they)(?:\s+(?:is|are)|s)?\s+)?({_NUMBER})\b"
)
_NO_AGE = LatePattern(
    rf"\b(?:ha|faz(?:em)?|hace|durante|ultim[ao]s|proxim[ao]s|whisk(?:e)?y(?: de)?|vin(?:h)?os? de|ron|rum)"
    rf"\s+(?:mais de |mas de |quase |casi )?{_NUMBER}\s+anos?\b"
    rf"|\b{_NUMBER}\s+anos?\s+(?:atras|depois|despues|antes|mais tarde|mas tarde"
    r"|de (?:casad\w+|casamento|matrimonio|carreira|carrera|experiencia|estrada|garantia|namoro|historia"
    r"|trabalho|trabajo|prisao|prision|vida em comum|juntos))\b"
    rf"|\b{_NUMBER}[\s-]*years?[\s-]*old(?:\s+\w+)?\s+"
    r"(?:whisk\w+|scotch|bourbon|malt|rum|wine|port|cognac|brandy|barrels?|cask|cheese|oak|trees?|house|car)\b"
)
"""Periods, and ages of things."""
_YOUNGER = LatePattern(
    r"\b(?:under|below|younger than|menos de|menor(?:es)? de|abaixo de)\s+(?:os\s+|los\s+)?"
    r"(?:1[0-8]|eighteen|dezoito|dieciocho)\b"
    r"|\b\d{1,2}\s*-?\s*months?[\s-]*olds?\b|\bmeses de (?:idade|edad|vida)\b"
    r"|\b(?:quart|quint|sext|setim|oitav)a serie\b|\b[4-9]\s?a serie\b"
    r"|\b(?:\d{1,2}th|fourth|fifth|sixth|seventh|eighth|ninth|tenth)[\s-]grade\b"
)
"""Other statements of an age below `ADULT_AGE`."""


def stated_ages(text: str) -> Iterator[int]:
    """Yield the ages in a text that `imagemill.safety.normalize.fold` has folded."""
    for found in _AGE.compiled.finditer(_NO_AGE.compiled.sub(" ", text)):
        number = next(filter(None, found.groups()))
        yield int(number) if number.isdigit() else _VALUES.get(number, _OTHERS)


def states_minor(text: str) -> bool:
    """Whether a folded text states an age below `ADULT_AGE`."""
    return bool(_YOUNGER.compiled.search(text)) or any(age < ADULT_AGE for age in stated_ages(text))
