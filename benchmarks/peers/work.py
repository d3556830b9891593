"""The work of peers in Python: a request is validated, and a picture is rendered by Pillow into a file.

Their clients are called without HTTP: a process reads a number of seconds from each line of its standard
input, and answers with a `Load` as JSON.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path

from PIL import Image
from pydantic import BaseModel, Field

from benchmarks.peers.client import Load, summarise

READY = "ready"
"""The line that a client prints once it takes commands."""
NOISE = 0.03


class Order(BaseModel):
    """What is asked for."""

    model: str = Field(pattern="^urn:air:", max_length=500)
    prompt: str = Field(min_length=1, max_length=10_000)
    width: int = Field(ge=64, le=4096, multiple_of=8)
    height: int = Field(ge=64, le=4096, multiple_of=8)
    steps: int = Field(ge=1, le=150)
    seed: int = Field(ge=0, lt=2**32)


def order() -> Order:
    """Return a valid one, validated."""
    return Order.model_validate(
        {
            "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
            "prompt": "a fox",
            "width": 64,
            "height": 64,
            "steps": 4,
            "seed": random.getrandbits(32),
        }
    )


def render(order: Order, file: Path) -> None:
    """Paint a gradient with the seed's noise, and write it as PNG."""
    size = (order.width, order.height)
    noise = Image.frombytes("RGB", size, random.Random(order.seed).randbytes(size[0] * size[1] * 3))
    Image.blend(_gradient(size), noise, NOISE).save(file, "PNG")


@cache
def _gradient(size: tuple[int, int]) -> Image.Image:
    down = Image.linear_gradient("L").resize(size)
    return Image.merge("RGB", (down, down.rotate(90), down.rotate(180)))


def drive(job: Callable[[], object], clients: int, seconds: float) -> Load:
    """Call ``job`` again and again in as many threads as there are clients."""
    latencies: list[float] = []
    start, cpu_start = time.perf_counter(), time.process_time()

    def client() -> None:
        while (sent := time.perf_counter()) < start + seconds:
            job()
            latencies.append(time.perf_counter() - sent)

    with ThreadPoolExecutor(clients) as threads:
        for future in [threads.submit(client) for _ in range(clients)]:
            future.result()
    return summarise(latencies, time.perf_counter() - start, time.process_time() - cpu_start)


def obey(load: Callable[[float], Load]) -> None:
    """Load for as many seconds as each line of the standard input says."""
    print(READY, flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(load(float(line)))), flush=True)
