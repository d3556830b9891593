"""The model library: five closed parameters, the grid they span, and the prompt of each cell."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import product
from typing import Literal, get_args

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
"""In the order of the prompt, of template ids and of the grid."""
TAIL = (
    "full body shot, neutral white/gray background, professional studio lighting, high quality, 8k, "
    "detailed, clean composition"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One model of the library. Made by `cell`, which checks its values."""

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
        """The same five values always give the same; at most 46 characters."""
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


def cell(given: Mapping[str, str]) -> Cell:
    """Raises `InvalidInput` with every parameter that is wrong, missing or unknown."""
    faults = [
        FieldError(name, f"is missing; should be one of {_allowed(name)}")
        for name in PARAMETERS
        if name not in given
    ]
    faults += [fault for name, value in given.items() if (fault := _fault(name, value))]
    if faults:
        raise InvalidInput(faults)
    return Cell(**{name: given[name] for name in PARAMETERS})


def grid(wanted: Mapping[str, str] | None = None) -> tuple[Cell, ...]:
    """All cells, or those with the wanted values, always in the same order. Raises `InvalidInput`."""
    wanted = wanted or {}
    faults = [fault for name, value in wanted.items() if (fault := _fault(name, value))]
    if faults:
        raise InvalidInput(faults)
    sets = ((wanted[name],) if name in wanted else allowed for name, allowed in PARAMETERS.items())
    return tuple(Cell(*values) for values in product(*sets))


def parsed(text: str) -> dict[str, str]:
    """A grid filter such as ``gender=female,style=casual``; blanks in values may be written as - or _.
    Raises `InvalidInput`."""
    wanted: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise InvalidInput.at("grid", f"should be name=value, comma-separated, not {part[:40]!r}")
        if name in wanted:
            raise InvalidInput.at(name, "is given twice")
        spaced = value.replace("_", " ").replace("-", " ")
        wanted[name] = spaced if spaced in PARAMETERS.get(name, ()) else value
        if fault := _fault(name, wanted[name]):
            raise InvalidInput([fault])
    return wanted


def _fault(name: str, value: object) -> FieldError | None:
    if name not in PARAMETERS:
        return FieldError(name[:40], f"is no parameter; there are {', '.join(PARAMETERS)}")
    if value not in PARAMETERS[name]:
        return FieldError(name, f"should be one of {_allowed(name)}")
    return None


def _allowed(name: str) -> str:
    return ", ".join(PARAMETERS[name])
