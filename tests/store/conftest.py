"""The store's tests run a third time: through a pooler in transaction mode."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from imagemill.store import migrate, schema
from imagemill.store.engine import normalise, open_unpooled
from imagemill.store.store import Store
from tests import pgbouncer
from tests.pgbouncer import PgBouncer
from tests.store.build import POOLED, opened

_DATABASES = ("sqlite", "postgres", "pgbouncer")


@pytest.fixture(scope="session")
def pooler(postgres_server: str) -> Iterator[PgBouncer]:
    with pgbouncer.running(postgres_server) as pooler:
        yield pooler


@pytest.fixture(scope="session")
def pooled_database(pooler: PgBouncer) -> Iterator[str]:
    """One for all tests: to create and drop one for each takes most of a test's time."""
    name = f"{POOLED}{secrets.token_hex(6)}"
    with _administration(pooler.server) as administer:
        administer(f"CREATE DATABASE {name}")
        # No test here is about a crash of the server.
        administer(f"ALTER DATABASE {name} SET synchronous_commit = off")
        migrate.upgrade(pooler.url(name))
        yield name
        pooler.forget(name)
        administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def pooled_url(pooler: PgBouncer, pooled_database: str) -> Iterator[str]:
    """The URL of a migrated database through the pooler, emptied afterwards."""
    url = pooler.url(pooled_database)
    yield url
    engine = open_unpooled(url)
    with engine.begin() as conn:
        for table in reversed(schema.metadata.sorted_tables):
            conn.execute(sa.delete(table))
        conn.execute(sa.text("DROP TABLE IF EXISTS notes"))
    engine.dispose()


@pytest.fixture(params=_DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database on each of the two, and a migrated one through the pooler."""
    if request.param == "pgbouncer":
        return request.getfixturevalue("pooled_url")
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    migrate.upgrade(database_url)
    store = Store(opened(database_url))
    yield store
    store.close()


@contextmanager
def _administration(server: str) -> Iterator[Callable[[str], None]]:
    admin = sa.create_engine(normalise(server), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)

    def administer(command: str) -> None:
        with admin.connect() as conn:
            conn.execute(sa.text(command))

    yield administer
    admin.dispose()
