"""The ComfyUI backend alone, without jobs, database and HTTP API: the CPU and time of its share of a job."""

import argparse
import json
import sys
import threading
import time
from contextlib import nullcontext

from benchmarks.comfyui_clients import graphs, test_node
from imagemill.backends.base import RenderControl, RenderRequest
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.comfyui.settings import ComfySettings
from imagemill.domain.clock import uuid7
from imagemill.domain.images import GraphSpec
from imagemill.domain.nodes import NodeConfig


def measure(node: str, *, slots: int, prompts: int, sleep_class: str = "", sleep_s: float = 0.0) -> None:
    """Render the prompts with as many threads as slots, and print what a render takes."""
    backend = ComfyUI(ComfySettings())
    backend.configure([NodeConfig("node", node, slots=slots)])
    while not backend.nodes()[0].healthy:
        time.sleep(0.02)
    source = graphs(sleep_class, sleep_s)
    lock = threading.Lock()
    took: list[float] = []

    def render() -> None:
        with lock:
            work = GraphSpec(json.loads(json.dumps(next(source))))
        request = RenderRequest(str(uuid7()), 1, str(uuid7()), "node", work, 60.0)
        begin = time.perf_counter()
        backend.follow(request, backend.send(request), RenderControl())
        took.append(time.perf_counter() - begin)

    def serve(count: int) -> None:
        for _ in range(count):
            render()

    serve(5)
    took.clear()
    threads = [threading.Thread(target=serve, args=(prompts // slots,)) for _ in range(slots)]
    cpu_s, start = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu_s
    took.sort()
    print(
        f"{slots} slots: {len(took) / seconds:7.1f}/s  p50 {took[len(took) // 2] * 1000:6.1f} ms"
        f"  CPU a render {cpu_s * 1000 / len(took):5.2f} ms"
    )
    backend.close()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comfyui_backend")
    parser.add_argument("--node", help="address of a ComfyUI server; without it the test node is started")
    parser.add_argument("--sleep-class", default="", help="a node class that takes an image and seconds")
    parser.add_argument("--sleep-s", type=float, default=0.0)
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    with nullcontext(given.node) if given.node else test_node() as node:
        for _ in range(given.rounds):
            for slots in (1, 2):
                measure(
                    node,
                    slots=slots,
                    prompts=given.prompts,
                    sleep_class=given.sleep_class,
                    sleep_s=given.sleep_s,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
