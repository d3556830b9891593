"""Removal of a picture's background by a node pack, where the node has one; core nodes have no such model."""

from typing import Any

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.graph import Graph, Link, add
from imagemill.graphs.node_classes import NodeClass

REMOVERS = ("RMBG", "easy imageRemBg", "InspyrenetRembg")
"""Classes of ComfyUI-RMBG, ComfyUI-Easy-Use and ComfyUI-Inspyrenet-Rembg, the best first. Their mask is white
where the subject is."""
_JOIN, _INVERT = "JoinImageWithAlpha", "InvertMask"
_REMOVED, _INVERTED, _JOINED = "60", "61", "62"


def remover(catalogue: Catalogue | None) -> str | None:
    """The node's class that removes backgrounds; None if it has none."""
    if catalogue is None or not {_JOIN, _INVERT} <= catalogue.classes:
        return None
    return next((name for name in REMOVERS if _usable(catalogue.node_class(name))), None)


def remove_background(graph: Graph, catalogue: Catalogue | None, picture: Link) -> Link:
    """Add the node's remover and return the link to the picture with alpha; ``picture`` if there is none."""
    name = remover(catalogue)
    found = catalogue.node_class(name) if catalogue is not None and name is not None else None
    if found is None or name is None:
        return picture
    widgets = {each.name: each.default for each in found.inputs.values() if each.required and each.is_widget}
    inputs: dict[str, Any] = {**widgets, _image_input(found): picture}
    if "image_output" in widgets:
        inputs["image_output"] = "Hide"  # Easy-Use would save the picture, too
    add(graph, _REMOVED, name, "Remove background", **inputs)
    # Alpha in ComfyUI is 1 where a picture is transparent.
    add(graph, _INVERTED, _INVERT, "Invert mask", mask=(_REMOVED, (found.outputs or ()).index("MASK")))
    return (add(graph, _JOINED, _JOIN, "Join alpha", image=picture, alpha=(_INVERTED, 0)), 0)


def _usable(found: NodeClass | None) -> bool:
    """Whether the class takes a picture, returns a mask, and needs nothing else that is linked."""
    if found is None or not found.readable or "MASK" not in (found.outputs or ()):
        return False
    linked = [each for each in found.inputs.values() if each.required and not each.is_widget]
    return [each.type for each in linked] == ["IMAGE"]


def _image_input(found: NodeClass) -> str:
    return next(each.name for each in found.inputs.values() if each.required and each.type == "IMAGE")
