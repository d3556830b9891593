"""The fields of JSON bodies: their types, and the messages for what is wrong with them.

Without HTTP, as processes that answer none load models with such fields as well.
"""

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic_core import ErrorDetails

from imagemill.domain.errors import FieldError
from imagemill.domain.field_messages import field_message, field_path, merge_unions

MOST_ERRORS = 20
_LONGEST_VALUE = 60


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'cfgScale'?``, or all names when none is similar."""
    lowered = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name[:100].lower(), lowered, n=1)
    return f"; did you mean {lowered[near[0]]!r}?" if near else f"; one of {', '.join(lowered.values())}"


def _not_boolean(value: Any) -> Any:
    """Refuse booleans, which Python treats as numbers."""
    if isinstance(value, bool):
        raise ValueError(f"should be a number; it is {str(value).lower()}")  # noqa: TRY004 - pydantic expects ValueError
    return value


Whole = Annotated[int, BeforeValidator(_not_boolean)]
Real = Annotated[float, BeforeValidator(_not_boolean)]


def one_of(names: Sequence[str]) -> BeforeValidator:
    """Return a validator that accepts ``names`` in any case and gives their spelling."""
    lowered = {name.lower(): name for name in names}

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"should be one of {', '.join(names)}")  # noqa: TRY004 - pydantic expects ValueError
        found = lowered.get(value.lower())
        if found is None:
            raise ValueError(f"is {value[:40]!r}{suggestion(value, names)}")
        return found

    return BeforeValidator(check)


def clipped(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def field_errors(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[FieldError]:
    """Return the faults of a ``model``: JavaScript-like paths below ``prefix``, and the accepted values."""
    return body_errors(error.errors(include_url=False), model, prefix)


def body_errors(
    faults: Sequence[ErrorDetails], model: type[BaseModel] | None, prefix: str = ""
) -> list[FieldError]:
    """Return the errors of a body. Values of fields that are write-only are secrets and not repeated."""
    secrets = _write_only(model)
    found: list[FieldError] = []
    for fault in merge_unions(faults[: 4 * MOST_ERRORS])[: MOST_ERRORS + 1]:
        message = _message(fault, model)
        if secrets and (not fault["loc"] or fault["loc"][0] in secrets):
            message = message.partition("; it is ")[0]
        found.append(FieldError(field_path(fault["loc"], prefix), message))
    return found


@cache
def _write_only(model: type[BaseModel] | None) -> frozenset[str]:
    if model is None or not hasattr(model, "model_fields"):
        return frozenset()
    return frozenset(
        field.alias or name
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("writeOnly")
    )


def _message(fault: Mapping[str, Any], model: type[BaseModel] | None) -> str:
    if fault["type"] == "extra_forbidden":
        *parents, name = fault["place"]
        known = _fields(model, parents) if model is not None else []
        return "is not a field of this object" + (suggestion(str(name), known) if known else "")
    message = field_message(fault)
    if fault["type"] in ("missing", "value_error"):
        return message
    return f"{message}; it is {clipped(repr(fault['input']), _LONGEST_VALUE)}"


def _fields(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """Return the fields of the object at this place of a model."""
    kinds: list[Any] = [model]
    for part in place:
        kinds = [option for kind in kinds for inner in _inner(kind, part) for option in _options(inner)]
    return [
        field.alias or name
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name, field in kind.model_fields.items()
    ]


def _inner(kind: Any, part: int | str) -> list[Any]:
    """Return the types of a field of a model, or of the items of a list or a dictionary."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields.items()
        return [field.annotation for name, field in fields if part in (name, field.alias)]
    return list(get_args(kind))


def _options(kind: Any) -> list[Any]:
    if get_origin(kind) in (Union, types.UnionType, Annotated):
        return [option for each in get_args(kind) for option in _options(each)]
    return [kind]
