"""The recipe ``comfy``: a ComfyUI graph in API format, rendered as it is.

AIRs anywhere in its inputs, and behind ``embedding:`` in its texts, are replaced by the model files,
``{seed}`` and other ``{words}`` by the given values, and pictures that its loaders name by URL are fetched.
Old names of samplers become ComfyUI's. Differences in a node's spelling of file names are resolved when the
graph is sent to the node.
"""

import re
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.clock import random_below
from imagemill.domain.credits import Rate
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.domain.images import MAX_SEED, GraphSpec
from imagemill.domain.moderation import PromptTexts
from imagemill.graphs import graph as graphs
from imagemill.graphs import prompt_texts
from imagemill.graphs.embeddings import embedding_airs, place_embeddings
from imagemill.graphs.errors import InvalidGraph
from imagemill.graphs.files import file_kind
from imagemill.media.postprocess import ConvertFormat
from imagemill.recipes.base import Plan, Recipe, ResourceResolver

FILE = "file:"
"""Prefix of a checkpoint that is named by its file on the node, not by an AIR."""
MAX_NODES = 2000
MAX_PICTURES = 32
Scalar = str | int | float | bool

_PICTURE_LOADERS = ("LoadImage", "LoadImageMask")
_PICTURE_SOURCES = ("data:", "http://", "https://", "blob:", "output:")
_FORMATS = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg", "webp": "webp"}
_READS_BRACES = re.compile(r"format|template|style|wildcard|dynamic|replace", re.IGNORECASE)
"""Classes that have a meaning of their own for braces."""


