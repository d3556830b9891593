"""The check that always blocks sexual content about minors, whatever the settings say.

Words of the first list (youth) and of the second (sexual) are common words on their own. The check blocks a
word of one together with a word of the other, and any word of the third list.
"""

import re
import unicodedata
from functools import lru_cache

from imagemill.domain.moderation import ALLOWED, ModerationInput, ModerationResult, Verdict
from imagemill.safety.ages import ADULT_AGE, stated_ages, states_minor
from imagemill.safety.normalize import LatePattern, fold, words
from imagemill.safety.words import TermList

NAME = "minors"
_BLOCKED = ModerationResult(Verdict.BLOCK, "minors")

_YOUNG = TermList(
    (
        *("child", "children", "childs", "kid", "kids", "kiddie", "kiddo*", "toddler*", "infant", "infants"),
        *("baby", "babies", "newborn*", "preteen*", "tween", "tweens", "teen", "teens", "teenage*", "minors"),
        *("underage*", "prepubescent", "pubescent*", "adolescent*", "schoolgirl*", "schoolboy*"),
        *("schoolchild*", "schoolkid*", "juvenile*", "youngster*", "aged down", "age regression"),
        *("school girl", "school girls", "school boy", "school boys", "little girl", "little girls"),
        *("little boy", "little boys", "young girl", "young girls", "young boy", "young boys"),
        *("little sister", "little brother", "small girl", "small boy", "loli", "lolis", "lolita*", "shota"),
        *("kindergarten*", "grader", "graders", "elementary school", "primary school", "middle school"),
        *("middle schooler", "middle schoolers", "junior high", "high schooler", "high schoolers"),
        *("high school girl", "high school girls", "high school boy", "high school student"),
        # Portuguese
        *("crianca*", "criancinh*", "menina", "meninas", "menino", "meninos", "menininh*", "garotinh*"),
        *("mocinha", "mocinhas", "rapazinho*", "guriazinh*", "gurizinh*", "guri", "guris", "molequ*"),
        *("moleca", "molecas", "pirralh*", "pivete*", "adolescente*", "adolescencia", "preadolescente*"),
        *("menor de idade", "menores de idade", "colegial", "colegiais", "secundarista*", "impubere*"),
        *("ensino fundamental", "ensino medio", "escola primaria", "filhinh*", "irmazinh*", "irmaozinho*"),
        *("nenem", "bebezinh*", "corpo infantil", "rosto infantil", "cara infantil", "cuerpo infantil"),
        # Spanish
        *("ninas", "ninos", "ninita*", "ninito*", "nena", "nenas", "nene", "nenes", "chiquill*"),
        *("jovencit*", "muchachit*", "chavalit*", "quinceanera*", "colegiala*", "menores de edad"),
        *("menor de edad", "hermanit*", "hijita*", "hijito*", "bebecit*", "parvul*", "impuber*"),
        *("de primaria", "de secundaria", "escuela primaria", "escuela secundaria"),
        # French and German
        *("enfant", "enfants", "fillette*", "garconnet*", "minderjahrig*", "kleinkind*", "madchen"),
    )
)
_ACCENTED = re.compile(r"\b(?:ni\u00f1[oa]s?|beb[\u00ea\u00e9]s?)\b")
"""Words for a child that are other words without their accent: "nino" is a name, "bebe" is "drinks"."""
_ADJECTIVE = re.compile(r"\bnovinh[oa]s?\b")
_NEW = LatePattern(
    r"\bnovinh[oa]s? em folha\b"
    r"|\b(?:casa|carro|moto|motocicleta|bicicleta|bike|roupa|vestido|camisa|blusa|lingerie|biquini|bolsa"
    r"|sapatos?|botas?|tenis|guitarra|violao|camera|cama|mochila|boneca|bola|pele)s? novinh[oa]s?\b"
)
""""Novinha" of a thing means brand new, of a person very young."""
_UNDER_AGE = re.compile(r"\bde menor(?=\s*(?:[,.;!?\n]|$))")
_PUPIL = TermList(
    ("aluna", "alunas", "aluno", "alunos", "aluninh*", "alumna", "alumnas", "alumno", "alumnos")
)
_GROWN_UP = TermList(("adult*", "universi*", "faculdade", "facultad", "formand*", "mestrado", "doutorado"))
"""With one of these, or an adult's age, a pupil is a student."""

