"""The inputs of a graph are found by the classes, links and titles of its nodes."""

from typing import Any

import pytest

from imagemill.graphs.builtin import NAMES, builtin
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.detect_inputs import read
from imagemill.graphs.graph import Graph
from imagemill.graphs.manifest import Input, Workflow, bind, check
from tests.workflows.build import node, only, simple_graph


def the(workflow: Workflow, name: str) -> Input:
    found = workflow.input(name)
    assert found is not None, [one.name for one in workflow.inputs]
    return found


def names(workflow: Workflow) -> list[str]:
    return [one.name for one in workflow.inputs]


def test_a_plain_graph_tells_all_its_inputs(catalogue: Catalogue) -> None:
    workflow = read(simple_graph(), catalogue, name="fox", title="A fox")
    assert names(workflow) == [
        "prompt", "negative_prompt", "seed", "width", "height", "steps", "cfg", "sampler", "scheduler",
        "denoise", "count", "checkpoint", "loras",
    ]  # fmt: skip
    assert (workflow.name, workflow.title, workflow.outputs) == ("fox", "A fox", ("9",))
    assert check(workflow) == ()


def test_ranges_choices_and_defaults_are_told(catalogue: Catalogue) -> None:
    workflow = read(simple_graph(), catalogue)
    steps, sampler, prompt = the(workflow, "steps"), the(workflow, "sampler"), the(workflow, "prompt")
    assert (steps.default, steps.minimum, steps.maximum) == (20, 1, 10000)
    assert sampler.default == "euler"
    assert "dpmpp_2m" in sampler.choices
    assert (prompt.default, prompt.required, prompt.targets) == ("a fox", False, (("6", "text"),))
    assert the(workflow, "seed").default is None


def test_without_a_catalogue_the_same_inputs_are_found(catalogue: Catalogue) -> None:
    told, untold = read(simple_graph(), catalogue), read(simple_graph(), None)
    assert names(told) == names(untold)
    assert (the(untold, "steps").maximum, the(untold, "sampler").type) == (None, "text")


def test_names_do_not_depend_on_the_order_of_the_file(catalogue: Catalogue) -> None:
    graph = simple_graph()
    graph["10"] = node("LoadImage", image="b.png")
    graph["2"] = node("LoadImage", image="a.png")
    for id_, of in (("20", "10"), ("21", "2")):
        graph[id_] = node("PreviewImage", images=[of, 0])
    turned = dict(reversed(graph.items()))
    first, second = read(graph, catalogue), read(turned, catalogue)
    assert [(one.name, one.targets) for one in first.inputs] == [
        (one.name, one.targets) for one in second.inputs
    ]
    assert (the(first, "image").targets, the(first, "image_2").targets) == (
        (("2", "image"),),
        (("10", "image"),),
    )


def test_the_sampler_s_links_tell_which_prompt_is_which(catalogue: Catalogue) -> None:
    graph = simple_graph()
    graph["3"]["inputs"] |= {"positive": ["20", 0], "negative": ["20", 1]}
    graph["20"] = node(
        "ControlNetApplyAdvanced",
        positive=["7", 0],
        negative=["6", 0],
        control_net=["21", 0],
        image=["22", 0],
    )
    graph["21"] = node("ControlNetLoader", control_net_name="canny.safetensors")
    graph["22"] = node("LoadImage", "Edges", image="x.png")
    workflow = read(graph, catalogue)
    assert the(workflow, "prompt").targets == (("7", "text"),)
    assert the(workflow, "negative_prompt").targets == (("6", "text"),)
    assert the(workflow, "image").help == "Edges"


def test_a_negative_made_of_the_positive_is_no_input_of_its_own(catalogue: Catalogue) -> None:
    graph = simple_graph()
    graph["7"] = node("ConditioningZeroOut", conditioning=["6", 0])
    assert "negative_prompt" not in names(read(graph, catalogue))


def test_values_are_found_in_the_nodes_that_hold_them(catalogue: Catalogue) -> None:
    graph = simple_graph()
    graph["3"]["inputs"]["seed"] = ["30", 0]
    graph["30"] = node("Seed (pack)", seed=11)
    graph["5"]["inputs"]["width"] = ["31", 0]
    graph["31"] = node("PrimitiveInt", value=640)
    graph["6"]["inputs"]["text"] = ["32", 0]
    graph["32"] = node("PrimitiveString", value="from elsewhere")
    workflow = read(graph, catalogue)
    assert the(workflow, "seed").targets == (("30", "seed"),)
    assert (the(workflow, "width").targets, the(workflow, "width").default) == ((("31", "value"),), 640)
    assert (the(workflow, "prompt").targets, the(workflow, "prompt").default) == (
        (("32", "value"),), "from elsewhere",
    )  # fmt: skip
    assert check(workflow) == ()


