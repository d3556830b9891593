"""The grid of the model library: five parameters with fixed values, and the prompt of each cell."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import product
from typing import Literal, cast, get_args

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import FieldError, InvalidInput

Gender = Literal["male", "female"]
AgeRange = Literal["20-30", "30-40", "40-50"]
BodyType = Literal["slim", "average", "athletic", "plus-size"]
Pose = Literal["front standing", "side", "walking", "sitting"]
Style = Literal["professional", "casual", "editorial"]
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "gender": get_args(Gender),
    "age_range": get_args(AgeRange),
    "body_type": get_args(BodyType),
    "pose": get_args(Pose),
    "style": get_args(Style),
}
"""Parameter -> allowed values; in the order of the prompt, of template ids and of the grid."""
TAIL = (
    "full body shot, neutral white/gray background, professional studio lighting, high quality, 8k, "
    "detailed, clean composition"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of the parameters. Create it with `make_cell`, which checks the values."""

    gender: str
    age_range: str
    body_type: str
    pose: str
    style: str

    @property
    def values(self) -> Mapping[str, str]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def template_id(self) -> str:
        """Id of the cell, at most 46 characters; it depends only on the five values."""
        return "-".join(value.replace(" ", "-") for value in self.values.values())

    @property
    def prompt(self) -> str:
        return ", ".join(
            (
                "fashion model",
                self.gender,
                f"{self.age_range} years old",
                f"{self.body_type} body type",
                f"{self.pose} pose",
                f"{self.style} style photo",
                TAIL,
            )
        )


def make_cell(given: Mapping[str, str]) -> Cell:
    """Return the cell with these values. Raises `InvalidInput` with every wrong or missing parameter."""
    errors = [
        FieldError(name, f"is missing; should be one of {_allowed(name)}")
        for name in PARAMETERS
        if name not in given
    ]
    errors += [error for name, value in given.items() if (error := _error_of(name, value))]
    if errors:
        raise InvalidInput(errors)
    return Cell(**{name: given[name] for name in PARAMETERS})


def list_cells(wanted: Mapping[str, str | Sequence[str]] | None = None) -> tuple[Cell, ...]:
    """Return all cells, or those with the ``wanted`` values, in a fixed order. Raises `InvalidInput`.

    A value may be a list of values.
    """
    lists = {name: [each] if isinstance(each, str) else each for name, each in (wanted or {}).items()}
    errors = [error for name, values in lists.items() if (error := _list_error(name, values))]
    if errors:
        raise InvalidInput(errors)
    # In the order of the parameter's values, each once.
    sets = (
        [value for value in allowed if name not in lists or value in lists[name]]
        for name, allowed in PARAMETERS.items()
    )
    return tuple(Cell(*values) for values in product(*sets))


def _list_error(name: str, values: object) -> FieldError | None:
    if name in PARAMETERS and (not isinstance(values, list) or not values):
        return FieldError(name, f"should be one of {_allowed(name)}, or a list of them")
    given = cast("list[object]", values) if isinstance(values, list) else [""]
    return next((error for each in given if (error := _error_of(name, each))), None)


def parse_filter(text: str) -> dict[str, str]:
    """Parse a grid filter such as ``gender=female,style=casual``; spaces in values may be written as - or _.

    Raises `InvalidInput`.
    """
    wanted: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise InvalidInput.at("grid", f"should be name=value, comma-separated, not {part[:40]!r}")
        if name in wanted:
            raise InvalidInput.at(name, "is given twice")
        spaced = value.replace("_", " ").replace("-", " ")
        wanted[name] = spaced if spaced in PARAMETERS.get(name, ()) else value
        if error := _error_of(name, wanted[name]):
            raise InvalidInput([error])
    return wanted


def _error_of(name: str, value: object) -> FieldError | None:
    if name not in PARAMETERS:
        return FieldError(name[:40], f"is not a parameter; the parameters are {', '.join(PARAMETERS)}")
    if value not in PARAMETERS[name]:
        return FieldError(name, f"should be one of {_allowed(name)}")
    return None


def _allowed(name: str) -> str:
    return ", ".join(PARAMETERS[name])
