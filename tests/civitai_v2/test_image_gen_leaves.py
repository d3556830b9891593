"""The step ``imageGen`` on engines that nodes run: each kind of body, its defaults and its ranges."""

from typing import Any

import pytest

from imagemill.api.base import Services
from imagemill.dialects.civitai_v2.steps.image_gen import STEPS
from imagemill.dialects.civitai_v2.steps.leaves import AIR, EDIT, LEAVES, VARIANT, Leaf
from imagemill.graphs.families.table import built_in
from tests.civitai_v2.support import FLUX, KONTEXT, PIXEL, SD1, SDXL, parsed, picture, prepared, refused

(STEP,) = STEPS
MODELS = {"sd1": SD1, "sdxl": SDXL, "flux1": FLUX}
NO_GRAPH = {"comfy krea2 edit"}
"""Bodies of models that no graph of core nodes is known for."""


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def body(leaf: Leaf, operation: str) -> dict[str, Any]:
    """The smallest valid body."""
    found: dict[str, Any] = {"engine": leaf.engine, leaf.group_field: leaf.group, "prompt": "a fox"}
    if operation:
        found["operation"] = operation
    if leaf.model:
        found[camel(leaf.model_field)] = MODELS[leaf.family] if leaf.model == AIR else leaf.model
    if operation == VARIANT:
        found["image"] = PIXEL
    if operation in (EDIT, ""):
        found["images"] = [PIXEL]
    if "diffuser_model" in leaf.own:
        found["diffuserModel"] = KONTEXT if operation == EDIT else FLUX
    return found


ALL = [
    pytest.param(leaf, operation, id=f"{leaf.title} {operation}".replace(" ", "-"))
    for leaf in LEAVES
    for operation in (leaf.operations or ("",))
]
KNOWN = [each for each in ALL if each.values[0].title not in NO_GRAPH]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("leaf", "operation"), KNOWN)
def test_the_smallest_body_is_accepted_and_shown_with_its_defaults(
    services: Services, leaf: Leaf, operation: str
):
    given = body(leaf, operation)
    step = parsed(STEP, services, **given)
    (job,) = step.jobs
    assert {**step.input, **given} == step.input
    assert step.input["quantity"] == 1
    assert job.input["seed"] == step.input["seed"]
    if leaf.steps_field:
        assert step.input[camel(leaf.steps_field)] == job.input["steps"] == leaf.steps[2]
    assert step.input[camel(leaf.cfg_field)] == job.input["cfg_scale"] == leaf.cfg[2]
    if leaf.sides is not None:
        assert (step.input["width"], step.input["height"]) == (leaf.sides[2],) * 2
        assert job.input.get("width", 0) == leaf.sides[2]
    if operation == VARIANT:
        assert job.input["image"] == PIXEL
        assert job.input["denoise"] == (0.75 if leaf.engine == "comfy" else 0.7)
    if operation in (EDIT, ""):
        assert job.input["references"] == [PIXEL]


@pytest.mark.parametrize(("leaf", "operation"), KNOWN)
def test_its_job_is_accepted_with_the_same_values(services: Services, leaf: Leaf, operation: str):
    (draft,) = prepared(STEP, services, **body(leaf, operation), seed=7)
    spec = picture(services, draft)
    assert (spec.seed, spec.cfg_scale) == (7, leaf.cfg[2])
    if leaf.steps_field:
        assert spec.steps == leaf.steps[2]
    assert len(spec.references) == len(draft.input.get("references", ()))
    if leaf.sides is not None and leaf.sides[2]:
        assert (spec.width, spec.height) == (leaf.sides[2],) * 2


@pytest.mark.parametrize(("leaf", "operation"), ALL)
def test_values_out_of_range_are_refused_at_their_fields(services: Services, leaf: Leaf, operation: str):
    ranges: dict[str, tuple[float, float]] = {camel(leaf.cfg_field): leaf.cfg[:2], "quantity": (1, leaf.most)}
    if leaf.steps_field:
        ranges[camel(leaf.steps_field)] = leaf.steps[:2]
    if leaf.sides is not None:
        ranges |= {"width": leaf.sides[:2], "height": leaf.sides[:2]}
    for least in (True, False):
        wrong = {name: (low - 1 if least else high + 1) for name, (low, high) in ranges.items()}
        assert set(refused(STEP, services, **body(leaf, operation), **wrong)) == set(wrong)


