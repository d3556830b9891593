"""The database's clock for all machines: leases and retries are instants that several of them compare."""

import logging
import threading

from imagemill.db.database import Database
from imagemill.db.engine import clock_difference
from imagemill.domain.clock import SECOND, correct_clock
from imagemill.domain.errors import StorageError

log = logging.getLogger(__name__)

_EVERY_S = 30.0
_TOLERANCE_S = 0.02
"""A difference that is not corrected, besides half a round trip: the estimate is no better."""
_LARGE_S = 1.0
"""A difference that is logged."""


class ClockSync:
    """Corrects the clock of this process to that of PostgreSQL; SQLite has the same clock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stop = threading.Event()
        self._correction_s = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Correct the clock now, and then every 30 s."""
        if self._database.engines.is_sqlite:
            return
        self.synchronise()
        self._thread = threading.Thread(target=self._serve, name="imagemill-clock", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def synchronise(self) -> None:
        """Compare the clocks once. A database that does not answer leaves the correction as it is."""
        try:
            ahead_s, took_s = self._database.read(clock_difference)
        except StorageError:
            return
        if abs(ahead_s + self._correction_s) <= took_s / 2 + _TOLERANCE_S:
            return
        if abs(ahead_s + self._correction_s) >= _LARGE_S:
            log.warning(
                "the clock of this machine is %.1f s %s that of the database, which is used instead",
                abs(ahead_s),
                "ahead of" if ahead_s > 0 else "behind",
            )
        self._correction_s = -ahead_s
        correct_clock(round(-ahead_s * SECOND))

    def _serve(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self.synchronise()
