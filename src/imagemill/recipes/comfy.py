"""The recipe ``comfy``: a ComfyUI graph in API format, rendered as it is.

AIRs anywhere in its inputs are replaced by the model files, and ``{seed}`` and other ``{words}`` by the given
values. Differences in a node's spelling of file names are resolved when the graph is sent to the node.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.clock import random_below
from imagemill.domain.credits import Rate
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import MAX_SEED, GraphSpec
from imagemill.domain.moderation import PromptTexts
from imagemill.graphs import graph as graphs
from imagemill.graphs import prompt_texts
from imagemill.graphs.errors import InvalidGraph
from imagemill.graphs.files import file_kind
from imagemill.recipes.base import Plan, Recipe, ResourceResolver

FILE = "file:"
"""Prefix of a checkpoint that is named by its file on the node, not by an AIR."""
MAX_NODES = 2000
Scalar = str | int | float | bool


class Comfy(BaseModel):
    model_config = ConfigDict(extra="forbid")

    graph: dict[str, Any] = Field(
        description="The graph in ComfyUI's API format: node id -> {class_type, inputs}."
    )
    seed: int | None = Field(
        None,
        ge=-1,
        le=MAX_SEED,
        description="Replaces {seed} in the graph; -1 or absent draws a random seed.",
    )
    variables: dict[str, Scalar] = Field(
        default={}, max_length=100, description="Values for other {words} in the graph's texts."
    )
    number: int = Field(
        default=0, ge=0, description="Number of the picture within a batch of one graph; added to its seeds."
    )
    checkpoint: str = Field(
        "", description="The first checkpoint's AIR or file; set when the job is accepted."
    )


def checkpoint_of(graph: Mapping[str, Mapping[str, Any]], airs: Mapping[str, str]) -> str:
    """Return the first checkpoint the graph loads: its AIR, if ``airs`` has one for the file, else `FILE` +
    file."""
    for id_, place, kind, file in graphs.file_inputs(graph):
        if kind == "checkpoint" and file_kind(graph[id_]["class_type"], str(place[0])):
            return airs.get(file, f"{FILE}{file}")
    return ""


def complete(input_: Comfy, resolver: ResourceResolver, path: str) -> Comfy:
    graph = _parse_graph(input_.graph, path)
    seed = input_.seed if input_.seed is not None and input_.seed >= 0 else random_below(MAX_SEED + 1)
    reseeded = graphs.reseed(graph, input_.number)
    filled = graphs.substitute(reseeded, {**input_.variables, "seed": seed})
    resolved, checkpoint = _with_files(filled, resolver, f"{path}workflow")
    used = seed if filled != graphs.substitute(reseeded, input_.variables) else _literal_seed(filled)
    return Comfy(graph=resolved, seed=used, checkpoint=checkpoint)


def _parse_graph(raw: dict[str, Any], path: str) -> graphs.Graph:
    if not raw:
        raise InvalidInput.at(f"{path}workflow", f"is empty; a graph looks like {graphs.EXAMPLE}")
    if len(raw) > MAX_NODES:
        raise InvalidInput.at(f"{path}workflow", f"has {len(raw)} nodes; the maximum is {MAX_NODES}")
    try:
        return graphs.normalise(raw)
    except InvalidGraph as error:
        where = f"[{error.node_id!r}]" if error.node_id is not None else ""
        raise InvalidInput.at(f"{path}workflow{where}", str(error)) from error


def _with_files(graph: graphs.Graph, resolver: ResourceResolver, path: str) -> tuple[graphs.Graph, str]:
    """Return the graph with files in place of AIRs, and the first checkpoint it loads."""
    changes: dict[tuple[str, graphs.Path], str] = {}
    airs: dict[str, str] = {}
    for id_, place, value in graphs.air_inputs(graph):
        where = ".".join(str(part) for part in place)
        resource = resolver.resource(f"{path}[{id_!r}].inputs.{where}", value)
        changes[id_, place] = resource.path
        airs[resource.path] = str(resource.air)
    resolved = graphs.replace_values(graph, changes)
    return resolved, checkpoint_of(resolved, airs)


def _literal_seed(graph: graphs.Graph) -> int | None:
    """Return the seed in the graph itself, which is reported as the picture's seed."""
    found = (node["inputs"].get(name) for node in graph.values() for name in graphs.SEED_INPUTS)
    return next((seed for seed in found if type(seed) is int and 0 <= seed <= MAX_SEED), None)


def get_texts(input_: Comfy) -> PromptTexts:
    try:
        graph = graphs.substitute(graphs.normalise(input_.graph), input_.variables)
    except InvalidGraph:
        # `complete` refuses the graph, with a better message.
        graph = input_.graph
    return prompt_texts.graph_texts(graph, input_.variables)


def plan(input_: Comfy) -> Plan:
    models = (input_.checkpoint,) if input_.checkpoint else ()
    return Plan(work=GraphSpec(input_.graph, seed=input_.seed, models=models), outputs=1)


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
