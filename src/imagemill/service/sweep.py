"""Sweep: what time brings about. Lost leases, due retries, expired jobs, old jobs, orphan files."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from imagemill.blobs.base import BlobStore
from imagemill.domain.blobs import attempt_of
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import StorageError
from imagemill.service.lifeline import Lifeline
from imagemill.store.finishing import Expire, Reclaim, Unpark
from imagemill.store.store import Store

log = logging.getLogger(__name__)

_CHUNK = 500
_PRUNE_EVERY_S = 600.0
_ORPHAN_GRACE_S = 3600.0
"""A file younger than this may belong to an attempt that has not been recorded yet."""


@dataclass(frozen=True, slots=True)
class SweepRules:
    every_s: float
    retention_s: float
    life_s: float
    """How long a job may wait."""
    outliving: frozenset[str] = frozenset()
    """Backends whose renders go on without the worker that sent them."""
    reattach_s: float = 0.0
    """How long their jobs are left to the node that may have the render."""
    inputs_s: float | None = None
    """How long input pictures are kept; None: for the life of a job and its retention."""
    search_every_s: float = 3600.0
    """How often all files are listed: that takes a request for every thousand, and a store may bill them."""


class Sweeper:
    """``leads``: whether this process is the one that sweeps. ``remind``: told after each round, for queued
    jobs whose wake-up was lost."""

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        lifeline: Lifeline,
        rules: SweepRules,
        *,
        leads: Callable[[], bool] = lambda: True,
        remind: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._lifeline = lifeline
        self._rules = rules
        self._leads = leads
        self._remind = remind
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_prune = 0.0
        self._next_search = 0.0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._serve, name="imagemill-sweep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def sweep(self) -> float:
        """One round; the seconds until something is known to be due."""
        now = now_us()
        dead = self._lifeline.dead(self._store.workers_with_leases())
        rules = self._rules
        reattach_us = round(rules.reattach_s * SECOND)
        while self._store.reclaim(Reclaim(now, dead, _CHUNK, rules.outliving, reattach_us)) == _CHUNK:
            pass
        while self._store.expire(Expire(now, _CHUNK)) == _CHUNK:
            pass
        due = self._store.unpark(Unpark(now))
        if due is None:
            return self._rules.every_s
        return min(self._rules.every_s, max(0.0, (due - now_us()) / SECOND))

    def prune(self) -> int:
        """Delete finished jobs past their retention, files first, and counters that are over; how many."""
        self._store.limits.prune(now_us())
        oldest = now_us() - round(self._rules.retention_s * SECOND)
        pruned = 0
        while ids := self._store.finished_before(oldest, _CHUNK):
            self._blobs.delete([blob.key for job_id in ids for blob in self._blobs.list(f"jobs/{job_id}/")])
            self._store.delete_jobs(ids)
            pruned += len(ids)
        return pruned

    def prune_inputs(self) -> int:
        """Delete input pictures that nobody brought again for so long; how many.

        Bringing a picture again writes its file anew.
        """
        kept_s = self._rules.inputs_s or self._rules.retention_s + self._rules.life_s
        oldest = now_us() - round(max(kept_s, self._rules.life_s) * SECOND)
        old = [blob.key for blob in self._blobs.list("inputs/") if blob.modified_at < oldest]
        self._blobs.delete(old)
        return len(old)

    def delete_orphans(self, grace_s: float = _ORPHAN_GRACE_S) -> int:
        """Delete files no job refers to: of attempts that were lost after they wrote; how many."""
        youngest = now_us() - round(grace_s * SECOND)
        deleted = 0
        chunk: dict[str, tuple[str, int]] = {}
        for blob in self._blobs.list("jobs/"):
            attempt = attempt_of(blob.key)
            if attempt is not None and blob.modified_at < youngest:
                chunk[blob.key] = attempt
            if len(chunk) >= _CHUNK:
                deleted += self._delete_unreferenced(chunk)
                chunk = {}
        return deleted + self._delete_unreferenced(chunk)

    def _delete_unreferenced(self, blobs: dict[str, tuple[str, int]]) -> int:
        if not blobs:
            return 0
        kept = self._store.referenced_attempts(sorted(set(blobs.values())))
        orphans = [key for key, attempt in blobs.items() if attempt not in kept]
        self._blobs.delete(orphans)
        return len(orphans)

    def _serve(self) -> None:
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            try:
                if not self._leads():
                    pause_s = self._rules.every_s
                    continue
                pause_s = self.sweep()
                self._remind()
                if time.monotonic() >= self._next_prune:
                    self._next_prune = time.monotonic() + _PRUNE_EVERY_S
                    self.prune()
                if time.monotonic() >= self._next_search:
                    self._next_search = time.monotonic() + self._rules.search_every_s
                    self.delete_orphans()
                    self.prune_inputs()
            except StorageError as error:
                log.warning("a sweep failed and is tried again: %s", error)
                pause_s = self._rules.every_s
            except Exception:
                log.exception("a sweep met a bug and goes on")
                pause_s = self._rules.every_s
