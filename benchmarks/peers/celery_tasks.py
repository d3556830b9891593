"""Celery's tasks and its client: ``python -m benchmarks.peers.celery_tasks TASK CLIENTS`` obeys commands as
`benchmarks.peers.work.obey` says. BROKER and PICTURES (a folder) say where.
"""

import os
import random
import sys
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import Celery

from benchmarks.peers.work import Order, drive, obey, order, render

ANSWER_S = 60
BROKER = os.environ["BROKER"]

app = Celery("benchmarks.peers.celery_tasks", broker=f"{BROKER}/0", backend=f"{BROKER}/1")
app.conf.update(task_acks_late=True, task_serializer="json", worker_hijack_root_logger=False)


def _noop(value: int) -> int:
    return value


def _picture(arguments: dict[str, Any]) -> str:
    name = f"{uuid4()}.png"
    render(Order.model_validate(arguments), Path(os.environ["PICTURES"]) / name)
    return f"/blobs/{name}"


noop: Any = app.task(_noop, name="noop")
picture: Any = app.task(_picture, name="picture")


def ask_noop() -> None:
    noop.delay(random.getrandbits(16)).get(timeout=ANSWER_S)


def ask_picture() -> None:
    picture.delay(order().model_dump()).get(timeout=ANSWER_S)


if __name__ == "__main__":
    task, clients = sys.argv[1:]
    asked = {"noop": ask_noop, "picture": ask_picture}[task]
    asked()
    obey(partial(drive, asked, int(clients)))
