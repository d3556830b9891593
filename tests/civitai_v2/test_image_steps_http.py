"""The steps that make pictures, over HTTP: real jobs on the simulator, on a ComfyUI node and at fal."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imagemill.domain.air import Resource, parse
from tests.civitai_v2.http_support import errors, ref, run, send
from tests.civitai_v2.support import PIXEL, SD1
from tests.civitai_v2.test_comfy_steps import graph
from tests.conftest import Server
from tests.fal_server import FalServer
from tests.fal_server.server import KEY, running

Z_IMAGE = {
    "engine": "sdcpp", "ecosystem": "zImage", "operation": "createImage", "model": "turbo", "prompt": "a fox",
    "width": 64, "height": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def fal() -> Iterator[FalServer]:
    with running() as server:
        yield server


def gen(**input_: Any) -> dict[str, Any]:
    return {"$type": "imageGen", "input": input_}


def test_a_body_without_steps_is_drawn_with_the_defaults_of_its_variant(server: Server):
    (step,) = run(server, gen(**Z_IMAGE, quantity=2))["steps"]
    assert (step["status"], step["input"]["steps"], step["input"]["cfgScale"]) == ("succeeded", 9, 1.0)
    assert len(step["output"]["images"]) == len(step["jobs"]) == 2
    picture = step["output"]["images"][0]
    assert (picture["width"], picture["height"], picture["available"]) == (64, 64, True)
    assert server.client.get(picture["url"], follow_redirects=True).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"steps": 151}, "steps"),
        ({"cfgScale": 31}, "cfgScale"),
        ({"quantity": 13}, "quantity"),
        ({"width": 2049}, "width"),
        ({"model": "fast"}, "model"),
        ({"ecosystem": "sd9"}, "ecosystem"),
        ({"sampleMethod": "fastest"}, "sampleMethod"),
        ({"negative": "fog"}, "negative"),
        ({"loras": {"urn:air:sd1:lora:civitai:82098@424242": 1}}, None),
    ],
)
def test_an_error_names_the_field_of_the_step(server: Server, wrong: dict[str, Any], field: str | None):
    (found,) = errors(send(server, gen(**{**Z_IMAGE, **wrong})))
    if field is not None:
        assert found == f"steps[0].input.{field}"
    else:
        assert found.startswith("steps[0].input.loras")


def test_a_graph_in_camel_case_is_drawn_in_the_format_of_its_save_node(server: Server):
    (step,) = run(server, {"$type": "comfy", "input": {"comfyWorkflow": graph(camel=True), "quantity": 2}})[
        "steps"
    ]
    assert [blob["id"].rpartition(".")[2] for blob in step["output"]["blobs"]] == ["jpeg", "jpeg"]


def test_an_error_in_a_graph_names_the_nodes_input(server: Server):
    given = graph()
    given["1"]["inputs"]["ckpt_name"] = "urn:air:sd1:checkpoint:civitai:1@424242"
    (found,) = errors(send(server, {"$type": "comfy", "input": {"comfyWorkflow": given}}))
    assert found == "steps[0].input.comfyWorkflow['1'].inputs.ckpt_name"


def test_a_custom_graph_reports_what_it_took(server: Server):
    body = {"resources": [SD1], "workflow": graph()}
    (step,) = run(server, {"$type": "customComfy", "input": body})["steps"]
    usage = step["output"]["usage"]
    assert usage["runtimeSeconds"] > 0
    assert usage["estimatedCost"] == pytest.approx(usage["buzzPerSecond"] * usage["runtimeSeconds"])
    assert usage["startedAt"] == step["startedAt"]
    assert usage["computedAt"] >= usage["startedAt"]
    assert (len(step["output"]["blobs"]), step["output"]["tempBlobs"]) == (1, [])


def test_the_picture_of_one_step_is_varied_by_another(server: Server):
    variant = gen(
        engine="comfy", ecosystem="sd1", operation="createVariant", model=SD1, prompt="at night",
        image=ref("$0", "output.images[0].url"), width=64, height=64,
    )  # fmt: skip
    _, second = run(server, gen(**Z_IMAGE), variant)["steps"]
    assert second["status"] == "succeeded"
    assert second["input"]["denoiseStrength"] == 0.75
    assert second["output"]["images"][0]["available"]


def test_an_embedding_and_a_model_are_found_by_their_airs(server: Server):
    air = "urn:air:sd1:embedding:civitai:7808@9208"
    server.app.services.registry.register(Resource(parse(air)))
    given = graph()
    given["2"]["inputs"]["text"] = f"a fox, embedding:{air}"
    (step,) = run(server, {"$type": "comfy", "input": {"comfyWorkflow": given}})["steps"]
    assert step["status"] == "succeeded"


def test_a_vendors_model_is_drawn_at_fal(make_server: Callable[..., Server], fal: FalServer):
    server = make_server(
        fal={
            "key": KEY,
            "host": fal.host,
            "ca_file": fal.ca_file,
            "prices": {"fal-ai/nano-banana-2/edit": {"per_image": 0.08}},
        },
        simulator={"enabled": "always"},
    )
    body = gen(
        engine="google", model="nano-banana-2", prompt="at night", images=[PIXEL], aspectRatio="16:9",
        outputFormat="png",
    )  # fmt: skip
    (step,) = run(server, body)["steps"]
    assert step["status"] == "succeeded"
    picture = step["output"]["images"][0]
    assert (picture["width"], picture["height"], picture["id"].rpartition(".")[2]) == (1024, 576, "png")
    (asked,) = fal.requests.values()
    assert asked.path == "fal-ai/nano-banana-2/edit"
    assert asked.input["image_urls"][0].startswith("data:image/png;base64,")
    assert asked.input["seed"] == step["input"]["seed"]


def test_a_vendors_model_without_fal_names_the_setting(server: Server):
    answer = send(server, gen(engine="google", model="imagen4", prompt="a fox"))
    assert list(errors(answer)) == ["steps[0].input.engine"]
    assert "IMAGEMILL_FAL__KEY" in answer.json()["detail"]


def test_recipes_answer_with_the_bare_output(server: Server):
    answer = server.client.post("/v2/consumer/recipes/imageGen", json=Z_IMAGE)
    assert answer.status_code == 200, answer.text
    assert [image["available"] for image in answer.json()["images"]] == [True]
