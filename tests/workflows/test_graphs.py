"""Graphs in API format are read in every spelling, and changed without touching the original."""

from copy import deepcopy
from typing import Any

import pytest

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import InvalidGraph, MissingFile, UiFormat
from imagemill.graphs.graph import (
    air_inputs,
    fill_marks,
    normalise,
    outputs,
    replace_values,
    reseed,
    resolve_files,
    substitute,
    titles,
    unwrap,
    with_prefix,
)
from imagemill.graphs.requirements import Requirement
from tests.workflows.build import node, simple_graph
from tests.workflows.object_info import listed, object_info
from tests.workflows.object_info import node as described

CHECKPOINT_AIR = "urn:air:sd1:checkpoint:civitai:4384@128713"
LORA_AIR = "urn:air:sd1:lora:civitai:1@2"


def test_both_spellings_become_one() -> None:
    other = {
        id_: {"classType": n["class_type"], "inputs": n["inputs"], "meta": n.get("_meta"), "isChanged": None}
        for id_, n in simple_graph().items()
    }
    assert normalise(other) == simple_graph()
    assert normalise(simple_graph()) == simple_graph()


def test_the_body_of_a_prompt_is_unwrapped() -> None:
    assert normalise({"prompt": simple_graph(), "client_id": "x"}) == simple_graph()


def test_links_of_two_numbers_become_links_that_servers_take() -> None:
    graph = {"1": node("EmptyImage"), "2": node("SaveImage", images=[1, 0.0], size=[640, 480])}
    assert normalise(graph)["2"]["inputs"] == {"images": ["1", 0], "size": [640, 480]}


def test_a_node_without_inputs_gets_empty_ones() -> None:
    assert normalise({"1": {"class_type": "X"}}) == {"1": {"class_type": "X", "inputs": {}}}


def test_the_original_is_not_shared_with_the_copy() -> None:
    raw = {"1": node("PowerLora", lora_1={"on": True, "lora": "x"})}
    normalise(raw)["1"]["inputs"]["lora_1"]["on"] = False
    assert raw["1"]["inputs"]["lora_1"]["on"] is True


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ([], "has no nodes"),
        ({}, "has no nodes"),
        ("text", "has no nodes"),
        ({"1": 3}, "node '1' is not an object"),
        ({"1": {}}, "node '1' has no class_type"),
        ({"1": {"class_type": 3}}, "node '1' has no class_type"),
        ({"1": {"class_type": "X", "inputs": []}}, "node '1' .X.: inputs must be an object"),
        ({"1": node("X", a=float("nan"))}, "node '1' .X.: a is nan"),
        ({"1": node("X", a="\ud800")}, "half a character"),
    ],
)
def test_what_is_no_graph_is_refused_by_node(raw: Any, said: str) -> None:
    with pytest.raises(InvalidGraph, match=said):
        normalise(raw)


def test_values_nested_without_end_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(InvalidGraph, match="levels deep"):
        normalise({"1": node("X", a=deep)})


def test_the_canvas_s_own_format_is_recognised_and_said_so() -> None:
    with pytest.raises(UiFormat, match=r"Export \(API\)"):
        normalise({"nodes": [], "links": [], "version": 0.4})


def test_files_become_the_node_s_own_spelling(catalogue: Catalogue) -> None:
    graph = simple_graph()
    graph["4"]["inputs"]["ckpt_name"] = "SD1/fox.safetensors"
    paper = {"on": True, "lora": "paper.safetensors", "strength": 1}
    graph["10"] = node("PowerLora", model=["4", 0], lora_1=paper)
    graph["11"] = node("StyleLoader", model=["10", 0], style_name="x/pastel.safetensors")
    graph["3"]["inputs"]["model"] = ["11", 0]
    resolved = resolve_files(graph, catalogue)
    assert resolved["4"]["inputs"]["ckpt_name"] == "sd1\\Fox.safetensors"
    assert resolved["10"]["inputs"]["lora_1"]["lora"] == "style/paper.safetensors"
    assert resolved["11"]["inputs"]["style_name"] == "pastel.safetensors"
    assert graph["4"]["inputs"]["ckpt_name"] == "SD1/fox.safetensors"


def test_a_file_that_no_output_needs_may_be_missing(catalogue: Catalogue) -> None:
    graph = simple_graph()
    graph["10"] = node("LoraLoader", model=["4", 0], clip=["4", 1], lora_name="gone.safetensors")
    resolved = resolve_files(graph, catalogue)
    assert resolved["10"] == graph["10"]
    assert resolved["4"]["inputs"]["ckpt_name"] == "sd1\\Fox.safetensors"


