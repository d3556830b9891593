"""Running a process of Imagemill without HTTP, and with nothing loaded that only HTTP needs."""

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
from imagemill.cli.startup import build, check_queues
from imagemill.observability import logs
from imagemill.observability.collectors import MetricsPortTaken

if TYPE_CHECKING:
    from imagemill.config import Settings

log = logging.getLogger("imagemill.cli")


def run_quietly(settings: "Settings", which: str, *, queues: str | None) -> None:
    """``scheduler`` or ``worker``: no HTTP. A signal ends it in order, a second one at once."""
    logs.configure(settings.log_level, settings.log_format)
    chosen = None if queues is None else frozenset(name.strip() for name in queues.split(",") if name.strip())
    worker = which == "worker"
    app = build(settings, Roles(api=False, scheduler=not worker, worker=worker, queues=chosen))
    check_queues(app, chosen)
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            stop_at_once(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    _start(app)
    tune_gc()
    startup.working(app, which)
    stop.wait()
    startup.stopping(app)
    app.close()
    log.info("stopped")


def _start(app: Application) -> None:
    """Raises `CliError` when the port for metrics is taken; the mill is closed then."""
    try:
        app.start()
    except MetricsPortTaken as error:
        app.close()
        raise CliError(str(error), UNUSABLE) from error


def tune_gc() -> None:
    """Once a process has started: what it has by then is no garbage. Turns the collector on."""
    gc.freeze()
    # What a job leaves behind is freed by counting; looking for circles 700 objects at a time is waste.
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def stop_at_once(number: int) -> None:
    """Without any farewell. The next start takes unfinished jobs up again, as after a crash."""
    sys.stderr.write("stopped at once; unfinished jobs go on at the next start\n")
    sys.stderr.flush()
    os._exit(128 + number)
