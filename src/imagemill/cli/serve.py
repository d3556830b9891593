"""The commands that start processes: ``serve``, ``api``, ``scheduler``, ``worker``, ``generator``."""

import gc
import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from imagemill.cli.output import (
    REFUSED,
    UNUSABLE,
    CliError,
    DataDir,
    Host,
    LogLevel,
    Port,
    Printer,
    Profile,
    Reload,
    load_settings,
)

if TYPE_CHECKING:
    from imagemill.config import Settings

ReadyFile = Annotated[
    Path | None,
    typer.Option(
        "--ready-file",
        dir_okay=False,
        help="Write the address as JSON to this file once the server answers; it is deleted at the end.",
    ),
]


EndsWith = Annotated[int | None, typer.Option("--ends-with", hidden=True)]
"""The pipe of the process that started this one as a part of itself: see `imagemill.cli.siblings`."""

Open = Annotated[
    bool,
    typer.Option(
        "--open", help="Open the console in a browser; where keys exist, signed in by a one-time link."
    ),
]


def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    reload: Reload = False,
    ready_file: ReadyFile = None,
    generate_key: Annotated[
        bool,
        typer.Option(
            "--generate-key",
            help="Generate an administrator's key if none exists, print it, and keep it in the data folder.",
        ),
    ] = False,
    open_: Open = False,
    processes: Annotated[
        str | None,
        typer.Option(
            "--processes",
            metavar="N|auto",
            help="Share the work among so many processes; auto: one a core. Default: 1.",
        ),
    ] = None,
    log_level: LogLevel = None,
    profile: Profile = None,
) -> None:
    """Run everything: console, API, scheduler and workers, in one process or in several."""
    given = {"host": host, "port": port, "data_dir": data_dir, "log_level": log_level, "profile": profile}
    _run_http("serve", reload, ready_file, generate_key, opens=open_, processes=processes, **given)


def api(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    reload: Reload = False,
    ready_file: ReadyFile = None,
    open_: Open = False,
    ends_with: EndsWith = None,
    socket_: Annotated[int | None, typer.Option("--socket", hidden=True)] = None,
    log_level: LogLevel = None,
    profile: Profile = None,
) -> None:
    """Run the console and the HTTP API alone; scheduler and workers run in other processes."""
    given = {"host": host, "port": port, "data_dir": data_dir, "log_level": log_level, "profile": profile}
    if ends_with is not None and socket_ is not None:
        _run_sibling_api(ends_with, socket_, **given)
    else:
        _run_http("api", reload, ready_file, generates_key=False, opens=open_, **given)


def scheduler(data_dir: DataDir = None, log_level: LogLevel = None, profile: Profile = None) -> None:
    """Run the scheduler alone: it ends lost leases, retries and expires jobs, and sends callbacks."""
    _run_without_http("scheduler", data_dir=data_dir, log_level=log_level, profile=profile)


def worker(
    queues: Annotated[
        str | None,
        typer.Option(
            "--queues", help="Comma-separated queues to take jobs from, such as gpu,render. Default: all."
        ),
    ] = None,
    data_dir: DataDir = None,
    ends_with: EndsWith = None,
    log_level: LogLevel = None,
    profile: Profile = None,
) -> None:
    """Run workers alone: they claim jobs and render them."""
    given = {"data_dir": data_dir, "log_level": log_level, "profile": profile}
    _run_without_http("worker", queues, ends_with, **given)


def _run_without_http(
    command: Literal["scheduler", "worker"],
    queues: str | None = None,
    ends_with: int | None = None,
    **given: Any,
) -> None:
    _disable_gc()
    with Printer().reporting():
        settings = load_settings(**given)
        from imagemill.cli.worker_process import run_without_http

        run_without_http(settings, command, queues=queues, ends_with=ends_with)


def _run_sibling_api(ends_with: int, socket_: int, **given: Any) -> None:
    _disable_gc()
    with Printer().reporting():
        settings = load_settings(**given)
        _load_framework()
        from imagemill.cli.server import run_sibling

        run_sibling(settings, ends_with, socket_)