def test_computed_values_are_no_inputs(catalogue: Catalogue) -> None:
    graph = simple_graph()
    graph["3"]["inputs"]["steps"] = ["30", 0]
    graph["30"] = node("Sum", a=["31", 0], b=2, value=3)
    graph["31"] = node("PrimitiveInt", value=4)
    assert "steps" not in names(read(graph, catalogue))


def test_seeds_that_are_the_same_number_are_one_input(catalogue: Catalogue) -> None:
    graph = simple_graph()
    graph["40"] = dict(graph["3"]) | {"inputs": graph["3"]["inputs"] | {"latent_image": ["3", 0]}}
    graph["8"]["inputs"]["samples"] = ["40", 0]
    workflow = read(graph, catalogue)
    assert the(workflow, "seed").targets == (("3", "seed"), ("40", "seed"))
    assert {"steps", "steps_2"} <= set(names(workflow))
    graph["40"]["inputs"]["seed"] = 8
    assert the(read(graph, catalogue), "seed_2").targets == (("40", "seed"),)


@pytest.mark.parametrize(
    "changes",
    [
        {"1": node("LoadImageMask", image="m.png", channel="red")},
        {"1": node("LoadImage", "The mask", image="m.png")},
        {"1": node("LoadImage", image="m.png")},
    ],
)
def test_a_mask_is_told_by_class_title_or_use(catalogue: Catalogue, changes: dict[str, Any]) -> None:
    graph: Graph = simple_graph() | changes
    graph["2"] = node("SetLatentNoiseMask", samples=["5", 0], mask=["1", 1])
    graph["3"]["inputs"]["latent_image"] = ["2", 0]
    assert the(read(graph, catalogue), "mask").type == "mask"


def test_loras_go_in_after_the_loras_that_are_there(catalogue: Catalogue) -> None:
    graph = simple_graph()
    graph["10"] = node(
        "LoraLoader",
        model=["4", 0],
        clip=["4", 1],
        lora_name="ink.safetensors",
        strength_model=1,
        strength_clip=1,
    )
    graph["11"] = node("Patch", model=["10", 0])
    graph["12"] = node("CLIPSetLastLayer", clip=["10", 1], stop_at_clip_layer=-2)
    graph["3"]["inputs"]["model"] = ["11", 0]
    graph["6"]["inputs"]["clip"] = graph["7"]["inputs"]["clip"] = ["12", 0]
    workflow = read(graph, catalogue)
    assert the(workflow, "loras").targets == (("11", "model"), ("12", "clip"))
    assert the(workflow, "lora").default == "ink.safetensors"
    values = {"loras": [{"file": "style/paper.safetensors"}]}
    chained = bind(workflow, values, {})
    added = next(n for n in chained.values() if n["inputs"].get("lora_name") == "style/paper.safetensors")
    assert (added["inputs"]["model"], added["inputs"]["clip"]) == (["10", 0], ["10", 1])
    assert only(chained, "CLIPSetLastLayer")["clip"][1] == 1


def test_an_empty_prompt_must_be_given(catalogue: Catalogue) -> None:
    graph = simple_graph()
    graph["6"]["inputs"]["text"] = ""
    prompt = the(read(graph, catalogue), "prompt")
    assert (prompt.required, prompt.default) == (True, None)


def test_prompts_without_a_sampler_are_told_by_name_and_title(catalogue: Catalogue) -> None:
    graph: Graph = {
        "1": node("PrimitiveString", "Negative prompt", value="blurry"),
        "2": node("CloudDraw", prompt="a fox", avoid=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }
    workflow = read(graph, catalogue)
    assert the(workflow, "prompt").targets == (("2", "prompt"),)
    assert the(workflow, "negative_prompt").targets == (("1", "value"),)


def test_nodes_that_no_output_depends_on_tell_nothing(catalogue: Catalogue) -> None:
    graph = simple_graph() | {
        "50": node("LoadImage", image="x.png"),
        "51": node("RandomNoise", noise_seed=99),
    }
    assert names(read(graph, catalogue)) == names(read(simple_graph(), catalogue))


@pytest.mark.parametrize("name", NAMES)
def test_the_built_in_graphs_are_read_as_their_manifests_say(catalogue: Catalogue, name: str) -> None:
    written, told = builtin(name), read(builtin(name).graph, catalogue)
    for one in ("prompt", "seed", "steps", "image", "mask", "loras", "negative_prompt"):
        here, there = written.input(one), told.input(one)
        assert (here is None) == (there is None)
        if here is not None and there is not None:
            assert set(here.targets) == set(there.targets)
