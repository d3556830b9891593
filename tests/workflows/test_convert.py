"""Workflows of the canvas become graphs in API format, or are refused with the reason."""

from typing import Any

import pytest

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import CannotConvert, InvalidGraph
from imagemill.graphs.ui_format import convert
from tests.workflows.build import simple_graph
from tests.workflows.canvas import (
    DECODE,
    LINKS,
    LOADER,
    NODES,
    POSITIVE,
    SAMPLER,
    SAVE,
    canvas,
    drawn,
    subgraph,
)
from tests.workflows.object_info import node as described
from tests.workflows.object_info import object_info, whole

PICTURE = drawn(1, "EmptyImage", [64, 32], "", "IMAGE")
KEEP = drawn(9, "SaveImage", ["x"], "images:IMAGE:9")


def with_node(node: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return tuple(node if one["id"] == node["id"] else one for one in NODES)


def test_a_plain_workflow_becomes_the_graph_a_person_would_export(catalogue: Catalogue) -> None:
    graph = convert(canvas(*NODES, links=LINKS), catalogue)
    assert catalogue.faults(graph) == []
    sampler = graph["3"]["inputs"]
    assert (sampler["seed"], sampler["steps"], sampler["cfg"], sampler["denoise"]) == (7, 20, 7.5, 1)
    assert (sampler["model"], sampler["positive"], sampler["latent_image"]) == (["4", 0], ["6", 0], ["5", 0])
    assert graph["5"]["inputs"] == {"width": 512, "height": 640, "batch_size": 1}
    assert graph["6"]["_meta"] == {"title": "Positive"}


def test_a_graph_in_api_format_is_given_back(catalogue: Catalogue) -> None:
    assert convert(simple_graph(), catalogue) == simple_graph()


def test_values_saved_by_name_are_taken_by_name(catalogue: Catalogue) -> None:
    named = {"steps": 9, "seed": 5, "cfg": 2, "sampler_name": "heun", "scheduler": "karras", "denoise": 0.5}
    for field in ("widgets_values", "widgets_values_named"):
        graph = convert(canvas(*with_node(SAMPLER | {field: named}), links=LINKS), catalogue)
        assert {name: graph["3"]["inputs"][name] for name in named} == named


def test_values_that_were_not_saved_are_the_node_s_defaults(catalogue: Catalogue) -> None:
    bare = {key: value for key, value in SAMPLER.items() if key != "widgets_values"}
    sampler = convert(canvas(*with_node(bare), links=LINKS), catalogue)["3"]["inputs"]
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (0, 20, 8)


def test_a_seed_without_its_neighbour_shifts_nothing(catalogue: Catalogue) -> None:
    old = SAMPLER | {"widgets_values": [7, 20, 7.5, "euler", "normal", 1]}
    sampler = convert(canvas(*with_node(old), links=LINKS), catalogue)["3"]["inputs"]
    assert (sampler["steps"], sampler["sampler_name"]) == (20, "euler")


def test_values_that_do_not_fit_the_node_are_refused(catalogue: Catalogue) -> None:
    shifted = SAMPLER | {"widgets_values": [7, "fixed", "euler", 20, 7.5, "normal", 1]}
    with pytest.raises(CannotConvert, match=r"node 3 \(KSampler\): steps holds 'euler', not a whole number"):
        convert(canvas(*with_node(shifted), links=LINKS), catalogue)


def test_notes_and_loose_nodes_are_left_out(catalogue: Catalogue) -> None:
    more = (drawn(20, "MarkdownNote", ["read me"]), drawn(21, "Note", ["x"]), drawn(22, "NoSuchClass"))
    assert convert(canvas(*NODES, *more, links=LINKS), catalogue).keys() == {
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
    }


def test_classes_the_node_does_not_know_are_named(catalogue: Catalogue) -> None:
    strange = drawn(4, "CloudLoader", [], "", "MODEL CLIP VAE")
    with pytest.raises(CannotConvert, match="the node classes CloudLoader are unknown to the node"):
        convert(canvas(*with_node(strange), links=LINKS), catalogue)


def test_reroutes_are_followed(catalogue: Catalogue) -> None:
    reroutes = (drawn(20, "Reroute", None, ":*:20", "*"), drawn(21, "Reroute", None, ":*:21", "*"))
    links = LINKS.replace("1:4.0>3.0", "1:21.0>3.0 20:4.0>20.0 21:20.0>21.0")
    graph = convert(canvas(*NODES, *reroutes, links=links), catalogue)
    assert graph["3"]["inputs"]["model"] == ["4", 0]


def test_named_wires_are_followed(catalogue: Catalogue) -> None:
    wires = (drawn(20, "SetNode", ["vae"], "VAE:VAE:20", "*"), drawn(21, "GetNode", ["vae"], "", "VAE"))
    links = LINKS.replace("8:4.2>8.1", "8:21.0>8.1 20:4.2>20.0")
    assert convert(canvas(*NODES, *wires, links=links), catalogue)["8"]["inputs"]["vae"] == ["4", 2]


def test_a_primitive_gives_its_value(catalogue: Catalogue) -> None:
    latent = drawn(5, "EmptyLatentImage", [512, 640, 1], "width*:INT:20", "LATENT")
    primitive = drawn(20, "PrimitiveNode", [768, "fixed"], "", "INT")
    graph = convert(canvas(*with_node(latent), primitive, links=f"{LINKS} 20:20.0>5.0"), catalogue)
    assert graph["5"]["inputs"]["width"] == 768


def test_what_only_the_canvas_names_as_a_widget_keeps_its_place(catalogue: Catalogue) -> None:
    latent = drawn(5, "EmptyLatentImage", [512, 640, 1], "width*:INT:20 height*:INT", "LATENT")
    number = drawn(20, "PrimitiveInt", [768], "", "INT")
    graph = convert(canvas(*with_node(latent), number, links=f"{LINKS} 20:20.0>5.0"), catalogue)
    assert graph["5"]["inputs"] == {"width": ["20", 0], "height": 640, "batch_size": 1}


def test_a_bypassed_node_hands_on_what_it_is_fed(catalogue: Catalogue) -> None:
    lora = drawn(
        10, "LoraLoader", ["ink.safetensors", 1, 1], "model:MODEL:20 clip:CLIP:21", "MODEL CLIP", mode=4
    )
    links = LINKS.replace("1:4.0", "20:4.0>10.0 21:4.1>10.1 1:10.0").replace("2:4.1", "2:10.1")
    graph = convert(canvas(*NODES, lora, links=links), catalogue)
    assert "10" not in graph
    assert (graph["3"]["inputs"]["model"], graph["6"]["inputs"]["clip"]) == (["4", 0], ["4", 1])


def test_a_muted_node_is_as_if_deleted(catalogue: Catalogue) -> None:
    graph = convert(canvas(*with_node(POSITIVE | {"mode": 2}), links=LINKS), catalogue)
    assert "6" not in graph
    assert [fault.input for fault in catalogue.faults(graph)] == ["positive"]
    with pytest.raises(CannotConvert, match="no active output node"):
        convert(canvas(*with_node(SAVE | {"mode": 2}), links=LINKS), catalogue)


def resize(values: Any) -> dict[str, Any]:
    node = drawn(2, "Resize", values, "input:IMAGE:1 way*:COMBO method*:COMBO", "IMAGE")
    return canvas(PICTURE, node, KEEP, links="1:1.0>2.0 9:2.0>9.0")


def test_inputs_that_a_choice_brings_stand_after_it(catalogue: Catalogue) -> None:
    for values in (
        ["by a factor", 0.5, "lanczos"],
        {"way": "by a factor", "way.factor": 0.5, "method": "lanczos"},
    ):
        graph = convert(resize(values), catalogue)
        assert graph["2"]["inputs"] == {
            "way": "by a factor", "way.factor": 0.5, "method": "lanczos", "input": ["1", 0],
        }  # fmt: skip
    with pytest.raises(CannotConvert, match="way holds 'by magic', not a choice of the node"):
        convert(resize(["by magic"]), catalogue)


def test_the_entries_of_a_list_that_grows_are_links(catalogue: Catalogue) -> None:
    batch = drawn(2, "Batch", [], "images.image0:IMAGE:1 images.image1:IMAGE:2 images.image2:IMAGE", "IMAGE")
    graph = convert(canvas(PICTURE, batch, KEEP, links="1:1.0>2.0 2:1.0>2.1 9:2.0>9.0"), catalogue)
    assert graph["2"]["inputs"] == {"images.image0": ["1", 0], "images.image1": ["1", 0]}


INSIDE = subgraph(
    "sub",
    drawn(1, "EmptyLatentImage", [64, 64, 1], "width*:INT:1 height*:INT:4", "LATENT"),
    drawn(2, "VAEDecode", [], "samples:LATENT:2 vae:VAE:3", "IMAGE"),
    links="1:-10.1>1.0 4:-10.2>1.1 2:1.0>2.0 3:-10.0>2.1 5:2.0>-20.0",
    inputs="vae width height",
    outputs="IMAGE",
)
INSTANCE = drawn(5, "sub", [640, 480], "vae:VAE:1 width*:INT", "IMAGE")


def nested(instance: dict[str, Any], inside: dict[str, Any] = INSIDE) -> dict[str, Any]:
    more = {"definitions": {"subgraphs": [inside]}}
    return canvas(LOADER, instance, KEEP, links="1:4.2>5.0 9:5.0>9.0", **more)


@pytest.mark.parametrize(
    ("held", "size"),
    [
        ({"widgets_values": [640, 480]}, (640, 480)),
        ({"widgets_values_named": {"width": 320}}, (320, 64)),
        ({"widgets_values": []}, (64, 64)),
    ],
)
def test_a_subgraph_is_unfolded_with_the_values_typed_into_it(
    catalogue: Catalogue, held: dict[str, Any], size: tuple[int, int]
) -> None:
    graph = convert(nested(INSTANCE | held), catalogue)
    assert graph.keys() == {"4", "5:1", "5:2", "9"}
    assert graph["9"]["inputs"]["images"] == ["5:2", 0]
    assert graph["5:2"]["inputs"] == {"samples": ["5:1", 0], "vae": ["4", 2]}
    latent = graph["5:1"]["inputs"]
    assert (latent["width"], latent["height"]) == size
    assert catalogue.faults(graph) == []


def test_a_subgraph_in_itself_is_refused(catalogue: Catalogue) -> None:
    endless = subgraph("sub", drawn(5, "sub", [], "", "IMAGE"), links="5:5.0>-20.0", outputs="IMAGE")
    with pytest.raises(CannotConvert, match="too many subgraphs"):
        convert(nested(INSTANCE, endless), catalogue)


def test_reroutes_in_a_circle_are_refused(catalogue: Catalogue) -> None:
    circle = (drawn(20, "Reroute", None, ":*:20", "*"), drawn(21, "Reroute", None, ":*:21", "*"))
    links = LINKS.replace("1:4.0>3.0", "1:20.0>3.0 20:21.0>20.0 21:20.0>21.0")
    with pytest.raises(CannotConvert, match="cycle"):
        convert(canvas(*NODES, *circle, links=links), catalogue)


@pytest.mark.parametrize(
    "damaged",
    [
        {"nodes": [3]},
        {"nodes": [{"id": 1}]},
        {"nodes": [{"type": "X", "id": [1]}]},
        {"nodes": []},
        {"nodes": [dict(DECODE)], "links": 5},
        {"nodes": [dict(SAVE)], "links": [[9], None, {"id": 9}, [9, None, 0, 1, 2]], "definitions": 3},
        {"nodes": [dict(SAVE) | {"inputs": 3, "widgets_values": 4}], "links": [[9, 8, "a", 9, 0]]},
        {"nodes": [dict(SAVE) | {"widgets_values": [[1, 2]]}], "links": []},
        {"nodes": [drawn(9, "Resize", [["x"]]), dict(SAVE)], "links": [[9, 9, 0, 9, 0, "*"]]},
    ],
)
def test_a_damaged_workflow_is_converted_or_refused_but_nothing_else(
    catalogue: Catalogue, damaged: dict[str, Any]
) -> None:
    said = ""
    try:
        said = "; ".join(fault.message for fault in catalogue.faults(convert(damaged, catalogue)))
    except InvalidGraph as refusal:
        said = str(refusal)
    assert len(said) > 20


def test_subgraphs_that_multiply_without_end_are_refused_soon(catalogue: Catalogue) -> None:
    doubling = [
        subgraph(f"s{level}", *(drawn(n, f"s{level + 1}", [], "", "IMAGE") for n in range(10)), links="")
        for level in range(20)
    ]
    workflow = canvas(drawn(1, "s0", []), links="", definitions={"subgraphs": doubling})
    with pytest.raises(CannotConvert, match="too many subgraphs"):
        convert(workflow, catalogue)


# What the canvas of ComfyUI exports in the same place; each is a part of an official template, retold.


def knowing(**classes: dict[str, Any]) -> Catalogue:
    return Catalogue.read(object_info() | classes)


def test_an_input_of_two_types_with_a_widget_takes_its_value() -> None:
    rate = ["FLOAT,INT", {"default": 25.0, "widgetType": "FLOAT"}]
    known = knowing(
        EmptyAudio=described({"frames": whole(1, 1, 99), "rate": rate, "batch": whole(1, 1, 99)}, "IMAGE")
    )
    audio = drawn(1, "EmptyAudio", [97, 30, 1], "", "IMAGE")
    graph = convert(canvas(audio, KEEP, links="9:1.0>9.0"), known)
    assert graph["1"]["inputs"] == {"frames": 97, "rate": 30, "batch": 1}
    shifted = drawn(1, "EmptyAudio", [97, "fast", 1], "", "IMAGE")
    with pytest.raises(CannotConvert, match="rate holds 'fast', not a number"):
        convert(canvas(shifted, KEEP, links="9:1.0>9.0"), known)


@pytest.mark.parametrize(
    ("inputs", "output", "source"),
    [
        ("text:STRING:20", "STRING", "20"),
        ("source:*:20", "STRING", "20"),
        ("clip:CLIP:21 source:*:20", "STRING", "20"),
        ("source:*:20 text:STRING:22", "STRING", "20"),
        ("clip:CLIP:21 source:*:20 text:STRING:22", "STRING", "23"),
        ("clip:CLIP:21 text:STRING,INT:20", "STRING", "20"),
        ("text:STRING:20 clip:CLIP:21", "*", "20"),
    ],
)
def test_a_bypassed_node_hands_on_the_input_that_the_canvas_chooses(
    inputs: str, output: str, source: str
) -> None:
    known = knowing(PrimitiveString=described({"value": ["STRING", {}]}, "STRING"))
    links = LINKS + " 30:10.0>6.1"
    for id_ in ("20", "22"):
        if f":{id_}" in inputs:
            position = [part.rpartition(":")[2] for part in inputs.split()].index(id_)
            links += f" {id_}:{'20' if id_ == '20' else '23'}.0>10.{position}"
    nodes = (
        *with_node(drawn(6, "CLIPTextEncode", ["old"], "clip:CLIP:2 text*:STRING:30", "CONDITIONING")),
        drawn(20, "PrimitiveString", ["a fox"], "", "STRING"),
        drawn(23, "PrimitiveString", ["an owl"], "", "STRING"),
        drawn(10, "Enhance", [], inputs, output, mode=4),
    )
    assert convert(canvas(*nodes, links=links), known)["6"]["inputs"]["text"] == [source, 0]


SHOWING = subgraph(
    "sub",
    drawn(1, "EmptyLatentImage", [1024, 768, 1], "width*:INT:1", "LATENT"),
    drawn(2, "VAEDecode", [], "samples:LATENT:2 vae:VAE:3", "IMAGE"),
    drawn(3, "Show", [], "source:*:4", ""),
    links="4:-10.1>3.0 1:-10.1>1.0 2:1.0>2.0 3:-10.0>2.1 5:2.0>-20.0",
    inputs="vae width",
    outputs="IMAGE",
)


@pytest.mark.parametrize(
    ("held", "width"),
    [
        ({"widgets_values": []}, 1024),
        ({"widgets_values": [640]}, 640),
        ({"widgets_values_named": {"width": 320}}, 320),
    ],
)
def test_a_value_of_a_subgraph_goes_to_inner_inputs_without_a_widget(
    held: dict[str, Any], width: int
) -> None:
    known = knowing(Show=described({"source": ["*", {}]}, is_output=True))
    graph = convert(nested(drawn(5, "sub", None, "vae:VAE:1", "IMAGE", **held), SHOWING), known)
    assert graph["5:3"]["inputs"] == {"source": width}
    assert graph["5:1"]["inputs"]["width"] == width


def test_a_value_is_found_through_two_subgraphs() -> None:
    outer = subgraph(
        "outer",
        drawn(7, "sub", [], "vae:VAE:1 width*:INT:2", "IMAGE"),
        drawn(8, "Show", [], "source:*:3", ""),
        links="1:-10.0>7.0 2:-10.1>7.1 3:-10.1>8.0 4:7.0>-20.0",
        inputs="vae size",
        outputs="IMAGE",
    )
    known = knowing(Show=described({"source": ["*", {}]}, is_output=True))
    drawing = canvas(
        LOADER,
        drawn(5, "outer", [], "vae:VAE:1", "IMAGE"),
        KEEP,
        links="1:4.2>5.0 9:5.0>9.0",
        definitions={"subgraphs": [outer, SHOWING]},
    )
    graph = convert(drawing, known)
    assert graph["5:8"]["inputs"] == {"source": 1024}
    assert graph["5:7:1"]["inputs"]["width"] == 1024


@pytest.mark.parametrize(
    ("values", "index"),
    [
        (["Fast", 0, "Best", "Fast", ""], 1),
        (["Best", "Best", "Fast", ""], 0),
        ({"choice": "Fast", "option1": "Best", "option2": "Fast", "option3": ""}, 1),
        (["Gone", 0, "Best", "Fast", ""], None),
    ],
)
def test_a_custom_choice_has_its_options_and_the_number_of_the_chosen_one(
    values: Any, index: int | None
) -> None:
    known = knowing(
        CustomCombo=described({"choice": ["COMBO", {"options": []}]}, "STRING", "INT"),
        Sized=described({"side": whole(64, 1, 4096)}, "IMAGE"),
    )
    combo = drawn(1, "CustomCombo", values, "choice*:COMBO", "STRING INT")
    sized = drawn(2, "Sized", [64], "side*:INT:1", "IMAGE")
    graph = convert(canvas(combo, sized, KEEP, links="1:1.1>2.0 9:2.0>9.0"), known)
    inputs = graph["1"]["inputs"]
    assert [inputs.get(f"option{number}") for number in (1, 2, 3)] == ["Best", "Fast", ""]
    assert inputs.get("index") == index
    assert known.faults(graph) == []


def test_a_saver_of_an_unknown_pack_is_named(catalogue: Catalogue) -> None:
    film = drawn(30, "FilmOfAPack", [8], "images:IMAGE:30", "FILENAMES")
    for nodes in ((PICTURE, KEEP, film), (PICTURE, film)):
        with pytest.raises(CannotConvert, match="FilmOfAPack are unknown"):
            convert(canvas(*nodes, links="9:1.0>9.0 30:1.0>30.0"), catalogue)
    muted = canvas(PICTURE, KEEP, film | {"mode": 2}, links="9:1.0>9.0 30:1.0>30.0")
    assert convert(muted, catalogue).keys() == {"1", "9"}


def test_nodes_that_only_switch_others_are_left_out(catalogue: Catalogue) -> None:
    switch = drawn(30, "Fast Bypasser (rgthree)", [], "KSampler:*:30", "OPT_CONNECTION")
    assert "30" not in convert(canvas(*NODES, switch, links=LINKS + " 30:3.0>30.0"), catalogue)
