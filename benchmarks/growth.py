"""The cost of each operation with millions of finished and queued jobs, against a database of 22,000.

``python -m benchmarks.growth --finished 10000000 --queued 1000000`` measures SQLite, with ``--postgres``
PostgreSQL: the server in DATABASE_URL, else one of the development packages. ``--keep FOLDER`` fills the
databases there and uses them again the next time. The two databases take turns; the table has medians.
"""

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa

from benchmarks.large_tables import CHECKPOINT, LARGE_OWNER, MODELS, Size, fill
from benchmarks.processes import Row, imagemill
from imagemill.blobs.local import LocalBlobs
from imagemill.blobs.settings import BlobSettings
from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate, tables
from imagemill.db.engine import open_engines
from imagemill.domain.blob_keys import artifact_id, blob_key
from imagemill.domain.clock import SECOND, new_trace, now_us, uuid7
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import Artifact, Claim, Draft, Job, JobStatus, LaneKey, Succeeded
from imagemill.domain.pauses import Pause, PauseScope
from imagemill.domain.placement import PlacementRules
from imagemill.domain.scheduling import Offer
from imagemill.jobs.leadership import ProcessLock
from imagemill.jobs.store.artifacts import ArtifactFilter
from imagemill.jobs.store.claim import ClaimRequest
from imagemill.jobs.store.counts import Dimension
from imagemill.jobs.store.finish import Cancel, Finish
from imagemill.jobs.store.priority import Reprioritize
from imagemill.jobs.store.queries import Filter
from imagemill.jobs.store.statistics import StatisticsQuery
from imagemill.jobs.store.submit import Submission
from imagemill.jobs.sweeper import Sweeper
from imagemill.settings import JobSettings
from tests import databases
from tests.postgres import server_url

SMALL = Size(20_000, 2_000)
"""40 MB. A list that searches 10,000 jobs of an owner has them here too, in the same states."""
LARGE = Size(1_000_000, 100_000)
"""Two gigabytes."""
ROUNDS = 200
_WARM = 5
_RETENTION_DAYS = 5
"""Half of the jobs are older; one portion of 100 is deleted in each turn."""
_STARTS = 3

Act = Callable[["Subject"], object]


@dataclass(frozen=True, slots=True)
class Operation:
    """``prepare`` is called before each turn and not timed."""

    name: str
    act: Act
    rounds: int = ROUNDS
    prepare: Act = lambda _: None


@dataclass
class Subject:
    """One of the two databases, with what its last operation left for the next."""

    url: str
    stores: Stores
    sweeper: Sweeper
    ids: list[str]
    """Some finished jobs from all over the table."""
    keys: list[str]
    """Some jobs with an idempotency key, which is their id."""
    waiting: list[Job]
    """Some queued jobs, each of which is cancelled or changed once."""
    draw: random.Random = field(default_factory=lambda: random.Random(5))
    claims: list[Claim] = field(default_factory=list[Claim])
    resident: str = "model-3"

    def some_id(self) -> str:
        return self.draw.choice(self.ids)


# Operations of jobs


def _submit(subject: Subject, pieces: int = 1) -> None:
    owner = f"owner-{subject.draw.randrange(100)}"
    drafts = tuple(
        Draft(
            uuid7(),
            "textToImage",
            "gpu",
            LaneKey("gpu", f"model-{subject.draw.randrange(MODELS)}"),
            {"prompt": "a lighthouse in a storm", "model": CHECKPOINT, "width": 64, "height": 64, "steps": 4},
            now_us() + 10**12,
            new_trace(),
            estimate_s=4.0,
        )
        for _ in range(pieces)
    )
    subject.stores.jobs.submit(Submission(uuid7(), owner, drafts, now_us()))


def _submit_again(subject: Subject) -> None:
    """Send an old request again, as a client does that got no answer: its jobs are returned."""
    job = subject.stores.jobs.job(subject.keys[subject.draw.randrange(len(subject.keys))])
    submission = Submission(uuid7(), job.owner, (), now_us(), idempotency_key=job.id, digest="0")
    assert subject.stores.jobs.submit(submission).repeated


