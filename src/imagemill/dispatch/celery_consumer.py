"""Celery's worker inside a process of ours: its pool is threads, and we start and stop it."""

import logging
import threading
from collections.abc import Collection
from typing import Any

from celery import Celery  # pyright: ignore[reportMissingTypeStubs] - Celery has none
from celery.app import trace  # pyright: ignore[reportMissingTypeStubs] - Celery has none
from celery.worker import (  # pyright: ignore[reportMissingTypeStubs] - Celery has none
    WorkController,
    consumer,  # pyright: ignore[reportMissingTypeStubs] - Celery has none
    state,
)
from kombu.asynchronous import set_event_loop  # pyright: ignore[reportMissingTypeStubs] - kombu has none

log = logging.getLogger(__name__)

_RESTART_S = 1.0
"""Pause before Celery's worker is started again.

It ends by itself where the connection to Redis is lost while it holds a message: kombu then looks for an
address in a channel that is closed.
"""


class CeleryConsumer:
    """Takes wake-ups from ``queues``, ``slots`` at a time.

    Only one can exist in a process, as Celery keeps its state in a module.
    """

    def __init__(self, app: Celery, queues: Collection[str], *, slots: int, name: str) -> None:
        self._app = app
        self._queues = sorted(queues)
        self._slots = slots
        self._name = name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="imagemill-celery", daemon=True)

    def start(self) -> None:
        state.should_stop = None
        self._thread.start()

    def stop_accepting(self) -> None:
        self._stopping.set()
        # Celery's loop reads it about once a second; running tasks continue to their end.
        state.should_stop = 0

    def close(self) -> None:
        self.stop_accepting()
        if self._thread.is_alive():
            self._thread.join()

    def _serve(self) -> None:
        options: dict[str, Any] = {
            "pool_cls": "threads",
            "concurrency": self._slots,
            "queues": self._queues,
            "hostname": self._name,
            "without_mingle": True,  # workers need no messages to each other: their state is in the database
            "without_gossip": True,
        }
        while True:
            self._consume(options)
            if self._stopping.wait(_RESTART_S):
                return
            log.warning("Celery's worker ended and is started again; meanwhile idle slots poll the database")
            state.reset_state()
            set_event_loop(None)

    def _consume(self, options: dict[str, Any]) -> None:
        celery_trace: Any = trace
        try:
            # Celery's own command does the same: without it no task finds its application.
            celery_trace.setup_worker_optimizations(self._app, self._name)
            WorkController(self._app, **options).start()
        except Exception:
            log.exception("Celery's worker failed")


_base: Any = consumer.Consumer
_DELAYED = "celery.worker.consumer.delayed_delivery:DelayedDelivery"
"""With quorum queues, this step declares 28 more queues for tasks with a start time. Wake-ups have none."""


class Consumer(_base):
    """Celery's consumer without the queues for delayed tasks; named in the setting ``worker_consumer``."""

    class Blueprint(_base.Blueprint):
        default_steps = [step for step in _base.Blueprint.default_steps if step != _DELAYED]
