"""Unions of objects that a word in one of their fields tells apart."""

from typing import Any

from pydantic import Discriminator, Tag

from imagemill.domain.field_messages import BRANCH


def branch(word: str) -> Tag:
    """Return the mark of the branch of a union that a word stands for."""
    return Tag(f"{BRANCH}{word}")


def told_by(field: str, *words: str) -> Discriminator:
    """Return what chooses the branch: the word in a field, in any case."""

    def choose(value: Any) -> str | None:
        given: Any = value.get(field) if isinstance(value, dict) else getattr(value, field, None)
        return f"{BRANCH}{given.lower()}" if isinstance(given, str) and given.lower() in words else None

    return Discriminator(
        choose,
        custom_error_type="kind_of_object",
        custom_error_message=f"should have the field {field}: one of {', '.join(words)}",
    )
