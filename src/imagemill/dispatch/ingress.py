"""The tasks of ``generator_queue``, by the names that applications send them by."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import Celery  # pyright: ignore[reportMissingTypeStubs] - Celery has none
from celery.exceptions import Reject  # pyright: ignore[reportMissingTypeStubs] - Celery has none

from imagemill.dispatch.generating import Answer, Generator, Leaving

if TYPE_CHECKING:
    from imagemill.config import Settings

TASKS = ("generate_model", "batch_generate", "edit_model", "health_check")


def add_tasks(app: Celery, settings: "Settings", generator: Callable[[], Generator]) -> None:
    """``generator`` gives the one of this process."""
    configured: Any = app
    if (results := result_url(settings)) is not None:
        configured.conf.update(
            result_backend=results,
            result_expires=round(settings.celery.result_days * 86_400),
            # A result store that is away for a moment must not lose what was paid for.
            result_backend_always_retry=True,
            result_backend_max_retries=10,
        )
    _add(app, "generate_model", lambda task, given: generator().generate(task, given))
    _add(app, "batch_generate", lambda task, given: generator().batch(task, given))
    _add(app, "edit_model", lambda task, given: generator().edit(task, given))
    _add(app, "health_check", lambda _task, _given: generator().health())


def result_url(settings: "Settings") -> str | None:
    """Where results go; None: nowhere, as RabbitMQ keeps none."""
    broker = settings.broker_url or ""
    return settings.celery.result_url or (broker if broker.startswith(("redis://", "rediss://")) else None)


def _add(app: Any, name: str, act: Callable[[str, dict[str, Any]], Answer]) -> None:
    def run(self: Any, **given: Any) -> Answer:
        try:
            return act(self.request.id, given)
        except Leaving as leaving:
            raise Reject("this worker stops", requeue=True) from leaving

    app.task(name=name, bind=True, shared=False, ignore_result=False)(run)
