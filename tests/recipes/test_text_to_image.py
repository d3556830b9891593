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


LORA = "urn:air:sd1:lora:civitai:1@2"
XL_LORA = "urn:air:sdxl:lora:civitai:1@2"
PONY_LORA = "urn:air:pony:lora:civitai:1@2"
SDXL = "urn:air:sdxl:checkpoint:civitai:3@4"
ANIMA = "urn:air:anima:diffusionmodel:civitai:2458426@2945208"
ENCODER = "urn:air:flux1:text_encoders:civitai:5@6"


def refused(model: str = SD1, **input_: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        text_to_image.complete(TextToImage(model=model, **input_), Shelf(), "")
    return {error.path: error.message for error in caught.value.errors}


@pytest.mark.parametrize(
    ("input_", "path"),
    [
        ({"image": ""}, "image"),
        ({"image": "fox", "mask": ""}, "mask"),
        ({"upscaler": ""}, "upscaler"),
        ({"controls": [{"preprocessor": "Canny"}]}, "controls[0].image"),
        ({"controls": [{"image": ""}]}, "controls[0].image"),
        ({"controls": [{"image": "edges"}, {"image": "edges", "model": ""}]}, "controls[1].model"),
        ({"networks": [{"air": ""}]}, "additionalNetworks['']"),
        ({"denoise": 0.5}, "denoise"),
        ({"sampler": "eulr"}, "sampler"),
        ({"guidance": 3.5}, "guidance"),
        ({"model": FLUX, "negative_prompt": "fog"}, "negative_prompt"),
        ({"model": FLUX, "clip_skip": 2}, "clip_skip"),
        ({"upscaler": LORA}, "upscaler"),
        ({"controls": [{"image": "edges", "model": LORA}]}, "controls[0].model"),
        ({"model": SDXL, "controls": [{"image": "edges", "model": CANNY}]}, "controls[0].model"),
    ],
)
def test_a_value_without_effect_is_refused_by_its_field(input_: dict[str, Any], path: str):
    assert list(refused(**input_)) == [path]


def test_values_that_mean_none_are_taken():
    plan = planned(sampler="euler", clip_skip=1, negative_prompt="fog")
    assert spec(plan).sampler == "euler"
    complete = text_to_image.complete(TextToImage(model=FLUX, guidance=2, negative_prompt=" "), Shelf(), "")
    assert complete.guidance == 2


@pytest.mark.parametrize(
    ("model", "network", "message"),
    [
        (SD1, {"air": SD1}, "is of the type checkpoint"),
        (SD1, {"air": "urn:air:sd1:unet:civitai:8@9"}, "is of the type unet"),
        (SD1, {"air": "urn:air:sd1:diffusionmodel:civitai:8@9"}, "name it as the `model`"),
        (SD1, {"air": "urn:air:sd1:unet:civitai:8@9", "type": "lora"}, "an AIR of the type unet, not lora"),
        (SD1, {"air": SD1, "type": "LoRA"}, "names an AIR of the type checkpoint, not lora"),
        (SD1, {"air": "urn:air:zimageturbo:lora:civitai:1@2"}, "of the family zimageturbo"),
        (ANIMA, {"air": PONY_LORA}, "has no effect on those of anima"),
        (ANIMA, {"air": "urn:air:sdxl:embedding:civitai:1@2"}, "is for models of the family sdxl"),
        (SD1, {"air": CANNY}, "ControlNet's `model`"),
        (SD1, {"air": UPSCALER}, "name it in `upscaler`"),
        (SD1, {"air": "urn:air:sd1:motion:civitai:1@2"}, "a network is one of lora"),
        (SD1, {"air": LORA, "type": "embedding"}, "names an AIR of the type lora, not embedding"),
        (SD1, {"air": XL_LORA}, "is for models of the family sdxl"),
        (SDXL, {"air": LORA}, "has no effect on those of sdxl"),
        (FLUX, {"air": PONY_LORA}, "is for models of the family sdxl"),
        (SDXL, {"air": ENCODER.replace("flux1", "sdxl")}, "bring theirs"),
    ],
)
def test_a_network_of_a_wrong_kind_or_family_is_refused(model: str, network: dict[str, Any], message: str):
    (told,) = refused(model, networks=[network]).values()
    assert message in told


@pytest.mark.parametrize(
    ("model", "network"),
    [
        (SDXL, {"air": PONY_LORA}),
        (SD1, {"air": LORA, "type": "lycoris"}),
        (SD1, {"air": LORA, "type": "LoCon"}),
        (SD1, {"air": "urn:air:sd1:embedding:civitai:1@2", "type": "TextualInversion"}),
        (SD1, {"air": "urn:air:sd1:hypernet:civitai:1@2", "type": "Hypernetwork"}),
        ("urn:air:zimagebase:checkpoint:civitai:3@4", {"air": "urn:air:zimageturbo:lora:civitai:1@2"}),
        (ANIMA, {"air": "urn:air:qwen:vae:civitai:1@2"}),
        (SD1, {"air": "urn:air:other:lora:civitai:1@2"}),
        (SD1, {"air": "urn:air:sd1:other:civitai:1@2", "type": "vae"}),
        (FLUX, {"air": ENCODER}),
    ],
)
def test_a_network_that_fits_is_taken(model: str, network: dict[str, Any]):
    accepted = text_to_image.complete(TextToImage(model=model, networks=[network]), Shelf(), "")
    assert [each.air for each in accepted.networks] == [network["air"]]


@pytest.mark.parametrize("second", [LORA.upper(), f"{LORA}.safetensors", f"{LORA}+77"])
def test_two_names_for_one_lora_are_refused(second: str):
    (told,) = refused(SD1, networks=[{"air": LORA}, {"air": second, "strength": 0.3}]).values()
    assert "is there twice" in told


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
