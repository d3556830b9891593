"""Renders that must leave nothing on a node: photos of children, above all."""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from PIL import Image

from imagemill.backends.base import RenderCanceled, RenderControl, RenderRequest
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec
from tests.backends.comfyui.support import FILES, backend, graph, order, pace, render, spec, until
from tests.comfyui.node import NEW, OLD, TestNode
from tests.service.build import png as make_png

PHOTO = make_png(64, 64)


@pytest.fixture(params=[NEW, OLD])
def node(request: pytest.FixtureRequest) -> Iterator[TestNode]:
    with TestNode(request.param, models=FILES) as built:
        yield built


@pytest.fixture
def comfy(node: TestNode) -> Iterator[ComfyUI]:
    built = backend(node)
    yield built
    built.close()


def of_a_photo(**changes: Any) -> RenderRequest:
    work = spec(image="photo", denoise=0.5)
    return order(**({"work": work, "inputs": {"photo": PHOTO}, "leaves_nothing": True} | changes))


def kept(node: TestNode) -> Mapping[str, list[bytes]]:
    """What lies in each folder of the node, but for blank pictures of one pixel."""
    found: dict[str, list[bytes]] = {}
    for kind in ("input", "output", "temp"):
        for subfolder, name in list(node.files.names(kind)):
            stored = node.files.read(kind, subfolder, name)
            if stored is not None and Image.open(io.BytesIO(stored.data)).size != (1, 1):
                found.setdefault(kind, []).append(stored.data)
    return found


def history(node: TestNode) -> Mapping[str, Any]:
    return node._api.queue.history  # pyright: ignore[reportPrivateUsage]


def test_neither_inputs_nor_outputs_nor_the_graph_stay(comfy: ComfyUI, node: TestNode) -> None:
    rendered = render(comfy, of_a_photo())
    assert Image.open(io.BytesIO(rendered.outputs[0].data)).size == (64, 64)
    assert {upload.type for upload in node.uploads} == {"temp"}
    assert not list(node.files.names("input"))
    assert not list(node.files.names("output"))
    assert kept(node) == {}
    assert not history(node)
    assert "prompt_request" not in rendered.details


def test_the_name_of_an_upload_says_nothing_of_its_content(comfy: ComfyUI, node: TestNode) -> None:
    first, second = of_a_photo(), of_a_photo()
    render(comfy, first)
    render(comfy, second)
    names = {upload.name for upload in node.uploads if upload.data == PHOTO}
    assert names == {f"{first.reference}-0.png", f"{second.reference}-0.png"}


def test_other_jobs_keep_their_files_as_before(comfy: ComfyUI, node: TestNode) -> None:
    rendered = render(comfy, of_a_photo(leaves_nothing=False))
    assert {kind: len(files) for kind, files in kept(node).items()} == {"input": 1, "output": 1}
    assert "prompt_request" in rendered.details


def test_a_graph_that_was_rendered_before_is_rendered_again(comfy: ComfyUI) -> None:
    pictures = [render(comfy, order(graph(0xFF0000), leaves_nothing=True)).outputs[0].data for _ in range(2)]
    assert [Image.open(io.BytesIO(data)).getpixel((5, 5)) for data in pictures] == [(255, 0, 0)] * 2


def test_a_canceled_render_leaves_nothing(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.2)
    asked, watch = of_a_photo(), RenderControl()
    comfy.send(asked)
    until(lambda: node.running == asked.reference, "it runs")
    watch.stop()
    with pytest.raises(RenderCanceled):
        comfy.follow(asked, asked.reference, watch)
    until(lambda: not kept(node) and not history(node), "its files are overwritten")


def test_a_failed_render_leaves_nothing(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(error_times=1)
    with pytest.raises(BackendError):
        render(comfy, of_a_photo())
    until(lambda: not kept(node) and not history(node), "its files are overwritten")


def test_what_could_not_be_overwritten_is_overwritten_later(comfy: ComfyUI, node: TestNode) -> None:
    node.answer("/history", "500", times=2, method="POST")
    assert render(comfy, of_a_photo()).outputs
    until(lambda: not history(node), "the history is deleted")
    assert kept(node) == {}


def test_a_render_handed_over_stays_until_its_next_follower_has_it(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.05)
    asked, watch = of_a_photo(), RenderControl()
    comfy.send(asked)
    watch.stop(detach=True)
    with pytest.raises(RenderCanceled):
        comfy.follow(asked, asked.reference, watch)
    heir = backend(node)
    again = of_a_photo(reference=asked.reference, attempt=2, job_id=asked.job_id)
    assert Image.open(io.BytesIO(render(heir, again).outputs[0].data)).size == (64, 64)
    assert node.renders(asked.reference) == 1
    assert kept(node) == {}
    heir.close()


def test_a_prompt_that_ended_while_its_worker_was_dead_is_collected_and_erased(node: TestNode) -> None:
    first, asked = backend(node), of_a_photo()
    first.send(asked)
    until(lambda: node.ended.get(asked.reference) == "success", "it ends without a follower")
    second = backend(node)
    again = of_a_photo(reference=asked.reference, attempt=2, job_id=asked.job_id)
    assert render(second, again).outputs
    assert node.renders(asked.reference) == 1
    assert kept(node) == {}
    first.close()
    second.close()


def test_a_health_check_leaves_the_inputs_of_a_render_that_is_being_sent(
    comfy: ComfyUI, node: TestNode
) -> None:
    node.answer("/prompt", None, delay_s=0.4, method="POST")
    shown = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    rendered = render(comfy, of_a_photo(work=GraphSpec(shown)))
    assert Image.open(io.BytesIO(rendered.outputs[0].data)).getpixel((5, 5)) == (255, 0, 0)


def test_a_node_that_keeps_uploads_is_refused_before_it_has_a_photo(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(only_input=True)
    with pytest.raises(BackendError, match=r"folder input.*update its ComfyUI") as refused:
        render(comfy, of_a_photo())
    assert refused.value.failure is FailureCode.BACKEND_REJECTED
    assert PHOTO not in [upload.data for upload in node.uploads]
    assert not node.prompts


def test_another_output_node_is_refused(comfy: ComfyUI, node: TestNode) -> None:
    animation = {"filename_prefix": "x", "fps": 6.0, "lossless": True, "quality": 80, "method": "default"}
    saved = {"class_type": "SaveAnimatedWEBP", "inputs": {"images": ["1", 0], **animation}}
    with pytest.raises(BackendError, match=r"node 2 \(SaveAnimatedWEBP\) keeps files on the node") as refused:
        render(comfy, order(GraphSpec(dict(graph().graph) | {"2": saved}), leaves_nothing=True))
    assert refused.value.failure is FailureCode.BACKEND_REJECTED
    assert not node.prompts


def test_a_partner_node_is_refused(comfy: ComfyUI, node: TestNode) -> None:
    source = {
        "1": {"class_type": "LabPartnerImage", "inputs": {"prompt": "a fox", "seed": 1}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    with pytest.raises(BackendError, match="sends pictures to a paid service"):
        render(comfy, order(GraphSpec(source), leaves_nothing=True, partner=True))
    assert not node.prompts


def test_pictures_over_the_socket_need_no_file(comfy: ComfyUI, node: TestNode) -> None:
    source = dict(graph(0x00FF00).graph) | {
        "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}
    }
    rendered = render(comfy, order(GraphSpec(source), leaves_nothing=True))
    assert Image.open(io.BytesIO(rendered.outputs[0].data)).getpixel((5, 5)) == (0, 255, 0)
    assert not list(node.files.names("temp"))
