"""The peers that are called over HTTP, all with the same requests."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import httpx2

from benchmarks.peers.client import Load, Request
from benchmarks.peers.stage import CLIENTS, FSYNC, START_S, Peer, Running, Stage, UnavailableError, await_port
from benchmarks.processes import free_port
from imagemill.config import Settings

JOB = Request(
    "/v1/consumer/jobs?wait=true",
    {
        "$type": "textToImage",
        "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
        "params": {"prompt": "a fox", "width": 64, "height": 64, "steps": 4},
    },
    '"available":true',
    (("Authorization", "Bearer bench"),),
)


def load(url: str, request: Request, seconds: float) -> Load:
    """Send the request with `CLIENTS` clients from a process of their own."""
    command = [sys.executable, "-m", "benchmarks.peers.client", url, str(CLIENTS), str(seconds)]
    done = subprocess.run(
        [*command, json.dumps(asdict(request))], stdout=subprocess.PIPE, text=True, check=True
    )
    return Load(**json.loads(done.stdout))


# Imagemill


@contextmanager
def server(stage: Stage, *options: str, settings: Mapping[str, str]) -> Iterator[tuple[int, str, Path]]:
    """Run `imagemill serve`; its id, its address and its data folder."""
    folder, port = stage.folder(), free_port()
    environment = {"DATA_DIR": str(folder), "LOG_LEVEL": "warning", **settings}
    command = [sys.executable, "-m", "imagemill", "serve", "--port", str(port), *options]
    with stage.process(command, {f"IMAGEMILL_{name}": value for name, value in environment.items()}) as pid:
        url = f"http://127.0.0.1:{port}"
        _await_ready(url)
        yield pid, url, folder


@contextmanager
def serve(stage: Stage, *options: str, settings: Mapping[str, str]) -> Iterator[Running]:
    with server(stage, *options, settings=settings) as (pid, url, folder):
        yield Running([pid], partial(load, url, JOB), folder / "blobs" / "jobs")


@contextmanager
def serve_processes(stage: Stage) -> Iterator[Running]:
    """As many processes as pay on this machine. Raises `UnavailableError` without that option."""
    check_has_processes()
    with serve(stage, "--processes", "auto", settings=_AS_MANY) as running:
        yield running


def check_has_processes() -> None:
    """Raise `UnavailableError` for a version that has one process only."""
    command = [sys.executable, "-m", "imagemill", "serve", "--help"]
    if "--processes" not in subprocess.run(command, capture_output=True, text=True, check=True).stdout:
        raise UnavailableError("this version has no `serve --processes`")


def _await_ready(url: str) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with suppress(httpx2.HTTPError):
            if httpx2.get(f"{url}/health/ready", timeout=5).status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError("the server is not ready")


def _sqlite(*, full: bool) -> str:
    """Return what an accepted job survives with SQLite, which Imagemill uses by default."""
    if full:
        return "SQLite, synchronous=FULL; job and picture are flushed first: survives a power loss"
    return "SQLite, synchronous=NORMAL: survives a kill, a power loss takes the last commits"


_AS_MANY = {"SIMULATOR__NODES": "4"}
"""Four nodes of two slots take as many jobs at a time as the other peers' workers."""


def imagemill() -> Peer:
    """The default settings but for the number of simulated nodes."""
    layouts = {
        "`serve`": partial(serve, settings=_AS_MANY),
        "`serve --processes auto`": serve_processes,
    }
    return Peer("Imagemill", _sqlite(full=Settings().fsync), layouts)


def imagemill_synced_otherwise() -> Peer:
    """The setting `fsync` is the other than by default."""
    full = not Settings().fsync
    layouts = {"`serve`": partial(serve, settings={**_AS_MANY, "FSYNC": str(full).lower()})}
    return Peer(f"Imagemill, {'all' if full else 'nothing'} flushed", _sqlite(full=full), layouts)


# Fastify


@contextmanager
def fastify(stage: Stage, *, roles: Sequence[str], fsync: str) -> Iterator[Running]:
    """A process for each of the ``roles``."""
    folder, node = stage.node_packages()
    pictures, port = stage.folder(), free_port()
    with ExitStack() as stack:
        redis = stack.enter_context(stage.redis(fsync))
        environment = {
            "NODE_ENV": "production",
            "PORT": str(port),
            "REDIS_PORT": str(redis.port),
            "PICTURES": str(pictures),
        }
        pids = [
            stack.enter_context(stage.process([*node, folder / "fastify.mjs", role], environment))
            for role in roles
        ]
        await_port(port)
        yield Running([redis.pid, *pids], partial(load, f"http://127.0.0.1:{port}", JOB), pictures)


def fastify_peer(fsync: str) -> Peer:
    layouts = {
        "API and worker in one process": partial(fastify, roles=["both"], fsync=fsync),
        "API and worker as two processes": partial(fastify, roles=["worker", "api"], fsync=fsync),
        "a cluster of two processes, each API and worker": partial(fastify, roles=["cluster"], fsync=fsync),
    }
    return Peer(f"Fastify, BullMQ, Redis ({fsync}), sharp", FSYNC[fsync], layouts)
