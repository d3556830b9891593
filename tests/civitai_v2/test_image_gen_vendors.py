"""The step ``imageGen`` for models of other vendors: bodies, fal's arguments, and what must be configured."""

from collections.abc import Iterator
from typing import Any

import pytest

from imagemill.api.base import Services
from imagemill.bootstrap.application import Application, Roles
from imagemill.config import Settings
from imagemill.dialects.civitai_v2.steps.image_gen import STEPS
from imagemill.dialects.civitai_v2.steps.leaves import CREATE
from imagemill.dialects.civitai_v2.vendors import VENDORS, Vendor, argument_names, endpoints
from imagemill.domain.images import RemoteCall
from tests.civitai_v2.support import PIXEL, parsed, picture, prepared, refused

(STEP,) = STEPS
_PRICE = 0.05


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The services of a process with fal, whose every path has a price."""
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("paid"),
        fal={"key": "id:secret", "prices": {"*": {"per_image": _PRICE}}},
    )
    app = Application(settings, Roles(scheduler=False, worker=False))
    app.start()
    yield app.services
    app.close()


def body(vendor: Vendor, operation: str) -> dict[str, Any]:
    """The smallest valid body."""
    found: dict[str, Any] = {"engine": vendor.engine, "prompt": "a fox"}
    if vendor.model:
        found[vendor.model_field] = vendor.model
    if vendor.has_operation:
        found["operation"] = operation
    if "edit" in operation.lower():
        found["images"] = [PIXEL]
    if vendor.engine == "qwen":
        found |= {"width": 1024, "height": 768}
    return found


def call(services: Services, **given: Any) -> tuple[RemoteCall, dict[str, Any]]:
    """The request of a body's only picture, and its arguments."""
    (draft,) = prepared(STEP, services, **given)
    remote = picture(services, draft).remote
    assert remote is not None
    return remote, dict(remote.arguments)


ALL = [
    pytest.param(vendor, operation, id=f"{vendor.title} {operation}".replace(" ", "-"))
    for vendor in VENDORS
    for operation in vendor.endpoints
]
GOOGLE = {"engine": "google", "model": "nano-banana-2", "prompt": "a fox"}


@pytest.mark.parametrize(("vendor", "operation"), ALL)
def test_the_smallest_body_becomes_a_request_to_its_endpoint(paid: Services, vendor: Vendor, operation: str):
    given = body(vendor, operation)
    step = parsed(STEP, paid, **given)
    assert {**step.input, **given} == step.input
    assert step.input["numImages" if vendor.quantity_field == "num_images" else "quantity"] == 1
    remote, arguments = call(paid, **given)
    assert remote.path == vendor.endpoints[operation].replace("{size}", "medium")
    assert set(arguments) <= argument_names(vendor)
    assert len(remote.pictures) == len(given.get("images", ()))


@pytest.mark.parametrize(("vendor", "operation"), ALL)
def test_wrong_values_are_refused_at_their_fields(paid: Services, vendor: Vendor, operation: str):
    quantity = "numImages" if vendor.quantity_field == "num_images" else "quantity"
    wrong = {quantity: vendor.most + 1, "outputFormat": "gif", "stepz": 1, "prompt": ""}
    assert set(refused(STEP, paid, **{**body(vendor, operation), **wrong})) == set(wrong)


@pytest.mark.parametrize(("vendor", "operation"), ALL)
def test_without_fal_the_answer_names_the_settings(services: Services, vendor: Vendor, operation: str):
    errors = refused(STEP, services, **body(vendor, operation))
    assert list(errors) == ["engine"]
    assert "set IMAGEMILL_FAL__KEY, and the price of" in errors["engine"]
    assert "IMAGEMILL_FAL__PRICES" in errors["engine"]


def test_without_a_price_the_answer_names_the_setting(tmp_path: Any):
    settings = Settings(_env_file=None, data_dir=tmp_path, fal={"key": "id:secret"})
    app = Application(settings, Roles(scheduler=False, worker=False))
    try:
        errors = refused(STEP, app.services, **GOOGLE)
    finally:
        app.close()
    assert len(errors) == 1
    assert "the price of fal's fal-ai/nano-banana-2 is not known: set it in IMAGEMILL_FAL__PRICES" in next(
        iter(errors.values())
    )


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3"])
def test_a_model_that_fal_does_not_have_is_refused(paid: Services, model: str):
    errors = refused(STEP, paid, engine="openai", model=model, operation=CREATE, prompt="x")
    assert "which fal.ai does not have" in errors["model"]


@pytest.mark.parametrize(
    ("wrong", "field", "listed"),
    [
        ({"engine": "midjourney"}, "engine", "comfy, sdcpp, flux2, flux1-kontext, google, gemini, openai"),
        ({"model": "imagen9"}, "model", "one of imagen4, nano-banana-pro, nano-banana-2"),
        ({"model": None}, "model", "is required"),
        ({"engine": "flux2", "model": "ultra"}, "model", "one of dev, klein, flex, pro, max"),
        (
            {"engine": "gemini", "model": "2.5-flash", "operation": "paint"},
            "operation",
            "createImage, editImage",
        ),
        ({"engine": "seedream", "model": None}, "version", "one of v3, v4, v4.5, v5.0-lite, v5.0-pro"),
    ],
)
def test_an_unknown_word_is_answered_with_the_known_ones(
    paid: Services, wrong: dict[str, Any], field: str, listed: str
):
    errors = refused(STEP, paid, **{**GOOGLE, **wrong})
    assert list(errors) == [field]
    assert listed in errors[field]


