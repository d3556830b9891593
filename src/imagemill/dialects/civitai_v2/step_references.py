"""References in a step's input: ``{"$ref": STEP, "path": "output.images[0].url"}``.

A reference to ``$arguments`` or to a step's input is replaced by its value at submission. One to a step's
output makes a dependency. It is replaced by the source of a picture, or by a mark for a text that the worker
fills in.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, cast

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput
from imagemill.jobs import references
from imagemill.jobs.inputs import OUTPUT
from imagemill.jobs.references import OutputValue
from imagemill.jobs.references import find as find_value

ARGUMENTS = "$arguments"
REF, PATH = "$ref", "path"
LOOP_NAME = "as"
"""The key beside a reference that names the items of its list in a loop."""
_PICTURES = re.compile(r"output\.(?:images|blobs)(?:\[(\d{1,4})\](?:\.(?:url|id|previewUrl))?)?")
_PICTURE = re.compile(r"output\.(?:blob|image|video)(?:\.(?:url|id|previewUrl))?")
_STEP_NUMBER = re.compile(r"\$?(\d{1,4})")
MOST = 1000
"""References in one step: as many pictures as a step may take, and then some."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference as it was sent."""

    step: str
    path: str

    @property
    def document(self) -> dict[str, Any]:
        return {REF: self.step, PATH: self.path}


def reference_of(value: Any) -> Reference | None:
    """Return the reference that a JSON object is; None for any other value."""
    if not isinstance(value, Mapping) or REF not in value:
        return None
    given = cast("Mapping[str, Any]", value)
    step, path = given[REF], given.get(PATH, "")
    if not isinstance(step, str) or not isinstance(path, str) or set(given) - {REF, PATH, LOOP_NAME}:
        return None
    return Reference(step, path)


def walk(value: Any, visit: Callable[[Reference, str], Any], path: str) -> Any:
    """Return ``value`` with what ``visit`` returns in place of each reference. ``path``: of the value."""
    if isinstance(value, dict):
        given = cast("dict[str, Any]", value)
        if (found := reference_of(given)) is not None:
            return visit(found, path)
        if REF in given:
            raise InvalidInput.at(path, 'is no reference; one is {"$ref": "STEP", "path": "output..."}')
        return {name: walk(each, visit, f"{path}.{name}") for name, each in given.items()}
    if isinstance(value, list):
        return [
            walk(each, visit, f"{path}[{number}]") for number, each in enumerate(cast("list[Any]", value))
        ]
    return value


def sources_of(value: Any, path: str) -> list[str]:
    """Return the names of the steps that a value refers to, each once."""
    names: dict[str, None] = {}

    def visit(reference: Reference, _: str) -> None:
        names[reference.step] = None

    walk(value, visit, path)
    return list(names)


def step_named(name: str, names: Sequence[str]) -> str | None:
    """Return the step that a reference names: by its name, or by its number as ``$0`` or ``0``."""
    if name in names:
        return name
    number = _STEP_NUMBER.fullmatch(name)
    return names[int(number[1])] if number and int(number[1]) < len(names) else None


@dataclass(frozen=True, slots=True)
class SourceStep:
    """A step that others may refer to: its input as it was sent, and the jobs that make its output."""

    input: Any
    jobs: tuple[str, ...]


@dataclass(slots=True)
class Resolver:
    """Replaces the references of one step.

    ``variables``: the values of loop variables. ``names``: all steps of the workflow; ``steps``: those that
    are planned already. ``given`` collects what each replacement was sent as.
    """

    arguments: Mapping[str, Any]
    names: Sequence[str]
    steps: Mapping[str, SourceStep]
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    values: list[OutputValue] = field(default_factory=list[OutputValue])
    given: dict[str, Reference] = field(default_factory=dict[str, Reference])

    def resolve(self, value: Any, path: str) -> Any:
        """Return a step's input without references. Raises `InvalidInput`."""
        return walk(value, self._replace, path)

    def shown(self, value: Any) -> Any:
        """Return a resolved value with the references to outputs as they were sent."""
        if isinstance(value, str):
            found = self.given.get(value)
            return found.document if found is not None else value
        if isinstance(value, Mapping):
            return {name: self.shown(each) for name, each in cast("Mapping[str, Any]", value).items()}
        if isinstance(value, (list, tuple)):
            return [self.shown(each) for each in cast("Sequence[Any]", value)]
        return value

    def _replace(self, reference: Reference, path: str) -> Any:
        if reference.step == ARGUMENTS:
            return _found(self.arguments, reference, path)
        if reference.step in self.variables:
            value = self.variables[reference.step]
            # A picture of a loop is its source already, so `item.url` is the item.
            return value if isinstance(value, str) else _found(value, reference, path)
        name = step_named(reference.step, self.names)
        if name is None or name not in self.steps:
            raise InvalidInput.at(path, f"refers to {reference.step[:60]!r}; {_known(self.names)}")
        source = self.steps[name]
        if reference.path == "input" or reference.path.startswith("input."):
            inner = Reference(reference.step, reference.path[6:])
            return self.resolve(_found(source.input, inner, path), path)
        return self._output(source, reference, path)

    def _output(self, source: SourceStep, reference: Reference, path: str) -> Any:
        if len(self.given) >= MOST:
            raise InvalidInput.at(path, f"is one reference too many; a step has at most {MOST}")
        if _PICTURE.fullmatch(reference.path):
            return self._keep(picture_source(source.jobs, 0, path), reference)
        pictures = _PICTURES.fullmatch(reference.path)
        if pictures is not None and pictures[1] is None:
            step, list_ = reference.step, reference.path
            return [
                self._keep(
                    picture_source(source.jobs, number, path), Reference(step, f"{list_}[{number}].url")
                )
                for number in range(len(source.jobs))
            ]
        if pictures is not None:
            return self._keep(picture_source(source.jobs, int(pictures[1]), path), reference)
        if not reference.path.startswith("output.") or len(source.jobs) != 1:
            raise InvalidInput.at(
                path,
                f"has the path {reference.path[:60]!r}; write output.images[0].url for a picture, "
                "output.NAME for another value of the step, or input.NAME",
            )
        self.values.append(OutputValue(source.jobs[0], reference.path.removeprefix("output.")))
        return self._keep(references.mark(len(self.values) - 1), reference)

    def _keep(self, text: str, reference: Reference) -> str:
        self.given[text] = reference
        return text


def picture_source(jobs: Sequence[str], number: int, path: str) -> str:
    """Return the source of a step's picture: a step makes one a job, or several in its only job."""
    if len(jobs) == 1:
        return f"{OUTPUT}{jobs[0]}/{number}"
    if number >= len(jobs):
        raise InvalidInput.at(path, f"names picture {number}; the step makes {len(jobs)}, counted from 0")
    return f"{OUTPUT}{jobs[number]}/0"


def _found(value: Any, reference: Reference, path: str) -> Any:
    if not reference.path:
        return value
    try:
        return find_value(value, reference.path)
    except KeyError:
        raise InvalidInput.at(
            path, f"refers to {reference.path[:60]!r} of {reference.step[:60]}, which has no such value"
        ) from None


def _known(names: Sequence[str]) -> str:
    return f"the steps are {', '.join(names[:20])}, and there is {ARGUMENTS}"
