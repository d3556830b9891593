"""Orders on a node that behaves: sent, followed, collected."""

import io
import threading
from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest
from PIL import Image

from imagemill.backends.base import Progress, RenderCanceled, RenderControl
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.comfyui.submit import STALE_INVENTORY_S
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, Network
from imagemill.domain.nodes import NodeConfig
from tests.backends.comfyui.support import SD1, backend, graph, order, pace, render, spec, until
from tests.comfyui.node import TestNode

FILES = {
    "checkpoints": ["sd1/civitai/4384/128713.safetensors", "Other.safetensors"],
    "loras": ["sharp.safetensors"],
}


@pytest.fixture(params=["0.33.0", "0.3.64"])
def node(request: pytest.FixtureRequest) -> Iterator[TestNode]:
    with TestNode(version=request.param, models=FILES) as built:
        yield built


@pytest.fixture
def comfy(node: TestNode) -> Iterator[ComfyUI]:
    built = backend(node)
    yield built
    built.close()


def pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).tobytes()


def history(node: TestNode) -> set[str]:
    return set(httpx2.get(f"{node.url}/history", verify=False).json())


def png(side: int, colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_comes_back_with_its_seed_and_name(comfy: ComfyUI) -> None:
    (output,) = render(comfy, order(spec(seed=99))).outputs
    assert Image.open(io.BytesIO(output.data)).size == (64, 64)
    assert (output.media_type, output.seed) == ("image/png", 99)
    assert output.name.endswith(".png")


def test_a_node_tells_its_version_memory_and_what_it_has(comfy: ComfyUI, node: TestNode) -> None:
    (report,) = comfy.reports()
    assert (report.name, report.version, report.healthy, report.problem) == ("a", node.version, True, "")
    assert (report.checkpoints, report.loras) == (2, 1)
    assert report.seen_at is not None
    (view,) = comfy.nodes()
    assert view.memory_mb == report.memory_mb
    assert view.available is not None
    assert SD1.lower() in view.available
    assert "urn:air:sd1:checkpoint:civitai:1@2" not in view.available
    assert "LoRA sharp.safetensors" in view.available
    assert "LoRA dull.safetensors" not in view.available


def test_the_checkpoint_of_the_last_prompt_is_resident(comfy: ComfyUI) -> None:
    assert comfy.nodes()[0].loaded_models == frozenset()
    render(comfy, order())
    assert comfy.nodes()[0].loaded_models == {SD1.lower()}


def test_each_job_saves_in_a_folder_of_its_own(comfy: ComfyUI) -> None:
    asked = order(graph(), job_id="job-7")
    details = render(comfy, asked).details
    (image,) = details["prompt_response"]["outputs"]["2"]["images"]
    assert image["subfolder"].startswith("imagemill/job-7")
    assert details["prompt_response"]["prompt_id"] == asked.reference


def test_steps_are_told_with_the_title_of_the_node(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.06)
    told: list[Progress] = []
    render(comfy, order(spec(steps=5), watched=True), told)
    assert {progress.total for progress in told} == {5}
    assert [p.step for p in told] == sorted(p.step for p in told)
    assert len({progress.step for progress in told}) >= 4
    assert told[-1].fraction == 1.0
    assert "Sampler" in {progress.note for progress in told}


def test_previews_come_only_when_somebody_asked(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.06)
    told: list[Progress] = []
    render(comfy, order(previews=True, watched=True), told)
    pictures = [progress.preview for progress in told if progress.preview]
    assert pictures
    assert all(Image.open(io.BytesIO(picture)).format == "JPEG" for picture in pictures)
    told.clear()
    render(comfy, order(spec(seed=8)), told)
    assert not [progress for progress in told if progress.preview]


def test_an_identical_prompt_delivers_its_picture_again(comfy: ComfyUI, node: TestNode) -> None:
    first, second = (render(comfy, order(spec(seed=5))).outputs[0] for _ in range(2))
    assert pixels(first.data) == pixels(second.data)
    assert len(node.prompts) == 2


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pictures_sent_over_the_socket_are_delivered(comfy: ComfyUI, count: int) -> None:
    work = GraphSpec(
        {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": 16, "height": 24, "batch_size": count, "color": 9},
            },
            "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
        }
    )
    outputs = render(comfy, order(work)).outputs
    assert [Image.open(io.BytesIO(output.data)).size for output in outputs] == [(16, 24)] * count


