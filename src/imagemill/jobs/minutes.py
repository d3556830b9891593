"""The recorder of statistics: the leader computes each past minute once, from what the database has of it."""

import logging
import threading
from collections.abc import Callable

from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import StorageError
from imagemill.domain.time_series import (
    ALL_OWNERS,
    HOUR_S,
    MINUTE_S,
    QUEUE_AGE,
    QUEUED,
    RUNNING_JOBS,
    TOTAL,
    floor_to,
)
from imagemill.jobs.store.queue_depth import Depth
from imagemill.jobs.store.statistics import StatisticsStore

log = logging.getLogger(__name__)

GRACE_S = 15.0
"""Seconds after which a minute counts as past: ends and deliveries are stored a little later than they
happened."""
MINUTES_KEPT_S = 7 * 86_400
"""Minutes are kept for a week; hours give longer charts."""
HOURS_KEPT_S = 90 * 86_400
_FIRST_S = 86_400
"""Seconds before now that are computed where there are no statistics yet."""
_CHECK_S = 5.0
_MINUTE_US = MINUTE_S * SECOND
_FRESH_US = 2 * _MINUTE_US
"""The depth of the queues is only known now, so it is stored with a minute that has just passed."""


class MinuteRecorder:
    """Records minutes in the process where ``leads`` returns True.

    ``depths`` returns the depth of each queue now.
    """

    def __init__(
        self,
        store: StatisticsStore,
        depths: Callable[[int], dict[str, Depth]],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._depths = depths
        self._leads = leads
        self._recorded_until = 0
        """The end of the minute that was recorded last, as far as this process knows."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._serve, name="imagemill-minutes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def record(self, now: int) -> int:
        """Record every minute that is past and not recorded yet; return their number.

        Minutes without a job are left out, except the one that has just passed.
        """
        last = floor_to(now - round(GRACE_S * SECOND), MINUTE_S) - _MINUTE_US
        if last < self._recorded_until:
            return 0
        latest = self._store.latest(MINUTE_S)
        if latest is not None and latest >= last:
            self._recorded_until = latest + _MINUTE_US
            return 0
        oldest = now - (_FIRST_S if latest is None else MINUTES_KEPT_S) * SECOND
        minute = max(latest + _MINUTE_US if latest is not None else 0, floor_to(oldest, MINUTE_S))
        count = 0
        while minute <= last and not self._stop.is_set():
            if minute < last:
                active = self._store.next_activity(minute)
                minute = last if active is None else min(last, floor_to(active, MINUTE_S))
            self._record(minute, now)
            minute += _MINUTE_US
            count += 1
        self._store.roll_up(floor_to(last + _MINUTE_US, HOUR_S))
        self._store.prune(MINUTE_S, now - MINUTES_KEPT_S * SECOND)
        self._store.prune(HOUR_S, now - HOURS_KEPT_S * SECOND)
        return count

    def _record(self, minute: int, now: int) -> None:
        buckets = self._store.compute(minute, now)
        if now - minute <= _FRESH_US:
            depths = list(self._depths(now).values())
            buckets[ALL_OWNERS, TOTAL, ""].sample(
                {
                    QUEUE_AGE: max((depth.oldest_s for depth in depths), default=0.0),
                    QUEUED: sum(depth.queued for depth in depths),
                    RUNNING_JOBS: sum(depth.running for depth in depths),
                }
            )
        self._store.record(MINUTE_S, minute, buckets)

    def _serve(self) -> None:
        while not self._stop.wait(_CHECK_S):
            try:
                if self._leads():
                    self.record(now_us())
            except StorageError as error:
                log.warning("statistics could not be recorded and are tried again: %s", error)
            except Exception:
                log.exception("a bug ended the recording of a minute; it is tried again")
