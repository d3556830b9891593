"""One loop and few threads for all nodes, and what a prompt costs its node in requests."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from imagemill.backends.base import RenderControl
from imagemill.backends.comfyui import websocket
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.comfyui.loop import FEW, CheckThreads
from imagemill.domain.images import GraphSpec
from imagemill.domain.nodes import NodeConfig
from tests.backends.comfyui.support import FILES, backend, graph, order, render, settings, until
from tests.comfyui.node import TestNode


@pytest.fixture
def node() -> Iterator[TestNode]:
    with TestNode(models=FILES) as built:
        yield built


def asked_for(node: TestNode, since: int) -> list[tuple[str, str]]:
    """The requests of a render: those of health checks are left out."""
    checks = ("/system_stats", "/object_info", "/embeddings", "/experiment", "/view_metadata")
    return [each for each in node.requests[since:] if not each[1].startswith(checks)]


def test_a_render_takes_two_requests(node: TestNode) -> None:
    with closing(backend(node, health_s=60.0)) as comfy:
        render(comfy, order(graph(1)))
        since = len(node.requests)
        rendered = render(comfy, order(graph(2)))
        assert asked_for(node, since) == [("POST", "/prompt"), ("GET", "/view")]
    assert rendered.details["prompt_response"]["outputs"]["2"]["images"][0]["type"] == "output"


def test_a_render_from_the_nodes_cache_takes_two_requests_as_well(node: TestNode) -> None:
    with closing(backend(node, health_s=60.0)) as comfy:
        first = render(comfy, order(graph(1), job_id="same"))
        since = len(node.requests)
        again = render(comfy, order(graph(1), job_id="same"))
        assert asked_for(node, since) == [("POST", "/prompt"), ("GET", "/view")]
    assert again.outputs[0].data == first.outputs[0].data


def test_an_output_node_that_reports_nothing_is_looked_up(node: TestNode) -> None:
    sending = dict(graph(3).graph)
    sending["9"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}
    with closing(backend(node, health_s=60.0)) as comfy:
        since = len(node.requests)
        rendered = render(comfy, order(GraphSpec(sending)))
    assert len(rendered.outputs) == 2
    assert [path for _, path in asked_for(node, since) if path.startswith(("/api/jobs", "/history"))]


def test_a_stop_wakes_whoever_follows_now_and_whoever_follows_later() -> None:
    control, woken = RenderControl(), list[str]()
    control.call_on_stop(lambda: woken.append("now"))
    control.stop()
    control.call_on_stop(lambda: woken.append("later"))
    assert woken == ["now", "later"]


def test_many_nodes_share_a_loop_and_a_few_threads() -> None:
    with ExitStack() as stack:
        nodes = [stack.enter_context(TestNode()) for _ in range(6)]
        before = set(threading.enumerate())
        comfy = ComfyUI(settings())
        comfy.configure([NodeConfig(str(number), node.url) for number, node in enumerate(nodes)])
        until(lambda: all(each.healthy for each in comfy.nodes()), "all are well")
        until(lambda: all(node.sockets for node in nodes), "all sockets are open")
        names = [thread.name for thread in set(threading.enumerate()) - before]
        assert names.count("imagemill-comfyui-loop") == 1
        assert 1 <= names.count("imagemill-comfyui-check") <= FEW
        assert len(names) <= FEW + 1
        comfy.close()
        until(lambda: not set(threading.enumerate()) - before, "its threads have ended")


def test_checks_that_hang_do_not_delay_others_for_long() -> None:
    threads, release, ran = CheckThreads("check"), threading.Event(), threading.Event()
    hanging = [threading.Event() for _ in range(FEW)]

    def hang(begun: threading.Event) -> None:
        begun.set()
        release.wait(30)

    try:
        for begun in hanging:
            assert not threads.run(lambda begun=begun: hang(begun))
        for begun in hanging:
            assert begun.wait(10)
        assert threads.run(ran.set)
        threads.grow()  # the first call sees that work has been taken
        threads.grow()
        assert ran.wait(10)
        until(lambda: not threads.grow(), "no work waits")
    finally:
        release.set()
        threads.close()


def test_a_server_that_refuses_the_socket_is_named_with_its_answer() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def refuse() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(65536)
                    peer.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        comfy = ComfyUI(settings())
        comfy.configure([NodeConfig("a", f"http://127.0.0.1:{server.getsockname()[1]}")])
        connection = comfy._connection("a")  # pyright: ignore[reportPrivateUsage]
        connection.socket.start()
        until(lambda: "HTTP 403" in connection.socket.problem, "its answer is told")
        comfy.close()


def test_a_socket_without_prompts_is_read_seldom_and_at_once_for_the_next(
    node: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "LATE_S", 30.0)
    with closing(backend(node, health_s=60.0)) as comfy, closing(backend(node, health_s=60.0)) as other:
        connection = comfy._connection("a")  # pyright: ignore[reportPrivateUsage]
        until(lambda: connection.socket.is_open, "the socket is open")
        render(other, order(graph(1)))
        paused = connection.socket._connection  # pyright: ignore[reportPrivateUsage]
        until(
            lambda: paused is not None and paused.is_paused,
            "what the node told of the other's prompt is enough",
        )

        since = len(node.requests)
        render(comfy, order(graph(2)))
        assert asked_for(node, since) == [("POST", "/prompt"), ("GET", "/view")], "its events came in time"