def test_a_source_picture_is_uploaded_once_by_its_content(comfy: ComfyUI, node: TestNode) -> None:
    inputs = {"source": png(80, "red")}
    for seed in (1, 2):
        work = spec(image="source", denoise=0.5, seed=seed)
        (output,) = render(comfy, order(work, inputs=inputs)).outputs
        assert Image.open(io.BytesIO(output.data)).size == (64, 64)
    assert len(node.uploads) == 1


def test_variables_in_a_graph_are_filled_in(comfy: ComfyUI) -> None:
    work = replace(graph(), seed=11)
    inputs = {**work.graph["1"]["inputs"], "color": "{seed}"}
    filled = replace(work, graph={**work.graph, "1": {**work.graph["1"], "inputs": inputs}})
    (output,) = render(comfy, order(filled)).outputs
    assert Image.open(io.BytesIO(output.data)).convert("RGB").getpixel((0, 0)) == (0, 0, 11)
    assert output.seed == 11


def test_a_missing_checkpoint_is_told_before_anything_is_sent(comfy: ComfyUI, node: TestNode) -> None:
    with pytest.raises(BackendError) as caught:
        comfy.send(order(spec(model_path="nowhere.safetensors")))
    assert caught.value.failure is FailureCode.MISSING_MODEL
    assert "nowhere.safetensors" in str(caught.value)
    assert not node.prompts


@pytest.fixture
def growing(node: TestNode) -> Iterator[tuple[list[str], ComfyUI]]:
    """The checkpoints of a node, and a backend that looks for new ones only when it is asked."""
    files = ["old.safetensors"]
    with TestNode(version=node.version, models={"checkpoints": files}) as other:
        built = backend(other, files_s=3600.0)
        yield files, built
        built.close()


def age(comfy: ComfyUI) -> None:
    comfy._connection("a").inventory_at -= STALE_INVENTORY_S + 1  # pyright: ignore[reportPrivateUsage]


def test_a_model_that_came_since_is_found(growing: tuple[list[str], ComfyUI]) -> None:
    files, comfy = growing
    files.append("new.safetensors")
    age(comfy)
    assert render(comfy, order(spec(model_path="new.safetensors"))).outputs


def test_a_model_that_came_since_is_not_refused(growing: tuple[list[str], ComfyUI]) -> None:
    files, comfy = growing
    files.append("new.safetensors")
    assert "is missing on a" in (comfy.unsupported_reason(spec(model_path="new.safetensors")) or "")
    age(comfy)
    assert comfy.unsupported_reason(spec(model_path="new.safetensors")) is None


def test_a_refusal_does_not_wait_for_a_node_that_hangs_longer_than_some_seconds(
    node: TestNode, comfy: ComfyUI
) -> None:
    node.answer("/object_info", "hang")
    age(comfy)
    assert "nowhere.safetensors is missing" in (
        comfy.unsupported_reason(spec(model_path="nowhere.safetensors")) or ""
    )


def test_a_model_that_is_gone_is_refused_once_the_node_has_refused_it(
    growing: tuple[list[str], ComfyUI],
) -> None:
    files, comfy = growing
    work = spec(model_path="old.safetensors")
    assert comfy.unsupported_reason(work) is None
    files[:] = ["other.safetensors"]
    with pytest.raises(BackendError) as caught:
        comfy.send(order(work))
    assert caught.value.failure is FailureCode.MISSING_MODEL
    until(lambda: comfy.unsupported_reason(work), "it is no longer accepted")


def test_a_new_file_is_noticed_without_a_job_that_needs_it(node: TestNode) -> None:
    files = ["old.safetensors"]
    with TestNode(version=node.version, models={"checkpoints": files}) as other:
        comfy = backend(other)
        available = comfy.nodes()[0].available
        assert available is not None
        assert "file:new.safetensors" not in available
        files.append("new.safetensors")
        until(lambda: "file:new.safetensors" in (comfy.nodes()[0].available or ()), "it is offered")
        comfy.close()


def test_an_unknown_class_is_a_missing_node(comfy: ComfyUI, node: TestNode) -> None:
    work = GraphSpec({"7": {"class_type": "PowerLora", "inputs": {}}, **graph().graph})
    with pytest.raises(BackendError) as caught:
        comfy.send(order(work))
    assert caught.value.failure is FailureCode.MISSING_NODE
    assert "PowerLora" in str(caught.value)
    assert not node.prompts