def _claim(subject: Subject) -> None:
    claim = subject.stores.jobs.claim_next(_ask(subject.resident))
    assert claim is not None
    subject.claims.append(claim)


def _ask(resident: str) -> ClaimRequest:
    offer = Offer("bench", "node-1", "simulator", frozenset({"gpu"}), loaded_models=frozenset({resident}))
    now = now_us()
    return ClaimRequest(offer, "reference", now, now + 30 * SECOND, PlacementRules())


def _finish(subject: Subject) -> None:
    claim = subject.claims.pop()
    job = claim.job
    subject.stores.jobs.finish(Finish(claim, Succeeded((_artifact(job),)), now_us()))
    subject.resident = subject.stores.jobs.lane(job.lane).model


def _artifact(job: Job) -> Artifact:
    key = blob_key(job.id, 1, 0, "png")
    return Artifact(
        artifact_id(job.id, 0), job.id, 0, 1, key, "image/png", 900, 64, 64, "0" * 64, 7, now_us()
    )


def _find_queued(subject: Subject) -> None:
    """Leave a job at the end of ``waiting`` that is still queued: in a small database claims take some."""
    while subject.stores.jobs.job(subject.waiting[-1].id).status is not JobStatus.QUEUED:
        subject.waiting.pop()


def _cancel(subject: Subject) -> None:
    job = subject.waiting.pop()
    subject.stores.jobs.cancel(Cancel(job.id, job.owner, now_us()))


def _reprioritize(subject: Subject) -> None:
    job = subject.waiting.pop()
    subject.stores.jobs.reprioritize(Reprioritize(job.id, job.owner, 2))


def _pause(subject: Subject, owner: str) -> str:
    pause = Pause(uuid7(), PauseScope.OWNER, owner, "a benchmark", "bench", now_us())
    subject.stores.pauses.add(pause)
    return pause.id


def _pause_and_resume(subject: Subject) -> None:
    """Pause an owner with a few thousand queued jobs at most, and end the pause."""
    id_ = _pause(subject, "owner-7")
    subject.stores.pauses.remove(id_, now_us())


# Reads


def _list(**wanted: Any) -> Act:
    owner = wanted.pop("owner", None)
    found = Filter(owner, **wanted)
    return lambda subject: subject.stores.jobs.views(subject.stores.jobs.search(found).jobs)


def _deep(subject: Subject) -> None:
    """A page in the middle of the table."""
    wanted = Filter(LARGE_OWNER, before=subject.some_id())
    subject.stores.jobs.views(subject.stores.jobs.search(wanted).jobs)


def _gallery(**wanted: Any) -> Act:
    sort = wanted.pop("sort", "newest")
    found = ArtifactFilter(Filter(wanted.pop("owner", None), **wanted), sort=sort)
    return lambda subject: subject.stores.jobs.search_artifacts(found)


def _position(subject: Subject) -> None:
    job = subject.waiting[-1]
    subject.stores.jobs.preceding([(job.lane, job.tag)])


def _waits(subject: Subject) -> None:
    subject.stores.jobs.queue_position(subject.waiting[-1], now_us())


def _batch(subject: Subject) -> None:
    job = subject.stores.jobs.job(subject.some_id())
    assert subject.stores.jobs.batch(job.owner, job.batch)


def _batches(subject: Subject) -> None:
    """The requests of `GET /v1/consumer/requests`."""
    jobs = subject.stores.jobs
    for batch in jobs.batches(LARGE_OWNER, None, 20):
        jobs.views(jobs.batch(LARGE_OWNER, batch))


def _relations(subject: Subject) -> None:
    job = subject.stores.jobs.job(subject.some_id())
    subject.stores.jobs.relations(job, [job.owner])


def _chart(subject: Subject) -> None:
    now = now_us()
    query = StatisticsQuery("*", now - 3 * 3600 * SECOND, now)
    subject.stores.jobs.statistics().buckets(query)


