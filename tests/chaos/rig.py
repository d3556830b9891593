"""A whole fleet as real processes on one machine, each of which can be killed and comes back."""

import importlib
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx2
import sqlalchemy as sa

from imagemill.blobs.s3 import S3Blobs
from imagemill.db import migrate
from imagemill.db.engine import normalise
from tests.chaos.nodes import NodeProcess
from tests.chaos.ports import free_port
from tests.cli.programs import environment
from tests.conftest import SD1, SDXL, TOKEN
from tests.forking import Process, start
from tests.postgres import KillableServer
from tests.seaweed import Seaweed, SeaweedServer, running_server

WORKERS, SCHEDULERS, APIS, NODES = 3, 2, 2, 2
LEASE_S = 10.0
_QUICK = {
    "imagemill.settings:JobSettings.retry_cap_s": 1.0,
    "imagemill.backends.comfyui.settings:ComfySettings.breaker_base_s": 1.0,
    "imagemill.backends.comfyui.settings:ComfySettings.breaker_cap_s": 3.0,
}
"""Twenty heartbeats, a busy machine delays some; how long the loss of another machine goes unnoticed."""
FAULTS = "".join(
    f'[[rule]]\nfault = "{fault}"\nprobability = 0.08\ntimes = 2\n'
    for fault in ("crash", "server_error", "corrupt")
)
"""Simulated nodes that die in mid-render, refuse it, or deliver half a file; never three times running."""


