"""Runs a process that serves HTTP, from its start to its graceful shutdown."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import threading
import time
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from imagemill.bootstrap.application import Application, Roles, application
from imagemill.cli import startup
from imagemill.cli.output import UNUSABLE, CliError, load_settings
from imagemill.cli.siblings import SiblingProcesses, count_processes, end_with
from imagemill.cli.startup import build
from imagemill.cli.worker_process import stop_at_once, tune_gc
from imagemill.net import pools
from imagemill.observability import logs
from imagemill.web import websockets
from imagemill.web.connections import Connection

if TYPE_CHECKING:
    from imagemill.config import Settings

log = logging.getLogger("imagemill.cli")

_BACKLOG = 2048


def check_host(host: str) -> str:
    """Return the numeric address. Raises `CliError` for a host name."""
    name = host.strip().strip("[]")
    if name.lower().rstrip(".") == "localhost":
        return "127.0.0.1"
    try:
        return str(ip_address(name))
    except ValueError:
        raise CliError(
            f"IMAGEMILL_HOST: {host!r} is not an IP address; write one such as 192.168.1.5, "
            "0.0.0.0 or :: for all addresses, or localhost",
            UNUSABLE,
        ) from None


def require_credentials(settings: "Settings") -> None:
    """Raises `CliError` if other machines could reach a server that requires no key, unless it is a mock that
    is open on purpose."""
    from imagemill.bootstrap.build import is_loopback
    from imagemill.cli.startup import has_credentials

    auth = settings.auth
    if is_loopback(settings.host) or auth.admin_key is not None or auth.required == "always":
        return
    if has_credentials(settings):
        return
    if auth.required == "open":
        _check_open(settings)
        return
    raise CliError(
        f"{settings.host!r} can be reached from other machines, but no API key exists that they would need",
        UNUSABLE,
        details=(
            "Create a key, then start again:",
            "    imagemill keys create --owner ops --role admin --create",
            "or set IMAGEMILL_AUTH__ADMIN_KEY to 32 or more random characters,",
            "or listen on loopback, and open a tunnel from the other machine:",
            f"    ssh -L {settings.port}:127.0.0.1:{settings.port} you@this-machine",
        ),
    )


def _check_open(settings: "Settings") -> None:
    """Warn of an open server. Raises `CliError` if it could spend money."""
    if settings.fal.key is not None:
        raise CliError(
            "IMAGEMILL_AUTH__REQUIRED=open is for mocks, but FAL_KEY is set: any caller could spend money",
            UNUSABLE,
            details=("Remove FAL_KEY, or remove IMAGEMILL_AUTH__REQUIRED and create a key.",),
        )
    log.warning(
        "no key is needed on %s: whoever reaches this server may read and change everything. Use "
        "IMAGEMILL_AUTH__REQUIRED=open only in a private test network",
        settings.host,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises `CliError` if the port is in use or not permitted."""
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
        raise _listen_error(address, port, error) from error
    return sock


def url_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen_error(address: str, port: int, error: OSError) -> CliError:
    import errno

    if error.errno == errno.EADDRINUSE:
        return CliError(
            f"port {port} on {address} is in use by another program",
            UNUSABLE,
            details=(
                f"Is Imagemill running already? Check: imagemill health --url http://127.0.0.1:{port}",
                f"Or use another port: --port {port % 65535 + 1}, or --port 0 for any free one.",
            ),
        )
    if error.errno == errno.EACCES:
        return CliError(
            f"this user may not listen on port {port}; use one above 1023, such as --port 8700",
            UNUSABLE,
        )
    return CliError(f"cannot listen on {address} port {port}: {error.strerror or error}", UNUSABLE)


def run_http(
    settings: "Settings",
    command: str,
    ready_file: Path | None = None,
    *,
    generates_key: bool = False,
    opens: bool = False,
) -> None:
    """Run ``serve`` or ``api`` until a signal. Raises `CliError` if it cannot start.

    ``ready_file`` holds the address as JSON while the server answers. ``generates_key``: an administrator's
    key is made if a key is needed and none exists. ``opens``: the console is opened in a browser.
    """
    logs.configure(settings.log_level, settings.log_format)
    host = check_host(settings.host)
    if generates_key:
        settings = startup.with_generated_key(settings)
    require_credentials(settings)
    if ready_file is not None:
        startup.remove_ready_file(ready_file)
    sock = listen(host, settings.port)
    is_whole = command == "serve"
    counts = count_processes(settings.processes if is_whole else 1)
    app = build(settings, Roles(api=True, scheduler=is_whole, worker=is_whole and counts.is_one))
    siblings = None if counts.is_one else SiblingProcesses(settings, counts, sock)
    try:
        if siblings is not None:
            siblings.start()
        _run(Server(app, sock, ready_file, opens=opens, siblings=siblings))
    finally:
        if siblings is not None:
            siblings.close()
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


