"""Type-safe access to parsed JSON of unknown shape."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard, cast

_PLAIN = frozenset({str, int, float, bool, type(None), list, tuple})


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    if isinstance(value, dict):
        return True
    # Asking for the abstract class takes many times as long, and most values are none.
    return type(value) not in _PLAIN and isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(value, tuple)


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object (with its string keys only), else an empty one."""
    if not is_object(value):
        return {}
    for key in cast("Mapping[object, Any]", value):
        if type(key) is not str and not isinstance(key, str):
            found = cast("Mapping[object, Any]", value)
            return {key: content for key, content in found.items() if isinstance(key, str)}
    return value


def sequence(value: object) -> tuple[Any, ...]:
    """The value's items if it is an array, else none."""
    return tuple(cast("Iterable[Any]", value)) if isinstance(value, list | tuple) else ()


def text(value: object, default: str = "") -> str:
    return value if isinstance(value, str) else default


def number(value: object) -> int | float | None:
    """The value if it is a number and not a boolean, else None."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def format_value(value: object, longest: int = 80) -> str:
    """The value for a message: strings quoted, long values truncated to ``longest`` characters."""
    written = repr(value)
    return written if len(written) <= longest else f"{written[: longest - 3]}..."
