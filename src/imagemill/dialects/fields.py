"""Field types that several dialects read alike."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from imagemill.web.problems import suggestion


def _not_boolean(value: Any) -> Any:
    """Python counts booleans as numbers; a client that sends one meant something else."""
    if isinstance(value, bool):
        raise ValueError(f"should be a number; it is {str(value).lower()}")  # noqa: TRY004 - pydantic's word
    return value


Whole = Annotated[int, BeforeValidator(_not_boolean)]
Real = Annotated[float, BeforeValidator(_not_boolean)]


def one_of(names: Sequence[str]) -> BeforeValidator:
    """Any case is read, the spelling of ``names`` is kept."""
    lowered = {name.lower(): name for name in names}

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"should be one of {', '.join(names)}")  # noqa: TRY004 - pydantic's word
        found = lowered.get(value.lower())
        if found is None:
            raise ValueError(f"is {value[:40]!r}{suggestion(value, names)}")
        return found

    return BeforeValidator(check)
