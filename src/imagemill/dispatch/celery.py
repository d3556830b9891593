"""For Celery's own command: ``python -m celery -A imagemill.dispatch.celery worker -Q gpu,celery``, and for
``imagemill generator``, which is that command with ``-Q generator_queue``.

Settings are those of every other command. Each process of the pool is a whole worker with slots of its own.
"""

import importlib
import logging
import os
import select
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import signals as celery_signals  # pyright: ignore[reportMissingTypeStubs] - Celery has none

from imagemill.bootstrap.plugins import products
from imagemill.config import Settings
from imagemill.dispatch.base import INGRESS
from imagemill.dispatch.celery_broker import add_tasks, make_app
from imagemill.domain.errors import ShuttingDown
from imagemill.observability import logs

if TYPE_CHECKING:
    from imagemill.bootstrap.application import Application
    from imagemill.products.base import TaskRunner

# Between Celery's own process and the children of its pool: it asks them to leave, they tell when they have.
#
# Celery itself sends its children nothing but what ends them. Two pipes do it: an end that everybody has
# closed, or died with, is seen at the other one.


class ShutdownPipe:
    """Made before the pool forks."""

    def __init__(self) -> None:
        self._asked, self._ask = os.pipe()
        self._all_left, self._left = os.pipe()

    def hold(self, leave: Callable[[], None]) -> None:
        """In a child: call ``leave`` in a thread once the cord is pulled or the parent is gone."""
        os.close(self._ask)
        os.close(self._all_left)
        threading.Thread(target=self._wait, args=(leave,), name="imagemill-cord", daemon=True).start()

    def pull(self, patience_s: float) -> bool:
        """In the parent, once: ask all to leave; whether all did in time. Later forks must not hold."""
        os.close(self._ask)
        os.close(self._left)
        return bool(select.select([self._all_left], [], [], patience_s)[0])

    def _wait(self, leave: Callable[[], None]) -> None:
        os.read(self._asked, 1)
        try:
            leave()
        finally:
            os.close(self._left)


log = logging.getLogger(__name__)

_HAND_BACK_S = 10.0
"""What a child may take, past the grace, to hand its job back and to close."""


class CeleryWorkerProcess:
    """The worker of this process, built when it is first needed: after the pool has forked.

    In the process that forked a pool it has no slots: there it ends those of the children.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._app: Application | None = None
        self._runners: dict[str, TaskRunner] = {}
        self._left = False
        self.pipe: ShutdownPipe | None = None
        """To the children, until they are asked to leave."""
        self.queues: frozenset[str] = frozenset()
        self.slots: int | None = 1
        """Jobs at once; None: as many as the nodes have slots."""

    def work(self, queue: str) -> int:
        self.begin()
        app = self._app
        return app.work(queue) if app is not None else 0

    def run_task(self, product: str, name: str, task_id: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Raises `ShuttingDown` in a process that ends."""
        self.begin()
        with self._lock:
            if self._app is None:
                raise ShuttingDown
            runner = self._runners.get(product)
            if runner is None:
                runner = self._runners[product] = self._app.task_runner(product)
        return runner.run(name, task_id, arguments)

    def begin(self) -> None:
        with self._lock:
            if self._app is None and not self._left:
                from imagemill.bootstrap.application import Application, Roles

                roles = Roles(
                    api=False, scheduler=False, queues=self.queues, under_celery=True, slots=self.slots
                )
                self._app = Application(_settings, roles)
                self._app.start()

    def hold(self) -> None:
        """In a child."""
        pipe, self.pipe = self.pipe, None
        if pipe is not None:
            pipe.hold(self.stop_accepting)

    def stop_accepting(self) -> None:
        """Let running jobs finish for a while, hand the rest back. Returns once that is done."""
        with self._lock:
            self._left = True
            pipe, self.pipe = self.pipe, None
            if pipe is not None and not pipe.pull(_settings.shutdown_grace_s + _HAND_BACK_S):
                log.warning("a child of the pool does not leave; what it runs is found again by its lease")
            for runner in self._runners.values():
                runner.stop_accepting(_HAND_BACK_S)
            if self._app is not None:
                self._app.close()
                self._app = None


signals: Any = celery_signals
_settings = Settings()
_host = CeleryWorkerProcess()
app = make_app(_settings, _host.work)
add_tasks(app, _settings, {product.name: product.celery_tasks for product in products()}, _host.run_task)


@signals.setup_logging.connect
def _set_logging_up(**_: Any) -> None:
    logs.configure(_settings.log_level, _settings.log_format)


@signals.celeryd_after_setup.connect
def _know_queues(instance: Any, **_: Any) -> None:
    _host.queues = frozenset(instance.app.amqp.queues.consume_from)
    # Celery's own wait is a sleep for the whole grace, and nobody tells the children to claim no more.
    instance.wait_for_soft_shutdown = _host.stop_accepting
    if instance.pool_cls.__module__.endswith("prefork"):
        _host.pipe = ShutdownPipe()
        # Loaded once for all children, those that replace others too; they build their own of it.
        importlib.import_module("imagemill.bootstrap.application")
    else:
        _host.slots = None


@signals.worker_ready.connect
def _announce(**_: Any) -> None:
    log.info("%s started", "generator" if INGRESS in _host.queues else "worker")


@signals.worker_process_init.connect
def _begin_child(**_: Any) -> None:
    _host.hold()
    _host.begin()


@signals.worker_process_shutdown.connect
def _end_child(**_: Any) -> None:
    _host.stop_accepting()


@signals.worker_shutting_down.connect
def _stop_claiming(**_: Any) -> None:
    threading.Thread(target=_host.stop_accepting, name="imagemill-stop").start()


@signals.worker_shutdown.connect
def _end(**_: Any) -> None:
    _host.stop_accepting()
