"""All step types, by their ``$type``."""

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from imagemill.dialects.civitai_v2.schemas import StepTemplate
from imagemill.dialects.civitai_v2.steps.base import StepType
from imagemill.domain.errors import InvalidInput
from imagemill.web.body_fields import field_errors

_MODULES = ("text_to_image_step", "image_gen", "comfy_steps", "task_steps", "language_steps")
"""Each has its step types in ``STEPS``."""


@cache
def step_types() -> dict[str, StepType]:
    """Return the step types by name. They are loaded at first use."""
    modules = [import_module(f"{__package__}.{name}") for name in _MODULES]
    found: list[StepType] = [kind for module in modules for kind in module.STEPS]
    return {kind.name: kind for kind in found}


@cache
def _lowered() -> dict[str, StepType]:
    return {name.lower(): kind for name, kind in step_types().items()}


def find(type_: str) -> StepType | None:
    """Return a step type by its name in any case."""
    return _lowered().get(type_.lower())


def refusal(type_: str) -> str:
    """Return the message for a step type that there is not."""
    names = [*step_types(), "repeat"]
    near = get_close_matches(type_[:64].lower(), [name.lower() for name in names], n=1)
    meant = next((name for name in names if near and name.lower() == near[0]), "")
    hint = f"did you mean {meant}?" if meant else f"the types are {', '.join(sorted(names))}"
    return f"step type not supported: {type_[:64]!r}; {hint}"


def step_template(value: Any, path: str) -> StepTemplate:
    """Return the step in a value of the request. Raises `InvalidInput`."""
    try:
        return StepTemplate.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, StepTemplate, path)) from error
