"""Databases at our schema, made once and used again.

To create and migrate one takes a tenth of a second on SQLite and more than a second on PostgreSQL; to copy or
to empty one takes milliseconds.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
import sqlalchemy as sa
from psycopg import sql

from imagemill.db import migrate
from imagemill.db import tables as db_tables
from imagemill.db.engine import normalise
from imagemill.products.books import tables as book_tables
from imagemill.products.books.product import PRODUCT as BOOKS
from imagemill.products.characters import tables as character_tables
from imagemill.products.library import tables as library_tables

PRODUCTS = {each.name: each.migrations for each in (BOOKS,) if each.migrations is not None}
"""The migrations of the products that have tables of their own."""
_DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


def sqlite_database(path: Path) -> str:
    """The URL of a migrated file, made if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated_file())
    return f"sqlite:///{path}"


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "migrated.db")
        migrate.upgrade(f"sqlite:///{path}", products=PRODUCTS)
        return path.read_bytes()


@contextmanager
def administration(server: str) -> Iterator[Callable[[str], None]]:
    """Runs commands on a PostgreSQL server, each on its own."""
    with psycopg.connect(_plain(server), autocommit=True) as connection:

        def administer(command: str) -> None:
            connection.execute(command.encode())

        yield administer


def flush_nothing(server: str) -> None:
    """For a server that never has to outlive a crash of its own."""
    with administration(server) as administer:
        for name in _DURABILITY:
            administer(f"ALTER SYSTEM SET {name} = off")
        administer("SELECT pg_reload_conf()")


@contextmanager
def kept_database(server: str, prefix: str) -> Iterator[str]:
    """A migrated database of the server; its name."""
    name = f"{prefix}{secrets.token_hex(6)}"
    with administration(server) as administer:
        administer(f"CREATE DATABASE {name}")
        administer(f"ALTER DATABASE {name} SET synchronous_commit = off")
        migrate.upgrade(named(server, name), products=PRODUCTS)
        yield name
        administer(f"DROP DATABASE {name} WITH (FORCE)")


def named(server: str, database: str) -> str:
    return sa.make_url(normalise(server)).set(database=database).render_as_string(hide_password=False)


def empty(url: str, *, pooled: bool = False) -> None:
    """Leave no row, no table of a test's own and, except behind a pooler, no connection."""
    assert {character_tables.metadata, library_tables.metadata} == {db_tables.metadata}
    metadatas = (book_tables.metadata, db_tables.metadata)
    tables = [table.name for metadata in metadatas for table in reversed(metadata.sorted_tables)]
    with psycopg.connect(_plain(url), autocommit=True, prepare_threshold=None) as connection:
        if not pooled:
            connection.execute(_OTHERS)
        there = {
            name
            for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        }
        foreign = there.difference(
            tables, {"alembic_version"}, {f"alembic_version_{name}" for name in PRODUCTS}
        )
        commands = [sql.SQL("DROP TABLE {}").format(sql.Identifier(name)) for name in sorted(foreign)]
        commands += [sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in tables]
        # One message, hence one transaction.
        connection.execute(sql.SQL("; ").join(commands))


def _plain(url: str) -> str:
    return sa.make_url(normalise(url)).set(drivername="postgresql").render_as_string(hide_password=False)
