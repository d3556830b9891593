"""The ``comfy`` recipe: what becomes of a client's graph when it is accepted."""

from typing import Any

import pytest

from imagemill.domain.air import Resource, parse
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import GraphSpec
from imagemill.recipes import comfy
from imagemill.recipes.comfy import Comfy

SDXL = "urn:air:sdxl:checkpoint:civitai:101055@128078"
LORA = "urn:air:sdxl:lora:civitai:82098@87153"


class Shelf:
    """Has every model."""

    def resource(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        return Resource(parse(SDXL if air == "@civitai/128078" else air))

    def picture(self, path: str, text: str) -> str:
        raise AssertionError("a graph brings no pictures")


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def completed(graph: dict[str, Any], **more: Any) -> Comfy:
    return comfy.complete(Comfy(graph=graph, **more), Shelf(), "params.")


def test_airs_become_files_wherever_they_stand():
    accepted = completed(
        {
            "1": node("CheckpointLoaderSimple", ckpt_name="@civitai/128078"),
            "2": node("Power Lora Loader (rgthree)", lora_1={"on": True, "lora": LORA, "strength": 0.8}),
        }
    )
    assert accepted.graph["1"]["inputs"]["ckpt_name"] == "sdxl/civitai/101055/128078.safetensors"
    assert accepted.graph["2"]["inputs"]["lora_1"] == {
        "on": True, "lora": "lora/sdxl/civitai/82098/87153.safetensors", "strength": 0.8,
    }  # fmt: skip
    assert accepted.checkpoint == SDXL


def test_a_checkpoint_named_by_its_file_counts_for_the_choice_of_a_node():
    accepted = completed({"1": node("CheckpointLoaderSimple", ckpt_name="SD1/Own.safetensors")})
    assert accepted.checkpoint == "file:SD1/Own.safetensors"
    assert comfy.RECIPE.model(accepted) == "file:sd1/own.safetensors"


def test_a_graph_without_a_checkpoint_needs_none():
    accepted = completed({"1": node("EmptyImage", width=64), "2": node("SaveImage", images=["1", 0])})
    assert accepted.checkpoint == ""


def test_both_spellings_of_a_node_are_read():
    accepted = completed({"1": {"classType": "EmptyImage", "inputs": {}, "meta": {"title": "Blank"}}})
    assert accepted.graph == {"1": {"class_type": "EmptyImage", "inputs": {}, "_meta": {"title": "Blank"}}}


def test_a_seed_word_becomes_the_seed():
    accepted = completed({"1": node("KSampler", seed="{seed}", note="seed {seed}")}, seed=7)
    assert accepted.graph["1"]["inputs"] == {"seed": 7, "note": "seed 7"}
    assert accepted.seed == 7


@pytest.mark.parametrize("seed", [None, -1])
def test_a_seed_that_is_not_given_is_drawn_and_told(seed: int | None):
    accepted = completed({"1": node("KSampler", seed="{seed}")}, seed=seed)
    assert accepted.graph["1"]["inputs"]["seed"] == accepted.seed
    assert accepted.seed is not None
    assert 0 <= accepted.seed < 2**32


def test_the_graph_s_own_seed_is_kept_told_and_moved_on_for_more_pictures():
    graph = {"1": node("KSampler", seed=100), "2": node("RandomNoise", noise_seed=5)}
    assert completed(graph, seed=7).seed == 100
    third = completed(graph, number=2)
    assert third.graph["1"]["inputs"]["seed"] == 102
    assert third.graph["2"]["inputs"]["noise_seed"] == 7
    assert third.seed == 102


def test_other_words_become_their_values_and_unknown_ones_stay():
    graph = {"1": node("CLIPTextEncode", text="a {animal} in {place}"), "2": node("X", width="{width}")}
    accepted = completed(graph, variables={"animal": "fox", "width": 640})
    assert accepted.graph["1"]["inputs"]["text"] == "a fox in {place}"
    assert accepted.graph["2"]["inputs"]["width"] == 640


@pytest.mark.parametrize(
    ("graph", "path", "message"),
    [
        ({}, "params.workflow", "is empty"),
        ({"nodes": [], "links": []}, "params.workflow", "UI format"),
        ({"7": {"inputs": {}}}, "params.workflow['7']", "class_type"),
    ],
)
def test_what_is_no_graph_is_refused_at_its_node(graph: dict[str, Any], path: str, message: str):
    with pytest.raises(InvalidInput) as refused:
        completed(graph)
    assert refused.value.errors[0].path == path
    assert message in refused.value.errors[0].message


def test_a_graph_too_large_is_refused():
    with pytest.raises(InvalidInput, match="the maximum is 2000"):
        completed({str(number): node("X") for number in range(2001)})


def test_the_plan_is_the_graph_and_its_checkpoint():
    accepted = completed({"1": node("CheckpointLoaderSimple", ckpt_name=SDXL)}, seed=3)
    work = comfy.plan(accepted).work
    assert isinstance(work, GraphSpec)
    assert (work.graph, work.models) == (accepted.graph, (SDXL,))
