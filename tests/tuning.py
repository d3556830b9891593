"""Other values for the constants of settings groups: tests wait less than an operator does."""

import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)


def tuned(group: type[T], *, validate: bool = True, **values: Any) -> T:
    """A group of settings with other values, of constants as well.

    ``validate``: refuse values that no operator can set.
    """
    fields = {name: value for name, value in values.items() if name in group.model_fields}
    constants = {name: value for name, value in values.items() if name not in group.model_fields}
    for name in constants:
        assert name in group.__class_vars__, f"{group.__name__} has no {name}"
    kind = type(group.__name__, (group,), {"__module__": __name__, **constants})
    return kind(**fields) if validate else kind.model_construct(**fields)


def program(constants: Mapping[str, float]) -> tuple[str, ...]:
    """The command of an ``imagemill`` with other constants, such as
    ``{"imagemill.settings:LimitSettings.head_s": 0.3}``."""
    lines: list[str] = []
    for place, value in constants.items():
        module, _, name = place.partition(":")
        owner = name.partition(".")[0]
        lines += [f"from {module} import {owner}", f"{name} = {value!r}"]
    return sys.executable, "-c", "; ".join([*lines, "from imagemill.cli.app import main", "main()"])
