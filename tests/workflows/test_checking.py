"""A graph is held against what a node declares; each fault names node, input and remedy."""

from typing import Any

import pytest

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.graph import Graph
from imagemill.graphs.validate import GraphFault
from tests.workflows.build import node, simple_graph


def changed(id_: str, **inputs: Any) -> Graph:
    graph = simple_graph()
    graph[id_]["inputs"].update(inputs)
    return graph


def the_fault(catalogue: Catalogue, graph: Graph) -> GraphFault:
    faults = catalogue.faults(graph)
    assert len(faults) == 1, [fault.message for fault in faults]
    return faults[0]


def test_a_sound_graph_has_no_fault(catalogue: Catalogue) -> None:
    assert catalogue.faults(simple_graph()) == []


@pytest.mark.parametrize(
    ("id_", "inputs", "kind", "said"),
    [
        ("4", {"ckpt_name": "gone.safetensors"}, "missing_file", "the checkpoint 'gone.safetensors'"),
        ("3", {"sampler_name": "plms"}, "value_not_in_list", "choose one of: ddim"),
        ("3", {"steps": 0}, "out_of_range", "from 1 to 10000"),
        ("3", {"steps": 10001}, "out_of_range", "from 1 to 10000"),
        ("3", {"steps": "many"}, "wrong_type", "not a whole number"),
        ("3", {"cfg": None}, "wrong_type", "not a number"),
        ("3", {"cfg": "nan"}, "out_of_range", "from 0 to 100"),
        ("3", {"model": ["99", 0]}, "bad_link", "node 99, which is not in the graph"),
        ("3", {"model": ["4", 9]}, "bad_link", "output 9 of node 4"),
        ("3", {"model": ["4"]}, "bad_link", "not a link"),
        ("3", {"model": [4, 0]}, "bad_link", "not a link"),
        ("3", {"model": ["4", 1]}, "wrong_type", "takes MODEL, but output 1 of node 4"),
    ],
)
def test_each_fault_is_told_by_node_and_input(
    catalogue: Catalogue, id_: str, inputs: dict[str, Any], kind: str, said: str
) -> None:
    fault = the_fault(catalogue, changed(id_, **inputs))
    (name, value) = next(iter(inputs.items()))
    assert (fault.kind, fault.node_id, fault.input, fault.value) == (kind, id_, name, value)
    assert said in fault.message
    assert f"node {id_}" in fault.message


def test_a_class_that_is_not_installed_is_told_wherever_it_stands(catalogue: Catalogue) -> None:
    fault = the_fault(catalogue, simple_graph() | {"50": node("PowerLora", lora=1)})
    assert (fault.kind, fault.class_type) == ("missing_class", "PowerLora")
    assert "install its node pack" in fault.message


def test_a_required_input_that_is_missing_is_told(catalogue: Catalogue) -> None:
    graph = simple_graph()
    del graph["3"]["inputs"]["latent_image"]
    fault = the_fault(catalogue, graph)
    assert (fault.kind, fault.input) == ("missing_input", "latent_image")


def test_an_optional_input_may_be_missing_and_an_undeclared_one_be_there(catalogue: Catalogue) -> None:
    assert catalogue.faults(changed("3", lora_1={"on": True}, anything=[1, 2, 3])) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["99", 0], "node 99, which is not in the graph"),
        (["red", 3], "node red, which is not in the graph"),
        (["4", 3], "output 3 of node 4 (CheckpointLoaderSimple), which has 3"),
        (["4", -1], "output -1 of node 4"),
        (["4", 0.5], "not a link"),
        (["4", 0.0], "not a link"),
        (["4", True], "not a link"),
    ],
)
def test_what_a_server_would_follow_to_nowhere_is_told_under_any_input(
    catalogue: Catalogue, value: list[Any], said: str
) -> None:
    fault = the_fault(catalogue, changed("9", note=value))
    assert (fault.kind, fault.node_id, fault.input, fault.value) == ("bad_link", "9", "note", value)
    assert said in fault.message


def test_a_list_that_is_wrapped_for_a_widget_is_checked_as_the_link_it_becomes(catalogue: Catalogue) -> None:
    fault = the_fault(catalogue, changed("9", filename_prefix={"__value__": ["red", 3]}))
    assert (fault.kind, fault.input) == ("bad_link", "filename_prefix")
    assert catalogue.faults(changed("9", filename_prefix={"__value__": ["red", "blue"]})) == []


