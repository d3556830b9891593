"""Building a `Application` for a command: what commonly goes wrong is told in a sentence."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imagemill.cli import BEGAN
from imagemill.cli.output import REFUSED, UNUSABLE, CliError, console

if TYPE_CHECKING:
    from imagemill.bootstrap.application import Application, Roles
    from imagemill.bootstrap.stores import Stores
    from imagemill.config import Settings


def build(settings: "Settings", roles: "Roles") -> "Application":
    """Raises `CliError`."""
    from imagemill.backends.simulator.faults import InvalidScenario
    from imagemill.bootstrap.application import Application
    from imagemill.bootstrap.safety import InvalidSafety
    from imagemill.domain.errors import InvalidInput, MissingExtra

    with friendly_errors(settings):
        try:
            return Application(settings, roles)
        except InvalidInput as error:
            # The nodes of the settings are the one thing that is checked as a client's input is.
            raise CliError(f"IMAGEMILL_COMFYUI__URLS or __TOKEN: {error}", UNUSABLE) from error
        except InvalidScenario as error:
            raise CliError(f"IMAGEMILL_SIMULATOR__SCENARIO: {error}", UNUSABLE) from error
        except (MissingExtra, InvalidSafety) as error:
            raise CliError(str(error), UNUSABLE) from error


def has_credentials(settings: "Settings") -> bool:
    """Whether the database of the settings holds a key or a user. Raises `CliError`."""
    from imagemill.bootstrap.stores import open_stores
    from imagemill.db import migrate

    if settings.database_url is None and not (settings.data_dir / "imagemill.db").exists():
        return False
    with friendly_errors(settings):
        if migrate.current(settings.database) is None:
            return False
        migrate.upgrade(settings.database)
        store = open_stores(settings)
        try:
            return store.accounts.has_credentials()
        finally:
            store.close()


@contextmanager
def open_store(settings: "Settings") -> Iterator["Stores"]:
    """The database of the settings, brought to our schema. Raises `CliError` for what is refused there."""
    from imagemill.bootstrap.stores import open_stores
    from imagemill.db import migrate
    from imagemill.domain.errors import ImagemillError, StorageError

    with friendly_errors(settings):
        migrate.upgrade(settings.database)
        store = open_stores(settings)
        try:
            yield store
        except StorageError:
            raise
        except ImagemillError as error:
            raise CliError(str(error)) from error
        finally:
            store.close()


@contextmanager
def friendly_errors(settings: "Settings") -> Iterator[None]:
    """Turn what databases and folders refuse into a `CliError`."""
    from imagemill.domain.errors import StorageError

    try:
        yield
    except StorageError as error:
        raise CliError(
            str(error), REFUSED, details=(f"the database is {shown_database(settings)}",)
        ) from error
    except OSError as error:
        where = error.filename or settings.data_dir
        raise CliError(
            f"the data folder cannot be used: {where}: {error.strerror or error}", UNUSABLE
        ) from error


def check_queues(app: "Application", wanted: frozenset[str] | None) -> None:
    """Raises `CliError` for names that neither a recipe nor a node knows; the mill is closed then."""
    if wanted is None:
        return
    from imagemill.dispatch.base import BROKERED

    known = {recipe.queue for recipe in app.recipes.values()} | set(BROKERED)
    known |= {queue for backend in app.backends.values() for node in backend.nodes() for queue in node.queues}
    wrong = sorted(wanted - known)
    if wrong or not wanted:
        app.close()
        shown = ", ".join(wrong) or "nothing"
        raise CliError(f"--queues: no such queue: {shown}; known are {', '.join(sorted(known))}", UNUSABLE)


def shown_database(settings: "Settings") -> str:
    """The database's address without its password."""
    from imagemill.settings import mask_url

    return mask_url(settings.database)


log = logging.getLogger("imagemill.cli")


def listening(app: "Application", url: str) -> None:
    """The server answers: where, and where to read on."""
    ready_s = time.perf_counter() - BEGAN
    if app.settings.log_format == "json" or not sys.stderr.isatty():
        log.info(
            "listening on %s",
            url,
            extra={"url": url, "docs": f"{url}/docs", "ms": round(ready_s * 1000), "data": str(_data(app))},
        )
        return
    rows = [
        ("API", f"[bold cyan]{url}[/]"),
        ("docs", f"[cyan]{url}/docs[/]"),
        ("data", f"{_data(app)} [dim]({_database(app)})[/]"),
    ]
    if app.roles.worker:
        rows.append(("nodes", _nodes(app)))
    _banner(f"ready in {ready_s:.1f} s", rows, "[dim]Ctrl+C ends it, running jobs finish first[/]")


def working(app: "Application", which: str) -> None:
    """A process without HTTP has begun."""
    ready_s = time.perf_counter() - BEGAN
    if app.settings.log_format == "json" or not sys.stderr.isatty():
        queues = ",".join(sorted(app.roles.queues)) if app.roles.queues else "all"
        log.info(
            "%s started",
            which,
            extra={"ms": round(ready_s * 1000), "data": str(_data(app))}
            | ({"queues": queues} if which == "worker" else {}),
        )
        return
    rows = [("data", f"{_data(app)} [dim]({_database(app)})[/]")]
    if which == "worker":
        rows.append(("queues", ", ".join(sorted(app.roles.queues)) if app.roles.queues else "all"))
        rows.append(("nodes", _nodes(app)))
    _banner(f"{which} ready in {ready_s:.1f} s", rows, "[dim]Ctrl+C ends it[/]")


def stopping(app: "Application") -> None:
    running = app.runner.active
    if running:
        log.info(
            "stopping: %d running %s may finish for %g s; a second signal stops at once",
            running,
            "job" if running == 1 else "jobs",
            app.settings.shutdown_grace_s,
        )
    else:
        log.info("stopping")


def _banner(headline: str, rows: list[tuple[str, str]], footer: str) -> None:
    import imagemill

    screen = console(stderr=True)
    screen.print(f"\n  [bold]Imagemill[/] [dim]{imagemill.__version__}[/]  {headline}\n", markup=True)
    for name, value in rows:
        screen.print(f"  [dim]{name:<7}[/]{value}", markup=True, soft_wrap=True)
    screen.print(f"\n  {footer}\n", markup=True)


def _nodes(app: "Application") -> str:
    nodes = [node for backend in app.backends.values() for node in backend.nodes()]
    if not nodes:
        return "none"
    kinds = sorted({node.backend for node in nodes})
    # Nodes of a process carry a suffix that tells processes apart; people know them without it.
    shown = ", ".join(node.name.partition(".")[0] for node in nodes[:4]) + (", ..." if len(nodes) > 4 else "")
    note = "simulated pictures: no ComfyUI address is set" if kinds == ["simulator"] else ", ".join(kinds)
    return f"{shown} [dim]({note})[/]"


def _data(app: "Application") -> object:
    return app.settings.data_dir.absolute()


def _database(app: "Application") -> str:
    return "SQLite" if app.settings.database_url is None else shown_database(app.settings)
