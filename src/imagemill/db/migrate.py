"""Schema migrations with Alembic, under a lock.

Alembic is imported only when a migration is needed, as it costs start-up time and memory.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from imagemill.db import new_file, tables
from imagemill.db.engine import (
    create_private_file,
    explain,
    foreign_sentence,
    foreign_tables,
    normalise,
    open_unpooled,
    schema_of,
)
from imagemill.domain.errors import StorageError

_VERSION_TABLE = "alembic_version"
_VERSIONS = Path(__file__).parent / "migrations" / "versions"
_REVISION = re.compile(r"""^revision\b[^=\n]*=\s*["']([^"'\n]+)["']\s*$""", re.M)
_FORMER = re.compile(r"""^down_revision\b[^=\n]*=\s*(?:["']([^"'\n]+)["']|None)\s*$""", re.M)


def current(url: str, version_table: str = _VERSION_TABLE) -> str | None:
    """Return the revision of the database, or None for an empty one."""
    return _revisions(url, [version_table])[version_table]


def _revisions(url: str, version_tables: Sequence[str]) -> dict[str, str | None]:
    engine = open_unpooled(url)
    try:
        with engine.connect() as conn:
            return {table: _revision(conn, table) for table in version_tables}
    except exc.DBAPIError as error:
        raise StorageError(f"the database cannot be reached: {explain(error)}") from error
    finally:
        engine.dispose()


def upgrade(url: str, target: str = "head", products: Mapping[str, Path] | None = None) -> str | None:
    """Run the missing migrations and return the former revision. Safe in several processes at once.

    ``products``: folders with the Alembic versions of products' own tables, by product; each product has a
    version table of its own, ``alembic_version_{name}``. Raises `StorageError` when the database cannot be
    used, or holds tables of another application.
    """
    _make_file(url)
    own = {f"alembic_version_{name}": folder for name, folder in (products or {}).items()}
    found = _revisions(url, [_VERSION_TABLE, *own])
    before = found[_VERSION_TABLE]
    if target != "head" or (before != tables.REVISION and not _create(url, before, tables.REVISION)):
        _migrate(url, target)
    for table, folder in own.items():
        newest = _newest(folder)
        if newest is None or (
            found[table] != newest and not _create(url, found[table], newest, table, folder)
        ):
            _migrate(url, "head", version_table=table, versions=folder)
    return before


def _create(
    url: str, before: str | None, revision: str, version_table: str = _VERSION_TABLE, folder: Path = _VERSIONS
) -> bool:
    """Make the tables of a new SQLite file without Alembic; False where that is not possible."""
    parsed = sa.make_url(normalise(url))
    file = parsed.database if parsed.get_backend_name() == "sqlite" and not parsed.query else None
    if before is not None or file is None or file in ("", ":memory:"):
        return False
    return new_file.create(Path(file), folder.parent / new_file.NAME, revision, version_table)


def _newest(folder: Path) -> str | None:
    """Return the revision that no file of the folder follows; None where only Alembic can decide."""
    revisions: set[str] = set()
    former: set[str] = set()
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        names, followed = _REVISION.findall(text), _FORMER.findall(text)
        if len(names) != 1 or len(followed) != 1:
            return None
        revisions.add(names[0])
        former.update(filter(None, followed))
    heads = revisions - former
    return heads.pop() if len(heads) == 1 else None


def migrate_all(url: str, *, version_table: str = _VERSION_TABLE, versions: Path | None = None) -> None:
    """Run the missing migrations, one after the other, also in a new file."""
    _migrate(url, "head", version_table=version_table, versions=versions)


def _migrate(
    url: str, target: str, *, version_table: str = _VERSION_TABLE, versions: Path | None = None
) -> None:
    engine = open_unpooled(url)
    try:
        with engine.connect() as conn:
            if conn.dialect.name == "sqlite":
                # Another process that migrates the same file holds the write lock; wait up to 60 s for it.
                conn.exec_driver_sql("PRAGMA busy_timeout=60000")
                conn.exec_driver_sql("PRAGMA journal_mode=WAL")
            conn.commit()
            if version_table == _VERSION_TABLE:
                _prepare(conn)
            _run(conn, target, version_table, versions)
    except exc.DBAPIError as error:
        raise StorageError(f"the database cannot be migrated: {explain(error)}") from error
    finally:
        engine.dispose()


def _prepare(conn: sa.Connection) -> None:
    """Create the schema of the settings. Raises `StorageError` when other tables have our names."""
    if conn.dialect.name == "postgresql" and (schema := schema_of(conn.engine.url)):
        conn.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
        conn.commit()
    if _revision(conn) is None and (names := foreign_tables(conn)):
        raise StorageError(foreign_sentence(names, conn.dialect.name))
    conn.commit()


def _run(conn: sa.Connection, target: str, version_table: str, versions: Path | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    if versions is not None:
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_locations", str(versions))
    config.attributes["connection"] = conn
    config.attributes["version_table"] = version_table
    try:
        command.upgrade(config, target)
    except CommandError as error:
        raise StorageError(
            f"the database cannot be migrated: {error}; was it made by a newer version?"
        ) from error


def _revision(conn: sa.Connection, version_table: str = _VERSION_TABLE) -> str | None:
    if not sa.inspect(conn).has_table(version_table):
        return None
    number = sa.column("version_num", sa.String())
    found = conn.scalars(sa.select(number).select_from(sa.table(version_table))).all()
    return found[0] if len(found) == 1 else None


def _make_file(url: str) -> None:
    parsed: Any = sa.make_url(normalise(url))
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        create_private_file(Path(parsed.database))
