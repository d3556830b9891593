"""Bad weather: after each, a typed cause, and nothing rendered twice that need not be."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from imagemill.backends.base import RenderControl, RenderRequest, RenderResult
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.nodes import NodeConfig
from tests.backends.comfyui.support import (
    FILES,
    backend,
    graph,
    order,
    pace,
    render,
    settings,
    spec,
    until,
    wait_well,
)
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


class Follower:
    """Follows in a thread of its own."""

    def __init__(self, comfy: ComfyUI, asked: RenderRequest) -> None:
        self.rendered: RenderResult | None = None
        self.error: BackendError | None = None
        self._thread = threading.Thread(target=self._run, args=(comfy, asked), daemon=True)
        self._thread.start()

    def _run(self, comfy: ComfyUI, asked: RenderRequest) -> None:
        try:
            self.rendered = comfy.follow(asked, asked.reference, RenderControl())
        except BackendError as error:
            self.error = error

    def failure(self) -> FailureCode:
        self._thread.join(10)
        assert self.error is not None, f"it did not fail: {self.rendered}"
        return self.error.failure

    def result(self) -> RenderResult:
        self._thread.join(10)
        assert self.rendered is not None, f"it failed: {self.error}"
        return self.rendered


def started(comfy: ComfyUI, node: TestNode, asked: RenderRequest) -> Follower:
    """Sent, running on the node, and followed."""
    comfy.send(asked)
    follower = Follower(comfy, asked)
    until(lambda: node.running == asked.reference, "it runs")
    return follower


def test_a_node_killed_in_mid_prompt_loses_it_and_is_taken_back_when_it_is_there_again() -> None:
    process, url = start_process()
    comfy = ComfyUI(settings())
    comfy.configure([NodeConfig("a", url)])
    try:
        wait_well(comfy)
        asked = order(graph(), timeout_s=60)
        comfy.send(asked)
        follower = Follower(comfy, asked)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        assert follower.failure() is FailureCode.NODE_LOST
        assert not comfy.nodes()[0].healthy
        process.wait(30)
        process, _ = start_process("--port", url.rpartition(":")[2], "--work-ms", "1")
        wait_well(comfy)
        assert render(comfy, order(graph())).outputs
    finally:
        process.kill()
        process.wait(30)
        comfy.close()


def start_process(*more: str) -> tuple[subprocess.Popen[str], str]:
    arguments = more or ("--port", "0", "--work-ms", "60000")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.comfyui.node", *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://\S+", line)
    assert found, f"the node told no address: {line!r}"
    process.stdout.close()
    return process, found[0]


def test_a_restarted_node_has_lost_the_prompt_and_what_it_had_loaded(comfy: ComfyUI, node: TestNode) -> None:
    render(comfy, order(spec(seed=1)))
    pace(node, step_s=0.2)
    follower = started(comfy, node, order(spec(steps=100)))
    node.restart()
    assert follower.failure() is FailureCode.NODE_LOST
    pace(node, step_s=0.0)
    until(lambda: not comfy.nodes()[0].loaded_models, "nothing is resident")
    wait_well(comfy)
    assert render(comfy, order(spec(seed=2))).outputs


def test_a_slow_node_is_waited_for(comfy: ComfyUI, node: TestNode) -> None:
    node.answer("/history", None, delay_s=0.3, times=2)
    pace(node, work_s=0.5)
    assert render(comfy, order(graph())).outputs
    assert len(node.executed) == 1


def test_a_node_that_hangs_is_lost_and_gets_no_more_jobs(node: TestNode) -> None:
    comfy = backend(node, read_s=1.0)
    pace(node, step_s=0.2)
    follower = started(comfy, node, order(spec(steps=100)))
    node.answer("/", "hang")
    node.behave(silent=True)
    assert follower.failure() is FailureCode.NODE_LOST
    until(lambda: not comfy.nodes()[0].healthy, "it is noticed")
    assert "does not answer" in comfy.nodes()[0].problem
    comfy.close()


def test_a_prompt_given_up_is_taken_off_the_node_when_it_is_back(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, step_s=0.1)
    asked = order(spec(steps=1000))
    follower = started(comfy, node, asked)
    node.answer("/", "503")
    node.behave(silent=True)
    assert follower.failure() is FailureCode.NODE_LOST
    assert node.running == asked.reference
    node.calm()
    node.behave(silent=False)
    until(lambda: node.running is None, "it was stopped")


@pytest.mark.parametrize("how", ["500", "html", "garbage"])
def test_a_node_that_answers_nonsense_to_a_prompt_is_unavailable(
    comfy: ComfyUI, node: TestNode, how: str
) -> None:
    node.answer("/prompt", how, method="POST")  # type: ignore[arg-type]
    with pytest.raises(BackendError) as caught:
        comfy.send(order(graph()))
    assert caught.value.failure is FailureCode.BACKEND_UNAVAILABLE


def test_failures_in_a_row_keep_jobs_off_it_until_it_is_well(comfy: ComfyUI, node: TestNode) -> None:
    node.answer("/prompt", "500", method="POST")
    for _ in range(3):
        with pytest.raises(BackendError):
            comfy.send(order(graph()))
    assert not comfy.nodes()[0].healthy
    assert "paused after repeated failures" in comfy.nodes()[0].problem
    node.calm()
    wait_well(comfy)
    assert render(comfy, order(graph())).outputs


def test_nonsense_in_mid_prompt_is_outlasted(comfy: ComfyUI, node: TestNode) -> None:
    node.answer("/history", "html", times=1)
    assert render(comfy, order(graph())).outputs
    assert len(node.executed) == 1


def test_a_truncated_picture_is_read_once_more(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(truncate="half")
    with pytest.raises(BackendError) as caught:
        render(comfy, order(graph()))
    assert caught.value.failure is FailureCode.BAD_OUTPUT
    assert len([path for _, path in node.requests if path == "/view"]) == 2
    node.behave(truncate="short")
    with pytest.raises(BackendError) as caught:
        render(comfy, order(graph(2)))
    assert caught.value.failure is FailureCode.BAD_OUTPUT


def test_a_lost_answer_is_looked_for_and_the_prompt_rendered_once(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(lose_answers=1)
    assert render(comfy, order(graph())).outputs
    assert len(node.prompts) == len(node.executed) == 1


def test_a_prompt_that_never_arrived_is_sent_again(comfy: ComfyUI, node: TestNode) -> None:
    node.answer("/prompt", "close", times=1, method="POST")
    assert render(comfy, order(graph())).outputs
    assert len(node.executed) == 1


def test_a_silent_socket_is_met_with_polling(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(silent=True)
    pace(node, work_s=0.3)
    assert render(comfy, order(graph())).outputs
    assert len(node.executed) == 1


def test_a_socket_that_never_opens_is_met_with_polling(node: TestNode) -> None:
    node.behave(refuse_sockets=True)
    comfy = backend(node)
    assert render(comfy, order(graph())).outputs
    comfy.close()


def test_a_half_open_connection_is_noticed_and_replaced(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=1.0)
    follower = started(comfy, node, order(graph()))
    node.behave(frozen=True)
    assert follower.result().outputs
    assert len(node.executed) == 1
    link = comfy._connection("a")  # pyright: ignore[reportPrivateUsage]
    until(lambda: link.socket.is_open and node.sockets >= 1, "the socket is open again")
    pace(node, work_s=0.0)
    wait_well(comfy)
    assert render(comfy, order(graph(2))).outputs


def test_sockets_that_drop_in_mid_prompt_cost_nothing(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=0.4)
    follower = started(comfy, node, order(graph()))
    node.drop_sockets()
    assert follower.result().outputs
    assert len(node.executed) == 1


@pytest.mark.parametrize("fault", ["disorder", "duplicate"])
def test_events_out_of_order_or_doubled_change_nothing(comfy: ComfyUI, node: TestNode, fault: str) -> None:
    node.behave(**{fault: True})
    for seed in range(3):
        assert len(render(comfy, order(spec(seed=seed))).outputs) == 1
    assert len(node.executed) == 3


def test_a_history_written_late_is_waited_for(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(history_lag_s=0.3)
    assert render(comfy, order(graph())).outputs


def test_a_nodes_wrong_clock_means_nothing(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(clock_skew_s=-86_400.0)
    pace(node, work_s=0.1)
    assert render(comfy, order(graph(), timeout_s=2.0)).outputs


def test_a_wedged_node_is_noticed_and_its_prompts_move_on(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(wedged=True)
    asked = order(graph())
    comfy.send(asked)
    assert Follower(comfy, asked).failure() is FailureCode.NODE_LOST
    assert "stuck" in comfy.nodes()[0].problem
    node.behave(wedged=False)
    node.restart()
    wait_well(comfy)
    assert asked.reference not in node.executed


def test_memory_that_ran_out_is_freed_and_the_prompt_sent_once_more(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(oom_until_freed=True)
    assert render(comfy, order()).outputs
    assert len([path for _, path in node.requests if path == "/free"]) == 1


def test_memory_that_stays_short_is_told(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(oom_times=9)
    with pytest.raises(BackendError) as caught:
        render(comfy, order())
    assert caught.value.failure is FailureCode.OUT_OF_MEMORY
    assert len(node.prompts) == 2


def test_a_failing_node_of_the_graph_is_named_without_paths(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(error_times=1)
    with pytest.raises(BackendError) as caught:
        render(comfy, order())
    assert caught.value.failure is FailureCode.INVALID_GRAPH
    assert re.match(r"a: node \S+ \(.+\): .+", str(caught.value))
    assert "/" not in str(caught.value)


def test_a_file_that_is_gone_is_saved_again_under_another_name(comfy: ComfyUI, node: TestNode) -> None:
    node.answer("/view", "404", times=1)
    assert render(comfy, order(graph())).outputs


def test_a_prompt_removed_from_the_queue_is_lost_at_once(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=1.0)
    comfy.send(order(graph(1)))
    asked = order(graph(2))
    comfy.send(asked)
    follower = Follower(comfy, asked)
    comfy._connection("a").client.delete_pending([asked.reference])  # pyright: ignore[reportPrivateUsage]
    assert follower.failure() is FailureCode.NODE_LOST


def test_the_finish_of_a_prompt_wakes_its_follower_at_once(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=0.1)
    render(comfy, order(graph(0)))
    took: list[float] = []
    for colour in range(1, 6):
        begin = time.perf_counter()
        render(comfy, order(graph(colour)))
        took.append(time.perf_counter() - begin)
    assert min(took) < 0.15


def test_a_node_that_was_never_reached_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="imagemill.backends.comfyui.health"):
        comfy = ComfyUI(settings())
        comfy.configure([NodeConfig("a", "http://127.0.0.1:9")])
        until(lambda: caplog.messages, "it is logged")
        checked: list[str] = []
        until(lambda: checked.append(comfy.nodes()[0].problem) or len(checked) > 50, "it is checked often")
        comfy.close()
    assert caplog.messages == ["a cannot be reached: connecting fails"]


def test_the_end_of_a_problem_is_logged(node: TestNode, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="imagemill.backends.comfyui.health"):
        comfy = backend(node)
        node.answer("/system_stats", "503")
        until(lambda: comfy.nodes()[0].problem, "it is unhealthy")
        node.faults.answers.clear()
        wait_well(comfy)
        until(lambda: len(caplog.messages) == 3, "its recovery is logged")
        comfy.close()
    assert caplog.messages[0] == caplog.messages[2] == "a is healthy: ComfyUI 0.33.0"
    assert caplog.messages[1].startswith("a answers /system_stats with 503")


def test_a_node_that_hangs_leaves_no_traceback_of_a_library(
    comfy: ComfyUI, node: TestNode, caplog: pytest.LogCaptureFixture
) -> None:
    link = comfy._connection("a")  # pyright: ignore[reportPrivateUsage]
    until(lambda: link.socket.is_open, "the socket is open")
    node.behave(unreachable=True)
    until(lambda: not link.socket.is_open, "the socket was given up")
    assert not [record for record in caplog.records if record.exc_info]
