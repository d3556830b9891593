"""What fal's apps take: the mapping of every field, and what is said of wrong ones."""

import base64
import io
from typing import Any

import pytest
from PIL import Image

from tests.conftest import LORA, SDXL, Server
from tests.fal.support import (
    DEV,
    FAST,
    IMAGE,
    KEY,
    SCHNELL,
    accepted,
    direct,
    made,
    queued,
    wanted,
)


def job_input(server: Server, app: str, body: dict[str, Any]) -> dict[str, Any]:
    request_id = accepted(queued(server, app, body))["request_id"]
    server.client.put(f"/fal/{'/'.join(app.split('/')[:2])}/requests/{request_id}/cancel", headers=KEY)
    return server.client.get(f"/api/v1/jobs/{request_id}").json()["input"]


def data_url(width: int, height: int, kind: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "green").save(file, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def faults(answer: Any) -> list[tuple[list[Any], str]]:
    assert answer.status_code == 422, answer.text
    return [(each["loc"], each["type"]) for each in answer.json()["detail"]]


@pytest.mark.parametrize(
    ("app", "steps", "guidance", "size"),
    [
        (DEV, 28, 3.5, (1024, 768)),
        (SCHNELL, 4, 3.5, (1024, 768)),
        (FAST, 25, 7.5, (1024, 1024)),
        ("me/xl", 6, 5, (512, 512)),
    ],
)
def test_an_app_has_its_own_defaults(
    fal: Server, app: str, steps: int, guidance: float, size: tuple[int, int]
) -> None:
    found = job_input(fal, app, {"prompt": "a lighthouse"})

    # What is the recipe's own default is not kept.
    assert found.get("steps", 30) == steps
    assert found.get("cfg_scale", 7.5) == guidance
    assert (found.get("width", 512), found.get("height", 512)) == size
    assert found["format"] == "jpeg"
    assert 0 <= found["seed"] < 2**32


XL_LORA = "urn:air:sdxl:lora:civitai:5@7"


def test_every_field_arrives(fal: Server) -> None:
    fal.client.post("/v2/resources", json={"air": XL_LORA}, headers=KEY)
    found = job_input(
        fal,
        FAST,
        {
            "prompt": "a lighthouse",
            "negative_prompt": "fog",
            "image_size": "portrait_16_9",
            "num_inference_steps": 9,
            "guidance_scale": 4.25,
            "seed": 4_294_967_295,
            "num_images": 4,
            "format": "png",
            "loras": [{"path": XL_LORA, "scale": 0.5}],
        },
    )

    assert {name: found[name] for name in ("prompt", "negative_prompt", "steps", "cfg_scale", "count")} == {
        "prompt": "a lighthouse",
        "negative_prompt": "fog",
        "steps": 9,
        "cfg_scale": 4.25,
        "count": 4,
    }
    assert found["model"] == SDXL
    assert (found["width"], found["height"], found["seed"]) == (576, 1024, 4_294_967_295)
    assert "format" not in found, "png is the recipe's default"
    assert [(each["air"], each["strength"]) for each in found["networks"]] == [(XL_LORA, 0.5)]


@pytest.mark.parametrize(
    ("app", "body", "loc"),
    [
        (DEV, {"negative_prompt": "fog"}, "negative_prompt"),
        (FAST, {"loras": [{"path": LORA}]}, "loras"),
    ],
)
def test_what_would_have_no_effect_is_refused(fal: Server, app: str, body: dict[str, Any], loc: str) -> None:
    answer = queued(fal, app, {"prompt": "a lighthouse", **body})
    assert faults(answer) == [(["body", loc], "value_error")]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("square_hd", (1024, 1024)),
        ("square", (512, 512)),
        ("portrait_4_3", (768, 1024)),
        ("portrait_16_9", (576, 1024)),
        ("landscape_4_3", (1024, 768)),
        ("landscape_16_9", (1024, 576)),
        ({"width": 200, "height": 1048}, (200, 1048)),
        ({}, (512, 512)),
    ],
)
def test_sizes_have_names_or_sides(fal: Server, name: Any, size: tuple[int, int]) -> None:
    found = job_input(fal, DEV, wanted(image_size=name))

    assert (found.get("width", 512), found.get("height", 512)) == size


