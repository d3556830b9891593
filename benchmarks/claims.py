"""The cost of a claim in an empty table, and with a million finished and a hundred thousand queued jobs."""

import time
from pathlib import Path

import sqlalchemy as sa

from benchmarks.processes import Row
from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db import migrate, tables
from imagemill.db.engine import open_engines
from imagemill.domain.clock import SECOND, new_trace, now_us, uuid7
from imagemill.domain.jobs import Draft, JobStatus, LaneKey, Succeeded
from imagemill.domain.placement import PlacementRules
from imagemill.domain.scheduling import Offer
from imagemill.jobs.store.claim import ClaimRequest
from imagemill.jobs.store.finish import Finish
from imagemill.jobs.store.lanes import job_row
from imagemill.jobs.store.submit import Submission

FINISHED = 1_000_000
QUEUED = 100_000
MODELS = 12
CLAIMS = 400


def measure(root: Path) -> list[Row]:
    empty = _store(root / "empty.db")
    _submit(empty, CLAIMS * 2)
    full = _store(root / "full.db")
    _fill(root / "full.db", full)
    # Turn and turn about, so that a slow moment of the machine hits both.
    costs: dict[str, list[float]] = {"empty": [], "full": []}
    resident = {"empty": "model-3", "full": "model-3"}
    for _ in range(CLAIMS):
        for name, store in (("empty", empty), ("full", full)):
            seconds, resident[name] = _claim(store, resident[name])
            costs[name].append(seconds)
    empty_us, full_us = (sorted(each)[CLAIMS // 2] * 1e6 for each in costs.values())
    for store in (empty, full):
        store.close()
    return [
        ("claim, nearly empty table, p50", f"{empty_us:.0f} us", ""),
        (f"claim, {FINISHED:,} finished + {QUEUED:,} queued", f"{full_us:.0f} us", ""),
        ("ratio", f"{full_us / empty_us:.2f}", "at most 1.5"),
    ]


def _store(path: Path) -> Stores:
    url = f"sqlite:///{path}"
    migrate.upgrade(url)
    store = build_stores(open_engines(url))
    store.jobs.ensure_owner("local", now_us())
    return store


def _draft(number: int) -> Draft:
    lane = LaneKey("gpu", f"model-{number % MODELS}")
    return Draft(
        uuid7(), "textToImage", "gpu", lane, {"seed": number}, now_us() + 10**12, new_trace(), estimate_s=1.0
    )


def _submit(store: Stores, jobs: int) -> None:
    for start in range(0, jobs, 500):
        drafts = tuple(_draft(start + number) for number in range(min(500, jobs - start)))
        store.jobs.submit(Submission(uuid7(), "local", drafts, now_us()))


def _fill(path: Path, store: Stores) -> None:
    """Queue by the real way; copy one finished job a million times, as only the rows matter."""
    _submit(store, QUEUED + 1)
    template = store.jobs.claim_next(_ask())
    assert template is not None
    store.jobs.finish(Finish(template, Succeeded(()), now_us()))
    row = dict(job_row(template.job))
    row |= {"status": JobStatus.SUCCEEDED.value, "finished_at": now_us(), "lease_until": None}
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as conn:
        for start in range(0, FINISHED, 20_000):
            rows = [{**row, "id": uuid7(), "lane": 1 + (start + n) % MODELS} for n in range(20_000)]
            conn.execute(sa.insert(tables.jobs), rows)
    engine.dispose()


def _ask(resident: str = "model-3") -> ClaimRequest:
    offer = Offer("bench", "node", "simulator", frozenset({"gpu"}), loaded_models=frozenset({resident}))
    now = now_us()
    return ClaimRequest(offer, "reference", now, now + 30 * SECOND, PlacementRules())


def _claim(store: Stores, resident: str) -> tuple[float, str]:
    start = time.perf_counter()
    claim = store.jobs.claim_next(_ask(resident))
    seconds = time.perf_counter() - start
    assert claim is not None
    # A node has few jobs in flight, however many it has done.
    store.jobs.finish(Finish(claim, Succeeded(()), now_us()))
    return seconds, store.jobs.lane(claim.job.lane).model
