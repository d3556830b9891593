"""New SQLite files, made from the schema that all migrations lead to.

Running the migrations one after the other takes a quarter of a second, most of it the import of Alembic.
``tools/sqlite_schemas.py`` writes the schemas; a test requires that they are what the migrations make.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

NAME = "schema.sql"
"""A file beside the folder of the versions."""
_HEAD = re.compile(r"-- revision ([^\n]+)\n")
_BETWEEN = ";\n\n"
_OBJECTS = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"


def create(file: Path, schema: Path, revision: str, version_table: str) -> bool:
    """Make the tables of a schema in a file that has none of them, in one transaction.

    Returns False, and leaves the file as it is, where the migrations have to do it: the schema is not of that
    revision, or some of its tables exist. Safe in several processes at once.
    """
    try:
        text = schema.read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    head = _HEAD.match(text)
    if head is None or head[1] != revision:
        return False
    statements = text[head.end() :].removesuffix(";\n").split(_BETWEEN)
    with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as conn:
        try:
            conn.execute("PRAGMA journal_mode=WAL")
            conn.execute("BEGIN IMMEDIATE")
            for statement in statements:
                conn.execute(statement)
            conn.execute(f"INSERT INTO {version_table} VALUES (?)", (revision,))  # noqa: S608 - a name of ours
            conn.execute("COMMIT")
        except sqlite3.DatabaseError:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            return False
    return True


def schema_text(file: Path, revision: str, without: frozenset[str] = frozenset()) -> str:
    """Return the text of the schema of a file, but for the statements ``without``."""
    statements = (statement for statement in objects(file) if statement not in without)
    return f"-- revision {revision}\n" + _BETWEEN.join(statements) + ";\n"


def objects(file: Path) -> Iterator[str]:
    """Yield the statements that make what a file has, in their order."""
    with closing(sqlite3.connect(file)) as conn:
        for (statement,) in conn.execute(_OBJECTS).fetchall():
            yield statement
