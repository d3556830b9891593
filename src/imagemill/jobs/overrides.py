"""The input of a job that is submitted again with a change."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from imagemill.domain.jobs import Job
from imagemill.domain.operations import Override
from imagemill.graphs.json_access import is_object, mapping

_OF_MODEL = ("model_path", "family", "variant")
"""Fields of an input that are found by its model."""
_SIZE = frozenset({"width", "height"})
_SAMPLING = frozenset({"steps", "cfg_scale", "sampler"})


def overridden_input(model: type[BaseModel], job: Job, override: Override) -> Mapping[str, Any]:
    """Return the job's input with the changes; ``model`` is the input of its recipe.

    A job leaves values out that are the recipe's defaults. They are named where a model's family would have
    other ones, so that nothing else changes; another model gets the sampling that suits it.
    """
    merged: dict[str, Any] = dict(job.input)
    kept = _SIZE if override.model is not None else _SIZE | _SAMPLING
    for name in sorted(kept & model.model_fields.keys() - merged.keys()):
        merged[name] = model.model_fields[name].default
    if override.model is not None:
        for name in _OF_MODEL:
            merged.pop(name, None)
        merged["model"] = override.model
    for name, value in override.input.items():
        former = merged.get(name)
        if is_object(former) and is_object(value):
            merged[name] = {**mapping(former), **mapping(value)}
        else:
            merged[name] = value
    return merged
