"""Jobs a second through Celery, Redis and PostgreSQL, beside Celery tasks that do nothing.

Both use one PostgreSQL server with its durable defaults and one Redis, have sixteen clients and as many
processes or slots, and take turns. Theirs keep their results in the database; ours are validated, stored,
claimed, rendered, checked, written to a file and recorded with three events.

What counts is a backlog: sixteen clients send as fast as they are answered, and the clock stops when all
results are in the database, looked for from outside in the same way. Clients that wait for results flatter
us: Celery's database backend can only ask again and again, ours is told.

``python -m benchmarks.fleet [ROUNDS]``
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import psutil
import sqlalchemy as sa
from sqlalchemy import exc

from benchmarks.processes import Row, imagemill
from benchmarks.throughput import BODY
from imagemill.db.engine import normalise
from tests.postgres import server_url
from tests.redis import RedisServer

CLIENTS = 16
ROUNDS = 3
BACKLOG = 1_600
LOOPED = 320
"""Multiples of the clients, as the next."""
WARM_UP = 160
LOOK_S = 0.05
"""How often it is counted what is done."""
GIVE_UP_S = 300


@dataclass(frozen=True)
class Running:
    """``send``: so many pieces of work, waiting for none; ``loop``: so many, each client waiting for its own,
    and how many a second that made; ``done``: counts results in the ``database``."""

    database: str
    done: str
    send: Callable[[int], object]
    loop: Callable[[int], float]


@dataclass(frozen=True)
class Turn:
    per_second: float
    """Of the backlog."""
    looped_per_second: float
    messages: float
    """To the broker, for each piece: of the backlog or of the loop, whichever takes more."""
    cpu_ms: float
    """Of all processes, engines and clients included, for each piece of the backlog."""


class Stage:
    """The engines all share."""

    def __init__(self, root: Path, server: str, redis: RedisServer) -> None:
        self.root = root
        self.redis = redis
        self._server = normalise(server)
        self._brokers = itertools.cycle(range(1, 15))

    def folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.root))

    def database(self) -> str:
        """A fresh one."""
        name = f"fleet_{time.time_ns()}"
        admin = sa.create_engine(self._server, isolation_level="AUTOCOMMIT")
        with admin.connect() as conn:
            conn.execute(sa.text(f"CREATE DATABASE {name}"))
        admin.dispose()
        return sa.make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def broker(self) -> str:
        """Another database of the same Redis than the last."""
        return f"{self.redis.url.rsplit('/', 1)[0]}/{next(self._brokers)}"

    def cpu_s(self) -> float:
        """Spent by this process, its children and the database server, and those of them that ended."""
        postmaster = int((self.root / "postgres" / "postmaster.pid").read_text().split()[0])
        roots = [psutil.Process(), psutil.Process(postmaster)]
        total = 0.0
        for process in {*roots, *(child for root in roots for child in root.children(recursive=True))}:
            with suppress(psutil.NoSuchProcess):
                total += sum(process.cpu_times()[:4])
        return total


Side = Callable[[Stage], AbstractContextManager[Running]]


@contextmanager
def celery(stage: Stage, *, processes: int) -> Iterator[Running]:
    database = stage.database()
    environment = {
        **os.environ,
        "BENCH_BROKER": stage.broker(),
        "BENCH_RESULTS": f"db+{database}",
    }

    def client(what: str, tasks: int) -> float:
        command = [sys.executable, "-m", "benchmarks.celery_noop", what, str(CLIENTS), str(tasks)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        return float(done.stdout)

    worker = ["celery", "-A", "benchmarks.celery_noop", "worker", "--loglevel=ERROR"]
    with _process([*worker, f"--concurrency={processes}"], environment):
        yield Running(
            database,
            "SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'",
            partial(client, "send"),
            partial(client, "loop"),
        )


@contextmanager
def ours(stage: Stage, *, worker: list[str], workers: int, nodes: int) -> Iterator[Running]:
    folder, database = stage.folder(), stage.database()
    settings = {
        "DATABASE_URL": database,
        "BROKER_URL": stage.broker(),
        "SIMULATOR__NODES": str(nodes),
        # Else each process of Celery's pool, which is a whole worker, is replaced several times in a run.
        "CELERY__MAX_TASKS_PER_CHILD": "100000",
    }
    environment = {f"IMAGEMILL_{name}": value for name, value in settings.items()}
    environment |= {**os.environ, "IMAGEMILL_DATA_DIR": str(folder), "IMAGEMILL_LOG_LEVEL": "warning"}
    with ExitStack() as stack:
        api = stack.enter_context(imagemill(folder, "api", **settings))
        for command in [["imagemill", "scheduler"], *[worker] * workers]:
            stack.enter_context(_process(command, environment))

        def client(jobs: int, *how: str) -> float:
            command = [sys.executable, "-m", "benchmarks.load", api.url, str(CLIENTS), str(jobs), BODY, *how]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            return json.loads(done.stdout)["per_second"]

        done = "SELECT count(*) FROM jobs WHERE status = 'succeeded'"
        yield Running(database, done, lambda jobs: client(jobs, "send"), client)


CELERY: dict[str, Side] = {
    "Celery no-op tasks, 2 processes": partial(celery, processes=2),
    "Celery no-op tasks, 16 processes": partial(celery, processes=16),
}
OURS: dict[str, Side] = {
    "jobs, 2 processes of `imagemill worker`, 8 slots each": partial(
        ours, worker=["imagemill", "worker", "--queues", "gpu"], workers=2, nodes=4
    ),
    "jobs, Celery's own worker, 2 processes": partial(
        ours,
        worker=[
            *("celery", "-A", "imagemill.dispatch.celery", "worker"),
            *("-Q", "gpu,celery", "--concurrency=2", "--loglevel=ERROR"),
        ],
        workers=1,
        nodes=1,
    ),
}


OURS_AIMS = dict(zip(OURS, ("at least 1.6", "at least 1.0"), strict=True))


@contextmanager
def _process(arguments: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def take_turn(stage: Stage, side: Side) -> Turn:
    with side(stage) as running:
        _backlog(running, WARM_UP)
        pushes, cpu_s = stage.redis.pushes(), stage.cpu_s()
        per_second = _backlog(running, BACKLOG)
        cpu_ms = (stage.cpu_s() - cpu_s) / BACKLOG * 1000
        sent = stage.redis.pushes()
        looped = running.loop(LOOPED)
        messages = max((sent - pushes) / BACKLOG, (stage.redis.pushes() - sent) / LOOPED)
        return Turn(per_second, looped, messages, cpu_ms)


def _backlog(running: Running, pieces: int) -> float:
    """Pieces of work a second, from the first one sent to the last result."""
    engine = sa.create_engine(running.database, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:

        def done() -> int:
            try:
                return conn.execute(sa.text(running.done)).scalar_one()
            except exc.ProgrammingError:  # Celery makes its table with its first result
                return 0

        goal, start = done() + pieces, time.perf_counter()
        running.send(pieces)
        while done() < goal:
            if time.perf_counter() - start > GIVE_UP_S:
                raise RuntimeError(f"{goal - done()} results are missing")
            time.sleep(LOOK_S)
        seconds = time.perf_counter() - start
    engine.dispose()
    return pieces / seconds


@contextmanager
def stage_in(root: Path) -> Iterator[Stage]:
    root.mkdir(parents=True, exist_ok=True)
    with server_url(root / "postgres") as server:
        redis = RedisServer(root)
        redis.start()
        try:
            yield Stage(root, server, redis)
        finally:
            redis.stop()


def measure(root: Path, rounds: int = ROUNDS) -> list[Row]:
    """They take turns, so that a slow minute hits all."""
    turns: dict[str, list[Turn]] = {name: [] for name in (*CELERY, *OURS)}
    with stage_in(root / "fleet") as stage:
        for _ in range(rounds):
            for name, side in {**CELERY, **OURS}.items():
                turns[name].append(take_turn(stage, side))
    rates = {name: median(turn.per_second for turn in each) for name, each in turns.items()}
    best = max(rates[name] for name in CELERY)
    rows: list[Row] = []
    for name, each in turns.items():
        looped = median(turn.looped_per_second for turn in each)
        cpu_ms = median(turn.cpu_ms for turn in each)
        rows.append((f"{name}, a second", f"{rates[name]:.0f}", ""))
        rows.append(("  clients waiting for results; CPU each", f"{looped:.0f}; {cpu_ms:.1f} ms", ""))
        if name in OURS:
            messages = max(turn.messages for turn in each)
            rows.append(("  ratio to the faster Celery", f"{rates[name] / best:.2f}", OURS_AIMS[name]))
            rows.append(("  messages to the broker for each job", f"{messages:.2f}", "at most 1.2"))
    return rows


def main(rounds: int) -> int:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, value, aim in measure(Path(folder), rounds):
            print(f"{name:<64}{value:>18}  {aim}")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS))