@pytest.mark.parametrize(
    ("change", "loc", "type_"),
    [
        ({"prompt": None}, ["prompt"], "string_type"),
        ({"image_size": "huge"}, ["image_size"], "value_error"),
        ({"image_size": {"width": 63}}, ["image_size", "width"], "greater_than_equal"),
        ({"image_size": {"width": 2056}}, ["image_size", "width"], "less_than_equal"),
        ({"image_size": {"height": 100}}, ["image_size", "height"], "multiple_of"),
        ({"image_size": 5}, ["image_size"], "model_type"),
        ({"num_inference_steps": 0}, ["num_inference_steps"], "greater_than_equal"),
        ({"num_inference_steps": 51}, ["num_inference_steps"], "less_than_equal"),
        ({"seed": -1}, ["seed"], "greater_than_equal"),
        ({"seed": 2**32}, ["seed"], "less_than_equal"),
        ({"seed": True}, ["seed"], "value_error"),
        ({"guidance_scale": 21}, ["guidance_scale"], "less_than_equal"),
        ({"num_images": 0}, ["num_images"], "greater_than_equal"),
        ({"num_images": 5}, ["num_images"], "less_than_equal"),
        ({"output_format": "webp"}, ["output_format"], "literal_error"),
        ({"sync_mode": "perhaps"}, ["sync_mode"], "bool_parsing"),
        ({"strength": 1.5}, ["strength"], "less_than_equal"),
        ({"loras": [{"scale": 1}]}, ["loras", 0, "path"], "missing"),
        ({"loras": [{"path": "https://example.com/a.safetensors"}]}, ["loras"], "value_error"),
        ({"prompt": "x" * 10_001}, ["prompt"], "string_too_long"),
        ({"image_url": "ftp://example.com/a.png"}, ["image_url"], "value_error"),
        ({"image_url": "http://10.1.2.3/a.png"}, ["image_url"], "value_error"),
        ({"image_url": "data:image/png;base64,AAAA"}, ["image_url"], "image_load_error"),
    ],
)
def test_a_wrong_field_is_named(fal: Server, change: dict[str, Any], loc: list[Any], type_: str) -> None:
    for ask in (queued, direct):
        assert faults(ask(fal, DEV, wanted(**change))) == [(["body", *loc], type_)]


def test_all_wrong_fields_are_named_at_once(fal: Server) -> None:
    answer = queued(fal, DEV, {"num_images": 9, "seed": -3})

    assert {loc[1] for loc, _ in faults(answer)} == {"prompt", "num_images", "seed"}


@pytest.mark.parametrize(
    ("content", "type_"), [(b"{", "json_invalid"), (b"", "json_invalid"), (b"[]", "dict_type")]
)
def test_a_body_that_is_no_object_is_refused(fal: Server, content: bytes, type_: str) -> None:
    answer = fal.client.post(f"/fal/{DEV}", content=content, headers=KEY)

    assert faults(answer) == [(["body"], type_)]


def test_what_an_app_does_not_know_is_read_over(fal: Server) -> None:
    assert accepted(queued(fal, DEV, wanted(acceleration="high", expand_prompt=True)))["request_id"]


def test_an_app_that_is_not_there_is_a_404_that_names_those_that_are(fal: Server) -> None:
    answer = queued(fal, "fal-ai/flux/pro")

    assert answer.status_code == 404
    for name in (DEV, SCHNELL, IMAGE, FAST, "me/xl"):
        assert name in answer.json()["detail"]


def test_an_app_whose_checkpoint_is_not_registered_cannot_be_run_now(make_server: Any) -> None:
    server = make_server(fal_api={"apps": {"me/gone": {"model": "urn:air:sdxl:checkpoint:civitai:1@2"}}})
    answer = queued(server, "me/gone")

    assert (answer.status_code, answer.json()["error_type"]) == (503, "runner_scheduling_failure")
    assert "not registered" in answer.json()["detail"]
    assert answer.headers["retry-after"]


def test_a_prompt_that_is_not_allowed_is_a_violation(make_server: Any) -> None:
    server = make_server(safety={"blocked_words": ["voldemort"]})

    assert faults(queued(server, DEV, wanted(prompt="voldemort at home"))) == [
        (["body", "prompt"], "content_policy_violation")
    ]


def test_image_to_image_needs_a_picture(fal: Server) -> None:
    assert faults(queued(fal, IMAGE)) == [(["body", "image_url"], "missing")]


@pytest.mark.parametrize(
    ("own", "drawn"), [((96, 128), (96, 128)), ((100, 100), (96, 96)), ((2048, 1024), (1448, 728))]
)
def test_a_picture_is_drawn_anew_at_its_own_size(
    fal: Server, own: tuple[int, int], drawn: tuple[int, int]
) -> None:
    body = {"prompt": "at night", "image_url": data_url(*own)}
    found = job_input(fal, IMAGE, body)

    assert (found["width"], found["height"]) == drawn
    assert found["denoise"] == 0.95
    assert found["steps"] == 40


