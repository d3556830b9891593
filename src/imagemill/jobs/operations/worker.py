"""The thread that works off operations, in chunks, in the process that leads."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from imagemill.blobs.base import BlobStore
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import ImagemillError, StorageError
from imagemill.domain.jobs import Job, JobStatus
from imagemill.domain.operations import (
    SAMPLES,
    JobProblem,
    OperationAction,
    OperationProgress,
    ineligible,
)
from imagemill.domain.pauses import Pause
from imagemill.jobs.erasure import erase_jobs
from imagemill.jobs.operations.store import Operation, OperationStep, OperationStore
from imagemill.jobs.pauses import PauseStore
from imagemill.jobs.store.finish import Cancel
from imagemill.jobs.store.priority import Reprioritize
from imagemill.jobs.store.store import JobStore
from imagemill.jobs.submit import Resubmission, Submitter

log = logging.getLogger(__name__)

CHUNK = 100
"""Jobs that are worked on between two steps; other writes wait for about 30 ms of them."""
_NOT_LEADING_S = 1.0
"""Seconds until a process looks whether it leads now."""
_AFTER_ERROR_S = 1.0
_SETTLE_EVERY_S = 10.0
"""Seconds after which jobs are parked that a worker of an older version has put back into their queue."""
_KEPT_US = 30 * 86_400 * SECOND
"""The time for which ended operations are listed: 30 days."""


@dataclass(frozen=True, slots=True)
class _Results:
    """The results of an action on a chunk."""

    done: int = 0
    skipped: int = 0
    problems: tuple[JobProblem, ...] = ()


class OperationWorker:
    """Works off operations, and parks and releases the jobs of pauses, where ``leads`` returns True.

    Operations take turns, a chunk each, so that none waits for a long one. ``idle_s`` returns the seconds
    between two looks for those of other processes, each of which reads two small tables.
    """

    def __init__(
        self,
        store: OperationStore,
        jobs: JobStore,
        pauses: PauseStore,
        blobs: BlobStore,
        submitter: Callable[[], Submitter],
        *,
        leads: Callable[[], bool],
        idle_s: Callable[[], float] = lambda: 1.0,
        chunk: int = CHUNK,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._pauses = pauses
        self._blobs = blobs
        self._submitter = submitter
        self._leads = leads
        self._idle_s = idle_s
        self._chunk = chunk
        self._due = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._settled: tuple[list[Pause], float] | None = None
        """The pauses that jobs were last compared with, and when."""

    def start(self) -> None:
        self._thread = threading.Thread(target=self._serve, name="imagemill-operations", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Look for operations and pauses soon. Never blocks."""
        self._due.set()

    def prune(self) -> int:
        """Delete operations that ended more than 30 days ago; return their number."""
        return self._store.prune(now_us() - _KEPT_US)

    def work(self) -> float:
        """Settle pauses and work off what is due; return the seconds until the next operation is."""
        self._settle()
        while not self._closed and self._leads():
            found = self._store.open()
            now = now_us()
            due = [each for each in found if each.starts_at <= now]
            if not due:
                return min([self._idle_s(), *((each.starts_at - now) / SECOND for each in found)])
            for operation in due:
                self.step(operation)
        return self._idle_s()

    def step(self, operation: Operation) -> None:
        """Finish the operation's chunk and find the next."""
        results = self._act(operation)
        page = replace(operation.filter, before=operation.position, limit=self._chunk)
        found = self._jobs.matching_ids(page)
        chunk = self._eligible(operation, found.ids)
        is_last = found.next is None and not chunk
        progress = _added(operation.progress, results, len(found.ids) - len(chunk))
        looked_at = progress.done + progress.skipped + progress.failed
        total = looked_at if is_last else max(progress.total, looked_at + len(chunk))
        # Without a further page there is nothing below the last job.
        position = found.next or (found.ids[-1] if found.ids else operation.position)
        ended_at = now_us() if is_last else None
        self._store.step(OperationStep(operation, position, chunk, replace(progress, total=total), ended_at))

    def _settle(self) -> None:
        """Park and release jobs after a change of the pauses, and now and then."""
        now, pauses = time.monotonic(), self._pauses.all()
        if self._settled is not None:
            known, at = self._settled
            if known == pauses and now < at + _SETTLE_EVERY_S:
                return
        while not self._closed and self._pauses.settle(now_us()):
            pass
        self._settled = pauses, now

    def _eligible(self, operation: Operation, ids: Sequence[str]) -> tuple[str, ...]:
        """Return those of the jobs that the action concerns."""
        jobs = self._jobs.by_ids(ids)
        return tuple(
            id_
            for id_ in ids
            if (job := jobs.get(id_)) is not None
            and ineligible(operation.action, job.status, job.replays) is None
        )

    def _act(self, operation: Operation) -> _Results:
        """Act on the chunk. An effect that is there already, of a process that was killed, counts as done."""
        jobs = list(self._jobs.by_ids(operation.chunk).values()) if operation.chunk else []
        gone = len(operation.chunk) - len(jobs)
        match operation.action:
            case OperationAction.CANCEL:
                results = self._cancel(operation, jobs)
            case OperationAction.PRIORITY:
                results = self._prioritize(operation, jobs)
            case OperationAction.REPLAY:
                results = self._replay(operation, jobs)
            case OperationAction.DELETE:
                self._delete(jobs)
                return _Results(done=len(operation.chunk))
        return replace(results, skipped=results.skipped + gone)

    def _cancel(self, operation: Operation, jobs: Sequence[Job]) -> _Results:
        now = now_us()
        requests = [Cancel(job.id, job.owner, now, **_reason(operation, job)) for job in jobs]
        found = self._jobs.cancel_all(requests)
        done = sum(each in (JobStatus.CANCELED, JobStatus.RUNNING) for each in found)
        return _Results(done=done, skipped=len(found) - done)

    def _prioritize(self, operation: Operation, jobs: Sequence[Job]) -> _Results:
        priority = operation.change.priority or 0
        found = self._jobs.reprioritize_all([Reprioritize(job.id, job.owner, priority) for job in jobs])
        done = sum(each is None for each in found)
        return _Results(done=done, skipped=len(found) - done)

    def _delete(self, jobs: Sequence[Job]) -> None:
        for owner in sorted({job.owner for job in jobs}):
            erase_jobs(self._jobs, self._blobs, owner, [job.id for job in jobs if job.owner == owner])

    def _replay(self, operation: Operation, jobs: Sequence[Job]) -> _Results:
        submitter, change = self._submitter(), operation.change
        started: list[tuple[Job, Resubmission | JobProblem]] = []
        # The oldest first, as they were submitted.
        for job in sorted(jobs, key=lambda job: job.id):
            key = f"{operation.id}:{job.id}"

            def begin(job: Job = job, key: str = key) -> Resubmission:
                return submitter.begin_resubmit(
                    job, key=key, override=change.override, partner=change.partner
                )

            started.append((job, _tried(job, begin)))
        results = [
            _tried(job, each.result) if isinstance(each, Resubmission) else each for job, each in started
        ]
        problems = tuple(each for each in results if isinstance(each, JobProblem))
        return _Results(done=len(results) - len(problems), problems=problems)

    def _serve(self) -> None:
        pause_s = 0.0
        while not self._closed:
            self._due.wait(pause_s)
            self._due.clear()
            try:
                pause_s = self.work() if self._leads() else _NOT_LEADING_S
            except StorageError as error:
                log.warning("an operation stopped and is continued: %s", error)
                pause_s = _AFTER_ERROR_S
            except Exception:
                log.exception("a bug stopped an operation; it is continued")
                pause_s = _SETTLE_EVERY_S


def _added(progress: OperationProgress, results: _Results, skipped: int) -> OperationProgress:
    return OperationProgress(
        progress.total,
        progress.done + results.done,
        progress.skipped + results.skipped + skipped,
        progress.failed + len(results.problems),
        (*progress.samples, *results.problems)[:SAMPLES],
    )


def _reason(operation: Operation, job: Job) -> dict[str, str]:
    return {} if operation.actor == job.owner else {"reason": f"canceled by {operation.actor}"}


_Result = TypeVar("_Result")


def _tried(job: Job, call: Callable[[], _Result]) -> _Result | JobProblem:
    """Return the result, or why the job was left. Raises `StorageError`, after which it is tried again."""
    try:
        return call()
    except StorageError:
        raise
    except ImagemillError as error:
        return JobProblem(job.id, error.code, str(error)[:500])
    except Exception:
        log.exception("a bug kept job %s from being submitted again", job.id)
        return JobProblem(job.id, "bug", "a bug kept it from being submitted again; see the server's log")
