"""Running a process of Imagemill that answers HTTP from its start to its orderly end."""

import asyncio
import gc
import logging
import os
import signal
import socket
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from imagemill import logs
from imagemill.bootstrap import Mill, Roles, application
from imagemill.cli import announcing
from imagemill.cli.background import settle, stop_at_once
from imagemill.cli.building import build
from imagemill.cli.listening import check_guarded, check_host, listen, url_of
from imagemill.cli.output import Trouble
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
        settle()
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