def test_a_size_and_a_strength_go_before(fal: Server) -> None:
    found = job_input(fal, IMAGE, wanted(image_url=data_url(96, 96, "JPEG"), strength=0.3))

    assert (found["width"], found["height"], found["denoise"]) == (64, 64, 0.3)


def test_a_picture_of_ones_own_is_not_fetched(fal: Server) -> None:
    url = made(fal, accepted(queued(fal)))["images"][0]["url"]

    found = job_input(fal, IMAGE, {"prompt": "at night", "image_url": url})

    assert found["image"].startswith("jobs/"), "by its file, not by its address"
    assert (found["width"], found["height"]) == (64, 64)


def test_an_upload_is_named_by_its_address_or_its_key(fal: Server) -> None:
    data = base64.b64decode(data_url(160, 80).partition(",")[2])
    headers = {**KEY, "Content-Type": "image/png"}
    uploaded = fal.client.post("/api/v1/uploads", content=data, headers=headers).json()

    for image_url in (uploaded["url"], f"blob:{uploaded['key']}"):
        found = job_input(fal, IMAGE, {"prompt": "at night", "image_url": image_url})
        assert found["image"].startswith("inputs/")
        assert (found["width"], found["height"]) == (160, 80)


@pytest.mark.parametrize(
    "image_url", [f"blob:{'A' * 64}", f"blob:{'a' * 64}.png", "blob:../../secrets/jwt.key", "blob:"]
)
def test_what_is_no_picture_of_ones_own_is_refused(fal: Server, image_url: str) -> None:
    assert faults(queued(fal, IMAGE, wanted(image_url=image_url))) == [(["body", "image_url"], "value_error")]


def test_an_address_with_a_wrong_signature_is_one_like_any_other(fal: Server) -> None:
    url = made(fal, accepted(queued(fal)))["images"][0]["url"]

    answer = direct(fal, IMAGE, wanted(image_url=f"{url}0"))

    assert faults(answer) == [(["body", "image_url"], "file_download_error")]


def test_a_picture_elsewhere_is_fetched_when_it_is_needed(fal: Server) -> None:
    missing = f"{fal.url}/nothing.png"

    answer = direct(fal, IMAGE, wanted(image_url=missing))

    assert faults(answer) == [(["body", "image_url"], "file_download_error")]


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8")])
def test_pictures_come_as_data_where_they_are_asked_for_so(fal: Server, kind: str, magic: bytes) -> None:
    output = accepted(direct(fal, FAST, wanted(sync_mode=True, output_format=kind)))

    (image,) = output["images"]
    head, _, data = image["url"].partition(",")
    assert head == f"data:image/{kind};base64"
    assert base64.b64decode(data).startswith(magic)
    assert image["content_type"] == f"image/{kind}"


def test_one_seed_makes_the_same_pictures_again(fal: Server) -> None:
    first, second, other = (
        accepted(direct(fal, FAST, wanted(sync_mode=True, seed=seed, num_images=2))) for seed in (5, 5, 6)
    )
    assert first["images"] == second["images"] != other["images"]
    assert first["images"][0] != first["images"][1]


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"image_url": ""}, ["body", "image_url"]),
        ({"image_size": ""}, ["body", "image_size"]),
        ({"num_inference_steps": ""}, ["body", "num_inference_steps"]),
        ({"guidance_scale": ""}, ["body", "guidance_scale"]),
        ({"seed": ""}, ["body", "seed"]),
        ({"num_images": ""}, ["body", "num_images"]),
        ({"output_format": ""}, ["body", "output_format"]),
        ({"format": ""}, ["body", "format"]),
        ({"enable_safety_checker": ""}, ["body", "enable_safety_checker"]),
        ({"sync_mode": ""}, ["body", "sync_mode"]),
        ({"strength": ""}, ["body", "strength"]),
        ({"loras": ""}, ["body", "loras"]),
        ({"loras": [{"path": ""}]}, ["body", "loras", 0, "path"]),
        ({"loras": [{"path": LORA, "scale": ""}]}, ["body", "loras", 0, "scale"]),
    ],
)
def test_an_empty_text_is_no_value(fal: Server, changes: dict[str, Any], loc: list[Any]) -> None:
    for send in (queued, direct):
        assert [place for place, _ in faults(send(fal, DEV, wanted(**changes)))] == [loc]


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_webhook_is_refused(fal: Server, text: str) -> None:
    assert faults(queued(fal, params={"fal_webhook": text}))[0][0] == ["query", "fal_webhook"]


def test_an_empty_deadline_is_refused(fal: Server) -> None:
    assert queued(fal, headers={"X-Fal-Request-Timeout": ""}).status_code == 400
