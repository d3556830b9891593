"""ComfyUI's official templates, and graphs reduced to what they do: classes, values and links.

A template holds its values in nodes of their own, chooses between two ways by switches, and lets a language
model rewrite the prompt. A graph for an API has none of these, so both are reduced to a tree of the nodes
that compute something, from the node that saves.
"""

import json
import operator
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.families.rows import FileRow, Variant, normalise_name
from imagemill.graphs.graph import Graph
from imagemill.graphs.ui_format import convert
from imagemill.graphs.validate import parse_link
from tests.comfyui import catalogue_images
from tests.workflows.object_info import combo, link, node

TEXTS = ("text", "prompt", "negative_prompt", "user_prompt", "system_prompt")
NOT_COMPARED = (*TEXTS, "seed", "noise_seed", "filename_prefix", "device", "width", "height", "bit_depth")
"""Inputs of the request, and those that hold a default."""
FILES = (
    "ckpt_name",
    "unet_name",
    "vae_name",
    "clip_name",
    "clip_name1",
    "clip_name2",
    "clip_name3",
    "clip_name4",
)
WRITES_TEXT = frozenset({"StringConcatenate", "TextGenerate", "RegexReplace"})
MEASURES = frozenset({"GetImageSize", "ResolutionSelector", "ComfyMathExpression"})
PRIMITIVES = (
    "PrimitiveInt",
    "PrimitiveFloat",
    "PrimitiveBoolean",
    "PrimitiveStringMultiline",
    "PrimitiveString",
)
COMMUTING = ("FluxGuidance", "FluxKontextMultiReferenceLatentMethod")
"""Nodes that set one value of a conditioning, in any order with ReferenceLatent."""
SAME = {"SaveImageAdvanced": "SaveImage", "CLIPTextEncodeLumina2": "CLIPTextEncode"}
"""Classes that do the same: in another file format; and with the sentence before a prompt, which templates
hold as text."""
NEWER = {
    "TextEncodeQwenImage21": node(
        {"clip": link("CLIP"), "prompt": ["STRING", {}], "negative_prompt": ["STRING", {}],
         "resolution": ["INT", {"default": 1024}]}, "CONDITIONING", "CONDITIONING", "LATENT", vae=link("VAE"),
    ),
    "QwenImage21Cache": node(
        {"model": link("MODEL"), "device": combo("auto"), "dtype": combo("default")}, "MODEL"
    ),
    "Flux3LayoutPrompt": node({"element": link("ARRAY")}, "STRING"),
    "CreateBoundingBoxes": node({"width": ["INT", {}], "height": ["INT", {}]}, "A", "B", "C"),
}  # fmt: skip
"""Classes that ComfyUI 0.33 does not have, as the templates show them."""

Tree = tuple[Any, ...]


def object_info(models: Mapping[str, list[str]] | None = None) -> dict[str, Any]:
    known = catalogue_images.Catalogue(True, models or {}, ["picture.png"])
    return {name: known.describe(name) for name in known.names()}


@cache
def template(name: str) -> Graph:
    path = files("comfyui_workflow_templates_json") / "templates" / f"{name}.json"
    return convert(json.loads(path.read_text(encoding="utf-8")), Catalogue.read(NEWER | object_info()))


def pictures_of(graph: Graph) -> int:
    return sum(each["class_type"] == "LoadImage" for each in graph.values())


