"""Which text a sampler draws and which it avoids, however many nodes are in between."""

from typing import Any

import pytest

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.detect_inputs import read
from imagemill.graphs.graph import Graph
from imagemill.graphs.manifest import Target, bind
from imagemill.graphs.prompt_texts import graph_texts
from tests.workflows.build import node, simple_graph
from tests.workflows.object_info import link, object_info
from tests.workflows.object_info import node as described

LOADER_TEXTS = {"positive": "a fox", "negative": "fog"}


def prompts(graph: Graph, known: Catalogue | None = None) -> dict[str, tuple[Target, ...]]:
    inputs = read(graph, known).inputs
    return {one.name: one.targets for one in inputs if one.type == "text" and "prompt" in one.name}


def between(class_type: str, first: int, **more: Any) -> Graph:
    """A graph whose prompts pass a node that returns the positive one as its output ``first``."""
    graph = simple_graph()
    graph["20"] = node(class_type, positive=["6", 0], negative=["7", 0], **more)
    graph["3"]["inputs"] |= {"positive": ["20", first], "negative": ["20", first + 1]}
    return graph


@pytest.mark.parametrize(
    "class_type", ["ApplyInstantID", "BrushNet", "LTXVReferenceAudio", "WanInfiniteTalkToVideo"]
)
def test_the_prompt_is_the_positive_text_where_a_node_returns_the_model_first(class_type: str) -> None:
    graph = between(class_type, 1, model=["4", 0])
    graph["3"]["inputs"]["model"] = ["20", 0]
    assert prompts(graph) == {"prompt": (("6", "text"),), "negative_prompt": (("7", "text"),)}


def test_the_names_of_the_outputs_decide_where_they_are_known() -> None:
    odd = described({"model": link("MODEL")}, "CONDITIONING", "CONDITIONING") | {
        "output_name": ["negative", "positive"]
    }
    known = Catalogue.read(object_info() | {"Odd": odd})
    graph = between("Odd", 0)
    assert prompts(graph)["prompt"] == (("6", "text"),)
    assert prompts(graph, known)["prompt"] == (("7", "text"),)


def test_the_types_of_the_outputs_decide_where_one_of_them_is_not_in_use() -> None:
    apply = described({}, "MODEL", "CONDITIONING", "CONDITIONING")
    known = Catalogue.read(object_info() | {"Apply": apply})
    graph = between("Apply", 1)
    graph["3"]["inputs"]["negative"] = ["7", 0]
    assert prompts(graph, known)["prompt"] == (("6", "text"),)


def test_outputs_that_are_swapped_at_the_sampler_swap_the_prompts() -> None:
    graph = between("ControlNetApplyAdvanced", 0)
    graph["3"]["inputs"] |= {"positive": ["20", 1], "negative": ["20", 0]}
    assert prompts(graph) == {"prompt": (("7", "text"),), "negative_prompt": (("6", "text"),)}


def test_a_sampler_with_other_names_of_its_inputs_has_its_prompts() -> None:
    graph = simple_graph()
    inputs = graph["3"]["inputs"]
    inputs |= {"conditioning": inputs.pop("positive"), "neg_conditioning": inputs.pop("negative")}
    graph["3"]["class_type"] = "XlabsSampler"
    assert prompts(graph) == {"prompt": (("6", "text"),), "negative_prompt": (("7", "text"),)}


def test_a_text_of_base_model_and_refiner_is_one_input() -> None:
    graph = simple_graph()
    graph["10"] = node("CheckpointLoaderSimple", ckpt_name="refiner.safetensors")
    graph["11"] = node("CLIPTextEncode", text="a fox", clip=["10", 1])
    graph["12"] = node("CLIPTextEncode", text="another text", clip=["10", 1])
    refining = {"positive": ["11", 0], "negative": ["12", 0], "latent_image": ["3", 0]}
    graph["13"] = node("KSampler", **graph["3"]["inputs"] | refining)
    graph["8"]["inputs"]["samples"] = ["13", 0]
    assert prompts(graph) == {
        "prompt": (("6", "text"), ("11", "text")),
        "negative_prompt": (("7", "text"),),
        "negative_prompt_2": (("12", "text"),),
    }
    bound = bind(read(graph, None), {"prompt": "an owl"}, {})
    assert [bound[id_]["inputs"]["text"] for id_ in ("6", "11")] == ["an owl", "an owl"]


@pytest.mark.parametrize(
    "sampled",
    [
        {"model": ["2", 0], "positive": ["2", 1], "negative": ["2", 2], "latent_image": ["2", 3]},
        {"pipe": ["2", 0]},
    ],
)
def test_prompts_that_a_loader_encodes_are_its_texts(sampled: dict[str, Any]) -> None:
    graph: Graph = {
        "2": node("Efficient Loader", ckpt_name="x.safetensors", token_normalization="none", **LOADER_TEXTS),
        "4": node("KSampler (Efficient)", seed=4, steps=20, cfg=7, **sampled),
        "5": node("SaveImage", images=["4", 5], filename_prefix="x"),
    }
    assert prompts(graph) == {"prompt": (("2", "positive"),), "negative_prompt": (("2", "negative"),)}