_SEXUAL = TermList(
    (
        *("sex", "sexy", "sexual*", "sexo", "porn*", "nsfw", "hentai", "ecchi", "xxx", "erotic*", "erotism*"),
        *("nude", "nudes", "nudity", "nudist*", "naked", "topless", "undress*", "lewd*", "seductiv*"),
        *("genital*", "penis*", "vagina*", "nipple*", "orgasm*", "masturbat*", "blowjob*", "fellatio"),
        *("intercourse", "fetish*", "bdsm", "lingerie", "upskirt*", "cameltoe", "horny", "aroused"),
        *("unclothed", "underwear", "panties", "thong", "g string", "striptease*", "strip tease"),
        *("stripper*", "stripping", "bottomless", "pussy", "boobs", "fuck*", "cumshot*", "creampie*"),
        *("provocativ*", "bare breast", "bare breasts", "bare breasted", "bare bottom", "birthday suit"),
        *("without clothes", "no clothes", "no clothing", "no panties", "no bra", "wearing nothing"),
        *("with nothing on", "spread legs"),
        # Portuguese and Spanish
        *("nu", "nus", "nua", "nuas", "nuzinh*", "nuazinh*", "nudez", "seminu*", "semi nu", "semi nua"),
        *("semi nus", "semi nuas", "pelad*", "despido", "despidos", "despida", "despidas", "desnud*"),
        *("semidesnud*", "sensual*", "provocante*", "sedutor", "sedutora*", "calcinh*", "sutia", "sutias"),
        *("de cueca", "de cuecas", "tanga", "tangas", "tanguinh*", "bragas", "braguit*", "lenceria*"),
        *("biquini fio dental", "de fio dental", "roupa intima", "roupas intimas", "roupa de baixo"),
        *("ropa interior", "ropa intima", "semroup*", "sinropa", "en cueros", "en pelotas", "encuerad*"),
        *("transando", "transar", "transam", "foda", "fodas", "fodendo", "foder", "follando", "follar"),
        *("follad*", "boquete*", "punhet*", "siririca*", "bucet*", "xoxota*", "xereca*", "piroca*"),
        *("bunda", "bundas", "bundinh*", "peitinh*", "tetas", "tetitas", "culito*", "tesao", "tesud*"),
        *("seios de fora", "seios a mostra", "peitos de fora", "peitos a mostra", "pechos al aire"),
        *("putaria", "putinh*", "orgia", "orgias", "nackt*"),
    )
)
_UNDRESSED = LatePattern(
    r"\b(?:sem|sin) (?:(?:as?|nenhum\w*|qualquer|sua|suas|nada de|ninguna|su|la) )*"
    r"(?:roup\w+|ropas?|calcinh\w+|sutias?|vestes|bragas|cuecas?)\b"
    r"|\bwithout (?:any |her |his |their )?(?:clothes|clothing|underwear|panties|bra)\b"
    r"|\btak\w+ off (?:all )?(?:her|his|their|the) (?:clothes|dress|underwear|panties|bra|shirt)\b"
    r"|\btak\w+ (?:all )?(?:her|his|their) (?:clothes|underwear|panties) off\b"
    r"|\btir\w+ (?:toda )?(?:as?|suas?) (?:roup\w+|calcinh\w+|vestido)\b(?! d[oa]s? (?!corpo))"
    r"|\bquit\w+ (?:toda )?(?:la|su) ropa\b(?! del? )"
)
"""Phrases for missing clothes, searched in the normalised words."""
_FOOTBALL = LatePattern(
    r"\b(?:uma|numa|a|da|na|as|das|nas|de|jog\w+|bat\w+|disput\w+)\s+peladas?\b"
    r"(?=.{0,80}\b(?:bola|futebol|campinho|quadra|gols?|racha|time|domingo|rua|varzea|amigos)\b)"
    r"|\bjog\w+\s+(?:uma\s+)?peladas?\b"
)
""""Pelada" is an informal game of football, too."""
_HARMLESS = LatePattern(
    r"\bnaked (?:mole rats?|eye|oats?|flames?|trees?|branch(?:es)?|twigs?|cakes?|truth|bulbs?|rocks?|walls?"
    r"|blades?|swords?|neck chickens?)\b"
    r"|\bnude[\s-](?:pink|beige|lips?|lipstick|heels?|colou?rs?|colou?red|tones?|shades?|palette|nails?|tights"
    r"|stockings|shoes?|pumps|sandals|flats|makeup|manicure|polish|ballet (?:tights|shoes|slippers|flats))\b"
    r"|\b(?:cor|tom|tons|tonos?|color|colores|vestidos?|sapatos?|zapatos?|saltos?|esmaltes?|batom|batons|bolsas?"
    r"|sandalias?|sapatilhas?|meias?|medias|maquiagem|maquillaje|blusas?|saias?|paleta|labial|unhas|unas)"
    r"\s+nudes?\b"
    r"|\b(?:same|opposite|fairer)[\s-]sex\b|\bsex (?:education|ed|chromosomes?)\b"
    r"|\bsexo (?:feminino|masculino|femenino|oposto|opuesto)\b"
    r"|\bpussy[\s-]?(?:willows?|cats?)\b|\bnu[\s-](?:metal|jazz|disco|soul)\b|\bse despidas?\b"
    r"|\b(?:lua|noite|arvores?|galhos?|ramos?|paredes?|muros?|terra|rochas?|pedras?|colinas?|montanhas?|serras?"
    r"|campos?|chao|espadas?|laminas?|verdade|olhos?|pes|maos?|bracos|ombros|concreto|tijolos?|lampadas?|luna"
    r"|noche|arbol|arboles|ramas?|ladrillos?|tierra|rocas?|piedras?|montanas?|suelo|verdad|ojo|pies|manos?"
    r"|brazos|hombros)(?:\s+(?:esta|estao|sao|ficam|estan|son))?\s+(?:nuas?|nus?|desnud[oa]s?|pelad[oa]s?)\b"
    r"|\b(?:homem|homens|pescador\w*|guerreiro\w*|trabalhador\w*|velho|hombres?|pescadores)\s+(?:de|com|con)\s+"
    r"(?:peito|torso|tronco)\s+(?:nu|desnudo)\b"
    r"|\b(?:batatas?|laranjas?|ovos?|tomates?|amendoas?|camarao|camaroes|cebolas?|bananas?|macas?|mandiocas?"
    r"|papas?|naranjas?|huevos?|manzanas?|almendras?|gat[oa]s?|cao|caes|cachorr[oa]s?|perr[oa]s?|galinhas?"
    r"|gallinas?|frangos?)\s+pelad[oa]s?\b"
    r"|\b(?:un|el|hombre|senor|viejo|abuelo) pelado\b"
)
"""Uses of words of `_SEXUAL` that have another meaning, in folded text."""
_GNU = re.compile(r"\b\u00f1us?\b")
"""The Spanish gnu, which is "nu" without its tilde."""
_ALONE = TermList(
    (
        *("lolicon*", "shotacon*", "jailbait*", "pedophil*", "paedophil*", "pedofil*", "childporn*"),
        *("ninfet*", "pornografia infantil", "porno infantil"),
    )
)
_CLOTHES = TermList(
    (
        *("clothes", "clothing", "clothed", "dressed", "underwear"),
        *("roupa", "roupas", "ropa", "vestida", "vestido", "vestimenta"),
    )
)
"""In a negative prompt, these mean the same as a word of `_SEXUAL`."""
_LONGEST_COMPOUND = 24
"""Maximum number of letters in a compound of two list words; longer words are not worth the time."""


