"""Schema migrations with Alembic, under a lock.

Alembic is imported only when a migration is needed, as it costs start-up time and memory.
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from imagemill.db import tables
from imagemill.db.engine import normalise, open_unpooled
from imagemill.domain.errors import StorageError


def current(url: str) -> str | None:
    """Return the revision of the database, or None for an empty one."""
    engine = open_unpooled(url)
    try:
        with engine.connect() as conn:
            return _revision(conn)
    except exc.OperationalError as error:
        raise StorageError(f"the database cannot be reached: {error.orig}") from error
    finally:
        engine.dispose()


def upgrade(url: str, target: str = "head") -> str | None:
    """Run the missing migrations and return the former revision. Safe in several processes at once."""
    _make_folder(url)
    before = current(url)
    if target == "head" and before == tables.REVISION:
        return before
    engine = open_unpooled(url)
    try:
        with engine.connect() as conn:
            if conn.dialect.name == "sqlite":
                # Another process that migrates the same file holds the write lock; wait up to 60 s for it.
                conn.exec_driver_sql("PRAGMA busy_timeout=60000")
                conn.exec_driver_sql("PRAGMA journal_mode=WAL")
            conn.commit()
            _run(conn, target)
    finally:
        engine.dispose()
    return before


def _run(conn: sa.Connection, target: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = conn
    try:
        command.upgrade(config, target)
    except CommandError as error:
        raise StorageError(
            f"the database cannot be migrated: {error}; was it made by a newer version?"
        ) from error


def _revision(conn: sa.Connection) -> str | None:
    if not sa.inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _make_folder(url: str) -> None:
    parsed: Any = sa.make_url(normalise(url))
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
