"""Service tests need a real store; SQLite is enough, the store's own suite covers both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagemill.store import migrate
from imagemill.store.engine import open_database
from imagemill.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    migrate.upgrade(url)
    store = Store(open_database(url))
    yield store
    store.close()
