"""The store of jobs: one concrete class for both databases."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

import sqlalchemy as sa

from imagemill.credits import ledger
from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx, Write, WriteResult
from imagemill.domain.clock import now_us
from imagemill.domain.errors import Conflict, ImagemillError, NotFound
from imagemill.domain.events import Event
from imagemill.domain.jobs import Artifact, Claim, Job, JobStatus, LaneKey
from imagemill.domain.placement import Policy, QueuePosition, choose
from imagemill.domain.scheduling import LaneHead
from imagemill.jobs.store import (
    artifacts,
    batches,
    counts,
    erase,
    finish,
    heartbeat,
    listing,
    outlook,
    priority,
    queries,
    queue_depth,
    relations,
)
from imagemill.jobs.store.admission import Submission
from imagemill.jobs.store.artifacts import (
    ArtifactFilter,
    DeleteArtifact,
    FoundArtifacts,
    GalleryEntry,
    RateArtifact,
)
from imagemill.jobs.store.claim import ClaimRequest, ClaimStore
from imagemill.jobs.store.counts import Count, CountEnded, Dimension, Groups
from imagemill.jobs.store.due import Due, due
from imagemill.jobs.store.erase import Erasure
from imagemill.jobs.store.finish import Cancel, Expire, Finish, ReclaimLeases, RecordWriters, ReleaseRetries
from imagemill.jobs.store.heartbeat import Heartbeat, HeartbeatReply, RenderSent
from imagemill.jobs.store.kept_figures import KeptFigures
from imagemill.jobs.store.lanes import Lanes
from imagemill.jobs.store.listing import Found, FoundIds
from imagemill.jobs.store.priority import Reprioritize
from imagemill.jobs.store.queries import Annotate, Consumption, Filter, JobSnapshot, RenewArtifact, View
from imagemill.jobs.store.statistics import StatisticsStore
from imagemill.jobs.store.submit import Accepted, SubmitStore

FileReferences = Callable[[sa.Connection, Sequence[str]], set[str]]
"""Return those of the blob keys that something besides a job refers to."""


class JobStore:
    """Jobs with their events, artifacts and lanes.

    ``policy`` chooses the job a slot takes. ``record_writers`` write the additional rows of a success, in the
    same transaction; ``file_references`` return those of the blob keys that something besides a job refers
    to.
    """

    def __init__(
        self,
        database: Database,
        *,
        policy: Policy = choose,
        record_writers: RecordWriters | None = None,
        file_references: Sequence[FileReferences] = (),
    ) -> None:
        self._database = database
        self._write, self._read = database.write, database.read
        self._file_references = file_references
        lanes = Lanes()
        self._lanes = lanes
        self._figures = KeptFigures()
        self._submitting = SubmitStore(lanes)
        self._claiming = ClaimStore(lanes, policy)
        self._finish = partial(finish.finish, lanes, record_writers or {})
        # Bound once: the group commit distinguishes kinds of writes by identity.
        self.submit_write = cast(Write, self._submitting.submit)
        self.claim_write = cast(Write, self._claiming.claim)

    # Writes of jobs

    def begin_submit(self, submission: Submission) -> "Future[Accepted]":
        """Accept the jobs; they are durable once the future is done.

        Raises `Conflict` for a key used with another body, `CreditsInsufficient` and `Refused`; nothing is
        stored then.
        """
        return self._database.begin(self.submit_write, submission)

    def submit(self, submission: Submission) -> Accepted:
        return self._write(self.submit_write, submission)

    def claim_next(self, ask: ClaimRequest) -> Claim | None:
        """Claim the best job for the slot; None when there is none."""
        return self._write(self.claim_write, ask)

    def finish_and_claim(self, finish: Finish, ask: ClaimRequest) -> tuple[WriteResult, WriteResult]:
        """End one attempt and claim the next job in one transaction; return both results."""
        ended, claimed = self._database.run((self._finish, finish), (self.claim_write, ask))
        return ended, claimed

    def finish_and_claim_all(
        self, finishes: Sequence[Finish], asks: Sequence[ClaimRequest]
    ) -> tuple[list[WriteResult], list[WriteResult]]:
        """End attempts and claim jobs in one transaction, at once; return the results of both."""
        ends = ((self._finish, each) for each in finishes)
        results = self._database.run(*ends, *((self.claim_write, ask) for ask in asks), gathers=False)
        return results[: len(finishes)], results[len(finishes) :]

    def sent(self, claim: Claim, reference: str) -> None:
        """Store the backend's reference of the claim's render. Raises `Superseded`."""
        self._write(heartbeat.sent, RenderSent(claim, reference))

    def record_heartbeats(self, beats: Sequence[Heartbeat]) -> list[HeartbeatReply]:
        return [
            future.result()
            for future in self._database.run(*((heartbeat.record_heartbeats, beat) for beat in beats))
        ]

    def finish(self, finish: Finish) -> JobStatus:
        """End the claim's attempt and return the job's new status.

        Raises `Superseded` and changes nothing when the claim is void.
        """
        return self._write(self._finish, finish)

    def cancel(self, cancel: Cancel) -> JobStatus:
        """Cancel a job and return its status. Raises `NotFound`, for another owner's job too."""
        return self._write(finish.cancel, cancel)

    def cancel_all(self, requests: Sequence[Cancel]) -> list[JobStatus | NotFound]:
        """Cancel jobs in few transactions; return the status of each."""
        return [_outcome(each) for each in self._database.run(*((finish.cancel, each) for each in requests))]

    def reprioritize_all(self, requests: Sequence[Reprioritize]) -> list[ImagemillError | None]:
        """Change priorities in few transactions; return the error of each job that does not wait."""
        writes = ((priority.reprioritize, each) for each in requests)
        return [_outcome(each) for each in self._database.run(*writes)]

    def reprioritize(self, request: Reprioritize) -> None:
        """Change the priority of a waiting or queued job.

        Raises `NotFound`, for another owner's job too, and `Conflict` for a job that runs or has ended.
        """
        self._write(priority.reprioritize, request)

    def annotate(self, annotate: Annotate) -> None:
        """Merge notes into a job. Raises `NotFound`, for another owner's job too."""
        self._write(queries.annotate, annotate)

    def reclaim_leases(self, reclaim: ReclaimLeases) -> int:
        return self._write(finish.reclaim_leases, reclaim)

    def expire(self, expire: Expire) -> int:
        return self._write(finish.expire, expire)

    def release_retries(self, unpark: ReleaseRetries) -> int | None:
        """Make due retries claimable; return the time at which the next is due, in microseconds, or None."""
        return self._write(finish.release_retries, unpark)

    def delete_jobs(self, ids: Sequence[str]) -> None:
        """Delete jobs with their events, artifacts and deliveries."""
        self._write(_delete_jobs, tuple(ids))

    def erase(self, owner: str, job_ids: Sequence[str]) -> list[str]:
        """Cancel those of the jobs that are open, then delete all with everything the database has of them.

        Jobs of other owners and unknown ids are ignored, so that it can be repeated. An attempt that still
        runs is stopped, and its result is not kept. Returns the blob keys of the deleted artifacts, whose
        files are left to `imagemill.jobs.erasure.erase_jobs`.
        """
        ids = self._write(erase.stop, Erasure(owner, tuple(job_ids), now_us()))
        return self._write(_erase, Erasure(owner, ids, now_us())) if ids else []

    def mark_files_deleted(self, keys: Sequence[str]) -> None:
        """Mark the artifacts of these files as deleted."""
        if keys:
            self._write(queries.mark_files_deleted, tuple(keys))

    def renew_artifact(self, renewal: RenewArtifact) -> Artifact | None:
        """Restart the retention of an artifact; None for one that is deleted, absent or of another owner."""
        return self._write(queries.renew_artifacts, renewal)

    def ensure_owner(self, owner: str, now: int, weight: float = 1.0) -> None:
        self._write(_ensure_owner, {"id": owner, "weight": weight, "created_at": now})

    # Reads of jobs

    def job(self, job_id: str, owner: str | None = None) -> Job:
        """Return a job. Raises `NotFound`, for another owner's job too."""
        job = self._read(queries.jobs_by_id, [job_id]).get(job_id)
        if job is None or (owner is not None and job.owner != owner):
            raise NotFound(f"there is no job {job_id}")
        return job

    def by_ids(self, ids: Iterable[str]) -> dict[str, Job]:
        """Return those of the jobs that there are."""
        return self._read(queries.jobs_by_id, ids)

    def view(self, job_id: str, owner: str | None = None) -> View:
        return self.views([self.job(job_id, owner)])[0]

    def views(self, jobs: Sequence[Job]) -> list[View]:
        return self._read(queries.views_of, jobs)

    def views_by_id(self, ids: Iterable[str]) -> dict[str, View]:
        return self._read(queries.views_by_id, ids)

    def batch(self, owner: str, batch: str) -> list[Job]:
        """Return the jobs of a batch in the order of submission; empty for another owner's."""
        return self._read(queries.batch_jobs, owner, batch)

    def in_batches(self, owner: str, batches_: Sequence[str]) -> list[Job]:
        """Return the jobs of several batches in the order of submission."""
        return self._read(queries.in_batches, owner, batches_)

    def batches(self, owner: str, before: str | None, limit: int) -> list[str]:
        """Return the ids of submissions, the newest first."""
        return self._read(queries.batches, owner, before, limit)

    def list_jobs(self, wanted: Filter) -> list[Job]:
        """Return the newest jobs that match, however many rows must be read for them."""
        return self._read(listing.list_jobs, self._lanes, wanted)

    def search(self, wanted: Filter) -> Found:
        """Return a page of the jobs that match, after reading a bounded number of rows."""
        return self._read(listing.search, self._lanes, wanted)

    def matching_ids(self, wanted: Filter) -> FoundIds:
        """Return the ids of a page of the jobs that match, after reading a bounded number of rows."""
        return self._read(listing.matching_ids, self._lanes, wanted)

    def count_matching(self, wanted: Filter) -> Count:
        """Count the jobs that match, as far as it takes a bounded time."""
        return self._read(counts.count_matching, self._lanes, self._figures, wanted)

    def count_groups(self, wanted: Filter, by: Dimension) -> Groups:
        """Count the jobs that match by group, as far as it takes a bounded time."""
        return self._read(counts.count_groups, self._lanes, self._figures, wanted, by)

    def count_ended(self, now: int) -> int:
        """Add some of the jobs that ended to their counts; return how many, 0 when all are counted."""
        return self._write(counts.count_ended, CountEnded(now))

    def events_after(self, job_id: str, seq: int, limit: int = 1000) -> list[Event]:
        return self._read(queries.events_after, job_id, seq, limit)

    def claims(self, job_id: str) -> list[Event]:
        return self._read(queries.claims, job_id)

    def last_events(self, job_id: str, limit: int) -> list[Event]:
        return self._read(queries.last_events, job_id, limit)

    def progress_of(self, ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
        return self._read(queries.progress_of, ids)

    def states(self, ids: Sequence[str]) -> list[JobSnapshot]:
        return self._read(queries.states, ids)

    def recent_states(self, ids: Sequence[str]) -> list[JobSnapshot]:
        return self._read(queries.recent_states, ids)

    def preceding(self, places: Collection[queries.Place]) -> dict[queries.Place, int]:
        return self._read(queries.preceding, places)

    def queue_position(self, job: Job, now: int) -> QueuePosition:
        """Return the position of a queued job, for `imagemill.domain.placement.explain_wait`."""
        before, before_s, more = self._read(queries.work_ahead, job)
        avoided, avoided_s = self._read(queries.avoidance, job, now)
        fleet = self._read(self._claiming.fleet, now)
        return QueuePosition(before, before_s, more, fleet, avoided, avoided_s)

    def artifact(self, artifact_id: str) -> tuple[Artifact, str] | None:
        return self._read(queries.artifact, artifact_id)

    def search_artifacts(self, wanted: ArtifactFilter) -> FoundArtifacts:
        """Return a page of artifacts. Raises `InvalidInput` for a cursor of another list."""
        return self._read(artifacts.search, self._lanes, wanted)

    def gallery_entries(self, owner: str | None, ids: Sequence[str]) -> list[GalleryEntry]:
        """Return the artifacts with these ids in their order, without those of other owners."""
        return self._read(artifacts.entries_of, self._lanes, owner, ids)

    def rate_artifact(self, request: RateArtifact) -> None:
        """Raises `NotFound`, for another owner's artifact too."""
        self._write(artifacts.rate, request)

    def mark_artifact_deleted(self, request: DeleteArtifact) -> Artifact:
        """Return the artifact as it was. Raises `NotFound`, for another owner's artifact too."""
        return self._write(artifacts.mark_deleted, request)

    def fill_artifact_owners(self) -> None:
        """Set the owners of artifacts that older code has written."""
        self._write(artifacts.fill_owners, None)

    def consumption(self, owner: str, start: int, end: int) -> Consumption:
        return self._read(queries.consumption, owner, start, end)

    # These count open jobs; of a long queue they are kept for some seconds.

    def depths(self) -> dict[str, int]:
        """Return the number of open jobs by status."""

        def read() -> tuple[dict[str, int], int]:
            found = self._read(queries.depths)
            return found, sum(found.values())

        return self._figures.get("depths", read)

    def measure(self, now: int) -> dict[str, queue_depth.Depth]:
        """Return the depth of each queue."""

        def read() -> tuple[dict[str, queue_depth.Depth], int]:
            found = self._read(queue_depth.measure, self._lanes.key_of, now)
            return found, sum(each.queued + each.retrying for each in found.values())

        return self._figures.get("measure", read)

    def workload(self, now: int) -> dict[str, queue_depth.Workload]:
        """Return the open work of each queue, estimated where many jobs wait, and its recent speed."""
        return self._figures.get(
            "workload", lambda: self._read(queue_depth.workload, self._lanes.key_of, now)
        )

    def statistics(self) -> StatisticsStore:
        """Return the store of the statistics of these jobs."""
        return StatisticsStore(self._database, self._lanes.key_of)

    def relations(self, job: Job, endpoint_owners: Sequence[str]) -> relations.JobRelations:
        """Return related jobs, deliveries and ledger entries; of webhooks those of these owners."""
        return self._read(relations.job_relations, job, endpoint_owners)

    def queue_outlook(self, now: int) -> outlook.QueueOutlook:
        """Return what a forecast needs."""
        return self._read(outlook.queue_outlook, self._claiming, self._lanes.key_of, now)

    def placement_outlook(self, job: Job, now: int) -> outlook.PlacementOutlook:
        """Return the queue as a slot would see it if the queued job were next in its lane."""
        return self._read(outlook.placement_outlook, self._claiming, self._lanes.key_of, job, now)

    def lane(self, lane: int) -> LaneKey:
        return self._lanes.known(lane) or self._read(self._lanes.key_of, lane)

    def heads(self) -> list[LaneHead]:
        return self._read(self._claiming.heads)

    def due(self, now: int) -> Due:
        """Return what a sweep would find to do now."""
        return self._read(due, now)

    def kept_from(self, keys: Mapping[str, str]) -> dict[str, tuple[str, int]]:
        """Return the owner and the start of the retention of files of ended jobs; ``keys``: key -> job."""
        return self._read(queries.kept_from, keys)

    def referenced_files(self, keys: Sequence[str]) -> set[str]:
        """Return those of the blob keys that something besides a job refers to."""
        return {key for refers in self._file_references for key in self._read(refers, keys)}

    def referenced_attempts(self, pairs: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        return self._read(queries.referenced_attempts, pairs)

    def available_places(self, job_ids: Sequence[str]) -> set[tuple[str, int]]:
        """Return job and position of those artifacts of the jobs whose files are still there."""
        return self._read(artifacts.available_places, job_ids) if job_ids else set()

    def finished_before(self, instant: int, limit: int) -> list[str]:
        return self._read(queries.finished_before, instant, limit)

    def delivered_files(self, job_ids: Sequence[str]) -> list[tuple[str, int, int, str]]:
        """Return job, attempt, position and key of the files of these jobs that are still there."""
        return self._read(queries.delivered_files, job_ids)


def _outcome(result: WriteResult) -> Any:
    """Return what a write has answered, which may be an error that concerns its job alone."""
    try:
        return result.result()
    except (NotFound, Conflict) as error:
        return error


def _erase(tx: Tx, requests: Sequence[Erasure]) -> list[list[str]]:
    files = [erase.delete_traces(tx, request) for request in requests]
    _delete_jobs(tx, [request.ids for request in requests])
    return files


def _delete_jobs(tx: Tx, requests: Sequence[tuple[str, ...]]) -> list[None]:
    jobs, keys = tables.jobs.c, tables.submissions
    counts.lock_counts(tx)
    for ids in requests:
        counts.subtract(tx, ids)
        ledger.forget(tx, ids, now_us())
        found = tx.conn.execute(sa.select(jobs.batch, jobs.created_at).where(jobs.id.in_(ids))).all()
        tx.conn.execute(sa.delete(tables.jobs).where(jobs.id.in_(ids)))
        # A key whose jobs are deleted is free again: a repeated request must not return an empty batch. Keys
        # are found by their time, which is that of their jobs and has an index.
        left = sa.exists().where(jobs.owner == keys.c.owner, jobs.batch == keys.c.batch)
        of_these = sa.and_(
            keys.c.created_at.in_({row.created_at for row in found}),
            keys.c.batch.in_({row.batch for row in found}),
        )
        tx.conn.execute(sa.delete(keys).where(of_these, ~left))
        batches.delete_without_jobs(tx, sorted({row.batch for row in found}))
    return [None] * len(requests)


def _ensure_owner(tx: Tx, rows: Sequence[dict[str, Any]]) -> list[None]:
    for row in rows:
        tx.conn.execute(tx.insert(tables.owners).values(row).on_conflict_do_nothing())
    return [None] * len(rows)
