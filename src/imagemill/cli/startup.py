"""Builds an `Application` or opens a store for a command, with readable errors, and reports the start."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imagemill.cli import STARTED_AT
from imagemill.cli.output import REFUSED, UNUSABLE, CliError, Printer, make_console, print_note

if TYPE_CHECKING:
    from imagemill.bootstrap.application import Application, Roles
    from imagemill.bootstrap.stores import Stores
    from imagemill.config import Settings


def build(settings: "Settings", roles: "Roles") -> "Application":
    """Build the application. Raises `CliError` for settings that cannot be used."""
    from imagemill.backends.simulator.faults import InvalidScenario
    from imagemill.bootstrap.application import Application
    from imagemill.bootstrap.safety import InvalidSafety
    from imagemill.domain.errors import InvalidInput, MissingExtra
    from imagemill.graphs.families.table import InvalidFamilies

    with friendly_errors(settings):
        try:
            return Application(settings, roles)
        except InvalidInput as error:
            # Only the nodes in the settings are checked like the input of a client.
            raise CliError(f"IMAGEMILL_COMFYUI__URLS or __TOKEN: {error}", UNUSABLE) from error
        except InvalidScenario as error:
            raise CliError(f"IMAGEMILL_SIMULATOR__SCENARIO: {error}", UNUSABLE) from error
        except (MissingExtra, InvalidSafety, InvalidFamilies) as error:
            raise CliError(str(error), UNUSABLE) from error


def has_credentials(settings: "Settings") -> bool:
    """Whether the database of the settings holds a key or a user. Raises `CliError`."""
    from sqlalchemy import make_url

    from imagemill.bootstrap.stores import open_stores, upgrade_database
    from imagemill.db import migrate

    if (
        settings.database.startswith("sqlite")
        and not Path(make_url(settings.database).database or "").exists()
    ):
        return False
    with friendly_errors(settings):
        if migrate.current(settings.database) is None:
            return False
        upgrade_database(settings)
        stores = open_stores(settings)
        try:
            return stores.accounts.has_credentials()
        finally:
            stores.close()


def require_database(settings: "Settings", *, create: bool) -> None:
    """Print the address of the database. Raises `CliError` for an SQLite file that does not exist.

    A command that is called in another folder than the server, or without its environment, would make a
    database that no server uses. ``create`` allows that.
    """
    address = redacted_database_url(settings)
    if (file := _sqlite_file(settings)) is not None:
        address = f"SQLite, {file}"
        if not file.exists() and not create:
            raise CliError(
                f"there is no database at {file}",
                UNUSABLE,
                details=(
                    "Name the server's with --data-dir, IMAGEMILL_DATA_DIR or IMAGEMILL_DATABASE_URL,",
                    "or start the server first, or add --create to make one there.",
                ),
            )
    print_note(f"database: {address}")


def _sqlite_file(settings: "Settings") -> Path | None:
    """Return the absolute path of an SQLite database; None for another one."""
    from sqlalchemy import make_url

    if not settings.database.startswith("sqlite"):
        return None
    return Path(make_url(settings.database).database or "").absolute()


def with_generated_key(settings: "Settings") -> "Settings":
    """Return the settings with the administrator's key of the data folder.

    It is made and printed when no key and no user exists. Settings that have an administrator's key, or need
    none, are returned as they are.
    """
    from pydantic import SecretStr

    from imagemill.bootstrap.build import admin_key_file, secret_file

    if settings.auth.admin_key is not None or settings.auth.required == "open":
        return settings
    path = admin_key_file(settings)
    is_new = not path.exists()
    if is_new and has_credentials(settings):
        return settings
    with friendly_errors(settings):
        key = secret_file(path).decode()
    where = f"it is kept in {path.absolute()}; to replace it, delete that file and start again"
    Printer().say(
        f"The administrator's key is {key}\n{where}" if is_new else f"The administrator's key: {where}"
    )
    auth = settings.auth.model_copy(update={"admin_key": SecretStr(key)})
    return settings.model_copy(update={"auth": auth})


@contextmanager
def open_migrated_stores(settings: "Settings", *, create: bool = False) -> Iterator["Stores"]:
    """Open the database of the settings and upgrade its schema; see `require_database`.

    An `ImagemillError` within the block becomes a `CliError`.
    """
    from imagemill.bootstrap.stores import open_stores, upgrade_database
    from imagemill.domain.errors import ImagemillError, StorageError

    require_database(settings, create=create)
    with friendly_errors(settings):
        upgrade_database(settings)
        stores = open_stores(settings)
        try:
            yield stores
        except StorageError:
            raise
        except ImagemillError as error:
            raise CliError(str(error)) from error
        finally:
            stores.close()


@contextmanager
def friendly_errors(settings: "Settings") -> Iterator[None]:
    """Turn errors of the database and the data folder into a `CliError`."""
    from imagemill.domain.errors import StorageError

    try:
        yield
    except StorageError as error:
        raise CliError(
            str(error), REFUSED, details=(f"the database is {redacted_database_url(settings)}",)
        ) from error
    except OSError as error:
        path = error.filename or settings.data_dir
        raise CliError(
            f"the data folder cannot be used: {path}: {error.strerror or error}", UNUSABLE
        ) from error


def check_queues(app: "Application", queues: frozenset[str] | None) -> None:
    """Close the application and raise `CliError` for a queue that no recipe and no node has."""
    if queues is None:
        return
    from imagemill.dispatch.base import BROKERED

    known = {recipe.queue for recipe in app.recipes.values()} | set(BROKERED)
    known |= {queue for backend in app.backends.values() for node in backend.nodes() for queue in node.queues}
    unknown = sorted(queues - known)
    if not unknown and queues:
        return
    app.close()
    problem = f"no such queue: {', '.join(unknown)}" if unknown else "names no queue"
    raise CliError(f"--queues: {problem}; the queues are {', '.join(sorted(known))}", UNUSABLE)


def redacted_database_url(settings: "Settings") -> str:
    """Return the database's address without its password."""
    from imagemill.settings import mask_url

    return mask_url(settings.database)