def test_a_file_the_node_lacks_is_told_by_kind_and_name(catalogue: Catalogue) -> None:
    with pytest.raises(MissingFile, match=r"checkpoint gone\.safetensors is missing") as caught:
        resolve_files({"1": node("CheckpointLoaderSimple", ckpt_name="gone.safetensors")}, catalogue)
    assert (caught.value.kind, caught.value.wanted) == ("checkpoint", "gone.safetensors")


def test_a_name_that_two_files_have_is_told_with_both() -> None:
    loras = described({"lora_name": listed("a/nib.safetensors", "B/Nib.safetensors", "c/other.safetensors")})
    known = Catalogue.read(object_info() | {"LoraLoaderModelOnly": loras})
    graph = {"1": node("LoraLoaderModelOnly", lora_name="nib.safetensors")}
    with pytest.raises(MissingFile, match=r"write one of a/nib.safetensors, B/Nib.safetensors"):
        resolve_files(graph, known)
    assert Requirement("lora", "nib.safetensors").remedy(known).startswith("2 files have this name")
    assert Requirement("lora", "other.safetensors").remedy(known) == ""
    for exact in ("a/nib.safetensors", "b\\nib.safetensors"):
        graph["1"]["inputs"]["lora_name"] = exact
        assert resolve_files(graph, known)["1"]["inputs"]["lora_name"].lower() == exact.replace("\\", "/")


def test_a_lora_that_is_switched_off_may_be_missing(catalogue: Catalogue) -> None:
    graph = {
        "10": node("PowerLora", lora_1={"on": False, "lora": "gone.safetensors"}, lora_2={"lora": "None"})
    }
    assert resolve_files(graph, catalogue) == graph


def test_linked_names_of_files_are_left_alone(catalogue: Catalogue) -> None:
    graph = {"1": node("PrimitiveString", value="x"), "2": node("VAELoader", vae_name=["1", 0])}
    assert resolve_files(graph, catalogue) == graph


@pytest.mark.parametrize(
    "wrapped",
    [
        {"prompt": simple_graph(), "client_id": "x"},
        {"workflow": simple_graph()},
        {"input": {"workflow": simple_graph(), "images": []}},
        {"input": {"prompt": simple_graph()}},
        {"prompt": [3, "id", simple_graph(), {}, ["9"]], "outputs": {}},
        {"id": {"prompt": [3, "id", simple_graph(), {}, ["9"]], "outputs": {}, "status": {}}},
        {"prompt": simple_graph(), "workflow": {"nodes": [], "links": []}},
    ],
)
def test_a_graph_is_found_in_what_other_services_are_sent(wrapped: Any) -> None:
    assert normalise(wrapped) == simple_graph()
    assert unwrap(wrapped) == simple_graph()


def test_a_workflow_of_the_canvas_is_found_too() -> None:
    canvas = {"nodes": [], "links": []}
    assert unwrap({"input": {"workflow": canvas}}) == canvas


@pytest.mark.parametrize("raw", [{}, [], None, {"input": 5}, {"prompt": [1, 2]}, {"a": {"prompt": 1}}])
def test_what_wraps_no_graph_stays(raw: Any) -> None:
    assert unwrap(raw) == raw
    with pytest.raises(InvalidGraph):
        normalise(raw)


def test_a_history_of_several_prompts_is_refused() -> None:
    entry = {"prompt": [3, "id", simple_graph(), {}, ["9"]], "outputs": {}}
    with pytest.raises(InvalidGraph, match="history of 2 prompts"):
        normalise({"a": entry, "b": entry})


def test_nodes_named_like_a_wrapper_are_a_graph() -> None:
    graph = {"prompt": node("X"), "workflow": node("SaveImage", images=["prompt", 0])}
    assert normalise(graph) == graph


def test_variables_are_put_into_texts_and_alone_keep_their_type() -> None:
    graph = {
        "1": node("X", seed="{Seed}", text="{PROMPT}, seed {seed}, {Unknown} {a|b} {}"),
        "2": node("Y", deep={"list": ["{width}", 3]}, link=["1", 0]),
    }
    variables = {"seed": 5, "prompt": "a {seed} fox", "width": 640}
    changed = substitute(graph, variables)
    assert changed["1"]["inputs"] == {"seed": 5, "text": "a {seed} fox, seed 5, {Unknown} {a|b} {}"}
    assert changed["2"]["inputs"] == {"deep": {"list": [640, 3]}, "link": ["1", 0]}