def test_a_value_out_of_range_is_an_invalid_graph_that_names_it(comfy: ComfyUI, node: TestNode) -> None:
    with pytest.raises(BackendError) as caught:
        comfy.send(order(graph(side=0)))
    assert caught.value.failure is FailureCode.INVALID_GRAPH
    assert "width" in str(caught.value)
    assert not node.prompts


def test_a_node_that_accepts_half_a_graph_has_refused_it(comfy: ComfyUI, node: TestNode) -> None:
    work = GraphSpec(
        {
            **graph().graph,
            "8": {"class_type": "LoadImage", "inputs": {"image": "nope.png"}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}},
        }
    )
    with pytest.raises(BackendError) as caught:
        comfy.send(order(work))
    assert caught.value.failure is FailureCode.INVALID_GRAPH
    assert "nope.png" in str(caught.value)


def test_two_prompts_are_in_flight_and_the_first_is_not_waited_for(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=0.2)
    asked = [order(graph(colour)) for colour in (1, 2)]
    for one in asked:
        comfy.send(one)
    assert len(node.prompts) == 2
    assert comfy.reports()[0].running == 2
    for one in asked:
        assert comfy.follow(one, one.reference, RenderControl()).outputs


def test_waiting_behind_another_prompt_does_not_use_up_the_time(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=0.4)
    first, second = order(graph(1)), order(graph(2), timeout_s=0.7)
    comfy.send(first)
    assert render(comfy, second).outputs


def test_a_render_that_takes_too_long_is_stopped_on_the_node(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.1)
    with pytest.raises(BackendError) as caught:
        render(comfy, order(spec(steps=100), timeout_s=0.3))
    assert caught.value.failure is FailureCode.TIMEOUT
    pace(node, step_s=0.0)
    assert render(comfy, order(spec(seed=3))).outputs


def test_a_stop_interrupts_only_our_prompt(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.1)
    running, waiting, watch = order(spec(steps=100)), order(graph()), RenderControl()
    comfy.send(running)
    comfy.send(waiting)
    threading.Timer(0.2, watch.stop).start()
    with pytest.raises(RenderCanceled):
        comfy.follow(running, running.reference, watch)
    assert comfy.follow(waiting, waiting.reference, RenderControl()).outputs


def test_a_stopped_prompt_that_waits_never_runs(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=0.3)
    first, second, watch = order(graph(1)), order(graph(2)), RenderControl()
    comfy.send(first)
    comfy.send(second)
    watch.stop()
    with pytest.raises(RenderCanceled):
        comfy.follow(second, second.reference, watch)
    assert comfy.follow(first, first.reference, RenderControl()).outputs
    assert second.reference not in node.executed


def test_an_interruption_by_somebody_else_is_retryable(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.1)
    asked = order(spec(steps=100))
    comfy.send(asked)
    client = comfy._connection("a").client  # pyright: ignore[reportPrivateUsage]
    threading.Timer(0.2, lambda: client.interrupt(asked.reference)).start()
    with pytest.raises(BackendError, match="another client interrupted") as caught:
        comfy.follow(asked, asked.reference, RenderControl())
    assert caught.value.failure is FailureCode.BACKEND_UNAVAILABLE


def test_a_collected_prompt_leaves_the_history_after_a_while(node: TestNode) -> None:
    comfy = backend(node, keep_history_s=0.0)
    asked = [order(graph(colour)) for colour in (1, 2)]
    for one in asked:
        render(comfy, one)
    client = comfy._connection("a").client  # pyright: ignore[reportPrivateUsage]
    until(lambda: client.history(asked[0].reference) is None, "the first entry is gone")
    comfy.close()
    assert (asked[1].reference in history(node)) is False


def test_a_refusal_says_where_things_are_missing_and_where_they_are(node: TestNode) -> None:
    with TestNode(models={"checkpoints": FILES["checkpoints"]}) as bare:
        comfy = backend(node, bare)
        lora = Network("urn:air:sd1:lora:civitai:1@2", "lora", path="sharp.safetensors")
        work = spec(networks=(lora,))
        assert comfy.unsupported_reason(work) is None
        assert comfy.requirements(work) == ("LoRA sharp.safetensors",)
        assert comfy.requirements(spec()) == ()
        absent = replace(lora, path="dull.safetensors")
        assert (
            comfy.unsupported_reason(spec(networks=(absent,)))
            == "LoRA dull.safetensors is missing on a and b"
        )
        both = comfy.unsupported_reason(spec(networks=(lora, absent)))
        assert both is not None
        assert "LoRA sharp.safetensors is missing on b, present on a" in both
        comfy.close()


