"""Processes of the last revision's code and of ours, on one database while it is brought to our schema."""

from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from imagemill.db import migrate, tables
from tests.cli.programs import Program, image_job, running
from tests.rolling.revisions import extract, last_code, revision
from tests.service.build import wait_until

DONE_S = 60
_FORMER = {"IMAGEMILL_SAFETY__CHECKS": '["words"]'}
"""The word lists that the last revision checked by default are no dependency any more."""


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the last revision's code is."""
    return extract(last_code(), tmp_path_factory.mktemp("last revision"))


class Generation:
    """API, scheduler and worker of one version. ``source``: its code; None: ours."""

    def __init__(self, stack: ExitStack, folder: Path, database_url: str, source: Path | None) -> None:
        folder.mkdir()
        self.folder, self.stack = folder, stack
        self.settings = {
            "DATABASE_URL": database_url,
            # Locks in it say who lives, whatever the version.
            "IMAGEMILL_DATA_DIR": str(folder.parent / "data"),
            "IMAGEMILL_SWEEP_S": "0.3",
            "IMAGEMILL_SCHEDULER_POLL_MS": "100",
            "IMAGEMILL_SIMULATOR__STEP_MS": "5",
            "IMAGEMILL_LEADER_LEASE_S": "2",
            **({"PYTHONPATH": str(source), **_FORMER} if source else {}),
        }
        self.client: httpx2.Client | None = None
        self.worker: Program | None = None

    def run(self, *command: str) -> Program:
        return self.stack.enter_context(running(*command, cwd=self.folder, **self.settings))

    def start(self) -> None:
        api, scheduler, self.worker = (
            self.run("api", "--port", "0"),
            self.run("scheduler"),
            self.run("worker"),
        )
        self.client = self.stack.enter_context(api.client())
        scheduler.line("scheduler started")
        self.worker.line("worker started")

    def start_worker(self) -> None:
        self.worker = self.run("worker")
        self.worker.line("worker started")

    def stop_worker(self) -> None:
        assert self.worker is not None
        self.worker.signal()
        assert self.worker.ended(30) == 0

    def submit(self, count: int) -> list[str]:
        assert self.client is not None
        answer = self.client.post("/v1/consumer/jobs", json=image_job(quantity=count))
        return [job["jobId"] for job in answer.raise_for_status().json()["jobs"]]

    def sees_done(self, ids: list[str]) -> bool:
        """As its own API tells of them, with their pictures."""
        assert self.client is not None
        jobs = [self.client.get(f"/v1/consumer/jobs/{id_}").raise_for_status().json() for id_ in ids]
        return all(job["lastEvent"]["type"] == "Succeeded" for job in jobs)


def test_versions_finish_each_others_jobs(before: Path, empty_database_url: str, tmp_path: Path):
    url = empty_database_url
    with ExitStack() as stack:
        old = Generation(stack, tmp_path / "old", url, before)
        old.start()
        assert migrate.current(url) == revision(before) != tables.REVISION
        early = old.submit(2)
        wait_until(lambda: old.sees_done(early), DONE_S)

        migrate.upgrade(url)
        assert migrate.current(url) == tables.REVISION
        alone = old.submit(3)
        wait_until(lambda: old.sees_done(alone), DONE_S)

        new = Generation(stack, tmp_path / "new", url, None)
        new.start()
        old.stop_worker()
        by_new = [*old.submit(3), *new.submit(3)]
        wait_until(lambda: old.sees_done(by_new) and new.sees_done(by_new), DONE_S)
        assert new.sees_done([*early, *alone])


def test_a_worker_of_the_last_version_renders_for_both(before: Path, postgres_url: str, tmp_path: Path):
    with ExitStack() as stack:
        old = Generation(stack, tmp_path / "old", postgres_url, before)
        old.start()
        new = Generation(stack, tmp_path / "new", postgres_url, None)
        new.start()
        new.stop_worker()
        by_old = [*old.submit(3), *new.submit(3)]
        wait_until(lambda: old.sees_done(by_old) and new.sees_done(by_old), DONE_S)
