"""Small graphs in API format for the node's default models."""

from collections.abc import Mapping
from typing import Any

Graph = dict[str, Any]


def node(class_type: str, title: str | None = None, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


def solid(colour: int = 0x112233, size: int = 64, prefix: str = "t", **inputs: Any) -> Graph:
    """One picture of one colour, saved."""
    return {
        "1": node("EmptyImage", width=size, height=size, batch_size=1, color=colour, **inputs),
        "2": node("SaveImage", images=["1", 0], filename_prefix=prefix),
    }


def two_outputs(colour: int = 12345, prefix: str = "lab/ops") -> Graph:
    """Scaled and inverted, then saved and shown."""
    return {
        "1": node("EmptyImage", width=64, height=64, batch_size=1, color=colour),
        "2": node(
            "ImageScale", image=["1", 0], upscale_method="bilinear", width=96, height=128, crop="center"
        ),
        "3": node("ImageInvert", image=["2", 0]),
        "4": node("SaveImage", images=["3", 0], filename_prefix=prefix),
        "5": node("PreviewImage", images=["3", 0]),
    }


def sd1(
    seed: int = 1,
    steps: int = 4,
    text: str = "a red fox in the snow",
    checkpoint: str = "sd1.safetensors",
    size: tuple[int, int] = (64, 64),
    batch: int = 1,
    prefix: str = "lab/sd1",
    **sampler: Any,
) -> Graph:
    settings = {"cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, **sampler}
    return {
        "4": node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "5": node("EmptyLatentImage", width=size[0], height=size[1], batch_size=batch),
        "6": node("CLIPTextEncode", "Positive", text=text, clip=["4", 1]),
        "7": node("CLIPTextEncode", "Negative", text="blurry, text", clip=["4", 1]),
        "3": node(
            "KSampler",
            seed=seed,
            steps=steps,
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
            **settings,
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix=prefix),
    }


def sd1_from_picture(picture: str, width: int, height: int, **more: Any) -> Graph:
    """An uploaded picture, scaled, drawn over."""
    graph = sd1(denoise=0.6, **more)
    return {
        **graph,
        "1": node("LoadImage", image=picture),
        "2": node(
            "ImageScale", image=["1", 0], upscale_method="lanczos", width=width, height=height, crop="center"
        ),
        "5": node("VAEEncode", pixels=["2", 0], vae=["4", 2]),
    }


def flux(
    seed: int = 1, steps: int = 4, text: str = "a red fox", size: int = 128, prefix: str = "lab/flux"
) -> Graph:
    return {
        "1": node("UNETLoader", unet_name="flux_dev.safetensors", weight_dtype="default"),
        "2": node(
            "DualCLIPLoader", clip_name1="clip_l.safetensors", clip_name2="t5xxl.safetensors", type="flux"
        ),
        "3": node("VAELoader", vae_name="ae.safetensors"),
        "5": node("CLIPTextEncode", text=text, clip=["2", 0]),
        "6": node("FluxGuidance", conditioning=["5", 0], guidance=3.5),
        "7": node("EmptySD3LatentImage", width=size, height=size, batch_size=1),
        "8": node("RandomNoise", noise_seed=seed),
        "9": node("KSamplerSelect", sampler_name="euler"),
        "10": node("BasicScheduler", model=["1", 0], scheduler="simple", steps=steps, denoise=1.0),
        "11": node("BasicGuider", model=["1", 0], conditioning=["6", 0]),
        "12": node(
            "SamplerCustomAdvanced",
            noise=["8", 0],
            guider=["11", 0],
            sampler=["9", 0],
            sigmas=["10", 0],
            latent_image=["7", 0],
        ),
        "13": node("VAEDecode", samples=["12", 0], vae=["3", 0]),
        "14": node("SaveImage", images=["13", 0], filename_prefix=prefix),
    }


def without(graph: Graph, name: str, given: str) -> Graph:
    """The graph with one input of one node left out."""
    inputs = {key: value for key, value in graph[name]["inputs"].items() if key != given}
    return {**graph, name: {**graph[name], "inputs": inputs}}


def changed(graph: Graph, name: str, **inputs: Any) -> Graph:
    """The graph with some inputs of one node set."""
    old: Mapping[str, Any] = graph[name]
    return {**graph, name: {**old, "inputs": {**old["inputs"], **inputs}}}
