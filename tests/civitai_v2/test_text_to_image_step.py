"""The step ``textToImage``: defaults, ranges, names and the jobs of its pictures."""

from typing import Any

import pytest

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.steps.base import JobResult
from imagemill.dialects.civitai_v2.steps.fields import PREPROCESSORS
from imagemill.dialects.civitai_v2.steps.text_to_image_step import STEPS
from imagemill.domain import images
from imagemill.domain.air import Resource, parse
from tests.civitai_v2.support import FLUX, LORA, PIXEL, SD1, SDXL, parsed, picture, prepared, refused

(STEP,) = STEPS


def test_a_prompt_alone_gets_the_defaults_of_the_api(services: Services):
    step = parsed(STEP, services, prompt="a fox")
    seed = step.input["seed"]
    assert 0 <= seed < 2**32
    assert step.input == {
        "prompt": "a fox",
        "model": SD1,
        "steps": 30,
        "cfgScale": 7.5,
        "width": 512,
        "height": 512,
        "clipSkip": 2,
        "seed": seed,
        "quantity": 1,
        "batchSize": 1,
    }
    (draft,) = prepared(STEP, services, prompt="a fox", seed=seed)
    spec = picture(services, draft)
    assert (spec.model, spec.steps, spec.cfg_scale, spec.clip_skip, spec.seed) == (SD1, 30, 7.5, 2, seed)


def test_one_job_a_picture_with_seeds_in_a_row(services: Services):
    drafts = prepared(STEP, services, prompt="a fox", quantity=2, batchSize=3, seed=2**32 - 2)
    assert [picture(services, draft).seed for draft in drafts] == [2**32 - 2, 2**32 - 1, 0, 1, 2, 3]


@pytest.mark.parametrize("row", images.SAMPLERS, ids=lambda row: row.v1)
def test_a_scheduler_is_read_in_either_spelling_and_any_case(services: Services, row: images.Sampler):
    for name in filter(None, (row.v1, row.v2, row.v1.upper())):
        (draft,) = prepared(STEP, services, prompt="a fox", scheduler=name)
        spec = picture(services, draft)
        assert (spec.sampler, spec.scheduler) == (row.sampler, row.scheduler)