def generator(data_dir: DataDir = None, log_level: LogLevel = None, profile: Profile = None) -> None:
    """Run the Celery worker of generator_queue, for tasks that applications send."""
    with Printer().reporting():
        _exec_celery(load_settings(data_dir=data_dir, log_level=log_level, profile=profile))


def _run_http(
    command: Literal["serve", "api"],
    reload: bool,
    ready_file: Path | None,
    generates_key: bool,
    *,
    opens: bool,
    processes: str | None = None,
    **given: Any,
) -> None:
    _disable_gc()
    with Printer().reporting():
        settings = load_settings(**given, processes=processes)
        if reload and ready_file is not None:
            raise CliError("--ready-file cannot be used with --reload", UNUSABLE)
        if reload and generates_key:
            raise CliError("--generate-key cannot be used with --reload", UNUSABLE)
        if reload and opens:
            raise CliError("--open cannot be used with --reload", UNUSABLE)
        if reload and settings.processes != 1:
            raise CliError("--processes cannot be used with --reload", UNUSABLE)
        _load_framework()
        from imagemill.cli import server

        if reload:
            server.run_reloading(settings, command, given)
        else:
            server.run_http(settings, command, ready_file, generates_key=generates_key, opens=opens)


def _load_framework() -> None:
    from imagemill.web.framework import load_framework

    load_framework()


def _disable_gc() -> None:
    # Objects created at start live as long as the process, so collecting garbage wastes a tenth of the
    # start-up time. The collector is enabled again once the process has started.
    gc.disable()


_NAME_PREFIX = "generator-"
_PING_TIMEOUT_S = 3.0
"""Celery's parent process answers even while its child runs a task; one that takes longer is gone."""


def _exec_celery(settings: "Settings") -> NoReturn:
    """Replace this process by a Celery worker. Raises `CliError` without a broker or without Celery."""
    _check_celery(settings)
    from imagemill.dispatch.base import INGRESS

    environment = {
        **os.environ,
        "IMAGEMILL_DATA_DIR": str(settings.data_dir),
        "IMAGEMILL_LOG_LEVEL": settings.log_level,
        **({"IMAGEMILL_PROFILE": settings.profile} if settings.profile else {}),
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
    quiet = ["--without-gossip", "--without-mingle", "--hostname", f"{_NAME_PREFIX}{os.getpid()}@%h"]
    command = ["-m", "celery", "--quiet", "--app", "imagemill.dispatch.celery", "worker", *options, *quiet]
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *command], environment)  # noqa: S606 - our own interpreter


def ping_generators(settings: "Settings") -> list[str]:
    """Return the names of this machine's workers that answer. Raises `CliError` if none does."""
    _check_celery(settings)
    from kombu.exceptions import KombuError

    from imagemill.dispatch.celery_broker import make_app

    app: Any = make_app(settings)
    try:
        with app.connection_for_write(connect_timeout=_PING_TIMEOUT_S) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_PING_TIMEOUT_S)
            answers = app.control.ping(timeout=_PING_TIMEOUT_S, connection=connection)
    except (KombuError, OSError) as error:
        raise CliError(f"the broker does not answer: {error}", REFUSED) from error
    here = f"@{socket.gethostname()}"
    found = sorted(
        name for answer in answers for name in answer if name.startswith(_NAME_PREFIX) and name.endswith(here)
    )
    if not found:
        raise CliError("no worker of generator_queue answers; start one with `imagemill generator`", REFUSED)
    return found


def _check_celery(settings: "Settings") -> None:
    if settings.broker_url is None:
        raise CliError("generator_queue needs a broker: set IMAGEMILL_BROKER_URL", UNUSABLE)
    if find_spec("celery") is None:
        raise CliError("Celery is not installed: pip install 'imagemill[celery]'", UNUSABLE)
