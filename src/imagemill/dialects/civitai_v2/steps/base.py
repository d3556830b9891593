"""The interface of a step type: from a step's input to jobs, and from the results of jobs to its output."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from imagemill.api.base import Services
from imagemill.domain.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class RecipeInput:
    """One job of a step: a recipe with its input."""

    recipe: str
    input: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Field of the recipe -> field of the step's input, for error messages, where the two differ."""


@dataclass(frozen=True, slots=True)
class ParsedStep:
    input: Any
    """The step's input as responses show it, an object but for one type: with defaults filled in."""
    jobs: tuple[RecipeInput, ...]
    """One job a picture."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """The files and values of one job of a step, finished or still to come."""

    blobs: tuple[Mapping[str, Any], ...]
    """The blob documents of its files: finished ones with a ``url``, else ``{id, available: false}``."""
    values: Mapping[str, Any]
    """The JSON output of a task (`imagemill.domain.images.TaskSpec`); empty for pictures."""
    error: str = ""
    """The reason why it failed, in a sentence; empty otherwise."""
    started_at: int | None = None
    finished_at: int | None = None
    cost: float = 0.0
    """Its price in credits."""


@dataclass(frozen=True, slots=True)
class StepType:
    """A step type, by its ``$type``."""

    name: str
    parse: Callable[[Any, str, Services], ParsedStep]
    """Reads a step's input. The second argument is the input's path in the request, such as
    ``steps[0].input``. Where a picture is expected, the text may be a URL, a data URL, ``blob:KEY``, or
    ``output:ID`` for a picture that an earlier step makes. Raises `InvalidInput` at ``{path}.{field}``."""
    output: Callable[[Sequence[JobResult]], Mapping[str, Any]]
    """Returns the step's output. Called once a job has a result, with the results of all its jobs."""
