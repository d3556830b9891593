"""What POST /prompt refuses, and in which words."""

from typing import Any

import pytest

from tests.comfyui import graphs
from tests.comfyui.client import Client
from tests.comfyui.node import NEW, TestNode

ID = "6f9d6c9e-0d0b-4c7e-9f3a-2b1c5d4e7f80"
UNKNOWN = {**graphs.solid(), "1": {**graphs.solid()["1"], "class_type": "NoSuchNode+Pack"}}
NO_INPUTS = {**graphs.solid(), "1": {"class_type": "EmptyImage"}}
NO_OUTPUT = {"1": graphs.solid()["1"]}
CYCLE = {
    "1": graphs.node("ImageInvert", image=["2", 0]),
    "2": graphs.node("ImageInvert", image=["1", 0]),
    "3": graphs.node("SaveImage", images=["2", 0], filename_prefix="x"),
}


def refused(client: Client, graph: Any, **more: Any) -> Any:
    answered = client.post("/prompt", {"prompt": graph, **more})
    assert answered.status == 400, answered.data
    return answered.json


@pytest.mark.parametrize(
    ("graph", "node_id", "type_", "keys", "details"),
    [
        (
            graphs.without(graphs.solid(), "1", "width"),
            "1",
            "required_input_missing",
            {"input_name"},
            "width",
        ),
        (
            graphs.changed(graphs.solid(), "1", width=0),
            "1",
            "value_smaller_than_min",
            {"input_name", "input_config", "received_value"},
            "width",
        ),
        (
            graphs.changed(graphs.solid(), "1", width=10**9),
            "1",
            "value_bigger_than_max",
            {"input_name", "input_config", "received_value"},
            "width",
        ),
        (
            graphs.changed(graphs.solid(), "1", width="wide"),
            "1",
            "invalid_input_type",
            {"input_name", "input_config", "received_value", "exception_message"},
            "width, wide, invalid literal for int() with base 10: 'wide'",
        ),
        (
            graphs.changed(graphs.sd1(), "9", images=["3", 0]),
            "9",
            "return_type_mismatch",
            {"input_name", "input_config", "received_type", "linked_node"},
            "images, received_type(LATENT) mismatch input_type(IMAGE)",
        ),
        (
            graphs.changed(graphs.solid(), "2", images=["1"]),
            "2",
            "bad_linked_input",
            {"input_name", "input_config", "received_value"},
            "images",
        ),
        (
            graphs.changed(graphs.solid(), "2", images=["99", 0]),
            "2",
            "exception_during_validation",
            {"exception_type", "traceback"},
            "'99'",
        ),
        (
            graphs.changed(graphs.solid(), "2", images=["1", 5]),
            "2",
            "exception_during_validation",
            {"exception_type", "traceback"},
            "tuple index out of range",
        ),
        (
            graphs.changed(graphs.solid(), "2", images=[1, 0]),
            "2",
            "exception_during_validation",
            {"exception_type", "traceback"},
            "1",
        ),
        (
            graphs.sd1(checkpoint="missing.safetensors"),
            "4",
            "value_not_in_list",
            {"input_name", "input_config", "received_value"},
            "ckpt_name: 'missing.safetensors' not in"
            " ['sd1.safetensors', 'sd1_b.safetensors', 'sdxl.safetensors']",
        ),
        (
            graphs.sd1_from_picture("nope.png", 64, 64),
            "1",
            "custom_validation_failed",
            {"input_name"},
            "image - Invalid image file: nope.png",
        ),
    ],
)
def test_a_fault_is_named_by_node_type_and_details(
    client: Client, graph: Any, node_id: str, type_: str, keys: set[str], details: str
) -> None:
    answer = refused(client, graph)
    assert answer["error"]["type"] == "prompt_outputs_failed_validation"
    blamed = answer["node_errors"][node_id]
    (error,) = blamed["errors"]
    assert (error["type"], error["details"], set(error["extra_info"])) == (type_, details, keys)
    assert blamed["dependent_outputs"] == [
        next(name for name in graph if graph[name]["class_type"] == "SaveImage")
    ]
    assert blamed["class_type"] == graph[node_id]["class_type"]


def test_only_faults_of_an_output_itself_are_in_the_summary(client: Client) -> None:
    below = refused(client, graphs.sd1(checkpoint="missing.safetensors"))
    own = refused(client, graphs.changed(graphs.solid(), "2", images=["1"]))
    assert below["error"]["details"] == ""
    assert own["error"]["details"].endswith("must be a length-2 list of [node_id, slot_index]: images")


def test_a_node_without_inputs_is_blamed_with_its_link(client: Client) -> None:
    (error,) = refused(client, NO_INPUTS)["node_errors"]["1"]["errors"]
    assert error["type"] == "exception_during_inner_validation"
    assert error["extra_info"]["linked_node"] == ["1", 0]
    assert error["extra_info"]["exception_type"] == "KeyError"


def test_long_lists_are_only_counted(node: TestNode, client: Client) -> None:
    (error,) = refused(client, graphs.sd1(sampler_name="nope"))["node_errors"]["3"]["errors"]
    length = 44 if node.version == NEW else 42
    assert error["details"] == f"sampler_name: 'nope' not in (list of length {length})"
    assert error["extra_info"]["input_config"] is None


