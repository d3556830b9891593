"""The tables that benchmarks fill are those of a migrated database."""

import re

import sqlalchemy as sa

from benchmarks.large_tables import Size, fill
from imagemill.db import migrate, tables
from imagemill.db.engine import open_engines
from tests import databases

_CASTS = re.compile(r"::text|::character varying|[()\[\]]")


def _indexes(url: str) -> list[tuple[str, str]]:
    engines = open_engines(url)
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY rowid"
        if engines.is_sqlite
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
    )
    with engines.reader.connect() as conn:
        # PostgreSQL writes the casts of a condition in other places once it was read again.
        found = [(name, _CASTS.sub("", text)) for name, text in conn.execute(sa.text(query))]
    engines.close()
    return found


def test_filling_keeps_every_index_as_the_migrations_made_it(database_url: str) -> None:
    migrate.upgrade(database_url, products=databases.PRODUCTS)
    before = _indexes(database_url)

    fill(database_url, Size(2000, 100))

    assert sorted(_indexes(database_url)) == sorted(before)
    engines = open_engines(database_url)
    with engines.reader.connect() as conn:
        counted = conn.execute(sa.select(sa.func.count()).select_from(tables.jobs)).scalar_one()
    engines.close()
    assert counted == 2100