log = logging.getLogger("imagemill.cli")


def report_listening(app: "Application", url: str) -> None:
    """Report that the server is ready: its address and that of the API documentation."""
    ready_s = time.perf_counter() - STARTED_AT
    if app.settings.log_format == "json" or not sys.stderr.isatty():
        log.info(
            "listening on %s",
            url,
            extra={
                "url": url,
                "docs": f"{url}/docs",
                "ms": round(ready_s * 1000),
                "data": str(_data_folder(app)),
            },
        )
        return
    rows = [
        ("console", f"[bold cyan]{url}[/]"),
        ("API", f"[cyan]{url}/api/v1[/]"),
        ("docs", f"[cyan]{url}/docs[/]"),
        ("data", f"{_data_folder(app)} [dim]({_describe_database(app)})[/]"),
    ]
    if app.roles.worker:
        rows.append(("nodes", _describe_nodes(app)))
    _print_banner(f"ready in {ready_s:.1f} s", rows, "[dim]Ctrl+C stops it; running jobs finish first[/]")


def open_console(app: "Application", url: str) -> None:
    """Open the console in a browser, where keys exist by a one-time link. Without a browser log it."""
    import webbrowser

    services = app.services
    page = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    if not services.access.is_open():
        page = sign_in_link(page, services.browser_sessions.link(app.settings.owner))
    if not webbrowser.open(page):
        log.info("no browser can be opened here; open %s", page)


def sign_in_link(address: str, code: str) -> str:
    """Return the address of the console that signs in once. What is behind ``#`` is in no log."""
    return f"{address}/#code={code}"


def remove_ready_file(path: Path) -> None:
    """Delete the file of an earlier run. Raises `CliError` if its folder cannot be written to."""
    try:
        path.unlink(missing_ok=True)
        draft = _draft_of(path)
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise CliError(f"--ready-file: {path}: {error.strerror or error}", UNUSABLE) from error


def write_ready_file(path: Path, url: str) -> None:
    """Write the address and the process id as JSON; a reader finds the whole file or none."""
    draft = _draft_of(path)
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n", encoding="utf-8")
    draft.replace(path)


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def report_working(app: "Application", command: str) -> None:
    """Report that a process without HTTP is ready."""
    ready_s = time.perf_counter() - STARTED_AT
    if app.settings.log_format == "json" or not sys.stderr.isatty():
        queues = ",".join(sorted(app.roles.queues)) if app.roles.queues else "all"
        log.info(
            "%s started",
            command,
            extra={"ms": round(ready_s * 1000), "data": str(_data_folder(app))}
            | ({"queues": queues} if command == "worker" else {}),
        )
        return
    rows = [("data", f"{_data_folder(app)} [dim]({_describe_database(app)})[/]")]
    if command == "worker":
        rows.append(("queues", ", ".join(sorted(app.roles.queues)) if app.roles.queues else "all"))
        rows.append(("nodes", _describe_nodes(app)))
    _print_banner(f"{command} ready in {ready_s:.1f} s", rows, "[dim]Ctrl+C stops it[/]")


def report_stopping(app: "Application") -> None:
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


def _print_banner(headline: str, rows: list[tuple[str, str]], footer: str) -> None:
    import imagemill

    console = make_console(stderr=True)
    console.print(f"\n  [bold]Imagemill[/] [dim]{imagemill.__version__}[/]  {headline}\n", markup=True)
    for name, value in rows:
        console.print(f"  [dim]{name:<7}[/]{value}", markup=True, soft_wrap=True)
    console.print(f"\n  {footer}\n", markup=True)


def _describe_nodes(app: "Application") -> str:
    from imagemill.backends.base import renderers

    nodes = renderers(app.backends.values())
    if not nodes:
        return "none"
    kinds = sorted({node.backend for node in nodes})
    # A process adds a suffix to the names of its own nodes, which users do not know.
    names = ", ".join(node.name.partition(".")[0] for node in nodes[:4]) + (", ..." if len(nodes) > 4 else "")
    note = "simulated pictures: no ComfyUI node is set" if kinds == ["simulator"] else ", ".join(kinds)
    return f"{names} [dim]({note})[/]"


def _data_folder(app: "Application") -> object:
    return app.settings.data_dir.absolute()


def _describe_database(app: "Application") -> str:
    return "SQLite" if app.settings.database_url is None else redacted_database_url(app.settings)
