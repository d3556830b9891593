"""The steps that make pictures, on a ComfyUI node: its own files and classes decide."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imagemill.domain.air import Resource, parse
from tests.civitai_v2.http_support import errors, run, send
from tests.civitai_v2.support import PIXEL, SD1
from tests.civitai_v2.test_comfy_steps import graph
from tests.comfyui.node import TestNode
from tests.conftest import Server
from tests.http.support import until

EMBEDDING = "urn:air:sd1:embedding:civitai:7808@9208"
GONE = "urn:air:sd1:embedding:civitai:7808@9209"
MODELS = {
    "checkpoints": ["dreamshaper_8.safetensors"],
    "diffusion_models": [
        "klein/flux-2-klein-9b-fp8.safetensors",
        "klein/our-flux2-klein-4b-merge.safetensors",
        "z_image_bf16.safetensors",
        "zit_merge.safetensors",
    ],
    "text_encoders": ["qwen_3_4b.safetensors", "qwen_3_8b_fp8mixed.safetensors"],
    "vae": ["ae.safetensors", "flux2-vae.safetensors"],
    "embeddings": ["words/badhands.safetensors"],
}


@pytest.fixture
def node() -> Iterator[TestNode]:
    with TestNode(models=MODELS) as node:
        yield node


@pytest.fixture
def server(node: TestNode, make_server: Callable[..., Server]) -> Server:
    server = make_server()
    for air, file in (
        (SD1, "dreamshaper_8.safetensors"),
        (EMBEDDING, "badhands.safetensors"),
        (GONE, "lost.pt"),
    ):
        registry = server.app.services.registry
        resource = Resource(parse(air), {"fileName": file})
        registry.replace(resource) if air == SD1 else registry.register(resource)
    added = server.client.post("/api/v1/nodes", json={"name": "attic", "url": node.url})
    assert added.status_code == 201, added.text
    until(lambda: server.client.get("/api/v1/models", params={"type": "vae"}).json()["items"])
    return server


def gen(**input_: Any) -> dict[str, Any]:
    return {"$type": "imageGen", "input": {"operation": "createImage", "prompt": "x", **input_}}


def values(node: TestNode, class_type: str) -> list[dict[str, Any]]:
    """The inputs of the nodes of a class in the last prompt."""
    last = node.prompts[-1].graph
    return [each["inputs"] for each in last.values() if each["class_type"] == class_type]


@pytest.mark.parametrize(
    ("words", "file", "steps"),
    [
        ({"engine": "flux2", "model": "klein"}, "klein/our-flux2-klein-4b-merge.safetensors", 8),
        (
            {"engine": "flux2", "model": "klein", "modelVersion": "9b"},
            "klein/flux-2-klein-9b-fp8.safetensors",
            8,
        ),
        ({"engine": "sdcpp", "ecosystem": "zImage", "model": "base"}, "z_image_bf16.safetensors", 20),
        ({"engine": "sdcpp", "ecosystem": "zImage", "model": "turbo"}, "zit_merge.safetensors", 9),
    ],
)
def test_a_word_means_the_nodes_own_file_of_its_variant(
    server: Server, node: TestNode, words: dict[str, Any], file: str, steps: int
):
    # The test node knows the classes of newer families, and does not draw by them.
    (step,) = run(server, gen(**words, width=512, height=512))["steps"]
    assert step["input"]["steps"] == steps
    (loader,) = values(node, "UNETLoader")
    assert loader["unet_name"] == file


def test_without_a_file_of_the_variant_the_published_one_is_named(server: Server):
    answer = send(server, gen(engine="flux2", model="klein", modelVersion="4b-base"))
    assert list(errors(answer)) == ["steps[0].input.modelVersion"]
    assert "flux-2-klein-base-4b.safetensors" in answer.json()["detail"]


def test_a_graph_gets_the_nodes_names_of_its_files(server: Server, node: TestNode):
    given = graph(camel=True)
    given["2"]["inputs"]["text"] = f"a fox, (embedding:{EMBEDDING}:0.8)"
    (step,) = run(server, {"$type": "comfy", "input": {"comfyWorkflow": given}})["steps"]
    assert step["status"] == "succeeded"
    assert [blob["id"].rpartition(".")[2] for blob in step["output"]["blobs"]] == ["jpeg"]
    assert values(node, "CheckpointLoaderSimple") == [{"ckpt_name": "dreamshaper_8.safetensors"}]
    assert values(node, "CLIPTextEncode")[0]["text"] == "a fox, (embedding:words/badhands:0.8)"
    assert values(node, "KSampler")[0]["sampler_name"] == "dpm_2_ancestral"
    assert "format" not in values(node, "SaveImage")[0]


def test_an_embedding_that_no_node_has_is_a_400(server: Server):
    given = graph()
    given["2"]["inputs"]["text"] = f"embedding:{GONE}"
    answer = send(server, {"$type": "comfy", "input": {"comfyWorkflow": given}})
    assert answer.status_code == 400
    assert "embedding lost.pt is missing on attic" in answer.json()["detail"]


def test_a_custom_graph_is_refused_with_the_classes_that_are_missing(server: Server):
    given = graph()
    given["8"] = {"class_type": "FancyDetailer", "inputs": {"image": ["6", 0]}}
    given["9"] = {"class_type": "OtherPack", "inputs": {"image": ["8", 0]}}
    body = {"resources": [SD1, "urn:air:comfy:nodepack:comfyregistry:fancy@1.0"], "workflow": given}
    answer = send(server, {"$type": "customComfy", "input": body})
    (field,) = errors(answer)
    assert field.startswith("steps[0].input.workflow")
    for name in ("FancyDetailer", "OtherPack"):
        assert f"node class {name} is missing on attic" in answer.json()["detail"]


def test_a_model_for_pictures_edits_them(server: Server, node: TestNode):
    edit = gen(engine="flux2", model="klein", operation="editImage", images=[PIXEL, PIXEL])
    run(server, edit)
    assert len(values(node, "LoadImage")) == 2
    assert values(node, "ReferenceLatent")
