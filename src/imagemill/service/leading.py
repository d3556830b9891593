"""Leading: of any number of schedulers one sweeps and delivers, elected by the database."""

import logging
import threading
import time

from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import StorageError
from imagemill.service.lifeline import Lifeline
from imagemill.store.leading import Resign, Stand
from imagemill.store.store import Store

log = logging.getLogger(__name__)

_OFFICE = "scheduler"
_RENEWALS = 3
"""How often a lease is renewed before it would end: one lost renewal is no change of leader."""


class Leadership:
    """``lease_s``: how long the others wait for a leader that is silent."""

    def __init__(self, store: Store, lifeline: Lifeline, *, lease_s: float) -> None:
        self._store = store
        self._lifeline = lifeline
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._holds = False
        self._ask_at = 0.0
        self._until = 0.0

    def leads(self) -> bool:
        """Asks the database only when it is time to. False while it does not answer and the lease is over."""
        with self._lock:
            now = time.monotonic()
            if now >= self._ask_at:
                self._ask(now)
            return self._holds and now < self._until

    def resign(self) -> None:
        """Let another one begin at once."""
        with self._lock:
            if not self._holds:
                return
            self._holds = False
            try:
                self._store.resign(Resign(_OFFICE, self._lifeline.worker))
            except StorageError as error:
                log.info("the office of the scheduler ends by its time: %s", error)

    def _ask(self, now: float) -> None:
        self._ask_at = now + self._lease_s / _RENEWALS
        try:
            holder = self._stand()
            if self._lifeline.dead([holder]):
                self._store.resign(Resign(_OFFICE, holder))
                holder = self._stand()
        except StorageError as error:
            log.warning("the database does not say who leads: %s", error)
            return
        leads = holder == self._lifeline.worker
        if leads != self._holds:
            log.info("this process leads" if leads else "another process leads", extra={"leader": holder})
        self._holds = leads
        self._until = now + self._lease_s

    def _stand(self) -> str:
        now = now_us()
        until = now + round(self._lease_s * SECOND)
        return self._store.stand(Stand(_OFFICE, self._lifeline.worker, now, until))