class Comfy(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    graph: dict[str, Any] = Field(
        description="The graph in ComfyUI's API format: node id -> {class_type, inputs}."
    )
    seed: int | None = Field(
        None,
        ge=-1,
        json_schema_extra={"maximum": graphs.SEEDS - 1},
        description="Replaces {seed} in the graph; -1 or absent draws a random seed. It may have 64 bits: "
        "JavaScript's numbers are exact up to 2^53 only.",
    )
    variables: dict[str, Scalar] = Field(
        default={},
        max_length=100,
        description="Values for other {words} in the graph's texts, in any case.",
    )
    number: int = Field(
        default=0, ge=0, description="Number of the picture within a batch of one graph; added to its seeds."
    )
    checkpoint: str = Field(
        "", description="The first checkpoint's AIR or file; set when the job is accepted."
    )
    pictures: dict[str, str] = Field({}, description="Sources of pictures; set when the job is accepted.")
    format: str = Field(
        "",
        pattern="^(png|jpeg|webp)?$",
        description="Format of the pictures; when absent, that of an input `format` of a SaveImage, else the "
        "node's own.",
    )

    @cached_property
    def normalised(self) -> graphs.Graph:
        """The graph in one spelling, which is not to be changed. Raises `InvalidGraph`.

        A submission needs it to check its texts, and to be completed.
        """
        return graphs.normalise(self.graph)


def checkpoint_of(graph: Mapping[str, Mapping[str, Any]], airs: Mapping[str, str]) -> str:
    """Return the first checkpoint the graph loads: its AIR, if ``airs`` has one for the file, else `FILE` +
    file."""
    for id_, place, kind, file in graphs.file_inputs(graph):
        if kind == "checkpoint" and file_kind(graph[id_]["class_type"], str(place[0])):
            return airs.get(file, f"{FILE}{file}")
    return ""


def complete(input_: Comfy, resolver: ResourceResolver, path: str) -> Comfy:
    graph, format_ = _without_format(graphs.repair_samplers(_parse_graph(input_, path)), path)
    _check_words(graph, input_, path)
    if input_.seed is not None and input_.seed >= graphs.SEEDS:
        raise InvalidInput.at(f"{path}seed", f"is {input_.seed}; the largest seed is {graphs.SEEDS - 1}")
    seed = input_.seed if input_.seed is not None and input_.seed >= 0 else random_below(MAX_SEED + 1)
    template = _reseeded(graph, input_.number, path)
    filled = graphs.substitute(template, _lowered(input_.variables) | {"seed": seed})
    used = _reported_seed(filled, seed if "seed" in _word_names(graph) else None, input_.seed, path)
    resolved, checkpoint = _with_files(filled, resolver, f"{path}workflow")
    placed, pictures = _with_pictures(resolved, resolver, f"{path}workflow")
    check_marks(input_.variables, pictures, f"{path}variables.")
    return Comfy(
        graph=placed,
        seed=used,
        checkpoint=checkpoint,
        pictures=pictures,
        format=input_.format or format_,
    )


def _lowered(variables: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {name.lower(): value for name, value in variables.items()}


def _word_names(graph: graphs.Graph) -> set[str]:
    return {name.lower() for _, _, name in graphs.words(graph)}


def _check_words(graph: graphs.Graph, input_: Comfy, path: str) -> None:
    """Raise `InvalidInput` for values that no word takes, and for words in texts that get no value."""
    given, wanted = _lowered(input_.variables), _word_names(graph)
    errors = [
        FieldError(
            f"{path}variables.{name}",
            f"has no effect: no text of the graph has {{{name}}}; it has {_list_words(wanted)}",
        )
        for name in input_.variables
        if name.lower() not in wanted
    ]
    if len(given) < len(input_.variables) or "seed" in given:
        what = "seed, which is a field of its own" if "seed" in given else "a name twice, in different cases"
        errors.append(FieldError(f"{path}variables", f"has {what}"))
    for id_, input_name, word in graphs.words(graph):
        node = graph[id_]
        encodes = graphs.parse_link(node["inputs"].get("clip")) is not None
        expected = encodes or (given and not _READS_BRACES.search(node["class_type"]))
        if expected and word.lower() not in (*given, *graphs.MARKS):
            message = f"has {{{word}}}, and no value for it is given; send `{word}`, or take out the braces"
            errors.append(FieldError(f"{path}workflow[{id_!r}].inputs.{input_name}", message))
    if errors:
        raise InvalidInput(errors)


def _list_words(words: set[str]) -> str:
    return ", ".join(f"{{{word}}}" for word in sorted(words)[:20]) or "no such words"


def _reseeded(graph: graphs.Graph, number: int, path: str) -> graphs.Graph:
    """Return the graph for a further picture. Raises `InvalidInput` when it would be the same picture."""
    reseeded = graphs.reseed(graph, number)
    which = f" in picture {number + 1}" if number else ""
    for (id_, name), seed in graphs.seeds(reseeded).items():
        if seed >= graphs.SEEDS:
            raise InvalidInput.at(
                f"{path}workflow[{id_!r}].inputs.{name}",
                f"is {seed}{which}; the largest seed is {graphs.SEEDS - 1}",
            )
    if number and reseeded == graph and "seed" not in _word_names(graph):
        computed = next(graphs.computed_seeds(graph), None)
        if computed is not None:
            raise InvalidInput.at(
                f"{path}workflow[{computed[0]!r}].inputs.{computed[1]}",
                "is computed by other nodes, so several pictures would be the same; write a number or {seed}",
            )
    return reseeded


def _reported_seed(graph: graphs.Graph, word: int | None, given: int | None, path: str) -> int | None:
    """Return the seed that is reported as the picture's: that of ``{seed}``, else the first in the graph."""
    if word is not None:
        return word
    literal = next(iter(graphs.seeds(graph).values()), None)
    if given is not None and given >= 0 and given != literal:
        raise InvalidInput.at(
            f"{path}seed", "has no effect: write {seed} in the graph where it is to go, or leave it out"
        )
    return literal


def _parse_graph(input_: Comfy, path: str) -> graphs.Graph:
    if not input_.graph:
        raise InvalidInput.at(f"{path}workflow", f"is empty; a graph looks like {graphs.EXAMPLE}")
    try:
        graph = input_.normalised
    except InvalidGraph as error:
        where = f"[{error.node_id!r}]" if error.node_id is not None else ""
        raise InvalidInput.at(f"{path}workflow{where}", str(error)) from error
    if len(graph) > MAX_NODES:
        raise InvalidInput.at(f"{path}workflow", f"has {len(graph)} nodes; the maximum is {MAX_NODES}")
    return graph


def _without_format(graph: graphs.Graph, path: str) -> tuple[graphs.Graph, str]:
    """Return the graph without the input ``format`` of SaveImage, which ComfyUI's does not have, and its
    value; empty without one."""
    changed, found = graphs.copy(graph), ""
    for id_, node in changed.items():
        if node["class_type"] != "SaveImage" or "format" not in node["inputs"]:
            continue
        given = node["inputs"].pop("format")
        where = f"{path}workflow[{id_!r}].inputs.format"
        known = _FORMATS.get(given.lower()) if isinstance(given, str) else None
        if known is None:
            raise InvalidInput.at(where, f"is {str(given)[:40]!r}; write png, jpeg or webp")
        if found not in ("", known):
            raise InvalidInput.at(where, f"is {known}, and another SaveImage has {found}; write one format")
        found = known
    return changed, found


def _with_files(graph: graphs.Graph, resolver: ResourceResolver, path: str) -> tuple[graphs.Graph, str]:
    """Return the graph with files in place of AIRs, and the first checkpoint it loads."""
    changes: dict[tuple[str, graphs.Path], str] = {}
    airs: dict[str, str] = {}
    for id_, place, value in graphs.air_inputs(graph):
        where = ".".join(str(part) for part in place)
        resource = resolver.resource(f"{path}[{id_!r}].inputs.{where}", value)
        changes[id_, place] = resource.path
        airs[resource.path] = str(resource.air)
    resolved = _with_embeddings(graphs.replace_values(graph, changes), resolver, path)
    return resolved, checkpoint_of(resolved, airs)


def _with_embeddings(graph: graphs.Graph, resolver: ResourceResolver, path: str) -> graphs.Graph:
    files: dict[str, str] = {}
    for id_, name, air in embedding_airs(graph):
        where = f"{path}[{id_!r}].inputs.{name}"
        resource = resolver.resource(where, air)
        if resource.air.type not in (None, "embedding", "other", "unknown"):
            raise InvalidInput.at(where, f"names {air} as an embedding, which is a {resource.air.type}")
        if any(sign.isspace() or sign in ",:()" for sign in resource.path):
            raise InvalidInput.at(
                where,
                f"names the embedding file {resource.path!r}, which no prompt can name: rename it without "
                "spaces, commas, colons and parentheses",
            )
        files[air] = resource.path
    return place_embeddings(graph, files)


def _with_pictures(
    graph: graphs.Graph, resolver: ResourceResolver, path: str
) -> tuple[graphs.Graph, dict[str, str]]:
    """Return the graph with names in place of URLs in its picture loaders, and the sources by these names."""
    placed, sources = graphs.copy(graph), dict[str, str]()
    for id_, node in placed.items():
        picture = node["inputs"].get("image")
        if node["class_type"] not in _PICTURE_LOADERS or not isinstance(picture, str):
            continue
        if picture.lower().startswith(_PICTURE_SOURCES):
            where = f"{path}[{id_!r}].inputs.image"
            if len(sources) >= MAX_PICTURES:
                raise InvalidInput.at(where, f"is one picture too many: at most {MAX_PICTURES} are fetched")
            name = f"picture_{len(sources) + 1}"
            sources[name] = resolver.picture(where, picture)
            node["inputs"]["image"] = f"{{{name}}}"
    return placed, sources


def check_marks(values: Mapping[str, Any], pictures: Collection[str], path: str) -> None:
    """Raise `InvalidInput` for a text that is exactly a mark of the graph, as it would be replaced."""
    marks = {f"{{{name}}}" for name in (*pictures, *graphs.MARKS)}
    for name, value in values.items():
        if isinstance(value, str) and value in marks:
            raise InvalidInput.at(
                f"{path}{name}", f"is {value}, which stands for another value; write another text"
            )


def get_texts(input_: Comfy) -> PromptTexts:
    try:
        graph = graphs.substitute(input_.normalised, _lowered(input_.variables))
    except InvalidGraph:
        # `complete` refuses the graph, with a better message.
        graph = input_.graph
    return prompt_texts.graph_texts(graph, input_.variables)


def plan(input_: Comfy) -> Plan:
    models = (input_.checkpoint,) if input_.checkpoint else ()
    work = GraphSpec(input_.graph, seed=input_.seed, models=models)
    return Plan(
        work=work,
        outputs=1,
        inputs=input_.pictures,
        transform=ConvertFormat(input_.format) if input_.format else None,
    )


EXAMPLE_GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned-emaonly.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "{subject}", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["1", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    "5": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 42,
            "steps": 20,
            "cfg": 7,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["1", 0],
            "positive": ["2", 0],
            "negative": ["3", 0],
            "latent_image": ["4", 0],
        },
    },
    "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
    "7": {"class_type": "SaveImage", "inputs": {"filename_prefix": "Imagemill", "images": ["6", 0]}},
}
"""Text to image on an SD 1.5 checkpoint, with the variable ``subject``."""

RECIPE = Recipe(
    name="comfy",
    input=Comfy,
    complete=complete,
    plan=plan,
    model=lambda input_: input_.checkpoint.lower(),
    rate=Rate(base=4.0),
    get_texts=get_texts,
    prompt_field="workflow",
    summary="The files that a graph in ComfyUI's API format saves.",
    example={"graph": EXAMPLE_GRAPH, "variables": {"subject": "a lighthouse at dusk"}},
)
