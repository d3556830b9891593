"""Values are checked by name and put into the graph; LoRAs are chained into it."""

from dataclasses import replace
from typing import Any

import pytest

from imagemill.domain.errors import InvalidInput
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.graph import Graph
from imagemill.graphs.manifest import Input, Workflow, bind
from tests.workflows.build import node, only, simple_graph, source
from tests.workflows.test_manifest import FOX, LORAS, PROMPT, SEED, STEPS

GIVEN = {"prompt": "an owl"}


def bound(workflow: Workflow = FOX, /, **values: Any) -> Graph:
    return bind(workflow, GIVEN | values, {})


def test_values_are_written_and_defaults_fill_the_rest() -> None:
    graph = bound(replace(FOX, inputs=(PROMPT, replace(STEPS, default=33))))
    assert graph["6"]["inputs"]["text"] == "an owl"
    assert graph["3"]["inputs"]["steps"] == 33
    assert graph["3"]["inputs"]["cfg"] == 7.5
    assert FOX.graph == simple_graph()


def test_one_value_reaches_all_its_targets() -> None:
    both = Input("prompt", "text", (("6", "text"), ("7", "text")))
    graph = bind(replace(FOX, inputs=(both,)), {"prompt": "same"}, {})
    assert graph["6"]["inputs"]["text"] == graph["7"]["inputs"]["text"] == "same"


def test_a_whole_number_is_written_as_one() -> None:
    steps = only(bound(steps=8.0), "KSampler")["steps"]
    assert (steps, type(steps)) == (8, int)


@pytest.mark.parametrize(
    ("values", "path", "said"),
    [
        ({"prompt": 3}, "prompt", "3 is not a text"),
        ({"steps": 51}, "steps", "51 is above 50"),
        ({"steps": True}, "steps", "True is not a number"),
        ({"steps": float("inf")}, "steps", "is not a number"),
        ({"sampler": "plms"}, "sampler", "'plms' is none of: euler, heun"),
        ({"seed": -1}, "seed", "-1 is below 0"),
        ({"stops": 1}, "stops", "is not an input of this workflow; it has prompt, steps"),
        ({"loras": {}}, "loras", "must be a list such as"),
        ({"loras": [{"strength": 1}]}, "loras", "[0] names no LoRA"),
        ({"loras": [{"file": "a", "weight": 1}]}, "loras", "[0].weight is unknown"),
        ({"loras": [{"file": "a", "strength": "much"}]}, "loras", "[0].strength is 'much'"),
    ],
)
def test_a_value_at_fault_is_told_by_the_input_s_name(values: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        bound(FOX, **values)
    (error,) = caught.value.errors
    assert error.path == path
    assert said in error.message


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        bind(FOX, {"steps": 0, "seed": "x"}, {})
    assert {error.path for error in caught.value.errors} == {"prompt", "steps", "seed"}


def test_pictures_take_the_name_the_node_gave_them() -> None:
    graph = simple_graph() | {"1": node("LoadImage", image="old.png")}
    picture = Input("image", "image", (("1", "image"),), required=True)
    workflow = replace(FOX, graph=graph, inputs=(picture,))
    assert only(bind(workflow, {"image": "sent by the client"}, {"image": "in/a.png"}), "LoadImage") == {
        "image": "in/a.png"
    }
    with pytest.raises(InvalidInput, match="send a picture"):
        bind(workflow, {}, {})
    optional = replace(workflow, inputs=(replace(picture, required=False),))
    assert only(bind(optional, {}, {}), "LoadImage") == {"image": "old.png"}


def test_a_model_may_be_named_by_air_or_file() -> None:
    model = Input("checkpoint", "model", (("4", "ckpt_name"),))
    workflow = replace(FOX, inputs=(model,))
    by_air = bind(workflow, {"checkpoint": "urn:air:sd1:checkpoint:civitai:4384@128713"}, {})
    assert only(by_air, "CheckpointLoaderSimple")["ckpt_name"] == "sd1/civitai/4384/128713.safetensors"
    by_file = bind(workflow, {"checkpoint": "x.ckpt"}, {})
    assert only(by_file, "CheckpointLoaderSimple")["ckpt_name"] == "x.ckpt"


def test_loras_are_chained_in_order_with_both_strengths(catalogue: Catalogue) -> None:
    loras = [
        {"file": "ink.safetensors", "strength": 0.5},
        {"file": "style/paper.safetensors", "strength": 0.8, "strength_clip": 0.2},
    ]
    graph = bound(FOX, seed=1, loras=loras)
    assert catalogue.faults(graph) == []
    last = source(graph, only(graph, "KSampler"), "model")["inputs"]
    assert (last["lora_name"], last["strength_model"], last["strength_clip"]) == (
        "style/paper.safetensors", 0.8, 0.2,
    )  # fmt: skip
    first = source(graph, last, "clip")["inputs"]
    assert (first["lora_name"], first["strength_clip"]) == ("ink.safetensors", 0.5)
    assert source(graph, first, "model")["class_type"] == "CheckpointLoaderSimple"
    assert source(graph, graph["7"]["inputs"], "clip")["inputs"] == last
    assert only(graph, "VAEDecode")["vae"] == ["4", 2]


def test_a_lora_named_by_air_is_the_file_of_that_air() -> None:
    graph = bound(FOX, loras=[{"air": "urn:air:sd1:lora:civitai:1@2"}])
    assert only(graph, "LoraLoader")["lora_name"] == "lora/sd1/civitai/1/2.safetensors"


def test_without_a_text_encoder_loras_act_on_the_model_alone() -> None:
    workflow = replace(FOX, inputs=(PROMPT, SEED, replace(LORAS, targets=(("3", "model"),))))
    graph = bound(workflow, loras=[{"file": "ink.safetensors"}])
    assert only(graph, "LoraLoaderModelOnly")["strength_model"] == 1.0
    assert graph["6"]["inputs"]["clip"] == ["4", 1]


def test_no_loras_leave_the_graph_as_it_is() -> None:
    assert bound(FOX, loras=[]) == bound(FOX)
