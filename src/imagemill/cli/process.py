"""Running a process of Imagemill from its start to its orderly end."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from imagemill import logs
from imagemill.bootstrap import Mill, Roles, application
from imagemill.cli import announcing
from imagemill.cli.building import build, check_queues
from imagemill.cli.listening import check_guarded, check_host, listen, url_of
from imagemill.cli.output import UNUSABLE, Trouble
from imagemill.metrics.serving import MetricsPortTaken
from imagemill.service.services import SocketRules
from imagemill.web import sockets
from imagemill.web.connections import Connection

if TYPE_CHECKING:
    from imagemill.config import Settings

log = logging.getLogger("imagemill.cli")


def run_http(settings: "Settings", which: str) -> None:
    """``serve`` or ``api``, until a signal. Raises `Trouble` when it cannot start."""
    logs.configure(settings.log_level, settings.log_format)
    host = check_host(settings.host)
    check_guarded(settings)
    sock = listen(host, settings.port)
    whole = which == "serve"
    mill = build(settings, Roles(api=True, scheduler=whole, worker=whole))
    server = Server(mill, sock)
    # uvicorn raises the signals it took again after its end; by then there is nothing left to interrupt.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run([sock])
    if not server.started:
        raise Trouble("the server did not start: see the log above")


def run_quietly(settings: "Settings", which: str, *, queues: str | None) -> None:
    """``scheduler`` or ``worker``: no HTTP. A signal ends it in order, a second one at once."""
    logs.configure(settings.log_level, settings.log_format)
    chosen = None if queues is None else frozenset(name.strip() for name in queues.split(",") if name.strip())
    worker = which == "worker"
    mill = build(settings, Roles(api=False, scheduler=not worker, worker=worker, queues=chosen))
    check_queues(mill, chosen)
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            stop_at_once(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    _start(mill)
    announcing.working(mill, which)
    stop.wait()
    announcing.stopping(mill)
    mill.close()
    log.info("stopped")


def _start(mill: Mill) -> None:
    """Raises `Trouble` when the port for metrics is taken; the mill is closed then."""
    try:
        mill.start()
    except MetricsPortTaken as error:
        mill.close()
        raise Trouble(str(error), UNUSABLE) from error


def run_reloading(settings: "Settings", which: str, given: dict[str, Any]) -> None:
    """Started again by uvicorn whenever our code changes; options reach it through the environment."""
    host = check_host(settings.host)
    check_guarded(settings)
    listen(host, settings.port).close()  # for the message when the port is in use
    for name, value in given.items():
        if value is not None:
            os.environ[f"IMAGEMILL_{name.upper()}"] = str(value)
    os.environ.setdefault("IMAGEMILL_SHUTDOWN_GRACE_S", "0")  # a change does not wait for running jobs
    logs.configure(settings.log_level, settings.log_format)
    gc.enable()  # what is started again is a process of its own
    log.info("listening on port %d, starting again when our code changes", settings.port)
    uvicorn.run(
        f"imagemill.cli.factory:{which}",
        factory=True,
        reload=True,
        reload_dirs=[os.path.dirname(os.path.dirname(os.path.abspath(__file__)))],
        port=settings.port,
        timeout_graceful_shutdown=1,
        **_wire(settings, host),
    )


def stop_at_once(number: int) -> None:
    """Without any farewell. The next start takes unfinished jobs up again, as after a crash."""
    sys.stderr.write("stopped at once; unfinished jobs go on at the next start\n")
    sys.stderr.flush()
    os._exit(128 + number)


class Server(uvicorn.Server):
    """uvicorn with our beginning (an announcement) and end.

    From the first signal on nothing is accepted and nothing claimed; requests and streams are held while the
    running jobs finish, so that they see the end; then they are let go.
    """

    def __init__(self, mill: Mill, sock: socket.socket) -> None:
        grace_s = mill.settings.shutdown_grace_s
        super().__init__(
            uvicorn.Config(
                application(mill),
                lifespan="on",
                timeout_graceful_shutdown=round(grace_s + 10),
                **_wire(mill.settings, sock.getsockname()[0]),
            )
        )
        self._mill = mill
        self._sock = sock

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        url = url_of(self._sock)
        await super().startup(sockets)
        gc.freeze()
        # What a job leaves behind is freed by counting; looking for circles 700 objects at a time is waste.
        gc.set_threshold(20_000, 20, 20)
        gc.enable()
        if self.started:
            announcing.listening(self._mill, url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            stop_at_once(sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        announcing.stopping(self._mill)
        letting_go = asyncio.create_task(self._let_go())
        await super().shutdown(sockets)
        letting_go.cancel()
        log.info("stopped")

    async def _let_go(self) -> None:
        await asyncio.to_thread(self._mill.drain)


def _wire(settings: "Settings", host: str) -> dict[str, Any]:
    """How uvicorn speaks: its fast parts, no access log, no header that names it, no proxy by itself."""
    return {
        "host": host,
        "loop": "auto",
        "http": partial(Connection, head_s=settings.limit.head_s, answer_s=settings.limit.answer_s),
        "proxy_headers": False,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "backlog": 2048,
        **sockets.wire(SocketRules(**settings.socket.model_dump())),
    }
