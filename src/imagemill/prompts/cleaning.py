"""What may stand in a prompt: tags, names and free text without weights of their own."""

import re
import unicodedata
from collections.abc import Iterable

MOST_TAG_CHARS = 40
MOST_NAME_CHARS = 60
MOST_TEXT_CHARS = 500

_TAG = re.compile(r"[a-z0-9][a-z0-9 ()-]*")
_NOT_TAG = re.compile(r"[^a-z0-9 ()-]+")
_BLANKS = re.compile(r"\s+")
_WEIGHTS = re.compile(r"[\[\]{}<>|\\\"#]+")
_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Cn", "Mn")
_BREAK = re.compile(r"\b(?:BREAK|AND)\b|\b(?:embedding|lora|lyco|hypernet)\s*:", re.IGNORECASE)
_BAD = re.compile(
    r"\b(?:loli\w*|shota\w*|child\w*|kids?|toddler\w*|infant\w*|bab(?:y|ies)|teen\w*|preteen\w*|tweens?|minors?"
    r"|underage\w*|adolescent\w*|young\w*|youth\w*|school ?(?:girl|boy)s?|little (?:girl|boy)|petite"
    r"|flat chest\w*|small breasts|aged down|kindergarten\w*|diapers?|nude\w*|naked|nudity|nsfw"
    r"|sex\w*|porn\w*|hentai|ecchi"
    r"|topless|bottomless|nipples?|pussy|penis|vagina|genital\w*|lingerie|undress\w*|cleavage|breasts?|panties"
    r"|underwear|rating explicit|explicit|lewd|erotic\w*|chibi)\b"
)
"""Tags no look has: of the young, and sexual ones. What is asked for besides is the safety checks' matter."""
_QUALITY = re.compile(
    r"\b(?:break|masterpiece|best quality|score \d\w*|high ?res|absurdres|\d?k|watermark\w*|signature)\b"
)


def tag(text: str) -> str:
    """A visual tag in the charset of tags, or "" for what may not be one."""
    text = _BLANKS.sub(" ", text.lower().replace("_", " ")).strip(" .-")
    if not text or len(text) > MOST_TAG_CHARS or not _TAG.fullmatch(text):
        return ""
    if _BAD.search(text) or _QUALITY.search(text) or not any(c.isalpha() for c in text):
        return ""
    return text if _is_balanced(text) else ""


def distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))


def name(text: str) -> str:
    """A character's or LoRA's name as it stands inside ``(name:1.2)``: no signs that weigh."""
    return escaped(_plain(text.replace(",", " ").replace(":", " "), MOST_NAME_CHARS))


def phrase(text: str, most: int = MOST_TEXT_CHARS) -> str:
    """Free text of a user as part of a prompt: parentheses escaped, nothing else that weighs."""
    return escaped(_plain(text, most))


def bare(text: str, most: int = MOST_TEXT_CHARS) -> str:
    """The same, to be escaped when it becomes part of a prompt."""
    return _plain(text, most)


def is_bad(text: str) -> bool:
    """Whether it speaks of the young or of sex."""
    return bool(_BAD.search(text.lower()))


def shown(text: str) -> str:
    """A word of the sheet for a report."""
    return _plain(text, MOST_TAG_CHARS)


def escaped(text: str) -> str:
    """ComfyUI and A1111 read a bare parenthesis as a weight."""
    return text.replace("\\", "").replace("(", "\\(").replace(")", "\\)")


def _plain(text: str, most: int) -> str:
    text = unicodedata.normalize("NFKC", text[: 4 * most])
    text = "".join(
        " " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in _UNSEEN
    )
    text = _BREAK.sub(" ", _WEIGHTS.sub(" ", text))
    return _BLANKS.sub(" ", text).strip(" ,:")[:most].strip(" ,:")


def _is_balanced(text: str) -> bool:
    depth = 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if depth not in (0, 1):
            return False
    return depth == 0


def as_tag(text: str) -> str:
    """The nearest tag to what a person or a model wrote."""
    plain = unicodedata.normalize("NFKD", text.lower())
    return tag(_NOT_TAG.sub("", plain.replace("_", " ").replace("'", "")))
