"""What the recipes ``textToImage`` and ``video`` take from the row of a model's family."""

from pathlib import Path
from typing import Any

import pytest

from imagemill.domain.air import Resource, parse
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import ImageSpec, VideoLength
from imagemill.graphs.families.table import Families, built_in, load_families
from imagemill.graphs.size import measure
from imagemill.recipes import text_to_image, video
from imagemill.recipes.text_to_image import TextToImage
from imagemill.recipes.video import VideoInput

LIGHTNING = "urn:air:qwen:lora:file:Qwen-Image-Lightning-4steps-V1.0.safetensors"
LTX, WAN = "ltxv/ltx-video-2b-v0.9.5.safetensors", "wanvideo22-ti2v-5b/wan2.2_ti2v_5B_fp16.safetensors"
ZIMAGE, TURBO = "zimage/z_image_bf16.safetensors", "zimageturbo/z_image_turbo_bf16.safetensors"
EDIT, FLUX = "qwen/qwen_image_edit_2511_fp8mixed.safetensors", "flux1/flux1-dev.safetensors"


class Shelf:
    """Has every model of ``ecosystem/file``, and every picture."""

    def resource(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        if air.startswith("urn:"):
            return Resource(parse(air))
        ecosystem, _, file = air.partition("/")
        kind = "lora" if "lora" in path.lower() else "checkpoint"
        return Resource(parse(f"urn:air:{ecosystem}:{kind}:file:{file}"), {"fileName": file})

    def default_checkpoint(self, path: str, family: str | None = None) -> Resource:
        return self.resource(path, "sd1/dreamshaper_8.safetensors")

    def picture(self, path: str, text: str) -> str:
        return f"inputs/{text}"


def drawn(model: str, families: Families | None = None, **input_: Any) -> ImageSpec:
    asked = TextToImage(model=model, seed=1, **input_)
    accepted = text_to_image.complete(asked, Shelf(), "input.", families)
    stored = TextToImage.model_validate(accepted.model_dump(exclude_defaults=True))
    work = text_to_image.plan(stored).work
    assert isinstance(work, ImageSpec)
    return work


def refused(model: str, **input_: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        drawn(model, **input_)
    return {each.path: each.message for each in caught.value.errors}


@pytest.mark.parametrize(
    ("model", "steps", "cfg", "sampler", "scheduler", "size"),
    [
        (TURBO, 8, 1.0, "res_multistep", "simple", (1024, 1024)),
        ("zimagebase/z_image_bf16.safetensors", 25, 4.0, "res_multistep", "simple", (1024, 1024)),
        ("flux2/flux-2-klein-4b.safetensors", 4, 1.0, "euler", "simple", (1024, 1024)),
        ("flux2/flux-2-klein-base-9b-fp8.safetensors", 20, 5.0, "euler", "simple", (1024, 1024)),
        ("flux2/flux2_dev_fp8mixed.safetensors", 20, 4.0, "euler", "simple", (1024, 1024)),
        ("qwen/qwen_image_2512_fp8_e4m3fn.safetensors", 50, 4.0, "euler", "simple", (1328, 1328)),
        ("sdxl/sdxl_lightning_4step.safetensors", 6, 1.0, "euler", "sgm_uniform", (1024, 1024)),
        ("sdxl/sd_xl_turbo_1.0_fp16.safetensors", 1, 1.0, "euler_ancestral", "simple", (512, 512)),
        ("sdxl/juggernautXL_v9.safetensors", 25, 7.0, "dpmpp_2m", "karras", (1024, 1024)),
        ("sd1/dreamshaper_8.safetensors", 30, 7.5, "dpmpp_2m", "karras", (512, 512)),
        ("flux1/flux1-schnell.safetensors", 4, 1.0, "euler", "simple", (1024, 1024)),
        (FLUX, 20, 3.5, "euler", "simple", (1024, 1024)),
        ("hidream/hidream_i1_dev_fp8.safetensors", 28, 1.0, "lcm", "normal", (1024, 1024)),
        ("lens/lens_turbo_bf16.safetensors", 4, 1.0, "euler", "simple", (1440, 1440)),
    ],
)
def test_a_request_gets_the_defaults_of_the_model_s_variant(
    model: str, steps: int, cfg: float, sampler: str, scheduler: str, size: tuple[int, int]
) -> None:
    spec = drawn(model)
    assert (spec.steps, spec.cfg_scale, spec.sampler, spec.scheduler) == (steps, cfg, sampler, scheduler)
    assert (spec.width, spec.height) == size


def test_every_distilled_variant_takes_few_steps_and_no_cfg() -> None:
    for family in built_in():
        for name, variant in family.variants.items():
            if family.kind == "image" and any(
                word in name for word in ("turbo", "distilled", "rapid", "schnell")
            ):
                assert 1 <= variant.steps <= 16, f"{family.name}.{name}"
                assert variant.cfg == 1, f"{family.name}.{name}"


def test_what_a_request_states_comes_first() -> None:
    spec = drawn(TURBO, steps=12, cfg_scale=2.0, width=640)
    assert (spec.steps, spec.cfg_scale, spec.width, spec.height) == (12, 2.0, 640, 1024)


@pytest.mark.parametrize(
    ("model", "given", "sampler", "scheduler"),
    [
        (ZIMAGE, {"sampler": "EulerA"}, "euler_ancestral", "simple"),
        (ZIMAGE, {"sampler": "DPM2MKarras"}, "dpmpp_2m", "karras"),
        (ZIMAGE, {"sampler": "er_sde"}, "er_sde", "simple"),
        (ZIMAGE, {"sampler": "Euler", "scheduler": "normal"}, "euler", "normal"),
        ("sd1/dreamshaper_8.safetensors", {"sampler": "EulerA"}, "euler_ancestral", "normal"),
        ("sd1/dreamshaper_8.safetensors", {"sampler": "Undefined"}, "dpmpp_2m", "karras"),
    ],
)
def test_a_sampler_without_a_scheduler_gets_the_one_that_the_model_is_made_for(
    model: str, given: dict[str, Any], sampler: str, scheduler: str
) -> None:
    spec = drawn(model, **given)
    assert (spec.sampler, spec.scheduler) == (sampler, scheduler)


def test_a_lora_for_fewer_steps_changes_the_defaults() -> None:
    spec = drawn("qwen/qwen_image_2512_fp8_e4m3fn.safetensors", networks=[{"air": LIGHTNING}])
    assert (spec.steps, spec.cfg_scale) == (4, 1.0)
    stated = drawn("qwen/qwen_image_2512_fp8_e4m3fn.safetensors", networks=[{"air": LIGHTNING}], steps=6)
    assert (stated.steps, stated.cfg_scale) == (6, 1.0)


def test_reference_pictures_reach_the_render_and_give_their_size() -> None:
    spec = drawn("flux2/flux-2-klein-4b.safetensors", references=["fox", "hat"])
    assert spec.references == ("reference-0", "reference-1")
    assert spec.size_of_reference
    sized = drawn("flux2/flux-2-klein-4b.safetensors", references=["fox"], width=768, height=512)
    assert (sized.size_of_reference, sized.width, sized.height) == (False, 768, 512)


@pytest.mark.parametrize(
    ("model", "given", "field", "message"),
    [
        (
            FLUX,
            {"negative_prompt": "fog"},
            "negative_prompt",
            "is sampled without one",
        ),
        (
            TURBO,
            {"negative_prompt": "fog"},
            "negative_prompt",
            "raise cfg",
        ),
        (ZIMAGE, {"clip_skip": 2}, "clip_skip", "has no effect on Z-Image"),
        ("sdxl/x.safetensors", {"guidance": 3}, "guidance", "has no distilled guidance"),
        (ZIMAGE, {"references": ["fox"]}, "references", "cannot guide Z-Image"),
        (
            EDIT,
            {},
            "references",
            "is required: Qwen-Image-Edit 2511",
        ),
        (
            EDIT,
            {"references": list("abcd")},
            "references",
            "takes at most 3 pictures",
        ),
        ("chroma/Chroma1-HD.safetensors", {"controls": [{"image": "m"}]}, "controls", "no core node"),
        ("flux1/flux1-fill-dev.safetensors", {"image": "fox"}, "mask", "only fills masks"),
        ("ltxv/ltx-video-2b-v0.9.5.safetensors", {}, "model", "makes videos; use the recipe video"),
        (
            ZIMAGE,
            {"size_of_reference": True},
            "size_of_reference",
            "needs `references`",
        ),
        (ZIMAGE, {"family": "lizard"}, "family", "the families are"),
        (
            ZIMAGE,
            {"family": "zimage", "variant": "slow"},
            "variant",
            "turbo, base",
        ),
    ],
)
def test_what_a_family_cannot_do_is_refused_by_its_field(
    model: str, given: dict[str, Any], field: str, message: str
) -> None:
    assert message in refused(model, **given)[f"input.{field}"]


def test_a_negative_prompt_counts_again_with_a_higher_cfg_scale() -> None:
    spec = drawn(TURBO, negative_prompt="fog", cfg_scale=2.5)
    assert spec.negative_prompt == "fog"


def test_a_stated_family_helps_where_nothing_tells_it() -> None:
    spec = drawn("other/mystery.safetensors", family="zimage", variant="turbo")
    assert (spec.family, spec.variant, spec.steps) == ("zimage", "turbo", 8)


def test_a_row_of_the_data_folder_counts(tmp_path: Path) -> None:
    row = '[rabbit]\ntitle = "Rabbit"\necosystems = ["rabbit"]\nextends = "zimage.turbo"\nsteps = 6\n'
    (tmp_path / "families.toml").write_text(row, encoding="utf-8")
    spec = drawn("rabbit/rabbit_v1.safetensors", load_families(tmp_path))
    assert (spec.family, spec.steps, spec.cfg_scale, spec.sampler) == ("rabbit", 6, 1.0, "res_multistep")


# Videos.


def filmed(model: str, **input_: Any) -> ImageSpec:
    accepted = video.complete(VideoInput(model=model, seed=1, **input_), Shelf(), "input.")
    stored = VideoInput.model_validate(accepted.model_dump(exclude_defaults=True))
    plan = video.plan(stored)
    assert plan.outputs == 2
    assert isinstance(plan.work, ImageSpec)
    return plan.work


@pytest.mark.parametrize(
    ("model", "size", "length", "fps", "steps", "cfg", "sampler"),
    [
        (LTX, (768, 512), 97, 25.0, 30, 3.0, "euler"),
        (WAN, (1280, 704), 121, 24.0, 20, 5.0, "uni_pc"),
    ],
)
def test_a_video_gets_the_defaults_of_its_family(
    model: str, size: tuple[int, int], length: int, fps: float, steps: int, cfg: float, sampler: str
) -> None:
    spec = filmed(model, prompt="a fox runs", image="fox")
    assert (spec.width, spec.height) == size
    assert spec.video == VideoLength(length, fps)
    assert (spec.steps, spec.cfg_scale, spec.sampler) == (steps, cfg, sampler)
    assert spec.image == "image"


def test_a_video_costs_as_much_as_its_latent_frames() -> None:
    assert measure(filmed(LTX, length=97)).quantity == 25
    assert measure(drawn("sd1/dreamshaper_8.safetensors", count=3)).quantity == 3


@pytest.mark.parametrize(
    ("model", "given", "field", "message"),
    [
        (LTX, {"length": 100}, "length", "should be a multiple of 8, plus 1, such as 97"),
        (WAN, {"length": 401}, "length", "makes at most 241 frames"),
        ("sd1/dreamshaper_8.safetensors", {}, "model", "the families of videos are ltxv, wan21, wan22-5b"),
        ("wanvideo/wan2.1_t2v_1.3B_fp16.safetensors", {"image": "fox"}, "image", "cannot be the start"),
        (LTX, {"image": ""}, "image", "is empty"),
    ],
)
def test_a_video_that_the_model_cannot_make_is_refused(
    model: str, given: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        filmed(model, **given)
    assert message in {each.path: each.message for each in caught.value.errors}[f"input.{field}"]
