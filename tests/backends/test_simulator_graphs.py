"""What the simulator reads out of a ComfyUI graph, and which graphs it calls invalid."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagemill.backends.base import Output, Progress, RenderControl, RenderRequest, RenderResult
from imagemill.backends.simulator.backend import Simulator
from imagemill.backends.simulator.graphs import read_graph
from imagemill.backends.simulator.request_graphs import request_of
from imagemill.backends.simulator.settings import SimulatorSettings
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec

SD1 = "urn:air:sd1:checkpoint:civitai:4384@128713"
FOX = ImageSpec("a red fox", "", SD1, "sd1.safetensors", "sd1", 64, 64, 8, 7.0, "euler", "normal", 1)


def render(simulator: Simulator, graph: Any, watch: RenderControl | None = None, **spec: Any) -> RenderResult:
    asked = RenderRequest("job", 1, "reference", "sim-1", GraphSpec(graph, **spec), timeout_s=60.0)
    return simulator.follow(asked, simulator.send(asked), watch or RenderControl())


def graph_of(**inputs: dict[str, Any]) -> dict[str, Any]:
    """The text-to-image graph of the fox, with some nodes' inputs changed (by class)."""
    graph = request_of(replace(FOX, count=2, width=96, height=80))
    for node in graph.values():
        node["inputs"].update(inputs.get(node["class_type"], {}))
    return graph


def rendered_graph(graph: Any, **spec: Any) -> tuple[Output, ...]:
    return render(Simulator(SimulatorSettings()), graph, **spec).outputs


def sizes(outputs: tuple[Output, ...]) -> list[tuple[int, int]]:
    return [Image.open(BytesIO(output.data)).size for output in outputs]


def test_a_graph_tells_size_count_seed_steps_and_checkpoint() -> None:
    told: list[Progress] = []
    simulator = Simulator(SimulatorSettings())
    graph = graph_of(KSampler={"seed": 99, "steps": 12})
    outputs = render(simulator, graph, RenderControl(told.append)).outputs
    assert sizes(outputs) == [(96, 80)] * 2
    assert [output.seed for output in outputs] == [99, 99]
    assert outputs[0].data != outputs[1].data
    assert told[-1].total == 12
    assert simulator.nodes()[0].loaded_models == {"sd1.safetensors"}


def test_repeats_and_selections_of_a_batch_are_delivered() -> None:
    graph = graph_of()
    (sampler,) = (node for node in graph.values() if node["class_type"] == "KSampler")
    repeated = {"samples": sampler["inputs"]["latent_image"], "amount": 3}
    graph["70"] = {"class_type": "RepeatLatentBatch", "inputs": repeated}
    sampler["inputs"]["latent_image"] = ["70", 0]
    assert sizes(rendered_graph(graph)) == [(96, 80)] * 6
    graph["70"]["inputs"]["amount"] = 4096
    with pytest.raises(BackendError, match="at most 256"):
        rendered_graph(graph)


def test_both_spellings_of_the_class_are_read() -> None:
    graph = graph_of()
    other = {key: {"classType": node["class_type"], "inputs": node["inputs"]} for key, node in graph.items()}
    assert rendered_graph(other) == rendered_graph(graph)


def test_another_seed_or_prompt_in_a_graph_gives_another_picture() -> None:
    first = rendered_graph(graph_of())
    assert rendered_graph(graph_of(KSampler={"seed": 2}))[0].data != first[0].data
    assert rendered_graph(graph_of(CLIPTextEncode={"text": "a wolf"}))[0].data != first[0].data


def test_each_output_node_delivers_its_own_pictures() -> None:
    graph = graph_of() | {
        "20": {"class_type": "ImageScale", "inputs": {"image": ["8", 0], "width": 40, "height": 24}},
        "21": {"class_type": "PreviewImage", "inputs": {"images": ["20", 0]}},
        "22": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["8", 0]}},
    }
    assert sizes(rendered_graph(graph)) == [(96, 80)] * 2 + [(40, 24)] * 2 + [(96, 80)] * 2


