"""A new SQLite file is made at once, and is what the migrations make."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from imagemill.db import migrate, new_file, tables
from tests.databases import PRODUCTS
from tests.tools.load import load

sqlite_schemas: Any = load("sqlite_schemas")
CORE: Path = sqlite_schemas.CORE


def statements(text: str) -> list[str]:
    """The statements in no order: some migrations make the indices of a table in any order."""
    return sorted(text.removesuffix(";\n").split(";\n\n"))


def dump(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as conn:
        return sorted(conn.iterdump())


def test_the_schemas_are_what_the_migrations_make() -> None:
    stale = [
        path.parent.parent.name
        for path, text in sqlite_schemas.schemas()
        if statements(path.read_text(encoding="utf-8")) != statements(text)
    ]
    assert stale == [], "run: python tools/sqlite_schemas.py"


def test_a_new_file_is_the_same_as_one_that_was_migrated_step_by_step(tmp_path: Path) -> None:
    new, migrated = tmp_path / "new.db", tmp_path / "migrated.db"
    assert migrate.upgrade(f"sqlite:///{new}", products=PRODUCTS) is None
    migrate.migrate_all(f"sqlite:///{migrated}")
    for name, folder in PRODUCTS.items():
        migrate.migrate_all(f"sqlite:///{migrated}", version_table=f"alembic_version_{name}", versions=folder)
    assert dump(new) == dump(migrated)
    assert migrate.upgrade(f"sqlite:///{new}", products=PRODUCTS) == tables.REVISION


def test_alembic_is_not_needed_for_a_new_file(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from imagemill.config import Settings\n"
        "from imagemill.bootstrap.stores import upgrade_database\n"
        f"upgrade_database(Settings(data_dir={str(tmp_path)!r})); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_schema_of_another_revision_is_left_to_the_migrations(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    assert not new_file.create(file, CORE, "0001", "alembic_version")
    assert not new_file.create(file, tmp_path / "none.sql", tables.REVISION, "alembic_version")
    assert not file.exists()


def test_a_file_with_some_of_the_tables_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as conn:
        conn.execute("CREATE TABLE artifacts (mine TEXT)")
    before = dump(file)
    assert not new_file.create(file, CORE, tables.REVISION, "alembic_version")
    assert dump(file) == before


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("no database" * 100)
    assert not new_file.create(file, CORE, tables.REVISION, "alembic_version")
    assert file.read_text() == "no database" * 100


def test_of_two_processes_one_makes_the_file(tmp_path: Path) -> None:
    code = f"from imagemill.db import migrate; migrate.upgrade('sqlite:///{tmp_path / 'new.db'}')"
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert migrate.current(f"sqlite:///{tmp_path / 'new.db'}") == tables.REVISION
