"""The check that always blocks sexual content about minors, whatever the settings say.

Words of the first list (youth) and of the second (sexual) are common words on their own. The check blocks a
word of one together with a word of the other, and any word of the third list.
"""

import re
from functools import lru_cache

from imagemill.domain.moderation import ALLOWED, ModerationInput, ModerationResult, Verdict
from imagemill.safety.normalize import fold, words
from imagemill.safety.words import TermList

NAME = "minors"
_BLOCKED = ModerationResult(Verdict.BLOCK, "minors")

_YOUNG = TermList(
    (
        *("child", "children", "childs", "kid", "kids", "kiddie", "toddler*", "infant", "infants"),
        *("baby", "babies", "newborn*", "preteen*", "tween", "tweens", "teen", "teens", "teenage*"),
        *("underage*", "prepubescent", "adolescent*", "schoolgirl*", "schoolboy*", "schoolchild*"),
        *("school girl", "school girls", "school boy", "school boys", "little girl", "little girls"),
        *("little boy", "little boys", "young girl", "young girls", "young boy", "young boys"),
        *("small girl", "small boy", "loli", "lolis", "lolita*", "shota", "kindergarten*", "grader"),
        *("elementary school", "primary school", "middle school", "junior high", "high schooler"),
        *("crianca*", "menina", "meninas", "menino", "meninos", "adolescente*", "menor de idade"),
        *("ninita", "ninito", "chiquilla", "menores de edad", "menor de edad"),
        *("enfant", "enfants", "fillette*", "garconnet*", "minderjahrig*", "kleinkind*", "madchen"),
    )
)
_NINO = re.compile(r"\bni\u00f1[oa]s?\b")
"""Spanish words for a child; without the tilde, "nino" is a name."""
_AGE = re.compile(
    r"(?<![\d.])(\d{1,2})\s*-?\s*(?:y\s*/?\.?\s*o\b|yrs?\b|years?[\s-]*old|year[\s-]*olds?|anos\b|jahre?\b|ans\b)"
    r"|\bage[ds]?\s*:?\s*(\d{1,2})\b"
)
_ADULT_AGE = 18

_SEXUAL = TermList(
    (
        *("sex", "sexy", "sexual*", "sexo", "porn*", "nsfw", "hentai", "ecchi", "xxx", "erotic*", "erotism*"),
        *("nude", "nudes", "nudity", "nudist*", "naked", "topless", "undress*", "lewd*", "seductiv*"),
        *("genital*", "penis*", "vagina*", "nipple*", "orgasm*", "masturbat*", "blowjob*", "fellatio"),
        *("intercourse", "fetish*", "bdsm", "lingerie", "upskirt*", "cameltoe", "horny", "aroused"),
        *("desnud*", "nua", "nuas", "sensual*", "pelada", "nackt*", "without clothes", "no clothes"),
    )
)
_HARMLESS = re.compile(
    r"\bnaked (?:mole rats?|eye|oats?|flame)"
    r"|\bnude (?:pink|beige|lips?|lipstick|heels?|colou?rs?|colou?red|tones?|shades?|palette|nails?)"
)
_ALONE = TermList(("lolicon*", "shotacon*", "jailbait*", "pedophil*", "paedophil*", "pedofil*", "childporn*"))
_CLOTHES = TermList(("clothes", "clothing", "clothed", "dressed", "underwear", "roupa", "roupas", "ropa"))
"""In a negative prompt, these mean the same as a word of `_SEXUAL`."""
_LONGEST_COMPOUND = 24
"""Maximum number of letters in a compound of two list words; longer words are not worth the time."""


class Minors:
    """The check itself; see the module's docstring."""

    name = NAME

    def judge(self, question: ModerationInput) -> ModerationResult:
        texts = question.texts
        text = fold(texts.whole)
        # Usually the same text as in the other checks, so that its words are cached.
        found = words(_HARMLESS.sub(" ", text) if _HARMLESS.search(text) else texts.whole)
        if _ALONE.within(found) or any(_is_compound(word) for word in found):
            return _BLOCKED
        if not (_YOUNG.within(found) or _is_young(text) or _NINO.search(texts.whole.lower())):
            return ALLOWED
        if _SEXUAL.within(found) or _CLOTHES.within(words(texts.negative)):
            return _BLOCKED
        return ALLOWED


def _is_young(text: str) -> bool:
    ages = (int(found[1] or found[2]) for found in _AGE.finditer(text))
    return any(age < _ADULT_AGE for age in ages)


@lru_cache(maxsize=8192)
def _is_compound(word: str) -> bool:
    """Whether a word joins words of both lists. Prompts share most of their words, so most results are
    cached."""
    if not 6 <= len(word) <= _LONGEST_COMPOUND:
        return False
    return any(
        (_YOUNG.has(word[:cut]) and _SEXUAL.has(word[cut:]))
        or (_SEXUAL.has(word[:cut]) and _YOUNG.has(word[cut:]))
        for cut in range(3, len(word) - 2)
    )
