"""Service tests need a real store; SQLite is enough, the store's own suite covers both databases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db.engine import open_engines
from tests import databases
from tests.service.build import Mill, mill


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Stores]:
    store = build_stores(open_engines(databases.sqlite_database(tmp_path / "store.db"), fsync=False))
    yield store
    store.close()


@pytest.fixture
def mills() -> Iterator[list[Mill]]:
    mills: list[Mill] = []
    yield mills
    for each in mills:
        each.runner.close(0)


@pytest.fixture
def make(store: Stores, mills: list[Mill]) -> Any:
    def make(*args: Any, **changes: Any) -> Mill:
        mills.append(mill(store, *args, **changes))
        return mills[-1]

    return make
