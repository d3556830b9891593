"""The books balance after SIGKILL at any moment."""

import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from imagemill.bootstrap.stores import build_stores
from imagemill.credits.ledger import StatementPage
from imagemill.db.engine import open_engines
from imagemill.jobs.store.queries import Filter
from tests.money.build import add_owner, purse
from tests.store.build import cancel

KILLS = 5
GIVEN = 400
ROOT = Path(__file__).parents[2]


def spender(database_url: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.money.spending", database_url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "spending\n"
    return process


@pytest.mark.timeout(180)
def test_processes_killed_in_the_middle_leave_books_that_balance(database_url: str):
    rng = random.Random(7)
    with closing(build_stores(open_engines(database_url, fsync=False))) as store:
        for owner in ("ann", "bob"):
            add_owner(store, owner, GIVEN)
        for _ in range(KILLS):
            with spender(database_url) as process:
                time.sleep(rng.uniform(0.1, 0.5))
                process.kill()
            assert store.ledger.faults() == []
        for owner in ("ann", "bob"):
            jobs = store.jobs.list_jobs(Filter(owner, limit=10_000))
            assert len(jobs) > KILLS, "hardly anything was bought: the proof proves little"
            paid = sum(round(job.cost * 1000) for job in jobs if job.status.value == "succeeded")
            held = sum(round(job.cost * 1000) for job in jobs if not job.status.is_terminal)
            assert purse(store, owner) == (GIVEN * 1000 - paid - held, held)
            kinds = [entry.kind.value for entry in store.ledger.statement(StatementPage(owner, limit=10_000))]
            assert kinds.count("hold") == sum(job.cost > 0 for job in jobs)
            for job in jobs:
                if job.status.value in ("waiting", "queued"):
                    cancel(store, job, owner=owner)
        assert store.ledger.faults() == []
