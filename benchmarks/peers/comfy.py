"""The peers in front of a ComfyUI server, the test suite's, which each turn starts afresh."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from benchmarks.comfyui_clients import (
    Client,
    DirectClient,
    ProxyClient,
    WaitingClient,
    await_answer,
    await_node,
    graphs,
    test_node,
)
from benchmarks.peers import web
from benchmarks.peers.client import Load
from benchmarks.peers.stage import CLIENTS, Peer, Running, Stage
from benchmarks.peers.work import drive
from benchmarks.processes import free_port

WORK_MS = {"trivial prompts on ComfyUI": 0.0, "prompts of 50 ms on ComfyUI": 50.0}
"""How long the server works on a prompt, by the group of peers."""


def load(make: Callable[[], Client], seconds: float) -> Load:
    """Have pictures rendered and fetched by `CLIENTS` threads with a client each."""
    own, lock, source = threading.local(), threading.Lock(), graphs()
    opened: list[Client] = []

    def job() -> None:
        if not hasattr(own, "client"):
            own.client = make()
            opened.append(own.client)
        with lock:
            graph = next(source)
        own.client.run(graph)

    try:
        return drive(job, CLIENTS, seconds)
    finally:
        for client in opened:
            client.close()


@contextmanager
def direct(stage: Stage, *, work_ms: float) -> Iterator[Running]:
    with test_node("--work-ms", str(work_ms)) as node:
        yield Running([], partial(load, partial(DirectClient, node)))


@contextmanager
def imagemill(stage: Stage, *options: str, work_ms: float) -> Iterator[Running]:
    with (
        test_node("--work-ms", str(work_ms)) as node,
        web.server(stage, *options, settings={"COMFYUI__URLS": node}) as (pid, url, _),
    ):
        await_node(url)
        yield Running([pid], partial(load, partial(WaitingClient, url)))


def _imagemill_processes(stage: Stage, *, work_ms: float) -> AbstractContextManager[Running]:
    web.check_has_processes()
    return imagemill(stage, "--processes", "auto", work_ms=work_ms)


@contextmanager
def proxy(stage: Stage, *, work_ms: float) -> Iterator[Running]:
    python, port = stage.python("comfy"), free_port()
    with test_node("--work-ms", str(work_ms)) as node:
        options = ["--comfyui", node, "--port", str(port), "--state-dir", stage.folder()]
        with stage.process([python, "-m", "comfy_api_proxy.cli", *options], {}) as pid:
            await_answer(port, "/api/v2/health")
            yield Running([pid], partial(load, partial(ProxyClient, f"http://127.0.0.1:{port}")))


def peers() -> list[Peer]:
    """Return all of both groups."""
    one = "one process"
    kept = {
        "ComfyUI alone, by its own WebSocket": (
            "nothing: its queue and history are in memory",
            {one: direct},
        ),
        "comfy-api-proxy": ("SQLite of the proxy; ComfyUI's queue is in memory", {one: proxy}),
        "Imagemill in front of ComfyUI": (
            "the job, as above; a prompt that ComfyUI loses is sent again",
            {"`serve`": imagemill, "`serve --processes auto`": _imagemill_processes},
        ),
    }
    return [
        Peer(
            title,
            durable,
            {layout: partial(run, work_ms=work_ms) for layout, run in layouts.items()},
            group=group,
        )
        for group, work_ms in WORK_MS.items()
        for title, (durable, layouts) in kept.items()
    ]
