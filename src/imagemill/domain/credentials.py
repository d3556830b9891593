"""API keys: random, so that a plain digest at rest is enough, with a visible part to tell them by."""

import hashlib
import re
import secrets
from dataclasses import dataclass

_KEY = re.compile(r"im_([a-z0-9]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class NewKey:
    id: str
    """The visible part, by which people and logs tell keys apart."""
    text: str
    """Shown once, kept nowhere."""
    digest: str


def draw() -> NewKey:
    """A key of 32 random bytes."""
    visible = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    text = f"im_{visible}_{secrets.token_urlsafe(32)}"
    return NewKey(visible, text, digest(text))


_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def key_id(text: str) -> str | None:
    """The visible part of what looks like one of our keys, else None."""
    found = _KEY.fullmatch(text)
    return found.group(1) if found else None


def digest(text: str) -> str:
    """What is kept of a secret drawn at random. Not for passwords, which people choose."""
    return hashlib.sha256(text.encode()).hexdigest()
