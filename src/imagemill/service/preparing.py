"""Prepare: what is done to an input in the worker, before it is planned and rendered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagemill.domain.jobs import Job
from imagemill.recipes.base import Prepared, Recipe, Tools
from imagemill.service.attempting import Attempt
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


def prepared(preparation: Preparation | None, attempt: Attempt, recipe: Recipe) -> Any:
    """The input of the attempt's job as it is planned; what is told of it is noted. Raises `BackendError`."""
    input_ = recipe.input.model_validate(attempt.claim.job.input)
    if preparation is None or recipe.prepare is None:
        return input_
    ready = preparation.of(attempt.claim.job, recipe, input_)
    attempt.prepared.update(ready.told)
    return ready.input
