"""From a workflow template to jobs: steps in the order of their references, one job a picture."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from pydantic.alias_generators import to_camel

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.responses import REPEAT
from imagemill.dialects.civitai_v2.schemas import StepTemplate, WorkflowTemplate
from imagemill.dialects.civitai_v2.step_references import (
    ARGUMENTS,
    LOOP_NAME,
    Reference,
    Resolver,
    SourceStep,
    reference_of,
    sources_of,
    step_named,
)
from imagemill.dialects.civitai_v2.steps import registry
from imagemill.dialects.civitai_v2.steps.base import RecipeInput, StepType
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput
from imagemill.domain.scheduling import NAMED_PRIORITIES
from imagemill.jobs.submit import JobRequest, draw_ids

SIMULATE = "simulate"
"""The key of metadata that asks the simulator for a fault, like the property of a v1 job."""
_HEAD = re.compile(r"[A-Za-z_]\w*")
_MOST_ROUNDS = 100
_REPEAT_FIELDS = {"for", "template"}


@dataclass(frozen=True, slots=True)
class PlannedStep:
    template: StepTemplate
    name: str
    path: str
    """Its path in the request, such as ``steps[0]``."""
    input: Any
    """The input as responses show it."""
    requests: tuple[JobRequest, ...]
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Field of the recipe -> field of the input, for error messages."""
    rounds: tuple["PlannedStep", ...] = ()
    """The steps of a repeat, one a round."""

    @property
    def document(self) -> dict[str, Any]:
        """Return the part of the step that is stored and never changes."""
        found: dict[str, Any] = {
            "type": self.template.type,
            "name": self.name,
            "priority": self.template.priority,
            "input": self.input,
        }
        if self.template.timeout is not None:
            found["timeout"] = self.template.timeout
        if self.template.retries is not None:
            found["retries"] = self.template.retries
        if self.rounds:
            found["rounds"] = [round_.document for round_ in self.rounds]
        return found


@dataclass(frozen=True, slots=True)
class PlannedWorkflow:
    id: str
    template: WorkflowTemplate
    steps: tuple[PlannedStep, ...]

    @property
    def requests(self) -> list[JobRequest]:
        return [request for step in self.steps for request in _requests_of(step)]

    def rename(self, path: str) -> str:
        """Return the path of an error of a recipe with the names of the step's input."""
        for step in (each for top in self.steps for each in (*top.rounds, top)):
            prefix = f"{step.path}.input."
            if path.startswith(f"{prefix}properties"):
                return f"{step.path}.metadata.{SIMULATE}"
            if path.startswith(prefix):
                return prefix + _input_path(path.removeprefix(prefix), step.names)
        return path


def _input_path(path: str, names: Mapping[str, str]) -> str:
    """Return the path in a step's input of a field of its recipe."""
    head = _HEAD.match(path)
    if head is None:
        return path
    return names.get(head[0], to_camel(head[0])) + path[head.end() :]


def _requests_of(step: PlannedStep) -> list[JobRequest]:
    return [*step.requests, *(request for round_ in step.rounds for request in round_.requests)]


