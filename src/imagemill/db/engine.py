"""Database engines: SQLite in WAL mode, or PostgreSQL through psycopg; and a status check of a database."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import NullPool, QueuePool

from imagemill.db import tables
from imagemill.domain.errors import StorageError

_BUSY_TIMEOUT_MS = 15_000
_CHECKPOINT_PAGES = 4_000
"""16 MB of WAL between checkpoints: each one flushes the database file, a pause of milliseconds."""
_OLDEST_SQLITE = (3, 35, 0)
"""The first version with RETURNING."""
_CONNECT_S = 5
"""Timeout of the status check in seconds; the driver itself would wait for minutes."""


@dataclass(frozen=True, slots=True)
class Engines:
    """Two engines on one database.

    On SQLite, transactions of ``writer`` take the write lock at their start, so that none fails half-way.
    ``reader`` runs each statement on its own.
    """

    writer: sa.Engine
    reader: sa.Engine

    @property
    def is_sqlite(self) -> bool:
        return self.writer.dialect.name == "sqlite"

    def close(self) -> None:
        self.writer.dispose()
        self.reader.dispose()


def normalise(url: str) -> str:
    """Return the URL for SQLAlchemy; ``postgres://`` and ``postgresql://`` mean psycopg 3."""
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def open_engines(url: str, *, sqlite_full_sync: bool = False, pooler: bool = False) -> Engines:
    """Open a database. ``pooler``: PostgreSQL is behind a connection pooler in transaction mode.

    Raises `StorageError` with the reason when the URL is invalid, the database is not supported or its driver
    is missing.
    """
    try:
        parsed = sa.make_url(normalise(url))
    except exc.ArgumentError:
        # Not from the error: its text may hold the password.
        raise StorageError("DATABASE_URL cannot be read as an address") from None
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, sqlite_full_sync)
    if parsed.get_backend_name() == "postgresql":
        return _open_postgres(parsed, pooler)
    raise StorageError(f"{parsed.get_backend_name()} is not supported; use sqlite:///path or postgresql://")


def _open_sqlite(url: sa.URL, full_sync: bool) -> Engines:
    import sqlite3

    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StorageError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    # One writing connection is enough: SQLite has one writer, and the group commit feeds it.
    writer = sa.create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=2)
    # AUTOCOMMIT: a reader never keeps a snapshot open, so checkpoints are not held up.
    reader = sa.create_engine(url, poolclass=QueuePool, pool_size=4, max_overflow=12)

    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver sends its BEGIN too late; `begin` sends ours
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={'FULL' if full_sync else 'NORMAL'}",
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    for engine in (writer, reader):
        event.listen(engine, "connect", prepare)
    event.listen(writer, "begin", begin)
    return Engines(writer, reader)


def _open_postgres(url: sa.URL, pooler: bool) -> Engines:
    # Behind a pooler, a statement prepared in one session is unknown in the next.
    prepare = {"prepare_threshold": None} if pooler else {}
    try:
        writer = sa.create_engine(
            url, pool_size=4, max_overflow=8, pool_pre_ping=True, connect_args=prepare
        )  # fmt: skip
    except ImportError as error:
        raise StorageError("PostgreSQL needs the extra: pip install 'imagemill[postgres]'") from error
    return Engines(writer, writer.execution_options(isolation_level="AUTOCOMMIT"))


def open_unpooled(url: str) -> sa.Engine:
    """Open an engine for migrations. Its connections are closed after use and leave nothing in a pooler's
    session."""
    parsed = sa.make_url(normalise(url))
    options = {} if parsed.get_backend_name() == "sqlite" else {"prepare_threshold": None}
    return sa.create_engine(parsed, poolclass=NullPool, connect_args=options)


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    kind: str
    """``sqlite`` or ``postgresql``."""
    revision: str | None
    """Migration revision; None when the database is empty or does not exist yet."""
    required_revision: str
    """The revision of this code."""
    clock_ahead_s: float
    """Seconds by which this machine's clock is ahead of the database's; 0 for SQLite, which has the same
    clock."""
    round_trip_s: float
    """Seconds of a round trip to the database."""


def inspect_database(url: str) -> DatabaseStatus:
    """Read a database's status. Raises `StorageError` when it cannot be reached or its driver is missing."""
    try:
        parsed = sa.make_url(normalise(url))
        kind = parsed.get_backend_name()
        if kind == "sqlite" and not Path(parsed.database or "").exists():
            return DatabaseStatus(kind, None, tables.REVISION, 0.0, 0.0)
        options = {} if kind == "sqlite" else {"connect_timeout": _CONNECT_S}
        engine = sa.create_engine(parsed, poolclass=sa.pool.NullPool, connect_args=options)
    except exc.ArgumentError as error:
        raise StorageError(f"its address cannot be read: {error}") from error
    except ImportError as error:
        raise StorageError("it needs the extra: pip install 'imagemill[postgres]'") from error
    try:
        with engine.connect() as conn:
            return _read_status(conn, kind)
    except exc.DBAPIError as error:
        raise StorageError(str(error.orig).strip()) from error
    finally:
        engine.dispose()


def _read_status(conn: sa.Connection, kind: str) -> DatabaseStatus:
    revision = None
    if sa.inspect(conn).has_table("alembic_version"):
        revision = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if kind == "sqlite":
        return DatabaseStatus(kind, revision, tables.REVISION, 0.0, 0.0)
    before, started = time.time(), time.perf_counter()
    theirs = float(conn.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    took_s = time.perf_counter() - started
    # The database's clock was read at some point of the round trip; the middle is the best estimate.
    return DatabaseStatus(kind, revision, tables.REVISION, before + took_s / 2 - theirs, took_s)
