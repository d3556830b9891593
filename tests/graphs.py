"""A small image-to-image graph and its manifest, for tests of workflows."""

import base64
import io
from typing import Any

from PIL import Image

from tests.conftest import SD1

MANIFEST = """\
# Written by a person.
name = "portrait"
title = "Portrait"
description = "Draws a face anew."

[inputs.prompt]
type = "text"
targets = [["2", "text"]]
help = "What the picture shows."
required = true

[inputs.steps]
type = "integer"
targets = [["5", "steps"]]
default = 8
minimum = 1
maximum = 30

[inputs.seed]
type = "seed"
targets = [["5", "seed"]]

[inputs.model]
type = "model"
targets = [["1", "ckpt_name"]]

[inputs.image]
type = "image"
targets = [["4", "image"]]

[inputs.loras]
type = "loras"
targets = [["5", "model"], ["2", "clip"], ["3", "clip"]]
"""


def graph(checkpoint: str = SD1) -> dict[str, Any]:
    """Seed 1, 6 steps, 64 x 64 pixels; the source picture is on the node already."""

    def node(class_type: str, title: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}

    return {
        "1": node("CheckpointLoaderSimple", "Model", ckpt_name=checkpoint),
        "2": node("CLIPTextEncode", "Positive", text="a lamp", clip=["1", 1]),
        "3": node("CLIPTextEncode", "Negative", text="fog", clip=["1", 1]),
        "4": node("LoadImage", "Source", image="face.png"),
        "6": node("VAEEncode", "Encode", pixels=["4", 0], vae=["1", 2]),
        "5": node(
            "KSampler", "Sampler", seed=1, steps=6, cfg=7.0, sampler_name="euler", scheduler="normal",
            denoise=0.6, model=["1", 0], positive=["2", 0], negative=["3", 0], latent_image=["6", 0],
        ),
        "7": node("VAEDecode", "Decode", samples=["5", 0], vae=["1", 2]),
        "8": node("SaveImage", "Save", filename_prefix="portrait", images=["7", 0]),
    }  # fmt: skip


def picture(colour: str = "red", side: int = 16) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


def data_url(colour: str = "red") -> str:
    return f"data:image/png;base64,{base64.b64encode(picture(colour)).decode()}"


UI_FORMAT: dict[str, Any] = {
    "nodes": [{"id": 1, "type": "CheckpointLoaderSimple", "widgets_values": ["a.safetensors"]}],
    "links": [],
    "version": 0.4,
}
"""As ComfyUI's canvas saves a workflow."""
