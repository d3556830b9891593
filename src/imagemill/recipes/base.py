"""What a recipe is: an input model, what the input needs, and the plan of a render."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from imagemill.domain.images import Work
from imagemill.domain.resources import Resource


@dataclass(frozen=True, slots=True)
class Plan:
    """One render and what is made of its outputs."""

    work: Work
    outputs: int
    """Files the render must deliver; fewer is a failure."""
    size: tuple[int, int] | None = None
    """Width and height every picture must have; None: any."""
    parameters: str = ""
    """The generation parameters as text, embedded in the picture."""


class Lookup(Protocol):
    """The model registry, as far as a recipe needs it."""

    def __call__(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        """Expand a short form, check that it may be used. ``path`` names the field in an `InvalidInput`."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    name: str
    input: type[BaseModel]
    complete: Callable[[Any, Lookup, str], BaseModel]
    """The input with AIRs expanded and the seed drawn. The last argument is the path of its fields."""
    plan: Callable[[Any], Plan]
    model: Callable[[Any], str]
    """The checkpoint's AIR in lower case, or an empty text."""
    price: Callable[[Any], float]
    queue: str = "gpu"