def test_values_are_followed_through_links() -> None:
    graph = graph_of(KSampler={"seed": ["30", 0]}, EmptyLatentImage={"width": ["31", 0], "batch_size": 1})
    graph["30"] = {"class_type": "Seed (rgthree)", "inputs": {"seed": 1234}}
    graph["31"] = {"class_type": "PrimitiveInt", "inputs": {"value": 128}}
    outputs = rendered_graph(graph)
    assert (sizes(outputs), outputs[0].seed) == ([(128, 80)], 1234)


def test_sizes_of_a_graph_are_clamped() -> None:
    graph = graph_of(EmptyLatentImage={"width": 1, "height": 10**9, "batch_size": -3})
    assert sizes(rendered_graph(graph)) == [(16, 4096)]


def test_a_graph_without_sampler_takes_the_seed_of_the_request() -> None:
    graph = {"1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32}},
             "2": {"class_type": "SaveAnimatedWEBP", "inputs": {"images": ["1", 0]}}}  # fmt: skip
    (output,) = rendered_graph(graph, seed=77)
    assert (output.seed, output.media_type) == (77, "image/webp")


def test_a_graph_that_runs_in_circles_is_painted_all_the_same() -> None:
    graph = {
        "1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
        "2": {"class_type": "VAEDecode", "inputs": {"samples": ["1", 0], "steps": ["2", 0]}},
    }
    assert sizes(rendered_graph(graph)) == [(512, 512)]


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ({}, "not an object of nodes"),
        ([], "not an object of nodes"),
        ({"1": 3}, "node 1 is not an object"),
        ({"1": {"inputs": {}}}, "node 1 has no class_type"),
        ({"1": {"class_type": "SaveImage", "inputs": []}}, r"node 1 \(SaveImage\): inputs"),
        ({"1": {"class_type": "VAEDecode", "inputs": {}}}, "no output node"),
        ({"1": {"class_type": "SaveImage", "inputs": {"images": ["9", 0]}}}, "input images refers to node 9"),
        (
            graph_of(EmptyLatentImage={"width": "wide"}),
            r"node 6 \(EmptyLatentImage\): input width is not a whole",
        ),
        (graph_of(EmptyLatentImage={"height": None}), "node 6 .*input height"),
        (graph_of(EmptyLatentImage={"batch_size": [1, 2, 3]}), "node 6 .*input batch_size"),
        (graph_of(KSampler={"seed": True}), r"node 7 \(KSampler\): input seed"),
        (graph_of(KSampler={"steps": float("nan")}), "node 7 .*input steps"),
        (graph_of(KSampler={"cfg": {}}), "node 7 .*input cfg is not a number"),
        (graph_of(CLIPTextEncode={"text": 7}), r"node 4 \(CLIPTextEncode\): input text is not a text"),
        (graph_of(CheckpointLoaderSimple={"ckpt_name": 7}), "node 1 .*input ckpt_name"),
    ],
)
def test_an_unreadable_graph_is_invalid_by_node_and_input(graph: Any, said: str) -> None:
    with pytest.raises(BackendError, match=said) as caught:
        rendered_graph(graph)
    assert caught.value.failure is FailureCode.INVALID_GRAPH


NUMBERS = st.integers(-10, 10**12) | st.floats()
ODD = NUMBERS | st.none() | st.booleans() | st.text(max_size=5) | st.lists(st.integers(0, 9), max_size=3)
LINK = st.tuples(st.sampled_from(["1", "2", "3"]), st.just(0)).map(list)
INPUTS = st.dictionaries(
    st.sampled_from(["images", "width", "height", "batch_size", "seed", "steps", "text", "ckpt_name", "cfg"]),
    ODD | LINK | st.just(16),
    max_size=5,
)
KINDS = st.sampled_from(
    ["SaveImage", "EmptyImage", "KSampler", "CLIPTextEncode", "PrimitiveInt", "ImageScale"]
)


NODES = st.builds(lambda kind, inputs: {"class_type": kind, "inputs": inputs}, KINDS, INPUTS)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from("123"), NODES))
def test_any_graph_is_read_or_invalid(graph: dict[str, Any]) -> None:
    complaint: BackendError | None = None
    try:
        plan = read_graph(GraphSpec(graph))
        assert plan.pictures
        assert all(16 <= spec.width <= 4096 and 16 <= spec.height <= 4096 for spec, _ in plan.pictures)
    except BackendError as error:
        complaint = error
    assert complaint is None or complaint.failure is FailureCode.INVALID_GRAPH
