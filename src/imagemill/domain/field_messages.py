"""Messages for wrong fields in plain English, from the errors of a validation.

A validation library speaks of regular expressions, classes and the branches of a union. Whoever sent the
field knows none of them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Fault = Mapping[str, Any]
"""An error of pydantic, with ``loc``, ``type``, ``msg`` and, where there is one, ``ctx``."""

_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a field here; correct its name or leave it out",
    "string_type": "should be a text",
    "string_unicode": "should be a text of valid characters",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_parsing_size": "should be a smaller whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "finite_number": "should be a finite number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "set_type": "should be a list",
    "dict_type": "should be an object",
    "model_type": "should be an object",
    "model_attributes_type": "should be an object",
    "string_too_short": "should have at least {min_length} characters",
    "string_too_long": "should have at most {max_length} characters",
    "too_short": "should have at least {min_length} items",
    "too_long": "should have at most {max_length} items",
    "greater_than": "should be above {gt}",
    "greater_than_equal": "should be at least {ge}",
    "less_than": "should be below {lt}",
    "less_than_equal": "should be at most {le}",
    "multiple_of": "should be a multiple of {multiple_of}",
    "none_required": "should be null",
}
_LABEL = re.compile(r"str|int|float|bool|bytes|none|[A-Z]\w*|\w[\w-]*\[.*\]|function-.*|constrained-.*")
"""A branch of a union, which pydantic puts between the names of fields; ours begin with a small letter."""
_NAMES = re.compile(r"\^\(?(?:\?:)?\|?([a-z0-9]+(?:\|[a-z0-9]+)*)\)?\$")
_SIGNS = re.compile(r"\^(?:\(\?:)?(\[[^\]^]+\])?\[([^\]^]+)\]\{(\d+),(\d+)\}\)?\$")
_PART = re.compile(r"\\?(.)(?:-\\?(.))?")
BRANCH = "="
"""Begins the name of a branch of a union of ours, which is no field."""
_DATES = "should be a date and time such as 2026-01-31T00:00:00Z"


def field_message(fault: Fault) -> str:
    """Return the message of an error, to follow the field's name."""
    kind, text = fault["type"], str(fault["msg"])
    context: Mapping[str, Any] = fault.get("ctx") or {}
    if kind in _MESSAGES:
        found = _MESSAGES[kind].format_map(context)
        return re.sub(r"\b1 (character|item)s\b", r"1 \1", found)
    if kind in ("literal_error", "enum"):
        return f"should be {str(context.get('expected', '')).replace(chr(39), '')}"
    if kind == "string_pattern_mismatch":
        return _form(str(context.get("pattern", "")))
    if kind.startswith(("datetime", "date_", "timezone")):
        return _DATES
    return text.removeprefix("Value error, ").replace("Input should", "should", 1)


def _form(pattern: str) -> str:
    if (names := _NAMES.fullmatch(pattern)) is not None:
        return f"should be one of {', '.join(names.group(1).split('|'))}"
    if (signs := _SIGNS.fullmatch(pattern)) is not None:
        first, others, least, most = signs.groups()
        parts = [f"{a}-{b}" if b else a for a, b in _PART.findall(others)]
        more = 1 if first else 0  # a first character of fewer kinds
        return f"should be {int(least) + more} to {int(most) + more} of {', '.join(parts)}"
    if pattern == "^#[0-9a-fA-F]{6}$":
        return "should be a colour such as #1e90ff"
    return "has a form that is not accepted here"


def merge_unions(faults: Iterable[Fault]) -> list[dict[str, Any]]:
    """Return the errors without the branches of unions: of the branch that fits best, else one error for all.

    ``place`` of each is the ``loc`` it had before.
    """
    merged = [{"place": fault["loc"], **fault} for fault in faults]
    while (found := _first_union(merged)) is not None:
        first, prefix = found
        at = len(prefix)
        group = [each for each in merged if each["loc"][:at] == prefix and len(each["loc"]) > at]
        rest = [each for each in merged if each not in group]
        position = merged.index(first)
        merged = [*rest[:position], *_best(group, at), *rest[position:]]
    return merged


def _first_union(faults: Sequence[Mapping[str, Any]]) -> tuple[Any, tuple[Any, ...]] | None:
    """Return the first error within a union, and the place of the union."""
    for fault in faults:
        for at, part in enumerate(fault["loc"]):
            if not (isinstance(part, str) and _LABEL.fullmatch(part)):
                continue
            prefix = fault["loc"][:at]
            inside = [each["loc"] for each in faults if each["loc"][:at] == prefix and len(each["loc"]) > at]
            if any(loc[at] != part for loc in inside):
                return fault, prefix
    return None


def _best(group: Sequence[Mapping[str, Any]], at: int) -> list[dict[str, Any]]:
    branches: dict[Any, list[Mapping[str, Any]]] = {}
    for each in group:
        branches.setdefault(each["loc"][at], []).append(each)
    deep = [each for each in branches.values() if all(len(fault["loc"]) > at + 1 for fault in each)]
    if deep:
        best = min(deep, key=len)
        return [{**each, "loc": (*each["loc"][:at], *each["loc"][at + 1 :])} for each in best]
    first, *others = (field_message(each[0]) for each in branches.values())
    message = " or ".join([first, *(other.removeprefix("should be ") for other in others)])
    found = next(iter(branches.values()))[0]
    return [{**found, "loc": found["loc"][:at], "type": "union", "msg": message}]


def field_path(loc: Iterable[Any], prefix: str = "") -> str:
    """Return the path of a field as JavaScript writes it: ``jobs[0].params.width``."""
    path = prefix
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.startswith(BRANCH):
            continue
        elif part.isidentifier() or part == "$type":
            path += f".{part}" if path else part
        else:
            path += f"[{part!r}]"
    return path
