"""The peers that are called without HTTP, by a client of their own, which is part of what is measured."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks.peers.stage import CLIENTS, FSYNC, HERE, Peer, Running, Stage
from tests.npm import execute
from tests.postgres import KillableServer

ROOT = HERE.parents[1]
"""The folder from which the peers' environments import ``benchmarks``."""


@contextmanager
def celery(stage: Stage, *, task: str, processes: int) -> Iterator[Running]:
    python, pictures = stage.python("celery"), stage.folder()
    module = "benchmarks.peers.celery_tasks"
    with ExitStack() as stack:
        redis = stack.enter_context(stage.redis("everysec"))
        environment = _environment(pictures, BROKER=redis.url.removesuffix("/0"))
        worker = [python, "-m", "celery", "-A", module, "worker", f"--concurrency={processes}"]
        quiet = ["--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        worker_pid = stack.enter_context(stage.process([*worker, *quiet], environment))
        client = [python, "-m", module, task, str(CLIENTS)]
        client_pid, load = stack.enter_context(stage.client(client, environment))
        roots = [redis.pid, worker_pid, client_pid]
        yield Running(roots, load, pictures if task == "picture" else None)


@contextmanager
def procrastinate(stage: Stage, *, workers: int) -> Iterator[Running]:
    """``workers``: their processes; 0 lets the client's process work."""
    python, pictures, folder = stage.python("procrastinate"), stage.folder(), stage.folder() / "postgres"
    server = KillableServer(folder)
    server.start()
    try:
        environment = _environment(pictures, DATABASE=server.url)

        def command(role: str) -> list[str]:
            return [str(python), "-m", "benchmarks.peers.procrastinate_tasks", role, str(CLIENTS)]

        execute(command("tables"), ROOT, {**os.environ, **environment})
        postmaster = int((folder / "postmaster.pid").read_text().split()[0])
        with ExitStack() as stack:
            worker_pids = [
                stack.enter_context(stage.process(command("worker"), environment)) for _ in range(workers)
            ]
            role = command("client" if workers else "both")
            client_pid, load = stack.enter_context(stage.client(role, environment))
            yield Running([postmaster, client_pid, *worker_pids], load, pictures)
    finally:
        server.close()


def _environment(pictures: Path, **values: str) -> Mapping[str, str]:
    return {"PICTURES": str(pictures), "PYTHONPATH": str(ROOT), **values}


def celery_peer(task: str) -> Peer:
    does_work = task == "picture"
    return Peer(
        f"Celery, Redis (everysec), {'Pillow' if does_work else 'tasks that do nothing'}",
        FSYNC["everysec"],
        {
            f"{processes} worker processes": partial(celery, task=task, processes=processes)
            for processes in (2, 4)
        },
        does_work,
    )


def procrastinate_peer() -> Peer:
    layouts = {
        "client and worker in one process": partial(procrastinate, workers=0),
        "a client and two worker processes": partial(procrastinate, workers=2),
    }
    durable = "PostgreSQL, synchronous_commit=on: flushed before the answer, survives a power loss"
    return Peer("procrastinate, PostgreSQL, Pillow", durable, layouts)
