"""Fixtures: real databases, a real server on a real port."""

import asyncio
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import typer.main
import typer.testing
import uvicorn

from imagemill.bootstrap.application import Application, Roles, application
from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.config import Settings
from imagemill.db.engine import normalise, open_engines
from imagemill.web import websockets
from imagemill.web.connections import Connection
from tests import databases
from tests.answers import AnswerCheck
from tests.postgres import server_url

# The tests of the flushes to the disk ask for them; the others need not wait for it.
os.environ.setdefault("IMAGEMILL_FSYNC", "false")

pytest_plugins = ["tests.spreading"]

# Programs that tests start find the package compiled: to compile it takes a third of a second of each start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A name server that loses a question delays a test by a second, not by five.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")
# To build the 170 commands takes 50 ms, ten times as long as most of them run.
_typer: Any = typer.testing
_typer._get_command = cache(typer.main.get_command)

TOKEN = {"Authorization": "Bearer test"}
SD1 = "urn:air:sd1:checkpoint:civitai:4384@128713"
SDXL = "urn:air:sdxl:checkpoint:civitai:101055@128078"
LORA = "urn:air:sd1:lora:civitai:82098@87153"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL: the one of DATABASE_URL, else one this session starts.

    Not below pytest's own folder, which another session of the same user closes to everybody else.
    """
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        server_url(Path(folder, "data")) as url,
    ):
        if folder in url:
            databases.flush_nothing(url)
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty database of its own."""
    name = f"test_{secrets.token_hex(6)}"
    admin = sa.create_engine(normalise(postgres_server), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.execute(sa.text(f"CREATE DATABASE {name}"))
    yield sa.make_url(normalise(postgres_server)).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as conn:
        conn.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(scope="session")
def kept_postgres(postgres_server: str) -> Iterator[str]:
    """A database for all tests that need no new one; its name."""
    with databases.kept_database(postgres_server, "kept_") as name:
        yield name


@pytest.fixture
def kept_postgres_url(postgres_server: str, kept_postgres: str) -> Iterator[str]:
    """A migrated database, emptied afterwards."""
    url = databases.named(postgres_server, kept_postgres)
    yield url
    databases.empty(url)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database without rows, once on each of the two."""
    if request.param == "postgres":
        return request.getfixturevalue("kept_postgres_url")
    return databases.sqlite_database(tmp_path / "store.db")


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables, once on each of the two."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(database_url: str) -> Iterator[Stores]:
    store = build_stores(open_engines(database_url, fsync=False))
    yield store
    store.close()


@dataclass
class Server:
    """Imagemill on a real port, in this process."""

    app: Application
    url: str
    client: httpx2.Client

    def submit(self, body: dict[str, Any] | None = None, **query: str) -> httpx2.Response:
        return self.client.post("/v1/consumer/jobs", json=body or image_job(), params=query)

    def wait(self, job_id: str, seconds: float = 60) -> dict[str, Any]:
        """The job once it is finished."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.client.get(f"/api/v1/jobs/{job_id}").json()
            if job["finishedAt"]:
                return job
            time.sleep(0.02)
        raise AssertionError(f"job {job_id} is still {job['status']}: {job}")


def image_job(**changes: Any) -> dict[str, Any]:
    """A small text-to-image template; ``params`` are merged."""
    params = {"prompt": "a lighthouse", "width": 64, "height": 64, "steps": 4, **changes.pop("params", {})}
    return {"$type": "textToImage", "model": SD1, "params": params, **changes}


class _Uvicorn(uvicorn.Server):
    """Ends at once: uvicorn's own looks ten times a second whether it should, and then rests for as long."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        ticking = asyncio.create_task(super().main_loop())
        await self._over.wait()
        ticking.cancel()

    def end(self) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._over.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.002)
        await self.lifespan.shutdown()


@contextmanager
def running_server(
    settings: Settings,
    roles: Roles | None = None,
    *,
    prepare: Callable[[Application], None] = lambda app: None,
) -> Iterator[Server]:
    """``prepare`` puts fakes into the process before it starts."""
    if settings.database_url is None:
        databases.sqlite_database(Path(sa.make_url(settings.database).database or ""))
    mill = Application(settings, roles)
    prepare(mill)
    limits = {"head_s": settings.limit.head_s, "answer_s": settings.limit.answer_s}
    wire = websockets.wire() | {"proxy_headers": False, "http": partial(Connection, **limits)}
    app = AnswerCheck(application(mill))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="on", **wire)
    server = _Uvicorn(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.002)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    # Whom TLS trusts is not read: it takes 20 ms a client, and no test server here speaks TLS.
    with httpx2.Client(base_url=url, headers=TOKEN, timeout=100, verify=False) as client:
        yield Server(mill, url, client)
    server.end()
    thread.join(60)
    assert not thread.is_alive(), "the server did not stop"
    assert not app.wrong, "\n".join(app.wrong[:5])


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers with settings of one's own: ``make_server(job={"retry_base_s": 0.01})``."""
    open_: list[Any] = []

    def make(**settings: Any) -> Server:
        roles, prepare = settings.pop("roles", None), settings.pop("prepare", lambda app: None)
        defaults: dict[str, Any] = {
            "data_dir": tmp_path / "data",
            "shutdown_grace_s": 5,
            "sweep_s": 0.05,
            "job": {"retry_base_s": 0.01, "heartbeat_s": 0.05},
        }
        context = running_server(Settings(_env_file=None, **{**defaults, **settings}), roles, prepare=prepare)
        open_.append(context)
        return context.__enter__()

    yield make
    for context in reversed(open_):
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with default settings (quick retries) for the tests of a module."""
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("server"),
        sweep_s=0.05,
        job={"retry_base_s": 0.01, "heartbeat_s": 0.05},
    )
    with running_server(settings) as server:
        yield server
