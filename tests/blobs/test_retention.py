"""Files are deleted when their time is over, by kind and owner, on both stores; jobs then say so."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from imagemill.blobs.base import BlobStore
from imagemill.blobs.local import LocalBlobs
from imagemill.blobs.s3 import S3Blobs
from imagemill.blobs.settings import BlobSettings, Retention, RetentionDays
from imagemill.bootstrap.stores import Stores
from imagemill.config import Settings
from imagemill.domain.blob_keys import blob_key, input_key, thumbnail_key
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import InvalidInput, NotFound, StorageError
from imagemill.domain.jobs import Artifact, Job
from imagemill.jobs.store.queries import RenewArtifact
from imagemill.jobs.sweeper import BlobCleanup, RetentionPeriods
from tests.conftest import Server, running_server
from tests.http.support import first, problem, status_of
from tests.service.build import add, inputs, mill, wait_until

HOUR, DAY = 3600.0, 86_400.0
OVER = -60.0
"""A retention that is over: the machine's clock stands still in these tests."""
NEEDS = RetentionPeriods(life_s=DAY, retention_s=30 * DAY)
PAST_NEEDS = RetentionPeriods(life_s=OVER, retention_s=30 * DAY)


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "folder":
        return LocalBlobs(tmp_path / "blobs")
    seaweed = request.getfixturevalue("seaweed")
    return S3Blobs(seaweed.settings(prefix=f"t/{secrets.token_hex(6)}"))


def finished(store: Stores, blobs: BlobStore, *owners: str) -> list[Job]:
    """A job of each owner, delivered into ``blobs``."""
    jobs = [add(store, owner) for owner in owners]
    it = mill(store)
    for _ in jobs:
        it.run()
    for key, (data, _) in it.blobs.files.items():
        blobs.put(key, data, "image/png")
    return jobs


def keys(blobs: BlobStore, prefix: str = "jobs/") -> set[str]:
    return {blob.key for blob in blobs.list(prefix)}


def available(store: Stores, job: Job) -> list[bool]:
    return [artifact.available for artifact in store.jobs.view(job.id).artifacts]


def test_results_are_deleted_when_their_time_is_over_and_their_jobs_stay(
    store: Stores, blobs: BlobStore
) -> None:
    (job,) = finished(store, blobs, "ann")

    assert (
        BlobCleanup(
            store.jobs, blobs, Retention(RetentionDays(results_s=OVER)), NEEDS
        ).delete_expired_results(HOUR)
        == 1
    )

    assert keys(blobs) == set()
    assert available(store, job) == [False]
    (artifact,) = store.jobs.view(job.id).artifacts
    assert artifact.size > 0
    assert artifact.sha256


@pytest.mark.parametrize(
    "keep", [RetentionDays(), RetentionDays(results_s=HOUR), RetentionDays(inputs_s=OVER)]
)
def test_results_within_their_time_are_kept(store: Stores, blobs: BlobStore, keep: RetentionDays) -> None:
    (job,) = finished(store, blobs, "ann")

    assert BlobCleanup(store.jobs, blobs, Retention(keep), NEEDS).delete_expired_results(HOUR) == 0

    assert len(keys(blobs)) == 1
    assert available(store, job) == [True]


def test_a_thumbnail_is_deleted_with_its_picture(store: Stores, blobs: BlobStore) -> None:
    (job,) = finished(store, blobs, "ann")
    (picture,) = store.jobs.view(job.id).artifacts
    thumbnail = thumbnail_key(job.id, picture.attempt, picture.position, 256)
    blobs.put(thumbnail, b"small", "image/webp")
    BlobCleanup(store.jobs, blobs, Retention(RetentionDays(HOUR)), NEEDS).delete_expired_results(OVER)
    assert keys(blobs) == {picture.blob_key, thumbnail}
    BlobCleanup(store.jobs, blobs, Retention(RetentionDays(OVER)), NEEDS).delete_expired_results(HOUR)
    assert keys(blobs) == set()


def test_an_owner_has_a_retention_of_its_own(store: Stores, blobs: BlobStore) -> None:
    ann, bob, eve = finished(store, blobs, "ann", "bob", "eve")
    retention = Retention(RetentionDays(HOUR), {"bob": RetentionDays(OVER), "eve": RetentionDays(None)})

    assert BlobCleanup(store.jobs, blobs, retention, NEEDS).delete_expired_results(HOUR) == 1

    assert [available(store, job) for job in (ann, bob, eve)] == [[True], [False], [True]]
    assert keys(blobs) == {blob_key(job.id, 1, 0, "png") for job in (ann, eve)}


