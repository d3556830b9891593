"""The ``textToImage`` recipe: input pictures, ControlNets, upscaling."""

from typing import Any

import pytest

from imagemill.domain.air import Resource, parse
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import ImageSpec
from imagemill.recipes import text_to_image
from imagemill.recipes.base import Plan
from imagemill.recipes.text_to_image import TextToImage

SD1 = "urn:air:sd1:checkpoint:civitai:4384@128713"
FLUX = "urn:air:flux1:checkpoint:civitai:618692@691639"
CANNY = "urn:air:sd1:controlnet:civitai:38784@44716"
UPSCALER = "urn:air:other:upscaler:civitai:147759@164821"


class Shelf:
    """Has every model, and takes every picture but ``bad``."""

    def resource(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        return Resource(parse(air))

    def picture(self, path: str, text: str) -> str:
        if text == "bad":
            raise InvalidInput.at(path, "is no picture")
        return f"inputs/{text}"


def planned(**input_: Any) -> Plan:
    accepted = text_to_image.complete(TextToImage(model=SD1, seed=1, **input_), Shelf(), "input.")
    return text_to_image.plan(accepted)


def spec(plan: Plan) -> ImageSpec:
    assert isinstance(plan.work, ImageSpec)
    return plan.work


def test_without_a_source_everything_is_drawn():
    plan = planned()
    assert (spec(plan).image, spec(plan).denoise, plan.inputs) == (None, 1.0, {})


def test_a_source_is_drawn_anew_as_far_as_asked():
    plan = planned(image="fox", denoise=0.4)
    assert (spec(plan).image, spec(plan).mask, spec(plan).denoise) == ("image", None, 0.4)
    assert plan.inputs == {"image": "inputs/fox"}


def test_a_mask_says_where():
    plan = planned(image="fox", mask="tail")
    assert spec(plan).mask == "mask"
    assert plan.inputs == {"image": "inputs/fox", "mask": "inputs/tail"}


def test_a_mask_without_a_source_is_refused():
    with pytest.raises(InvalidInput, match=r"input\.mask: needs `image`"):
        planned(mask="tail")


def test_a_controlnet_has_its_model_and_its_stretch_of_the_steps():
    plan = planned(controls=[{"image": "edges", "model": CANNY, "weight": 0.5, "start": 0.1, "end": 0.6}])
    (control,) = spec(plan).controls
    assert plan.inputs == {control.image: "inputs/edges"}
    assert (control.model, control.model_path) == (CANNY, parse(CANNY).path)
    assert (control.weight, control.start, control.end, control.preprocessor) == (0.5, 0.1, 0.6, "")


def test_a_controlnet_without_a_picture_has_no_effect():
    plan = planned(controls=[{"preprocessor": "Canny"}, {"image": "edges", "preprocessor": "Canny"}])
    (control,) = spec(plan).controls
    assert plan.inputs == {control.image: "inputs/edges"}


def test_a_bad_picture_is_named_by_its_field():
    with pytest.raises(InvalidInput, match=r"input\.controls\[1\]\.image: is no picture"):
        planned(controls=[{"image": "edges"}, {"image": "bad"}])


def test_an_upscaler_decides_about_the_size():
    assert planned(width=64, height=96).size == (64, 96)
    plan = planned(width=64, height=96, upscaler=UPSCALER)
    assert plan.size is None
    assert spec(plan).upscale is not None
    assert spec(plan).upscale.model_path == parse(UPSCALER).path  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        (SD1, {}, (7.5, "dpmpp_2m")),
        (FLUX, {}, (3.5, "euler")),
        (FLUX, {"cfg_scale": 7.5, "sampler": "Heun"}, (7.5, "heun")),
    ],
)
def test_flux_has_defaults_of_its_own(model: str, given: dict[str, Any], expected: tuple[float, str]):
    accepted = text_to_image.complete(TextToImage(model=model, seed=1, **given), Shelf(), "input.")
    stored = TextToImage.model_validate(accepted.model_dump(exclude_defaults=True))
    planned_ = spec(text_to_image.plan(stored))
    assert (planned_.cfg_scale, planned_.sampler) == expected


@pytest.mark.parametrize("count", [1, 4])
def test_a_batch_delivers_all_its_pictures(count: int):
    plan = planned(count=count)
    assert (plan.outputs, spec(plan).count, spec(plan).seed) == (count, count, 1)