def test_the_version_that_is_meant_when_none_is_named(paid: Services):
    assert parsed(STEP, paid, engine="wan", prompt="x").input["version"] == "v2.2"
    assert parsed(STEP, paid, engine="grok", operation=CREATE, prompt="x").input["version"] == "v1.0"


def test_pictures_make_an_edit_where_there_is_no_operation(paid: Services):
    remote, arguments = call(paid, **GOOGLE, images=[PIXEL, PIXEL], resolution="4K", enableWebSearch=True)
    assert remote.path == "fal-ai/nano-banana-2/edit"
    assert arguments == {
        "image_urls": ["{picture-0}", "{picture-1}"],
        "aspect_ratio": "1:1",
        "resolution": "4K",
        "enable_web_search": True,
        "seed": 0,
    }
    assert remote.cost_factor == 2.0


@pytest.mark.parametrize(
    ("count", "path", "argument"),
    [
        (0, "fal-ai/flux-pro/kontext/max/text-to-image", None),
        (1, "fal-ai/flux-pro/kontext/max", "image_url"),
        (2, "fal-ai/flux-pro/kontext/max/multi", "image_urls"),
    ],
)
def test_kontext_has_an_endpoint_for_each_number_of_pictures(
    paid: Services, count: int, path: str, argument: str | None
):
    pictures = {"images": [PIXEL] * count} if count else {}
    remote, arguments = call(paid, engine="flux1-kontext", model="max", prompt="x", **pictures)
    assert remote.path == path
    assert [name for name in arguments if name.startswith("image_")] == ([argument] if argument else [])


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (
            {"engine": "flux2", "model": "flex", "operation": CREATE, "width": 1024, "height": 512},
            {
                "image_size": {"width": 1024, "height": 512},
                "guidance_scale": 3.5,
                "num_inference_steps": 28,
                "enable_prompt_expansion": False,
                "seed": 0,
            },
        ),
        (
            {"engine": "openai", "model": "gpt-image-2", "operation": CREATE, "size": "1536x1024"},
            {"image_size": {"width": 1536, "height": 1024}, "quality": "high", "background": "auto"},
        ),
        (
            {"engine": "openai", "model": "gpt-image-1.5", "operation": CREATE, "quality": "low"},
            {"image_size": "1024x1024", "quality": "low", "background": "auto"},
        ),
        (
            {"engine": "wan", "version": "v2.2", "acceleration": "faster", "steps": 20},
            {
                "image_size": "square_hd",
                "guidance_scale": 3.5,
                "num_inference_steps": 20,
                "acceleration": "regular",
                "enable_prompt_expansion": False,
                "enable_safety_checker": False,
                "seed": 0,
            },
        ),
        (
            {"engine": "seedream", "version": "v4", "width": 2048, "height": 2048, "guidanceScale": 3},
            {"image_size": {"width": 2048, "height": 2048}, "enable_safety_checker": False, "seed": 0},
        ),
        (
            {"engine": "krea", "model": "krea2-large", "creativity": "high", "intensity": "low"},
            {"aspect_ratio": "1:1", "creativity": "high", "seed": 0},
        ),
    ],
)
def test_fields_become_the_endpoints_arguments(paid: Services, given: dict[str, Any], sent: dict[str, Any]):
    assert call(paid, prompt="x", **given)[1] == sent


def test_krea_takes_style_references_and_its_size_chooses_the_endpoint(paid: Services):
    styles = [{"imageUrl": PIXEL, "strength": -0.5}, {"imageUrl": PIXEL}]
    remote, arguments = call(
        paid,
        engine="fal",
        model="krea2",
        operation=CREATE,
        size="large",
        prompt="x",
        imageStyleReferences=styles,
    )
    assert remote.path == "krea/v2/large/text-to-image"
    assert arguments["image_style_references"] == [
        {"image_url": "{picture-0}", "strength": -0.5},
        {"image_url": "{picture-1}", "strength": 1.0},
    ]
    assert "size" not in arguments
    assert remote.pictures == ("picture-0", "picture-1")


def test_one_job_a_picture_at_the_price_of_one(paid: Services):
    drafts = prepared(STEP, paid, **GOOGLE, numImages=3, seed=5, outputFormat="jpeg")
    assert [picture(paid, draft).seed for draft in drafts] == [5, 6, 7]
    assert [draft.bills for draft in drafts] == [{"fal": _PRICE}] * 3
    assert {draft.input["format"] for draft in drafts} == {"jpeg"}
    assert {draft.queue for draft in drafts} == {"remote"}


def test_the_paths_of_all_endpoints_are_different():
    paths = [path for vendor in VENDORS if vendor.engine != "krea" for path in vendor.endpoints.values()]
    assert len(paths) == len(set(paths))
    assert {path.replace("{size}", "large") for path in paths} <= set(endpoints())
