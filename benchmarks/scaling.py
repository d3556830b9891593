"""The figures of ``docs/scaling.md``: submits and claims a second by processes, on both databases, among many
finished jobs and beside many running ones.

``python -m benchmarks.scaling [rates] [finished] [running]``; all of them by default. ``FINISHED=1000000``
takes fewer finished jobs than the ten million, which need some ten gigabytes and many minutes.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate, tables
from imagemill.db.engine import normalise, open_engines
from imagemill.domain.clock import SECOND, new_trace, now_us, uuid7
from imagemill.domain.jobs import Draft, LaneKey, Succeeded
from imagemill.domain.placement import PlacementRules
from imagemill.domain.scheduling import Offer
from imagemill.jobs.store.claim import ClaimRequest
from imagemill.jobs.store.finish import Finish
from imagemill.jobs.store.submit import Submission
from tests.postgres import server_url

PROCESSES = (1, 2, 4, 8)
THREADS = 4
"""In each process, as a worker's slots and an API's requests are: they share transactions."""
RUN_S = 3.0
MODELS = 12
FINISHED = int(os.environ.get("FINISHED", 10_000_000))
RUNNING = (0, 500, 2000)
CLAIMS = 200
_LEASE_US = 3600 * SECOND


def draft(number: int) -> Draft:
    lane = LaneKey("gpu", f"model-{number % MODELS}")
    expires_at = now_us() + 86_400 * SECOND
    return Draft(uuid7(), "textToImage", "gpu", lane, {"seed": number}, expires_at, new_trace(), estimate_s=1)


def ask(node: str, model: str) -> ClaimRequest:
    offer = Offer("bench", node, "simulator", frozenset({"gpu"}), loaded_models=frozenset({model}))
    now = now_us()
    return ClaimRequest(offer, uuid7(), now, now + _LEASE_US, PlacementRules())


def submit(store: Stores, jobs: int) -> None:
    for start in range(0, jobs, 500):
        drafts = tuple(draft(start + number) for number in range(min(500, jobs - start)))
        store.jobs.submit(Submission(uuid7(), "local", drafts, now_us()))


@contextmanager
def databases(root: Path) -> Iterator[Callable[[str], str]]:
    """Gives the URL of a fresh database, migrated, on ``sqlite`` or ``postgresql``."""
    numbers = itertools.count()
    with server_url(root / "postgres") as server:

        def fresh(kind: str) -> str:
            name = f"scaling_{time.time_ns()}_{next(numbers)}"
            url = f"sqlite:///{root / name}.db"
            if kind == "postgresql":
                admin = sa.create_engine(normalise(server), isolation_level="AUTOCOMMIT")
                with admin.connect() as conn:
                    conn.execute(sa.text(f"CREATE DATABASE {name}"))
                admin.dispose()
                url = sa.make_url(normalise(server)).set(database=name).render_as_string(hide_password=False)
            migrate.upgrade(url)
            return url

        yield fresh


def work(url: str, what: str, number: int) -> None:
    """One process: says when it is ready, begins when told to, prints how many it did a second."""
    store = build_stores(open_engines(url))
    done = [0] * THREADS
    end = threading.Event()

    def run(slot: int) -> None:
        node, model = f"node-{number}-{slot}", f"model-{(number * THREADS + slot) % MODELS}"
        while not end.is_set():
            if what == "submits":
                store.jobs.submit(Submission(uuid7(), f"owner-{number}", (draft(slot),), now_us()))
            else:
                claim = store.jobs.claim_next(ask(node, model))
                if claim is None:
                    return
                store.jobs.finish(Finish(claim, Succeeded(()), now_us()))
                model = store.jobs.lane(claim.job.lane).model
            done[slot] += 1

    threads = [threading.Thread(target=run, args=(slot,)) for slot in range(THREADS)]
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    end.wait(RUN_S)
    end.set()
    for thread in threads:
        thread.join()
    print(sum(done) / (time.perf_counter() - start), flush=True)
    store.close()


def rate(url: str, what: str, processes: int) -> float:
    command = [sys.executable, "-m", "benchmarks.scaling", "--work", url, what]
    running = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in running)


def measure_rates(fresh: Callable[[str], str]) -> None:
    print(f"{'':<12}{'processes':>10}{'submits/s':>12}{'claims and ends/s':>20}")
    for kind in ("sqlite", "postgresql"):
        for processes in PROCESSES:
            url = fresh(kind)
            submits = rate(url, "submits", processes)
            store = build_stores(open_engines(url))
            submit(store, 12_000)
            store.close()
            claims = rate(url, "claims", processes)
            print(f"{kind:<12}{processes:>10}{submits:>12,.0f}{claims:>20,.0f}", flush=True)


def fill(url: str, store: Stores) -> None:
    """Finished jobs by copying one: only the rows matter."""
    submit(store, 1)
    claim = store.jobs.claim_next(ask("node", "model-0"))
    assert claim is not None
    store.jobs.finish(Finish(claim, Succeeded(()), now_us()))
    copied = [column.name for column in tables.jobs.columns if column.name not in ("id", "lane")]
    engine = sa.create_engine(url)
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                f"INSERT INTO jobs (id, lane, {', '.join(copied)}) "
                "WITH RECURSIVE numbers(n) AS "
                "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count) "
                f"SELECT '00000000-0000-7000-8000-' || (100000000000 + n), 1 + n % {MODELS}, "
                f"{', '.join(copied)} FROM numbers, jobs WHERE id = :id"
            ),
            {"count": FINISHED, "id": claim.id},
        )
    with engine.begin() as conn:
        conn.execute(sa.text("ANALYZE"))
    engine.dispose()


def measure_finished(fresh: Callable[[str], str]) -> None:
    for kind in ("sqlite", "postgresql"):
        url = fresh(kind)
        store = build_stores(open_engines(url))
        submit(store, 3 * CLAIMS)
        before = claim_ms(store, ends=True)
        fill(url, store)
        submit(store, 3 * CLAIMS)
        after = claim_ms(store, ends=True)
        print(
            f"{kind:<12} claim p50 {before:.2f} ms; beside {FINISHED:,} finished jobs {after:.2f} ms",
            flush=True,
        )
        store.close()


def claim_ms(store: Stores, *, ends: bool) -> float:
    """Median of a claim alone, by an idle node of its own; ``ends``: each job is finished before the next."""
    costs: list[float] = []
    for number in range(CLAIMS):
        request = ask(f"asking-{number}", f"model-{number % MODELS}")
        start = time.perf_counter()
        claim = store.jobs.claim_next(request)
        costs.append((time.perf_counter() - start) * 1000)
        assert claim is not None
        if ends:
            store.jobs.finish(Finish(claim, Succeeded(()), now_us()))
    return median(costs)


def measure_running(fresh: Callable[[str], str]) -> None:
    """What jobs that run cost a claim: two on each node, as nodes hold them."""
    for kind in ("sqlite", "postgresql"):
        for running in RUNNING:
            store = build_stores(open_engines(fresh(kind)))
            submit(store, running + 3 * CLAIMS)
            for number in range(running):
                store.jobs.claim_next(ask(f"node-{number // 2}", f"model-{number // 2 % MODELS}"))
            print(
                f"{kind:<12} {running:>5} running: claim p50 {claim_ms(store, ends=True):.2f} ms", flush=True
            )
            store.close()


def main(parts: list[str]) -> int:
    measures = {"running": measure_running, "finished": measure_finished, "rates": measure_rates}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        databases(Path(folder)) as fresh,
    ):
        for name in parts or measures:
            measures[name](fresh)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
