"""Nodes that others use too, that are listed twice, or that guard their door; workers that take over."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from imagemill.backends.base import RenderCanceled, RenderControl
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.comfyui.loop import NodeLoop
from imagemill.backends.comfyui.node import (
    QUICK_AT_ONCE,
    QUICK_PROMPTS,
    QUICK_S,
    QUICK_SLOTS,
    SLOW_S,
    NodeConnection,
)
from imagemill.backends.comfyui.prompt import PromptRun, outline_of
from imagemill.domain.nodes import NodeConfig
from tests.backends.comfyui.support import (
    FILES,
    backend,
    graph,
    order,
    pace,
    render,
    settings,
    until,
    wait_well,
)
from tests.comfyui.certificate import authority_file
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


def test_a_foreign_clients_prompts_are_waited_behind_and_left_alone(comfy: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=0.3)
    foreign = node.enqueue_foreign(graph(7).graph)
    watch = RenderControl()
    asked = order(graph(1))
    comfy.send(asked)
    watch.stop()
    with pytest.raises(RenderCanceled):
        comfy.follow(asked, asked.reference, watch)
    assert render(comfy, order(graph(2))).outputs
    assert foreign in node.executed


def test_the_same_server_listed_twice_gets_jobs_once(node: TestNode) -> None:
    comfy = ComfyUI(settings())
    comfy.configure([NodeConfig("a", node.url), NodeConfig("b", node.url)])
    until(lambda: comfy.nodes()[0].healthy and comfy.nodes()[1].problem, "b is told")
    until(lambda: "same server as a" in comfy.nodes()[1].problem, "b is a's twin")
    comfy.close()


@pytest.mark.parametrize("order_", [("127.0.0.1", "localhost"), ("localhost", "127.0.0.1")])
def test_the_same_server_under_two_names_is_never_used_twice(node: TestNode, order_: tuple[str, str]) -> None:
    comfy = ComfyUI(settings())
    first, second = (node.url.replace("127.0.0.1", host) for host in order_)
    comfy.configure([NodeConfig("a", first), NodeConfig("b", second)])
    states: list[bool] = []
    until(lambda: states.append(comfy.nodes()[1].healthy) or comfy.nodes()[0].healthy, "a is healthy")
    until(lambda: "same server as a" in comfy.nodes()[1].problem, "b is a's twin")
    assert not any(states)
    assert not node.prompts
    comfy.close()


def test_the_same_server_behind_another_path_is_noticed_after_its_first_prompt(node: TestNode) -> None:
    comfy = ComfyUI(settings())
    comfy.configure([NodeConfig("a", node.url), NodeConfig("b", f"{node.url}/api")])
    wait_well(comfy)
    render(comfy, order(graph()))
    comfy._connection("b").maybe_restarted = True  # pyright: ignore[reportPrivateUsage]
    until(lambda: "same server as a" in comfy.nodes()[1].problem, "b is a's twin")
    comfy.close()


def test_two_servers_of_one_make_are_two(node: TestNode) -> None:
    with TestNode(models=FILES) as other:
        comfy = backend(node, other)
        render(comfy, order(graph()))
        link = comfy._connection("b")  # pyright: ignore[reportPrivateUsage]
        seen = link.seen_at
        until(lambda: (link.seen_at or 0) > (seen or 0), "b is checked")
        assert all(view.healthy for view in comfy.nodes())
        comfy.close()


@pytest.mark.parametrize("ended", [False, True])
def test_a_worker_that_died_after_sending_is_taken_over_without_a_second_render(
    node: TestNode, ended: bool
) -> None:
    pace(node, work_s=0.3)
    first = backend(node)
    asked = order(graph())
    first.send(asked)  # and its process dies, before the reference is written down
    if ended:
        until(lambda: node.executed, "it was rendered")
    second = backend(node)
    again = order(graph(), job_id=asked.job_id, attempt=2, reference=asked.reference)
    assert render(second, again).outputs
    assert len(node.prompts) == len(node.executed) == 1
    second.close()
    first.close()


def test_a_worker_whose_render_was_taken_over_leaves_it_on_the_node(node: TestNode) -> None:
    pace(node, work_s=0.5)
    first, second = backend(node), backend(node)
    asked, watch = order(graph()), RenderControl()
    first.send(asked)
    watch.stop(detach=True)
    with pytest.raises(RenderCanceled):
        first.follow(asked, asked.reference, watch)
    assert render(second, replace(asked, attempt=2)).outputs
    assert node.executed == [asked.reference]
    second.close()
    first.close()


def test_without_the_right_token_a_node_says_what_to_do() -> None:
    with TestNode(token="right") as guarded:
        comfy = ComfyUI(settings())
        comfy.configure([NodeConfig("a", guarded.url, headers={"Authorization": "Bearer wrong"})])
        until(lambda: "check the node's token" in comfy.nodes()[0].problem, "the trouble is told")
        comfy.configure([NodeConfig("a", guarded.url, headers={"Authorization": "Bearer right"})])
        wait_well(comfy)
        assert render(comfy, order(graph())).outputs
        comfy.close()


def test_a_certificate_is_checked_against_the_file_named_or_not_at_all() -> None:
    with TestNode(tls=True) as secured:
        comfy = ComfyUI(settings())
        comfy.configure([NodeConfig("a", secured.url)])
        until(lambda: "TLS fails" in comfy.nodes()[0].problem, "the trouble is told")
        for changes in ({"ca_file": str(authority_file())}, {"verify_tls": False}):
            comfy.configure([replace(NodeConfig("a", secured.url), **changes)])
            wait_well(comfy)
            assert render(comfy, order(graph())).outputs
        comfy.close()


def test_an_examination_of_a_node_that_is_away_says_so_and_stops() -> None:
    comfy = ComfyUI(settings())
    comfy.configure([NodeConfig("a", "http://127.0.0.1:9")])
    (finding,) = comfy.examine("a")
    assert (finding.level, finding.subject) == ("error", "address")
    assert "cannot be reached" in finding.message
    comfy.close()


def test_an_examination_tells_of_others_prompts_and_of_a_closed_socket(node: TestNode) -> None:
    comfy = backend(node)
    node.behave(stalled=True, refuse_sockets=True)
    node.enqueue_foreign(graph(7).graph)
    found = {finding.subject: finding for finding in comfy.examine("a")}
    assert found["queue"].level == "warning"
    assert found["socket"].level == "error"
    assert "WebSockets" in found["socket"].message
    assert "left out" in found["prompt"].message
    comfy.close()


def test_the_prompts_of_other_clients_are_the_backlog_of_a_node(comfy: ComfyUI, node: TestNode) -> None:
    node.behave(stalled=True)
    node.enqueue_foreign(graph(7).graph)
    node.enqueue_foreign(graph(8).graph)
    asked = order(graph(1))
    comfy.send(asked)
    until(lambda: comfy.nodes()[0].backlog == 2, "two are others'")
    node.behave(stalled=False)
    assert comfy.follow(asked, asked.reference, RenderControl()).outputs
    until(lambda: comfy.nodes()[0].backlog == 0, "all are done")


# How many prompts a node has at once.


class _NoTimers(NodeLoop):
    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        pass


class _Series:
    """Prompts that a node reports to have run, by a clock of their own."""

    def __init__(self, slots: int = 2) -> None:
        self.now = 100.0
        self.node = NodeConnection(
            NodeConfig("a", "http://127.0.0.1:9", slots=slots),
            settings(),
            lambda _: None,
            lambda: self.now,
            _NoTimers(),
        )

    def begin(self) -> PromptRun:
        run = PromptRun(str(uuid4()), {}, outline_of({}), frozenset(), previews=False, sent_at=self.now)
        run.followers = 1
        self.node.register(run)
        self.tell("execution_start", run)
        return run

    def end(self, run: PromptRun) -> None:
        self.tell("execution_success", run)
        self.node.release(run)

    def tell(self, kind: str, run: PromptRun) -> None:
        self.node.frame(json.dumps({"type": kind, "data": {"prompt_id": run.reference}}))

    def ran(self, seconds: float, times: int = QUICK_PROMPTS) -> None:
        for _ in range(times):
            run = self.begin()
            self.now += seconds
            self.end(run)

    @property
    def slots(self) -> int:
        return self.node.view("comfyui").slots

    @property
    def at_once(self) -> int:
        return self.node.view("comfyui").at_once


def test_a_node_whose_prompts_are_quick_gets_more_of_them_at_once() -> None:
    series = _Series()
    series.ran(0.9 * QUICK_S, QUICK_PROMPTS - 1)
    assert (series.slots, series.at_once) == (2, 1)
    series.ran(0.9 * QUICK_S, 1)
    assert (series.slots, series.at_once) == (QUICK_SLOTS, QUICK_AT_ONCE)
    assert series.node.report().slots == 2  # as configured


def test_a_slow_prompt_ends_the_series_while_it_runs_and_afterwards() -> None:
    series = _Series()
    series.ran(0.001)
    slow = series.begin()
    series.now += 0.9 * SLOW_S
    assert series.slots == QUICK_SLOTS
    series.now += 0.2 * SLOW_S
    assert (series.slots, series.at_once) == (2, 1)
    series.now += QUICK_PROMPTS * QUICK_S
    series.end(slow)
    assert series.slots == 2
    series.ran(0.001)
    assert series.slots == QUICK_SLOTS


@pytest.mark.parametrize("slots", [1, QUICK_SLOTS, 12])
def test_a_node_keeps_a_number_of_slots_that_was_chosen_for_a_reason(slots: int) -> None:
    series = _Series(slots)
    series.ran(0.001)
    assert series.slots == slots


# Prompts that are followed for a moment.


@pytest.fixture
def quick(comfy: ComfyUI) -> ComfyUI:
    """The node has run a series of quick prompts."""
    connection = comfy._connection("a")  # pyright: ignore[reportPrivateUsage]
    connection._latest_s.extend([0.001] * QUICK_PROMPTS)  # pyright: ignore[reportPrivateUsage]
    return comfy


def test_a_quick_prompt_is_followed_to_its_end(quick: ComfyUI) -> None:
    asked = [order(graph(colour)) for colour in (1, 2, 3)]
    sent = [quick.send(each) for each in asked]
    for each, reference in zip(asked, sent, strict=True):
        control = RenderControl()
        rendered = quick.follow_briefly(each, reference, control) or quick.follow(each, reference, control)
        assert len(rendered.outputs) == 1


def test_a_prompt_that_takes_time_goes_on_and_is_followed_later(quick: ComfyUI, node: TestNode) -> None:
    pace(node, work_s=1.0)
    asked, control = order(graph(1)), RenderControl()
    reference = quick.send(asked)
    assert quick.follow_briefly(asked, reference, control) is None
    until(lambda: quick.nodes()[0].slots == 2, "the node is no longer quick")
    assert quick.follow(asked, reference, control).outputs
    assert node.executed.count(reference) == 1


def test_no_prompt_of_a_node_that_is_not_quick_is_followed_for_a_moment(comfy: ComfyUI) -> None:
    asked = order(graph(1))
    comfy.send(asked)
    assert comfy.follow_briefly(asked, asked.reference, RenderControl()) is None
    assert comfy.follow(asked, asked.reference, RenderControl()).outputs


def test_a_stop_ends_a_prompt_that_is_followed_for_a_moment(quick: ComfyUI, node: TestNode) -> None:
    node.behave(stalled=True)
    asked, control = order(graph(1)), RenderControl()
    quick.send(asked)
    control.stop()
    with pytest.raises(RenderCanceled):
        quick.follow_briefly(asked, asked.reference, control)
    node.behave(stalled=False)
    assert render(quick, order(graph(2))).outputs
    assert asked.reference not in node.executed
