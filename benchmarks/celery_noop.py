"""The measure to compare with: Celery tasks that do nothing, acknowledged late, results in Redis.

python -m benchmarks.celery_noop CLIENTS TASKS      prints tasks a second
"""

import os
import sys
import threading
import time

from celery import Celery

URL = os.environ.get("BENCH_REDIS", "redis://127.0.0.1:6379")
app = Celery("benchmarks.celery_noop", broker=f"{URL}/0", backend=f"{URL}/1")
app.conf.update(task_acks_late=True, worker_hijack_root_logger=False)


@app.task
def noop(value: int) -> int:
    return value


def _client(tasks: int) -> None:
    for number in range(tasks):
        noop.delay(number).get(timeout=30)


def main(clients: int, tasks: int) -> None:
    _client(20)
    threads = [threading.Thread(target=_client, args=(tasks // clients,)) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(tasks // clients * clients / (time.perf_counter() - start))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
