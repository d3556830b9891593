"""Runs a scheduler or a worker: a process without HTTP that imports nothing which only HTTP needs."""

import gc
import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

from imagemill.bootstrap.application import Application, Roles
from imagemill.cli import startup
from imagemill.cli.output import UNUSABLE, CliError
from imagemill.cli.siblings import end_with
from imagemill.cli.startup import build, check_queues
from imagemill.observability import logs
from imagemill.observability.collectors import MetricsPortTaken

if TYPE_CHECKING:
    from imagemill.config import Settings

log = logging.getLogger("imagemill.cli")

_SIGNAL_S = 1.0
"""Seconds after which a signal is noticed that did not interrupt the main thread, as one does that comes just
before that thread begins to wait."""


def run_without_http(
    settings: "Settings", command: str, *, queues: str | None, ends_with: int | None = None
) -> None:
    """Run ``scheduler`` or ``worker``. A signal stops it gracefully, a second one at once.

    ``ends_with``: the read end of a pipe; when its other end is closed, this is as a signal.
    """
    logs.configure(settings.log_level, settings.log_format)
    chosen = None if queues is None else frozenset(name.strip() for name in queues.split(",") if name.strip())
    is_worker = command == "worker"
    app = build(settings, Roles(api=False, scheduler=not is_worker, worker=is_worker, queues=chosen))
    check_queues(app, chosen)
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and ends_with is not None:
            return  # a terminal's Ctrl-C reaches all processes, and the first one ends the others
        if stop.is_set():
            stop_at_once(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    if ends_with is not None:
        end_with(ends_with, lambda: handle(signal.SIGTERM, None))
    _start(app)
    tune_gc()
    startup.report_working(app, command)
    while not stop.wait(_SIGNAL_S):
        pass
    startup.report_stopping(app)
    app.close()
    log.info("stopped")


def _start(app: Application) -> None:
    """Start the application. Closes it and raises `CliError` if the port for metrics is in use."""
    try:
        app.start()
    except MetricsPortTaken as error:
        app.close()
        raise CliError(str(error), UNUSABLE) from error


def tune_gc() -> None:
    """Enable the garbage collector after the start, and exclude the objects that exist by then."""
    gc.freeze()
    # Reference counting frees the objects of a job, so looking for cycles every 700 objects is wasteful.
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def stop_at_once(number: int) -> None:
    """Exit without a shutdown. Unfinished jobs are retried after the next start, as after a crash."""
    sys.stderr.write("stopped at once; unfinished jobs are retried after the next start\n")
    sys.stderr.flush()
    os._exit(128 + number)