@dataclass
class Member:
    """One process of the fleet. Its log lives as long as the rig."""

    kind: str
    arguments: tuple[str, ...]
    folder: Path
    log: Path
    settings: dict[str, str]
    constants: dict[str, float]
    process: "Process | None" = None
    began_at: int = 0
    """Where in the log the words of this start begin, in bytes."""

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.began_at = log.tell()
            self.process = start(
                *self.arguments,
                cwd=self.folder,
                environment=environment(**self.settings),
                stdout=log,
                stderr=log,
                constants=self.constants,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Broker(Protocol):
    """What carries wake-ups; a stop loses what waits in it, and it starts again under its address."""

    url: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class BrokerKind:
    """``place``: module and name of the server, imported when it is asked for: not every machine has each."""

    place: tuple[str, str]
    settings: Mapping[str, str]

    def make(self, folder: Path) -> Broker:
        folder.mkdir()
        module, name = self.place
        return getattr(importlib.import_module(module), name)(folder)


BROKERS = {
    "redis": BrokerKind(("tests.redis", "RedisServer"), {}),
    # News of jobs and live progress then come by PostgreSQL, as there is no Redis.
    "rabbitmq": BrokerKind(("tests.rabbit", "RabbitServer"), {"IMAGEMILL_CELERY__QUORUM_QUEUES": "true"}),
}


@dataclass
class Rig:
    database: str
    postgres: KillableServer
    broker: Broker
    store: SeaweedServer
    blobs: S3Blobs
    nodes: list[NodeProcess]
    members: list[Member]
    urls: list[str]
    engine: sa.Engine

    def of(self, kind: str) -> list[Member]:
        return [member for member in self.members if member.kind == kind]

    def revive(self) -> None:
        """Start again whatever ended, as an operator's init system does."""
        for one in (*self.members, *self.nodes, self.store):
            if not one.alive:
                one.start()

    def calm(self) -> None:
        """All is up again."""
        self.revive()
        assert self.store.answers(), "SeaweedFS did not come back"
        for node in self.nodes:
            node.wait()

    def cut_connections(self) -> int:
        """Terminate all sessions of the fleet in the database but our own; how many."""
        with self.engine.connect() as conn:
            cut = conn.execute(
                sa.text(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
            return cut.scalar_one()

    def held_by(self, member: Member) -> list[str]:
        """Jobs in the hands of a process."""
        with self.engine.connect() as conn:
            rows = conn.execute(
                sa.text("SELECT id FROM jobs WHERE status = 'running' AND worker LIKE :worker"),
                {"worker": f"%-{member.pid}-%"},
            )
            return list(rows.scalars())


@contextmanager
def running_rig(root: Path, broker_kind: str = "redis") -> Iterator[Rig]:
    with ExitStack() as stack:
        postgres = KillableServer(root / "postgres")
        stack.callback(postgres.close)
        postgres.start()
        broker = BROKERS[broker_kind].make(root / broker_kind)
        stack.callback(broker.stop)
        broker.start()
        store = stack.enter_context(running_server(root / "seaweed"))
        nodes = [NodeProcess(root) for _ in range(NODES)]
        for node in nodes:
            stack.callback(node.kill)
            node.start()
        database = sa.make_url(normalise(postgres.url)).set(database="chaos")
        _create(postgres.url, "chaos")
        named = database.render_as_string(hide_password=False)
        migrate.upgrade(named)
        settings = _settings(root, named, store.seaweed, nodes)
        settings |= {"CELERY_BROKER_URL": broker.url, **BROKERS[broker_kind].settings}
        ports = [free_port() for _ in range(APIS)]
        members = list(_members(root, settings, ports))
        engine = sa.create_engine(named, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
        stack.callback(engine.dispose)
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        blobs = S3Blobs(store.seaweed.settings())
        rig = Rig(named, postgres, broker, store, blobs, nodes, members, urls, engine)
        for member in members:
            member.start()
            stack.callback(member.stop)
        _register(urls[0])
        yield rig


def _create(url: str, name: str) -> None:
    admin = sa.create_engine(normalise(url), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        assert conn.execute(sa.text("SHOW fsync")).scalar_one() == "on", "a kill may lose what was committed"
        conn.execute(sa.text(f"CREATE DATABASE {name}"))
    admin.dispose()


def _register(url: str) -> None:
    """The models, under the names of the nodes' files."""
    end = time.monotonic() + 90
    for air, file in ((SD1, "sd1.safetensors"), (SDXL, "sdxl.safetensors")):
        while True:
            try:
                body = {"air": air, "fileName": file}
                answer = httpx2.post(
                    f"{url}/v2/resources", json=body, headers=TOKEN, timeout=15, trust_env=False, verify=False
                )
            except httpx2.HTTPError:
                assert time.monotonic() < end, "no API process answers"
                time.sleep(0.1)
            else:
                assert answer.status_code in (200, 201, 409), answer.text
                break


def _settings(root: Path, database: str, store: Seaweed, nodes: list[NodeProcess]) -> dict[str, str]:
    scenario = root / "faults.toml"
    scenario.write_text(FAULTS)
    return {
        "DATABASE_URL": database,
        "IMAGEMILL_LOG_FORMAT": "json",
        "IMAGEMILL_SWEEP_S": "0.5",
        "IMAGEMILL_LEADER_LEASE_S": "3",
        "IMAGEMILL_SHUTDOWN_GRACE_S": "3",
        "IMAGEMILL_CELERY__POLL_S": "1",
        "IMAGEMILL_JOB__LEASE_S": str(LEASE_S),
        "IMAGEMILL_JOB__HEARTBEAT_S": "0.5",
        "IMAGEMILL_JOB__RETRY_BASE_S": "0.05",
        "IMAGEMILL_JOB__MAX_FAILURES": "50",
        "IMAGEMILL_RESOURCES__SEED": "false",
        "IMAGEMILL_COMFYUI__URLS": ",".join(node.url for node in nodes),
        "IMAGEMILL_COMFYUI__HEALTH_S": "1",
        "IMAGEMILL_SIMULATOR__ENABLED": "always",
        "IMAGEMILL_SIMULATOR__STEP_MS": "40",
        "IMAGEMILL_SIMULATOR__PREVIEWS": "false",
        "IMAGEMILL_SIMULATOR__SCENARIO": str(scenario),
        "IMAGEMILL_S3__BUCKET": store.bucket,
        "IMAGEMILL_S3__ENDPOINT": f"http://127.0.0.1:{store.port}",
        "IMAGEMILL_S3__ACCESS_KEY_ID": store.key,
        "IMAGEMILL_S3__SECRET_ACCESS_KEY": store.secret,
    }


def _members(root: Path, settings: dict[str, str], ports: list[int]) -> Iterator[Member]:
    """The last worker has a data folder of its own, as on another machine: its death shows by its lease. It
    also gives up soon what it cannot store, where the others wait."""
    commands = [
        *(("api", "--port", str(port)) for port in ports),
        *[("scheduler",)] * SCHEDULERS,
        *[("worker", "--queues", "gpu")] * WORKERS,
    ]
    for number, command in enumerate(commands):
        far = number == len(commands) - 1
        folder = root / f"{command[0]}-{number}"
        folder.mkdir()
        yield Member(
            command[0],
            command,
            folder,
            folder / "log.jsonl",
            {
                **settings,
                "IMAGEMILL_DATA_DIR": str(root / ("data-far" if far else "data")),
                "PYTHONUNBUFFERED": "1",
            },
            {**_QUICK, "imagemill.blobs.settings:BlobSettings.patience_s": 1.0 if far else 60.0},
        )
