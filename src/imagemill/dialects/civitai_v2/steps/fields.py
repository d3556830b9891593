"""Fields that the inputs of several step types share, and how an input is read."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from imagemill.api.base import Services
from imagemill.dialects.civitai_v1.requests import effect_bounds
from imagemill.dialects.civitai_v2.schemas import TemplateModel
from imagemill.dialects.civitai_v2.steps.base import JobResult
from imagemill.domain import images
from imagemill.domain.clock import random_below
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import MAX_SEED
from imagemill.graphs.families.table import FamilyMatch
from imagemill.recipes.family_defaults import row_of
from imagemill.web.body_fields import Real, Whole, field_errors, one_of, suggestion

PREPROCESSORS = (
    "canny", "mlsd", "depthZoe", "depthAnything", "depthAnythingV2", "zoeDepthAnything", "zoeDepth",
    "midasDepth", "leresDepth", "metric3dDepth", "softedgePidinet", "hed", "teed", "midasNormal", "baeNormal",
    "dsineNormal", "metric3dNormal", "lineartRealistic", "lineartStandard", "lineartAnime", "lineartManga",
    "anyline", "scribble", "scribbleXdog", "scribblePidinet", "fakeScribble", "openpose", "dwpose",
    "oneformerCoco", "oneformerAde20k", "uniformer", "shuffle", "tile", "gray", "rembg", "inpaint",
)  # fmt: skip
FORMATS = {"png": "png", "jpeg": "jpeg", "webP": "webp"}
"""The API's name of a format -> the recipe's."""
MAX_PROMPT = 10_000
_LEAST_INT64, _LARGEST_INT64 = -(2**63), 2**63 - 1


class StepFields(TemplateModel):
    """A part of a step's input."""

    def shown(self) -> dict[str, Any]:
        """Return the input as responses show it: with its defaults, without absent fields."""
        return self.model_dump(by_alias=True, exclude_none=True)


Fields = TypeVar("Fields", bound=StepFields)


def read_fields(model: type[Fields], raw: Any, path: str) -> Fields:
    """Return the input of a step. Raises `InvalidInput` at the fields below ``path``."""
    if not isinstance(raw, dict):
        raise InvalidInput.at(path, "must be an object")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, model, path)) from error


def _scheduler(value: Any) -> Any:
    row = images.find(images.repaired_sampler(value)) if isinstance(value, str) else None
    if row is None:
        names = [sampler.v2 for sampler in images.SAMPLERS if sampler.v2]
        raise ValueError(f"is {str(value)[:40]!r}, which is not a scheduler{suggestion(str(value), names)}")
    return row.v2 or row.v1


SchedulerName = Annotated[str, BeforeValidator(_scheduler)]
OutputFormat = Annotated[str, one_of(tuple(FORMATS))]
Seed = Annotated[Whole, Field(ge=_LEAST_INT64, le=_LARGEST_INT64)]
"""A seed of the API; see `drawn_seed`."""
LoraStrengths = Annotated[
    dict[str, Annotated[Real, Field(ge=-10, le=10, allow_inf_nan=False)]], Field(max_length=64)
]
"""AIR -> strength."""


class StepControlNet(StepFields):
    preprocessor: Annotated[str, one_of(PREPROCESSORS)]
    weight: Real = Field(ge=0, le=10, allow_inf_nan=False)
    start_step: Real = Field(ge=0, allow_inf_nan=False)
    end_step: Real = Field(ge=0, allow_inf_nan=False)
    image: str | None = Field(None, description="AIR, URL or data URL of the control picture.")
    mask: str | None = None


def control_inputs(path: str, controls: Sequence[StepControlNet] | None, steps: int) -> list[dict[str, Any]]:
    """Return the recipe's ControlNets. Raises `InvalidInput` at ``path``, that of their list."""
    found: list[dict[str, Any]] = []
    for index, control in enumerate(controls or ()):
        where = f"{path}[{index}]."
        start, end = effect_bounds(where, control.start_step, control.end_step, steps)
        if control.mask is not None:
            raise InvalidInput.at(f"{where}mask", "is not supported: a ControlNet guides the whole picture")
        found.append(
            {
                "preprocessor": control.preprocessor,
                "weight": control.weight,
                "start": start,
                "end": end,
                "image": control.image,
            }
        )
    return found


def drawn_seed(seed: int | None) -> int:
    """Return the seed to draw with: -1 or none means a random one.

    The API allows 64 bits with a sign; the recipe has 32 bits, of which the others are multiples.
    """
    return random_below(MAX_SEED + 1) if seed is None or seed == -1 else seed % (MAX_SEED + 1)


def check_prompts(path: str, texts: Mapping[str, str | None], services: Services) -> None:
    """Raise `InvalidInput` for a text that is longer than this server accepts. ``texts``: by field."""
    for name, text in texts.items():
        if text is not None and len(text) > services.prompt_chars:
            raise InvalidInput.at(
                f"{path}.{name}",
                f"has {len(text)} characters, at most {services.prompt_chars} are accepted",
            )


def find_model_family(services: Services, path: str, model: str) -> FamilyMatch | None:
    """Return the family and variant of a checkpoint; None for one that is not known, which the recipe
    refuses."""
    resource = services.registry.find(path, model, "checkpoint")
    return row_of(services.registry.installed.families, resource) if resource is not None else None


def pictures_output(results: Sequence[JobResult]) -> dict[str, Any]:
    """Return the output of a step that makes pictures."""
    return {"images": [dict(blob) for result in results for blob in result.blobs]}
