"""The commands that run: ``serve``, ``api``, ``scheduler``, ``worker``, ``generator``."""

import gc
from typing import Annotated, Any, Literal

import typer

from imagemill.cli.loading import load_settings
from imagemill.cli.options import DataDir, Host, LogLevel, Port, Reload
from imagemill.cli.output import Out

Which = Literal["serve", "api"]


def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    reload: Reload = False,
    log_level: LogLevel = None,
) -> None:
    """Run everything in one process: API, scheduler and workers."""
    _run_http("serve", reload, host=host, port=port, data_dir=data_dir, log_level=log_level)


def api(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    reload: Reload = False,
    log_level: LogLevel = None,
) -> None:
    """Run the HTTP API alone; other processes schedule and work."""
    _run_http("api", reload, host=host, port=port, data_dir=data_dir, log_level=log_level)


def scheduler(data_dir: DataDir = None, log_level: LogLevel = None) -> None:
    """Run the scheduler alone: lost leases, retries, expiry, callbacks."""
    _run_quietly("scheduler", data_dir=data_dir, log_level=log_level)


def worker(
    queues: Annotated[
        str | None, typer.Option("--queues", help="Queues to serve, comma-separated, such as gpu,render.")
    ] = None,
    data_dir: DataDir = None,
    log_level: LogLevel = None,
) -> None:
    """Run workers alone: claim jobs and render them."""
    _run_quietly("worker", queues, data_dir=data_dir, log_level=log_level)


def _run_quietly(which: Literal["scheduler", "worker"], queues: str | None = None, **given: Any) -> None:
    _put_off_collecting()
    with Out().reporting():
        settings = load_settings(**given)
        from imagemill.cli.background import run_quietly

        run_quietly(settings, which, queues=queues)


def generator(data_dir: DataDir = None, log_level: LogLevel = None) -> None:
    """Run the worker of generator_queue: tasks that applications send by Celery."""
    with Out().reporting():
        settings = load_settings(data_dir=data_dir, log_level=log_level)
        from imagemill.cli.generating import become_generator

        become_generator(settings)


def _run_http(which: Which, reload: bool, **given: Any) -> None:
    _put_off_collecting()
    with Out().reporting():
        settings = load_settings(**given)
        from imagemill.cli import process

        if reload:
            process.run_reloading(settings, which, given)
        else:
            process.run_http(settings, which)


def _put_off_collecting() -> None:
    # Nothing that is imported and built at a start is garbage; looking for it is a tenth of the time.
    # Enabled again once the process has started.
    gc.disable()