def _minute(subject: Subject) -> None:
    now = now_us()
    minute = (now // (60 * SECOND) - 4) * 60 * SECOND
    subject.stores.jobs.statistics().compute(minute, now)


def operations() -> Iterator[Operation]:
    few, one = 30, 7
    yield Operation("submit a job", _submit)
    yield Operation("submit 100 jobs", lambda each: _submit(each, 100), few)
    yield Operation("submit again with the same key", _submit_again, few)
    yield Operation("place in the queue of a submission", _position, prepare=_find_queued)
    yield Operation("claim", _claim)
    yield Operation("finish", _finish)
    yield Operation("cancel a queued job", _cancel, few, _find_queued)
    yield Operation("change a priority", _reprioritize, few, _find_queued)
    yield Operation("pause and resume an owner", _pause_and_resume, one)
    yield Operation("read a job", lambda each: each.stores.jobs.view(each.some_id()))
    yield Operation("events of a job", lambda each: each.stores.jobs.events_after(each.some_id(), 0))
    yield Operation("read a batch", _batch)
    yield Operation("page of batches with their jobs", _batches, few)
    yield Operation("relations of a job", _relations, few)
    yield Operation("why a job waits", _waits, few, _find_queued)
    yield from _lists(few)
    yield Operation("feed: newest states", lambda each: each.stores.jobs.recent_states([]), few)
    yield Operation("depths, as in health", lambda each: each.stores.jobs.depths(), few)
    yield Operation("depth of queues, as in metrics", lambda each: each.stores.jobs.measure(now_us()), few)
    yield Operation("workload, as for deadlines", lambda each: each.stores.jobs.workload(now_us()), one)
    yield Operation("forecast: queue", lambda each: each.stores.jobs.queue_outlook(now_us()), one)
    yield Operation("open jobs of an owner", lambda each: each.stores.quotas.open_jobs(LARGE_OWNER), few)
    yield Operation("consumption of a month", _consumption, one)
    yield Operation("chart of three hours", _chart, few)
    yield Operation("statistics of a minute", _minute, few)
    yield Operation("round of the sweeper", lambda each: each.sweeper.sweep(), few)
    yield Operation("retention, 100 jobs", lambda each: each.sweeper.prune(0.0), one)


def _consumption(subject: Subject) -> None:
    now = now_us()
    subject.stores.jobs.consumption("owner-7", now - 30 * 86_400 * SECOND, now)


def _lists(rounds: int) -> Iterator[Operation]:
    filters: Mapping[str, dict[str, Any]] = {
        "newest": {},
        "succeeded": {"statuses": frozenset({JobStatus.SUCCEEDED})},
        "failed": {"statuses": frozenset({JobStatus.FAILED})},
        "failed by error": {"errors": (FailureCode.TIMEOUT.value,)},
        "queued": {"statuses": frozenset({JobStatus.QUEUED})},
        "running": {"statuses": frozenset({JobStatus.RUNNING})},
        "model": {"models": ("model-1*",)},
        "node": {"nodes": ("node-3",)},
        "text": {"text": "fox moon"},
        "absent text": {"text": "zeppelin"},
        "older than a day": {"created_to": now_us() - 86_400 * SECOND},
    }
    for owner, who in ((LARGE_OWNER, "large owner"), (None, "all owners")):
        for name, wanted in filters.items():
            yield Operation(f"list {name}, {who}", _list(owner=owner, **wanted), rounds)
        for by in Dimension:
            yield Operation(f"count by {by}, {who}", _groups(owner, by), rounds)
        for name, wanted in {"newest": {}, "text": {"text": "fox moon"}, "rated": {"sort": "rating"}}.items():
            yield Operation(f"gallery {name}, {who}", _gallery(owner=owner, **wanted), rounds)
    yield Operation("list, deep cursor", _deep, rounds)
    yield Operation(
        "count of a text", lambda each: each.stores.jobs.count_matching(Filter(None, text="fox moon")), rounds
    )


def _groups(owner: str | None, by: Dimension) -> Act:
    return lambda subject: subject.stores.jobs.count_groups(Filter(owner), by)


# Measuring


@dataclass(frozen=True, slots=True)
class Cost:
    wall_s: float
    cpu_s: float


def _time(subject: Subject, operation: Operation) -> Cost:
    operation.prepare(subject)
    cpu, began = time.process_time(), time.perf_counter()
    operation.act(subject)
    return Cost(time.perf_counter() - began, time.process_time() - cpu)


def measure_operations(small: Subject, large: Subject, wanted: str = "") -> list[Row]:
    """Return for each operation the medians of both databases and their ratio.

    SQLite runs in this process, so there the ratio of processor time is exact on a busy machine.
    """
    rows: list[Row] = []
    for operation in operations():
        if wanted and wanted not in operation.name:
            continue
        costs: dict[str, list[Cost]] = {"small": [], "large": []}
        first: list[float] = []
        for turn in range(operation.rounds + min(_WARM, operation.rounds // 3)):
            pair = (_time(small, operation), _time(large, operation))
            if turn == 0:
                first = [each.wall_s for each in pair]
            if turn >= min(_WARM, operation.rounds // 3):
                costs["small"].append(pair[0])
                costs["large"].append(pair[1])
        rows.append(_row(operation.name, costs["small"], costs["large"], first))
        print(_text(rows[-1]), flush=True)
    return rows


def _row(name: str, small: Sequence[Cost], large: Sequence[Cost], first: Sequence[float]) -> Row:
    walls = [statistics.median(each.wall_s for each in costs) for costs in (small, large)]
    cpus = [statistics.median(each.cpu_s for each in costs) for costs in (small, large)]
    figures = f"{walls[0] * 1000:.2f} -> {walls[1] * 1000:.2f} ms, {walls[1] / walls[0]:.2f} times"
    return (
        name,
        figures,
        f"CPU here {cpus[1] / max(1e-6, cpus[0]):.2f} times; "
        f"first {first[0] * 1000:.1f} -> {first[1] * 1000:.1f} ms",
    )


def _text(row: Row) -> str:
    return f"{row[0]:<36} {row[1]:>36}  {row[2]}"


def open_subject(url: str, folder: Path) -> Subject:
    stores = build_stores(open_engines(url))
    settings = JobSettings(retention_days=_RETENTION_DAYS)
    sweeper = Sweeper(
        stores.jobs,
        LocalBlobs(folder / "blobs"),
        ProcessLock(folder / "run"),
        settings,
        BlobSettings(),
        quotas=stores.quotas,
        decisions=stores.decisions,
        calls=stores.provider_calls,
        every_s=1.0,
    )
    sweeper.count_ended()
    with stores.database.engines.reader.connect() as conn:
        ids = _spread(conn)
        table = tables.submissions.c
        newest_keys = sa.select(table.key).where(table.digest == "0").order_by(table.created_at.desc())
        keys = list(conn.execute(newest_keys.limit(100)).scalars())
    newest = stores.jobs.list_jobs(Filter(None, statuses=frozenset({JobStatus.QUEUED}), limit=400))
    return Subject(url, stores, sweeper, ids, keys, [job for job in newest if job.run_after is None])


def _spread(conn: sa.Connection) -> list[str]:
    """Return some finished jobs of the half that retention leaves alone."""
    now, found = now_us(), list[str]()
    jobs = tables.jobs.c
    for number in range(200):
        since = now - round((_RETENTION_DAYS - 1) * 86_400 * SECOND * (number + 1) / 200)
        ended = sa.select(jobs.id).where(jobs.finished_at.is_not(None), jobs.finished_at < since)
        found += conn.execute(ended.order_by(jobs.finished_at.desc()).limit(1)).scalars()
    return found


def measure_starts(folders: Mapping[str, tuple[Path, Mapping[str, str]]]) -> list[Row]:
    """Return how soon a server is ready, its memory, and some requests. It renders meanwhile."""
    ready: dict[str, list[float]] = {name: [] for name in folders}
    rows: list[Row] = []
    for _ in range(_STARTS):
        for name, (folder, settings) in folders.items():
            with imagemill(folder, **settings) as running:
                ready[name].append(running.ready_s)
                if len(ready[name]) == _STARTS:
                    rows += [
                        (f"memory after the start, {name}", f"{running.memory_mb():.0f} MB", ""),
                        *_requests(running.url, name),
                    ]
    starts = [
        (f"serve is ready, {name}", f"{statistics.median(each):.2f} s", "2 s") for name, each in ready.items()
    ]
    return starts + rows


def _requests(url: str, name: str) -> list[Row]:
    rows: list[Row] = []
    headers = {"Authorization": "Bearer bench"}
    for path in ("/health", "/metrics", "/api/v1/jobs?limit=50", "/api/v1/jobs/counts", "/api/v1/forecast"):
        times, status = list[float](), 0
        for _ in range(5):
            began = time.perf_counter()
            status = httpx2.get(f"{url}{path}", headers=headers, timeout=60).status_code
            times.append(time.perf_counter() - began)
        rows.append((f"GET {path}, {name}", f"{statistics.median(times) * 1000:.0f} ms, {status}", ""))
    return rows


# Databases


@contextmanager
def _databases(root: Path, small: Size, large: Size, *, postgres: bool) -> Iterator[dict[str, str]]:
    """Yield the addresses of both databases, filled where they are not there yet."""
    sizes = {"small": small, "large": large}
    with ExitStack() as stack:
        if postgres:
            server = stack.enter_context(server_url(root / "postgres"))
            names = {name: databases.named(server, f"growth_{name}") for name in sizes}
            with databases.administration(server) as administer:
                for name, url in names.items():
                    if not _is_there(url):
                        administer(f"DROP DATABASE IF EXISTS growth_new_{name}")
                        administer(f"CREATE DATABASE growth_new_{name}")
                        make_database(databases.named(server, f"growth_new_{name}"), sizes[name])
                        administer(f"ALTER DATABASE growth_new_{name} RENAME TO growth_{name}")
        else:
            names = {name: f"sqlite:///{root / name / 'imagemill.db'}" for name in sizes}
            for name in names:
                path = root / name / "imagemill.db"
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    make_database(f"sqlite:///{path}.new", sizes[name])
                    os.rename(f"{path}.new", path)
        yield names


def _is_there(url: str) -> bool:
    import psycopg

    plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        psycopg.connect(plain).close()
    except psycopg.OperationalError:
        return False
    return True


def make_database(url: str, size: Size) -> None:
    began = time.perf_counter()
    migrate.upgrade(url, products=databases.PRODUCTS)
    fill(url, size)
    print(f"filled with {size.jobs:,} jobs in {time.perf_counter() - began:.0f} s", flush=True)


def measure(root: Path, small: Size, large: Size, *, postgres: bool = False, wanted: str = "") -> list[Row]:
    """Fill two databases under ``root`` unless they are there, and measure both in turns."""
    with _databases(root, small, large, postgres=postgres) as urls, ExitStack() as stack:
        subjects: list[Subject] = []
        for name, url in urls.items():
            subjects.append(open_subject(url, root / "work" / name))
            stack.callback(subjects[-1].stores.close)
        rows = measure_operations(subjects[0], subjects[1], wanted)
        if not wanted:
            folders = {name: (root / name, {"DATABASE_URL": url}) for name, url in urls.items()}
            rows += measure_starts(folders)
        shutil.rmtree(root / "work", ignore_errors=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finished", type=int, default=LARGE.finished)
    parser.add_argument("--queued", type=int, default=LARGE.queued)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", default="", help="a part of the names of the operations")
    given = parser.parse_args()
    large = Size(given.finished, given.queued)
    with ExitStack() as stack:
        root = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows = measure(root, SMALL, large, postgres=given.postgres, wanted=given.only)
    print()
    for row in rows:
        print(_text(row))


if __name__ == "__main__":
    main()
