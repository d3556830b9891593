"""The module that Celery's own command starts: ``python -m celery -A imagemill.dispatch.celery worker -Q
gpu,celery``.

``imagemill generator`` runs the same command with ``-Q generator_queue``. The settings are those of every
other command. Each process of Celery's pool is a whole worker with its own slots.

Celery itself only sends its children signals that end them at once. So `ShutdownPipe` asks them to stop, and
waits until they have: when all copies of a pipe's end are closed, also because their processes died, the
other end is readable.

Every signal that ends a worker starts Celery's warm shutdown, which its event loop does between two events.
Its cold one runs inside the signal handler: where that interrupts the handling of a result, it waits without
end for the same result.
"""

import importlib
import logging
import os
import select
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from billiard import pool as billiard_pool  # pyright: ignore[reportMissingTypeStubs] - billiard has none
from celery import signals as celery_signals  # pyright: ignore[reportMissingTypeStubs] - Celery has none
from celery.apps import worker as celery_worker  # pyright: ignore[reportMissingTypeStubs] - Celery has none

from imagemill.config import Settings
from imagemill.dispatch.base import INGRESS
from imagemill.dispatch.celery_broker import add_tasks, make_app
from imagemill.domain.errors import ShuttingDown
from imagemill.domain.scheduling import TASKS
from imagemill.observability import logs
from imagemill.products.base import installed_products

if TYPE_CHECKING:
    from imagemill.bootstrap.application import Application
    from imagemill.products.base import TaskRunner

log = logging.getLogger(__name__)

_HAND_BACK_S = 10.0
"""Seconds beyond the shutdown grace in which a child may hand its job back and close; then it is killed."""
_UNREAD_RESULT_TRIES = 50
"""Tenths of a second that a child which ends waits until its last result is read. Celery discards a task that
starts only as the worker stops, and never reads its result; by itself it would wait 30 s."""


class ShutdownPipe:
    """Two pipes between Celery's main process and the children of its pool; made before the pool forks."""

    def __init__(self) -> None:
        self._request_reader, self._request_writer = os.pipe()
        self._done_reader, self._done_writer = os.pipe()

    def watch(self, stop: Callable[[], None]) -> None:
        """In a child: call ``stop`` in a thread once the parent requests the shutdown or is gone."""
        os.close(self._request_writer)
        os.close(self._done_reader)
        threading.Thread(target=self._wait, args=(stop,), name="imagemill-shutdown", daemon=True).start()

    def request_shutdown(self) -> None:
        """In the thread of the parent that forks, once: ask all children to stop. Children forked later must
        not call `watch`."""
        os.close(self._request_writer)
        os.close(self._done_writer)

    def wait(self, timeout_s: float) -> bool:
        """Return whether all children have stopped, or died, in time."""
        return bool(select.select([self._done_reader], [], [], timeout_s)[0])

    def _wait(self, stop: Callable[[], None]) -> None:
        os.read(self._request_reader, 1)
        try:
            stop()
        finally:
            os.close(self._done_writer)


