"""A server on a disk that loses what was not flushed, its clients, and what is checked after a power cut."""

import base64
import hashlib
import io
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from imagemill.accounts.store import Owner, StoredKey
from imagemill.blobs.local import LocalBlobs
from imagemill.bootstrap.stores import build_stores
from imagemill.db.engine import open_engines
from imagemill.domain.access import Role, draw
from imagemill.domain.clock import now_us
from tests.conftest import image_job
from tests.databases import sqlite_database
from tests.money.build import grant
from tests.power.disk import Disk, Weakness, entries, environment, library

CLIENTS = 6
OPEN = ("waiting", "queued", "running")
_START_S = 60


@dataclass
class Answers:
    """The jobs that the server has answered about, with the size of the record at the time of the answer."""

    accepted: dict[str, int] = field(default_factory=dict[str, int])
    succeeded: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    """With the digest of the picture."""

    def until(self, size: int) -> "Answers":
        """Those that were given before the record had this size."""
        return Answers(
            {job: at for job, at in self.accepted.items() if at <= size},
            {job: known for job, known in self.succeeded.items() if known[0] <= size},
        )

    def before_cut(self) -> "Answers":
        """The same, for a record that has begun anew."""
        return Answers(
            dict.fromkeys(self.accepted, 0), {job: (0, digest) for job, (_, digest) in self.succeeded.items()}
        )


