"""The measure to compare with: Celery tasks that do nothing, acknowledged late, results in Redis, or in the
database that ``BENCH_RESULTS`` names.

python -m benchmarks.celery_noop loop CLIENTS TASKS    each client waits for its result; prints tasks a second
python -m benchmarks.celery_noop send CLIENTS TASKS    nobody waits; prints seconds
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import Celery

URL = os.environ.get("BENCH_REDIS", "redis://127.0.0.1:6379")
RESULTS = os.environ.get("BENCH_RESULTS", f"{URL}/1")
INTERVAL_S = 0.05
"""How often a client asks a database for its result, which is all that backend can do. By Celery's default of
half a second sixteen clients make 32 tasks a second at most, by this 320. Each question opens a connection of
its own, so asking much more often takes from the worker what it needs."""

BROKER = os.environ.get("BENCH_BROKER", f"{URL}/0")

app = Celery("benchmarks.celery_noop", broker=BROKER, backend=RESULTS)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, worker_hijack_root_logger=False)


def _noop(value: int) -> int:
    return value


noop: Any = app.task(_noop, name="benchmarks.celery_noop.noop")


def _loop(tasks: int) -> None:
    for number in range(tasks):
        noop.delay(number).get(timeout=30, interval=INTERVAL_S)


def _send(tasks: int) -> None:
    for number in range(tasks):
        noop.delay(number)


def _seconds(client: Callable[[int], None], clients: int, tasks: int) -> float:
    threads = [threading.Thread(target=client, args=(tasks // clients,)) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def main(what: str, clients: int, tasks: int) -> None:
    if what == "loop":
        _loop(20)
        print(tasks // clients * clients / _seconds(_loop, clients, tasks))
    else:
        print(_seconds(_send, clients, tasks))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
