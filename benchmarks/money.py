"""What credits and limits cost: submit and finish with and without them, turn and turn about."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.processes import Row
from imagemill.accounts.store import Owner
from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.credits.ledger import Posting, Transfer
from imagemill.db import migrate
from imagemill.db.engine import open_engines
from imagemill.domain.access import Role
from imagemill.domain.blob_keys import artifact_id, blob_key
from imagemill.domain.clock import SECOND, new_trace, now_us, uuid7
from imagemill.domain.credits import EntryKind
from imagemill.domain.jobs import Artifact, Claim, Draft, LaneKey, Succeeded
from imagemill.domain.placement import PlacementRules
from imagemill.domain.quotas import Limits, QuotaPolicy
from imagemill.domain.scheduling import Offer
from imagemill.jobs.store.admission import Submission
from imagemill.jobs.store.claim import ClaimRequest
from imagemill.jobs.store.finish import Finish

ROUNDS = int(os.environ.get("IMAGEMILL_BENCH_ROUNDS", "1500"))
_TERMS = QuotaPolicy(account=Limits(jobs=1e6, megapixels=1e9, cooldowns={"comfy": 1.0}))
_WAYS: dict[str, tuple[bool, QuotaPolicy | None]] = {
    "neither": (False, None),
    "credits": (True, None),
    "limits": (False, _TERMS),
    "both": (True, _TERMS),
}


def measure(root: Path, url: str | None = None) -> list[Row]:
    """``url``: of an empty database; by default a SQLite file for each way."""
    stores = {way: _store(url or f"sqlite:///{root / f'money-{way}.db'}", way) for way in _WAYS}
    costs: dict[str, tuple[list[float], list[float]]] = {way: ([], []) for way in _WAYS}
    for _ in range(ROUNDS):
        for way, store in stores.items():
            submit_s, finish_s = _round(store, way, *_WAYS[way])
            costs[way][0].append(submit_s)
            costs[way][1].append(finish_s)
    for store in stores.values():
        store.close()
    middle = {way: [sorted(each)[ROUNDS // 2] * 1e6 for each in both] for way, both in costs.items()}
    rows: list[Row] = []
    for way, (submit_us, finish_us) in middle.items():
        ratio = sum(middle[way]) / sum(middle["neither"])
        told = f"{submit_us:.0f} + {finish_us:.0f} us"
        rows.append((f"submit + finish, {way}, p50", told, "" if way == "neither" else f"x {ratio:.2f}"))
    return rows


def _store(url: str, owner: str) -> Stores:
    migrate.upgrade(url)
    store = build_stores(open_engines(url))
    store.accounts.ensure_owner(Owner(owner, Role.USER, now_us()))
    grant = Transfer(owner, EntryKind.GRANT, 10**12)
    store.ledger.post(Posting((grant,), "bench", uuid7(), now_us()))
    return store


def _round(store: Stores, owner: str, charged: bool, terms: QuotaPolicy | None) -> tuple[float, float]:
    now = now_us()
    lane = LaneKey(f"gpu-{owner}")
    draft = Draft(
        uuid7(), "textToImage", lane.queue, lane, {}, now + 10**12, new_trace(), 1.0, 0.96, megapixels=0.4
    )
    submission = Submission(uuid7(), owner, (draft,), now, is_charged=charged, terms=terms)
    submit_s = _timed(lambda: store.jobs.submit(submission))
    offer = Offer("bench", f"node-{owner}", "simulator", frozenset({lane.queue}))
    claim = store.jobs.claim_next(ClaimRequest(offer, "reference", now, now + 30 * SECOND, PlacementRules()))
    assert claim is not None
    finish = Finish(claim, Succeeded((_artifact(claim),)), now)
    return submit_s, _timed(lambda: store.jobs.finish(finish))


def _artifact(claim: Claim) -> Artifact:
    key = blob_key(claim.id, claim.attempt, 0, "png")
    id_ = artifact_id(claim.id, 0)
    return Artifact(id_, claim.id, 0, claim.attempt, key, "image/png", 1, 8, 8, "0" * 64, 1, now_us())


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
