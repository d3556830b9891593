"""Delete files that are no longer needed: of lost attempts, past their retention, inputs nobody brings."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from imagemill.blobs.base import BlobInfo, BlobStore
from imagemill.blobs.retention import Retention
from imagemill.domain.blobs import PRODUCTS, attempt_of, mark_of, owner_mark
from imagemill.domain.clock import SECOND, now_us
from imagemill.store.store import Store

_CHUNK = 500
"""Files that are looked up, and deleted, at once."""


@dataclass(frozen=True, slots=True)
class Needs:
    """How long jobs need files: seconds."""

    life_s: float
    """How long a job may wait."""
    retention_s: float
    """How long a finished one is kept."""


class Housekeeping:
    def __init__(self, store: Store, blobs: BlobStore, retention: Retention, needs: Needs) -> None:
        self._store = store
        self._blobs = blobs
        self._retention = retention
        self._needs = needs
        self._owners = {owner_mark(owner): owner for owner in retention.owners}

    def tidy_results(self, grace_s: float) -> int:
        """Delete files no job refers to and that are older than ``grace_s``, and those whose time is over;
        how many. All files are listed, so what is gone already costs nothing."""
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
        over = self._over({key: attempt[0] for key, attempt in attempts.items() if attempt in needed}, now)
        # Told first: a file that is still there does no harm, it is an orphan by now; a URL of one that is
        # gone would.
        self._store.give_up_files(over)
        self._blobs.delete([*orphans, *over])
        return len(orphans) + len(over)

    def _over(self, jobs: dict[str, str], now: int) -> list[str]:
        """Of these files with their jobs, those whose retention is over."""
        if self._retention.shortest_results_s is None:
            return []
        ended = self._store.ended(sorted(set(jobs.values())))
        over: list[str] = []
        for key, job_id in jobs.items():
            if job_id in ended:
                owner, finished_at = ended[job_id]
                kept_s = self._retention.results_s(owner)
                if kept_s is not None and finished_at < now - round(kept_s * SECOND):
                    over.append(key)
        return over

    def tidy_products(self, grace_s: float) -> int:
        """Delete files that lie where products do, are older than ``grace_s`` and nobody refers to: those of
        attempts that were lost; how many."""
        oldest = now_us() - round(grace_s * SECOND)
        deleted = 0
        for place in PRODUCTS:
            old = (blob for blob in self._blobs.list(place) if blob.modified_at < oldest)
            for chunk in _chunks(old):
                needed = self._store.referenced_files([blob.key for blob in chunk])
                orphans = [blob.key for blob in chunk if blob.key not in needed]
                self._blobs.delete(orphans)
                deleted += len(orphans)
        return deleted

    def tidy_inputs(self) -> int:
        """Delete input pictures that nobody brought again for so long; how many.

        Bringing a picture again writes its file anew. None is deleted while a job that was just submitted
        with it may still run.
        """
        now = now_us()
        old = (
            blob
            for blob in self._blobs.list("inputs/")
            if blob.modified_at < now - self._kept_us(mark_of(blob.key))
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


def _chunks(blobs: Iterable[BlobInfo]) -> Iterator[list[BlobInfo]]:
    rest = iter(blobs)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
