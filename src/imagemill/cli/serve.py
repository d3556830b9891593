"""The commands that run: ``serve``, ``api``, ``scheduler``, ``worker``, ``generator``."""

import gc
import os
import socket
import sys
from importlib.util import find_spec
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

Which = Literal["serve", "api"]


def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    reload: Reload = False,
    log_level: LogLevel = None,
    profile: Profile = None,
) -> None:
    """Run everything in one process: API, scheduler and workers."""
    given = {"host": host, "port": port, "data_dir": data_dir, "log_level": log_level, "profile": profile}
    _run_http("serve", reload, **given)


def api(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    reload: Reload = False,
    log_level: LogLevel = None,
    profile: Profile = None,
) -> None:
    """Run the HTTP API alone; other processes schedule and work."""
    given = {"host": host, "port": port, "data_dir": data_dir, "log_level": log_level, "profile": profile}
    _run_http("api", reload, **given)


def scheduler(data_dir: DataDir = None, log_level: LogLevel = None, profile: Profile = None) -> None:
    """Run the scheduler alone: lost leases, retries, expiry, callbacks."""
    _run_quietly("scheduler", data_dir=data_dir, log_level=log_level, profile=profile)


def worker(
    queues: Annotated[
        str | None, typer.Option("--queues", help="Queues to serve, comma-separated, such as gpu,render.")
    ] = None,
    data_dir: DataDir = None,
    log_level: LogLevel = None,
    profile: Profile = None,
) -> None:
    """Run workers alone: claim jobs and render them."""
    _run_quietly("worker", queues, data_dir=data_dir, log_level=log_level, profile=profile)


def _run_quietly(which: Literal["scheduler", "worker"], queues: str | None = None, **given: Any) -> None:
    _put_off_collecting()
    with Printer().reporting():
        settings = load_settings(**given)
        from imagemill.cli.worker_process import run_quietly

        run_quietly(settings, which, queues=queues)


def generator(data_dir: DataDir = None, log_level: LogLevel = None, profile: Profile = None) -> None:
    """Run the worker of generator_queue: tasks that applications send by Celery."""
    with Printer().reporting():
        settings = load_settings(data_dir=data_dir, log_level=log_level, profile=profile)

        exec_celery(settings)


def _run_http(which: Which, reload: bool, **given: Any) -> None:
    _put_off_collecting()
    with Printer().reporting():
        settings = load_settings(**given)
        from imagemill.cli import server

        if reload:
            server.run_reloading(settings, which, given)
        else:
            server.run_http(settings, which)


def _put_off_collecting() -> None:
    # Nothing that is imported and built at a start is garbage; looking for it is a tenth of the time.
    # Enabled again once the process has started.
    gc.disable()


_NAME = "generator-"
_ANSWER_S = 3.0
"""Celery's own process answers whatever its child is at; longer, and it is gone."""


def exec_celery(settings: "Settings") -> NoReturn:
    """Raises `CliError` where there is no broker, or Celery is not installed."""
    _check(settings)
    from imagemill.dispatch.base import INGRESS

    environment = {
        **os.environ,
        # What a supervisor sends lets the running task go back to the queue, and does not wait for its end.
        "REMAP_SIGTERM": "SIGQUIT",
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
    quiet = ["--without-gossip", "--without-mingle", "--hostname", f"{_NAME}{os.getpid()}@%h"]
    command = ["-m", "celery", "--quiet", "--app", "imagemill.dispatch.celery", "worker", *options, *quiet]
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *command], environment)  # noqa: S606 - our own interpreter


def ask_generators(settings: "Settings") -> list[str]:
    """The names of this machine's that answer. Raises `CliError` when there is none."""
    _check(settings)
    from kombu.exceptions import KombuError

    from imagemill.dispatch.celery_broker import make_app

    app: Any = make_app(settings)
    try:
        with app.connection_for_write(connect_timeout=_ANSWER_S) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_ANSWER_S)
            answers = app.control.ping(timeout=_ANSWER_S, connection=connection)
    except (KombuError, OSError) as error:
        raise CliError(f"the broker does not answer: {error}", REFUSED) from error
    here = f"@{socket.gethostname()}"
    found = sorted(
        name for answer in answers for name in answer if name.startswith(_NAME) and name.endswith(here)
    )
    if not found:
        raise CliError("no worker of generator_queue answers; start one with `imagemill generator`", REFUSED)
    return found


def _check(settings: "Settings") -> None:
    if settings.broker_url is None:
        raise CliError("generator_queue needs a broker: set IMAGEMILL_BROKER_URL", UNUSABLE)
    if find_spec("celery") is None:
        raise CliError("celery is not installed; pip install 'imagemill[celery]'", UNUSABLE)