def test_a_good_link_under_an_undeclared_input_reaches_its_node(catalogue: Catalogue) -> None:
    graph = changed("9", note=["50", 0]) | {"50": node("LoraLoaderModelOnly", model=["99", 0])}
    graph["50"]["inputs"] |= {"lora_name": "style.safetensors", "strength_model": 1.0}
    assert [fault.node_id for fault in catalogue.faults(graph) if fault.kind == "bad_link"] == ["50"]


def test_links_of_nodes_that_no_output_needs_are_not_checked(catalogue: Catalogue) -> None:
    assert (
        catalogue.faults(simple_graph() | {"50": node("VAEDecode", samples=["99", 0], note=["red", 3])}) == []
    )


def test_a_class_with_a_damaged_description_is_checked_for_its_links() -> None:
    catalogue = Catalogue.read(
        {"Source": {"input": {"required": {}}, "output": ["IMAGE"]}, "Broken": {"input": "?"}}
        | {"Keep": {"input": {"required": {"images": ["*", {}]}}, "output": [], "output_node": True}}
    )
    graph = {
        "1": node("Source"),
        "2": node("Broken", a=["1", 0], b=["7", 0]),
        "3": node("Keep", images=["2", 5]),
    }
    assert [(fault.node_id, fault.input) for fault in catalogue.faults(graph)] == [("2", "b")]


def test_a_graph_that_keeps_nothing_is_told(catalogue: Catalogue) -> None:
    graph = simple_graph()
    del graph["9"]
    fault = the_fault(catalogue, graph)
    assert (fault.kind, fault.node_id) == ("no_output", "")
    assert "SaveImage" in fault.message


def test_nodes_that_depend_on_each_other_in_a_circle_are_told(catalogue: Catalogue) -> None:
    graph = {
        "1": node("ImageInvert", image=["2", 0]),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }
    fault = the_fault(catalogue, graph)
    assert fault.kind == "cycle"
    assert "2 -> 1 -> 2" in fault.message


def test_a_diamond_is_no_circle(catalogue: Catalogue) -> None:
    graph = {
        "1": node("EmptyImage", width=64, height=64),
        "2": node("Batch", **{"images.image0": ["1", 0], "images.image1": ["1", 0]}),
        "3": node("SaveImage", images=["2", 0], filename_prefix="x"),
        "4": node("PreviewImage", images=["1", 0]),
    }
    assert catalogue.faults(graph) == []


def test_the_faults_of_nodes_that_nothing_depends_on_do_not_matter(catalogue: Catalogue) -> None:
    assert catalogue.faults(simple_graph() | {"50": node("KSampler", steps=-1)}) == []


def test_uploaded_pictures_are_not_held_against_an_old_list(catalogue: Catalogue) -> None:
    graph = {
        "1": node("LoadImage", image="imagemill/ab12.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
    }
    assert catalogue.faults(graph) == []


def resized(**inputs: Any) -> Graph:
    return {
        "1": node("EmptyImage", width=64, height=64),
        "2": node("Resize", input=["1", 0], method="area", **inputs),
        "3": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }


def test_inputs_that_a_choice_brings_are_checked(catalogue: Catalogue) -> None:
    assert catalogue.faults(resized(**{"way": "by a factor", "way.factor": 0.5})) == []
    missing = the_fault(catalogue, resized(way="by a factor"))
    assert (missing.kind, missing.input) == ("missing_input", "way.factor")
    beyond = the_fault(catalogue, resized(**{"way": "by a factor", "way.factor": 9}))
    assert (beyond.kind, beyond.input) == ("out_of_range", "way.factor")
    unknown = the_fault(catalogue, resized(way="by magic"))
    assert (unknown.kind, unknown.input) == ("value_not_in_list", "way")


def test_a_list_that_grows_needs_its_first_entry(catalogue: Catalogue) -> None:
    graph = {"1": node("Batch"), "2": node("SaveImage", images=["1", 0], filename_prefix="x")}
    fault = the_fault(catalogue, graph)
    assert (fault.kind, fault.input) == ("missing_input", "images.image0")


def test_a_long_chain_is_checked_without_exhausting_the_stack(catalogue: Catalogue) -> None:
    graph: Graph = {"0": node("EmptyImage", width=64, height=64)}
    for number in range(1, 3000):
        graph[str(number)] = node("ImageInvert", image=[str(number - 1), 0])
    graph["end"] = node("SaveImage", images=["2999", 0], filename_prefix="x")
    assert catalogue.faults(graph) == []