@pytest.mark.parametrize(("leaf", "operation"), ALL)
def test_a_field_that_a_body_does_not_have_is_refused(services: Services, leaf: Leaf, operation: str):
    wrong = {"stepz": 20, "promt": "a fox", **({} if leaf.negative else {"negativePrompt": "fog"})}
    assert set(refused(STEP, services, **body(leaf, operation), **wrong)) == set(wrong)


@pytest.mark.parametrize(("leaf", "operation"), ALL)
def test_a_prompt_has_its_longest_length(services: Services, leaf: Leaf, operation: str):
    wrong = {**body(leaf, operation), "prompt": "x" * (leaf.prompt_chars + 1)}
    assert list(refused(STEP, services, **wrong)) == ["prompt"]


@pytest.mark.parametrize(("leaf", "operation"), [each for each in ALL if each.values[1] == EDIT])  # pyright: ignore[reportAttributeAccessIssue]
def test_an_edit_needs_pictures_and_takes_so_many(services: Services, leaf: Leaf, operation: str):
    given = body(leaf, operation)
    for pictures in ([], [PIXEL] * (leaf.most_images + 1)):
        assert list(refused(STEP, services, **{**given, "images": pictures})) == ["images"]
    del given["images"]
    assert list(refused(STEP, services, **given)) == ["images"]


@pytest.mark.parametrize(("leaf", "operation"), [each for each in ALL if each.values[1] == VARIANT])  # pyright: ignore[reportAttributeAccessIssue]
def test_a_variant_needs_a_picture_and_a_strength_from_0_to_1(services: Services, leaf: Leaf, operation: str):
    given = body(leaf, operation)
    strength = "denoiseStrength" if leaf.engine == "comfy" else "strength"
    assert list(refused(STEP, services, **given, **{strength: 1.1})) == [strength]
    del given["image"]
    assert list(refused(STEP, services, **given)) == ["image"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"engine": "flux1-kontext", "model": "dev"},
            "is required: FLUX.1 Kontext dev only changes pictures; name at least one",
        ),
        (
            {
                "engine": "sdcpp", "ecosystem": "flux1", "operation": EDIT, "diffuserModel": FLUX,
                "images": [PIXEL],
            },
            "cannot guide FLUX.1 dev; leave it out",
        ),
    ],
)  # fmt: skip
def test_a_model_that_cannot_do_it_is_refused_in_words(
    services: Services, given: dict[str, Any], message: str
):
    assert list(refused(STEP, services, **given, prompt="x").values()) == [message]


def test_a_model_without_a_graph_is_refused_in_words(services: Services):
    errors = refused(
        STEP, services, engine="comfy", ecosystem="krea2", operation=EDIT, model="edit", prompt="x",
        images=[PIXEL],
    )  # fmt: skip
    assert errors == {"model": "names comfy krea2 edit, of which no graph is known here"}


# The words that choose a body.


@pytest.mark.parametrize(
    ("wrong", "field", "listed"),
    [
        ({"engine": "midjourney"}, "engine", "comfy, sdcpp, flux2, flux1-kontext"),
        ({"engine": None}, "engine", "is required"),
        ({"ecosystem": "sd9"}, "ecosystem", "sd1, sdxl, flux1, flux2Dev, anima, ernie, krea2"),
        ({"operation": "makeImage"}, "operation", "one of createImage"),
        ({"ecosystem": "ernie", "model": "fast"}, "model", "one of ernie, turbo"),
        ({"ecosystem": "ernie"}, "model", "one of ernie, turbo"),
        ({"ecosystem": "krea2", "model": "edit"}, "model", "has no createImage; one of raw, turbo"),
        ({"ecosystem": "sdxl"}, "model", "is required"),
    ],
)
def test_an_unknown_word_is_answered_with_the_known_ones(
    services: Services, wrong: dict[str, Any], field: str, listed: str
):
    given = {"engine": "comfy", "ecosystem": "anima", "operation": "createImage", "prompt": "a fox"}
    errors = refused(STEP, services, **{**given, **wrong})
    assert list(errors) == [field]
    assert listed in errors[field]


def test_words_are_read_in_any_case(services: Services):
    step = parsed(
        STEP, services, engine="SdCpp", ecosystem="ZIMAGE", operation="CreateImage", model="Turbo", prompt="x"
    )
    assert {name: step.input[name] for name in ("engine", "ecosystem", "operation", "model")} == {
        "engine": "sdcpp", "ecosystem": "zImage", "operation": "createImage", "model": "turbo",
    }  # fmt: skip


