"""A whole fleet as real processes on one machine, each of which can be killed and comes back."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from imagemill.blobs.s3 import S3Blobs
from imagemill.store import migrate
from imagemill.store.engine import normalise
from tests import seaweed
from tests.cli.programs import PROGRAM, environment
from tests.postgres import server_url
from tests.redis import RedisServer

WORKERS, SCHEDULERS, APIS = 3, 2, 2
LEASE_S = 6.0
"""Six heartbeats that a busy machine may delay; how long the loss of another machine goes unnoticed."""
FAULTS = "".join(
    f'[[rule]]\nfault = "{fault}"\nprobability = 0.08\ntimes = 2\n'
    for fault in ("crash", "server_error", "corrupt")
)
"""Nodes that die in the middle of a render, refuse it, or deliver half a file; never three times running."""


@dataclass
class Member:
    """One process of the fleet. Its log lives as long as the rig."""

    kind: str
    arguments: tuple[str, ...]
    folder: Path
    log: Path
    settings: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, *self.arguments],
                cwd=self.folder,
                env=environment(**self.settings),
                stdout=log,
                stderr=log,
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


@dataclass
class Rig:
    database: str
    redis: RedisServer
    blobs: S3Blobs
    members: list[Member]
    urls: list[str]
    engine: sa.Engine
    closing: ExitStack = field(default_factory=ExitStack)

    def of(self, kind: str) -> list[Member]:
        return [member for member in self.members if member.kind == kind]

    def revive(self) -> None:
        """Start again whatever ended, as an operator's init system does."""
        for member in self.members:
            if not member.alive:
                member.start()

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
def running_rig(root: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        url = stack.enter_context(server_url(root / "postgres"))
        redis = RedisServer(root)
        redis.start()
        stack.callback(redis.stop)
        store = stack.enter_context(seaweed.running(root / "seaweed"))
        database = sa.make_url(normalise(url)).set(database=f"chaos_{time.time_ns()}")
        _create(url, database.database or "")
        named = database.render_as_string(hide_password=False)
        migrate.upgrade(named)
        settings = _settings(root, named, redis, store)
        ports = [_free_port() for _ in range(APIS)]
        members = list(_members(root, settings, ports))
        engine = sa.create_engine(named, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
        stack.callback(engine.dispose)
        rig = Rig(
            named,
            redis,
            S3Blobs(store.settings()),
            members,
            [f"http://127.0.0.1:{port}" for port in ports],
            engine,
        )
        for member in members:
            member.start()
            stack.callback(member.stop)
        yield rig


def _create(url: str, name: str) -> None:
    admin = sa.create_engine(normalise(url), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.execute(sa.text(f"CREATE DATABASE {name}"))
    admin.dispose()


def _settings(root: Path, database: str, redis: RedisServer, store: seaweed.Seaweed) -> dict[str, str]:
    scenario = root / "faults.toml"
    scenario.write_text(FAULTS)
    return {
        "DATABASE_URL": database,
        "CELERY_BROKER_URL": redis.url,
        "IMAGEMILL_LOG_FORMAT": "json",
        "IMAGEMILL_SWEEP_S": "0.5",
        "IMAGEMILL_LEADER_LEASE_S": "3",
        "IMAGEMILL_SHUTDOWN_GRACE_S": "3",
        "IMAGEMILL_CELERY__POLL_S": "1",
        "IMAGEMILL_JOB__LEASE_S": str(LEASE_S),
        "IMAGEMILL_JOB__HEARTBEAT_S": "0.5",
        "IMAGEMILL_JOB__RETRY_BASE_S": "0.05",
        "IMAGEMILL_JOB__RETRY_CAP_S": "1",
        "IMAGEMILL_JOB__MAX_FAILURES": "50",
        "IMAGEMILL_SIMULATOR__STEP_MS": "40",
        "IMAGEMILL_SIMULATOR__PREVIEWS": "false",
        "IMAGEMILL_SIMULATOR__SCENARIO": str(scenario),
        "IMAGEMILL_S3__BUCKET": store.bucket,
        "IMAGEMILL_S3__ENDPOINT": f"http://127.0.0.1:{store.port}",
        "IMAGEMILL_S3__ACCESS_KEY_ID": store.key,
        "IMAGEMILL_S3__SECRET_ACCESS_KEY": store.secret,
    }


def _members(root: Path, settings: dict[str, str], ports: list[int]) -> Iterator[Member]:
    """The last worker has a data folder of its own, as on another machine: its death shows by its lease."""
    commands = [
        *(("api", "--port", str(port)) for port in ports),
        *[("scheduler",)] * SCHEDULERS,
        *[("worker", "--queues", "gpu")] * WORKERS,
    ]
    for number, command in enumerate(commands):
        data = root / ("data-far" if number == len(commands) - 1 else "data")
        folder = root / f"{command[0]}-{number}"
        folder.mkdir()
        yield Member(
            command[0],
            command,
            folder,
            folder / "log.jsonl",
            {**settings, "IMAGEMILL_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"},
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
