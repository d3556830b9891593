"""``comfy``: a ComfyUI graph in API format, as it is."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.air import InvalidAir, parse, short_version
from imagemill.domain.clock import random_below
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import MAX_SEED, GraphSpec
from imagemill.recipes.base import Plan, Recipe, Shelf

MAX_NODES = 2000
_CHECKPOINT_INPUTS = ("ckpt_name", "unet_name")
_EXAMPLE = '{"1": {"class_type": "CheckpointLoaderSimple", "inputs": {...}}}'


class Comfy(BaseModel):
    model_config = ConfigDict(extra="forbid")

    graph: dict[str, Any] = Field(description="Node id -> {class_type, inputs}: ComfyUI's API format.")
    seed: int | None = Field(None, ge=-1, le=MAX_SEED)
    checkpoint: str = Field("", description="The first checkpoint's AIR; filled in when accepted.")


def complete(input_: Comfy, shelf: Shelf, path: str) -> Comfy:
    if not input_.graph:
        raise InvalidInput.at(f"{path}workflow", f"is empty; a graph looks like {_EXAMPLE}")
    if len(input_.graph) > MAX_NODES:
        raise InvalidInput.at(f"{path}workflow", f"has {len(input_.graph)} nodes; at most {MAX_NODES} pass")
    checkpoints: list[str] = []
    graph = {
        node_id: _complete_node(node, shelf, f"{path}workflow[{node_id!r}]", checkpoints)
        for node_id, node in input_.graph.items()
    }
    seed = input_.seed if input_.seed is not None and input_.seed >= 0 else random_below(MAX_SEED + 1)
    return Comfy(graph=graph, seed=seed, checkpoint=checkpoints[0] if checkpoints else "")


def _complete_node(node: Any, shelf: Shelf, path: str, checkpoints: list[str]) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise InvalidInput.at(path, f"is not a node; a graph looks like {_EXAMPLE}")
    class_type = node.get("class_type", node.get("classType"))
    if not isinstance(class_type, str):
        raise InvalidInput.at(f"{path}.class_type", "is missing: the name of the node's class")
    inputs = node.get("inputs", {})
    if not isinstance(inputs, dict):
        raise InvalidInput.at(f"{path}.inputs", "must be an object of the node's inputs")
    resolved: dict[str, Any] = {}
    for name, value in inputs.items():
        resolved[name] = value
        if isinstance(value, str) and name.endswith("_name") and _is_air(value):
            resource = shelf.resource(f"{path}.inputs.{name}", value)
            resolved[name] = resource.path
            if name in _CHECKPOINT_INPUTS:
                checkpoints.append(str(resource.air))
    complete_node: dict[str, Any] = {"class_type": class_type, "inputs": resolved}
    title = node.get("_meta", node.get("meta"))
    return complete_node if title is None else complete_node | {"_meta": title}


def _is_air(value: str) -> bool:
    if short_version(value):
        return True
    if not value.lower().startswith(("urn:air:", "air:")):
        return False
    try:
        parse(value)
    except InvalidAir:
        return False
    return True


def plan(input_: Comfy) -> Plan:
    models = (input_.checkpoint,) if input_.checkpoint else ()
    return Plan(work=GraphSpec(input_.graph, seed=input_.seed, models=models), outputs=1)


RECIPE = Recipe(
    name="comfy",
    input=Comfy,
    complete=complete,
    plan=plan,
    model=lambda input_: input_.checkpoint.lower(),
    price=lambda _: 4.0,
)