def test_an_unknown_class_is_named_as_the_release_does(node: TestNode, client: Client) -> None:
    answer = refused(client, UNKNOWN)
    if node.version == NEW:
        assert answer["error"]["type"] == "missing_node_type"
        assert answer["error"]["extra_info"] == {
            "node_id": "1",
            "class_type": "NoSuchNode+Pack",
            "node_title": "EmptyImage",
        }
    else:
        assert answer["error"]["type"] == "invalid_prompt"
        assert answer["error"]["message"] == "Cannot execute because node NoSuchNode+Pack does not exist."
        assert answer["error"]["extra_info"] == {}
    assert answer["node_errors"] == {}


def test_a_cycle_is_named_on_the_newer_release_only(node: TestNode, client: Client) -> None:
    answer = refused(client, CYCLE)
    assert answer["error"]["type"] == "prompt_outputs_failed_validation"
    if node.version == NEW:
        (error,) = answer["node_errors"]["1"]["errors"]
        assert (error["type"], error["extra_info"]["cycle_nodes"]) == ("dependency_cycle", ["2", "1"])
    else:
        assert answer["node_errors"] == {}


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        ({"client_id": "x"}, "no_prompt"),
        ({"prompt": {}}, "prompt_no_outputs"),
        ({"prompt": NO_OUTPUT}, "prompt_no_outputs"),
    ],
)
def test_a_body_without_work_is_refused(client: Client, body: Any, type_: str) -> None:
    answered = client.post("/prompt", body)
    assert (answered.status, answered.json["error"]["type"]) == (400, type_)


def test_what_is_no_graph_breaks_the_newer_server(node: TestNode, client: Client) -> None:
    assert client.post("/prompt", {"prompt": []}).status == (500 if node.version == NEW else 400)
    assert client.post("/queue").status == 500


def test_a_valid_output_is_run_though_another_is_dropped(client: Client, node: TestNode) -> None:
    graph = {
        **graphs.solid(),
        "8": graphs.node("LoadImage", image="nope.png"),
        "9": graphs.node("SaveImage", images=["8", 0], filename_prefix="x"),
    }
    answer = client.post("/prompt", {"prompt": graph})
    assert answer.status == 200
    assert answer.json["node_errors"]["8"]["dependent_outputs"] == ["9"]
    assert node.prompts[0].graph == graph


def test_a_body_over_the_limit_is_refused() -> None:
    with TestNode(max_upload_mb=0.01) as node, Client(node) as client:
        answered = client.post("/prompt", {"prompt": graphs.sd1(text="x" * 20_000)})
        assert (answered.status, answered.data) == (413, b"Maximum request body size 10485 exceeded.")
        assert client.upload("a.png", b"x" * 20_000).status == 413


@pytest.mark.parametrize("prompt_id", ["job-1", ID.replace("-", ""), ID.upper()])
def test_the_newer_release_takes_only_canonical_ids(node: TestNode, client: Client, prompt_id: str) -> None:
    if node.version == NEW:
        assert refused(client, graphs.solid(), prompt_id=prompt_id)["error"]["type"] == "invalid_prompt_id"
    else:
        assert client.submit(graphs.solid(), prompt_id=prompt_id) == prompt_id


def test_undeclared_inputs_are_ignored_and_kept(client: Client, node: TestNode) -> None:
    client.submit(graphs.changed(graphs.solid(), "1", bogus={"on": True}))
    assert node.prompts[0].graph["1"]["inputs"]["bogus"] == {"on": True}


def test_typed_inputs_are_read_by_their_dotted_keys(new_client: Client, new_node: TestNode) -> None:
    graph = {
        "1": graphs.node("EmptyImage", width=64, height=64, batch_size=1, color=255),
        "2": graphs.node("EmptyImage", width=64, height=64, batch_size=1, color=65280),
        "3": graphs.node("BatchImagesNode", **{"images.image0": ["1", 0], "images.image1": ["2", 0]}),
        "4": graphs.node(
            "ResizeImageMaskNode",
            input=["3", 0],
            resize_type="scale by multiplier",
            scale_method="area",
            **{"resize_type.multiplier": 0.5},
        ),
        "5": graphs.node("SaveImage", images=["4", 0], filename_prefix="dyn"),
    }
    lacking = graphs.without(graph, "4", "resize_type.multiplier")
    (error,) = refused(new_client, lacking)["node_errors"]["4"]["errors"]
    assert (error["type"], error["details"]) == ("required_input_missing", "resize_type.multiplier")
    assert new_client.submit(graph)
    assert new_node.prompts


def test_combos_are_spelled_as_the_release_does(node: TestNode, client: Client) -> None:
    spelled = client.get("/object_info/KSamplerSelect").json["KSamplerSelect"]["input"]["required"][
        "sampler_name"
    ]
    loader = client.get("/object_info/CheckpointLoaderSimple").json["CheckpointLoaderSimple"]
    assert loader["input"]["required"]["ckpt_name"][0][0] == "sd1.safetensors"
    if node.version == NEW:
        assert spelled[0] == "COMBO"
        assert "euler" in spelled[1]["options"]
    else:
        assert "euler" in spelled[0]


def test_every_class_can_be_asked_for_and_an_unknown_one_is_empty(node: TestNode, client: Client) -> None:
    known = client.get("/object_info").json
    assert len(known) >= 60
    assert ("BatchImagesNode" in known) == (node.version == NEW)
    assert client.get("/object_info/KSampler").json == {"KSampler": known["KSampler"]}
    assert client.get("/object_info/NoSuchNode").json == {}
    assert known["KSampler"]["input_order"]["required"][:3] == ["model", "seed", "steps"]