class Minors:
    """The check itself; see the module's docstring."""

    name = NAME

    def judge(self, question: ModerationInput) -> ModerationResult:
        return _judge(question.texts.whole, question.texts.negative)


@lru_cache(maxsize=64)
def _judge(whole: str, negative: str) -> ModerationResult:
    """Return the result for the texts. Pictures that are submitted together mostly share theirs."""
    found = words(whole)
    if _ALONE.within(found) or any(_is_compound(word) for word in found):
        return _BLOCKED
    if not is_young(whole):
        return ALLOWED
    if is_sexual(whole) or _CLOTHES.within(words(negative)):
        return _BLOCKED
    return ALLOWED


def is_young(text: str) -> bool:
    """Whether a text has a word for young people, or states an age below 18."""
    folded, found = fold(text), words(text)
    if _YOUNG.within(found) or states_minor(folded):
        return True
    if _ACCENTED.search(unicodedata.normalize("NFC", text.lower())) or _UNDER_AGE.search(folded):
        return True
    if _ADJECTIVE.search(" ".join(found)) and _ADJECTIVE.search(_NEW.compiled.sub(" ", " ".join(found))):
        return True
    return _PUPIL.within(found) and not (
        _GROWN_UP.within(found) or any(age >= ADULT_AGE for age in stated_ages(folded))
    )


def is_sexual(text: str) -> bool:
    """Whether a text has a word for nakedness or sex that has no other meaning there."""
    plain = _GNU.sub(" ", unicodedata.normalize("NFC", text.lower()))
    folded = fold(plain)
    found = words(_FOOTBALL.compiled.sub(" ", _HARMLESS.compiled.sub(" ", folded)))
    return _SEXUAL.within(found) or bool(_UNDRESSED.compiled.search(" ".join(found)))


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
