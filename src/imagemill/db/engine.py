"""Database engines: SQLite in WAL mode, or PostgreSQL through psycopg; and a status check of a database."""

import logging
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import NullPool, QueuePool

from imagemill.db import tables
from imagemill.db.address import schema_in
from imagemill.domain.dataclass import dataclass
from imagemill.domain.durability import flush_folder, make_folder
from imagemill.domain.errors import StorageError

log = logging.getLogger(__name__)

_BUSY_TIMEOUT_MS = 15_000
_FIRST_PAUSE_S = 0.0001
_LONGEST_PAUSE_S = 0.002
"""Between two looks for the write lock. SQLite's own pauses are 1, 2, 5, 10 ms and more: longer than most
transactions of another process."""
_CHECKPOINT_PAGES = 4_000
"""16 MB of WAL between checkpoints: each one flushes the database file, a pause of milliseconds."""
_OLDEST_SQLITE = (3, 35, 0)
"""The first version with RETURNING."""
_CACHE_KB = 16_000
"""Pages that the writer keeps, 16 MB. With SQLite's 2 MB an end among 10 million jobs reads 14 pages from the
file, with 16 MB 6 of them."""
_JOURNAL_BYTES = 64 * 2**20
"""Size to which the WAL file is cut after a checkpoint; a long read can let it grow far beyond."""
_UNUSED_S = 1.0
"""Seconds without use after which a connection to PostgreSQL is asked whether it still answers."""
_POOL_WAIT_S = 10.0
"""Seconds for which a query waits for a connection of the pool."""
_POSTGRES_TCP: Mapping[str, int] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Options of PostgreSQL connections, in seconds, the last in milliseconds: a connection whose packets are
lost, as after a fail-over, is given up after 10 s. The system's own limits are 15 minutes and more."""
_POSTGRES_SESSION = " ".join(
    f"-c {name}={seconds}s"
    for name, seconds in (
        ("statement_timeout", 60),
        ("lock_timeout", 15),
        # A lost client's transaction would keep its locks until the server's own limits.
        ("idle_in_transaction_session_timeout", 30),
    )
)
_POOLER = "PostgreSQL is behind a connection pooler: set IMAGEMILL_DATABASE_POOLER=true"
_POOLER_STATES = ("42P05", "26000")
"""A prepared statement that exists already, or not: the session changed under its client."""


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


def open_engines(url: str, *, fsync: bool = True, pooler: bool = False) -> Engines:
    """Open a database.

    ``fsync``: commits of SQLite survive a power loss; PostgreSQL has a setting of its own.
    ``pooler``: PostgreSQL is behind a connection pooler in transaction mode.

    Raises `StorageError` with the reason when the URL is invalid, the database is not supported or its driver
    is missing.
    """
    try:
        parsed = sa.make_url(normalise(url))
    except exc.ArgumentError:
        # Not from the error: its text may hold the password.
        raise StorageError("DATABASE_URL cannot be read as an address") from None
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, fsync)
    if parsed.get_backend_name() == "postgresql":
        return _open_postgres(parsed, pooler)
    raise StorageError(f"{parsed.get_backend_name()} is not supported; use sqlite:///path or postgresql://")


def _open_sqlite(url: sa.URL, fsync: bool) -> Engines:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StorageError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
    file = SqliteFile(None if url.database in (None, "", ":memory:") else Path(url.database))
    # One writing connection is enough: SQLite has one writer, and the group commit feeds it.
    writer = sa.create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=2)
    # AUTOCOMMIT: a reader never keeps a snapshot open, so checkpoints are not held up.
    reader = sa.create_engine(
        url, poolclass=QueuePool, pool_size=4, max_overflow=12, pool_timeout=_POOL_WAIT_S
    )  # fmt: skip

    def check(*_: Any) -> None:
        file.check()

    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver sends its BEGIN too late; `begin` sends ours
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={'FULL' if fsync else 'NORMAL'}",
            f"fullfsync={fsync:d}",  # on macOS; see `imagemill.domain.durability`
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
            f"journal_size_limit={_JOURNAL_BYTES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def prepare_writer(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
        connection.execute("PRAGMA busy_timeout=0")  # `_begin_writing` waits

    def begin(connection: sa.Connection) -> None:
        file.check()
        _begin_writing(connection.connection.driver_connection)

    for engine in (writer, reader):
        event.listen(engine, "do_connect", check)
        event.listen(engine, "connect", prepare)
    event.listen(writer, "connect", prepare_writer)
    event.listen(writer, "begin", begin)
    return Engines(writer, reader)


