"""Running a process of Imagemill that answers HTTP from its start to its orderly end."""

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from functools import partial
from ipaddress import ip_address
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from imagemill.bootstrap.application import Application, Roles, application
from imagemill.cli import startup
from imagemill.cli.output import UNUSABLE, CliError
from imagemill.cli.startup import build
from imagemill.cli.worker_process import stop_at_once, tune_gc
from imagemill.observability import logs
from imagemill.web import websockets
from imagemill.web.connections import Connection

if TYPE_CHECKING:
    from imagemill.config import Settings

_BACKLOG = 2048


def check_host(host: str) -> str:
    """The numeric address. Raises `CliError` for what is none."""
    name = host.strip().strip("[]")
    if name.lower().rstrip(".") == "localhost":
        return "127.0.0.1"
    try:
        return str(ip_address(name))
    except ValueError:
        raise CliError(
            f"IMAGEMILL_HOST: {host!r} is no address; write one in numbers, such as 192.168.1.5, "
            "0.0.0.0 or :: for all, or localhost",
            UNUSABLE,
        ) from None


def check_guarded(settings: "Settings") -> None:
    """Raises `CliError`, with what to do, where others could reach a server that asks nobody."""
    from imagemill.bootstrap.build import is_loopback
    from imagemill.cli.startup import has_credentials

    auth = settings.auth
    if is_loopback(settings.host) or auth.admin_key is not None or auth.required == "always":
        return
    if has_credentials(settings):
        return
    raise CliError(
        f"{settings.host!r} can be reached from other machines, and there is no key that callers could be "
        "asked for",
        UNUSABLE,
        details=(
            "Make one, then start again:",
            "    imagemill keys create --owner ops --role admin",
            "or set IMAGEMILL_AUTH__ADMIN_KEY to 32 random characters or more,",
            "or listen on loopback, and make a tunnel on the other machine:",
            f"    ssh -L {settings.port}:127.0.0.1:{settings.port} you@this-machine",
        ),
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `CliError` with what to do when the port is in use or may not be had."""
    address = check_host(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        # Two servers may bind the same port this way, but only one of them can listen.
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise _refusal(address, port, error) from error
    return sock


def url_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refusal(address: str, port: int, error: OSError) -> CliError:
    import errno

    if error.errno == errno.EADDRINUSE:
        return CliError(
            f"port {port} on {address} is in use by another program",
            UNUSABLE,
            details=(
                f"Is Imagemill running already? Look: imagemill health --url http://127.0.0.1:{port}",
                f"Else take another: --port {port % 65535 + 1}, or --port 0 for any free one.",
            ),
        )
    if error.errno == errno.EACCES:
        return CliError(
            f"port {port} may not be listened on by this user; take one above 1023, such as --port 8700",
            UNUSABLE,
        )
    return CliError(f"{address} port {port} cannot be listened on: {error.strerror or error}", UNUSABLE)


log = logging.getLogger("imagemill.cli")


def run_http(settings: "Settings", which: str) -> None:
    """``serve`` or ``api``, until a signal. Raises `CliError` when it cannot start."""
    logs.configure(settings.log_level, settings.log_format)
    host = check_host(settings.host)
    check_guarded(settings)
    sock = listen(host, settings.port)
    whole = which == "serve"
    app = build(settings, Roles(api=True, scheduler=whole, worker=whole))
    server = Server(app, sock)
    # uvicorn raises the signals it took again after its end; by then there is nothing left to interrupt.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run([sock])
    if not server.started:
        raise CliError("the server did not start: see the log above")


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
        f"imagemill.cli.server:{which}",
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

    def __init__(self, app: Application, sock: socket.socket) -> None:
        grace_s = app.settings.shutdown_grace_s
        super().__init__(
            uvicorn.Config(
                application(app),
                lifespan="on",
                timeout_graceful_shutdown=round(grace_s + 10),
                **_wire(app.settings, sock.getsockname()[0]),
            )
        )
        self._app = app
        self._sock = sock

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        url = url_of(self._sock)
        await super().startup(sockets)
        tune_gc()
        if self.started:
            startup.listening(self._app, url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            stop_at_once(sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        startup.stopping(self._app)
        letting_go = asyncio.create_task(self._let_go())
        await super().shutdown(sockets)
        letting_go.cancel()
        log.info("stopped")

    async def _let_go(self) -> None:
        await asyncio.to_thread(self._app.drain)


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
        **websockets.wire(),
    }


def serve() -> Any:
    return _application(scheduler=True, worker=True)


def api() -> Any:
    return _application(scheduler=False, worker=False)


def _application(*, scheduler: bool, worker: bool) -> Any:
    import logging

    from imagemill.bootstrap.application import Application, Roles, application
    from imagemill.cli.output import load_settings
    from imagemill.observability import logs

    began = time.perf_counter()
    settings = load_settings()
    logs.configure(settings.log_level, settings.log_format)
    app = application(Application(settings, Roles(api=True, scheduler=scheduler, worker=worker)))
    log = logging.getLogger("imagemill.cli")
    log.info("loaded", extra={"ms": round((time.perf_counter() - began) * 1000)})
    return app