def test_a_word_that_may_be_absent_means_the_first_of_its_operation(services: Services):
    given = {"engine": "comfy", "ecosystem": "boogu", "prompt": "x"}
    drawn = parsed(STEP, services, **given, operation="createImage")
    edited = parsed(STEP, services, **given, operation="editImage", images=[PIXEL])
    assert (drawn.input["model"], edited.input["model"]) == ("base", "edit")


# Models.


@pytest.mark.parametrize(("leaf", "operation"), [each for each in KNOWN if each.values[0].model != AIR])  # pyright: ignore[reportAttributeAccessIssue]
def test_a_word_means_a_file_of_its_family_and_variant(services: Services, leaf: Leaf, operation: str):
    (job,) = parsed(STEP, services, **body(leaf, operation)).jobs
    model = job.input["model"]
    if "diffuser_model" in leaf.own:
        assert model == (KONTEXT if operation == EDIT else FLUX)
        return
    families = built_in()
    family = families.get(leaf.family)
    assert family is not None
    file = model.rpartition(":")[2]
    found = families.find(family.name, file)
    assert found is not None
    assert found.family.name == leaf.family
    wanted = {"qwen": "2512", "qwen-edit": "2511"}.get(leaf.family, leaf.variant or family.default)
    assert found.variant_name == wanted


@pytest.mark.parametrize(
    ("operation", "version", "file"),
    [
        ("createImage", "latest", "qwen_image_2512"),
        ("createImage", "2509", "qwen_image_fp8"),
        ("editImage", "latest", "qwen_image_edit_2511"),
        ("editImage", "2509", "qwen_image_edit_2509"),
    ],
)
def test_a_version_of_qwen_chooses_the_file(services: Services, operation: str, version: str, file: str):
    pictures = {"images": [PIXEL]} if operation == EDIT else {}
    (job,) = parsed(
        STEP, services, engine="sdcpp", ecosystem="qwen", operation=operation, model="20b", prompt="x",
        version=version, **pictures,
    ).jobs  # fmt: skip
    assert file in job.input["model"]


def test_a_model_of_another_family_than_the_ecosystem_is_refused(services: Services):
    errors = refused(
        STEP, services, engine="comfy", ecosystem="sd1", operation="createImage", model=SDXL, prompt="x"
    )
    assert errors == {"model": "is of the family sdxl, and the ecosystem is sd1"}


def test_a_model_by_its_air_takes_the_place_of_the_word(services: Services):
    (job,) = parsed(
        STEP, services, engine="sdcpp", ecosystem="zImage", operation="createImage", model="turbo",
        prompt="x", diffuserModel="urn:air:zimageturbo:checkpoint:civitai:2168935@2442439",
    ).jobs  # fmt: skip
    assert job.input["model"] == "urn:air:zimageturbo:checkpoint:civitai:2168935@2442439"


def test_the_unconditional_model_of_ideogram_cannot_be_chosen(services: Services):
    errors = refused(
        STEP, services, engine="comfy", ecosystem="ideogram4", operation="createImage", prompt="x",
        unconditionalDiffusionModel="urn:air:ideogram:checkpoint:civitai:1@2",
    )  # fmt: skip
    assert list(errors) == ["unconditionalDiffusionModel"]


# Sampling, networks, sizes.


@pytest.mark.parametrize(
    ("engine", "given", "sent"),
    [
        ("comfy", {"sampler": "res_multistep", "scheduler": "simple"}, ("res_multistep", "simple")),
        ("comfy", {"sampler": "EULER", "scheduler": "Karras"}, ("euler", "karras")),
        ("comfy", {"sampler": "dpmpp_2"}, ("dpm_2", None)),
        ("comfy", {"sampler": "plms"}, ("ddim", None)),
        ("sdcpp", {"sampleMethod": "dpm++2s_a", "schedule": "discrete"}, ("dpmpp_2s_ancestral", "normal")),
        ("sdcpp", {"sampleMethod": "res_2s", "schedule": "bong_tangent"}, ("res_multistep", "beta")),
    ],
)
def test_samplers_are_translated(
    services: Services, engine: str, given: dict[str, Any], sent: tuple[str, str | None]
):
    (job,) = parsed(
        STEP,
        services,
        engine=engine,
        ecosystem="sdxl",
        operation="createImage",
        model=SDXL,
        prompt="x",
        **given,
    ).jobs
    assert (job.input["sampler"], job.input.get("scheduler")) == sent


@pytest.mark.parametrize(
    ("engine", "field"), [("comfy", "sampler"), ("comfy", "scheduler"), ("sdcpp", "sampleMethod")]
)
def test_an_unknown_sampler_is_refused(services: Services, engine: str, field: str):
    given = {"engine": engine, "ecosystem": "sdxl", "operation": "createImage", "model": SDXL, "prompt": "x"}
    assert list(refused(STEP, services, **given, **{field: "fastest"})) == [field]