def test_without_nodes_work_is_refused_with_the_remedy() -> None:
    comfy = backend()
    assert "imagemill nodes add" in (comfy.unsupported_reason(spec()) or "")
    comfy.close()


def test_a_node_that_was_never_seen_may_yet_have_everything() -> None:
    comfy = backend(well=False)
    comfy.configure([NodeConfig("a", "http://127.0.0.1:9")])
    assert comfy.unsupported_reason(spec()) is None
    (view,) = comfy.nodes()
    assert not view.healthy
    until(lambda: "cannot be reached" in comfy.nodes()[0].problem, "the trouble is told")
    comfy.close()


def test_nodes_are_added_changed_and_removed_while_prompts_run(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.05)
    asked = order(spec(steps=10))
    comfy.send(asked)
    with TestNode() as other:
        comfy.configure([NodeConfig("b", other.url, labels=frozenset({"big"}))])
        assert [view.name for view in comfy.nodes()] == ["b"]
        assert comfy.follow(asked, asked.reference, RenderControl()).outputs
        until(lambda: comfy.nodes()[0].healthy, "b is well")
        comfy.configure([NodeConfig("b", other.url, draining=True)])
        assert comfy.nodes()[0].healthy
        assert comfy.nodes()[0].draining
        with pytest.raises(BackendError) as caught:
            comfy.send(order(graph()))
        assert caught.value.failure is FailureCode.NODE_LOST
        comfy.configure([])


def test_an_examination_finds_a_good_node_good(comfy: ComfyUI, node: TestNode) -> None:
    findings = list(comfy.examine("a"))
    assert {finding.subject for finding in findings} >= {
        "address", "version", "memory", "models", "classes", "socket", "queue", "previews", "prompt",
    }  # fmt: skip
    assert [f for f in findings if f.level == "error"] == []
    assert len(node.prompts) == 1


def batch(count: int, saver: str = "SaveImage") -> GraphSpec:
    inputs = {"images": ["1", 0], **({"filename_prefix": "b"} if saver == "SaveImage" else {})}
    made = graph().graph["1"]
    source = {**made, "inputs": {**made["inputs"], "batch_size": count}}
    return GraphSpec({"1": source, "2": {"class_type": saver, "inputs": inputs}})


@pytest.mark.parametrize("saver", ["SaveImage", "SaveImageWebsocket"])
def test_more_files_than_a_job_may_deliver_are_not_fetched(
    comfy: ComfyUI, node: TestNode, saver: str
) -> None:
    assert len(render(comfy, order(batch(3, saver), most_files=3)).outputs) == 3
    fetched = len([path for _, path in node.requests if path == "/view"])
    with pytest.raises(BackendError, match="at most 3 are kept") as caught:
        render(comfy, order(batch(4, saver), most_files=3))
    assert caught.value.failure is FailureCode.OUTPUT_LIMIT
    assert len([path for _, path in node.requests if path == "/view"]) == fetched


def asked_previews(node: TestNode) -> str:
    return node.prompts[-1].extra_data["preview_method"]


def test_a_short_render_is_asked_for_previews_only_while_somebody_watches(
    comfy: ComfyUI, node: TestNode
) -> None:
    render(comfy, order(spec(seed=1), previews=True))
    assert asked_previews(node) == "auto"  # how long it takes is not known yet
    render(comfy, order(spec(seed=2), previews=True))
    assert asked_previews(node) == "none"
    render(comfy, order(spec(seed=3), previews=True, watched=True))
    assert asked_previews(node) == "auto"
    pace(node, work_s=1.0)
    render(comfy, order(spec(seed=4, steps=4), previews=True))
    assert asked_previews(node) == "none"
    render(comfy, order(spec(seed=5, steps=12), previews=True))
    assert asked_previews(node) == "auto"


def test_the_nodes_of_a_graph_are_timed_and_cached_ones_are_named(comfy: ComfyUI) -> None:
    first, again = render(comfy, order(spec(seed=1))), render(comfy, order(spec(seed=2)))

    graph_of_first, times = first.details["prompt_request"], first.details["graphTimes"]
    assert set(times["nodes"]) == set(graph_of_first)
    assert times["cached"] == []
    loaders = {key for key, each in graph_of_first.items() if each["class_type"] == "CheckpointLoaderSimple"}
    assert loaders <= set(again.details["graphTimes"]["cached"])
    assert not loaders & set(again.details["graphTimes"]["nodes"])
