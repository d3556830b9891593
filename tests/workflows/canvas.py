"""Workflows as ComfyUI's canvas saves them, made of short descriptions."""

from typing import Any

Links = list[list[Any]]


def drawn(
    id_: int, kind: str, values: Any = None, inputs: str = "", outputs: str = "", mode: int = 0, **more: Any
) -> dict[str, Any]:
    """``inputs``: ``name:TYPE:link`` or ``name:TYPE`` by spaces, ``name*:TYPE`` for one drawn as a widget."""
    slots: list[dict[str, Any]] = []
    for part in inputs.split():
        name, type_, *link = part.split(":")
        slot: dict[str, Any] = {
            "name": name.rstrip("*"),
            "type": type_,
            "link": int(link[0]) if link else None,
        }
        slots.append(slot | ({"widget": {"name": name.rstrip("*")}} if "*" in name else {}))
    made: dict[str, Any] = {"id": id_, "type": kind, "mode": mode, "inputs": slots}
    made["outputs"] = [{"name": type_, "type": type_} for type_ in outputs.split()]
    return made | ({} if values is None else {"widgets_values": values}) | more


def canvas(*nodes: dict[str, Any], links: str, **more: Any) -> dict[str, Any]:
    """``links``: ``id:from.output>to.input``, by spaces."""
    return {"nodes": list(nodes), "links": wires(links), "version": 0.4} | more


def wires(links: str) -> Links:
    made: Links = []
    for part in links.split():
        id_, _, ends = part.partition(":")
        source, target = (tuple(map(int, end.split("."))) for end in ends.split(">"))
        made.append([int(id_), *source, *target, "*"])
    return made


def subgraph(
    id_: str, *nodes: dict[str, Any], links: str, inputs: str = "", outputs: str = ""
) -> dict[str, Any]:
    """``inputs`` and ``outputs``: names by spaces; its own borders are the nodes -10 and -20."""
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {
        "id": id_,
        "nodes": list(nodes),
        "links": [dict(zip(names, wire, strict=True)) for wire in wires(links)],
        "inputs": [{"name": name} for name in inputs.split()],
        "outputs": [{"name": name} for name in outputs.split()],
    }


LOADER = drawn(4, "CheckpointLoaderSimple", ["sdxl/owl.safetensors"], "ckpt_name*:COMBO", "MODEL CLIP VAE")
LATENT = drawn(5, "EmptyLatentImage", [512, 640, 1], "", "LATENT")
POSITIVE = drawn(6, "CLIPTextEncode", ["a fox"], "clip:CLIP:2", "CONDITIONING", title="Positive")
NEGATIVE = drawn(7, "CLIPTextEncode", ["blurry"], "clip:CLIP:3", "CONDITIONING")
SAMPLER = drawn(
    3,
    "KSampler",
    [7, "randomize", 20, 7.5, "euler", "normal", 1],
    "model:MODEL:1 positive:CONDITIONING:4 negative:CONDITIONING:5 latent_image:LATENT:6",
    "LATENT",
)
DECODE = drawn(8, "VAEDecode", [], "samples:LATENT:7 vae:VAE:8", "IMAGE")
SAVE = drawn(9, "SaveImage", ["mine/fox"], "images:IMAGE:9")
NODES = (LOADER, LATENT, POSITIVE, NEGATIVE, SAMPLER, DECODE, SAVE)
LINKS = "1:4.0>3.0 2:4.1>6.0 3:4.1>7.0 4:6.0>3.1 5:7.0>3.2 6:5.0>3.3 7:3.0>8.0 8:4.2>8.1 9:8.0>9.0"
