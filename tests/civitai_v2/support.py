"""What the tests of step types share: reading an input, and its jobs as the server would store them."""

import base64
from typing import Any

import pytest

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.steps.base import ParsedStep, StepType
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import GraphSpec, ImageSpec
from imagemill.domain.jobs import Draft
from imagemill.jobs.submit import JobRequest
from tests.service.build import png

PATH = "steps[0].input"
SD1 = "urn:air:sd1:checkpoint:civitai:4384@128713"
SDXL = "urn:air:sdxl:checkpoint:civitai:101055@128078"
FLUX = "urn:air:flux1:checkpoint:civitai:618692@691639"
KONTEXT = "urn:air:flux1kontext:checkpoint:civitai:1672021@1892509"
LORA = "urn:air:sd1:lora:civitai:82098@87153"
PIXEL = f"data:image/png;base64,{base64.b64encode(png(64, 64)).decode()}"


def parsed(kind: StepType, services: Services, /, **input_: Any) -> ParsedStep:
    return kind.parse(input_, PATH, services)


def refused(kind: StepType, services: Services, /, **input_: Any) -> dict[str, str]:
    """Field -> message of a step that is refused when it is read, or when its jobs are prepared."""
    with pytest.raises(InvalidInput) as caught:
        prepared(kind, services, **input_)
    return {error.path.removeprefix(f"{PATH}."): error.message for error in caught.value.errors}


def prepared(kind: StepType, services: Services, /, **input_: Any) -> tuple[Draft, ...]:
    """Return the jobs of a step as they would be stored."""
    jobs = parsed(kind, services, **input_).jobs
    requests = [JobRequest(recipe=job.recipe, input=job.input, path=f"{PATH}.") for job in jobs]
    return services.submitter.prepare("somebody", requests, dialect="civitai-v2")


def work_of(services: Services, draft: Draft) -> ImageSpec | GraphSpec:
    """Return the render of a stored job."""
    recipe = services.recipes[draft.recipe]
    return recipe.plan(recipe.input.model_validate(draft.input)).work


def picture(services: Services, draft: Draft) -> ImageSpec:
    work = work_of(services, draft)
    assert isinstance(work, ImageSpec)
    return work