def _begin_writing(connection: Any) -> None:
    """Begin a transaction that writes, once no other process writes. Raises the driver's error after 15 s."""
    pause_s, left_s = _FIRST_PAUSE_S, _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or left_s <= 0:
                raise
        else:
            return
        time.sleep(pause_s)
        left_s -= pause_s
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


class SqliteFile:
    """The file of a database. It is created for its owner alone, and must stay the same one while it is used.

    SQLite goes on writing into a deleted file, and creates an empty one beside it for the next connection.
    """

    def __init__(self, path: Path | None) -> None:
        """None for a database in memory."""
        self._path = path
        if path is not None:
            create_private_file(path)
            self._identity = _identity(path)

    def check(self) -> None:
        """Raise the driver's error when the file was deleted or replaced."""
        if self._path is not None and _identity(self._path) != self._identity:
            raise sqlite3.OperationalError(
                "the database file was deleted or replaced while it was in use; restore it and restart"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def create_private_file(path: Path) -> None:
    """Create a database file, and its folder, that only their owner can read; an existing one stays as it is.

    SQLite gives its journals the permissions of the database.
    """
    make_folder(path.parent, 0o700)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        flush_folder(path.parent)


def _open_postgres(url: sa.URL, pooler: bool) -> Engines:
    writer = _postgres_engine(
        url,
        pooler=pooler,
        pool_size=4,
        max_overflow=8,
        pool_timeout=_POOL_WAIT_S,
    )
    _PingAfterPause(writer)
    return Engines(writer, writer.execution_options(isolation_level="AUTOCOMMIT"))


def is_lost(conn: sa.Connection, raw: Any, error: Exception) -> bool:
    """Whether the error is that the connection to the database broke. ``raw``: the driver's connection."""
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    cause: Any = error.orig if isinstance(error, exc.DBAPIError) else error
    return isinstance(cause, conn.dialect.loaded_dbapi.Error) and conn.dialect.is_disconnect(cause, raw, None)


class _PingAfterPause:
    """Asks a connection of the pool whether it still answers, if it was not used for `_UNUSED_S`.

    SQLAlchemy's own ping comes before each use, and doubles the round trips of a short read. A connection
    that broke while it was used says so itself.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._dialect = engine.dialect
        event.listen(engine, "checkin", self._note)
        event.listen(engine, "checkout", self._check)

    def _note(self, connection: Any, record: Any) -> None:
        record.info["used_at"] = time.monotonic()

    def _check(self, connection: Any, record: Any, _: Any) -> None:
        used_at = record.info.get("used_at")
        if used_at is None:
            return
        if connection.closed or (time.monotonic() - used_at > _UNUSED_S and not self._answers(connection)):
            # The others of the pool are as old; each would cost a time limit to find out.
            raise exc.InvalidatePoolError("the connection to the database broke")

    def _answers(self, connection: Any) -> bool:
        try:
            return bool(self._dialect.do_ping(connection))
        except self._dialect.loaded_dbapi.Error:
            return False


def _postgres_engine(url: sa.URL, *, pooler: bool, limits: bool = True, **options: Any) -> sa.Engine:
    """Return an engine whose connections are given up when their packets are lost.

    ``pooler``: statements are not prepared, as one prepared in a session is unknown in the next, and sessions
    keep their settings. ``limits``: statements and locks have time limits.
    """
    arguments: dict[str, Any] = postgres_options(url.query)
    own = url.query.get("options", "")
    if pooler:
        arguments["prepare_threshold"] = None
    elif limits:
        arguments["options"] = f"{_POSTGRES_SESSION} {own}"
    try:
        engine = sa.create_engine(url, connect_args=arguments, **options)
    except ImportError as error:
        raise StorageError("PostgreSQL needs the extra: pip install 'imagemill[postgres]'") from error
    if not pooler and limits:
        event.listen(engine, "do_connect", _PostgresConnect(str(own)))
    return engine


def postgres_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the time limits of connections that an address, with the parameters ``given``, does not set."""
    return {name: value for name, value in _POSTGRES_TCP.items() if name not in given}


class _PostgresConnect:
    """Connects to PostgreSQL with settings of the session; to a pooler, which refuses them, without."""

    def __init__(self, own_options: str) -> None:
        self._own_options = own_options
        self.found_pooler = False

    def __call__(self, dialect: Any, _record: Any, arguments: Any, named: dict[str, Any]) -> Any:
        if not self.found_pooler:
            try:
                return dialect.connect(*arguments, **named)
            except dialect.dbapi.OperationalError as error:
                if not refuses_settings(error):
                    raise
            self.found_pooler = True
            log.warning("%s; until then its statements have no time limit", _POOLER)
        named["options"] = self._own_options
        named["prepare_threshold"] = None
        return dialect.connect(*arguments, **named)


def refuses_settings(error: Exception) -> bool:
    """Whether a pooler refused a connection because of the settings of its session."""
    return "unsupported startup parameter" in str(error)


def explain(error: Exception) -> str:
    """Return the text of a database's error, with the remedy where it is a pooler's."""
    original = getattr(error, "orig", None) or error
    text = str(original).strip()
    is_pooler = getattr(original, "sqlstate", None) in _POOLER_STATES or refuses_settings(original)
    return f"{_POOLER} ({text})" if is_pooler else text


def open_unpooled(url: str) -> sa.Engine:
    """Open an engine for migrations. Its connections are closed after use and leave nothing in a pooler's
    session. Raises `StorageError` when its driver is missing."""
    parsed = sa.make_url(normalise(url))
    if parsed.get_backend_name() == "sqlite":
        return sa.create_engine(parsed, poolclass=NullPool)
    return _postgres_engine(parsed, pooler=True, limits=False, poolclass=NullPool)


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
    foreign_tables: tuple[str, ...] = ()
    """Tables of another application that have names of ours."""
    is_pooled: bool = False
    """Whether it is behind a connection pooler that refused the settings of a session."""


def inspect_database(url: str) -> DatabaseStatus:
    """Read a database's status. Raises `StorageError` when it cannot be reached or its driver is missing."""
    try:
        parsed = sa.make_url(normalise(url))
        kind = parsed.get_backend_name()
        if kind == "sqlite" and not Path(parsed.database or "").exists():
            return DatabaseStatus(kind, None, tables.REVISION, 0.0, 0.0)
    except exc.ArgumentError as error:
        raise StorageError(f"its address cannot be read: {error}") from error
    engine = open_unpooled(url)
    try:
        with engine.connect() as conn:
            status = _read_status(conn, kind)
    except exc.DBAPIError as error:
        raise StorageError(str(error.orig).strip()) from error
    finally:
        engine.dispose()
    return replace(status, is_pooled=kind == "postgresql" and _is_pooled(parsed))


def _is_pooled(url: sa.URL) -> bool:
    import psycopg

    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        psycopg.connect(address, options=_POSTGRES_SESSION, **postgres_options(url.query)).close()
    except psycopg.OperationalError as error:
        return refuses_settings(error)
    return False


def _read_status(conn: sa.Connection, kind: str) -> DatabaseStatus:
    revision = None
    if sa.inspect(conn).has_table("alembic_version"):
        revision = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    foreign = foreign_tables(conn) if revision is None else ()
    if kind == "sqlite":
        return DatabaseStatus(kind, revision, tables.REVISION, 0.0, 0.0, foreign)
    ahead_s, took_s = clock_difference(conn)
    return DatabaseStatus(kind, revision, tables.REVISION, ahead_s, took_s, foreign)


def clock_difference(conn: sa.Connection) -> tuple[float, float]:
    """Return the seconds by which this machine's clock is ahead of PostgreSQL's, and of the round trip."""
    before, started = time.time(), time.perf_counter()
    theirs = float(conn.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    took_s = time.perf_counter() - started
    # The database's clock was read at some point of the round trip; the middle is the best estimate.
    return before + took_s / 2 - theirs, took_s


def foreign_tables(conn: sa.Connection) -> tuple[str, ...]:
    """Return the tables that have names of ours, in a database that we have not migrated."""
    return tuple(sorted(set(sa.inspect(conn).get_table_names()).intersection(tables.metadata.tables)))


def foreign_sentence(names: Sequence[str], kind: str) -> str:
    """Return what is wrong with a database of another application, and the remedy."""
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    remedy = (
        "add ?schema=imagemill to IMAGEMILL_DATABASE_URL to keep ours in a schema of their own"
        if kind == "postgresql"
        else "name another file in IMAGEMILL_DATABASE_URL"
    )
    return f"the database holds tables of another application with the names of ours ({shown}): {remedy}"


def schema_of(url: sa.URL) -> str | None:
    """Return the schema of the settings, where our tables are; None for the user's search path."""
    return schema_in(str(url.query.get("options", "")))
