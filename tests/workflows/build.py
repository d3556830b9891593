"""Requests and graphs the tests of workflows start from."""

from typing import Any

from imagemill.domain.images import ImageSpec
from imagemill.graphs.graph import Graph

FOX = ImageSpec(
    prompt="a fox",
    negative_prompt="blurry",
    model="urn:air:sd1:checkpoint:civitai:1@2",
    model_path="sd1/Fox.safetensors",
    family="sd1",
    width=512,
    height=768,
    steps=20,
    cfg_scale=7.0,
    sampler="euler",
    scheduler="normal",
    seed=42,
)
PICTURES = {"source": "in/source.png", "mask": "in/mask.png", "map": "in/map.png", "pose": "in/pose.png"}


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"class_type": class_type, "inputs": inputs}
    return made | {"_meta": {"title": title}} if title else made


def simple_graph() -> Graph:
    """Text to image, as a person would export it."""
    return {
        "4": node("CheckpointLoaderSimple", ckpt_name="sd1\\Fox.safetensors"),
        "5": node("EmptyLatentImage", width=512, height=640, batch_size=1),
        "6": node("CLIPTextEncode", "Positive", text="a fox", clip=["4", 1]),
        "7": node("CLIPTextEncode", "Negative", text="blurry", clip=["4", 1]),
        "3": node(
            "KSampler", model=["4", 0], seed=7, steps=20, cfg=7.5, sampler_name="euler", scheduler="normal",
            positive=["6", 0], negative=["7", 0], latent_image=["5", 0], denoise=1.0,
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="mine/fox"),
    }  # fmt: skip


def only(graph: Graph, class_type: str) -> dict[str, Any]:
    """The inputs of the one node of a class."""
    found = [node for node in graph.values() if node["class_type"] == class_type]
    assert len(found) == 1, f"{len(found)} nodes are a {class_type}"
    return found[0]["inputs"]


def source(graph: Graph, inputs: dict[str, Any], name: str) -> dict[str, Any]:
    """The node an input is linked to."""
    return graph[inputs[name][0]]
