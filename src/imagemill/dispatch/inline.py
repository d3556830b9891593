"""Dispatch in this process: a thread for each slot of each node, as nodes come and go."""

import logging
import threading
from collections.abc import Callable, Mapping

from imagemill.backends.base import Backend
from imagemill.dispatch.offers import Offers, find
from imagemill.domain.errors import StorageError
from imagemill.domain.scheduling import Offer

log = logging.getLogger(__name__)

_AFTER_ERROR_S = 1.0
_ROLL_CALL_S = 1.0
"""How often it is looked which nodes there are."""

_Place = tuple[str, str, int]
"""Backend, node, number of the slot."""


class InlineDispatcher:
    """``run_all`` claims and runs jobs for a slot until there is none, and says whether there was one.

    ``poll_s``: how often an idle slot looks without being told, for jobs of other processes.
    """

    def __init__(
        self,
        run_all: Callable[[Callable[[], Offer | None]], bool],
        backends: Mapping[str, Backend],
        *,
        worker: str,
        queues: frozenset[str] | None,
        poll_s: float,
    ) -> None:
        self._run_all = run_all
        self._backends = backends
        self._offers = Offers(backends, worker=worker, chosen=queues)
        self._poll_s = poll_s
        self._bell = threading.Condition()
        self._rings = 0
        self._closed = False
        self._slots: dict[_Place, threading.Thread] = {}
        self._roll_call = threading.Thread(target=self._call_roll, name="imagemill-nodes", daemon=True)

    def wake(self, queue: str) -> None:
        del queue  # all slots look: which of them fits the job is the claim's to say
        with self._bell:
            self._rings += 1
            self._bell.notify_all()

    def start(self) -> None:
        self._staff()
        self._roll_call.start()

    def leave(self) -> None:
        with self._bell:
            self._closed = True
            self._bell.notify_all()

    def close(self) -> None:
        self.leave()
        with self._bell:
            slots = list(self._slots.values())
        if self._roll_call.is_alive():
            self._roll_call.join()
        for thread in slots:
            thread.join()

    def offers(self) -> list[Offer]:
        """What each node can take now."""
        return self._offers.all()

    def _call_roll(self) -> None:
        while not self._closed:
            with self._bell:
                self._bell.wait_for(lambda: self._closed, _ROLL_CALL_S)
            self._staff()

    def _staff(self) -> None:
        """A thread for each slot that has none."""
        places: list[tuple[_Place, Backend]] = [
            ((backend.name, node.name, number), backend)
            for backend in self._backends.values()
            for node in backend.nodes()
            for number in range(node.slots)
        ]
        with self._bell:
            missing = [] if self._closed else [pair for pair in places if pair[0] not in self._slots]
            for place, backend in missing:
                name = f"imagemill-{place[1]}-{place[2]}"
                thread = threading.Thread(target=self._serve, args=(backend, place), name=name, daemon=True)
                self._slots[place] = thread
                thread.start()

    def _serve(self, backend: Backend, place: _Place) -> None:
        while not self._leaves(backend, place):
            rings = self._rings
            try:
                ran = self._look(backend, place[1])
            except StorageError as error:
                log.warning("a slot of %s cannot claim: %s", place[1], error)
                self._rest(rings, _AFTER_ERROR_S)
                continue
            except Exception:
                log.exception("a slot of %s met a bug and goes on", place[1])
                ran = False
            if not ran:
                self._rest(rings, self._poll_s)

    def _leaves(self, backend: Backend, place: _Place) -> bool:
        """Whether the slot is no longer needed; then it gives its place up."""
        node = find(backend, place[1])
        if not self._closed and node is not None and place[2] < node.slots:
            return False
        with self._bell:
            self._slots.pop(place, None)
        return True

    def _look(self, backend: Backend, node_name: str) -> bool:
        def offer() -> Offer | None:
            return None if self._closed else self._offers.find(backend.name, node_name)

        return self._run_all(offer)

    def _rest(self, rings: int, seconds: float) -> None:
        """Sleep until somebody rings; a ring since ``rings`` was read counts."""
        with self._bell:
            if not self._closed and self._rings == rings:
                self._bell.wait(seconds)
