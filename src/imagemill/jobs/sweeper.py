"""The sweeper: lost leases, due retries, expired jobs, and the deletion of old jobs and orphaned files."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from imagemill.blobs.base import BlobInfo, BlobStore
from imagemill.blobs.settings import BlobSettings, Retention
from imagemill.credits.provider_calls import ProviderCalls
from imagemill.domain.blob_keys import attempt_of, owner_hash, owner_hash_of, thumbnail_keys, thumbnail_place
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import StorageError
from imagemill.jobs.leadership import ProcessLock
from imagemill.jobs.store.finish import Expire, ReclaimLeases, ReleaseRetries
from imagemill.jobs.store.store import JobStore
from imagemill.quotas.store import QuotaStore
from imagemill.safety.decisions import Decisions
from imagemill.settings import JobSettings

log = logging.getLogger(__name__)

_CHUNK = 500
"""Rows of one statement, and files looked up and deleted at once."""
_PRUNE_EVERY_S = 600.0
_RENEWALS = 5
"""Heartbeats for which workers may extend leases that ended while the database was unavailable."""
_PRUNE_CHUNK = 100
"""Jobs deleted in one transaction, for which other writes wait about 10 ms."""
_PRUNE_PAUSES = 3.0
"""The pause after each of these transactions, in times of its duration: SQLite has one writer, and without
pauses the rate of jobs beside them fell to an eighth."""
_PRUNE_FOR_S = 0.5
"""Seconds of pruning at a time, so that lost leases and due retries wait no longer for it."""
_COUNT_FOR_S = 0.2
"""Seconds of counting ended jobs at a time."""
_CALLS_KEPT_S = 400 * 86_400.0
"""400 days: a year of bills, and the time to check the last one."""
_ORPHAN_GRACE_S = 3600.0
"""A file younger than this may belong to an attempt that has not been recorded yet."""


# Deleting files


@dataclass(frozen=True, slots=True)
class RetentionPeriods:
    """The times for which jobs need their files, in seconds."""

    life_s: float
    """The longest time from submission to start."""
    retention_s: float
    """The time a finished job is kept."""


class BlobCleanup:
    def __init__(
        self,
        store: JobStore,
        blobs: BlobStore,
        retention: Retention,
        needs: RetentionPeriods,
        kept_prefixes: Sequence[str] = (),
    ) -> None:
        self._kept_prefixes = kept_prefixes
        self._store = store
        self._blobs = blobs
        self._retention = retention
        self._needs = needs
        self._owners = {owner_hash(owner): owner for owner in retention.owners}

    def delete_expired_results(self, grace_s: float) -> int:
        """Delete orphans older than ``grace_s`` seconds and results past their retention; return their
        number.

        The files are found by listing the blob store, so files deleted before cost nothing.
        """
        now = now_us()
        youngest = now - round(min(grace_s, self._retention.shortest_results_s or grace_s) * SECOND)
        found = (
            blob
            for blob in self._blobs.list("jobs/")
            if blob.modified_at < youngest and attempt_of(blob.key) is not None
        )
        return sum(self._tidy(chunk, now, grace_s) for chunk in _chunks(found))

    def _tidy(self, chunk: list[BlobInfo], now: int, grace_s: float) -> int:
        attempts = {blob.key: attempt for blob in chunk if (attempt := attempt_of(blob.key)) is not None}
        needed = self._store.referenced_attempts(sorted(set(attempts.values())))
        oldest_orphan = now - round(grace_s * SECOND)
        orphans = [
            blob.key
            for blob in chunk
            if attempts[blob.key] not in needed and blob.modified_at < oldest_orphan
        ]
        expired = self._expired(
            {key: attempt[0] for key, attempt in attempts.items() if attempt in needed}, now
        )
        # Marked as deleted first: a file that is still there is only an orphan, but a URL of a deleted file
        # would be broken.
        self._store.mark_files_deleted(expired)
        places = {key: place for key in attempts if (place := thumbnail_place(key)) is not None}
        shown = self._store.available_places(sorted({job_id for job_id, _ in places.values()}))
        thumbnails = [key for key, place in places.items() if place not in shown]
        gone = {*orphans, *expired, *thumbnails}
        self._blobs.delete(sorted(gone))
        return len(gone)

    def _expired(self, jobs: dict[str, str], now: int) -> list[str]:
        """Return those of the files, given with their jobs, whose retention has ended."""
        if self._retention.shortest_results_s is None:
            return []
        expired: list[str] = []
        for key, (owner, kept_from) in self._store.kept_from(jobs).items():
            kept_s = self._retention.results_s(owner)
            if kept_s is not None and kept_from < now - round(kept_s * SECOND):
                expired.append(key)
        return expired

    def delete_unreferenced_products(self, grace_s: float) -> int:
        """Delete product files older than ``grace_s`` seconds without a reference; return their number.

        They are the files of lost attempts.
        """
        oldest = now_us() - round(grace_s * SECOND)
        deleted = 0
        for place in self._kept_prefixes:
            old = (blob for blob in self._blobs.list(place) if blob.modified_at < oldest)
            for chunk in _chunks(old):
                needed = self._store.referenced_files([blob.key for blob in chunk])
                orphans = [blob.key for blob in chunk if blob.key not in needed]
                self._blobs.delete(orphans)
                deleted += len(orphans)
        return deleted

    def delete_expired_inputs(self) -> int:
        """Delete input pictures past their retention; return their number.

        Sending a picture again writes its file anew. None is deleted while a job that was just submitted with
        it may still run.
        """
        now = now_us()
        old = (
            blob
            for blob in self._blobs.list("inputs/")
            if blob.modified_at < now - self._kept_us(owner_hash_of(blob.key))
        )
        deleted = 0
        for chunk in _chunks(old):
            self._blobs.delete([blob.key for blob in chunk])
            deleted += len(chunk)
        return deleted

    def _kept_us(self, mark: str | None) -> int:
        needs = self._needs
        kept_s = self._retention.inputs_s(self._owners.get(mark or "")) or needs.retention_s + needs.life_s
        return round(max(kept_s, needs.life_s) * SECOND)


def _is_past(instant: int | None, now: int) -> bool:
    return instant is not None and instant <= now


def _chunks(blobs: Iterable[BlobInfo]) -> Iterator[list[BlobInfo]]:
    rest = iter(blobs)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


# Sweeping


class Sweeper:
    """Sweeps at least every ``every_s`` seconds, in the process where ``leads`` returns True.

    ``outliving``: the backends whose renders continue without the worker that sent them. ``kept_prefixes``:
    prefixes of files that outlive their jobs, see `JobStore.referenced_files`. ``remind`` is called after
    each round, for queued jobs whose wake-up was lost; ``tidy`` with each search for old files, for other old
    data.
    """

    def __init__(
        self,
        store: JobStore,
        blobs: BlobStore,
        process_lock: ProcessLock,
        job_settings: JobSettings,
        blob_settings: BlobSettings,
        *,
        quotas: QuotaStore,
        decisions: Decisions,
        calls: ProviderCalls,
        every_s: float,
        outliving: frozenset[str] = frozenset(),
        kept_prefixes: Sequence[str] = (),
        leads: Callable[[], bool] = lambda: True,
        remind: Callable[[], None] = lambda: None,
        tidy: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._process_lock = process_lock
        self._quotas = quotas
        self._decisions = decisions
        self._calls = calls
        self._job_settings = job_settings
        self._search_every_s = blob_settings.search_s
        self._every_s = every_s
        self._outliving = outliving
        self._leads = leads
        self._remind = remind
        self._tidy = tidy
        self._stop = threading.Event()
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        self._was_away = True
        """Whether the database was unavailable, or may have been, since the last round."""
        self._renewals_until = 0.0
        self._files = BlobCleanup(
            store,
            blobs,
            blob_settings.retention,
            RetentionPeriods(job_settings.life_s, job_settings.retention_s),
            kept_prefixes,
        )
        self._next_prune = 0.0
        self._next_search = 0.0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._serve, name="imagemill-sweep", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Sweep soon, as a process may have ended. Never blocks."""
        self._due.set()

    def close(self) -> None:
        self._stop.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def sweep(self) -> float:
        """Sweep once and return the seconds until the next known due time."""
        now = now_us()
        found = self._store.due(now)
        dead = self._process_lock.dead_processes(found.workers)
        if self._was_away:
            self._was_away = False
            self._renewals_until = time.monotonic() + _RENEWALS * self._job_settings.heartbeat_s
        is_lapsed, is_expired = _is_past(found.lease_until, now), _is_past(found.expires_at, now)
        if dead or is_lapsed:
            reclaim = self._reclaim(now, dead)
            while self._store.reclaim_leases(reclaim) == _CHUNK:
                pass
        if is_expired:
            while self._store.expire(Expire(now, _CHUNK)) == _CHUNK:
                pass
        if found.has_uncounted:
            self.count_ended(_COUNT_FOR_S)
        if found.has_ownerless:
            self._store.fill_artifact_owners()
        due = found.run_after
        if dead or is_lapsed or is_expired or _is_past(due, now):
            due = self._store.release_retries(ReleaseRetries(now))
        if due is None:
            return self._every_s
        return min(self._every_s, max(0.0, (due - now_us()) / SECOND))

    def _reclaim(self, now: int, dead: tuple[str, ...]) -> ReclaimLeases:
        return ReclaimLeases(
            now,
            dead,
            _CHUNK,
            leases=time.monotonic() >= self._renewals_until,
            outliving=self._outliving,
            reattach_us=round(self._job_settings.reattach_s * SECOND),
        )

    def prune(self, for_s: float = math.inf) -> int:
        """Delete expired counters, and finished jobs past their retention for about ``for_s`` seconds, with
        pauses for other writes unless these are endless.

        The files that the jobs have delivered are deleted before them; those of lost attempts are left to
        `delete_orphans`. Return the number of deleted jobs.
        """
        self._quotas.prune(now_us())
        oldest = now_us() - round(self._job_settings.retention_s * SECOND)
        end = time.monotonic() + for_s
        pruned = 0
        while ids := self._store.finished_before(oldest, _PRUNE_CHUNK):
            began = time.monotonic()
            self._blobs.delete(self._files_of(ids))
            self._store.delete_jobs(ids)
            pruned += len(ids)
            now = time.monotonic()
            if now >= end:
                break
            if for_s < math.inf:
                self._stop.wait(min(end - now, _PRUNE_PAUSES * (now - began)))
        return pruned

    def _files_of(self, ids: Sequence[str]) -> list[str]:
        """Return the keys of all files that the jobs may have delivered.

        Listing the files of each job takes the longer the more files of other jobs there are: 30 ms a job
        with ten million in a folder.
        """
        keys: list[str] = []
        for job_id, attempt, position, key in self._store.delivered_files(ids):
            if key.startswith(f"jobs/{job_id}/"):
                keys += [key, *thumbnail_keys(job_id, attempt, position)]
        return keys

    def count_ended(self, for_s: float = math.inf) -> int:
        """Add jobs that ended to the counts for about ``for_s`` seconds; return how many."""
        end = time.monotonic() + for_s
        counted = 0
        while added := self._store.count_ended(now_us()):
            counted += added
            if time.monotonic() >= end:
                break
        return counted

    def prune_inputs(self) -> int:
        """Delete input pictures past their retention; return their number."""
        return self._files.delete_expired_inputs()

    def prune_decisions(self) -> int:
        """Delete safety decisions older than the retention of jobs; return their number."""
        return self._decisions.prune(now_us() - round(self._job_settings.retention_s * SECOND))

    def prune_calls(self) -> int:
        """Delete paid provider calls older than 400 days; return their number."""
        return self._calls.prune(now_us() - round(_CALLS_KEPT_S * SECOND))

    def delete_orphans(self, grace_s: float = _ORPHAN_GRACE_S) -> int:
        """Delete orphaned files and files past their retention; return their number."""
        return self._files.delete_expired_results(grace_s) + self._files.delete_unreferenced_products(grace_s)

    def _prune_for_a_while(self) -> float:
        """Prune for half a second at most and return the seconds until pruning should continue."""
        end = time.monotonic() + _PRUNE_FOR_S
        self.prune(_PRUNE_FOR_S)
        if time.monotonic() >= end:
            return 0.0
        self._next_prune = time.monotonic() + _PRUNE_EVERY_S
        return _PRUNE_EVERY_S

    def _serve(self) -> None:
        pause_s = 0.0
        while True:
            self._due.wait(pause_s)
            self._due.clear()
            if self._stop.is_set():
                return
            try:
                if not self._leads():
                    self._was_away = True
                    pause_s = self._every_s
                    continue
                pause_s = self.sweep()
                self._remind()
                if time.monotonic() >= self._next_prune:
                    pause_s = min(pause_s, self._prune_for_a_while())
                if time.monotonic() >= self._next_search:
                    self._next_search = time.monotonic() + self._search_every_s
                    self.delete_orphans()
                    self.prune_inputs()
                    self.prune_decisions()
                    self.prune_calls()
                    self._tidy()
            except StorageError as error:
                self._was_away = True
                log.warning("a sweep failed and is retried: %s", error)
                pause_s = self._every_s
            except Exception:
                log.exception("a bug ended a sweep; the next one follows")
                pause_s = self._every_s
