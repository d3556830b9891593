"""A node that executes nothing is noticed, tried and taken back; what is a job's fault is not the node's."""

import threading
from collections.abc import Iterator

import pytest

from imagemill.backends.base import RenderCanceled, RenderControl
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec
from imagemill.domain.nodes import Level
from tests.backends.comfyui.support import FILES, backend, graph, order, pace, render, spec, until, wait_well
from tests.backends.comfyui.test_weather import Follower, started
from tests.comfyui.node import TestNode


@pytest.fixture
def node() -> Iterator[TestNode]:
    with TestNode(models=FILES) as built:
        yield built


@pytest.fixture
def comfy(node: TestNode) -> Iterator[ComfyUI]:
    built = backend(node)
    yield built
    built.close()


def problem(comfy: ComfyUI) -> str:
    return comfy.nodes()[0].problem


def trials(node: TestNode) -> list[str]:
    return [prompt.prompt_id for prompt in node.prompts if prompt.extra_data.get("imagemill") == "trial"]


def test_a_node_whose_worker_ended_is_taken_out_and_taken_back_after_a_restart(
    comfy: ComfyUI, node: TestNode
) -> None:
    node.behave(end_worker_times=1)
    running, waiting = order(graph(1)), order(graph(2))
    follower = started(comfy, node, running)
    comfy.send(waiting)
    behind = Follower(comfy, waiting)
    assert follower.failure() is FailureCode.NODE_BROKEN
    assert behind.failure() is FailureCode.NODE_LOST
    assert follower.error is not None
    assert behind.error is not None
    assert (follower.error.counts, behind.error.counts) == (True, False)
    assert "a is stuck: it executes no node of a prompt" in problem(comfy)
    until(lambda: trials(node) and node.pending == trials(node), "only the trial waits there")
    node.restart()
    wait_well(comfy)
    assert set(trials(node)) & set(node.executed)
    assert render(comfy, order(graph(3))).outputs


def test_a_node_that_does_not_end_what_was_given_up_is_out_until_it_does(
    comfy: ComfyUI, node: TestNode
) -> None:
    node.behave(stalled=True)
    asked = order(spec(), timeout_s=0.2)
    assert started(comfy, node, asked).failure() in (FailureCode.NODE_BROKEN, FailureCode.TIMEOUT)
    until(lambda: "does not end a prompt that was interrupted" in problem(comfy), "it is noticed")
    node.behave(stalled=False)
    wait_well(comfy)
    assert node.ended[asked.reference] == "interrupted"
    assert render(comfy, order(graph())).outputs


def test_every_process_sees_by_the_trial_prompt_that_a_node_is_stuck(comfy: ComfyUI, node: TestNode) -> None:
    other = backend(node)
    node.behave(end_worker_times=1)
    started(comfy, node, order(graph()))
    until(lambda: "trial prompt waits" in problem(other), "the other process notices")
    assert len(trials(node)) == 1
    node.restart()
    wait_well(other)
    wait_well(comfy)
    other.close()


def test_a_long_foreign_prompt_is_no_reason_to_take_a_node_out(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=1.2)
    node.enqueue_foreign(graph(1).graph)
    asked = order(graph(2))
    comfy.send(asked)
    follower = Follower(comfy, asked)
    seen: list[str] = []
    until(lambda: seen.append(problem(comfy)) or asked.reference in node.started, "ours has begun")
    assert set(seen) == {""}
    assert follower.result().outputs
    assert not trials(node)


def test_a_long_prompt_on_a_silent_socket_is_no_reason_either(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(silent=True)
    pace(node, work_s=1.2)
    assert render(comfy, order(graph())).outputs
    assert not trials(node)


def test_the_examination_of_a_stuck_node_sends_its_test_prompt(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(stalled=True)
    started(comfy, node, order(spec(), timeout_s=0.2)).failure()
    until(lambda: problem(comfy), "it is noticed")
    sent = len(node.prompts)
    releasing = threading.Thread(
        target=lambda: until(lambda: len(node.prompts) > sent, "it is sent") and node.behave(stalled=False)
    )
    releasing.start()
    findings = {finding.subject: finding for finding in comfy.examine("a")}
    releasing.join()
    assert "stuck" in findings["state"].message
    assert findings["prompt"].level is Level.OK


def test_the_examination_of_a_busy_node_says_that_its_test_prompt_was_left_out(
    comfy: ComfyUI, node: TestNode
) -> None:
    pace(node, step_s=0.1)
    node.enqueue_foreign(graph(1).graph)
    asked = order(spec(steps=1000))
    comfy.send(asked)
    until(lambda: node.running == asked.reference, "it runs")
    findings = {finding.subject: finding for finding in comfy.examine("a")}
    assert findings["prompt"].level is Level.WARNING
    assert "left out, as 1 prompts are before it" in findings["prompt"].message


def fail(comfy: ComfyUI, work: GraphSpec | None, times: int = 4, **changes: float) -> set[FailureCode]:
    codes: set[FailureCode] = set()
    for seed in range(times):
        with pytest.raises(BackendError) as caught:
            render(comfy, order(work or spec(steps=100, seed=seed), **changes))
        codes.add(caught.value.failure)
    return codes


def test_graphs_that_save_nothing_are_at_fault_themselves(comfy: ComfyUI) -> None:
    shows = {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}
    work = GraphSpec({"1": graph().graph["1"], "2": shows})
    assert fail(comfy, work) == {FailureCode.INVALID_GRAPH}
    assert comfy.nodes()[0].healthy


def test_limits_that_are_too_short_are_no_fault_of_the_node(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.1)
    assert fail(comfy, None, timeout_s=0.2) == {FailureCode.TIMEOUT}
    assert comfy.nodes()[0].healthy


def test_pictures_too_large_for_the_memory_are_no_fault_of_the_node(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(oom_times=100)
    assert fail(comfy, None) == {FailureCode.OUT_OF_MEMORY}
    assert comfy.nodes()[0].healthy


def test_a_prompt_that_waits_too_long_behind_others_is_not_called_too_large(node: TestNode) -> None:
    comfy = backend(node, waiting_s=0.3)
    pace(node, work_s=5.0)
    node.enqueue_foreign(graph(1).graph)
    with pytest.raises(BackendError) as caught:
        render(comfy, order(graph(2)))
    assert caught.value.failure is FailureCode.BACKEND_UNAVAILABLE
    assert "did not start the prompt" in str(caught.value)
    comfy.close()


def test_a_cancelled_render_ends_at_once(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.05)
    asked, control = order(spec(steps=1000)), RenderControl()
    comfy.send(asked)
    until(lambda: node.running == asked.reference, "it runs")
    control.stop()
    with pytest.raises(RenderCanceled):
        comfy.follow(asked, asked.reference, control)
    until(lambda: asked.reference in node.ended, "it is stopped")
    assert not trials(node)