def test_hidream_o1_has_no_sampler_and_ideogram_no_scheduler(services: Services):
    common = {
        "engine": "comfy",
        "operation": "createImage",
        "prompt": "x",
        "sampler": "euler",
        "scheduler": "beta",
    }
    hidream = refused(STEP, services, **common, ecosystem="hidream-o1", model="HiDream-O1-Image")
    ideogram = refused(STEP, services, **common, ecosystem="ideogram4")
    assert (set(hidream), set(ideogram)) == ({"sampler", "scheduler"}, {"scheduler"})


def test_networks_have_their_types(services: Services):
    lora, vae, word = (f"urn:air:sd1:{kind}:civitai:1@2" for kind in ("lora", "vae", "embedding"))
    (job,) = parsed(
        STEP, services, engine="sdcpp", ecosystem="sd1", operation="createImage", model=SD1, prompt="x",
        loras={lora: 0.4}, vaeModel=vae, embeddings=[word], uCache="normal",
    ).jobs  # fmt: skip
    assert job.input["networks"] == [
        {"air": lora, "strength": 0.4},
        {"air": word, "type": "embedding"},
        {"air": vae, "type": "vae"},
    ]


def test_the_parts_of_a_flux_model_have_their_types(services: Services):
    vae, clip, t5 = (f"urn:air:flux1:{kind}:civitai:1@2" for kind in ("vae", "text_encoders", "clip"))
    (job,) = parsed(
        STEP, services, engine="sdcpp", ecosystem="flux1", operation="createImage", prompt="x",
        diffuserModel=FLUX, vaeModel=vae, clipLModel=clip, t5XXLModel=t5,
    ).jobs  # fmt: skip
    assert job.input["model"] == FLUX
    assert job.input["networks"] == [
        {"air": vae, "type": "vae"},
        {"air": clip, "type": "text_encoders"},
        {"air": t5, "type": "text_encoders"},
    ]


def test_the_picture_of_a_variant_may_be_an_object_with_its_url(services: Services):
    given = {
        "engine": "comfy",
        "ecosystem": "flux1",
        "operation": "createVariant",
        "model": FLUX,
        "prompt": "x",
    }
    step = parsed(STEP, services, **given, image={"url": PIXEL})
    assert step.input["image"] == step.jobs[0].input["image"] == PIXEL


def test_loras_of_flux2_dev_are_a_list(services: Services):
    lora = "urn:air:flux2:lora:civitai:1@2"
    (job,) = parsed(
        STEP,
        services,
        engine="flux2",
        model="dev",
        operation="createImage",
        prompt="x",
        loras=[{"air": lora}],
    ).jobs
    assert job.input["networks"] == [{"air": lora, "strength": 1.0}]


def test_a_size_of_zero_is_the_size_of_the_picture(services: Services):
    (job,) = parsed(
        STEP, services, engine="sdcpp", ecosystem="qwen", operation="editImage", model="20b", prompt="x",
        images=[PIXEL], width=0, height=0,
    ).jobs  # fmt: skip
    assert not {"width", "height"} & set(job.input)


@pytest.mark.parametrize(
    ("ratio", "size"), [("1:1", (1024, 1024)), ("16:9", (1360, 768)), ("9:21", (672, 1568))]
)
def test_an_aspect_ratio_gives_a_size_of_about_a_megapixel(
    services: Services, ratio: str, size: tuple[int, int]
):
    (job,) = parsed(
        STEP, services, engine="flux1-kontext", model="dev", prompt="x", images=[PIXEL], aspectRatio=ratio
    ).jobs
    assert (job.input["width"], job.input["height"]) == size


def test_one_job_a_picture_with_seeds_in_a_row(services: Services):
    given = {"engine": "comfy", "ecosystem": "anima", "operation": "createImage", "prompt": "x"}
    step = parsed(STEP, services, **given, quantity=3, seed=2**40 + 7)
    assert step.input["seed"] == 7
    assert [job.input["seed"] for job in step.jobs] == [7, 8, 9]


def test_kinds_of_numbers_are_kept(services: Services):
    given = {"engine": "comfy", "ecosystem": "anima", "operation": "createImage", "prompt": "x"}
    assert list(refused(STEP, services, **given, steps=True)) == ["steps"]
    assert list(refused(STEP, services, **given, steps=4.5)) == ["steps"]