def test_a_scheduler_that_does_not_exist_is_refused(services: Services):
    assert refused(STEP, services, prompt="a fox", scheduler="HeunC") == {
        "scheduler": "is 'HeunC', which is not a scheduler; did you mean 'heun'?"
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", 101),
        ("batchSize", 0),
        ("steps", 151),
        ("cfgScale", 0.5),
        ("cfgScale", 31),
        ("width", 63),
        ("height", 4085),
        ("seed", "many"),
        ("outputFormat", "gif"),
        ("promt", "a typo"),
        ("model", "urn:air:nothing"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(services: Services, field: str, value: Any):
    assert list(refused(STEP, services, prompt="a fox", **{field: value})) == [field]


def test_a_prompt_is_required(services: Services):
    assert list(refused(STEP, services, width=512)) == ["prompt"]


def test_a_null_counts_as_absent(services: Services):
    step = parsed(STEP, services, prompt="a fox", seed=None, cfgScale=None, scheduler=None)
    assert step.input["cfgScale"] == 7.5
    assert "scheduler" not in step.input


@pytest.mark.parametrize("named", ["Lora", "lora", "LORA", "LoCon", "locon", None])
def test_a_network_is_accepted_in_all_spellings(services: Services, named: str | None):
    network = {"strength": 0.6, "triggerWord": "detailed", **({"type": named} if named else {})}
    (draft,) = prepared(STEP, services, prompt="a fox", additionalNetworks={LORA: network})
    (found,) = picture(services, draft).networks
    assert (found.air, found.strength, found.trigger_word) == (LORA, 0.6, "detailed")


def test_a_checkpoint_is_no_network(services: Services):
    errors = refused(STEP, services, prompt="a fox", additionalNetworks={SD1: {}})
    assert list(errors) == [f"additionalNetworks['{SD1}']"]
    assert "write it as `model`" in next(iter(errors.values()))


def test_a_source_picture_has_the_default_strength_of_the_api(services: Services):
    step = parsed(STEP, services, prompt="a fox", sourceImage=PIXEL)
    assert step.input["sourceImageDenoiseStrenght"] == 0.8
    (draft,) = prepared(STEP, services, prompt="a fox", sourceImage=PIXEL, sourceImageDenoiseStrenght=0.3)
    spec = picture(services, draft)
    assert (spec.image, spec.denoise) == ("image", 0.3)


def test_a_strength_without_a_source_picture_is_refused(services: Services):
    errors = refused(STEP, services, prompt="a fox", sourceImageDenoiseStrenght=0.3)
    assert list(errors) == ["sourceImageDenoiseStrenght"]


@pytest.mark.parametrize("preprocessor", PREPROCESSORS)
def test_each_preprocessor_is_known(services: Services, preprocessor: str):
    control = {
        "preprocessor": preprocessor.upper(),
        "weight": 0.7,
        "startStep": 0,
        "endStep": 15,
        "image": PIXEL,
    }
    (draft,) = prepared(STEP, services, prompt="a fox", controlNets=[control])
    (found,) = picture(services, draft).controls
    assert (found.preprocessor, found.weight, found.start, found.end) == (preprocessor, 0.7, 0.0, 0.5)


def test_there_are_36_preprocessors():
    assert len(set(PREPROCESSORS)) == 36


def test_a_controlnet_with_a_mask_is_refused(services: Services):
    control = {
        "preprocessor": "canny", "weight": 1, "startStep": 0, "endStep": 1, "image": PIXEL, "mask": PIXEL,
    }  # fmt: skip
    assert list(refused(STEP, services, prompt="a fox", controlNets=[control])) == ["controlNets[0].mask"]


@pytest.mark.parametrize(("given", "kept"), [("webP", "webp"), ("webp", "webp"), ("JPEG", "jpeg")])
def test_the_format_is_read_in_any_case(services: Services, given: str, kept: str):
    (draft,) = prepared(STEP, services, prompt="a fox", outputFormat=given)
    assert picture(services, draft).format == kept


def test_metadata_and_engine_are_shown_back(services: Services):
    step = parsed(STEP, services, prompt="a fox", imageMetadata='{"a": 1}', engine="comfy")
    assert (step.input["imageMetadata"], step.input["engine"]) == ('{"a": 1}', "comfy")


def test_a_larger_family_gets_its_own_size(services: Services):
    step = parsed(STEP, services, prompt="a fox", model=SDXL)
    assert (step.input["width"], step.input["height"]) == (1024, 1024)


@pytest.mark.parametrize(
    ("air", "file", "steps", "cfg_scale", "side"),
    [
        ("urn:air:sdxl:checkpoint:civitai:9@101", "anime_lightning_4step.safetensors", 6, 1.0, 1024),
        ("urn:air:zimageturbo:checkpoint:civitai:9@102", "z_image_turbo_bf16.safetensors", 8, 1.0, 1024),
        ("urn:air:flux1:checkpoint:civitai:9@103", "flux1-dev-fp8.safetensors", 20, 3.5, 1024),
        ("urn:air:sdxl:checkpoint:civitai:9@104", "anime.safetensors", 30, 7.5, 1024),
    ],
)
def test_the_defaults_are_those_of_the_models_family_and_variant(
    services: Services, air: str, file: str, steps: int, cfg_scale: float, side: int
):
    services.registry.register(Resource(parse(air), {"fileName": file}))
    shown = parsed(STEP, services, prompt="a fox", model=air).input
    assert (shown["steps"], shown["cfgScale"], shown["width"]) == (steps, cfg_scale, side)


def test_a_lora_that_makes_fewer_steps_do_has_its_own_defaults(services: Services):
    air = "urn:air:sdxl:lora:civitai:9@105"
    services.registry.register(Resource(parse(air), {"fileName": "sdxl_lightning_8step_lora.safetensors"}))
    shown = parsed(STEP, services, prompt="a fox", model=SDXL, additionalNetworks={air: {}}).input
    assert (shown["steps"], shown["cfgScale"]) == (8, 1.0)
    given = parsed(STEP, services, prompt="a fox", model=SDXL, additionalNetworks={air: {}}, steps=12).input
    assert (given["steps"], given["cfgScale"]) == (12, 1.0)


def test_a_checkpoint_is_found_by_every_word_for_its_type(services: Services):
    for word in ("checkpoint", "diffusionmodel", "unet", "diffuser"):
        air = f"urn:air:flux1:{word}:civitai:618692@691639"
        (draft,) = prepared(STEP, services, prompt="a fox", model=air)
        assert draft.lane.model == FLUX


def test_clip_skip_of_a_family_without_one_is_left_out(services: Services):
    (draft,) = prepared(STEP, services, prompt="a fox", model=FLUX, clipSkip=2, cfgScale=3.5)
    assert picture(services, draft).clip_skip == 0


def test_the_output_has_all_pictures():
    done = JobResult(({"id": "A.png", "available": True, "url": "https://x/A.png"},), {})
    lost = JobResult(({"id": "B.png", "available": False},), {}, "the node has too little memory")
    assert STEP.output([done, lost]) == {"images": [done.blobs[0], lost.blobs[0]]}
