"""The lists, filters and counts of the console with a million jobs and a hundred thousand artifacts.

``python -m benchmarks.lists`` measures SQLite, with ``--postgres`` also PostgreSQL: the server in
DATABASE_URL, else one of the development packages. The worst of some runs of each is printed.
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.processes import Row
from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate, tables
from imagemill.db.engine import open_engines
from imagemill.db.statements import dump
from imagemill.domain.blob_keys import artifact_id, blob_key
from imagemill.domain.clock import SECOND, least_uuid7, now_us, uuid7
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import JobStatus, LaneKey
from imagemill.jobs.store.artifacts import ArtifactFilter
from imagemill.jobs.store.counts import Dimension
from imagemill.jobs.store.lanes import lane_to
from imagemill.jobs.store.queries import Filter
from tests import databases
from tests.postgres import server_url

JOBS = 1_000_000
OPEN = 100_000
FAILED_IN = 20
"""One job in so many fails."""
ARTIFACTS = 100_000
OWNERS = 200
MODELS = 12
RUNS = 3
AIM = "at most 100 ms"
_CHUNK = 10_000
_WORDS = ("fox", "owl", "lake", "tram", "fern", "moon", "boat", "tower", "night", "rain", "snow", "ink")
_OWNER = "owner-0"
"""Has half of the jobs."""


def measure(root: Path, url: str | None = None) -> list[Row]:
    """Fill a database, SQLite unless ``url`` names one, and measure each list."""
    url = url or f"sqlite:///{root / 'lists.db'}"
    migrate.upgrade(url)
    store = build_stores(open_engines(url))
    _fill(store)
    _analyze(store)
    name = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    rows = [(f"{what}, {name}", f"{_worst_ms(call):.0f} ms", AIM) for what, call in _calls(store)]
    store.close()
    return rows


def _worst_ms(call: Callable[[], object]) -> float:
    worst = 0.0
    for _ in range(RUNS):
        began = time.perf_counter()
        call()
        worst = max(worst, time.perf_counter() - began)
    return worst * 1000


def _calls(store: Stores) -> Iterator[tuple[str, Callable[[], object]]]:
    filters: Mapping[str, dict[str, Any]] = {
        "all": {},
        "failed": {"statuses": frozenset({JobStatus.FAILED})},
        "failed by error": {"errors": (FailureCode.OUT_OF_MEMORY.value,)},
        "failed by error and model": {"errors": (FailureCode.TIMEOUT.value,), "models": ("model-3",)},
        "queued": {"statuses": frozenset({JobStatus.QUEUED})},
        "running": {"statuses": frozenset({JobStatus.RUNNING})},
        "succeeded": {"statuses": frozenset({JobStatus.SUCCEEDED})},
        "recipe": {"recipes": ("comfy",)},
        "node": {"nodes": ("node-3",)},
        "absent node": {"nodes": ("absent",)},
        "model": {"models": ("model-1*",)},
        "text": {"text": "fox moon"},
        "absent text": {"text": "zeppelin"},
        "older than a day": {"created_to": now_us() - 86_400 * SECOND},
        "newer than an hour": {"created_from": now_us() - 3600 * SECOND},
    }
    for owner in (_OWNER, "owner-7", None):
        who = {"owner-7": "small owner", None: "all owners"}.get(owner, "large owner")
        for name, wanted in filters.items():
            found = Filter(owner, **wanted)
            yield f"list {name}, {who}", lambda found=found: store.jobs.views(store.jobs.search(found).jobs)
        for by in Dimension:
            yield f"count by {by}, {who}", lambda o=owner, by=by: store.jobs.count_groups(Filter(o), by)
        for name in ("failed by error", "model", "node", "absent text"):
            found = Filter(owner, **filters[name])
            yield f"count {name}, {who}", lambda found=found: store.jobs.count_matching(found)
    yield from _gallery_calls(store)


def _gallery_calls(store: Stores) -> Iterator[tuple[str, Callable[[], object]]]:
    galleries: Mapping[str, dict[str, Any]] = {
        "all": {},
        "text": {"text": "fox moon"},
        "absent text": {"text": "zeppelin"},
        "model": {"models": ("model-3",)},
        "recipe": {"recipes": ("comfy",)},
    }
    for owner in (_OWNER, None):
        who = "all owners" if owner is None else "large owner"
        for name, wanted in galleries.items():
            given = ArtifactFilter(Filter(owner, limit=100, **wanted))
            yield f"gallery {name}, {who}", lambda given=given: store.jobs.search_artifacts(given)
        rated = ArtifactFilter(Filter(owner, limit=100), sort="rating")
        yield f"gallery by rating, {who}", lambda rated=rated: store.jobs.search_artifacts(rated)


# Filling


def _fill(store: Stores) -> None:
    draw = random.Random(7)
    now = now_us()
    lanes = [
        {"id": number + 1, "key": lane_to(LaneKey("gpu", f"model-{number}"))} for number in range(MODELS)
    ]
    with store.database.engines.writer.begin() as conn:
        conn.execute(sa.insert(tables.lanes), lanes)
        conn.execute(
            sa.insert(tables.shares),
            [{"queue": "gpu", "owner": f"owner-{number}", "finish": 0.0} for number in range(OWNERS)],
        )
    for start in range(0, JOBS, _CHUNK):
        jobs = [_job(draw, number, now) for number in range(start, start + _CHUNK)]
        made = [_artifact(draw, job) for job in jobs if job["status"] == "succeeded"]
        with store.database.engines.writer.begin() as conn:
            conn.execute(sa.insert(tables.jobs), jobs)
            conn.execute(sa.insert(tables.events), [_event(job) for job in jobs])
            if made:
                conn.execute(sa.insert(tables.artifacts), made[: _CHUNK * ARTIFACTS // JOBS])
    while store.jobs.count_ended(now):
        pass


def _analyze(store: Stores) -> None:
    if store.database.engines.writer.dialect.name == "postgresql":
        with store.database.engines.writer.begin() as conn:
            conn.execute(sa.text("ANALYZE"))


def _status(draw: random.Random, number: int) -> JobStatus:
    if number >= JOBS - OPEN:
        return JobStatus.RUNNING if number < JOBS - OPEN + 8 else JobStatus.QUEUED
    if number % FAILED_IN == 0:
        return JobStatus.FAILED
    return JobStatus.CANCELED if draw.random() < 0.02 else JobStatus.SUCCEEDED


def _job(draw: random.Random, number: int, now: int) -> dict[str, Any]:
    """Return a row: the jobs were submitted over the last ten days, the newest a minute ago."""
    status = _status(draw, number)
    created = now - 60 * SECOND - (JOBS - number) * 10 * 86_400 * SECOND // JOBS
    owner = _OWNER if number % 2 else f"owner-{draw.randrange(1, OWNERS)}"
    ended = status.is_terminal
    code = draw.choice(tuple(FailureCode)).value if status is JobStatus.FAILED else None
    prompt = " ".join(draw.choices(_WORDS, k=30))
    recipe = "comfy" if draw.random() < 0.01 else "textToImage"
    node = f"node-{draw.randrange(16)}" if status is not JobStatus.QUEUED else None
    row: dict[str, Any] = {column.name: None for column in tables.jobs.c if column.nullable}
    return row | {
        "id": least_uuid7(created)[:19] + uuid7()[19:],
        "batch": least_uuid7(created),
        "owner": owner,
        "recipe": recipe,
        "queue": "gpu",
        "lane": 1 + draw.randrange(MODELS),
        "status": status.value,
        "priority": 0,
        "tag": float(number),
        "estimate_s": 4.0,
        "cost": 1.0,
        "attempt": 0 if node is None else 1,
        "failures": 0,
        "max_failures": 5,
        "dialect": "native",
        "input": dump({"prompt": prompt, "width": 1024, "height": 1024, "steps": 30, "seed": number}),
        "client": "{}",
        "properties": "{}",
        "trace": "0" * 55,
        "node": node,
        "error": None if code is None else dump({"code": code, "message": "it broke"}),
        "error_code": code,
        "created_at": created,
        "started_at": created + SECOND if node else None,
        "finished_at": created + 6 * SECOND if ended else None,
        "expires_at": created + 86_400 * SECOND,
        "last_seq": 1,
    }


def _event(job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "job_id": job["id"],
        "seq": 1,
        "type": "Initialized",
        "at": job["created_at"],
        "attempt": 0,
        "data": "{}",
    }


def _artifact(draw: random.Random, job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": artifact_id(job["id"], 0),
        "job_id": job["id"],
        "position": 0,
        "attempt": 1,
        "blob_key": blob_key(job["id"], 1, 0, "png"),
        "media_type": "image/png",
        "size": 1_000_000,
        "width": 1024,
        "height": 1024,
        "sha256": "0" * 64,
        "seed": 1,
        "created_at": job["finished_at"],
        "kept_from": None,
        "owner": job["owner"],
        "rating": draw.randrange(1, 6) if draw.random() < 0.02 else None,
        "deleted_at": None,
    }


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
        if "--postgres" in arguments:
            root = Path(folder)
            with (
                server_url(root / "postgres") as server,
                databases.kept_database(server, "lists") as name,
            ):
                rows += measure(root, databases.named(server, name))
    width = max(len(name) for name, _, _ in rows)
    for name, value, aim in rows:
        print(f"{name:<{width}}  {value:>10}  {aim}")


if __name__ == "__main__":
    main(sys.argv[1:])