def run_sibling(settings: "Settings", ends_with: int, descriptor: int) -> None:
    """Run an API process that another one has started, on its listening socket, as long as that one runs."""
    logs.configure(settings.log_level, settings.log_format)
    sock = socket.socket(fileno=descriptor)
    app = build(settings, Roles(api=True, scheduler=False, worker=False))
    server = Server(app, sock, is_sibling=True)
    end_with(ends_with, lambda: server.handle_exit(signal.SIGTERM, None))
    _run(server)


def _run(server: "Server") -> None:
    # uvicorn raises the signals that it handled again after it has stopped, when nothing is left to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run([server.sock])
    if not server.started:
        raise CliError("the server did not start: see the log above")


def run_reloading(settings: "Settings", command: str, given: dict[str, Any]) -> None:
    """Run a server that uvicorn restarts when our code changes; options are passed by the environment."""
    host = check_host(settings.host)
    require_credentials(settings)
    listen(host, settings.port).close()  # reports a port that is in use
    for name, value in given.items():
        if value is not None:
            os.environ[f"IMAGEMILL_{name.upper()}"] = str(value)
    os.environ.setdefault("IMAGEMILL_SHUTDOWN_GRACE_S", "0")  # a change does not wait for running jobs
    logs.configure(settings.log_level, settings.log_format)
    gc.enable()  # uvicorn starts the server in a child process
    log.info("listening on port %d, restarting when Imagemill's code changes", settings.port)
    uvicorn.run(
        f"imagemill.cli.server:{command}",
        factory=True,
        reload=True,
        reload_dirs=[os.path.dirname(os.path.dirname(os.path.abspath(__file__)))],
        port=settings.port,
        timeout_graceful_shutdown=1,
        **_uvicorn_options(settings, host),
    )


class Server(uvicorn.Server):
    """uvicorn with our start message and graceful shutdown.

    After the first signal no connection is accepted and no job is claimed. Requests and streams stay open
    until the running jobs have finished, so that clients get their results; then they are closed.
    """

    def __init__(
        self,
        app: Application,
        sock: socket.socket,
        ready_file: Path | None = None,
        *,
        opens: bool = False,
        siblings: SiblingProcesses | None = None,
        is_sibling: bool = False,
    ) -> None:
        grace_s = app.settings.shutdown_grace_s
        super().__init__(
            uvicorn.Config(
                application(app),
                lifespan="on",
                timeout_graceful_shutdown=round(grace_s + 10),
                **_uvicorn_options(app.settings, sock.getsockname()[0]),
            )
        )
        self._app = app
        self.sock = sock
        self._ready_file = ready_file
        self._opens = opens
        self._siblings = siblings
        self._is_sibling = is_sibling
        self._exit_asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        url = url_of(self.sock)
        await super().startup(sockets)
        tune_gc()
        if self.started and self._is_sibling:
            startup.report_working(self._app, "api")
        elif self.started:
            startup.report_listening(self._app, url)
            if self._ready_file is not None:
                startup.write_ready_file(self._ready_file, url)
            if self._opens:
                # Some browsers run as long as the call that opens them.
                opening = threading.Thread(target=startup.open_console, args=(self._app, url), daemon=True)
                opening.start()

    async def main_loop(self) -> None:
        """Refresh the date of answers each second, as uvicorn does, which wakes up ten times for it."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._exit_asked.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGINT and self._is_sibling:
            return  # a terminal's Ctrl-C reaches all processes, and the first one ends the others
        if self.should_exit:
            stop_at_once(sig)
        super().handle_exit(sig, frame)
        # A signal's handler may run between any two steps of the loop.
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._exit_asked.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        startup.report_stopping(self._app)
        draining = asyncio.create_task(pools.lifecycle(self._drain))
        await super().shutdown(sockets)
        draining.cancel()
        log.info("stopped")

    def _drain(self) -> None:
        # Clients wait for the jobs that the workers are at.
        if self._siblings is not None:
            self._siblings.stop_workers()
        self._app.drain()


def _uvicorn_options(settings: "Settings", host: str) -> dict[str, Any]:
    """Return uvicorn's options: no access log, no Server header and no proxy headers, which we handle."""
    return {
        "host": host,
        "loop": "auto",
        "http": partial(Connection, head_s=settings.limit.head_s, answer_s=settings.limit.answer_s),
        "proxy_headers": False,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "backlog": _BACKLOG,
        **websockets.wire(),
    }


def serve() -> Any:
    """Return the application of ``serve --reload``."""
    return _create_application(scheduler=True, worker=True)


def api() -> Any:
    """Return the application of ``api --reload``."""
    return _create_application(scheduler=False, worker=False)


def _create_application(*, scheduler: bool, worker: bool) -> Any:
    started_at = time.perf_counter()
    settings = load_settings()
    logs.configure(settings.log_level, settings.log_format)
    app = application(Application(settings, Roles(api=True, scheduler=scheduler, worker=worker)))
    log.info("loaded", extra={"ms": round((time.perf_counter() - started_at) * 1000)})
    return app
