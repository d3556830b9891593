"""Building a `Mill` for a command: what commonly goes wrong is told in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imagemill.cli.output import REFUSED, UNUSABLE, Trouble

if TYPE_CHECKING:
    from imagemill.bootstrap import Mill, Roles
    from imagemill.config import Settings
    from imagemill.store.store import Store


def build(settings: "Settings", roles: "Roles") -> "Mill":
    """Raises `Trouble`."""
    from imagemill.backends.simulator.faults import InvalidScenario
    from imagemill.bootstrap import Mill
    from imagemill.connecting import MissingExtra
    from imagemill.domain.errors import InvalidInput
    from imagemill.safeguards import InvalidSafety

    with telling(settings):
        try:
            return Mill(settings, roles)
        except InvalidInput as error:
            # The nodes of the settings are the one thing that is checked as a client's input is.
            raise Trouble(f"IMAGEMILL_COMFYUI__URLS or __TOKEN: {error}", UNUSABLE) from error
        except InvalidScenario as error:
            raise Trouble(f"IMAGEMILL_SIMULATOR__SCENARIO: {error}", UNUSABLE) from error
        except (MissingExtra, InvalidSafety) as error:
            raise Trouble(str(error), UNUSABLE) from error


def has_credentials(settings: "Settings") -> bool:
    """Whether the database of the settings holds a key or a user. Raises `Trouble`."""
    from imagemill.store import migrate
    from imagemill.store.engine import open_database
    from imagemill.store.store import Store

    if settings.database_url is None and not (settings.data_dir / "imagemill.db").exists():
        return False
    with telling(settings):
        if migrate.current(settings.database) is None:
            return False
        migrate.upgrade(settings.database)
        store = Store(open_database(settings.database, pooler=settings.database_pooler))
        try:
            return store.accounts.has_credentials()
        finally:
            store.close()


@contextmanager
def opened(settings: "Settings") -> Iterator["Store"]:
    """The database of the settings, brought to our schema. Raises `Trouble` for what is refused there."""
    from imagemill.domain.errors import ImagemillError, StorageError
    from imagemill.store import migrate
    from imagemill.store.engine import open_database
    from imagemill.store.store import Store

    with telling(settings):
        migrate.upgrade(settings.database)
        store = Store(open_database(settings.database, pooler=settings.database_pooler))
        try:
            yield store
        except StorageError:
            raise
        except ImagemillError as error:
            raise Trouble(str(error)) from error
        finally:
            store.close()


@contextmanager
def telling(settings: "Settings") -> Iterator[None]:
    """Turn what databases and folders refuse into a `Trouble`."""
    from imagemill.domain.errors import StorageError

    try:
        yield
    except StorageError as error:
        raise Trouble(
            str(error), REFUSED, details=(f"the database is {shown_database(settings)}",)
        ) from error
    except OSError as error:
        where = error.filename or settings.data_dir
        raise Trouble(
            f"the data folder cannot be used: {where}: {error.strerror or error}", UNUSABLE
        ) from error


def check_queues(mill: "Mill", wanted: frozenset[str] | None) -> None:
    """Raises `Trouble` for names that neither a recipe nor a node knows; the mill is closed then."""
    if wanted is None:
        return
    from imagemill.dispatch.queues import BROKERED

    known = {recipe.queue for recipe in mill.recipes.values()} | set(BROKERED)
    known |= {
        queue for backend in mill.backends.values() for node in backend.nodes() for queue in node.queues
    }
    wrong = sorted(wanted - known)
    if wrong or not wanted:
        mill.close()
        shown = ", ".join(wrong) or "nothing"
        raise Trouble(f"--queues: no such queue: {shown}; known are {', '.join(sorted(known))}", UNUSABLE)


def shown_database(settings: "Settings") -> str:
    """The database's address without its password."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from imagemill.store.engine import normalise

    try:
        return make_url(normalise(settings.database)).render_as_string(hide_password=True)
    except ArgumentError:
        return "not readable as an address"
