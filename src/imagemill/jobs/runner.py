"""Run jobs: claim one and take it through its stages to exactly one end.

claim -> prepare -> send -> follow -> store -> finish
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from imagemill.backends.base import Backend, Node, Progress, RenderCanceled, RenderControl, renderers
from imagemill.blobs.base import BlobStore
from imagemill.db.group_commit import WriteResult
from imagemill.domain.clock import SECOND, now_us, random_fraction, uuid7
from imagemill.domain.errors import BackendError, StorageError, Superseded
from imagemill.domain.events import Stage
from imagemill.domain.failures import Failure, FailureCode, next_try
from imagemill.domain.jobs import Canceled, Claim, Failed, JobStatus, Outcome, Retried, Succeeded
from imagemill.domain.scheduling import Offer, mismatch_reason
from imagemill.jobs.attempt import (
    Attempt,
    Preparation,
    RunOptions,
    handed_back,
    log_end,
    progress_update,
    retry_later,
)
from imagemill.jobs.hub import Hub
from imagemill.jobs.steps import AttemptSteps
from imagemill.jobs.store.claim import ClaimRequest
from imagemill.jobs.store.finish import Finish
from imagemill.jobs.store.heartbeat import Heartbeat, HeartbeatReply
from imagemill.jobs.store.store import JobStore
from imagemill.observability import logs
from imagemill.observability.metrics import Metrics
from imagemill.observability.tracing import Tracer
from imagemill.recipes.base import Recipe
from imagemill.settings import JobSettings

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_OOM, _NONE_HAS_MORE = FailureCode.OUT_OF_MEMORY, 0
_FINISH_TRIES = 6
"""Recording the end of an attempt is tried so often, for about a minute, while the database is unavailable.
"""


class Runner:
    def __init__(
        self,
        store: JobStore,
        recipes: Mapping[str, Recipe],
        backends: Mapping[str, Backend],
        blobs: BlobStore,
        load_input: Callable[[str], bytes],
        hub: Hub,
        settings: JobSettings,
        options: RunOptions,
        meters: Metrics | None = None,
        tracer: Tracer | None = None,
        preparation: Preparation | None = None,
    ) -> None:
        self._store = store
        self._backends = backends
        self._blobs = blobs
        self._hub = hub
        self._settings = settings
        self._placement, self._backoff = settings.placement, settings.backoff
        self._options = options
        self.steps = AttemptSteps(recipes, backends, blobs, load_input, hub, options, store.sent, preparation)
        self._meters = meters or Metrics()
        self._tracer = tracer
        self._active: dict[str, Attempt] = {}
        self._slots = 0
        """Threads that claim or run jobs. Between a claim and its attempt a job counts as running, too."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._handing_back = False
        self._beats = threading.Thread(target=self._beat_all, name="imagemill-beats", daemon=True)
        self._beats.start()

    def run_next(self, offer: Offer) -> bool:
        """Claim the best job for this slot and run its attempt; return False when there is none."""
        return self._with_slot(lambda: self._claim_and_run(offer))

    def run_all(self, offer: Callable[[], Offer | None], claimed: Callable[[], None] = lambda: None) -> bool:
        """Run jobs until there is none for this slot; return False when there was none at all.

        The end of one attempt and the claim of the next share a transaction. ``offer`` is called before each
        claim and returns what the slot can run; None stops. ``claimed`` is called after the first claim,
        before its attempt.
        """

        def run() -> bool:
            first = offer()
            return first is not None and self._claim_and_run(first, offer, claimed)

        return self._with_slot(run)

    def _with_slot(self, run: Callable[[], bool]) -> bool:
        if not self.enter():
            return False
        try:
            return run()
        finally:
            self.leave()

    def enter(self) -> bool:
        """Count a thread that will claim or run a job, until `leave`; False when the runner is closing."""
        with self._lock:
            if self._stopping.is_set():
                return False
            self._slots += 1
            return True

    def hold(self) -> None:
        """Count another thread that runs a job which this process has claimed, until `leave`."""
        with self._lock:
            self._slots += 1

    def leave(self) -> None:
        with self._lock:
            self._slots -= 1

    def _claim_and_run(
        self,
        offer: Offer,
        following: Callable[[], Offer | None] | None = None,
        claimed: Callable[[], None] = lambda: None,
    ) -> bool:
        claim = self._claim(offer)
        if claim is None:
            return False
        claimed()
        while claim is not None:
            claim = self._run(claim, following)
        return True

    def _claim(self, offer: Offer) -> Claim | None:
        pace = self._options.start_rate
        return pace.kept(self._store.claim_next(self._ask(offer))) if pace.take() else None

    def _ask(self, offer: Offer) -> ClaimRequest:
        now = now_us()
        lease_until = now + round(self._settings.lease_s * SECOND)
        return ClaimRequest(offer, uuid7(), now, lease_until, self._placement)

    def run_on(self, attempt: Attempt, following: Callable[[], Offer | None]) -> None:
        """Run an attempt that was begun, and then jobs until there is none for its slot."""
        claim = self._complete(attempt, following)
        while claim is not None:
            claim = self._run(claim, following)

    def _run(self, claim: Claim, following: Callable[[], Offer | None] | None) -> Claim | None:
        """Run one attempt to its end and claim the next job."""
        return self._complete(self.begin(claim), following)

    def _complete(self, attempt: Attempt, following: Callable[[], Offer | None] | None) -> Claim | None:
        try:
            with logs.of_job(attempt.claim.id, attempt.claim.job.trace):
                outcome = self.outcome_of(attempt, self.steps.all)
                return self._finish(attempt, outcome, following)
        finally:
            self.end(attempt)

    def begin(self, claim: Claim) -> Attempt:
        """Begin an attempt: from now on it has heartbeats and can be stopped. Call `end` once it is over."""
        attempt = Attempt(claim, RenderControl())
        attempt.control = RenderControl(lambda progress: self._on_progress(attempt, progress))
        if self._tracer is not None:
            attempt.trace = self._tracer.attempt(claim.job, attempt.stages, attempt.started_at)
        with self._lock:
            self._active[claim.id] = attempt
            if self._handing_back:
                self._hand_back(attempt)
        self._meters.begin(claim.job)
        with logs.of_job(claim.id, claim.job.trace):
            attempt.pass_stage(Stage.CLAIMED, 1)
        return attempt

    def end(self, attempt: Attempt) -> None:
        """End an attempt: it has no more heartbeats. A second call does nothing."""
        with self._lock:
            if attempt.is_over:
                return
            attempt.is_over = True
            self._active.pop(attempt.claim.id, None)
        self._meters.end(attempt.claim.job, attempt.stages)
        self._hub.forget(attempt.claim.id)
        if attempt.trace is not None:
            attempt.trace.close()

    def stop_job(self, job_id: str) -> None:
        """Stop the render of a cancelled job if it runs here."""
        with self._lock:
            attempt = self._active.get(job_id)
        if attempt is not None:
            attempt.control.stop()

    def close(self, grace_s: float) -> None:
        """Claim no more jobs; let running ones finish for ``grace_s`` seconds, then hand them back."""
        with self._lock:
            self._stopping.set()
        if not self._idle_within(grace_s):
            with self._lock:
                self._handing_back = True
                for attempt in self._active.values():
                    self._hand_back(attempt)
            self._idle_within(5.0)
        self._beats.join()

    @property
    def is_closing(self) -> bool:
        return self._stopping.is_set()

    @property
    def active(self) -> int:
        return len(self._active)

    def _idle_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self._slots and time.monotonic() < end:
            time.sleep(0.01)
        return not self._slots

    def outcome_of(self, attempt: Attempt, step: Callable[[Attempt], _T]) -> _T | Outcome:
        """Return the result of a step of the attempt; every error of it becomes a typed failure."""
        try:
            return step(attempt)
        except RenderCanceled:
            if attempt.handed_back:
                return handed_back(attempt, self._settings.reattach_s)
            return Canceled()
        except Superseded:
            return Canceled()
        except BackendError as error:
            failure = Failure(error.failure, str(error))
            if error.after_s is not None and not error.counts:
                return retry_later(attempt.claim.job, failure, error.after_s)
            return self._failed(attempt, failure, tried=error.tried, after_s=error.after_s)
        except StorageError as error:
            failure = Failure(FailureCode.STORAGE, str(error))
        except Exception:
            log.exception("a bug ended an attempt")
            failure = Failure(FailureCode.BUG, "a bug in the server ended the attempt; its log has more")
        return self._failed(attempt, failure)

    def _failed(
        self, attempt: Attempt, failure: Failure, *, tried: bool = False, after_s: float | None = None
    ) -> Outcome:
        job = attempt.claim.job
        retry = next_try(
            failure,
            failures=job.failures + 1,
            attempt=job.attempt,
            max_failures=job.max_failures,
            node=job.node,
            backoff=self._backoff,
            jitter=random_fraction(),
        )
        memory_mb = self._memory_to_ask_for(attempt.claim) if failure.code is _OOM else None
        if memory_mb == _NONE_HAS_MORE:
            # Retry once on the same node, with its memory freed; then no node is left that could run the job.
            retry = None if tried or job.failures else retry
            memory_mb = None
        if retry is None:
            return Failed(failure, {"stages": attempt.stages, **attempt.prepared})
        if after_s is not None:
            return retry_later(job, failure, max(after_s, retry.delay_s), counts=True)
        now = now_us()
        avoid = retry.avoid_node if self._has_other_node(attempt.claim, memory_mb) else None
        backend = self._backends.get(job.backend or "")
        survives = backend is not None and backend.survives_worker
        stored = failure.code is FailureCode.STORAGE and survives
        held_s = retry.delay_s + self._settings.reattach_s if stored else 0.0
        closed_s = self._settings.avoid_node_s if avoid else held_s
        return Retried(
            failure,
            run_after=now + round(retry.delay_s * SECOND) if retry.delay_s > 0 else None,
            avoid_node=avoid,
            avoid_until=now + round(closed_s * SECOND) if avoid or held_s else None,
            memory_mb=memory_mb,
            may_be_found=stored or (failure.code is FailureCode.NODE_LOST and survives),
        )

    def _memory_to_ask_for(self, claim: Claim) -> int | None:
        """Return the memory to require, in MB: more than that of the node, which ran out of it.

        `_NONE_HAS_MORE` when no node has more; None when the node's memory is unknown.
        """
        nodes = self._nodes()
        had = next((node.memory_mb for node in nodes if node.name == claim.job.node), None)
        if had is None:
            return None
        lane = self._store.lane(claim.job.lane)
        larger = [
            node
            for node in nodes
            if not node.draining and (node.memory_mb is None or node.memory_mb > had)
            if not lane.backends or node.backend in lane.backends
        ]
        return had + 1 if larger else _NONE_HAS_MORE

    def _has_other_node(self, claim: Claim, memory_mb: int | None) -> bool:
        """Whether another local node could take the job: avoiding the only one would just make it wait.

        ``memory_mb``: the memory it needs from now on. Remote nodes do not count, since they may not be
        allowed for this job.
        """
        key = self._store.lane(claim.job.lane)
        key = replace(key, memory_mb=memory_mb or key.memory_mb)
        return any(
            node.healthy and not (node.draining or node.remote) and mismatch_reason(node.offer(), key) is None
            for node in self._nodes()
            if node.name != claim.job.node
        )

    def _hand_back(self, attempt: Attempt) -> None:
        """Hand a job back. A paid render is left running; the next worker collects it."""
        name = attempt.claim.job.node
        attempt.hand_back(leave=any(node.remote and node.name == name for node in self._nodes()))

    def _nodes(self) -> list[Node]:
        return renderers(self._backends.values())

    def end_all_and_claim(
        self, ended: Sequence[tuple[Attempt, Outcome]], offers: Sequence[Offer]
    ) -> list[Claim]:
        """Record the ends of attempts and claim a job for each offer where there is one, in one transaction.

        The attempts are over then.
        """
        kept = [each for each in ended if not each[0].superseded]
        asks = [self._ask(offer) for offer in offers if self._options.start_rate.take()]
        try:
            recorded, claimed = self._store.finish_and_claim_all(
                [Finish(attempt.claim, outcome, now_us()) for attempt, outcome in kept], asks
            )
            for (attempt, outcome), result in zip(kept, recorded, strict=True):
                with logs.of_job(attempt.claim.id, attempt.claim.job.trace):
                    self._record(attempt, outcome, result.result)
            for attempt, outcome in ended:
                if attempt.superseded:
                    self._delete_files(attempt.claim, outcome)
        finally:
            for attempt, _ in ended:
                self.end(attempt)
        claims = [self._options.start_rate.kept(self._claimed(each, bool(ended))) for each in claimed]
        return [claim for claim in claims if claim is not None]

    def _claimed(self, result: WriteResult, is_working: bool) -> Claim | None:
        """Return the claim. One that fails raises `StorageError`, but not where other jobs go on."""
        try:
            return result.result()
        except StorageError as error:
            if not is_working:
                raise
            log.warning("no more jobs can be claimed: %s", error)
            return None

    def _finish(
        self, attempt: Attempt, outcome: Outcome, following: Callable[[], Offer | None] | None
    ) -> Claim | None:
        """Record the end and claim the next job in the same transaction."""
        if attempt.trace is not None:
            attempt.trace.ended(outcome)
        offer = following() if following and not self._stopping.is_set() else None
        if attempt.superseded:
            self._delete_files(attempt.claim, outcome)
            return self._claim(offer) if offer else None
        end = Finish(attempt.claim, outcome, now_us())
        if offer is None or not self._options.start_rate.take():
            self._record(attempt, outcome, lambda: self._store.finish(end))
            return None
        ended, claimed = self._store.finish_and_claim(end, self._ask(offer))
        try:
            self._record(attempt, outcome, ended.result)
        finally:
            claim = self._options.start_rate.kept(claimed.result())
        return claim

    def _record(self, attempt: Attempt, outcome: Outcome, finish: Callable[[], JobStatus]) -> None:
        """Record the end, with retries while the database is unavailable: the picture is made already."""
        claim = attempt.claim
        for number in range(_FINISH_TRIES):
            try:
                status = finish()
            except Superseded:
                log.warning("a superseded attempt changed nothing")
                self._delete_files(claim, outcome)
                return
            except StorageError as error:
                log.warning("the end of an attempt could not be recorded and is retried: %s", error)
                time.sleep(min(2.0**number, 30.0))
                finish = lambda: self._store.finish(Finish(claim, outcome, now_us()))  # noqa: E731
            else:
                if attempt.trace is not None:
                    attempt.trace.recorded(status)
                log_end(attempt, outcome, status)
                return
        log.error("the end of an attempt could not be recorded; the job is queued again when its lease ends")

    def _delete_files(self, claim: Claim, outcome: Outcome) -> None:
        """Delete the files of a superseded attempt: its job may have been erased, so that nothing may stay.

        An attempt whose end was recorded after all, when the database only seemed to have failed, keeps them.
        """
        if not isinstance(outcome, Succeeded) or not outcome.artifacts:
            return
        keys = [artifact.blob_key for artifact in outcome.artifacts]
        try:
            if not self._store.referenced_attempts([(claim.id, claim.attempt)]):
                needed = self._store.referenced_files(keys)
                self._blobs.delete([key for key in keys if key not in needed])
        except StorageError as error:
            log.warning("the files of a superseded attempt are left to the search for orphans: %s", error)

    def _on_progress(self, attempt: Attempt, progress: Progress) -> None:
        attempt.progress = progress
        self._hub.publish_progress(attempt.claim.id, progress)

    def _beat_all(self) -> None:
        while self._slots or not self._stopping.is_set():
            self._pause()
            with self._lock:
                attempts = list(self._active.values())
            try:
                self._beat(attempts)
            except StorageError as error:
                log.warning("a heartbeat failed: %s", error)

    def _pause(self) -> None:
        """Wait until the next heartbeat is due; in an idle process `close` ends the wait at once."""
        if self._stopping.is_set():
            time.sleep(min(self._settings.heartbeat_s, 0.1))
        else:
            self._stopping.wait(self._settings.heartbeat_s)

    def _beat(self, attempts: list[Attempt]) -> None:
        now = now_us()
        lease_until = now + round(self._settings.lease_s * SECOND)
        beats = [Heartbeat(a.claim, now, lease_until, progress_update(a)) for a in attempts]
        told = [a.progress for a in attempts]
        for attempt, progress, pulse in zip(
            attempts, told, self._store.record_heartbeats(beats), strict=True
        ):
            attempt.details = progress
            if pulse in (HeartbeatReply.SUPERSEDED, HeartbeatReply.TAKEN_OVER):
                attempt.superseded = True
                attempt.control.stop(detach=pulse is HeartbeatReply.TAKEN_OVER)
            elif pulse is HeartbeatReply.CANCEL:
                attempt.control.stop()
