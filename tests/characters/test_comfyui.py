"""Graphs of characters on a ComfyUI node: LoRAs on model and text encoder, faces where the pack is there."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from imagemill.domain.images import ImageSpec, Network
from imagemill.graphs import builder
from imagemill.graphs.catalogue import Catalogue
from tests.characters.support import LIA, LORA, add_models, avatar, ended, lora, order
from tests.comfyui.client import Client
from tests.comfyui.node import TestNode
from tests.conftest import SDXL, Server

MODELS = {
    "checkpoints": ["sdxl/civitai/101055/128078.safetensors"],
    "loras": ["lora/sdxl/civitai/70/7001.safetensors"],
}


@pytest.fixture
def node() -> Iterator[TestNode]:
    with TestNode(models=MODELS) as node:
        yield node


def graph_of(server: Server, job_id: str) -> Mapping[str, Any]:
    """As it was sent to the node."""
    events = server.client.get(f"/api/v1/jobs/{job_id}/events", params={"stream": "false"}).json()["items"]
    return events[-1]["data"]["prompt_request"]


def nodes_of(graph: Mapping[str, Any], class_type: str) -> dict[str, dict[str, Any]]:
    return {id_: each["inputs"] for id_, each in graph.items() if each["class_type"] == class_type}


def test_loras_feed_the_model_and_the_text_encoder(node: TestNode, make_server: Callable[..., Server]):
    server = make_server(comfyui={"urls": [node.url], "health_s": 0.05})
    add_models(server.client)
    sheet = LIA | {"lora": [lora(), lora(0.4)]}
    job_id = order(server.client, "avatar", avatar(character=sheet))["jobId"]
    found = ended(server.client, job_id)
    assert found["state"] == "completed", found
    graph = graph_of(server, job_id)
    loras = nodes_of(graph, "LoraLoader")
    assert [(each["strength_model"], each["strength_clip"]) for each in loras.values()] == [
        (1, 1),
        (0.4, 0.4),
    ]
    (first, second), (loader,) = loras, nodes_of(graph, "CheckpointLoaderSimple")
    assert (loras[first]["model"], loras[first]["clip"]) == ([loader, 0], [loader, 1])
    assert (loras[second]["model"], loras[second]["clip"]) == ([first, 0], [first, 1])
    (sampler,) = nodes_of(graph, "KSampler").values()
    assert sampler["model"] == [second, 0]
    assert {tuple(each["clip"]) for each in nodes_of(graph, "CLIPTextEncode").values()} == {(second, 1)}
    wanted = {"steps": 30, "cfg": 7.0, "sampler_name": "euler_ancestral", "scheduler": "karras"}
    assert {name: sampler[name] for name in wanted} == wanted


PACK: dict[str, Any] = {
    "UltralyticsDetectorProvider": {
        "input": {"required": {"model_name": [["segm/person.pt", "bbox/face_yolov8m.pt"], {}]}},
        "output": ["BBOX_DETECTOR", "SEGM_DETECTOR"],
    },
    "FaceDetailer": {
        "input": {
            "required": {
                "image": ["IMAGE"],
                "model": ["MODEL"],
                "clip": ["CLIP"],
                "vae": ["VAE"],
                "guide_size": ["FLOAT", {"default": 512, "min": 64, "max": 4096}],
                "guide_size_for": ["BOOLEAN", {"default": True}],
                "max_size": ["FLOAT", {"default": 1024, "min": 64, "max": 4096}],
                "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1}],
                "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
                "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0}],
                "sampler_name": [["euler", "euler_ancestral"]],
                "scheduler": [["normal", "karras"]],
                "positive": ["CONDITIONING"],
                "negative": ["CONDITIONING"],
                "denoise": ["FLOAT", {"default": 0.5, "min": 0.0001, "max": 1.0}],
                "feather": ["INT", {"default": 5, "min": 0, "max": 100}],
                "bbox_threshold": ["FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0}],
                "sam_detection_hint": [["center-1", "none"]],
                "drop_size": ["INT", {"default": 10, "min": 1}],
                "bbox_detector": ["BBOX_DETECTOR"],
                "wildcard": ["STRING", {"multiline": True, "default": ""}],
                "cycle": ["INT", {"default": 1, "min": 1, "max": 10}],
            },
            "optional": {"sam_model_opt": ["SAM_MODEL"]},
        },
        "output": ["IMAGE", "IMAGE", "IMAGE", "MASK", "DETAILER_PIPE", "IMAGE"],
    },
}


REMOVER: dict[str, Any] = {
    "easy imageRemBg": {
        "input": {
            "required": {
                "images": ["IMAGE"],
                "rem_mode": [["RMBG-2.0", "RMBG-1.4", "Inspyrenet", "BEN2"], {"default": "RMBG-1.4"}],
                "image_output": [["Hide", "Preview", "Save", "Hide/Save"], {"default": "Preview"}],
                "save_prefix": ["STRING", {"default": "ComfyUI"}],
            },
            "optional": {"torchscript_jit": ["BOOLEAN", {"default": False}]},
        },
        "output": ["IMAGE", "MASK"],
    },
    "RMBG": {
        "input": {
            "required": {"image": ["IMAGE"], "model": [["RMBG-2.0", "INSPYRENET"], {}]},
            "optional": {"sensitivity": ["FLOAT", {"default": 1.0}]},
        },
        "output": ["IMAGE", "MASK", "IMAGE"],
    },
}


@pytest.mark.parametrize(("name", "picture"), [("easy imageRemBg", "images"), ("RMBG", "image")])
def test_the_remover_of_a_node_is_used_for_a_cutout(name: str, picture: str):
    graph, catalogue = cutout_graph(name)
    assert catalogue.faults(graph) == []
    ((remover, inputs),) = nodes_of(graph, name).items()
    (decoded,) = nodes_of(graph, "VAEDecode")
    assert inputs[picture] == [decoded, 0]
    assert inputs.get("image_output", "Hide") == "Hide"
    ((inverted, mask),) = nodes_of(graph, "InvertMask").items()
    assert mask["mask"] == [remover, 1]
    ((joined, join),) = nodes_of(graph, "JoinImageWithAlpha").items()
    assert (join["image"], join["alpha"]) == ([decoded, 0], [inverted, 0])
    (save,) = nodes_of(graph, "SaveImage").values()
    assert save["images"] == [joined, 0]


def test_without_a_remover_a_cutout_is_left_to_the_chroma_key():
    graph, catalogue = cutout_graph()
    assert catalogue.faults(graph) == []
    (save,) = nodes_of(graph, "SaveImage").values()
    assert save["images"] == [next(iter(nodes_of(graph, "VAEDecode"))), 0]


def cutout_graph(*packs: str) -> tuple[dict[str, Any], Catalogue]:
    with TestNode(models=MODELS) as node, Client(node) as client:
        info = client.get("/object_info").json | {name: REMOVER[name] for name in packs}
    catalogue = Catalogue.read(info)
    spec = ImageSpec(
        "a", "b", SDXL, MODELS["checkpoints"][0], "sdxl", 768, 1152, 30, 7.0, "euler_ancestral", "karras", 5,
        background="#00ff00", cutout=True,
    )  # fmt: skip
    return builder.build(spec, catalogue, prefix="p", images={}), catalogue


def cover_graph(*packs: str) -> tuple[dict[str, Any], Catalogue]:
    with TestNode(models=MODELS) as node, Client(node) as client:
        info = client.get("/object_info").json | {name: PACK[name] for name in packs}
    catalogue = Catalogue.read(info)
    networks = (Network(LORA, "lora", 1.0, None, MODELS["loras"][0]),)
    spec = ImageSpec(
        "a", "b", SDXL, MODELS["checkpoints"][0], "sdxl", 1024, 1024, 30, 7.0, "euler_ancestral", "karras", 5,
        networks=networks, faces=True,
    )  # fmt: skip
    return builder.build(spec, catalogue, prefix="p", images={}), catalogue


def test_a_cover_gets_a_pass_over_its_faces_where_the_node_has_the_pack():
    graph, catalogue = cover_graph(*PACK)
    assert catalogue.faults(graph) == []
    ((id_, detail),) = nodes_of(graph, "FaceDetailer").items()
    (sampler,) = nodes_of(graph, "KSampler").values()
    assert (detail["model"], detail["sampler_name"]) == (sampler["model"], "euler_ancestral")
    assert detail["model"] == [next(iter(nodes_of(graph, "LoraLoader"))), 0]
    (provider,) = nodes_of(graph, "UltralyticsDetectorProvider").values()
    assert provider["model_name"] == "bbox/face_yolov8m.pt"
    (save,) = nodes_of(graph, "SaveImage").values()
    assert save["images"] == [id_, 0]


@pytest.mark.parametrize("packs", [(), ("FaceDetailer",), ("UltralyticsDetectorProvider",)])
def test_without_the_whole_pack_a_cover_is_rendered_plainly(packs: tuple[str, ...]):
    graph, catalogue = cover_graph(*packs)
    assert catalogue.faults(graph) == []
    assert {each["class_type"] for each in graph.values()}.isdisjoint(PACK)
