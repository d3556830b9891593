"""The names of the queues, and who serves what."""

from imagemill.domain.scheduling import REMOTE

NAMED = ("gpu", REMOTE, "render")
"""Each has wake-ups of its own."""

FALLBACK = "celery"
"""Wake-ups for jobs of all other queues: of recipes and nodes that bring their own names."""

BROKERED = (*NAMED, FALLBACK)
"""Where wake-ups lie."""

INGRESS = "generator_queue"
"""Where applications that know nothing but Celery leave their tasks; `imagemill generator` takes them. No
other worker may: Celery throws away what a worker has no task for."""


def route(queue: str) -> str:
    """The broker's queue for wake-ups of jobs in ``queue``."""
    return queue if queue in NAMED else FALLBACK


def served(offered: frozenset[str], chosen: frozenset[str] | None) -> frozenset[str]:
    """What a worker that serves the ``chosen`` queues does of those a node offers; None: all."""
    if chosen is None:
        return offered
    return frozenset(queue for queue in offered if queue in chosen or route(queue) in chosen)
