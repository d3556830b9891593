"""What time brings about."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from imagemill.blobs.base import BlobInfo
from imagemill.blobs.settings import BlobSettings
from imagemill.bootstrap.stores import Stores
from imagemill.db import tables
from imagemill.domain.blob_keys import blob_key
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import NotFound
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.jobs import JobStatus, Retried
from imagemill.domain.placement import PlacementRules
from imagemill.jobs.leadership import ProcessLock
from imagemill.jobs.store.claim import ClaimRequest
from imagemill.jobs.store.finish import Finish
from imagemill.jobs.sweeper import Sweeper
from imagemill.settings import JobSettings
from tests.service.build import MemoryBlobs, add, mill, offer, wait_until
from tests.tuning import tuned

S = JobStatus


def sweeper(
    store: Stores,
    blobs: MemoryBlobs,
    folder: Path,
    *,
    inputs_s: float | None = None,
    every_s: float = 5.0,
    kept_prefixes: Sequence[str] = (),
    **given: float,
) -> Sweeper:
    quick = {"retention_days": 1 / 24, "life_s": 3600.0, "heartbeat_s": 0.0, "reattach_s": 0.0}
    return Sweeper(
        store.jobs,
        blobs,
        ProcessLock(folder),
        tuned(JobSettings, validate=False, **{**quick, **given}),
        tuned(BlobSettings, validate=False, input_days=inputs_s and inputs_s / 86_400),
        every_s=every_s,
        kept_prefixes=kept_prefixes,
        quotas=store.quotas,
        decisions=store.decisions,
        calls=store.provider_calls,
    )


def lose(store: Stores, worker: str = "worker-1", lease_s: float = 30.0) -> None:
    now = now_us()
    assert store.jobs.claim_next(
        ClaimRequest(offer(worker=worker), "ref", now, now + round(lease_s * SECOND), PlacementRules())
    )


def test_a_job_whose_lease_ran_out_is_queued_again(store: Stores, tmp_path: Path):
    job = add(store)
    lose(store, lease_s=-1)
    assert sweeper(store, MemoryBlobs(), tmp_path / "run").sweep() == 5.0
    assert store.jobs.job(job.id).status is S.QUEUED


def test_a_dead_process_s_job_is_queued_again_before_its_lease_ran_out(store: Stores, tmp_path: Path):
    dead = ProcessLock(tmp_path / "run")
    job = add(store)
    lose(store, worker=dead.worker)
    it = sweeper(store, MemoryBlobs(), tmp_path / "run")
    it.sweep()
    assert store.jobs.job(job.id).status is S.RUNNING
    dead.close()
    it.sweep()
    assert store.jobs.job(job.id).status is S.QUEUED


def test_leases_that_ran_out_while_the_database_was_away_may_be_extended_first(store: Stores, tmp_path: Path):
    dead = ProcessLock(tmp_path / "run")
    well, lost = add(store), add(store)
    lose(store, lease_s=-1)
    lose(store, worker=dead.worker)
    dead.close()
    it = sweeper(store, MemoryBlobs(), tmp_path / "run", heartbeat_s=0.1)
    it.sweep()
    states = {store.jobs.job(well.id).status, store.jobs.job(lost.id).status}
    assert states == {S.RUNNING, S.QUEUED}, "who is known to be dead is not waited for"

    def taken_back() -> bool:
        it.sweep()
        return store.jobs.job(well.id).status is S.QUEUED and store.jobs.job(lost.id).status is S.QUEUED

    wait_until(taken_back)


def test_a_job_past_its_time_expires(store: Stores, tmp_path: Path):
    job = add(store, expires_at=now_us() - 1)
    sweeper(store, MemoryBlobs(), tmp_path / "run").sweep()
    assert store.jobs.job(job.id).status is S.EXPIRED


def test_a_sweep_says_when_the_next_retry_is_due(store: Stores, tmp_path: Path):
    add(store)
    now = now_us()
    claim = store.jobs.claim_next(ClaimRequest(offer(), "ref", now, now + SECOND, PlacementRules()))
    assert claim
    failure = Failure(FailureCode.STORAGE, "it broke")
    store.jobs.finish(Finish(claim, Retried(failure, run_after=now + 2 * SECOND), now))
    assert 0 < sweeper(store, MemoryBlobs(), tmp_path / "run").sweep() <= 2


def test_artifacts_that_older_code_has_written_get_their_owner(store: Stores, tmp_path: Path):
    it = mill(store)
    job = add(store)
    it.run()
    artifacts = tables.artifacts

    def owners() -> list[str | None]:
        return store.database.read(lambda conn: list(conn.execute(sa.select(artifacts.c.owner)).scalars()))

    with store.database.engines.writer.begin() as conn:
        conn.execute(sa.update(artifacts).values(owner=None))
    assert set(owners()) == {None}
    sweeper(store, it.blobs, tmp_path / "run").sweep()
    assert set(owners()) == {job.owner}


def test_more_than_a_chunk_is_swept_at_once(store: Stores, tmp_path: Path):
    for _ in range(510):
        add(store, expires_at=now_us() - 1)
    sweeper(store, MemoryBlobs(), tmp_path / "run").sweep()
    assert store.jobs.depths()["queued"] == 0


def test_old_jobs_are_deleted_with_their_files(store: Stores, tmp_path: Path):
    it = mill(store)
    old, kept = add(store), add(store)
    it.run()
    assert it.blobs.files
    assert sweeper(store, it.blobs, tmp_path / "run", retention_days=-10 / 86_400).prune() == 1
    with pytest.raises(NotFound):
        store.jobs.job(old.id)
    assert it.blobs.files == {}
    assert store.jobs.job(kept.id).status is S.QUEUED


def test_jobs_within_their_retention_are_kept(store: Stores, tmp_path: Path):
    it, job = mill(store), add(store)
    it.run()
    assert sweeper(store, it.blobs, tmp_path / "run").prune() == 0
    assert store.jobs.job(job.id)
    assert len(it.blobs.files) == 1


def test_files_of_lost_attempts_are_deleted_and_delivered_ones_kept(store: Stores, tmp_path: Path):
    it = mill(store)
    done, running = add(store), add(store)
    it.run()
    lose(store)
    blobs = it.blobs
    delivered = blob_key(done.id, 1, 0, "png")
    current = blob_key(running.id, 1, 0, "png")
    for key in (blob_key(done.id, 2, 0, "png"), blob_key("gone", 1, 0, "png"), current, "other/file.png"):
        blobs.put(key, b"x", "image/png")
    assert sweeper(store, blobs, tmp_path / "run").delete_orphans(grace_s=-10) == 2
    assert set(blobs.files) == {delivered, current, "other/file.png"}


def test_a_file_that_was_just_written_is_left_alone(store: Stores, tmp_path: Path):
    blobs = MemoryBlobs()
    blobs.put(blob_key("gone", 1, 0, "png"), b"x", "image/png")
    assert sweeper(store, blobs, tmp_path / "run").delete_orphans() == 0
    assert len(blobs.files) == 1


@pytest.mark.parametrize(("inputs_s", "deleted"), [(-10.0, 1), (3600.0, 0), (None, 0)])
def test_input_pictures_are_kept_as_long_as_was_asked(
    store: Stores, tmp_path: Path, inputs_s: float | None, deleted: int
):
    blobs = MemoryBlobs()
    blobs.put("inputs/ab/abcd.png", b"x", "image/png")
    it = sweeper(store, blobs, tmp_path / "run", inputs_s=inputs_s, life_s=-10.0)
    assert it.prune_inputs() == deleted


def test_input_pictures_outlive_the_jobs_that_may_still_need_them(store: Stores, tmp_path: Path):
    blobs = MemoryBlobs()
    blobs.put("inputs/ab/abcd.png", b"x", "image/png")
    assert sweeper(store, blobs, tmp_path / "run", inputs_s=0.000001, life_s=3600.0).prune_inputs() == 0


def test_all_files_are_listed_only_as_often_as_was_asked(store: Stores, tmp_path: Path):
    class Counted(MemoryBlobs):
        listed = 0

        def list(self, prefix: str) -> Iterator[BlobInfo]:
            self.listed += 1
            return super().list(prefix)

    blobs, calls = Counted(), []
    kept = ("characters/", "library/")
    it = sweeper(store, blobs, tmp_path / "run", every_s=0.01, kept_prefixes=kept)
    it.start()
    # Jobs, two products, inputs: a round lists after it has expired what is late.
    wait_until(lambda: blobs.listed == 4)
    for _ in range(3):
        job = add(store, expires_at=now_us() - 1)
        wait_until(lambda job=job: store.jobs.job(job.id).status is S.EXPIRED)
        calls.append(blobs.listed)
    it.close()
    assert calls == [4, 4, 4]


def test_a_sweeper_that_runs_sweeps_by_itself(store: Stores, tmp_path: Path):
    it = sweeper(store, MemoryBlobs(), tmp_path / "run", every_s=0.02)
    it.start()
    job = add(store, expires_at=now_us() - 1)
    wait_until(lambda: store.jobs.job(job.id).status is S.EXPIRED)
    it.close()


def test_a_sweeper_goes_on_after_a_bug(store: Stores, tmp_path: Path):
    class Broken(MemoryBlobs):
        def list(self, prefix: str) -> Iterator[BlobInfo]:
            raise OSError("a folder nobody may read")

    it = sweeper(store, Broken(), tmp_path / "run", every_s=0.02)
    it.start()
    first = add(store, expires_at=now_us() - 1)
    wait_until(lambda: store.jobs.job(first.id).status is S.EXPIRED)
    second = add(store, expires_at=now_us() - 1)
    wait_until(lambda: store.jobs.job(second.id).status is S.EXPIRED)
    it.close()
