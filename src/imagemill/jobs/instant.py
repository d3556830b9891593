"""Run jobs whose renders take no time: those of many slots on one thread.

A thread for each slot would spend more on waiting for the others than on its job. Here several jobs are
claimed together, their files are flushed together, and their ends share a transaction with the next claims.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from imagemill.backends.base import Backend, InstantBackend
from imagemill.blobs.base import BlobStore
from imagemill.domain.errors import Conflict, StorageError
from imagemill.domain.jobs import Outcome
from imagemill.domain.scheduling import Offer
from imagemill.jobs.attempt import Attempt
from imagemill.jobs.runner import Runner
from imagemill.jobs.steps import CheckedRender
from imagemill.observability import logs


class InstantRunner:
    """Runs jobs for slots of backends that are `InstantBackend`.

    ``at_once``: attempts whose ends are committed together. With more of them there are fewer transactions;
    with fewer, clients go on earlier while the next attempts run.
    """

    def __init__(
        self, runner: Runner, backends: Mapping[str, Backend], blobs: BlobStore, *, at_once: int = 4
    ) -> None:
        self._at_once = at_once
        self._runner = runner
        self._blobs = blobs
        # Asked once: asking whether an object has the methods of a protocol takes 0.1 ms.
        self._backends = {name: each for name, each in backends.items() if isinstance(each, InstantBackend)}

    @property
    def backends(self) -> frozenset[str]:
        """The names of the backends whose slots it serves."""
        return frozenset(self._backends)

    def run_all(
        self,
        offers: Callable[[Iterable[Attempt]], Sequence[Offer]],
        claimed: Callable[[], None],
        hand_over: Callable[[Attempt], None],
    ) -> int:
        """Run jobs until there is none for these slots; return how many were claimed.

        ``offers`` gets the attempts that were claimed and wait, and returns the offer of each free slot.
        ``claimed`` is called after the first claims. ``hand_over`` gets each attempt whose render takes time,
        for a thread of its own that calls `run_on`; it must not block.
        """
        if not self._runner.enter():
            return 0
        waiting, ended = deque[Attempt](), list[tuple[Attempt, Outcome]]()
        try:
            waiting.extend(self._end_and_claim((), offers(())))
            count = len(waiting)
            if waiting:
                claimed()
            while waiting:
                ended = self._run(
                    [waiting.popleft() for _ in range(min(len(waiting), self._at_once))], hand_over
                )
                free = () if self._runner.is_closing else offers(waiting)
                if ended or free:
                    more = self._end_and_claim(ended, free)
                    count += len(more)
                    waiting.extend(more)
            return count
        finally:
            # Only after a bug: without heartbeats they are queued again when their leases end.
            for attempt in (*waiting, *(attempt for attempt, _ in ended)):
                self._runner.end(attempt)
            self._runner.leave()

    def _end_and_claim(
        self, ended: Sequence[tuple[Attempt, Outcome]], free: Sequence[Offer]
    ) -> list[Attempt]:
        return [self._runner.begin(claim) for claim in self._runner.end_all_and_claim(ended, free)]

    def run_on(self, attempt: Attempt, following: Callable[[], Offer | None]) -> None:
        """Run an attempt that was handed over to its end, and then jobs until there is none for its slot."""
        try:
            self._runner.run_on(attempt, following)
        finally:
            self._runner.leave()

    def _run(
        self, attempts: Sequence[Attempt], hand_over: Callable[[Attempt], None]
    ) -> list[tuple[Attempt, Outcome]]:
        """Run the attempts whose renders take no time; return their outcomes."""
        ended: list[tuple[Attempt, Outcome]] = []
        checked: list[tuple[Attempt, CheckedRender]] = []
        own = list(attempts)
        try:
            for attempt in attempts:
                with logs.of_job(attempt.claim.id, attempt.claim.job.trace):
                    done = self._runner.outcome_of(attempt, self._render)
                if done is None:
                    self._runner.hold()
                    own.remove(attempt)
                    hand_over(attempt)
                elif isinstance(done, CheckedRender):
                    checked.append((attempt, done))
                else:
                    ended.append((attempt, done))
            return [*ended, *self._stored(checked)]
        except BaseException:
            for attempt in own:
                self._runner.end(attempt)
            raise

    def _render(self, attempt: Attempt) -> CheckedRender | None:
        """Return the checked outputs, or None where the render takes time."""
        sent = self._runner.steps.send(attempt)
        backend = self._backends[sent.backend.name]
        rendered = backend.follow_at_once(sent.request, sent.reference, attempt.control)
        return None if rendered is None else self._runner.steps.check(attempt, sent, rendered)

    def _stored(self, checked: Sequence[tuple[Attempt, CheckedRender]]) -> Iterable[tuple[Attempt, Outcome]]:
        """Store the outputs of all, flushed together; each by itself where that fails."""
        steps, begin = self._runner.steps, time.perf_counter()
        try:
            self._blobs.create_all([blob for _, each in checked for blob in each.files.blobs])
        except (StorageError, Conflict):
            for attempt, each in checked:
                with logs.of_job(attempt.claim.id, attempt.claim.job.trace):
                    outcome = self._runner.outcome_of(attempt, partial(steps.store, checked=each))
                yield attempt, outcome
            return
        upload_ms = (time.perf_counter() - begin) * 1000
        for attempt, each in checked:
            with logs.of_job(attempt.claim.id, attempt.claim.job.trace):
                outcome = steps.succeeded(attempt, each, upload_ms)
            yield attempt, outcome
