"""Dispatch in this process: a thread for each slot of each node."""

import logging
import threading
from collections.abc import Callable, Mapping

from imagemill.backends.base import Backend, Node
from imagemill.domain.errors import StorageError
from imagemill.domain.scheduling import Offer

log = logging.getLogger(__name__)

_AFTER_ERROR_S = 1.0


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
        self._worker = worker
        self._queues = queues
        self._poll_s = poll_s
        self._bell = threading.Condition()
        self._rings = 0
        self._closed = False
        self._threads: list[threading.Thread] = []

    def wake(self, queue: str) -> None:
        del queue  # all slots look: which of them fits the job is the claim's to say
        with self._bell:
            self._rings += 1
            self._bell.notify_all()

    def start(self) -> None:
        for backend in self._backends.values():
            for node in backend.nodes():
                for slot in range(node.slots):
                    name = f"imagemill-{node.name}-{slot}"
                    thread = threading.Thread(
                        target=self._serve, args=(backend, node.name), name=name, daemon=True
                    )
                    self._threads.append(thread)
                    thread.start()

    def close(self) -> None:
        with self._bell:
            self._closed = True
            self._bell.notify_all()
        for thread in self._threads:
            thread.join()

    def offers(self) -> list[Offer]:
        """What each node can take now."""
        return [self._offer(backend, node) for backend in self._backends.values() for node in backend.nodes()]

    def _serve(self, backend: Backend, node_name: str) -> None:
        while not self._closed:
            rings = self._rings
            try:
                ran = self._look(backend, node_name)
            except StorageError as error:
                log.warning("a slot of %s cannot claim: %s", node_name, error)
                self._rest(rings, _AFTER_ERROR_S)
                continue
            except Exception:
                log.exception("a slot of %s met a bug and goes on", node_name)
                ran = False
            if not ran:
                self._rest(rings, self._poll_s)

    def _look(self, backend: Backend, node_name: str) -> bool:
        def offer() -> Offer | None:
            node = next((node for node in backend.nodes() if node.name == node_name), None)
            usable = node is not None and node.healthy and not node.draining and not self._closed
            return self._offer(backend, node) if node is not None and usable else None

        return self._run_all(offer)

    def _rest(self, rings: int, seconds: float) -> None:
        """Sleep until somebody rings; a ring since ``rings`` was read counts."""
        with self._bell:
            if not self._closed and self._rings == rings:
                self._bell.wait(seconds)

    def _offer(self, backend: Backend, node: Node) -> Offer:
        queues = node.queues if self._queues is None else node.queues & self._queues
        return Offer(
            worker=self._worker,
            node=node.name,
            backend=backend.name,
            queues=queues,
            labels=node.labels,
            memory_mb=node.memory_mb,
            resident=node.resident,
            available=node.available,
            capacity=node.slots,
            load_s=node.load_s,
        )