@pytest.mark.parametrize(
    ("joined", "expected"),
    [
        (node("StringConcatenate", string_a="ink of ", string_b=["31", 0], delimiter=", "), ("31", "value")),
        (node("StringFunction|pysssss", action="append", text_a=["31", 0], text_b=""), ("31", "value")),
        (node("TextGenerate", prompt=["31", 0], max_length=64, clip=["4", 1]), ("31", "value")),
        (node("StringConcatenate", string_a="ink", string_b="a fox", delimiter=""), ("30", "string_a")),
    ],
)
def test_a_prompt_that_is_joined_of_texts_is_the_text_that_a_node_holds(
    joined: dict[str, Any], expected: Target
) -> None:
    graph = simple_graph() | {"30": joined, "31": node("PrimitiveStringMultiline", value="a fox")}
    graph["6"]["inputs"]["text"] = ["30", 0]
    found = prompts(graph)
    assert found["prompt"] == (expected,)
    assert not any(target[1] == "delimiter" for targets in found.values() for target in targets)


def test_texts_that_are_joined_in_a_circle_end() -> None:
    graph = simple_graph()
    graph["6"]["inputs"]["text"] = ["30", 0]
    graph["30"] = node("Join", string_a=["31", 0], string_b=["31", 0], extra=1)
    graph["31"] = node("Join", string_a=["30", 0], string_b=["30", 0], extra=1)
    assert "prompt" not in prompts(graph)


def test_text_encoders_are_models_that_can_be_chosen() -> None:
    graph: Graph = simple_graph() | {
        "4": node("UNETLoader", unet_name="flux.safetensors"),
        "14": node("DualCLIPLoader", clip_name1="l.safetensors", clip_name2="t5.safetensors", type="flux"),
    }
    for id_ in ("6", "7"):
        graph[id_]["inputs"]["clip"] = ["14", 0]
    found = {one.name: (one.type, one.targets) for one in read(graph, None).inputs}
    assert found["text_encoder"] == ("model", (("14", "clip_name1"),))
    assert found["text_encoder_2"] == ("model", (("14", "clip_name2"),))


# What moderation reads.


def drawn(graph: Graph) -> str:
    return graph_texts(graph).prompt


def test_a_text_that_every_sampler_avoids_is_negative() -> None:
    graph = between("ControlNetApplyAdvanced", 0)
    assert "blurry" not in drawn(graph)
    assert graph_texts(graph).negative == "blurry"


@pytest.mark.parametrize("cfg", [0, 0.9, -1, ["40", 0], "7"])
def test_a_negative_text_is_drawn_where_the_cfg_is_low_or_unknown(cfg: Any) -> None:
    graph = simple_graph()
    graph["3"]["inputs"]["cfg"] = cfg
    assert "blurry" in drawn(graph)


def test_a_negative_text_behind_swapped_outputs_is_drawn() -> None:
    graph = between("ControlNetApplyAdvanced", 0)
    graph["3"]["inputs"] |= {"positive": ["20", 1], "negative": ["20", 0]}
    assert "blurry" in drawn(graph)
    graph["3"]["inputs"] |= {"positive": ["20", 1], "negative": ["7", 0]}
    assert "blurry" in drawn(graph)


def test_a_negative_text_that_one_of_two_samplers_draws_counts() -> None:
    graph = between("ControlNetApplyAdvanced", 0)
    graph["13"] = node("KSampler", **graph["3"]["inputs"] | {"positive": ["20", 1], "cfg": 7})
    assert "blurry" in drawn(graph)


def test_the_texts_of_a_loader_are_told_apart() -> None:
    graph: Graph = {
        "2": node("Efficient Loader", ckpt_name="x.safetensors", **LOADER_TEXTS),
        "4": node("KSampler (Efficient)", cfg=7, positive=["2", 1], negative=["2", 2]),
    }
    assert graph_texts(graph).negative == "fog"
    graph["4"]["inputs"] |= {"positive": ["2", 2], "negative": ["2", 1]}
    assert "fog" in drawn(graph)


def test_a_negative_text_in_a_pipe_is_avoided_by_a_sampler_only() -> None:
    graph: Graph = {
        "1": node("CLIPTextEncode", text="fog", clip=["9", 1]),
        "2": node("ToBasicPipe", model=["9", 0], positive=["8", 0], negative=["1", 0]),
        "3": node("FaceDetailerPipe", basic_pipe=["2", 0], cfg=7),
    }
    assert graph_texts(graph).negative == "fog"
    graph["3"] = node("FromBasicPipe", basic_pipe=["2", 0])
    graph["4"] = node("KSampler", cfg=7, positive=["3", 4], negative=["3", 3])
    assert "fog" in drawn(graph)
