"""The store's tests run a third time: through a pooler in transaction mode."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagemill.bootstrap.stores import Stores, build_stores
from tests import databases, pgbouncer
from tests.pgbouncer import PgBouncer
from tests.store.build import POOLED, opened

_DATABASES = ("sqlite", "postgres", "pgbouncer")


@pytest.fixture(scope="session")
def pooler(postgres_server: str) -> Iterator[PgBouncer]:
    with pgbouncer.running(postgres_server) as pooler:
        yield pooler


@pytest.fixture(scope="session")
def pooled_database(pooler: PgBouncer) -> Iterator[str]:
    with databases.kept_database(pooler.server, POOLED) as name:
        yield name
        pooler.forget(name)


@pytest.fixture
def pooled_url(pooler: PgBouncer, pooled_database: str) -> Iterator[str]:
    """The URL of a migrated database through the pooler, emptied afterwards."""
    url = pooler.url(pooled_database)
    yield url
    databases.empty(url, pooled=True)


@pytest.fixture(params=_DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database on each of the two, and one through the pooler."""
    if request.param == "pgbouncer":
        return request.getfixturevalue("pooled_url")
    if request.param == "postgres":
        return request.getfixturevalue("kept_postgres_url")
    return databases.sqlite_database(tmp_path / "store.db")


@pytest.fixture
def store(database_url: str) -> Iterator[Stores]:
    store = build_stores(opened(database_url))
    yield store
    store.close()
