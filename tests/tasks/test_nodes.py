"""Tasks that a ComfyUI node does: control pictures of a node pack, enlargement, backgrounds, preloading."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from tests.comfyui.catalogue_packs import AUX
from tests.comfyui.node import MODELS, TestNode
from tests.conftest import Server
from tests.tasks.support import data_url, download, encoded, halves, picture_of, refused, run

BIREFNET = {"background_removal": ["birefnet.safetensors"]}
PREPARED = "urn:air:sd1:checkpoint:civitai:4384@128713"


@pytest.fixture
def node() -> Iterator[TestNode]:
    models = {**MODELS, **BIREFNET, "custom_nodes": [AUX]}
    with TestNode(models=models, step_s=0.0) as node:
        yield node


@pytest.fixture
def server(node: TestNode, make_server: Callable[..., Server]) -> Server:
    return with_nodes(make_server, node)


def with_nodes(make_server: Callable[..., Server], *nodes: TestNode, **settings: Any) -> Server:
    urls = [node.url for node in nodes]
    server = make_server(comfyui={"urls": urls, "health_s": 0.05}, **settings)
    assert server.app.backends["comfyui"].nodes()
    return server


IMAGE = data_url(encoded(halves(120, 80)))


@pytest.mark.parametrize("kind", ["depth-anything-v2", "hed", "mlsd"])
def test_a_node_with_the_pack_makes_a_control_picture(server: Server, kind: str) -> None:
    job = run(server, "preprocessImage", kind=kind, image=IMAGE, resolution=128)
    assert picture_of(server, job).size == (192, 128)
    assert (job["queue"], job["simulated"]) == ("gpu", False)


def test_a_node_without_the_class_refuses_it_by_name(server: Server) -> None:
    (message,) = refused(server, "preprocessImage", kind="openpose", image=IMAGE)["input.kind"]
    assert "node class OpenposePreprocessor is missing on" in message


def test_a_control_picture_on_the_cpu_needs_no_node(server: Server) -> None:
    assert run(server, "preprocessImage", kind="canny", image=IMAGE)["node"].startswith("builtin.")


@pytest.mark.parametrize(("repeats", "factor", "cost"), [(1, 2, 2.0), (2, 4, 4.0), (3, 8, 8.0)])
def test_an_upscaler_enlarges_as_often_as_asked(
    server: Server, repeats: int, factor: int, cost: float
) -> None:
    job = run(server, "imageUpscaler", image=IMAGE, model="2x_any.safetensors", repeats=repeats)
    assert picture_of(server, job).size == (120 * factor, 80 * factor)
    assert job["cost"] == cost


def test_an_absent_upscaler_is_refused_with_those_there_are(server: Server) -> None:
    (message,) = refused(server, "imageUpscaler", image=IMAGE)["input.model"]
    assert "2x_any.safetensors" in message


def test_a_checkpoint_is_no_upscaler(server: Server) -> None:
    (message,) = refused(server, "imageUpscaler", image=IMAGE, model=PREPARED)["input.model"]
    assert message == "is of the type checkpoint, not an upscaler"


@pytest.mark.parametrize("format", ["png", "webp"])
def test_core_nodes_remove_a_background(server: Server, format: str) -> None:
    job = run(server, "imageBackgroundRemoval", image=IMAGE, format=format)
    assert job["artifacts"][0]["mediaType"] == f"image/{format}"
    alpha = picture_of(server, job).convert("RGBA").getchannel("A")
    assert (alpha.size, alpha.getpixel((60, 40)), alpha.getpixel((5, 5))) == ((120, 80), 255, 0)


def test_without_a_model_a_background_stays_and_the_file_is_named(make_server: Callable[..., Server]) -> None:
    with TestNode() as bare:
        server = with_nodes(make_server, bare)
        (message,) = refused(server, "imageBackgroundRemoval", image=IMAGE)["input"]
    assert "birefnet.safetensors is missing on" in message


def test_an_older_node_lacks_the_class(make_server: Callable[..., Server]) -> None:
    with TestNode("0.3.64") as old:
        server = with_nodes(make_server, old)
        (message,) = refused(server, "imageBackgroundRemoval", image=IMAGE)["input"]
    assert "RemoveBackground is missing on" in message


def test_a_flat_background_is_removed_by_its_colour_without_a_node(server: Server) -> None:
    picture = Image.new("RGB", (200, 200), (0, 255, 0))
    picture.paste((190, 60, 30), (60, 60, 140, 140))
    job = run(server, "imageBackgroundRemoval", image=data_url(encoded(picture)), background="#00ff00")
    alpha = picture_of(server, job).getchannel("A")
    assert (alpha.getpixel((100, 100)), alpha.getpixel((10, 10))) == (255, 0)
    assert job["node"].startswith("builtin.")


def test_a_background_of_other_colours_is_a_failure_in_words(server: Server) -> None:
    noisy = data_url(encoded(Image.effect_noise((120, 80), 200)))
    job = run(server, "imageBackgroundRemoval", image=noisy, background="#00ff00")
    assert job["status"] == "failed"
    assert job["error"]["code"] == "backend_rejected"
    assert job["error"]["message"].startswith("the picture ")


# Preloading


def test_a_prepared_checkpoint_is_loaded_and_no_file_is_kept(node: TestNode, server: Server) -> None:
    job = run(server, "prepareResource", resource="sd1_b.safetensors")
    assert job["status"] == "succeeded", job["error"]
    assert job["artifacts"] == []
    output = job["output"]
    assert (output["resource"], output["provider"]) == (job["input"]["resource"], job["node"])
    assert output["preparedAt"].startswith("20")
    assert node.loads == ["sd1_b.safetensors"]


def test_preparing_twice_loads_twice_as_the_node_may_have_dropped_it(node: TestNode, server: Server) -> None:
    for _ in range(2):
        run(server, "prepareResource", resource="sd1_b.safetensors")
    seeds = [
        each["inputs"]["seed"]
        for prompt in node.prompts
        for each in prompt.graph.values()
        if each["class_type"] == "KSampler"
    ]
    assert len(set(seeds)) == 2


def test_a_lora_is_prepared_with_a_checkpoint_of_its_family(server: Server) -> None:
    job = run(server, "prepareResource", resource="lora_sd1.safetensors")
    assert job["status"] == "succeeded", job["error"]
    (network,) = job["input"]["render"]["networks"]
    assert network["air"] == job["output"]["resource"]


def test_an_upscaler_cannot_be_prepared(server: Server) -> None:
    (message,) = refused(server, "prepareResource", resource="2x_any.safetensors")["input.resource"]
    assert message == "is of the type upscaler; only models and networks can be loaded"


def test_an_unknown_resource_is_refused_with_the_remedy(server: Server) -> None:
    (message,) = refused(server, "prepareResource", resource="urn:air:sd1:checkpoint:civitai:1@2")[
        "input.resource"
    ]
    assert "is not registered" in message


def test_a_picture_of_a_node_is_converted_by_the_server(server: Server) -> None:
    """The two kinds of work together: a job on a node, then one on the CPU of its picture."""
    made = run(server, "textToImage", model="sd1.safetensors", prompt="a fox", width=64, height=64, steps=2)
    job = run(server, "convertImage", image=f"blob:{made['artifacts'][0]['id']}", format="jpeg")
    assert Image.open(io.BytesIO(download(server, job))).format == "JPEG"
