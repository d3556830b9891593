"""A batch of the model library on a simulator that fails at random, killed twice, ordered again: each cell
once.

``python -m tests.library.proof`` does it with all 288 cells and says how long it took.
"""

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa

from imagemill.blobs.local import LocalBlobs
from imagemill.db import tables
from imagemill.db.engine import normalise
from imagemill.products.library import tables as library_tables
from imagemill.products.library.grid import list_cells
from tests.cli.programs import PROGRAM, environment, run, running
from tests.conftest import TOKEN

FAULTS = [
    {"fault": "out_of_memory", "probability": 0.1, "times": 2},
    {"fault": "server_error", "probability": 0.15, "times": 2},
    {"fault": "crash", "probability": 0.1, "times": 2},
    {"fault": "corrupt", "probability": 0.1, "times": 2},
]
KILLS_AT = (0.25, 0.6)
"""Shares of the cells that are there when the server is killed."""
_DEADLINE_S = 240.0
_MOST_ORDERS = 5


@dataclass
class Proof:
    """``wanted``: the grid's filter as the command line writes it; empty: all of it."""

    folder: Path
    wanted: str
    database_url: str
    cells: int
    claims: int = 0
    seconds: float = 0.0
    lost_files: int = 0
    versions: list[int] = field(default_factory=list[int])
    templates: set[str] = field(default_factory=set[str])
    jobs: Counter[str] = field(default_factory=Counter[str])


def settings(folder: Path, database_url: str) -> dict[str, str]:
    return {
        "IMAGEMILL_DATA_DIR": str(folder / "data"),
        "IMAGEMILL_DATABASE_URL": database_url,
        "IMAGEMILL_PORT": "0",
        "IMAGEMILL_LIBRARY__PICTURE__WIDTH": "96",
        "IMAGEMILL_LIBRARY__PICTURE__HEIGHT": "128",
        "IMAGEMILL_LIBRARY__PICTURE__STEPS": "4",
        "IMAGEMILL_SIMULATOR__NODES": "2",
        "IMAGEMILL_SIMULATOR__STEP_MS": "5",
        "IMAGEMILL_SIMULATOR__FAULTS": json.dumps(FAULTS),
        "IMAGEMILL_JOB__RETRY_BASE_S": "0.02",
        "IMAGEMILL_JOB__MAX_FAILURES": "20",
        "IMAGEMILL_SWEEP_S": "0.2",
        "IMAGEMILL_LOG_LEVEL": "info",
    }


def prove(folder: Path, wanted: Mapping[str, str], database_url: str) -> Proof:
    begun = time.monotonic()
    shown = ",".join(f"{name}={value}" for name, value in wanted.items())
    proof = Proof(folder, shown, database_url, len(list_cells(wanted)))
    given = settings(folder, database_url)
    for share in (*KILLS_AT, None):
        with running("serve", cwd=folder, **given) as server:
            url = server.url
            if share is None:
                _ordered_until_all_are_there(proof, url)
            else:
                _killed_under_way(proof, url, server.process, share)
    _collect(proof)
    proof.seconds = time.monotonic() - begun
    return proof


def _ordered_until_all_are_there(proof: Proof, url: str) -> None:
    """A cell fails for good that runs out of memory twice; the next order makes it."""
    told: list[str] = []
    while (done := _batch(proof, url)).returncode:
        told.append(done.stdout + done.stderr)
        assert len(told) < _MOST_ORDERS, told


def _batch(proof: Proof, url: str) -> "subprocess.CompletedProcess[str]":
    command = ("library", "batch", "--grid", proof.wanted or "all", "--url", url)
    return run(*command, cwd=proof.folder)


def _killed_under_way(proof: Proof, url: str, process: "subprocess.Popen[bytes]", share: float) -> None:
    """The command orders and looks on; the server dies once so many cells are there."""
    command = [*PROGRAM, "library", "batch", "--grid", proof.wanted or "all", "--url", url]
    client = subprocess.Popen(
        command, cwd=proof.folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + _DEADLINE_S
        while _present(url) < share * proof.cells:
            assert time.monotonic() < end, "the batch does not get on"
            time.sleep(0.02 + 0.02 * random.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
    finally:
        client.kill()
        client.wait()


def _present(url: str) -> int:
    with suppress(httpx2.HTTPError):
        answer = httpx2.get(f"{url}/api/v1/library", params={"limit": 500}, headers=TOKEN, timeout=5)
        return len(answer.json()["items"])
    return 0


def _collect(proof: Proof) -> None:
    engine = sa.create_engine(normalise(proof.database_url))
    table = library_tables.model_library.c
    with engine.connect() as conn:
        rows: list[Any] = list(conn.execute(sa.select(library_tables.model_library)))
        proof.jobs = Counter(conn.execute(sa.select(tables.jobs.c.status)).scalars())
        proof.claims = conn.execute(sa.select(sa.func.sum(tables.jobs.c.attempt))).scalar_one()
        keys = set(conn.execute(sa.select(table.image_key)).scalars())
        keys |= set(conn.execute(sa.select(table.thumbnail_key)).scalars())
    engine.dispose()
    proof.versions = [row.version for row in rows]
    proof.templates = {row.template_id for row in rows}
    blobs = LocalBlobs(proof.folder / "data" / "blobs")
    there = {blob.key for blob in blobs.list("library/")}
    proof.lost_files = len(keys - there)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        proof = prove(folder, {}, f"sqlite:///{folder / 'proof.db'}")
    good = proof.versions == [1] * 288 and len(proof.templates) == 288 and not proof.lost_files
    sys.stdout.write(
        f"{len(proof.versions)} rows of {len(proof.templates)} templates, {proof.lost_files} files missing, "
        f"{proof.claims} attempts, jobs: {dict(proof.jobs)}; {len(KILLS_AT)} kills, {proof.seconds:.1f} s\n"
    )
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
