"""Celery's consumer without what wake-ups never need."""

from typing import Any

from celery.worker import consumer  # pyright: ignore[reportMissingTypeStubs] - Celery has none

_base: Any = consumer.Consumer
_DELAYED = "celery.worker.consumer.delayed_delivery:DelayedDelivery"
"""Where it finds quorum queues it declares 28 more of them, for tasks with a time: tokens have none."""


class Consumer(_base):
    class Blueprint(_base.Blueprint):
        default_steps = [step for step in _base.Blueprint.default_steps if step != _DELAYED]