def test_an_owner_may_keep_what_others_lose(store: Stores, blobs: BlobStore) -> None:
    ann, eve = finished(store, blobs, "ann", "eve")
    retention = Retention(RetentionDays(OVER), {"eve": RetentionDays(None)})

    BlobCleanup(store.jobs, blobs, retention, NEEDS).delete_expired_results(HOUR)

    assert (available(store, ann), available(store, eve)) == ([False], [True])


def test_files_of_a_running_job_are_left_alone(store: Stores, blobs: BlobStore) -> None:
    from tests.service.test_sweep import lose

    job = add(store)
    lose(store)
    blobs.put(blob_key(job.id, 1, 0, "png"), b"x", "image/png")

    assert (
        BlobCleanup(store.jobs, blobs, Retention(RetentionDays(OVER)), NEEDS).delete_expired_results(OVER)
        == 0
    )
    assert len(keys(blobs)) == 1


class Deletes:
    """Counts how much is deleted at once, and may fail."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.sizes: list[int] = []
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def delete(self, given: Any) -> None:
        if self.broken:
            raise StorageError("the store is away")
        listed = list(given)
        self.sizes.append(len(listed))
        self._blobs.delete(listed)


def test_many_files_are_deleted_in_bounded_batches(store: Stores, tmp_path: Path) -> None:
    blobs = Deletes(LocalBlobs(tmp_path / "blobs"))
    for number in range(1100):
        blobs.put(input_key("ann", f"{number:064x}", "png"), b"x", "image/png")

    keeping = BlobCleanup(store.jobs, blobs, Retention(RetentionDays(inputs_s=OVER)), PAST_NEEDS)  # type: ignore[arg-type]

    assert keeping.delete_expired_inputs() == 1100
    assert len(blobs.sizes) >= 3
    assert max(blobs.sizes) <= 500


def test_a_store_that_goes_away_in_between_leaves_no_url_to_nothing(store: Stores, tmp_path: Path) -> None:
    blobs = Deletes(LocalBlobs(tmp_path / "blobs"))
    (job,) = finished(store, blobs, "ann")  # type: ignore[arg-type]
    keeping = BlobCleanup(store.jobs, blobs, Retention(RetentionDays(OVER)), NEEDS)  # type: ignore[arg-type]
    blobs.broken = True
    with pytest.raises(StorageError):
        keeping.delete_expired_results(HOUR)
    assert available(store, job) == [False]

    blobs.broken = False
    assert keeping.delete_expired_results(OVER) == 1, "what was left behind is an orphan now"
    assert keys(blobs) == set()  # type: ignore[arg-type]


def test_inputs_are_kept_as_long_as_their_owner_wants(store: Stores, blobs: BlobStore) -> None:
    digest = "ab" * 32
    ann, bob = (input_key(owner, digest, "png") for owner in ("ann", "bob"))
    unmarked = f"inputs/ab/{digest}.png"
    for key in (ann, bob, unmarked):
        blobs.put(key, b"x", "image/png")
    retention = Retention(RetentionDays(inputs_s=HOUR), {"bob": RetentionDays(inputs_s=OVER)})

    assert BlobCleanup(store.jobs, blobs, retention, PAST_NEEDS).delete_expired_inputs() == 1
    assert keys(blobs, "inputs/") == {ann, unmarked}


def test_no_input_is_deleted_while_a_job_may_still_wait_for_it(store: Stores, blobs: BlobStore) -> None:
    blobs.put(input_key("bob", "ab" * 32, "png"), b"x", "image/png")
    retention = Retention(RetentionDays(), {"bob": RetentionDays(inputs_s=OVER)})

    assert BlobCleanup(store.jobs, blobs, retention, NEEDS).delete_expired_inputs() == 0


def test_a_picture_that_is_gone_is_not_taken_as_an_input(store: Stores, blobs: BlobStore) -> None:
    (job,) = finished(store, blobs, "ann")
    name = f"blob:{store.jobs.view(job.id).artifacts[0].id}"
    taken = inputs(store)
    assert taken.accept("image", name, "ann").startswith("jobs/")
    BlobCleanup(store.jobs, blobs, Retention(RetentionDays(OVER)), NEEDS).delete_expired_results(HOUR)

    with pytest.raises(InvalidInput, match="deleted after its retention"):
        taken.accept("image", name, "ann")


def test_days_are_read_from_the_settings_by_kind_and_owner() -> None:
    settings = BlobSettings(
        result_days=7, input_days=2, owners={"bob": {"result_days": 1}, "eve": {"result_days": None}}
    )

    retention = settings.retention

    assert retention.default == RetentionDays(7 * DAY, 2 * DAY)
    assert retention.owners == {"bob": RetentionDays(DAY, 2 * DAY), "eve": RetentionDays(None, 2 * DAY)}
    assert retention.shortest_results_s == DAY
    assert BlobSettings().retention.shortest_results_s is None


@pytest.mark.parametrize("wrong", [{"bob": {"days": 1}}, {"bob": {"result_days": 0}}, {"bob": 3}])
def test_a_retention_that_means_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        BlobSettings(owners=wrong)


@pytest.fixture(params=["folder", "s3"])
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """A server that looks for old files all the time and keeps those of ``alice`` for a blink."""
    made = Settings(
        _env_file=None,
        data_dir=tmp_path,
        owner="alice",
        sweep_s=0.05,
        blobs={"search_s": 0.2, "result_days": 30, "owners": {"alice": {"result_days": 0.5 / DAY}}},
    )
    if request.param == "s3":
        seaweed = request.getfixturevalue("seaweed")
        made = made.model_copy(update={"s3": seaweed.settings(prefix=f"t/{secrets.token_hex(6)}")})
    return lambda: running_server(made)


def test_clients_are_told_that_a_file_is_gone(serve: Callable[[], Any]) -> None:
    server: Server
    with serve() as server:
        status = first(server.submit(wait="true"))
        job_id, url = status["jobId"], status["result"]["blobUrl"]

        wait_until(lambda: not status_of(server, job_id)["result"]["available"])

        told = status_of(server, job_id)
        assert told["result"] == {"blobKey": status["result"]["blobKey"], "available": False}
        assert told["lastEvent"]["type"] == "Succeeded"
        (artifact,) = server.client.get(f"/api/v1/jobs/{job_id}").json()["artifacts"]
        assert (artifact["available"], artifact["url"]) == (False, None)
        assert "deleted after its retention" in problem(httpx2.get(url, verify=False), 410)["detail"]
        wait_until(lambda: keys(server.app.blobs) == set())
        with pytest.raises(NotFound):
            server.app.blobs.get(blob_key(job_id, 1, 0, "png"))


def test_an_artifact_without_a_key_is_not_available(store: Stores, blobs: BlobStore) -> None:
    (job,) = finished(store, blobs, "ann")
    (artifact,) = store.jobs.view(job.id).artifacts

    assert artifact.available
    assert not replace(artifact, blob_key="").available


def renew(store: Stores, job: Job, at: int) -> Artifact | None:
    (artifact,) = store.jobs.view(job.id).artifacts
    return store.jobs.renew_artifact(RenewArtifact(artifact.id, job.owner, at))


def test_a_renewed_result_is_kept_from_then_on(store: Stores, blobs: BlobStore) -> None:
    kept, lost = finished(store, blobs, "ann", "ann")
    assert renew(store, kept, now_us() + round(2 * HOUR * SECOND)) is not None

    cleanup = BlobCleanup(store.jobs, blobs, Retention(RetentionDays(results_s=OVER)), NEEDS)
    assert cleanup.delete_expired_results(HOUR) == 1
    assert (available(store, kept), available(store, lost)) == ([True], [False])

    assert renew(store, kept, now_us()) is not None
    assert cleanup.delete_expired_results(HOUR) == 1
    assert available(store, kept) == [False]


def test_a_job_is_kept_with_its_renewed_result(store: Stores, blobs: BlobStore) -> None:
    kept, lost = finished(store, blobs, "ann", "ann")
    later = now_us() + round(2 * HOUR * SECOND)
    renew(store, kept, later)

    assert store.jobs.finished_before(later, 10) == [lost.id]
    assert set(store.jobs.finished_before(later + 1, 10)) == {kept.id, lost.id}


def test_a_result_that_is_deleted_or_not_ones_own_is_not_renewed(store: Stores, blobs: BlobStore) -> None:
    (job,) = finished(store, blobs, "ann")
    (artifact,) = store.jobs.view(job.id).artifacts
    assert store.jobs.renew_artifact(RenewArtifact(artifact.id, "bob", now_us())) is None
    assert store.jobs.renew_artifact(RenewArtifact("0" * 64, "ann", now_us())) is None
    assert store.jobs.kept_from({artifact.blob_key: job.id}) == {
        artifact.blob_key: ("ann", finished_at(store, job))
    }
    store.jobs.mark_files_deleted([artifact.blob_key])
    assert renew(store, job, now_us()) is None


def finished_at(store: Stores, job: Job) -> int:
    ended = store.jobs.job(job.id).finished_at
    assert ended is not None
    return ended
