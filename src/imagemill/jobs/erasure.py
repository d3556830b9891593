"""Erasure of jobs with their files, at their owner's wish."""

from collections.abc import Sequence

from imagemill.blobs.base import BlobStore
from imagemill.jobs.store.store import JobStore

_CHUNK = 100
"""Jobs erased in one transaction, for which other writes wait about 10 ms."""


def erase_jobs(
    jobs: JobStore, blobs: BlobStore, owner: str, job_ids: Sequence[str], inputs: Sequence[str] = ()
) -> int:
    """Erase an owner's jobs in any state, their files and the ``inputs``, blob keys; return the number of
    files.

    A running job is stopped. Files that a row of a product refers to are kept: erase that row first. Killed
    in the middle, it may be repeated with the same arguments.
    """
    deleted = 0
    for start in range(0, len(job_ids), _CHUNK):
        found = jobs.views_by_id(job_ids[start : start + _CHUNK])
        foreign = {id_ for id_, view in found.items() if view.job.owner != owner}
        ids = [id_ for id_ in job_ids[start : start + _CHUNK] if id_ not in foreign]
        # Files go before the rows that name them, so that a repetition still finds them.
        known = {each.blob_key for id_ in ids if id_ in found for each in found[id_].artifacts}
        deleted += _delete(jobs, blobs, known)
        late = set(jobs.erase(owner, ids)) - known
        late.update(blob.key for job_id in ids for blob in blobs.list(f"jobs/{job_id}/"))
        deleted += _delete(jobs, blobs, late)
    blobs.delete(list(inputs))
    return deleted + len(inputs)


def _delete(jobs: JobStore, blobs: BlobStore, keys: set[str]) -> int:
    unneeded = sorted(keys - jobs.referenced_files(sorted(keys)))
    blobs.delete(unneeded)
    return len(unneeded)
