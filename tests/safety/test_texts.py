"""The texts of a graph: which say what shall be in the picture, and which what shall not."""

from typing import Any

from imagemill.graphs.prompt_texts import graph_texts
from imagemill.recipes import comfy, text_to_image


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


GRAPH = {
    "1": node("CheckpointLoaderSimple", ckpt_name="kids.safetensors"),
    "2": node("CLIPTextEncode", text="a lighthouse", clip=["1", 1]),
    "3": node("CLIPTextEncode", text="nude", clip=["1", 1]),
    "4": node("KSampler", positive=["2", 0], negative=["3", 0], model=["1", 0], sampler_name="euler"),
}


def test_what_only_a_negative_input_draws_on_is_negative():
    found = graph_texts(GRAPH)
    assert "a lighthouse" in found.prompt
    assert "nude" not in found.prompt
    assert found.negative == "nude"
    assert "kids" not in found.prompt


def test_a_text_that_goes_to_both_counts():
    both = {**GRAPH, "4": node("KSampler", positive=["3", 0], negative=["3", 0], model=["1", 0])}
    assert "nude" in graph_texts(both).prompt


def test_a_circle_of_links_ends():
    circle = {"1": node("A", negative=["2", 0]), "2": node("B", x=["1", 0], text="hello")}
    assert "hello" in graph_texts(circle).prompt + graph_texts(circle).negative


def test_what_is_no_graph_has_its_texts_all_the_same():
    assert graph_texts({"1": {"inputs": {"a": {"b": ["nude", "x"]}}}, "2": 5}).prompt == "nude\nx"


def test_words_put_together_from_variables_are_seen():
    graph = {"1": node("CLIPTextEncode", text="{a}{b} child")}
    found = comfy.get_texts(comfy.Comfy(graph=graph, variables={"a": "nu", "b": "de"}))
    assert "nude child" in found.prompt


def test_trigger_words_are_texts_too():
    networks = [text_to_image.NetworkInput(air="x", trigger_word="drawn by hand")]
    given = text_to_image.TextToImage(model="m", prompt="a", negative_prompt="b", networks=networks)
    found = text_to_image.get_texts(given)
    assert (found.whole, found.negative) == ("a\ndrawn by hand", "b")