class Planner:
    """Plans one workflow. Raises `InvalidInput` at the path of the field in the request."""

    def __init__(self, services: Services, template: WorkflowTemplate, id_: str) -> None:
        self._services = services
        template = template.model_copy(update={"steps": [_spelled(step) for step in template.steps]})
        self._template = template
        self._id = id_
        self._now = now_us()
        self._names = _step_names(template.steps)
        self._sources: dict[str, SourceStep] = {}
        self._planned = 0

    def plan(self) -> PlannedWorkflow:
        planned: dict[str, PlannedStep] = {}
        needs = [self._needs(number) for number in range(len(self._names))]
        for number in _order(self._names, needs):
            name = self._names[number]
            step = self._step(number, tuple(needs[number]))
            planned[name] = step
            jobs = tuple(request.id for request in _requests_of(step))
            self._sources[name] = SourceStep(self._template.steps[number].input, jobs)
        return PlannedWorkflow(self._id, self._template, tuple(planned[name] for name in self._names))

    def _needs(self, number: int) -> list[str]:
        """Return the steps that a step refers to."""
        step, path = self._template.steps[number], f"steps[{number}].input"
        found: dict[str, None] = {}
        variable = _variable(step)
        for source in sources_of(step.input, path):
            if source in (ARGUMENTS, variable):
                continue
            name = step_named(source, self._names)
            if name is None:
                known = ", ".join(self._names[:20])
                raise InvalidInput.at(
                    path, f"refers to {source[:60]!r}; the steps are {known}, and there is {ARGUMENTS}"
                )
            found[name] = None
        return list(found)

    def _step(self, number: int, after: tuple[str, ...]) -> PlannedStep:
        template, name = self._template.steps[number], self._names[number]
        path = f"steps[{number}]"
        if template.type == REPEAT:
            return self._repeat(template, name, path, after)
        return self._plain(template, name, path, after, {}, {})

    def _plain(
        self,
        template: StepTemplate,
        name: str,
        path: str,
        after: tuple[str, ...],
        variables: Mapping[str, Any],
        client: Mapping[str, Any],
        sent: Mapping[str, Reference] | None = None,
    ) -> PlannedStep:
        """``sent``: the references that the values of the variables were sent as."""
        kind = self._kind(template, path)
        resolver = Resolver(self._template.arguments, self._names, self._sources, variables)
        resolver.given.update(sent or {})
        given = resolver.resolve(template.input, f"{path}.input")
        parsed = kind.parse(given, f"{path}.input", self._services)
        ids = draw_ids(len(parsed.jobs), self._now + 1000 * self._planned)
        self._planned += 1
        common: dict[str, Any] = {
            "path": f"{path}.input.",
            "name": name,
            "after": after,
            "priority": NAMED_PRIORITIES[template.priority],
            "timeout_s": template.timeout,
            "max_failures": None if template.retries is None else template.retries + 1,
            "client": {"step": name, **client},
            "properties": self._properties(template),
            "references": tuple(resolver.values),
        }
        return PlannedStep(
            template,
            name,
            path,
            resolver.shown(parsed.input),
            tuple(_request(job, id_, common) for job, id_ in zip(parsed.jobs, ids, strict=True)),
            {job_name: field for job in parsed.jobs[:1] for job_name, field in job.names.items()},
        )

    def _kind(self, template: StepTemplate, path: str) -> StepType:
        kind = registry.find(template.type)
        if kind is None:
            raise InvalidInput.at(f"{path}.$type", registry.refusal(template.type))
        return kind

    def _properties(self, template: StepTemplate) -> dict[str, Any]:
        hint = template.metadata.get(SIMULATE, self._template.metadata.get(SIMULATE))
        return {"workflowId": self._id} | ({SIMULATE: hint} if hint is not None else {})

    # Repeat

    def _repeat(self, template: StepTemplate, name: str, path: str, after: tuple[str, ...]) -> PlannedStep:
        given = template.input
        if not isinstance(given, dict) or set(given) != _REPEAT_FIELDS:
            raise InvalidInput.at(
                f"{path}.input", 'should be {"for": {"$ref", "path", "as"}, "template": {"$type", "input"}}'
            )
        variable, reference = _loop_of(given["for"], f"{path}.input.for")
        inner = _spelled(registry.step_template(given["template"], f"{path}.input.template"))
        if inner.type == REPEAT:
            message = "is repeat; a repeat cannot hold another one"
            raise InvalidInput.at(f"{path}.input.template.$type", message)
        resolver = Resolver(self._template.arguments, self._names, self._sources)
        items = resolver.resolve(reference.document, f"{path}.input.for")
        if not isinstance(items, list) or not 1 <= len(items) <= _MOST_ROUNDS:
            raise InvalidInput.at(
                f"{path}.input.for",
                f"should refer to a list of 1 to {_MOST_ROUNDS} items: output.images of a step that makes "
                "pictures, or a list in $arguments",
            )
        inside = f"{path}.input.template"
        rounds = tuple(
            self._plain(inner, name, inside, after, {variable: item}, {"round": number}, resolver.given)
            for number, item in enumerate(items)
        )
        return PlannedStep(template, name, path, template.input, (), rounds=rounds)


def _loop_of(loop: Any, path: str) -> tuple[str, Reference]:
    """Return the name of a loop's items, and the reference to their list. Raises `InvalidInput`."""
    variable = loop.get(LOOP_NAME) if isinstance(loop, dict) else None
    reference = reference_of(loop)
    if not isinstance(variable, str) or reference is None:
        message = 'should be {"$ref": "STEP", "path": "output.images", "as": "item"}'
        raise InvalidInput.at(path, message)
    return variable, reference


def _request(job: RecipeInput, id_: str, common: Mapping[str, Any]) -> JobRequest:
    return JobRequest(recipe=job.recipe, input=job.input, id=id_, **common)


def _spelled(step: StepTemplate) -> StepTemplate:
    """Return a step with our spelling of its type, which may be sent in any case."""
    kind = registry.find(step.type)
    if kind is not None:
        return step.model_copy(update={"type": kind.name})
    return step.model_copy(update={"type": REPEAT}) if step.type.lower() == REPEAT else step


def _variable(step: StepTemplate) -> str | None:
    given = step.input
    loop = given.get("for") if step.type == REPEAT and isinstance(given, dict) else None
    name = loop.get("as") if isinstance(loop, dict) else None
    return name if isinstance(name, str) else None


def _step_names(steps: Sequence[StepTemplate]) -> list[str]:
    names = [step.name or f"${number}" for number, step in enumerate(steps)]
    for number, name in enumerate(names):
        if name in names[:number]:
            first = names.index(name)
            raise InvalidInput.at(f"steps[{number}].name", f"is {name!r}, the name of steps[{first}] too")
    return names


def _order(names: Sequence[str], needs: Sequence[Sequence[str]]) -> list[int]:
    """Return the numbers of the steps, each after those it needs. Raises `InvalidInput` for a circle."""
    order: list[int] = []
    placed: set[str] = set()
    left = list(range(len(names)))
    while left:
        ready = [number for number in left if placed.issuperset(needs[number])]
        if not ready:
            raise InvalidInput.at(
                f"steps[{left[0]}].input",
                f"{names[left[0]]!r} refers to its own output, perhaps through others",
            )
        order += ready
        placed.update(names[number] for number in ready)
        left = [number for number in left if number not in set(ready)]
    return order
