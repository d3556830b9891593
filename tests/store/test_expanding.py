"""A migration only adds: what the code of the revision before reads and writes stays as it was.

See "Migrations" in docs/operations.md. What a later release takes away once no running code uses it is named
in `CONTRACTED`, with the release that stopped using it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from imagemill.db import migrate
from imagemill.db.engine import open_unpooled

CONTRACTED: frozenset[str] = frozenset()
"""``table`` or ``table.column``."""
MIGRATIONS = Path(migrate.__file__).parent / "migrations"

Tables = dict[str, dict[str, Any]]


def revisions() -> list[str]:
    """The oldest first."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    return [script.revision for script in scripts][::-1]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_unpooled(f"sqlite:///{tmp_path / 'store.db'}")
    yield engine
    engine.dispose()


def tables(engine: sa.Engine) -> Tables:
    inspector = sa.inspect(engine)
    return {
        table: {column["name"]: column for column in inspector.get_columns(table)}
        for table in inspector.get_table_names()
    }


def breaches(before: Tables, after: Tables) -> list[str]:
    """What would stop code that knows ``before`` only, a sentence each."""
    found: list[str] = []
    for table, columns in before.items():
        if table not in after:
            found.append(f"{table} is gone or has another name")
            continue
        for name, column in columns.items():
            now = after[table].get(name)
            if now is None:
                found.append(f"{table}.{name} is gone or has another name")
            elif str(now["type"]) != str(column["type"]):
                found.append(f"{table}.{name} was {column['type']} and is {now['type']}")
            elif column["nullable"] and not now["nullable"]:
                found.append(f"{table}.{name} may no longer be NULL")
        for name in after[table].keys() - columns.keys():
            added = after[table][name]
            if not added["nullable"] and added["default"] is None:
                found.append(f"{table}.{name} is new and NOT NULL without a default of the server")
    return [line for line in found if line.split()[0] not in CONTRACTED]


def test_no_migration_takes_anything_from_the_code_before_it(engine: sa.Engine):
    url = engine.url.render_as_string(hide_password=False)
    before: Tables = {}
    for revision in revisions():
        migrate.upgrade(url, revision)
        after = tables(engine)
        assert breaches(before, after) == [], f"migration {revision}: expand now, contract a release later"
        before = after


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        ("DROP TABLE leaders", "leaders is gone"),
        ("ALTER TABLE leaders RENAME TO offices", "leaders is gone"),
        ("ALTER TABLE leaders DROP COLUMN until", "leaders.until is gone"),
        ("ALTER TABLE leaders RENAME COLUMN until TO till", "leaders.until is gone"),
        ("ALTER TABLE leaders ADD COLUMN why TEXT NOT NULL DEFAULT ''", None),
        ("ALTER TABLE leaders ADD COLUMN why TEXT", None),
        ("CREATE TABLE more (id INTEGER NOT NULL)", None),
    ],
)
def test_the_check_tells_what_breaks_older_code_from_what_does_not(
    engine: sa.Engine, change: str, breach: str | None
):
    migrate.upgrade(engine.url.render_as_string(hide_password=False))
    before = tables(engine)
    with engine.begin() as conn:
        conn.execute(sa.text(change))
    found = breaches(before, tables(engine))
    assert any(breach in line for line in found) if breach else found == []


def test_the_check_sees_a_column_that_older_code_does_not_fill(engine: sa.Engine):
    migrate.upgrade(engine.url.render_as_string(hide_password=False))
    after = tables(engine)
    before = {name: dict(columns) for name, columns in after.items()}
    del before["leaders"]["until"]
    assert breaches(before, after) == ["leaders.until is new and NOT NULL without a default of the server"]
