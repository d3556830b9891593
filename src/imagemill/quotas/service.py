"""Limits of requests, and the check that refuses jobs which would expire in their queue."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from imagemill.domain.access import Caller
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import QueueFull, StorageError
from imagemill.domain.jobs import Draft
from imagemill.domain.quotas import QuotaPolicy, QuotaStatus, Workload, accounts_of
from imagemill.quotas.store import CountRequest, QuotaStore

log = logging.getLogger(__name__)

_LOOK_S = 5.0
"""Seconds between two measurements of the queues: each reads all open jobs, 100,000 in about 50 ms."""
_MOST_REMEMBERED = 10_000


class QueueDeadlineCheck:
    """Refuses jobs that would expire before they start.

    Never blocks: the queues are measured in a thread of its own, and until the first result no job is
    refused.
    """

    def __init__(self, measure: Callable[[int], Mapping[str, Workload]]) -> None:
        self._measure = measure
        self._known: Mapping[str, Workload] = {}
        self._at = float("-inf")
        self._measuring = threading.Lock()

    def check(self, drafts: Sequence[Draft], now: int) -> None:
        """Raise `QueueFull` for jobs that would expire in their queue."""
        self._renew()
        for draft in drafts:
            known = self._known.get(draft.queue)
            if known is None or not known.rate:
                continue
            wait_s = known.waiting_s / known.rate
            life_s = (draft.expires_at - now) / SECOND
            if wait_s > life_s:
                raise QueueFull(
                    f"the queue {draft.queue!r} has work for about {wait_s:.0f} s and the job expires in "
                    f"{life_s:.0f} s; try again later, or with a later expiry",
                    after_s=min(wait_s - life_s, 3600.0),
                )

    def look(self) -> None:
        """Measure the queues now."""
        try:
            self._known = self._measure(now_us())
        except StorageError as error:
            log.warning("the queues could not be measured: %s", error)

    def _renew(self) -> None:
        if time.monotonic() - self._at < _LOOK_S or not self._measuring.acquire(blocking=False):
            return
        self._at = time.monotonic()
        threading.Thread(target=self._look, name="imagemill-queues", daemon=True).start()

    def _look(self) -> None:
        try:
            self.look()
        finally:
            self._measuring.release()


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits for new jobs; by default there are none."""

    terms: QuotaPolicy | None = None
    queue: QueueDeadlineCheck | None = None


class RequestLimiter:
    """Limits requests in a minute. A caller without a limit costs only a look-up in a dictionary."""

    def __init__(self, store: QuotaStore, terms: QuotaPolicy, remember_s: float) -> None:
        self._store = store
        self.terms = terms
        self._remember_s = remember_s
        self._quotas: dict[str, tuple[float, tuple[tuple[str, float], ...]]] = {}

    def is_free(self, caller: Caller) -> bool:
        """Whether the caller was found to have no limit a moment ago. Never blocks."""
        if caller.is_unauthenticated_local:
            return True
        found = self._quotas.get(caller.owner)
        return found is not None and not found[1] and self._is_fresh(found[0])

    def take(self, caller: Caller) -> QuotaStatus | None:
        """Count a request; return None without a limit. May block. Raises `RateLimited`."""
        quotas = self._of(caller.owner)
        return self._store.take(CountRequest(quotas, now_us())) if quotas else None

    def forget(self) -> None:
        """Empty the cache of this process after a limit was changed."""
        self._quotas.clear()

    def _of(self, owner: str) -> tuple[tuple[str, float], ...]:
        found = self._quotas.get(owner)
        if found is None or not self._is_fresh(found[0]):
            if len(self._quotas) >= _MOST_REMEMBERED:
                self._quotas.clear()
            its = self._store.resolve(self.terms, accounts_of(owner))
            quotas = tuple(
                (each, limit) for each in accounts_of(owner) if (limit := its[each].requests) is not None
            )
            found = self._quotas[owner] = (time.monotonic(), quotas)
        return found[1]

    def _is_fresh(self, at: float) -> bool:
        return time.monotonic() - at <= self._remember_s
