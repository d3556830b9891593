"""The worker of ``generator_queue``: Celery's own command, and how to ask it how it is."""

import os
import socket
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

from imagemill.cli.output import REFUSED, UNUSABLE, Trouble

if TYPE_CHECKING:
    from imagemill.config import Settings

_NAME = "generator-"
_ANSWER_S = 3.0
"""Celery's own process answers whatever its child is at; longer, and it is gone."""


def become_generator(settings: "Settings") -> NoReturn:
    """Raises `Trouble` where there is no broker, or Celery is not installed."""
    _check(settings)
    from imagemill.dispatch.queues import INGRESS

    environment = {
        **os.environ,
        # What a supervisor sends lets the running task go back to the queue, and does not wait for its end.
        "REMAP_SIGTERM": "SIGQUIT",
        "IMAGEMILL_DATA_DIR": str(settings.data_dir),
        "IMAGEMILL_LOG_LEVEL": settings.log_level,
    }
    options = [
        "--queues",
        INGRESS,
        "--concurrency",
        "1",
        "--pool",
        "prefork",
        "--loglevel",
        settings.log_level,
    ]
    quiet = ["--without-gossip", "--without-mingle", "--hostname", f"{_NAME}{os.getpid()}@%h"]
    command = ["-m", "celery", "--quiet", "--app", "imagemill.dispatch.celery", "worker", *options, *quiet]
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *command], environment)  # noqa: S606 - our own interpreter


def ask_generators(settings: "Settings") -> list[str]:
    """The names of this machine's that answer. Raises `Trouble` when there is none."""
    _check(settings)
    from kombu.exceptions import KombuError

    from imagemill.dispatch.brokered import make_app

    app: Any = make_app(settings)
    try:
        with app.connection_for_write(connect_timeout=_ANSWER_S) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_ANSWER_S)
            answers = app.control.ping(timeout=_ANSWER_S, connection=connection)
    except (KombuError, OSError) as error:
        raise Trouble(f"the broker does not answer: {error}", REFUSED) from error
    here = f"@{socket.gethostname()}"
    found = sorted(
        name for answer in answers for name in answer if name.startswith(_NAME) and name.endswith(here)
    )
    if not found:
        raise Trouble("no worker of generator_queue answers; start one with `imagemill generator`", REFUSED)
    return found


def _check(settings: "Settings") -> None:
    if settings.broker_url is None:
        raise Trouble("generator_queue needs a broker: set IMAGEMILL_BROKER_URL", UNUSABLE)
    if find_spec("celery") is None:
        raise Trouble("celery is not installed; pip install 'imagemill[celery]'", UNUSABLE)
