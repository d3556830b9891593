"""Prompts as jobs of newer servers, and the same outcomes on older ones that lack them."""

import uuid
from collections.abc import Iterator

import pytest

from imagemill.backends.base import RenderCanceled, RenderControl
from imagemill.backends.comfyui import errors
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.comfyui.client import NodeClient
from imagemill.backends.comfyui.errors import ComfyStatusError, PromptStatus
from imagemill.backends.comfyui.lookup import PromptState, cancel, locate
from imagemill.backends.comfyui.node import NodeConnection
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from tests.backends.comfyui.support import FILES, backend, graph, order, pace, render, spec, until
from tests.comfyui.node import NEW, OLD, TestNode


@pytest.fixture(params=[NEW, OLD])
def node(request: pytest.FixtureRequest) -> Iterator[TestNode]:
    with TestNode(request.param, models=FILES) as node:
        yield node


@pytest.fixture
def comfy(node: TestNode) -> Iterator[ComfyUI]:
    built = backend(node)
    yield built
    built.close()


def connection_of(comfy: ComfyUI) -> NodeConnection:
    return comfy._connection("a")  # pyright: ignore[reportPrivateUsage]


def paths(node: TestNode, method: str) -> list[str]:
    return [path for each, path in node.requests if each == method]


def is_new(node: TestNode) -> bool:
    return node.version == NEW


def test_the_node_is_asked_once_for_the_routes_of_jobs(comfy: ComfyUI, node: TestNode) -> None:
    connection = connection_of(comfy)
    assert connection.has_jobs_api is is_new(node)
    connection.read_inventory()
    connection.read_inventory()
    assert paths(node, "GET").count("/api/jobs") == 1


def test_a_cancelled_render_is_stopped_and_no_other(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=0.3)
    running, stopped, last = order(graph(1)), order(graph(2)), order(graph(3))
    for asked in (running, stopped, last):
        comfy.send(asked)
    control = RenderControl()
    control.stop()
    with pytest.raises(RenderCanceled):
        comfy.follow(stopped, stopped.reference, control)
    assert comfy.follow(running, running.reference, RenderControl()).outputs
    assert comfy.follow(last, last.reference, RenderControl()).outputs
    assert stopped.reference not in node.started
    posted = paths(node, "POST")
    assert (f"/api/jobs/{stopped.reference}/cancel" in posted) is is_new(node)
    assert ("/interrupt" in posted) is not is_new(node)


def test_a_running_prompt_is_cancelled(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.05)
    asked = order(spec(steps=1000))
    comfy.send(asked)
    until(lambda: node.running == asked.reference, "it runs")
    assert cancel(connection_of(comfy), asked.reference)
    until(lambda: node.ended.get(asked.reference) == "interrupted", "it was interrupted")


def test_the_states_of_a_prompt_are_told_apart(comfy: ComfyUI, node: TestNode) -> None:
    connection = connection_of(comfy)
    assert locate(connection, str(uuid.uuid4())).state is PromptState.NOWHERE
    pace(node, step_s=0.05)
    running, waiting = order(spec(steps=1000)), order(graph(4))
    comfy.send(running)
    comfy.send(waiting)
    until(lambda: node.running == running.reference, "it runs")
    assert locate(connection, running.reference).state is PromptState.RUNNING
    assert locate(connection, waiting.reference).state is PromptState.WAITING
    cancel(connection, running.reference)
    until(lambda: waiting.reference in node.ended, "both ended")
    canceled, done = locate(connection, running.reference), locate(connection, waiting.reference)
    assert canceled.result is not None
    assert done.result is not None
    assert canceled.result.status is PromptStatus.INTERRUPTED
    assert done.result.status is PromptStatus.SUCCESS
    (image,) = done.result.outputs["2"]["images"]
    assert image["type"] == "output"
    assert done.graph is not None
    assert set(done.graph) == {"1", "2"}


def test_a_failed_prompt_names_its_error(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(error_times=1)
    asked = order()
    with pytest.raises(BackendError) as caught:
        render(comfy, asked)
    assert caught.value.failure is FailureCode.INVALID_GRAPH
    found = locate(connection_of(comfy), asked.reference)
    assert found.result is not None
    assert found.result.status is PromptStatus.FAILED
    assert found.result.error["exception_message"]


def test_a_prompt_that_was_given_up_is_removed_later(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.05)
    asked = order(spec(steps=1000))
    comfy.send(asked)
    until(lambda: node.running == asked.reference, "it runs")
    connection_of(comfy).abandon(asked.reference)
    until(lambda: node.ended.get(asked.reference) == "interrupted", "it was interrupted")
    until(lambda: asked.reference not in connection_of(comfy).abandoned, "it is forgotten")


def test_a_node_replaced_by_an_older_release_is_asked_as_one() -> None:
    with TestNode(models=FILES) as node:
        comfy = backend(node)
        connection = connection_of(comfy)
        node.answer("/jobs", "404")
        assert locate(connection, str(uuid.uuid4())).state is PromptState.NOWHERE
        assert connection.has_jobs_api is False
        assert render(comfy, order(graph(5))).outputs
        comfy.close()


def test_another_fault_of_a_route_is_no_reason_to_give_it_up() -> None:
    with TestNode(models=FILES) as node:
        comfy = backend(node)
        connection = connection_of(comfy)
        node.answer("/jobs", "503", times=1)
        with pytest.raises(ComfyStatusError):
            cancel(connection, str(uuid.uuid4()))
        assert connection.has_jobs_api
        assert cancel(connection, str(uuid.uuid4())) is False
        comfy.close()


@pytest.mark.parametrize("how", ["401", "404", "html", "garbage"])
def test_a_proxy_that_hides_the_routes_makes_it_an_older_node(how: str) -> None:
    with TestNode(models=FILES) as node:
        node.answer("/jobs", how)  # pyright: ignore[reportArgumentType]
        comfy = backend(node)
        assert connection_of(comfy).has_jobs_api is False
        assert render(comfy, order(graph(6))).outputs
        comfy.close()


def test_a_job_without_a_known_state_failed() -> None:
    assert errors.result_of_job({"status": "evaporated"}).status is PromptStatus.FAILED


def test_an_unknown_job_is_none_and_a_missing_route_an_error() -> None:
    for version, is_known in ((NEW, True), (OLD, False)):
        with TestNode(version, models=FILES) as node:
            comfy = backend(node)
            client: NodeClient = connection_of(comfy).client
            if is_known:
                assert client.job(str(uuid.uuid4())) is None
                assert client.cancel_job(str(uuid.uuid4())) is False
            else:
                with pytest.raises(ComfyStatusError):
                    client.job(str(uuid.uuid4()))
                with pytest.raises(ComfyStatusError):
                    client.cancel_job(str(uuid.uuid4()))
            comfy.close()
