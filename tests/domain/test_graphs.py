"""The text-to-image graph."""

from dataclasses import replace
from typing import Any

import pytest

from imagemill.domain.graphs import Graph, text_to_image
from imagemill.domain.images import GraphSpec, ImageSpec, Network, render_cost_s

SPEC = ImageSpec(
    prompt="a lighthouse",
    negative_prompt="fog",
    model="urn:air:sd1:checkpoint:civitai:4384@128713",
    model_path="sd1/civitai/4384/128713.safetensors",
    family="sd1",
    width=640,
    height=448,
    steps=20,
    cfg_scale=7.0,
    sampler="euler_ancestral",
    scheduler="normal",
    seed=42,
)
OUTPUTS = {
    "CheckpointLoaderSimple": ("MODEL", "CLIP", "VAE"),
    "LoraLoader": ("MODEL", "CLIP"),
    "CLIPSetLastLayer": ("CLIP",),
    "VAELoader": ("VAE",),
    "CLIPTextEncode": ("CONDITIONING",),
    "EmptyLatentImage": ("LATENT",),
    "KSampler": ("LATENT",),
    "VAEDecode": ("IMAGE",),
    "SaveImage": (),
}
WANTED = {
    "model": "MODEL",
    "clip": "CLIP",
    "vae": "VAE",
    "positive": "CONDITIONING",
    "negative": "CONDITIONING",
    "latent_image": "LATENT",
    "samples": "LATENT",
    "images": "IMAGE",
}


def lora(number: int, **more: Any) -> Network:
    return Network(
        f"urn:air:sd1:lora:civitai:{number}@{number}", "lora", path=f"lora/{number}.safetensors", **more
    )


def only(graph: Graph, class_type: str) -> dict[str, Any]:
    found = [node for node in graph.values() if node["class_type"] == class_type]
    assert len(found) == 1
    return found[0]["inputs"]


def source(graph: Graph, inputs: dict[str, Any], name: str) -> dict[str, Any]:
    return graph[inputs[name][0]]


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        replace(SPEC, clip_skip=2),
        replace(SPEC, networks=(lora(1), lora(2))),
        replace(SPEC, networks=(Network("v", "vae", path="v.pt"), lora(3)), clip_skip=4, count=3),
    ],
)
def test_every_link_ends_at_an_output_of_the_right_type(spec: ImageSpec):
    graph = text_to_image(spec)
    for node in graph.values():
        for name, value in node["inputs"].items():
            assert isinstance(value, list) == (name in WANTED)
            if name in WANTED:
                origin, output = value
                assert OUTPUTS[graph[origin]["class_type"]][output] == WANTED[name]


def test_a_plain_request_loads_encodes_samples_decodes_and_saves():
    graph = text_to_image(SPEC)
    assert sorted(node["class_type"] for node in graph.values()) == [
        "CLIPTextEncode",
        "CLIPTextEncode",
        "CheckpointLoaderSimple",
        "EmptyLatentImage",
        "KSampler",
        "SaveImage",
        "VAEDecode",
    ]
    sampler = only(graph, "KSampler")
    assert (sampler["seed"], sampler["steps"], sampler["cfg"], sampler["denoise"]) == (42, 20, 7.0, 1.0)
    assert (sampler["sampler_name"], sampler["scheduler"]) == ("euler_ancestral", "normal")
    assert source(graph, sampler, "positive")["inputs"]["text"] == "a lighthouse"
    assert source(graph, sampler, "negative")["inputs"]["text"] == "fog"
    assert only(graph, "EmptyLatentImage") == {"width": 640, "height": 448, "batch_size": 1}
    assert only(graph, "CheckpointLoaderSimple") == {"ckpt_name": "sd1/civitai/4384/128713.safetensors"}


def test_loras_are_chained_on_the_model_and_the_clip():
    graph = text_to_image(replace(SPEC, networks=(lora(1, strength=0.5), lora(2, strength=-1.5))))
    last = source(graph, only(graph, "KSampler"), "model")
    assert last["inputs"]["lora_name"] == "lora/2.safetensors"
    assert (last["inputs"]["strength_model"], last["inputs"]["strength_clip"]) == (-1.5, -1.5)
    first = source(graph, last["inputs"], "model")
    assert first is source(graph, last["inputs"], "clip")
    assert first["inputs"]["lora_name"] == "lora/1.safetensors"
    assert source(graph, first["inputs"], "model")["class_type"] == "CheckpointLoaderSimple"
    for encode in (node for node in graph.values() if node["class_type"] == "CLIPTextEncode"):
        assert source(graph, encode["inputs"], "clip") is last


@pytest.mark.parametrize("type_", ["lora", "lycoris", "dora"])
def test_every_kind_of_lora_is_loaded(type_: str):
    graph = text_to_image(replace(SPEC, networks=(Network("a", type_, path="a.safetensors"),)))
    assert only(graph, "LoraLoader")["lora_name"] == "a.safetensors"


@pytest.mark.parametrize("clip_skip", [0, 1])
def test_a_clip_skip_of_one_is_none(clip_skip: int):
    graph = text_to_image(replace(SPEC, clip_skip=clip_skip))
    assert all(node["class_type"] != "CLIPSetLastLayer" for node in graph.values())


def test_clip_skip_comes_after_the_loras_and_before_both_prompts():
    graph = text_to_image(replace(SPEC, clip_skip=2, networks=(lora(1),)))
    skip = only(graph, "CLIPSetLastLayer")
    assert skip["stop_at_clip_layer"] == -2
    assert source(graph, skip, "clip")["class_type"] == "LoraLoader"
    for encode in (node for node in graph.values() if node["class_type"] == "CLIPTextEncode"):
        assert source(graph, encode["inputs"], "clip")["class_type"] == "CLIPSetLastLayer"


def test_a_vae_of_its_own_decodes():
    graph = text_to_image(replace(SPEC, networks=(Network("a", "vae", path="own.pt"),)))
    decode = only(graph, "VAEDecode")
    assert source(graph, decode, "vae") == {"class_type": "VAELoader", "inputs": {"vae_name": "own.pt"}}


def test_without_one_the_checkpoint_decodes():
    graph = text_to_image(SPEC)
    assert source(graph, only(graph, "VAEDecode"), "vae")["class_type"] == "CheckpointLoaderSimple"


def test_sixty_four_loras_take_no_other_node_s_place():
    graph = text_to_image(replace(SPEC, networks=tuple(lora(n) for n in range(64)), clip_skip=2))
    assert sum(node["class_type"] == "LoraLoader" for node in graph.values()) == 64
    assert len(graph) == 64 + 8


def test_a_render_costs_more_with_more_pixels_steps_and_pictures():
    assert render_cost_s(replace(SPEC, width=512, height=512)) == 1.0
    assert render_cost_s(replace(SPEC, width=1024, height=1024, steps=40, count=2)) == 16.0
    assert render_cost_s(replace(SPEC, width=8, height=8, steps=1)) == 0.05
    assert render_cost_s(GraphSpec({}, count=2)) == 8.0