class CeleryWorkerProcess:
    """The worker of this process; built at its first use, which is after the pool has forked.

    In the process that forked the pool it has no slots, and only ends those of the children.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._app: Application | None = None
        self._runners: dict[str, TaskRunner] = {}
        self._is_stopping = False
        self.pipe: ShutdownPipe | None = None
        """Pipe to the children; None once they were asked to stop."""
        self.queues: frozenset[str] = frozenset()
        self.slots: int | None = 1
        """Concurrent jobs; None means the number of the nodes' slots."""
        self.pool: Any = None
        """The pool of processes; None in its children, and for other kinds of pool."""

    def work(self, queue: str) -> int:
        self.start()
        app = self._app
        return app.work(queue) if app is not None else 0

    def run_task(self, product: str, name: str, task_id: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run a product's task. Raises `ShuttingDown` in a process that is ending."""
        self.start()
        with self._lock:
            if self._app is None:
                raise ShuttingDown
            runner = self._runners.get(product)
            if runner is None:
                runner = self._runners[product] = self._app.task_runner(product)
        return runner.run(name, task_id, arguments)

    def start(self) -> None:
        with self._lock:
            if self._app is None and not self._is_stopping:
                from imagemill.bootstrap.application import Application, Roles

                roles = Roles(
                    api=False, scheduler=False, queues=self.queues, under_celery=True, slots=self.slots
                )
                self._app = Application(_settings, roles)
                self._app.start()

    def watch_parent(self) -> None:
        """In a child: stop when the parent asks for it."""
        self.pool = None
        self._lock = threading.Lock()  # a thread of the parent may have held it at the fork
        pipe, self.pipe = self.pipe, None
        if pipe is not None:
            pipe.watch(self.stop_accepting)

    def request_shutdown(self) -> None:
        """Stop in a thread; called in a signal handler of the main thread, so no child is forked meanwhile.

        The second call ends the children at once.
        """
        is_second, self._is_stopping = self._is_stopping, True
        pipe, self.pipe = self.pipe, None
        if pipe is not None:
            pipe.request_shutdown()
        if is_second:
            self._kill_children()
        else:
            threading.Thread(target=self._stop, args=(pipe,), name="imagemill-stop").start()

    def stop_accepting(self) -> None:
        """Let running jobs finish within the grace, hand the others back, and return once that is done."""
        with self._lock:
            self._is_stopping = True
            for runner in self._runners.values():
                runner.stop_accepting(_HAND_BACK_S)
            if self._app is not None:
                self._app.close()
                self._app = None

    def _stop(self, pipe: ShutdownPipe | None) -> None:
        if pipe is not None and not pipe.wait(_settings.shutdown_grace_s + _HAND_BACK_S):
            log.warning("a child of the pool does not stop and is killed; its jobs are retried")
            self._kill_children()
        self.stop_accepting()

    def _kill_children(self) -> None:
        if self.pool is None or self.pool._pool is None:
            return
        for child in self.pool.info["processes"]:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


signals: Any = celery_signals
program: Any = celery_worker
pool: Any = billiard_pool
_settings = Settings()
_worker = CeleryWorkerProcess()
app = make_app(_settings, _worker.work)
add_tasks(
    app, _settings, {product.name: product.celery_tasks for product in installed_products()}, _worker.run_task
)


def _is_no_rejection(record: logging.LogRecord) -> bool:
    """Whether a line of Celery is not about a task that returns to the queue, which `add_tasks` logs itself:
    Celery writes the traceback of the exception that asks for it."""
    data: Any = getattr(record, "data", None)
    return not (isinstance(data, dict) and data.get("description") == "rejected")  # pyright: ignore[reportUnknownMemberType]


def _log_text(text: str, *_: Any) -> None:
    """Log a message that Celery prints in a signal handler; in a thread, as handlers must not use locks."""
    threading.Thread(target=log.info, args=("%s", text.strip())).start()


# The first one, because Celery warns of the user root before it sets up its logging.
@signals.celeryd_init.connect
@signals.setup_logging.connect
def _configure_logging(**_: Any) -> None:
    logs.configure(_settings.log_level, _settings.log_format)
    logging.getLogger("celery.app.trace").addFilter(_is_no_rejection)
    if _settings.log_format == "json":
        program.safe_say = _log_text


@signals.celeryd_after_setup.connect
def _take_over_worker(instance: Any, **_: Any) -> None:
    queues = instance.app.amqp.queues
    if INGRESS not in queues.consume_from:
        queues.select_add(queues[TASKS])
    _worker.queues = frozenset(queues.consume_from)
    install = partial(program._shutdown_handler, how="Warm", exitcode=os.EX_OK)
    program.install_worker_term_handler = partial(install, sig="SIGTERM")
    program.install_worker_term_hard_handler = partial(install, sig="SIGQUIT")
    program.install_worker_int_handler = partial(install, sig="SIGINT")
    if instance.pool_cls.__module__.endswith("prefork"):
        _worker.pipe, _worker.pool = ShutdownPipe(), instance.pool
        # Imported once, before the fork, for all present and later children; each builds its own application.
        importlib.import_module("imagemill.bootstrap.application")
    else:
        _worker.slots = None


@signals.worker_ready.connect
def _log_start(**_: Any) -> None:
    log.info("%s started", "generator" if INGRESS in _worker.queues else "worker")


@signals.worker_process_init.connect
def _start_child(**_: Any) -> None:
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _UNREAD_RESULT_TRIES
    _worker.watch_parent()
    _worker.start()


@signals.worker_process_shutdown.connect
def _stop_child(**_: Any) -> None:
    _worker.stop_accepting()


@signals.worker_shutting_down.connect
def _request_shutdown(**_: Any) -> None:
    _worker.request_shutdown()


@signals.worker_shutdown.connect
def _stop(**_: Any) -> None:
    _worker.stop_accepting()
