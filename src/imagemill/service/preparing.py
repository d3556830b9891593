"""Prepare: what is done to an input in the worker, before it is planned and rendered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagemill.domain.jobs import Job
from imagemill.recipes.base import Prepared, Recipe, Tools
from imagemill.service.safety import PromptGate


@dataclass(frozen=True, slots=True)
class Preparation:
    tools: Callable[[Job], Tools]
    gate: PromptGate

    def of(self, job: Job, recipe: Recipe, input_: Any) -> Prepared:
        """What the recipe makes of the input. Raises `BackendError`, of texts that are blocked, too."""
        if recipe.prepare is None:
            return Prepared(input_)
        ready = recipe.prepare(input_, self.tools(job))
        return Prepared(self.gate.admit_again(recipe, ready.input, job), ready.told)
