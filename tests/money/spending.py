"""A process that buys, runs and fails jobs until it is killed: its argument is the database's URL."""

import random
import sys
import threading

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db.engine import open_engines
from imagemill.domain.clock import SECOND, now_us, uuid7
from imagemill.domain.errors import ImagemillError
from imagemill.jobs.store.admission import Submission
from imagemill.jobs.store.finish import ReclaimLeases
from tests.store.build import ask, draft, fail, retry, succeed

HOUR = 3600 * SECOND


def spend(store: Stores, seed: int) -> None:
    rng = random.Random(seed)
    while True:
        now = now_us()
        try:
            first = draft(id=uuid7(now), cost=1.0, expires_at=now + HOUR)
            second = draft(id=uuid7(now), cost=0.5, depends_on=(first.id,), expires_at=now + HOUR)
            owner = rng.choice(("ann", "bob"))
            store.jobs.submit(Submission(uuid7(now), owner, (first, second), now, is_charged=True))
        except ImagemillError:
            store.jobs.reclaim_leases(ReclaimLeases(now + HOUR))
        claim = store.jobs.claim_next(ask(now, node=f"node-{seed}"))
        if claim is None:
            continue
        try:
            rng.choice((succeed, fail, retry))(store, claim, now)
        except ImagemillError:
            continue


def main() -> None:
    store = build_stores(open_engines(sys.argv[1], fsync=False))
    bought = store.jobs.submit(
        Submission(
            uuid7(), "ann", (draft(id=uuid7(), expires_at=now_us() + HOUR),), now_us(), is_charged=True
        )
    )
    assert bought.jobs
    for seed in range(4):
        threading.Thread(target=spend, args=(store, seed), daemon=True).start()
    print("spending", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
