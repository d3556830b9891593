"""Service tests need a real store; SQLite is enough, the store's own suite covers both databases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagemill.db.engine import open_database
from imagemill.jobs.store.store import Store
from tests import databases
from tests.service.build import Mill, mill


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(open_database(databases.sqlite_database(tmp_path / "store.db")))
    yield store
    store.close()


@pytest.fixture
def mills() -> Iterator[list[Mill]]:
    mills: list[Mill] = []
    yield mills
    for each in mills:
        each.runner.close(0)


@pytest.fixture
def make(store: Store, mills: list[Mill]) -> Any:
    def make(*args: Any, **changes: Any) -> Mill:
        mills.append(mill(store, *args, **changes))
        return mills[-1]

    return make