def test_marks_are_filled_in_where_they_stand_alone() -> None:
    graph = {"1": node("X", image="{picture_1}", seed="{seed}", text="a packet of {seed}s, {job_id}")}
    filled = fill_marks(graph, {"picture_1": "in/x.png", "seed": 5, "job_id": "j"})
    assert filled["1"]["inputs"] == {
        "image": "in/x.png", "seed": 5, "text": "a packet of {seed}s, {job_id}",
    }  # fmt: skip


def test_a_link_to_a_node_named_like_a_variable_stays_a_link() -> None:
    graph = {"{seed}": node("X"), "2": node("Y", a=["{seed}", 0])}
    assert substitute(graph, {"seed": 1}) == graph


def test_every_seed_moves_on_for_another_picture() -> None:
    graph = {
        "1": node("KSampler", seed=2**64 - 3, steps=3),
        "2": node("RandomNoise", noise_seed=7),
        "3": node("KSampler", seed=["2", 0]),
        "4": node("Seed", seed=-1),
        "5": node("Odd", seed=True),
        "6": node("KSampler", seed=["7", 0]),
        "7": node("PrimitiveInt", value=11),
        "8": node("KSampler", seed=5.0),
        "9": node("Detailer", sampler_seed="5"),
        "10": node("KSampler", seed="random"),
    }
    moved = reseed(graph, 2)
    assert [moved[id_]["inputs"].get("seed") for id_ in ("1", "3", "4", "5")] == [
        2**64 - 1, ["2", 0], -1, True,
    ]  # fmt: skip
    assert (moved["2"]["inputs"], moved["1"]["inputs"]["steps"]) == ({"noise_seed": 9}, 3)
    assert (moved["6"]["inputs"]["seed"], moved["7"]["inputs"]["value"]) == (["7", 0], 13)
    assert [moved[id_]["inputs"].get("seed") for id_ in ("8", "9", "10")] == [7, None, "random"]
    assert moved["9"]["inputs"]["sampler_seed"] == "7"


@pytest.mark.parametrize(
    ("own", "made"),
    [
        ("fox", "ours/job/fox"),
        ("mine/fox", "ours/job/fox"),
        ("C:\\mine\\fox", "ours/job/fox"),
        ("../..", "ours/job/image"),
        ("", "ours/job/image"),
        (["5", 0], "ours/job/image"),
    ],
)
def test_everything_is_saved_below_our_folder(own: Any, made: str) -> None:
    graph = {"9": node("SaveImage", filename_prefix=own), "8": node("VHS_VideoCombine", filename_prefix="v")}
    saved = with_prefix(graph, "ours/job/")
    assert saved["9"]["inputs"]["filename_prefix"] == made
    assert saved["8"]["inputs"]["filename_prefix"] == "ours/job/v"


def test_resources_are_found_wherever_they_stand_and_can_be_replaced() -> None:
    graph = {
        "4": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT_AIR),
        "5": node("PowerLora", lora_1={"on": True, "lora": LORA_AIR, "more": [1, "@civitai/7"]}),
        "6": node("CLIPTextEncode", text=f"no {LORA_AIR}", clip=["4", 1], odd="urn:air:no air at all"),
    }
    found = {(id_, path): value for id_, path, value in air_inputs(graph)}
    assert found == {
        ("4", ("ckpt_name",)): CHECKPOINT_AIR,
        ("5", ("lora_1", "lora")): LORA_AIR,
        ("5", ("lora_1", "more", 1)): "@civitai/7",
    }
    before = deepcopy(graph)
    after = replace_values(graph, dict.fromkeys(found, "file"))
    assert list(air_inputs(after)) == []
    assert after["5"]["inputs"]["lora_1"] == {"on": True, "lora": "file", "more": [1, "file"]}
    assert graph == before


def test_titles_are_what_a_person_calls_the_nodes() -> None:
    assert titles(simple_graph())["6"] == "Positive"
    assert titles(simple_graph())["3"] == "KSampler"


def test_output_nodes_are_told_by_the_catalogue_or_else_by_their_names(catalogue: Catalogue) -> None:
    graph = simple_graph() | {"20": node("SaveSomething"), "21": node("Ender"), "22": node("PreviewImage")}
    assert outputs(graph) == ("9", "20", "22")
    assert outputs(graph, catalogue) == ("9", "20", "22")
    assert outputs({"1": node("Batch")}, catalogue) == ()
