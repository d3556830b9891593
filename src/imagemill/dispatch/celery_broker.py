"""The Celery application (queues, limits and tasks, from the settings), and a broker client that uses it.

Imported only where Celery is used.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celery import Celery  # pyright: ignore[reportMissingTypeStubs] - Celery has none
from celery.exceptions import Reject  # pyright: ignore[reportMissingTypeStubs] - Celery has none
from kombu.entity import Exchange, Queue
from kombu.exceptions import KombuError

from imagemill.dispatch.base import BROKERED, FALLBACK, INGRESS
from imagemill.dispatch.fleet import BrokerUnavailable
from imagemill.domain.errors import ShuttingDown

if TYPE_CHECKING:
    from imagemill.config import Settings

log = logging.getLogger(__name__)

Work = Callable[[str], int]
"""Handles a wake-up of this broker queue; returns the number of jobs it ran."""

_CONNECT_S = 2.0
_ANSWER_S = 5.0
"""Seconds after which a broker counts as unavailable. The sender must not block; the jobs are in the
database."""


def task_name(queue: str) -> str:
    """Return the name of the task, as Flower shows it."""
    return f"imagemill.run.{'other' if queue == FALLBACK else queue}"


def make_app(settings: "Settings", work: Work | None = None) -> Celery:
    """Build the application. ``work`` is None in a process that only sends."""
    app: Any = Celery("imagemill", set_as_current=False)
    app.conf.update(_configuration(settings))
    if work is not None:
        for queue in BROKERED:
            _add_task(app, queue, work)
    return app


def _add_task(app: Any, queue: str, work: Work) -> None:
    def run() -> str:
        ran = work(queue)
        return f"{ran} {'job' if ran == 1 else 'jobs'}"

    # Otherwise Celery adds the task to every application of the process, also to those that only send.
    app.task(name=task_name(queue), shared=False)(run)


POSITIONAL = "*"
"""The key of a task's arguments without names, which the product gives names."""

RunTask = Callable[[str, str, str, dict[str, Any]], dict[str, Any]]
"""Runs a product's task: product, task name, task id, arguments. Raises `ShuttingDown`."""


def add_tasks(
    app: Celery, settings: "Settings", names: Mapping[str, Sequence[str]], run_task: RunTask
) -> None:
    """Add the tasks that applications send; ``names`` are the tasks' names by product."""
    configured: Any = app
    if (results := result_url(settings)) is not None:
        configured.conf.update(
            result_backend=results,
            result_expires=round(settings.celery.result_days * 86_400),
            # A result store that is away for a moment must not lose what was paid for.
            result_backend_always_retry=True,
            result_backend_max_retries=10,
        )
    for product, tasks in names.items():
        for name in tasks:
            _add_product_task(configured, product, name, run_task)


def result_url(settings: "Settings") -> str | None:
    """Return the address that results are sent to; None means that none are kept, as RabbitMQ keeps none."""
    if settings.celery.result_url is not None:
        return settings.celery.result_url.get_secret_value()
    broker = settings.broker or ""
    return broker if broker.startswith(("redis://", "rediss://")) else None


def _add_product_task(app: Any, product: str, name: str, run_task: RunTask) -> None:
    def run(self: Any, *positional: Any, **given: Any) -> dict[str, Any]:
        arguments = {POSITIONAL: list(positional), **given} if positional else given
        try:
            return run_task(product, name, self.request.id, arguments)
        except ShuttingDown as stopping:
            log.info("task %s %s returns to the queue: this worker stops", name, self.request.id)
            raise Reject("this worker stops", requeue=True) from stopping

    app.task(name=name, bind=True, shared=False, ignore_result=False)(run)


def _configuration(settings: "Settings") -> dict[str, Any]:
    celery = settings.celery
    arguments = {"x-queue-type": "quorum"} if celery.quorum_queues else None
    return {
        "broker_url": settings.broker,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": _transport(settings),
        "task_default_queue": FALLBACK,
        "task_queues": [
            *(Queue(name, Exchange(name), routing_key=name, queue_arguments=arguments) for name in BROKERED),
            # Declared exactly as by an application that only states the name; brokers refuse a different one.
            Queue(INGRESS, Exchange(INGRESS), routing_key=INGRESS),
        ],
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_time_limit": celery.time_limit_s,
        "task_soft_time_limit": celery.soft_time_limit_s,
        "worker_prefetch_multiplier": celery.prefetch,
        "worker_max_tasks_per_child": celery.max_tasks_per_child,
        "worker_consumer": "imagemill.dispatch.celery_consumer:Consumer",
        "worker_proc_alive_timeout": 60.0,  # a child builds the whole application before it is ready
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": celery.events,
        "task_send_sent_event": celery.events,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }


def _transport(settings: "Settings") -> dict[str, Any]:
    """Return the options for the broker's kind; the other kind would not understand them."""
    if not (settings.broker or "").startswith(("redis", "sentinel")):
        return {"confirm_publish": True}
    return {
        # Seconds after which Redis redelivers an unacknowledged message; must be longer than every task.
        "visibility_timeout": settings.celery.time_limit_s + settings.shutdown_grace_s + 300,
        "socket_connect_timeout": _CONNECT_S,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }


class CeleryBroker:
    """Sends wake-ups over a connection of its own; for use by one thread."""

    def __init__(self, app: Celery) -> None:
        self._app: Any = app
        self._connection: Any = None
        self._queues: dict[str, Any] = {}

    def pending(self, queue: str) -> int:
        return self._use_connection(lambda connection: self._count_ready(connection, queue))

    def post(self, queue: str) -> None:
        self._use_connection(lambda connection: self._post(connection, queue))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.release()

    def _count_ready(self, connection: Any, queue: str) -> int:
        """Return the number of ready messages; declaring an existing queue again changes nothing and returns
        it."""
        if queue not in self._queues:
            self._queues[queue] = self._app.amqp.queues[queue](connection.default_channel)
            self._queues[queue].declare()
        return self._queues[queue].queue_declare().message_count

    def _post(self, connection: Any, queue: str) -> None:
        self._app.send_task(
            task_name(queue),
            queue=queue,
            producer=self._app.amqp.Producer(connection, auto_declare=False),
            ignore_result=True,
            retry=False,
        )

    def _use_connection(self, use: Callable[[Any], Any]) -> Any:
        connection = self._connection or self._connect()
        try:
            return use(connection)
        except _connection_errors(connection) as error:
            self._connection = None
            self._queues.clear()
            connection.release()
            raise BrokerUnavailable(str(error)) from error

    def _connect(self) -> Any:
        options = {**self._app.conf.broker_transport_options, "socket_timeout": _ANSWER_S}
        connection: Any = self._app.connection_for_write(
            connect_timeout=_CONNECT_S, transport_options=options, heartbeat=0
        )
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_CONNECT_S)
        except _connection_errors(connection) as error:
            connection.release()
            raise BrokerUnavailable(str(error)) from error
        self._connection = connection
        return connection


def _connection_errors(connection: Any) -> tuple[type[Exception], ...]:
    """Return the errors of a transport and its driver when the broker is gone or refuses."""
    return (
        *connection.recoverable_connection_errors,
        *connection.recoverable_channel_errors,
        KombuError,
        OSError,
    )
