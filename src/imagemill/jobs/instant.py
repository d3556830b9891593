"""Run jobs whose renders take no time, or little: those of many slots on one thread.

A thread for each slot would spend more on waiting for the others than on its job. Here several jobs are
claimed together, their files are flushed together, and their ends share a transaction with the next claims.
Renders on a quick node are all sent before the first is followed, so that the node goes on with the next.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from imagemill.backends.base import Backend, InstantBackend, QuickBackend
from imagemill.blobs.base import BlobStore
from imagemill.domain.errors import Conflict, StorageError
from imagemill.domain.jobs import Outcome
from imagemill.domain.scheduling import Offer
from imagemill.jobs.attempt import Attempt
from imagemill.jobs.runner import Runner
from imagemill.jobs.steps import CheckedRender
from imagemill.observability import logs

_T = TypeVar("_T")
_LATE_S = 0.5
"""Seconds after which the jobs that are still to be sent to a quick node get threads of their own, so that a
node which does not answer holds up none but the first."""


class InstantRunner:
    """Runs jobs for slots of backends that are `InstantBackend` or `QuickBackend`.

    ``at_once``: attempts whose ends are committed together. With more of them there are fewer transactions;
    with fewer, clients go on earlier while the next attempts run: 16 clients of two processes are in three
    groups of six, of which one is answered, one waits and one is rendered.
    """

    def __init__(
        self, runner: Runner, backends: Mapping[str, Backend], blobs: BlobStore, *, at_once: int = 4
    ) -> None:
        self._at_once = at_once
        self._runner = runner
        self._blobs = blobs
        # Asked once: asking whether an object has the methods of a protocol takes 0.1 ms.
        self._instant = {name: each for name, each in backends.items() if isinstance(each, InstantBackend)}
        self._quick = {name: each for name, each in backends.items() if isinstance(each, QuickBackend)}

    @property
    def backends(self) -> frozenset[str]:
        """The names of the backends whose slots, of all nodes, may share a thread."""
        return frozenset(self._instant)

    @property
    def quick_backends(self) -> frozenset[str]:
        """The names of the backends of which slots of one node may share a thread (`Node.at_once`)."""
        return frozenset(self._quick)

    def run_all(
        self,
        offers: Callable[[Iterable[Attempt]], Sequence[Offer]],
        claimed: Callable[[], None],
        hand_over: Callable[[Attempt], None],
    ) -> int:
        """Run jobs until there is none for these slots; return how many were claimed.

        ``offers`` gets the attempts that were claimed and wait, and returns the offer of each free slot.
        ``claimed`` is called after the first claims. ``hand_over`` gets each attempt whose render takes time,
        for a thread of its own that calls `run_on`; it must not block while others wait or have ended.
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
        sent: list[Attempt] = []
        own = list(attempts)

        def take(attempt: Attempt, done: Outcome | CheckedRender | None) -> None:
            if done is None:
                self._runner.hold()
                own.remove(attempt)
                hand_over(attempt)
            elif isinstance(done, CheckedRender):
                checked.append((attempt, done))
            else:
                ended.append((attempt, done))

        try:
            late = time.monotonic() + _LATE_S
            for attempt in attempts:
                if attempt.claim.job.backend not in self._quick:
                    take(attempt, self._outcome_of(attempt, self._render))
                elif time.monotonic() >= late:
                    take(attempt, None)
                elif (failed := self._outcome_of(attempt, self._send)) is not None:
                    take(attempt, failed)
                else:
                    sent.append(attempt)
            for attempt in sent:
                take(attempt, self._outcome_of(attempt, self._follow))
            return [*ended, *self._stored(checked)]
        except BaseException:
            for attempt in own:
                self._runner.end(attempt)
            raise

    def _outcome_of(self, attempt: Attempt, step: Callable[[Attempt], _T]) -> _T | Outcome:
        with logs.of_job(attempt.claim.id, attempt.claim.job.trace):
            return self._runner.outcome_of(attempt, step)

    def _render(self, attempt: Attempt) -> CheckedRender | None:
        """Return the checked outputs, or None where the render takes time."""
        self._send(attempt)
        return self._follow(attempt)

    def _send(self, attempt: Attempt) -> None:
        self._runner.steps.send(attempt)

    def _follow(self, attempt: Attempt) -> CheckedRender | None:
        sent = attempt.sent
        assert sent is not None  # noqa: S101 - `_send` sets it
        request, name = sent.request, sent.backend.name
        if name in self._quick:
            rendered = self._quick[name].follow_briefly(request, sent.reference, attempt.control)
        else:
            rendered = self._instant[name].follow_at_once(request, sent.reference, attempt.control)
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