class Reduction:
    """One graph. `variant` has the patterns that file names must fit; `is_off` turns all switches off."""

    def __init__(self, graph: Graph, variant: Variant, *, is_off: bool = False) -> None:
        self.graph, self.variant, self.is_off = graph, variant, is_off

    def tree(self) -> Tree:
        saving = ("SaveVideo", "SaveImage", "SaveImageAdvanced")
        ends = [id_ for id_, each in self.graph.items() if each["class_type"] in saving]
        ends.sort(key=lambda id_: saving.index(self.graph[id_]["class_type"]))
        return self.node(ends[0], 0)

    def value(self, raw: Any) -> Any:
        found = parse_link(raw)
        return self.node(*found) if found is not None else round(raw, 6) if isinstance(raw, float) else raw

    def node(self, id_: str, slot: int) -> Any:
        class_type, inputs = self.graph[id_]["class_type"], self.graph[id_]["inputs"]
        if class_type in PRIMITIVES:
            return self.value(inputs["value"])
        if class_type == "ComfySwitchNode":
            is_on = self.value(inputs["switch"]) and not self.is_off
            return self.value(inputs["on_true" if is_on else "on_false"])
        if class_type in MEASURES:
            return "<side>"
        if class_type in WRITES_TEXT:
            return "<text>"
        if class_type in (
            "PreviewAny",
            "ComfyNumberConvert",
            "CustomCombo",
            "JsonExtractString",
            "StringReplace",
        ):
            return self.computed(class_type, inputs)
        if class_type == "ImageStitch" and "image2" not in inputs:
            return self.value(inputs["image1"])
        if class_type == "LoadImage":
            return "<mask>" if slot else "<picture>"
        if class_type == "ImageToMask":
            return "<mask>"
        if class_type == "ImageScale" and self.value(inputs["image"]) == "<picture>":
            return "<picture>"
        return self.computing(class_type, inputs, slot)

    def computed(self, class_type: str, inputs: Mapping[str, Any]) -> Any:
        """The value of a node that looks up a number or a text."""
        values = {name: self.value(each) for name, each in inputs.items()}
        if class_type == "PreviewAny":
            return values["source"]
        if class_type == "CustomCombo":
            return values["choice"]
        if class_type == "ComfyNumberConvert":
            return float(values["value"])
        if class_type == "StringReplace":
            text = values["string"]
            return text.replace(values["find"], values["replace"]) if values["find"] == "'" else "<text>"
        try:
            found = json.loads(values["json_string"].replace("'", '"'))[values["key"]]
        except (ValueError, KeyError):
            return "<text>"
        return found if isinstance(found, str) else json.dumps(found)

    def computing(self, class_type: str, inputs: Mapping[str, Any], slot: int) -> Tree:
        kept: dict[str, Any] = {}
        for name, raw in inputs.items():
            if name in FILES:
                self.check_file(class_type, name, str(raw))
            elif name not in NOT_COMPARED and not name.startswith(("format.bit", "format.input")):
                kept[name] = self.value(raw)
        if class_type == "SaveImageAdvanced":
            del kept["format"]
        made = (SAME.get(class_type, class_type), slot, *sorted(kept.items(), key=operator.itemgetter(0)))
        return self.in_order(made) if class_type in (*COMMUTING, "ReferenceLatent") else made

    def in_order(self, made: Tree) -> Tree:
        """The chain with nodes that commute behind reference pictures, in the order of their names."""
        name, _, *inputs = made
        inner = dict(inputs)["conditioning"]
        if inner[0] in COMMUTING and (name == "ReferenceLatent" or inner[0] > name):
            others = tuple(each for each in inputs if each[0] != "conditioning")
            swapped = self.in_order((name, 0, ("conditioning", dict(inner[2:])["conditioning"]), *others))
            around = tuple(each for each in inner[2:] if each[0] != "conditioning")
            return (inner[0], 0, ("conditioning", swapped), *around)
        return made

    def check_file(self, class_type: str, name: str, file: str) -> None:
        """A file must be one that the row would choose."""
        variant = self.variant
        encoder = variant.text_encoder
        rows: dict[str, tuple[FileRow, ...]] = {"vae_name": (variant.vae,) if variant.vae else ()}
        if encoder is not None:
            rows |= {input_: (row,) for input_, row in zip(encoder.inputs, encoder.files, strict=True)}
        for row in rows.get(name, ()):
            assert row.choose((file,)) == file, f"{class_type}.{name} is {file}, not {row.patterns}"
        if name in ("ckpt_name", "unet_name"):
            known = [normalise_name(each) for each in variant.files]
            second = variant.second_model is not None and variant.second_model.choose((file,)) == file
            assert normalise_name(file) in known or second, f"{file} is none of {known}"


def nodes_of(tree: Any) -> set[Tree]:
    """(class, values without links) of every node of a tree."""
    if not isinstance(tree, tuple):
        return set()
    inputs = [each for each in tree[2:] if isinstance(each, tuple) and len(each) == 2]
    own = (tree[0], *(each for each in inputs if not isinstance(each[1], tuple)))
    return {own}.union(*(nodes_of(value) for _, value in inputs))