class Rig:
    """A folder, the server on it, and the record of its writes. Each cut begins a new record."""

    def __init__(self, root: Path, seed: int, *, fsync: bool = True, delay_us: int = 3000) -> None:
        self.root = root.resolve()
        self.rng = random.Random(seed)
        self.answers = Answers()
        self.step_ms = 2
        """0: renders take no time, so that several are flushed together by the journal."""
        self._settings = {"IMAGEMILL_FSYNC": str(fsync).lower()}
        self._delay_us = delay_us
        self._compiled = library(root)
        self._process: subprocess.Popen[bytes] | None = None
        self.data = self.root / "data"
        self.base = self.root / "base"
        self.log = self.root / "record"
        self.url = ""
        self._key = _prepare(self.data)

    def start(self, *, until_ready: bool = True) -> None:
        """Start the server with an empty record, and wait until it answers unless told otherwise."""
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.copytree(self.data, self.base)
        self.log.unlink(missing_ok=True)
        self.log.with_name(f"{self.log.name}.lock").unlink(missing_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        variables = {
            **os.environ,
            **environment(self._compiled, self.data, self.log, self._delay_us),
            **self._settings,
            "IMAGEMILL_DATA_DIR": str(self.data),
            "IMAGEMILL_CREDITS__ENABLED": "true",
            "IMAGEMILL_SIMULATOR__NODES": "2",
            "IMAGEMILL_SIMULATOR__STEP_MS": str(self.step_ms),
            "IMAGEMILL_JOB__RETRY_BASE_S": "0.02",
            "IMAGEMILL_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "imagemill", "serve", "--port", str(port)]
        with (self.root / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=variables, stdout=log, stderr=log, start_new_session=True
            )
        if until_ready:
            self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            with suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}/health/live", timeout=5, verify=False).status_code == 200:
                    return
            process = self._process
            assert process is not None
            assert process.poll() is None, (self.root / "server.log").read_text()[-2000:]
            time.sleep(0.02)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    @contextmanager
    def load(self) -> Iterator[None]:
        """Clients that submit without pause."""
        stop = threading.Event()
        seeds = [self.rng.random() for _ in range(CLIENTS)]
        clients = [threading.Thread(target=self._submit, args=(random.Random(seed), stop)) for seed in seeds]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            stop.set()
            for client in clients:
                client.join()

    def wait_for_jobs(self, accepted: int, pictures: int = 0, within_s: float = 90) -> None:
        """Wait until so many more jobs are accepted, and so many more pictures answered."""
        known, end = self.answers, time.monotonic() + within_s
        accepted, pictures = len(known.accepted) + accepted, len(known.succeeded) + pictures
        while len(known.accepted) < accepted or len(known.succeeded) < pictures:
            assert time.monotonic() < end, "too few jobs are accepted"
            time.sleep(0.005)

    def cut(self) -> None:
        """Take the power away: the folder becomes what a disk may show of it, and the record is empty."""
        self.kill()
        disk, rebuilt = Disk(self.base), self.root / "rebuilt"
        for entry in entries(self.log) if self.log.exists() else ():
            disk.run(entry)
        disk.cut(rebuilt, self.rng)
        shutil.rmtree(self.data)
        rebuilt.rename(self.data)
        self.answers = self.answers.before_cut()

    def faults_of_cuts(self, number: int, weakness: Weakness = "") -> list[str]:
        """What is wrong after cuts at random entries of the record and at its end; no server is started on
        them."""
        found: list[str] = []
        all_entries = entries(self.log) if self.log.exists() else []
        last = len(all_entries)
        points = sorted({last, *self.rng.sample(range(1, last + 1), min(number - 1, last))} - {0})
        disk, done, size = Disk(self.base, weakness), 0, 0
        for point in points:
            for entry in all_entries[done:point]:
                disk.run(entry)
                size += entry.size
            done = point
            rebuilt = self.root / f"cut-{point}"
            disk.cut(rebuilt, self.rng)
            found += [f"cut at entry {point}: {fault}" for fault in faults(rebuilt, self.answers.until(size))]
            shutil.rmtree(rebuilt)
        return found

    def wait_until_all_ended(self, within_s: float = 90) -> None:
        """Wait until no job is open any more."""
        end = time.monotonic() + within_s
        while states := set(_statuses(self.data).values()) & set(OPEN):
            assert time.monotonic() < end, f"jobs are stuck: {states}"
            time.sleep(0.1)

    def _submit(self, rng: random.Random, stop: threading.Event) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        with httpx2.Client(base_url=self.url, headers=headers, timeout=10, verify=False) as client:
            while not stop.is_set():
                # The power may be cut within any of these.
                with suppress(httpx2.HTTPError, OSError, KeyError, ValueError):
                    rng.choice((self._submit_and_wait, self._submit_two, self._submit_upload))(client)

    def _submit_and_wait(self, client: httpx2.Client) -> None:
        """One request that is answered with the finished picture."""
        answer = client.post("/v1/consumer/jobs", params={"wait": "true"}, json=image_job())
        if answer.status_code == 200:
            job = self._accepted(answer)[0]
            if job["result"]["available"]:
                self._look_at_picture(client, job["jobId"])

    def _submit_two(self, client: httpx2.Client) -> None:
        """Two jobs at once, one of which needs the other."""
        jobs = [{**image_job(), "name": "first"}, {**image_job(), "dependencies": ["first"]}]
        answer = client.post("/v1/consumer/jobs", json={"jobs": jobs})
        if answer.status_code == 200:
            self._accepted(answer)

    def _submit_upload(self, client: httpx2.Client) -> None:
        """A job that needs a picture of its client."""
        input_ = {"image": _new_picture(), "format": "png"}
        answer = client.post("/api/v1/jobs", json={"recipe": "convertImage", "input": input_})
        if answer.status_code == 201:
            self.answers.accepted[answer.json()["id"]] = self._size()

    def _accepted(self, answer: httpx2.Response) -> list[dict[str, Any]]:
        size, jobs = self._size(), answer.json()["jobs"]
        self.answers.accepted |= {job["jobId"]: size for job in jobs}
        return jobs

    def _look_at_picture(self, client: httpx2.Client, job: str) -> None:
        body = client.get(f"/api/v1/jobs/{job}").json()
        size = self._size()
        if body["status"] == "succeeded":
            picture = client.get(body["artifacts"][0]["url"])
            if picture.status_code == 200:
                self.answers.succeeded[job] = (size, hashlib.sha256(picture.content).hexdigest())

    def _size(self) -> int:
        """Bytes of the record by now, in which the flushes before an answer are."""
        return self.log.stat().st_size


def _prepare(data: Path) -> str:
    """Make a data folder with an account that can pay, and return its key."""
    key = draw()
    url = sqlite_database(data / "imagemill.db")
    with closing(build_stores(open_engines(url, fsync=False))) as stores:
        stores.accounts.ensure_owner(Owner("ann", Role.USER, now_us()))
        stores.accounts.add_key(
            StoredKey(key.id, "ann", "a test's", key.digest, Role.USER.scopes, False, now_us())
        )
        grant(stores, "ann", 10**9)
    return key.text


def _new_picture() -> str:
    made = io.BytesIO()
    Image.frombytes("RGB", (16, 16), random.randbytes(16 * 16 * 3)).save(made, "PNG")
    return f"data:image/png;base64,{base64.b64encode(made.getvalue()).decode()}"


def _statuses(data: Path) -> dict[str, str]:
    with closing(sqlite3.connect(data / "imagemill.db", timeout=30)) as conn:
        return dict(conn.execute("SELECT id, status FROM jobs").fetchall())


def faults(data: Path, answers: Answers, *, is_over: bool = False) -> list[str]:
    """What is wrong with a data folder that holds what was answered. ``is_over``: no job may be open."""
    try:
        with closing(sqlite3.connect(data / "imagemill.db", timeout=30)) as conn:
            found = [row[0] for row in conn.execute("PRAGMA integrity_check") if row[0] != "ok"]
            if found:
                return found
            found += _faults_of_jobs(conn, answers, is_over)
            found += _faults_of_files(conn, LocalBlobs(data / "blobs"), answers)
    except sqlite3.DatabaseError as error:
        return [f"the database cannot be read: {error}"]
    with closing(build_stores(open_engines(f"sqlite:///{data / 'imagemill.db'}", fsync=False))) as stores:
        return found + stores.ledger.faults()


def _faults_of_jobs(conn: sqlite3.Connection, answers: Answers, is_over: bool) -> list[str]:
    jobs = dict(conn.execute("SELECT id, status FROM jobs").fetchall())
    ends = Counter(row[0] for row in conn.execute("SELECT job_id FROM events WHERE type = 'Succeeded'"))
    found = [f"the accepted job {job} is gone" for job in answers.accepted if job not in jobs]
    found += [
        f"job {job} was answered as succeeded and is {jobs[job]}"
        for job in answers.succeeded
        if jobs.get(job, "succeeded") != "succeeded"
    ]
    found += [f"job {job} is {status}" for job, status in jobs.items() if status not in (*OPEN, "succeeded")]
    found += [f"job {job} has {n} ends" for job, n in ends.items() if n != 1 or jobs.get(job) != "succeeded"]
    if is_over:
        found += [f"job {job} has no end" for job in jobs if not ends[job]]
    return found


def _faults_of_files(conn: sqlite3.Connection, blobs: LocalBlobs, answers: Answers) -> list[str]:
    found: list[str] = []
    digests: dict[str, str] = {}
    for job, key, digest in conn.execute("SELECT job_id, blob_key, sha256 FROM artifacts"):
        digests[job] = digest
        path = blobs.location(key)
        if path is None:
            found.append(f"the picture of job {job} is gone")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            found.append(f"the picture of job {job} is another one, or part of it")
    found += [
        f"job {job} has another picture than its client has seen"
        for job, (_, digest) in answers.succeeded.items()
        if digests.get(job, digest) != digest
    ]
    return found
